"""Batches from several processes, the same ones as from a single process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.crops import TrainCrops
from srgan_cli.data.handover import Failures, Packed, Packer, Unpacker
from srgan_cli.data.rasters import UnreadableError, gdal_env
from srgan_cli.errors import SrganError


class Loaded(NamedTuple):
    """A batch, and what could not be read on the way to it."""

    batch: Batch
    failures: Failures


def load_batches(
    crops: TrainCrops,
    numbers: Iterable[list[int]],
    num_workers: int,
    prefetch_factor: int,
    on_failure: Callable[[UnreadableError], None],
) -> Generator[Batch, None, None]:
    """One batch for each list of sample numbers, in order.

    Loader processes live as long as the generator: they are gone when it ends or is closed.
    `on_failure` hears, in this process, of every read that failed and was replaced.

    Raises:
        SrganError: a crop cannot be read.
    """
    if num_workers == 0:
        loaded = _load_here(crops, numbers)
    else:
        loaded = _load_in_workers(crops, numbers, num_workers, prefetch_factor)
    try:
        for batch, failures in loaded:
            for failure in failures:
                on_failure(failure)
            yield batch
    finally:
        loaded.close()


@contextmanager
def in_process() -> Iterator[None]:
    """For reading crops in the training process: bounded GDAL cache, one torch thread.

    Waking the thread pool for operations as small as a crop's costs ten times what they take
    when another process wants the cores too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with gdal_env():
            yield
    finally:
        torch.set_num_threads(threads)


def _load_here(crops: TrainCrops, numbers: Iterable[list[int]]) -> Generator[Loaded, None, None]:
    try:
        for batch in numbers:
            with in_process():
                read = [crops.get(number) for number in batch]
                loaded = Loaded(stack([crop for crop, _ in read]), _failures(read))
            yield loaded
    finally:
        crops.close()


def _load_in_workers(
    crops: TrainCrops, numbers: Iterable[list[int]], num_workers: int, prefetch_factor: int
) -> Generator[Loaded, None, None]:
    batches = _start_loader(crops, numbers, num_workers, prefetch_factor)
    # Where CUDA is used, that is; a training on the CPU beside a GPU does not wake it.
    unpacker = Unpacker(pin=torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # torch does not say
    try:
        for batch in batches:
            if isinstance(batch, SrganError):
                raise batch
            yield Loaded(unpacker.unpack(batch), batch.failures)
    finally:
        # The loader's iterator stops its processes when it goes.
        del batches


def _start_loader(
    crops: TrainCrops, numbers: Iterable[list[int]], num_workers: int, prefetch_factor: int
) -> Iterator[Packed | SrganError]:
    with warnings.catch_warnings():
        # More processes than cores is the user's choice: on a slow disk it is a good one.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader: DataLoader[Sample] = DataLoader(
            _Samples(crops),
            batch_sampler=numbers,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            # One place for each batch on its way, and one for the batch that is being copied.
            collate_fn=_Collate(prefetch_factor + 1),
            worker_init_fn=_start_worker,
            multiprocessing_context=_context(),
            # Its own generator: a loader draws a number, and the training's must not depend on that.
            generator=torch.Generator(),
        )
        return iter(loader)


Sample = tuple[Batch, Failures] | SrganError


class _Samples(Dataset[Sample]):
    """Errors travel as values: raised in a worker they would arrive as a printed traceback."""

    def __init__(self, crops: TrainCrops) -> None:
        self._crops = crops

    def __getitem__(self, number: int) -> Sample:
        try:
            return self._crops.get(number)
        except SrganError as err:
            return err


class _Collate:
    """In a loader process; pickled before it has packed anything."""

    def __init__(self, num_places: int) -> None:
        self._packer = Packer(num_places)

    def __call__(self, samples: Sequence[Sample]) -> Packed | SrganError:
        read = []
        for sample in samples:
            if isinstance(sample, SrganError):
                return sample
            read.append(sample)
        return self._packer.pack([crop for crop, _ in read], _failures(read))


def _failures(read: Sequence[tuple[Batch, Failures]]) -> Failures:
    return tuple(failure for _, failures in read for failure in failures)


def _context() -> BaseContext:
    """Processes that are not forked from this one, whose threads and GPU a fork would not survive."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once there; each loader process starts in milliseconds.
    context.set_forkserver_preload([__name__])
    return context


def _end_with_the_trainer() -> None:
    """Torch's loader watches its parent, which is the fork server, and that lives as long as we do."""
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os._exit(1)


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    # Signals go to the whole process group. The trainer finishes its step and saves; for that
    # it needs its loader.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_the_trainer, daemon=True).start()
    gdal_env().__enter__()
