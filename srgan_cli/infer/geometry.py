"""How a scene is cut: pure arithmetic, in LR pixels unless said otherwise.

Every window has the same shape and lies inside the scene, so that the network sees the scene's
border exactly where whole-image inference sees it. A tile keeps the pixels that are at least the
halo away from every edge of its window which is not an edge of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_stop(self) -> int:
        """First row below."""
        return self.row + self.height

    @property
    def col_stop(self) -> int:
        """First column to the right."""
        return self.col + self.width

    def within(self, outer: Box) -> tuple[slice, slice]:
        """The row and column slices that cut this box out of an array holding `outer`."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)

    def scaled(self, scale: int) -> Box:
        """The same rectangle on a grid with `scale` times smaller pixels."""
        return Box(self.row * scale, self.col * scale, self.height * scale, self.width * scale)

    def grown(self, margin: int, height: int, width: int) -> Box:
        """The rectangle with `margin` on every side, cut at a scene of `height` x `width`."""
        row, col = max(self.row - margin, 0), max(self.col - margin, 0)
        return Box(
            row,
            col,
            min(self.row_stop + margin, height) - row,
            min(self.col_stop + margin, width) - col,
        )


@dataclass(frozen=True)
class Tile:
    """What one run of the network makes."""

    core: Box
    """The pixels that are kept."""
    window: Box
    """The pixels that the network sees."""


@dataclass(frozen=True)
class Segment:
    """Neighbouring tiles of one strip, read at once."""

    tiles: tuple[Tile, ...]

    @property
    def window(self) -> Box:
        """All pixels that the tiles see."""
        first, last = self.tiles[0].window, self.tiles[-1].window
        return Box(first.row, first.col, first.height, last.col_stop - first.col)


@dataclass(frozen=True)
class Grid:
    """The tiles of a scene."""

    height: int
    width: int
    core_px: int
    halo_px: int

    @property
    def window_height(self) -> int:
        """Rows of every window."""
        return min(self.height, self.core_px + 2 * self.halo_px)

    @property
    def window_width(self) -> int:
        """Columns of every window."""
        return min(self.width, self.core_px + 2 * self.halo_px)

    @property
    def num_strips(self) -> int:
        """Rows of tiles."""
        return 1 if self.window_height == self.height else math.ceil(self.height / self.core_px)

    @property
    def num_columns(self) -> int:
        """Tiles in a strip."""
        return 1 if self.window_width == self.width else math.ceil(self.width / self.core_px)

    @property
    def num_tiles(self) -> int:
        """Runs of the network."""
        return self.num_strips * self.num_columns

    def strip(self, index: int, max_segment_px: int | None = None) -> Iterator[Segment]:
        """The tiles of a strip from left to right, as segments of at most `max_segment_px` columns.

        A segment has at least one tile, however small the limit is.
        """
        rows = _spans(self.height, self.core_px, self.halo_px)[index]
        tiles: list[Tile] = []
        for columns in _spans(self.width, self.core_px, self.halo_px):
            tile = _tile(rows, columns)
            start = tiles[0].window.col if tiles else tile.window.col
            if tiles and max_segment_px and tile.window.col_stop - start > max_segment_px:
                yield Segment(tuple(tiles))
                tiles = []
            tiles.append(tile)
        yield Segment(tuple(tiles))


Span = tuple[int, int, int, int]
"""core start, core length, window start, window length."""


def _spans(size: int, core: int, halo: int) -> list[Span]:
    window = min(size, core + 2 * halo)
    if window == size:
        return [(0, size, 0, size)]
    return [
        (start, min(core, size - start), min(max(start - halo, 0), size - window), window)
        for start in range(0, size, core)
    ]


def _tile(rows: Span, columns: Span) -> Tile:
    return Tile(
        core=Box(rows[0], columns[0], rows[1], columns[1]),
        window=Box(rows[2], columns[2], rows[3], columns[3]),
    )


def core_multiple(scale: int, block_px: int) -> int:
    """The smallest core side whose output is whole blocks of `block_px` HR pixels."""
    return block_px // math.gcd(scale, block_px)


def fitting_core(wanted_px: int, scale: int, block_px: int) -> int:
    """`wanted_px` rounded up to whole output blocks."""
    multiple = core_multiple(scale, block_px)
    return max(math.ceil(wanted_px / multiple), 1) * multiple


def largest_core(max_window_px: int, halo_px: int, scale: int, block_px: int) -> int:
    """The largest core whose window keeps within `max_window_px`; one block at least."""
    multiple = core_multiple(scale, block_px)
    return max((max_window_px - 2 * halo_px) // multiple, 1) * multiple
