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

from rasterio.io import DatasetReader

from srgan_cli.data.sentinel2_bands import NODATA, BandFile, damaged, open_together
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

_FACTS = ("PRODUCT_URI", "PROCESSING_BASELINE", "PRODUCT_TYPE", "PRODUCT_START_TIME")

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance; the only value that products have."""

_METADATA = re.compile(r"(?:[^/]+/)?MTD_MSIL(?:1C|2A)\.xml")
_OLD_METADATA = re.compile(r"(?:[^/]+/)?S2[A-D]_OPER_MTD_SAFL(?:1C|2A)_.+\.xml")
_ZIP_NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_.*\.zip", re.IGNORECASE)

# RuntimeError: encrypted, or compressed by a method that Python does not know.
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError, ValueError)


__all__ = [
    "BAND_IDS",
    "NODATA",
    "PIXEL_M",
    "QUANTIFICATION",
    "Product",
    "is_product",
    "looks_like_product",
    "normal_name",
    "open_product",
    "read_product",
]


class Product(NamedTuple):
    """What the metadata of a product say."""

    files: dict[str, str]
    """Band at its native pixel size -> path for GDAL."""
    images: dict[tuple[str, int], str]
    """Band and pixel size in metres -> path for GDAL; L2A has bands at coarser sizes too."""
    offsets: dict[str, int]
    """Band -> number to add to its digital numbers."""
    facts: dict[str, str]
    """Name, baseline, sensing time and the like, by the names of the metadata."""


def is_product(path: str) -> bool:
    """Whether a path is a product: a folder or zip that holds MTD_MSIL1C.xml or MTD_MSIL2A.xml, or is called .SAFE."""
    place = Path(path)
    if place.is_dir():
        return place.suffix.lower() == ".safe" or any(place.glob("MTD_MSIL*.xml"))
    if place.suffix.lower() != ".zip" or not place.is_file():
        return False
    try:
        with zipfile.ZipFile(place) as archive:
            names = archive.namelist()
            return any(_METADATA.fullmatch(name) or _OLD_METADATA.fullmatch(name) for name in names)
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
    parts = [BandFile(b, product.files[b], product.offsets.get(b, 0)) for b in bands]
    return open_together(path, parts, with_offset=True)


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
        raise damaged(path, f"its metadata are no XML ({err})") from err
    names = [(node.text or "").strip() for node in _all(document, "IMAGE_FILE")]
    if not names and _all(document, "IMAGE_ID"):
        raise _old_format(path)
    if len({name.split("/")[1] for name in names if "/" in name}) > 1:
        raise RefusedError(
            f"{path} holds several granules; products with one granule are read",
            "download the reprocessed product (collection 1)",
        )
    _check_quantification(path, document)
    images = {}
    for name in names:
        found = _band_and_size(name)
        if found:
            images[found] = f"{prefix}{root}{name}.jp2"
    files = {band: file for (band, size), file in images.items() if size == PIXEL_M[band]}
    return Product(files, images, _offsets(path, document), _facts(document))


def _old_format(path: str) -> RefusedError:
    return RefusedError(
        f"{path} is in the format before December 2016, with many granules",
        "download the reprocessed product (collection 1), which has one granule; or make a raster "
        "of one granule's bands: "
        "gdalbuildvrt -separate T32TQM.vrt GRANULE/*_T32TQM_*/IMG_DATA/*_B0[2348].jp2",
    )


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
        old = (each.name for each in place.glob("*_MTD_SAFL*.xml"))
        if not found and any(map(_OLD_METADATA.fullmatch, old)):
            raise _old_format(path)
        if not found:
            raise damaged(path, "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing")
        try:
            return found[0].read_bytes(), "", f"{place}/"
        except OSError as err:
            raise damaged(path, str(err)) from err
    try:
        with zipfile.ZipFile(place) as archive:
            names = [name for name in archive.namelist() if _METADATA.fullmatch(name)]
            if not names and any(map(_OLD_METADATA.fullmatch, archive.namelist())):
                raise _old_format(path)
            if not names:
                raise damaged(path, "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing")
            text = archive.read(names[0])
    except _ZIP_ERRORS as err:
        raise damaged(path, str(err)) from err
    # Braces delimit the archive, whatever its name ends in.
    return text, names[0][: names[0].rfind("/") + 1], f"/vsizip/{{{place}}}/"


def _band_and_size(name: str) -> tuple[str, int] | None:
    """The band of an image file and its pixel size in metres."""
    found = re.search(r"_(B\d[\dA])(?:_(\d\d)m)?$", name)
    if not found or found[1] not in PIXEL_M:
        return None
    return found[1], int(found[2] or PIXEL_M[found[1]])


def _facts(document: ElementTree.Element) -> dict[str, str]:
    found = {name: _all(document, name) for name in _FACTS}
    return {name: (nodes[0].text or "").strip() for name, nodes in found.items() if nodes}


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
                raise damaged(path, f"{name} has the unknown band_id {band!r}")
            offsets[BAND_IDS[int(band)]] = _number(path, node)
    return offsets


def _number(path: str, node: ElementTree.Element) -> int:
    try:
        return round(float(node.text or ""))
    except ValueError:
        name = node.tag.rpartition("}")[2]
        raise damaged(path, f"{name} is {node.text!r}, not a number") from None
