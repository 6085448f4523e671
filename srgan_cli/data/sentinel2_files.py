"""Where the files of a Sentinel-2 product lie: in a `.SAFE` folder or a zip, granule by granule.

Products since December 2016 hold one granule, the ones before up to dozens: `GRANULE/NAME` behind
the product's path is one of them. Source of the older names: ESA, "Sentinel-2 Products
Specification Document", S2-PDGS-TAS-DI-PSD, issue 13.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from srgan_cli.data.sentinel2_bands import damaged

_METADATA = re.compile(r"MTD_MSIL(?:1C|2A)\.xml|S2[A-D]_[A-Z]{4}_MTD_SAFL(?:1C|2A)(?:_.+)?\.xml")
"""Of a product; the second kind is the older one, of which sen2cor wrote USER and ESA OPER."""
_ZIP_NAME = re.compile(r"S2[A-D]_MSIL(?:1C|2A)_.*\.zip", re.IGNORECASE)
_GRANULE = re.compile(r"(?:(?P<product>.+)/)?GRANULE/(?P<granule>[^/]+)(?:/[^/]+\.xml)?/*")
_FIRST = 3

# RuntimeError: encrypted, or compressed by a method that Python does not know.
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, zlib.error, RuntimeError, ValueError)


class ProductFiles(NamedTuple):
    """What a product consists of."""

    metadata: list[bytes]
    """Contents of the metadata files of the product: one, as a rule."""
    prefix: str
    """What makes a path for GDAL of a name within the product."""
    granules: tuple[str, ...]
    """The ones that are there, in order."""


def is_metadata(name: str) -> bool:
    """Whether a file is called as the metadata of a product are."""
    return _METADATA.fullmatch(name) is not None


def is_product(path: str) -> bool:
    """Whether a path is a product, or a granule in one: a folder or zip that holds metadata of a product, or is called .SAFE."""
    return _holds_metadata(product_and_granule(path)[0])


def _holds_metadata(path: str) -> bool:
    place = Path(path)
    try:
        if place.is_dir():
            return place.suffix.lower() == ".safe" or any(map(is_metadata, _names(place)))
        if place.suffix.lower() != ".zip" or not place.is_file():
            return False
    except OSError:
        # Not readable, or no name for a file: whoever opens it tells.
        return False
    try:
        with zipfile.ZipFile(place) as archive:
            return _root(archive.namelist()) is not None
    except _ZIP_ERRORS:
        # One that is named like a product is a damaged product.
        return _ZIP_NAME.fullmatch(place.name) is not None


def looks_like_product(path: Path) -> bool:
    """Whether a name in a folder that is searched stands for a product; nothing is opened."""
    return path.suffix.lower() == ".safe" or _ZIP_NAME.fullmatch(path.name) is not None


def product_and_granule(path: str) -> tuple[str, str | None]:
    """The folder or zip of a product, and which of its granules a path names; other paths as they are."""
    found = _GRANULE.fullmatch(path)
    if found is None or not _holds_metadata(found["product"] or "."):
        return path, None
    return found["product"] or ".", found["granule"]


def granule_path(product: str, granule: str) -> str:
    """How a granule is named: the inverse of `product_and_granule`."""
    return f"{product.rstrip('/')}/GRANULE/{granule}"


def some_granules(granules: Iterable[str]) -> str:
    """The first few names, and how many there are, for messages."""
    names = list(granules)
    shown = ", ".join(names[:_FIRST])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > _FIRST else shown


def find_product_files(product: str) -> ProductFiles:
    """What lies in the folder or zip of a product.

    Raises:
        UnreadableError: It has no metadata, or cannot be read.
    """
    place = Path(product)
    return _in_folder(place) if place.is_dir() else _in_zip(place)


def _in_folder(place: Path) -> ProductFiles:
    try:
        texts = [(place / name).read_bytes() for name in _names(place) if is_metadata(name)]
        granules = place / "GRANULE"
        names = _names(granules) if granules.is_dir() else []
    except OSError as err:
        raise damaged(str(place), str(err)) from err
    if not texts:
        raise _without_metadata(place)
    return ProductFiles(texts, f"{place}/", tuple(name for name in names if _is_shown(name)))


def _in_zip(place: Path) -> ProductFiles:
    try:
        with zipfile.ZipFile(place) as archive:
            names = archive.namelist()
            root = _root(names)
            if root is None:
                raise _without_metadata(place)
            inside = [name[len(root) :] for name in names if name.startswith(root)]
            texts = [archive.read(root + name) for name in inside if is_metadata(name)]
    except _ZIP_ERRORS as err:
        raise damaged(str(place), str(err)) from err
    parts = (name.split("/") for name in inside)
    granules = {part[1] for part in parts if part[0] == "GRANULE" and len(part) > 2}
    # Braces delimit the archive, whatever its name ends in.
    prefix = f"/vsizip/{{{place}}}/{root}"
    return ProductFiles(texts, prefix, tuple(sorted(filter(_is_shown, granules))))


def _root(names: Iterable[str]) -> str | None:
    """The folder inside an archive that holds the metadata, with its slash; None without any."""
    for name in names:
        folder, _, last = name.rpartition("/")
        if is_metadata(last) and "/" not in folder:
            return f"{folder}/" if folder else ""
    return None


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def _is_shown(name: str) -> bool:
    return not name.startswith(".")


def _without_metadata(place: Path) -> Exception:
    return damaged(str(place), "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing")
