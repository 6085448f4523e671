"""Batches on their device, one ahead of the step on CUDA."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

import torch

from srgan_cli.data.batch import Batch


def on_device(batches: Generator[Batch, None, None], device: torch.device) -> Iterator[Batch]:
    """The same batches in the same order on `device`; closing it closes `batches`.

    On the CPU it passes the very objects on and takes none ahead. On CUDA the next batch is
    copied, from pinned memory and in a stream of its own, while the current one is computed.
    """
    with closing(batches):
        if device.type == "cuda":
            yield from _ahead(batches, device)
        elif device.type == "cpu":
            yield from batches
        else:
            for batch in batches:
                yield Batch(*(part.to(device) for part in batch))


def _ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not say
    waiting: Batch | None = None
    for batch in batches:
        # A copy is asynchronous from pinned memory only; without loader processes it is not yet.
        pinned = Batch(*(part if part.is_pinned() else part.pin_memory() for part in batch))
        with torch.cuda.stream(stream):
            copied = Batch(*(part.to(device, non_blocking=True) for part in pinned))
        if waiting is not None:
            yield waiting
        _hand_over(copied, stream, device)
        waiting = copied
    if waiting is not None:
        yield waiting


def _hand_over(batch: Batch, stream: torch.cuda.Stream, device: torch.device) -> None:
    """Let the training's stream wait for the copy, and the allocator know that it uses it."""
    current = torch.cuda.current_stream(device)
    current.wait_stream(stream)
    for part in batch:
        part.record_stream(current)
