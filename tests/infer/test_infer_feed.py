"""What is read at once does not grow with the scene, and is decoded once along a strip."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data.rasters import gdal_env
from srgan_cli.infer.feed import SEGMENT_BYTES, cache_bytes, segment_px
from srgan_cli.infer.geometry import Box, Grid
from srgan_cli.infer.source import Source

_MIB = 2**20


@given(st.integers(1, 12), st.integers(2000, 200_000), st.sampled_from([128, 256, 448]))
def test_segments_do_not_grow_with_the_scene(bands: int, width: int, core: int) -> None:
    grid = Grid(5000, width, core, 16)
    most = segment_px(grid, bands)
    for segment in grid.strip(1, most):
        box = segment.window
        assert box.width <= max(most, grid.window_width)
        single = grid.window_height * grid.window_width * bands * 4
        assert box.width * box.height * bands * 4 <= max(SEGMENT_BYTES, single)


def cached(path: Path, segment: Box, **layout: object) -> int:
    """Of a raster of 4 bands that exists in name only."""
    values = {"driver": "GTiff", "count": 4, "dtype": "uint16", "SPARSE_OK": True, **layout}
    with rasterio.open(path, "w", **values):
        pass
    with gdal_env(), Source(str(path)) as source:
        return cache_bytes(source, segment)


@pytest.mark.filterwarnings("ignore")
def test_the_cache_holds_the_blocks_of_a_strip_of_windows(tmp_path: Path) -> None:
    segment = Box(0, 0, 268, 1900)
    size = {"height": 2000, "width": 64_000}
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    small = cached(tmp_path / "tiled.tif", segment, **size, **tiled)
    wide = cached(tmp_path / "strips.tif", segment, **size, tiled=False, blockysize=1)
    assert small == 48 * _MIB
    # Every segment of a strip needs the whole rows.
    assert 268 * 64_000 * 8 <= wide < 280 * 64_000 * 8
    # There is an end to it.
    tall = Box(0, 0, 2000, 1900)
    assert cached(tmp_path / "tall.tif", tall, **size, tiled=False) == 256 * _MIB
