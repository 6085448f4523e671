"""Batches from several processes, the same ones as from a single process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import BaseContext

import torch
from torch.utils.data import DataLoader, Dataset

from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.crops import TrainCrops
from srgan_cli.data.rasters import gdal_env
from srgan_cli.errors import SrganError


def load_batches(
    crops: TrainCrops, numbers: Iterable[list[int]], num_workers: int, prefetch_factor: int
) -> Iterator[Batch]:
    """One batch for each list of sample numbers, in order.

    Loader processes live as long as the generator: they are gone when it ends or is closed.

    Raises:
        SrganError: a crop cannot be read.
    """
    if num_workers == 0:
        yield from _load_here(crops, numbers)
    else:
        yield from _load_in_workers(crops, numbers, num_workers, prefetch_factor)


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


def _load_here(crops: TrainCrops, numbers: Iterable[list[int]]) -> Iterator[Batch]:
    try:
        for batch in numbers:
            with in_process():
                loaded = stack([crops[number] for number in batch])
            yield loaded
    finally:
        crops.close()


def _load_in_workers(
    crops: TrainCrops, numbers: Iterable[list[int]], num_workers: int, prefetch_factor: int
) -> Iterator[Batch]:
    batches = _start_loader(crops, numbers, num_workers, prefetch_factor)
    try:
        for batch in batches:
            if isinstance(batch, SrganError):
                raise batch
            yield batch
    finally:
        # The loader's iterator stops its processes when it goes.
        del batches


def _start_loader(
    crops: TrainCrops, numbers: Iterable[list[int]], num_workers: int, prefetch_factor: int
) -> Iterator[Batch | SrganError]:
    with warnings.catch_warnings():
        # More processes than cores is the user's choice: on a slow disk it is a good one.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader: DataLoader[Batch | SrganError] = DataLoader(
            _Samples(crops),
            batch_sampler=numbers,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            collate_fn=_collate,
            worker_init_fn=_start_worker,
            multiprocessing_context=_context(),
            pin_memory=torch.cuda.is_available(),
            # Its own generator: a loader draws a number, and the training's must not depend on that.
            generator=torch.Generator(),
        )
        return iter(loader)


class _Samples(Dataset[Batch | SrganError]):
    """Errors travel as values: raised in a worker they would arrive as a printed traceback."""

    def __init__(self, crops: TrainCrops) -> None:
        self._crops = crops

    def __getitem__(self, number: int) -> Batch | SrganError:
        try:
            return self._crops[number]
        except SrganError as err:
            return err


def _collate(samples: Sequence[Batch | SrganError]) -> Batch | SrganError:
    crops = []
    for sample in samples:
        if isinstance(sample, SrganError):
            return sample
        crops.append(sample)
    return stack(crops)


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
