"""Which part of the LR raster an SR raster was made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.io import DatasetReader, MemoryFile
from rasterio.rpc import RPC
from rasterio.transform import Affine

from srgan_cli.diagnose.lr_place import Place, place_in_lr
from srgan_cli.errors import RefusedError
from srgan_cli.infer.metadata import scaled_gcp, scaled_rpc, scaled_transform

LR_SHAPE = (300, 400)
UNPLACED = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@contextmanager
def raster(
    shape: tuple[int, int], rpcs: RPC | None = None, **profile: Any
) -> Iterator[DatasetReader]:
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="uint8",
            SPARSE_OK=True, **profile,
        ) as out:  # fmt: skip
            if rpcs is not None:
                out.rpcs = rpcs
        with memory.open() as dataset:
            yield dataset


def grid_of(size: float, turn: float, left: int, top: int) -> Affine:
    """North up, turned by so many degrees."""
    cos, sin = size * math.cos(math.radians(turn)), size * math.sin(math.radians(turn))
    return Affine(cos, sin, left, sin, -cos, top)


def moved(grid: Affine, columns: float) -> Affine:
    """The grid, so many pixels further to the right."""
    return Affine(
        grid.a, grid.b, grid.c + columns * grid.a, grid.d, grid.e, grid.f + columns * grid.d
    )


grids = st.builds(
    grid_of,
    st.floats(0.1, 60),
    st.sampled_from([0.0, 12.5, 180.0]),
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**7),
)


@settings(max_examples=40, deadline=None)
@given(
    grid=grids,
    scale=st.sampled_from([2, 3, 4, 8]),
    row=st.integers(0, 280),
    col=st.integers(0, 380),
    shift=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_the_part_is_found_on_any_grid(
    grid: Affine, scale: int, row: int, col: int, shift: float
) -> None:
    ours = moved(scaled_transform(grid, scale, (row, col)), shift)
    with (
        raster(LR_SHAPE, crs="EPSG:32631", transform=grid) as lr,
        raster((20 * scale, 20 * scale), crs="EPSG:32631", transform=ours) as sr,
    ):
        if shift:
            with pytest.raises(RefusedError, match="does not lie on the pixel grid"):
                place_in_lr(sr, lr, scale, "sr.tif", "lr.tif")
        else:
            assert place_in_lr(sr, lr, scale, "sr.tif", "lr.tif") == Place(row, col, 20, 20)


@UNPLACED
def test_an_image_that_lies_nowhere_counts_in_pixels_of_its_input() -> None:
    ours = scaled_transform(Affine.identity(), 4, (30, 50))
    with raster(LR_SHAPE) as lr, raster((80, 40), transform=ours) as sr:
        assert place_in_lr(sr, lr, 4, "sr.tif", "lr.tif") == Place(30, 50, 20, 10)


@UNPLACED
def test_without_a_word_on_the_place_both_must_cover_the_same() -> None:
    with raster(LR_SHAPE) as lr, raster((1200, 1600)) as sr:
        assert place_in_lr(sr, lr, 4, "sr.tif", "lr.tif") == Place(0, 0, *LR_SHAPE)
    with (
        raster(LR_SHAPE) as lr,
        raster((1200, 800)) as sr,
        pytest.raises(
            RefusedError, match="are 1600 x 1200, and nothing says where in it"
        ) as caught,
    ):
        place_in_lr(sr, lr, 4, "sr.tif", "lr.tif")
    assert "of a part, give that part" in caught.value.hint


@UNPLACED
def test_control_points_tell_the_part() -> None:
    points = [
        GroundControlPoint(row, col, col * 1e-4, 40 - row * 1e-4)
        for row in (0.0, 300.0)
        for col in (0.0, 400.0)
    ]
    ours = [scaled_gcp(point, 4, (30, 50)) for point in points]
    others = [*ours[:3], scaled_gcp(points[3], 4, (30, 51))]
    with (
        raster(LR_SHAPE, crs="EPSG:4326", gcps=points) as lr,
        raster((80, 40), crs="EPSG:4326", gcps=ours) as sr,
        raster((80, 40), crs="EPSG:4326", gcps=others) as warped,
    ):
        assert place_in_lr(sr, lr, 4, "sr.tif", "lr.tif") == Place(30, 50, 20, 10)
        with pytest.raises(RefusedError, match="does not lie on the pixel grid"):
            place_in_lr(warped, lr, 4, "sr.tif", "lr.tif")


@UNPLACED
def test_rational_polynomials_tell_the_part() -> None:
    some = [1.0] + [0.0] * 19
    rpc = RPC(
        height_off=0.0, height_scale=1.0, lat_off=40.0, lat_scale=1.0, long_off=5.0, long_scale=1.0,
        line_off=150.0, line_scale=150.0, samp_off=200.0, samp_scale=200.0, line_num_coeff=some,
        line_den_coeff=some, samp_num_coeff=some, samp_den_coeff=some,
    )  # fmt: skip
    with raster(LR_SHAPE, rpc) as lr, raster((80, 40), scaled_rpc(rpc, 4, (30, 50))) as sr:
        assert place_in_lr(sr, lr, 4, "sr.tif", "lr.tif") == Place(30, 50, 20, 10)


@UNPLACED
def test_what_lies_elsewhere_is_refused_with_both_transforms() -> None:
    grid = Affine(10, 0, 500000, 0, -10, 4000000)
    pairs = {
        "another scale": scaled_transform(grid, 2),
        "another place": scaled_transform(grid, 4, (290, 0)),
        "before it": scaled_transform(grid, 4, (-1, 0)),
        "mirrored": Affine(2.5, 0, 500000, 0, 2.5, 4000000),
    }
    for what, ours in pairs.items():
        with (
            raster(LR_SHAPE, crs="EPSG:32631", transform=grid) as lr,
            raster((80, 40), transform=ours, crs="EPSG:32631") as sr,
            pytest.raises(RefusedError) as caught,
        ):
            place_in_lr(sr, lr, 4, "sr.tif", "lr.tif")
        assert "and [10, 0, 500000, 0, -10, 4000000]" in caught.value.message, what
        beyond = what in ("another place", "before it")
        assert ("reaches beyond" in caught.value.message) == beyond, what
        assert caught.value.hint.startswith("give the LR raster that it was made of")
