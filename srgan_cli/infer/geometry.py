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
        return self.grown_within(margin, Box(0, 0, height, width))

    def grown_within(self, margin: int, outer: Box) -> Box:
        """The rectangle with `margin` on every side, cut at `outer`."""
        row, col = max(self.row - margin, outer.row), max(self.col - margin, outer.col)
        return Box(
            row,
            col,
            min(self.row_stop + margin, outer.row_stop) - row,
            min(self.col_stop + margin, outer.col_stop) - col,
        )

    def moved(self, rows: int, cols: int) -> Box:
        """The same rectangle further down and to the right."""
        return Box(self.row + rows, self.col + cols, self.height, self.width)


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

    @property
    def core(self) -> Box:
        """From the first to the last pixel that is kept."""
        first, last = self.tiles[0].core, self.tiles[-1].core
        return Box(first.row, first.col, first.height, last.col_stop - first.col)


@dataclass(frozen=True)
class Grid:
    """The tiles of a scene, or of a part of it: rows and columns then count from its corner."""

    height: int
    width: int
    core_px: int
    halo_px: int
    multiple_px: int = 1
    """Windows start at multiples of it in the scene; it divides `core_px` and `halo_px`."""
    scene: Box | None = None
    """All there is to see, around the part; None: there is no more than the part."""

    def __post_init__(self) -> None:
        if self.core_px % self.multiple_px or self.halo_px % self.multiple_px:
            raise ValueError(f"core and halo of {self} are not multiples of {self.multiple_px}")

    @property
    def window_height(self) -> int:
        """Rows of every window."""
        return self._window(*self._rows)

    @property
    def window_width(self) -> int:
        """Columns of every window."""
        return self._window(*self._columns)

    @property
    def _rows(self) -> Axis:
        scene = self.scene or Box(0, 0, self.height, self.width)
        return self.height, -scene.row, scene.height

    @property
    def _columns(self) -> Axis:
        scene = self.scene or Box(0, 0, self.height, self.width)
        return self.width, -scene.col, scene.width

    def _window(self, size: int, before: int, total: int) -> int:
        """The last window may end with the scene, and must start at a multiple as well."""
        window = min(self.core_px, size) + 2 * self.halo_px
        if before % self.multiple_px or size < self.core_px:
            window += self.multiple_px - 1
        return total if window >= total else window + (total - window) % self.multiple_px

    @property
    def num_strips(self) -> int:
        """Rows of tiles."""
        return len(self._spans(*self._rows))

    @property
    def num_columns(self) -> int:
        """Tiles in a strip."""
        return len(self._spans(*self._columns))

    @property
    def num_tiles(self) -> int:
        """Runs of the network."""
        return self.num_strips * self.num_columns

    def strip(self, index: int, max_segment_px: int | None = None) -> Iterator[Segment]:
        """The tiles of a strip from left to right, as segments of at most `max_segment_px` columns.

        A segment has at least one tile, however small the limit is.
        """
        rows = self._spans(*self._rows)[index]
        tiles: list[Tile] = []
        for columns in self._spans(*self._columns):
            tile = _tile(rows, columns)
            start = tiles[0].window.col if tiles else tile.window.col
            if tiles and max_segment_px and tile.window.col_stop - start > max_segment_px:
                yield Segment(tuple(tiles))
                tiles = []
            tiles.append(tile)
        yield Segment(tuple(tiles))

    def _spans(self, size: int, before: int, total: int) -> list[Span]:
        window, core, multiple = self._window(size, before, total), self.core_px, self.multiple_px
        if window == total:
            return [(0, size, -before, total)]
        spans = []
        for start in range(0, size, core):
            seen = min(max(start + before - self.halo_px, 0) // multiple * multiple, total - window)
            spans.append((start, min(core, size - start), seen - before, window))
        return spans


Axis = tuple[int, int, int]
"""Length of the part, of what the scene has before it, and of the scene."""

Span = tuple[int, int, int, int]
"""core start, core length, window start, window length."""


def _tile(rows: Span, columns: Span) -> Tile:
    return Tile(
        core=Box(rows[0], columns[0], rows[1], columns[1]),
        window=Box(rows[2], columns[2], rows[3], columns[3]),
    )


def round_up(px: int, multiple_px: int) -> int:
    """The next multiple of `multiple_px`."""
    return math.ceil(px / multiple_px) * multiple_px


def core_multiple(scale: int, block_px: int, multiple_px: int = 1) -> int:
    """The smallest core side, a multiple of `multiple_px`, that makes whole blocks of `block_px`."""
    return math.lcm(block_px // math.gcd(scale, block_px), multiple_px)


def fitting_core(wanted_px: int, scale: int, block_px: int, multiple_px: int = 1) -> int:
    """`wanted_px` rounded up to whole output blocks."""
    multiple = core_multiple(scale, block_px, multiple_px)
    return max(math.ceil(wanted_px / multiple), 1) * multiple


def largest_core(
    max_window_px: int, halo_px: int, scale: int, block_px: int, multiple_px: int = 1
) -> int:
    """The largest core whose window keeps within `max_window_px`; one block at least."""
    multiple = core_multiple(scale, block_px, multiple_px)
    return max((max_window_px - 2 * halo_px) // multiple, 1) * multiple
