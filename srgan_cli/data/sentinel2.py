"""Sentinel-2 products (L1C and L2A), as `.SAFE` folders or zipped, read without unpacking.

A product becomes a virtual raster of the wanted bands, in the wanted order, over its IMG_DATA
files. Its values are digital numbers with the radiometric offset added, so that reflectance is
value / 10000 for every processing baseline: since baseline 04.00 (25 January 2022) the metadata
give BOA_ADD_OFFSET (L2A) or RADIO_ADD_OFFSET (L1C) of -1000 per band; before, there is none. 0 is
nodata. Source: ESA, "Sentinel-2 Products Specification Document", S2-PDGS-TAS-DI-PSD, issue 14.9.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from srgan_cli.data.rasters import UnreadableError, name_dataset, open_raster, reason
from srgan_cli.errors import RefusedError

PIXEL_M = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
"""Native pixel size of each band, in metres."""

BAND_IDS = (
    "B01",
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B8A",
    "B09",
    "B10",
    "B11",
    "B12",
)
"""By the band_id of the metadata."""

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance; the only value that products have."""

NODATA = -32768
"""Of the virtual raster: 0 in the product, which an offset would make -1000."""

_METADATA = re.compile(r"(?:[^/]+/)?MTD_MSIL(?:1C|2A)\.xml")
_ZIP_NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_.*\.zip", re.IGNORECASE)

# RuntimeError: encrypted, or compressed by a method that Python does not know.
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError, ValueError)


class Product(NamedTuple):
    """What the metadata of a product say."""

    files: dict[str, str]
    """Band at its native pixel size -> path for GDAL."""
    offsets: dict[str, int]
    """Band -> number to add to its digital numbers."""


def is_product(path: str) -> bool:
    """Whether a path is a product: a folder or zip that holds MTD_MSIL1C.xml or MTD_MSIL2A.xml, or is called .SAFE."""
    place = Path(path)
    if place.is_dir():
        return place.suffix.lower() == ".safe" or any(place.glob("MTD_MSIL*.xml"))
    if place.suffix.lower() != ".zip" or not place.is_file():
        return False
    try:
        with zipfile.ZipFile(place) as archive:
            return any(_METADATA.fullmatch(name) for name in archive.namelist())
    except _ZIP_ERRORS:
        # One that is named like a product is a damaged product.
        return _ZIP_NAME.fullmatch(place.name) is not None


def looks_like_product(path: Path) -> bool:
    """Whether a name in a folder that is searched stands for a product; nothing is opened."""
    return path.suffix.lower() == ".safe" or _ZIP_NAME.fullmatch(path.name) is not None


def open_product(path: str, band_names: Sequence[str]) -> DatasetReader:
    """The wanted bands as one dataset of int32; call it inside a `gdal_env`.

    Args:
        path: `.SAFE` folder or zip.
        band_names: `Data.band_names`, for example B04, B03, B02, B08.

    Raises:
        UnreadableError: The product is incomplete or damaged.
        RefusedError: The bands are not given, unknown, or of different pixel sizes.
    """
    bands = _choose(path, band_names)
    product = read_product(path)
    missing = [band for band in bands if band not in product.files]
    if missing:
        raise RefusedError(
            f"{path} has no {', '.join(missing)} at {PIXEL_M[missing[0]]} m, "
            f"only {', '.join(product.files) or 'no band'}",
            "choose other bands with Data.band_names, or take it out of the list",
        )
    text = _virtual_raster(path, [(b, product.files[b], product.offsets.get(b, 0)) for b in bands])
    try:
        return name_dataset(rasterio.open(text), path)
    except RasterioError as err:
        raise _damaged(path, reason(err)) from err


def read_product(path: str) -> Product:
    """The image files and offsets of a product.

    Raises:
        UnreadableError: Its metadata are missing or damaged.
        RefusedError: It is of a kind that is not read.
    """
    text, root, prefix = _metadata(path)
    try:
        document = ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError, ValueError) as err:  # also unknown encodings
        raise _damaged(path, f"its metadata are no XML ({err})") from err
    names = [(node.text or "").strip() for node in _all(document, "IMAGE_FILE")]
    if not names and _all(document, "IMAGE_ID"):
        raise RefusedError(
            f"{path} is in the format before December 2016, with many granules",
            "download the reprocessed product (collection 1), which has one granule",
        )
    if len({name.split("/")[1] for name in names if "/" in name}) > 1:
        raise RefusedError(
            f"{path} holds several granules; products with one granule are read",
            "download the reprocessed product (collection 1)",
        )
    _check_quantification(path, document)
    files = {}
    for name in names:
        band = _native_band(name)
        if band:
            files[band] = f"{prefix}{root}{name}.jp2"
    return Product(files, _offsets(path, document))


def normal_name(name: str) -> str:
    """B4, b04 and B04 are one band, as are B8a and B8A."""
    return re.sub(r"^B(?=[1-9]$)", "B0", name.strip().upper())


def _choose(path: str, band_names: Sequence[str]) -> list[str]:
    if not band_names:
        raise RefusedError(
            f"{path} is a Sentinel-2 product, and Data.band_names does not say which of its bands to read",
            "set Data.band_names, for example [B04, B03, B02, B08] (10 m) "
            "or [B05, B06, B07, B8A, B11, B12] (20 m)",
        )
    bands = [normal_name(name) for name in band_names]
    unknown = [given for given, band in zip(band_names, bands, strict=True) if band not in PIXEL_M]
    if unknown:
        raise RefusedError(
            f"{path} cannot be read: Sentinel-2 has no band {unknown[0]}, which Data.band_names asks for",
            f"its bands are {', '.join(PIXEL_M)}",
        )
    sizes = {PIXEL_M[band] for band in bands}
    if len(sizes) > 1:
        listed = ", ".join(f"{band} {PIXEL_M[band]} m" for band in bands)
        raise RefusedError(
            f"{path} cannot be read: the bands of Data.band_names differ in pixel size ({listed}), and "
            "resampling some of them would teach the network the resampling",
            "choose bands of one size: " + "; ".join(_of_size(size) for size in sorted(sizes)),
        )
    return bands


def _of_size(size: int) -> str:
    return f"{', '.join(band for band, pixel in PIXEL_M.items() if pixel == size)} at {size} m"


def _metadata(path: str) -> tuple[bytes, str, str]:
    """Content of the product's metadata file, its folder inside the archive, and GDAL's prefix."""
    place = Path(path)
    if place.is_dir():
        found = sorted(place.glob("MTD_MSIL*.xml"))
        if not found:
            raise _damaged(path, "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing")
        try:
            return found[0].read_bytes(), "", f"{place}/"
        except OSError as err:
            raise _damaged(path, str(err)) from err
    try:
        with zipfile.ZipFile(place) as archive:
            names = [name for name in archive.namelist() if _METADATA.fullmatch(name)]
            if not names:
                raise _damaged(path, "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing")
            text = archive.read(names[0])
    except _ZIP_ERRORS as err:
        raise _damaged(path, str(err)) from err
    # Braces delimit the archive, whatever its name ends in.
    return text, names[0][: names[0].rfind("/") + 1], f"/vsizip/{{{place}}}/"


def _native_band(name: str) -> str | None:
    """The band of an image file, where the file has the band's native pixel size."""
    found = re.search(r"_(B\d[\dA])(?:_(\d\d)m)?$", name)
    if not found or found[1] not in PIXEL_M:
        return None
    native = found[2] is None or int(found[2]) == PIXEL_M[found[1]]
    return found[1] if native else None


def _all(document: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Elements by name, in whatever namespace."""
    return [node for node in document.iter() if node.tag.rpartition("}")[2] == name]


def _check_quantification(path: str, document: ElementTree.Element) -> None:
    for name in (
        "QUANTIFICATION_VALUE",
        "BOA_QUANTIFICATION_VALUE",
        "L2A_BOA_QUANTIFICATION_VALUE",
    ):
        for node in _all(document, name):
            if _number(path, node) != QUANTIFICATION:
                raise RefusedError(
                    f"{path} has a {name} of {(node.text or '').strip()}; Sentinel-2 has {QUANTIFICATION}",
                    "export its bands as GeoTIFFs of reflectance x 10000",
                )


def _offsets(path: str, document: ElementTree.Element) -> dict[str, int]:
    offsets = {}
    for name in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        for node in _all(document, name):
            band = node.get("band_id", "")
            if not band.isdecimal() or int(band) >= len(BAND_IDS):
                raise _damaged(path, f"{name} has the unknown band_id {band!r}")
            offsets[BAND_IDS[int(band)]] = _number(path, node)
    return offsets


def _number(path: str, node: ElementTree.Element) -> int:
    try:
        return round(float(node.text or ""))
    except ValueError:
        name = node.tag.rpartition("}")[2]
        raise _damaged(path, f"{name} is {node.text!r}, not a number") from None


def _virtual_raster(path: str, bands: Sequence[tuple[str, str, int]]) -> str:
    with _open_band(path, bands[0][1]) as first:
        height, width = first.shape
        block = first.block_shapes[0]
        crs = first.crs.to_wkt() if first.crs else ""
        transform = first.transform.to_gdal()
    parts = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{escape(crs)}</SRS>',
        f"<GeoTransform>{', '.join(repr(float(value)) for value in transform)}</GeoTransform>",
    ]
    for number, (band, file, offset) in enumerate(bands, start=1):
        with _open_band(path, file) as dataset:
            if dataset.shape != (height, width):
                raise _damaged(
                    path, f"{band} is {dataset.width}x{dataset.height}, not {width}x{height}"
                )
        parts.append(
            f'<VRTRasterBand dataType="Int32" band="{number}" '
            f'blockXSize="{block[1]}" blockYSize="{block[0]}"><Description>{band}</Description>'
            f"<NoDataValue>{NODATA}</NoDataValue><ComplexSource>"
            f'<SourceFilename relativeToVRT="0">{escape(file)}</SourceFilename>'
            f"<SourceBand>1</SourceBand><ScaleOffset>{offset}</ScaleOffset>"
            "<ScaleRatio>1</ScaleRatio><NODATA>0</NODATA></ComplexSource></VRTRasterBand>"
        )
    return "".join((*parts, "</VRTDataset>"))


def _open_band(path: str, file: str) -> DatasetReader:
    try:
        return open_raster(file)
    except UnreadableError as err:
        raise _damaged(path, err.message) from err


def _damaged(path: str, why: str) -> UnreadableError:
    return UnreadableError(
        path,
        f"cannot open {path}: {why}",
        "the product is damaged or incomplete; download it again or take it out of the list",
    )
