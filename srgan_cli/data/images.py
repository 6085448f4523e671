"""Opening whatever `Data` points to: rasters, Sentinel-2 products, arrays, or the copy in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasterio.io import DatasetReader

from srgan_cli.data.arrays import SUFFIXES as ARRAY_SUFFIXES
from srgan_cli.data.arrays import open_array
from srgan_cli.data.rasters import open_raster
from srgan_cli.data.sentinel2 import open_product
from srgan_cli.data.sentinel2_files import is_product

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig


@dataclass(frozen=True)
class Reading:
    """How the files of a run become numbers; the same for all of them."""

    num_bands: int
    """`Model.in_bands`."""
    bands: tuple[int, ...] = ()
    """`Data.bands`, counted from 1; empty: the first `num_bands`."""
    band_names: tuple[str, ...] = ()
    """`Data.band_names`; they choose the bands of a Sentinel-2 product."""
    nodata: float | None = None
    """`Data.nodata`."""
    scale_offset: bool = False
    """`Data.apply_scale_offset`."""
    npz_key: str | None = None
    """Array of a npz file to prefer to its first one."""


def build_reading(config: RunConfig) -> Reading:
    """How the files of this run are read."""
    data = config.data
    return Reading(
        num_bands=config.model.in_bands,
        bands=data.bands,
        band_names=data.band_names,
        nodata=data.nodata,
        scale_offset=data.apply_scale_offset,
        npz_key="hr" if data.dataset_type == "ExampleDataset" else None,
    )


def open_image(path: str, reading: Reading) -> DatasetReader:
    """An open dataset, or what answers like one; call it inside a `gdal_env`.

    Raises:
        UnreadableError: The file cannot be opened.
        RefusedError: It does not hold what `reading` asks for.
    """
    if path.lower().endswith(ARRAY_SUFFIXES):
        return open_array(path, reading.num_bands, reading.npz_key)
    if is_product(path):
        return open_product(path, reading.band_names)
    return open_raster(path)


def wanted_bands(path: str, reading: Reading) -> tuple[int, ...]:
    """`Data.bands`, but none for a Sentinel-2 product: it is opened with the named bands alone."""
    return () if is_product(path) else reading.bands
