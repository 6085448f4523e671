"""Locks that die with the process which holds them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from srgan_cli.errors import RefusedError


@contextmanager
def locked(path: Path, writer: str, way_out: str) -> Iterator[None]:
    """Keep every other process out while the block runs.

    Args:
        path: The lock file; its folder is made where it is missing.
        writer: What holds the lock, for messages: `srgan train`.
        way_out: What to choose instead: `choose another --run-dir`.

    Raises:
        RefusedError: Another process holds it, or the folder cannot be written.
    """
    with _opened(path, writer, way_out):
        yield


def _opened(path: Path, writer: str, way_out: str) -> TextIOWrapper:
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            file = path.open("w")
        except FileNotFoundError:
            # Its last holder removed the folder in between.
            if path.parent.parent.is_dir():
                continue
            raise RefusedError(f"{path.parent.parent}: no such folder", way_out) from None
        except OSError as err:
            raise RefusedError(
                f"cannot write to {path.parent}: {err.strerror}",
                f"make the folder writable, or {way_out}",
            ) from err
        try:
            _lock(file, path, writer, way_out)
        except RefusedError:
            file.close()
            raise
        if _still_there(file, path):
            return file
        file.close()


def _lock(file: TextIOWrapper, path: Path, writer: str, way_out: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise RefusedError(
            f"another {writer} is writing to {path.parent}", f"wait for it, or {way_out}"
        ) from err
    except OSError as err:
        raise RefusedError(
            f"cannot lock {path}: {err.strerror}", f"{way_out} on a file system with locks"
        ) from err


def _still_there(file: TextIOWrapper, path: Path) -> bool:
    """Whether the file locked is the one under that name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
