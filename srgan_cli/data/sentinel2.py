"""Sentinel-2 products (L1C and L2A), as `.SAFE` folders or zipped, read without unpacking.

A product becomes a virtual raster of the wanted bands, in the wanted order, over its IMG_DATA
files. Its values are digital numbers with the radiometric offset added, so that reflectance is
value / 10000 for every processing baseline: since baseline 04.00 (25 January 2022) the metadata
give BOA_ADD_OFFSET (L2A) or RADIO_ADD_OFFSET (L1C) of -1000 per band; before, there is none. 0 is
nodata. Source: ESA, "Sentinel-2 Products Specification Document", S2-PDGS-TAS-DI-PSD, issue 14.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from rasterio.io import DatasetReader

from srgan_cli.data.sentinel2_bands import NODATA, BandFile, damaged, open_together
from srgan_cli.data.sentinel2_files import (
    find_product_files,
    granule_path,
    product_and_granule,
    some_granules,
)
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

_OLD_IMAGES = ("IMAGE_ID", "IMAGE_ID_2A")

_FACTS = ("PRODUCT_URI", "PROCESSING_BASELINE", "PRODUCT_TYPE", "PRODUCT_START_TIME")

QUANTIFICATION = 10_000
"""Digital numbers per unit of reflectance; the only value that products have."""


__all__ = [
    "BAND_IDS",
    "NODATA",
    "PIXEL_M",
    "QUANTIFICATION",
    "Product",
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


def open_product(path: str, band_names: Sequence[str]) -> DatasetReader:
    """The wanted bands as one dataset of int32; call it inside a `gdal_env`.

    Args:
        path: `.SAFE` folder or zip, or a granule in one.
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
    """The image files and offsets of a product of one granule, or of one granule of a product.

    Raises:
        UnreadableError: Its metadata are missing or damaged.
        RefusedError: It is of a kind that is not read, holds several granules and `path` names none
            of them, or has no granule of the name.
    """
    place, granule = product_and_granule(path)
    files = find_product_files(place)
    documents = [_parse(place, text) for text in files.metadata]
    listed = {name: each for document in documents for name, each in _listed(document).items()}
    chosen = listed[_choose_granule(place, granule, tuple(listed), files.granules)]
    _check_quantification(place, chosen.document)
    images = {}
    for name in chosen.images:
        found = _band_and_size(name)
        if found:
            images[found] = f"{files.prefix}{name}.jp2"
    native = {band: file for (band, size), file in images.items() if size == PIXEL_M[band]}
    offsets, facts = _offsets(place, chosen.document), _facts(chosen.document)
    return Product(native, images, offsets, facts)


class _Granule(NamedTuple):
    document: ElementTree.Element
    """The metadata that list it."""
    images: list[str]
    """Within the product, without their ending."""


def _listed(document: ElementTree.Element) -> dict[str, _Granule]:
    """The granules of a product by the names of their folders."""
    listed: dict[str, _Granule] = {}
    for node in document.iter():
        name = node.get("granuleIdentifier", "")
        for image in _texts(node, ("IMAGE_FILE", *_OLD_IMAGES)):
            place = image if "/" in image else f"GRANULE/{name}/IMG_DATA/{_subfolder(image)}"
            granule = place.split("/")[1] if place.startswith("GRANULE/") else ""
            listed.setdefault(granule, _Granule(document, [])).images.append(place)
    return listed


def _subfolder(image: str) -> str:
    """Where an image lies that old metadata name without its folder: those of L2A by pixel size."""
    found = re.search(r"_(\d\dm)$", image)
    return f"R{found[1]}/{image}" if found else image


def _choose_granule(
    path: str, wanted: str | None, listed: Sequence[str], there: Sequence[str]
) -> str:
    if not listed:
        raise damaged(path, "its metadata name no image")
    if wanted is None and len(listed) == 1:
        return listed[0]
    # Whoever wanted one tile may have downloaded no other.
    present = [name for name in there if name in listed]
    if wanted in present or (wanted is None and len(present) == 1):
        return wanted or present[0]
    if wanted in there:
        raise damaged(path, f"its metadata do not list the granule {wanted}")
    if not present:
        raise damaged(path, f"none of the {len(listed)} granules of its metadata is there")
    # A tile's name, T32TQM, is part of the granule's.
    near = next((name for name in present if (wanted or "") in name), present[0])
    hint = f"choose one of them: {granule_path(path, near)}"
    if wanted is not None:
        raise RefusedError(f"{path} has no granule {wanted}, only {some_granules(present)}", hint)
    raise RefusedError(
        f"{path} holds {len(present)} granules, as products before December 2016 do: "
        f"{some_granules(present)}",
        hint,
    )


def _parse(path: str, text: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, LookupError, ValueError) as err:  # also unknown encodings
        raise damaged(path, f"its metadata are no XML ({err})") from err


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


def _band_and_size(name: str) -> tuple[str, int] | None:
    """The band of an image file and its pixel size in metres."""
    found = re.search(r"_(B\d[\dA])(?:_(\d\d)m)?$", name)
    if not found or found[1] not in PIXEL_M:
        return None
    return found[1], int(found[2] or PIXEL_M[found[1]])


def _facts(document: ElementTree.Element) -> dict[str, str]:
    found = {name: _all(document, name) for name in _FACTS}
    texts = {name: (nodes[0].text or "").strip() for name, nodes in found.items() if nodes}
    return {name: text for name, text in texts.items() if text}


def _all(document: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Elements by name, in whatever namespace."""
    return [node for node in document.iter() if _name(node) == name]


def _texts(node: ElementTree.Element, names: Iterable[str]) -> list[str]:
    """What the children of these names say, where they say something."""
    texts = ((each.text or "").strip() for each in node if _name(each) in names)
    return [text for text in texts if text]


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


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
