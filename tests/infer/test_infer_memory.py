"""Tiles are as large as is best, and no larger than the memory allows."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.infer.geometry import Grid
from srgan_cli.infer.memory import Memory
from srgan_cli.models import Generator, GeneratorSpec, build_generator


@cache
def generator(channels: int, scale: int, blocks: int = 1) -> Generator:
    spec = GeneratorSpec(
        model_type="SRResNet", block_type="res", in_bands=4, out_bands=4, scale=scale,
        n_channels=channels, n_blocks=blocks, large_kernel_size=9, small_kernel_size=3,
        growth_channels=32,
    )  # fmt: skip
    return build_generator(spec)


def memory(channels: int = 64, scale: int = 4, batch: int = 1, blocks: int = 1) -> Memory:
    return Memory(generator(channels, scale, blocks), torch.device("cpu"), batch)


def test_the_default_network_gets_large_tiles() -> None:
    assert memory(blocks=16).best_core_px((10980, 10980), 40, 16) >= 256
    assert memory().largest_window_px > 1.5 * memory().largest_input_px


@given(
    st.sampled_from([8, 16, 64, 128]),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 16),
    st.integers(0, 128),
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_a_core_is_a_multiple_and_fits(
    channels: int, scale: int, batch: int, halo: int, scene: tuple[int, int]
) -> None:
    found = memory(channels, scale, batch)
    core = found.best_core_px(scene, halo, 16)
    assert core >= 16
    assert core % 16 == 0
    window = min(core + 2 * halo, scene[0]), min(core + 2 * halo, scene[1])
    if core > 16:
        assert math.prod(window) <= (found.largest_window_px + 1) ** 2
        rows, cols = found.block_px(window, window)
        assert 1 <= rows <= window[0]
        assert 1 <= cols <= window[1]


@pytest.mark.parametrize("side", [700, 1024, 1100, 1500, 2048, 10980])
def test_no_small_rest_is_left_at_the_edge(side: int) -> None:
    core = memory(16).best_core_px((side, side), 8, 16)
    grid = Grid(side, side, core, 8)
    seen = grid.num_tiles * grid.window_height * grid.window_width
    assert seen <= 1.21 * side**2
    assert grid.num_strips == math.ceil(side / core)


def test_a_scene_that_fits_in_blocks_is_not_cut() -> None:
    """Enlarged at once it would take far more memory than the trunk does."""
    found = memory()
    side = found.largest_input_px * 2
    assert found.holds((side, side))
    assert max(found.block_px((side, side), (side, side))) < side
    assert not found.holds((side * 3, side * 3))


def test_a_sparse_scene_gets_tiles_that_leave_most_of_it_alone() -> None:
    full, half, thin = (
        memory(16).best_core_px((2048, 2048), 8, 16, share) for share in (1.0, 0.9, 0.1)
    )
    assert full == half == 512
    # A swath of a tenth: tiles of 512 would reach over a third of the scene.
    assert 16 <= thin <= 128
