"""Tiles are as large as the memory allows, and no larger."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.infer.memory import Memory
from srgan_cli.models import GeneratorSpec


def memory(channels: int = 64, scale: int = 4, batch: int = 1) -> Memory:
    spec = GeneratorSpec(
        model_type="SRResNet", block_type="res", in_bands=4, out_bands=4, scale=scale,
        n_channels=channels, n_blocks=16, large_kernel_size=9, small_kernel_size=3,
        growth_channels=32,
    )  # fmt: skip
    return Memory(spec, torch.device("cpu"), batch)


def test_the_default_network_gets_large_tiles() -> None:
    assert 224 <= memory().largest_core_px((10980, 10980), 40, 3, 16) <= 288
    assert memory().largest_window_px > 2 * memory().largest_input_px


@given(
    st.sampled_from([8, 16, 64, 128]),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 16),
    st.integers(0, 128),
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_a_core_is_a_multiple_and_smaller_with_less_memory(
    channels: int, scale: int, batch: int, halo: int, scene: tuple[int, int]
) -> None:
    margin = min(halo, 4)
    core = memory(channels, scale, batch).largest_core_px(scene, halo, margin, 16)
    assert core >= 16
    assert core % 16 == 0
    if min(scene) > core + 2 * halo:
        doubled = memory(channels, scale, 2 * batch).largest_core_px(scene, halo, margin, 16)
        assert doubled <= core


def test_a_window_across_the_scene_counts_as_enlarged_as_a_whole() -> None:
    """Else a scene a little larger than the core would be enlarged in one piece."""
    found = memory()
    limit = found.largest_input_px
    core = found.largest_core_px((limit + 60, limit + 60), 128, 3, 16)
    assert core + 2 * 128 < limit + 60
