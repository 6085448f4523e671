"""The pipeline: one thread reads, this one runs the network, one writes, at most a few steps apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from srgan_cli.data.rasters import gdal_env
from srgan_cli.infer.geometry import Grid, Segment, Tile
from srgan_cli.infer.network import Network
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.sink import Sink
from srgan_cli.infer.source import Source
from srgan_cli.signals import StopRequest

REMOVED = "the unfinished output was removed"
START_AGAIN = "run the same command to start again"
_SEGMENT_BYTES = 64 * 2**20
_READ_AHEAD = 1
_WRITE_BEHIND = 3

Item = TypeVar("Item")
Result = TypeVar("Result")
Window = tuple[Tile, NDArray[np.float32], NDArray[np.bool_]]
"""A tile, its window in network units (C, h, w), and its core's valid pixels."""


def run_plan(
    plan: Plan,
    source: Source,
    sink: Sink,
    network: Network,
    stop: StopRequest,
    advance: Callable[[int], None],
    quality: Quality | None = None,
) -> int:
    """Make every tile of the plan; the number of tiles without a valid pixel.

    Memory holds three segments of input and a few tiles of output, whatever the scene's size.
    Every batch has the same shape, the last of a segment is filled up: the same window always
    goes through the same arithmetic.
    """
    skipped = 0
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        writes: deque[Future[None]] = deque()
        try:
            for windows in ahead(reader, _read_segment(plan, source), segments(plan.grid, source)):
                _end_when_asked(stop)
                empty = [tile for tile, _, valid in windows if not valid.any()]
                full = [window for window in windows if window[2].any()]
                for tile in empty:
                    _later(writes, writer.submit(sink.write_empty, tile))
                skipped += len(empty)
                advance(len(empty))
                for start in range(0, len(full), plan.batch):
                    _end_when_asked(stop)
                    batch = full[start : start + plan.batch]
                    for lr, (tile, sr, valid) in _predict(network, batch, plan):
                        if quality is not None:
                            _later(writes, writer.submit(quality.add, tile, lr, sr, valid))
                        _later(writes, writer.submit(sink.write, tile, sr, valid))
                    advance(len(batch))
            while writes:
                writes.popleft().result()
        finally:
            # After an error what still waits is not worth doing.
            for executor in (reader, writer):
                executor.shutdown(wait=True, cancel_futures=True)
    return skipped


def _end_when_asked(stop: StopRequest) -> None:
    if stop:
        raise stop.stopped(REMOVED, START_AGAIN)


def segments(grid: Grid, source: Source) -> Iterator[Segment]:
    """All segments from top to bottom, each small enough to hold in memory."""
    per_column = grid.window_height * len(source.bands) * 4
    limit = max(_SEGMENT_BYTES // per_column, grid.window_width)
    for strip in range(grid.num_strips):
        yield from grid.strip(strip, limit)


def ahead(
    executor: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """`work` of every item in order, one item worked on while the caller uses the one before."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(executor.submit(work, item))
        if len(waiting) > _READ_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _later(writes: deque[Future[None]], write: Future[None]) -> None:
    writes.append(write)
    while len(writes) > _WRITE_BEHIND:
        writes.popleft().result()


def _read_segment(plan: Plan, source: Source) -> Callable[[Segment], list[Window]]:
    radiometry = plan.quantiser.radiometry

    def read(segment: Segment) -> list[Window]:
        area = segment.window
        with gdal_env():
            values, valid = source.read_filled(area, plan.fill_px)
        lr: NDArray[Any] = np.asarray(radiometry.to_network(values))
        windows = []
        for tile in segment.tiles:
            rows, cols = tile.window.within(area)
            windows.append((tile, lr[:, rows, cols], valid[tile.core.within(area)]))
        return windows

    return read


def _predict(
    network: Network, batch: list[Window], plan: Plan
) -> Iterator[tuple[NDArray[np.float32], Window]]:
    """The LR core of every tile, and its SR in the place of its window."""
    inputs = [window for _, window, _ in batch]
    inputs += [inputs[-1]] * (plan.batch - len(inputs))
    sr = network(np.stack(inputs)).numpy()
    scale = plan.quantiser.scale
    for (tile, lr, valid), image in zip(batch, sr, strict=False):
        rows, cols = tile.core.scaled(scale).within(tile.window.scaled(scale))
        lr_rows, lr_cols = tile.core.within(tile.window)
        # A copy, so that the whole batch does not wait for the writer.
        core = np.ascontiguousarray(image[:, rows, cols])
        yield lr[:, lr_rows, lr_cols], (tile, core, valid)
