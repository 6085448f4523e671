"""Opening INPUT: whatever GDAL opens, and Sentinel-2 products by the bands that the weights want."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import rasterio
from rasterio.io import DatasetReader

from srgan_cli.data.finding import is_address
from srgan_cli.data.radiometry import PerBand, Radiometry
from srgan_cli.data.rasters import UnreadableError, open_raster
from srgan_cli.data.sentinel2 import PIXEL_M, Product, normal_name, read_product
from srgan_cli.data.sentinel2_bands import REFLECTANCE, BandFile, open_together
from srgan_cli.data.sentinel2_files import (
    granule_path,
    is_metadata,
    is_product,
    product_and_granule,
)
from srgan_cli.errors import RefusedError
from srgan_cli.infer.archive import refuse_rotten

_SUBDATASET = re.compile(r"SENTINEL2_L(?:1C|2A):(?P<place>.+):(?P<size>[126]0)m:EPSG_\d+")
_IN_ZIP = re.compile(
    r"/vsizip/\{?(?P<zip>.+?\.zip)\}?(?:/[^/]+\.SAFE)?"
    r"(?:/GRANULE/(?P<granule>[^/]+))?(?:/(?P<file>[^/]+\.xml)|/)?",
    re.IGNORECASE,
)
_COLOURS = {"red": "B04", "green": "B03", "blue": "B02", "nir": "B08"}
_UNIT_REFLECTANCE = 10.0
"""Weights that know brighter values do not speak of reflectance from 0 to 1."""
_REMOTE = {
    # Looks for sidecars by name instead of listing the folder, which the server may not allow.
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "VSI_CACHE": "TRUE",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
}


@dataclass(frozen=True)
class Wanted:
    """What chooses the bands of a Sentinel-2 product."""

    names: tuple[str, ...] = ()
    """Of the weights, in network order."""
    num_bands: int = 0
    pixel_m: tuple[float, ...] = ()
    """Pixel sizes that the weights were trained on; they decide where the names do not."""
    numbered: bool = False
    """Whether `--bidx` chooses among all bands of one pixel size."""


class Opened(NamedTuple):
    """A dataset, and how its stored values become the ones that products are trained on."""

    dataset: DatasetReader
    offsets: tuple[int, ...] | None
    """Of every band of a Sentinel-2 product, in digital numbers; None for other rasters."""


def remote_settings(path: str) -> dict[str, str]:
    """GDAL settings for opening over the network, kept while open; those of the environment win."""
    if not is_address(path) or path.startswith(("/vsizip", "/vsimem", "/vsitar", "/vsigzip")):
        return {}
    return {name: value for name, value in _REMOTE.items() if name not in os.environ}


def open_input(path: str, wanted: Wanted) -> Opened:
    """The dataset of INPUT; call it inside a `gdal_env`.

    A product (its folder, its zip, a granule in either, its MTD_MSIL*.xml, or one of GDAL's
    subdatasets of 10, 20 or 60 m) is opened with digital numbers as they are stored, nodata 0 and tags that give reflectance.

    Raises:
        RefusedError: It is missing, cannot be opened, or does not have the bands that are wanted,
            or lies in an archive and is damaged.
    """
    opened = _open(path, wanted)
    try:
        refuse_rotten(path, opened.dataset.files)
    except RefusedError:
        opened.dataset.close()
        raise
    return opened


def _open(path: str, wanted: Wanted) -> Opened:
    found = _SUBDATASET.fullmatch(path)
    if found:
        place = _product_of(found["place"])
        return _open_product(place, wanted, int(found["size"]))
    place = _product_of(path)
    if not is_address(place):
        _refuse_absent(product_and_granule(place)[0])
        if is_product(place):
            return _open_product(place, wanted, None)
    if not is_address(path) and Path(path).is_dir():
        return Opened(_open_folder(path), None)
    return Opened(_open_other(path), None)


def _open_folder(path: str) -> DatasetReader:
    """Zarr and a few other formats are folders."""
    try:
        return open_raster(path)
    except UnreadableError as err:
        raise RefusedError(
            f"{path}: a folder, not a raster",
            "give a file that `gdalinfo` can read, or a folder of many with --manifest",
        ) from err


def _refuse_absent(path: str) -> None:
    if not path:
        raise RefusedError("INPUT is an empty name", "give the path of a raster")
    if path.lstrip().startswith("<"):
        # The text of a VRT.
        return
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        # With a colon it may be a name that only GDAL knows.
        if ":" not in path:
            raise RefusedError(f"{path}: no such file", "check the path of INPUT") from None
        return
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else str(err)
        raise RefusedError(f"{path}: cannot be read: {why}", "check the path of INPUT") from err
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise RefusedError(
            f"{path}: a pipe or device, where GDAL needs a file to seek in",
            "write it to a file first",
        )


def _product_of(path: str) -> str:
    """A product, or a granule in one, of which GDAL names the metadata file or the place in the zip."""
    zipped = _IN_ZIP.fullmatch(path)
    if zipped and Path(zipped["zip"]).is_file() and is_product(zipped["zip"]):
        product, granule, file = zipped["zip"], zipped["granule"], zipped["file"]
        if granule:
            return granule_path(product, granule)
        return product if file is None or is_metadata(file) else path
    place = Path(path)
    return str(place.parent) if is_metadata(place.name) else path


def _open_other(path: str) -> DatasetReader:
    if path.lower().endswith(".zip") and not is_address(path):
        return _open_zip(path)
    with rasterio.Env(**remote_settings(path)):
        return open_raster(path)


def _open_zip(path: str) -> DatasetReader:
    """GDAL opens an archive that holds one raster; of others it can only name the content."""
    try:
        return open_raster(f"/vsizip/{{{path}}}")
    except UnreadableError as err:
        raise RefusedError(
            f"{path}: an archive that is no Sentinel-2 product and holds no single raster",
            f"name the file inside: /vsizip/{path}/NAME.tif",
        ) from err


def _open_product(path: str, wanted: Wanted, size: int | None) -> Opened:
    if is_address(path):
        raise RefusedError(
            f"{path}: a Sentinel-2 product that is not on this machine",
            "download it; neither folder nor zip needs to be unpacked or converted",
        )
    product = read_product(path)
    names, size = _choose(path, product, wanted, size)
    missing = [name for name in names if (name, size) not in product.images]
    if missing or not names:
        offered = ", ".join(f"{band} {pixel} m" for band, pixel in product.images)
        raise RefusedError(
            f"{path} has no {', '.join(missing) or 'band'} at {size} m, only {offered or 'no band'}",
            "use weights for the bands it has, or the L2A product, which has more at 20 m",
        )
    offsets = tuple(product.offsets.get(name, 0) for name in names)
    files = [
        BandFile(name, product.images[name, size], offset)
        for name, offset in zip(names, offsets, strict=True)
    ]
    return Opened(open_together(path, files, with_offset=False, tags=product.facts), offsets)


def _choose(
    path: str, product: Product, wanted: Wanted, size: int | None
) -> tuple[tuple[str, ...], int]:
    """Bands in order and their pixel size."""
    names = tuple(_band_name(name) for name in wanted.names)
    known = bool(names) and all(name in PIXEL_M for name in names)
    if known and not wanted.numbered:
        # ESA's own 20 m versions of 10 m bands are what a network for both was trained on.
        return names, size or max(PIXEL_M[name] for name in names)
    size = size or _trained_size(wanted)
    offered = tuple(
        band for band in PIXEL_M if PIXEL_M[band] == size and (band, size) in product.images
    )
    if not wanted.numbered and len(offered) != 1:
        listed = ", ".join(f"{i} {name}" for i, name in enumerate(offered, start=1))
        raise RefusedError(
            f"{path}: the weights do not name Sentinel-2 bands ({', '.join(wanted.names) or 'none'}), "
            f"and the product has {listed or 'none'} at {size} m",
            f"say which ones, in network order: --bidx {','.join(['N'] * wanted.num_bands)}",
        )
    return offered, size


def _band_name(name: str) -> str:
    return _COLOURS.get(name.strip().casefold()) or normal_name(name)


def _trained_size(wanted: Wanted) -> int:
    for pixel_m in wanted.pixel_m:
        for size in (10, 20, 60):
            if abs(pixel_m - size) < 0.05 * size:
                return size
    return 10


def for_product(radiometry: Radiometry, offsets: tuple[int, ...]) -> Radiometry:
    """The radiometry for the digital numbers of a product's chosen bands.

    Weights know values with the offset added, as training reads products; those whose values are
    reflectances from 0 to 1 get them.
    """
    usual = _largest(radiometry.usual_max)
    if usual is not None and usual <= _UNIT_REFLECTANCE:
        scales = [REFLECTANCE] * len(offsets)
        return radiometry.of_stored(scales, [offset / 10_000 for offset in offsets])
    if not any(offsets):
        return radiometry
    return radiometry.of_stored([1.0] * len(offsets), offsets)


def _largest(value: PerBand | None) -> float | None:
    return max(value) if isinstance(value, tuple) else value
