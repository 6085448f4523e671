from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.infer.geometry import Box, Grid, fitting_core, largest_core

SIDE = st.integers(1, 90)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    multiple = draw(st.sampled_from([1, 1, 2, 4]))
    core, halo = draw(st.integers(1, 40)), draw(st.integers(0, 30))
    return Grid(draw(SIDE), draw(SIDE), core * multiple, halo * multiple, multiple)


def all_tiles(grid: Grid, limit: int | None = None) -> list:
    strips = (grid.strip(index, limit) for index in range(grid.num_strips))
    return [tile for strip in strips for segment in strip for tile in segment.tiles]


@given(grids())
@settings(max_examples=150, deadline=None)
def test_every_pixel_is_kept_exactly_once(grid: Grid) -> None:
    owners = np.zeros((grid.height, grid.width), dtype=int)
    scene = Box(0, 0, grid.height, grid.width)
    for tile in all_tiles(grid):
        owners[tile.core.within(scene)] += 1
    assert (owners == 1).all()
    assert len(all_tiles(grid)) == grid.num_tiles


@given(grids())
@settings(max_examples=150, deadline=None)
def test_windows_have_one_shape_and_lie_in_the_scene(grid: Grid) -> None:
    for tile in all_tiles(grid):
        window = tile.window
        assert (window.height, window.width) == (grid.window_height, grid.window_width)
        assert window.row % grid.multiple_px == window.col % grid.multiple_px == 0
        assert window.row >= 0
        assert window.col >= 0
        assert window.row_stop <= grid.height
        assert window.col_stop <= grid.width


@given(grids())
@settings(max_examples=150, deadline=None)
def test_kept_pixels_are_a_halo_away_from_every_inner_edge(grid: Grid) -> None:
    for tile in all_tiles(grid):
        core, window, halo = tile.core, tile.window, grid.halo_px
        assert window.row == 0 or core.row - window.row >= halo
        assert window.col == 0 or core.col - window.col >= halo
        assert window.row_stop == grid.height or window.row_stop - core.row_stop >= halo
        assert window.col_stop == grid.width or window.col_stop - core.col_stop >= halo


@given(grids(), st.integers(1, 120))
@settings(max_examples=80, deadline=None)
def test_segments_hold_the_same_tiles_within_the_limit(grid: Grid, limit: int) -> None:
    assert all_tiles(grid, limit) == all_tiles(grid)
    for index in range(grid.num_strips):
        for segment in grid.strip(index, limit):
            assert segment.window.width <= max(limit, grid.window_width)
            for tile in segment.tiles:
                assert tile.window.col_stop <= segment.window.col_stop
                assert tile.window.col >= segment.window.col


@given(
    st.integers(1, 5000),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.sampled_from([1, 256, 512]),
    st.sampled_from([1, 2, 4]),
)
def test_cores_make_whole_blocks(wanted: int, scale: int, block: int, multiple: int) -> None:
    core = fitting_core(wanted, scale, block, multiple)
    assert core >= wanted
    assert core * scale % block == core % multiple == 0
    assert core - wanted < max(block, multiple)


def test_a_grid_that_cannot_keep_its_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="not multiples of 2"):
        Grid(10, 10, 5, 0, 2)


def test_largest_core_respects_the_window_and_is_at_least_one_block() -> None:
    assert largest_core(300, 16, 4, 512) == 256
    assert largest_core(100, 40, 4, 512) == 128


def test_grown_boxes_stop_at_the_scene() -> None:
    assert Box(2, 3, 4, 5).grown(4, 9, 20) == Box(0, 0, 9, 12)
