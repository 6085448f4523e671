"""Georeferenced scenes for a first run, made instead of downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from srgan_cli.data.landscape import draw_landscape
from srgan_cli.data.rasters import gdal_env
from srgan_cli.errors import SrganError
from srgan_cli.files import whole_file

BAND_NAMES = ("B04", "B03", "B02", "B08")
PIXEL_M = 2.5
"""Sentinel-2's 10 m at a scale of 4."""
ORIGIN = (420_000.0, 5_030_000.0)
"""Upper left corner of the first scene in EPSG:32631, in metres."""
TILE_PX = 256


def write_scenes(folder: Path, count: int, size_px: int, seed: int) -> list[Path]:
    """Write `scene_00.tif` ... and return their paths; see `make_scenes`."""
    return list(make_scenes(folder, count, size_px, seed))


def make_scenes(folder: Path, count: int, size_px: int, seed: int) -> Iterator[Path]:
    """Write `scene_00.tif` ..., yielding each path when the file is complete.

    Each has four bands of reflectance x 10000 (uint16), 2.5 m pixels in EPSG:32631, and its own
    ground. The same seed gives the same pixels.

    Raises:
        SrganError: a file cannot be written.
    """
    for index in range(count):
        path = folder / f"scene_{index:02d}.tif"
        rng = Generator(PCG64(SeedSequence([seed, index])))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, draw_landscape(size_px, rng), index)
        except (RasterioError, OSError) as err:
            raise SrganError(f"cannot write {path}: {err}", "choose another folder") from err
        yield path


def _write(path: Path, pixels: NDArray[np.uint16], index: int) -> None:
    size_px = pixels.shape[1]
    # A gap between the scenes, so that none shows the ground of another.
    west = ORIGIN[0] + index * (size_px + TILE_PX) * PIXEL_M
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(BAND_NAMES),
        "dtype": "uint16",
        "width": size_px,
        "height": size_px,
        "crs": "EPSG:32631",
        "transform": Affine(PIXEL_M, 0, west, 0, -PIXEL_M, ORIGIN[1]),
        "compress": "deflate",
        "predictor": 2,
        "tiled": True,
        "blockxsize": TILE_PX,
        "blockysize": TILE_PX,
        "photometric": "minisblack",
    }
    with (
        whole_file(path) as temporary,
        gdal_env(),
        rasterio.open(temporary, "w", **profile) as dataset,
    ):
        dataset.write(pixels)
        dataset.descriptions = BAND_NAMES
