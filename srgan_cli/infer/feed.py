"""What the network is fed: windows of the scene, filled, in network units, in batches of one shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.data.rasters import fill_nearest, gdal_env
from srgan_cli.infer.geometry import Box, Grid, Segment, Tile
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.source import Source

SEGMENT_BYTES = 8 * 2**20
"""Of stored values as float32, read at once: what a wider scene adds is small beside a tile's memory."""
CACHE_BYTES = 48 * 2**20
_MOST_CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Batch:
    """Neighbouring tiles of a strip in order, those without valid pixels among them."""

    tiles: tuple[tuple[Tile, NDArray[np.bool_]], ...]
    """With the valid pixels of their core."""
    windows: NDArray[np.float32]
    """(B, C, h, w) of the tiles with valid pixels, in network units; filled up to the batch size."""

    starts: tuple[tuple[int, int], ...]
    """Row and column in each window where the part begins that is enlarged."""

    @property
    def num_full(self) -> int:
        """Tiles with a valid pixel."""
        return sum(bool(valid.any()) for _, valid in self.tiles)


def segment_px(grid: Grid, num_bands: int) -> int:
    """Columns of a segment that is small enough to hold in memory."""
    return max(SEGMENT_BYTES // (grid.window_height * num_bands * 4), grid.window_width)


def cache_bytes(source: Source, segment: Box) -> int:
    """GDAL's block cache with which no segment of a strip decodes again what its neighbour did.

    Rasters in strips have blocks as wide as the scene, of which every segment needs all.
    """
    touched = 0
    for band in source.bands:
        rows, cols = source.dataset.block_shapes[band - 1]
        down = min(math.ceil(segment.height / rows) + 1, math.ceil(source.scene.height / rows))
        across = min(math.ceil(segment.width / cols) + 1, math.ceil(source.scene.width / cols))
        itemsize = np.dtype(source.dataset.dtypes[band - 1]).itemsize
        touched += down * rows * across * cols * itemsize
    return min(max(touched, CACHE_BYTES), _MOST_CACHE_BYTES)


def feed(plan: Plan, source: Source, segments: Iterable[Segment]) -> Iterator[Batch]:
    """The batches of some segments; to be advanced in one thread at a time.

    Every batch has the same shape, the last one is filled up: the same window always goes through
    the same arithmetic. A segment that a mask or polygons call empty is not read.
    """
    waiting: list[tuple[Tile, NDArray[np.bool_], NDArray[np.float32] | None]] = []
    full = 0
    for segment in segments:
        for item in _windows(plan, source, segment):
            waiting.append(item)
            full += item[2] is not None
            if full == plan.batch:
                yield _stacked(waiting, plan)
                waiting, full = [], 0
    if waiting:
        yield _stacked(waiting, plan)


def _stacked(items: list[Any], plan: Plan) -> Batch:
    windows = [window for _, _, window in items if window is not None]
    starts = [_start(tile, plan) for tile, _, window in items if window is not None]
    tiles = tuple((tile, valid) for tile, valid, _ in items)
    if not windows:
        return Batch(tiles, np.empty((0, 0, 0, 0), dtype=np.float32), ())
    missing = plan.batch - len(windows)
    windows += [windows[-1]] * missing
    starts += [starts[-1]] * missing
    stacked = np.stack(windows) if len(windows) > 1 else windows[0][None]
    return Batch(tiles, stacked, tuple(starts))


def _start(tile: Tile, plan: Plan) -> tuple[int, int]:
    core, window, parts = tile.core, tile.window, plan.parts
    return (
        parts.start(core.row - window.row, parts.height, window.height),
        parts.start(core.col - window.col, parts.width, window.width),
    )


def _windows(
    plan: Plan, source: Source, segment: Segment
) -> Iterator[tuple[Tile, NDArray[np.bool_], NDArray[np.float32] | None]]:
    fill_px = plan.fill_px if source.may_be_invalid else 0
    wide = segment.window.grown_within(fill_px, source.scene)
    with gdal_env(cache_bytes(source, wide)):
        if source.masked_out(segment.core):
            for tile in segment.tiles:
                yield tile, np.zeros((tile.core.height, tile.core.width), dtype=bool), None
            return
        values, valid = source.read(wide)
    for tile in segment.tiles:
        inside = source.cut_out(valid[tile.core.within(wide)], tile.core)
        if not inside.any():
            yield tile, inside, None
            continue
        seen = tile.window.grown_within(fill_px, source.scene)
        rows, cols = seen.within(wide)
        # Only here, and only where something is invalid: filling costs more than reading.
        filled = fill_nearest(values[:, rows, cols], valid[rows, cols])
        rows, cols = tile.window.within(seen)
        network = np.asarray(plan.quantiser.radiometry.to_network(filled[:, rows, cols]))
        yield tile, inside, np.ascontiguousarray(network)
