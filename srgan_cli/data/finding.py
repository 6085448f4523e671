"""Paths of a configuration -> files; nothing is opened here."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from srgan_cli.data.sentinel2_files import is_metadata, is_product, looks_like_product
from srgan_cli.errors import RefusedError

WORKSHOP = ".srgan"
"""Ends the name of a folder in which an output is being made: what lies there is no image yet."""

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")
"""Of rasters that a folder is searched for."""

_ADDRESS = re.compile(r"/vsi[a-z0-9_]+/|[a-z][a-z0-9+.-]+://|[A-Z][A-Z0-9_]+:", re.DOTALL)


def is_address(entry: str) -> bool:
    """Whether GDAL, not the file system, knows the place: `/vsizip/...`, `s3://...`, `NETCDF:...`."""
    return _ADDRESS.match(entry) is not None


def join(base: str | None, entry: str) -> str:
    """`entry` seen from the folder or address `base`; addresses and absolute paths stay as they are."""
    if is_address(entry):
        return entry
    # Unlike Path.expanduser it leaves a user that does not exist alone.
    path = Path(os.path.expanduser(entry))
    if base is None or path.is_absolute():
        return str(path)
    if is_address(base):
        return f"{base.rstrip('/')}/{entry}"
    return str(Path(os.path.expanduser(base)) / path)


def find_files(
    base: str | None, given: Sequence[str], key: str, suffixes: Sequence[str] = SUFFIXES
) -> list[str]:
    """Images that files, folders, glob patterns and addresses stand for, without repetitions.

    A folder is searched for `suffixes` in either case and for Sentinel-2 products, its subfolders
    only where it holds none itself. Each entry's files are sorted; entries keep their order.
    Addresses are passed on to GDAL as they are.

    Raises:
        RefusedError: an entry stands for nothing.
    """
    found: dict[str, str] = {}
    for entry in given:
        place = join(base, entry)
        if not is_address(place):
            for path in _expand(Path(place), key, suffixes):
                found.setdefault(str(path.resolve()), str(path))
        elif set(place) & set("*?"):
            raise RefusedError(
                f"{key}: {place} is a pattern, which addresses cannot be", "list the files"
            )
        else:
            found.setdefault(place, place)
    return list(found.values())


def _expand(path: Path, key: str, suffixes: Sequence[str]) -> list[Path]:
    if path.is_file():
        # GDAL's way to name a Sentinel-2 product.
        return [path.parent if is_metadata(path.name) else path]
    if is_product(str(path)):
        return [path]
    if path.is_dir():
        return _search(path, key, suffixes)
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    images = [match for match in matches if is_image(match, suffixes)]
    if images:
        return images
    if matches:
        raise RefusedError(f"{key}: {path} matches {_kinds(matches)}", _readable(suffixes))
    raise RefusedError(
        f"{key}: there is no {path}"
        if path.is_absolute()
        else f"{key}: there is no {path} in {Path.cwd()}",
        "relative paths start from Data.root_dir, or from the current folder without it",
    )


def _search(folder: Path, key: str, suffixes: Sequence[str]) -> list[Path]:
    here = sorted(path for path in folder.iterdir() if is_image(path, suffixes))
    images = here or sorted(_below(folder, suffixes))
    if images:
        return images
    files = [path for path in folder.rglob("*") if path.is_file()]
    raise RefusedError(f"{key}: {folder} holds {_kinds(files)}", _readable(suffixes))


def _below(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Images of all subfolders; a Sentinel-2 product is one image and not looked into."""
    for parent, folders, files in os.walk(folder):
        products = [name for name in folders if looks_like_product(Path(name))]
        folders[:] = [
            name for name in folders if name not in products and not name.endswith(WORKSHOP)
        ]
        for name in (*products, *files):
            path = Path(parent, name)
            if is_image(path, suffixes):
                yield path


def is_image(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file found in a folder is one to read; nothing is opened."""
    # Names with a leading dot are files being written, or what macOS leaves on foreign disks.
    if path.name.startswith(".") or path.parent.name.endswith(WORKSHOP):
        return False
    return (path.suffix.lower() in suffixes and path.is_file()) or looks_like_product(path)


def _kinds(files: Sequence[Path]) -> str:
    counts = Counter(path.suffix.lower() or path.name for path in files)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(4))
    return f"no raster that this version reads, only {listed}" if listed else "no files"


def _readable(suffixes: Sequence[str]) -> str:
    return (
        f"this version reads {', '.join(suffixes)}; gdal_translate makes GeoTIFFs of other formats"
    )
