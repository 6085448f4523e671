"""Where an output goes: may it be written there, and is there room."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from srgan_cli.errors import RefusedError
from srgan_cli.files import sync_folder
from srgan_cli.infer.source import Source

_VIRTUAL = re.compile(r"(/vsi\w+/(\d+_\d+,)?)+")
"""GDAL's file systems, of which `/vsisubfile/` says where in a file another one begins."""
_LONGEST_NAME = 255 - len("..status.4194304.tmp.json")
"""Bytes; the files beside an output have longer names, and file systems take 255."""


def written_through(path: Path) -> Path:
    """The file that a write to `path` makes: what a symbolic link leads to, as `cp` and GDAL have it.

    The output is made beside that file and renamed to it, so the link stays what it is.

    Raises:
        RefusedError: The link leads back to itself.
    """
    try:
        if not path.is_symlink():
            return path
        target = Path(os.path.realpath(path))
    except OSError:
        # `refuse_output` tells why it cannot be looked at.
        return path
    if target.is_symlink():
        raise RefusedError(
            f"{path}: a symbolic link that leads back to itself", "choose another OUTPUT"
        )
    return target


def refuse_name(path: Path) -> None:
    """Refuse a name under which no file, or none beside it, can be made."""
    try:
        length = len(path.name.encode())
    except UnicodeEncodeError as err:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise RefusedError(f"{shown}: a name that is not UTF-8", "choose another OUTPUT") from err
    if length > _LONGEST_NAME:
        raise RefusedError(
            f"{path}: a name of {length} bytes, at most {_LONGEST_NAME} leave room for those of "
            "the files beside it",
            "choose a shorter one",
        )


def refuse_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, is no file, or has no folder to lie in."""
    refuse_name(path)
    try:
        path.exists()
    except OSError as err:
        raise RefusedError(f"{path}: {err.strerror}", "choose another OUTPUT") from err
    if path.is_dir():
        raise RefusedError(f"{path}: a folder", "give the name of the output file")
    if path.exists() and not path.is_file():
        raise RefusedError(f"{path}: a pipe or device, not a file", "choose another OUTPUT")
    if path.exists() and not overwrite:
        raise RefusedError(f"{path}: exists already", "choose another OUTPUT, or add --overwrite")
    if not path.parent.is_dir():
        raise RefusedError(f"{path.parent}: no such folder", f"make it: mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RefusedError(f"{path.parent}: not writable", "choose another OUTPUT")


def refuse_same_file(source: Source, path: Path, aoi: str | None = None) -> None:
    """Refuse to overwrite the input, a file that it (a VRT, say) is made of or lies in, or the polygons."""
    if not path.exists():
        return
    for name in [source.path, *source.dataset.files, *([aoi] if aoi else [])]:
        for part in _places(name):
            if os.path.exists(part) and os.path.samefile(part, path):
                raise RefusedError(
                    f"{path}: the input itself, or a part of it", "choose another OUTPUT"
                )


def _places(name: str) -> list[Path]:
    """What GDAL's name of a file can lead to on the disk: the file, or an archive around it."""
    bare = re.sub(r"[{}]", "", _VIRTUAL.sub("", name))
    return [Path(name), Path(bare), *Path(bare).parents]


def refuse_full_disk(folder: Path, peak_bytes: int, kept_bytes: int) -> None:
    """Refuse when the disk has less room than making an output takes, of which `kept_bytes` are there."""
    needed = max(peak_bytes - kept_bytes, 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RefusedError(
            f"{folder}: {_size(free)} free, making the output takes up to {_size(needed)}",
            "free some space; --force goes on, as compression may save half of it",
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def remove_sidecars(path: Path) -> None:
    """Remove what GDAL kept beside an older file of this name: it would not fit the new one."""
    for suffix in (".aux.xml", ".msk", ".ovr"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def put_in_place(finished: Path, name: Path) -> None:
    """Put a finished file on the disk and give it its name."""
    remove_sidecars(finished)
    with finished.open("rb+") as file:
        os.fsync(file.fileno())
    finished.replace(name)
    sync_folder(name.parent)
