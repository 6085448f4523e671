"""Finished pieces of an output, on disk until all of them are there.

A part is a run of neighbouring tiles of one strip: `PART.bin` with their stored values one tile
after the other, (bands, rows, columns) each, and `PART.json`, which appears last and makes the part
count. A process killed at any moment leaves whole parts and at most one unfinished file, which is
never looked at.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.errors import SrganError
from srgan_cli.files import sync_folder, write_text
from srgan_cli.infer.geometry import Box

_EMPTY = -1
_READ_BYTES = 2**22


@dataclass(frozen=True)
class Stored:
    """Where the SR of a tile lies in its part."""

    core: Box
    """LR pixels."""
    offset: int
    """In bytes; -1 where no pixel of the tile is valid, and nothing is stored."""

    @property
    def empty(self) -> bool:
        """Whether no pixel of it is valid."""
        return self.offset == _EMPTY


@dataclass(frozen=True)
class Part:
    """A finished part."""

    path: Path
    tiles: tuple[Stored, ...]
    num_bytes: int
    crc32: int
    tally: dict[str, Any] | None
    """What an observer noted about the tiles."""

    def save(self, sync: bool) -> None:
        """Write the file that makes the part count."""
        values = {
            "bytes": self.num_bytes,
            "crc32": self.crc32,
            "tiles": [
                (t.core.row, t.core.col, t.core.height, t.core.width, t.offset) for t in self.tiles
            ],
            "tally": self.tally,
        }
        text, path = json.dumps(values), self.path.with_suffix(".json")
        if sync:
            write_text(path, text)
            return
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> Part:
        """The part of a JSON file, its bytes checked; ValueError where it is not whole."""
        values = json.loads(path.read_text(encoding="utf-8"))
        try:
            tiles = tuple(Stored(Box(*map(int, t[:4])), int(t[4])) for t in values["tiles"])
            found = Part(
                path.with_suffix(".bin"),
                tiles,
                int(values["bytes"]),
                int(values["crc32"]),
                values["tally"],
            )
        except (KeyError, TypeError, IndexError) as err:
            raise ValueError(str(err)) from err
        if _checksum(found.path) != (found.num_bytes, found.crc32):
            raise ValueError("other bytes than were written")
        return found


def _checksum(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
    return size, crc


class PartWriter:
    """A part in work; used in one thread.

    Raises:
        SrganError: The disk is full, or fails.
    """

    def __init__(self, folder: Path, first: Box, durable: bool) -> None:
        self._path = folder / f"{first.row:07d}-{first.col:07d}.bin"
        self._durable = durable
        self._tiles: list[Stored] = []
        self._size = self._crc = 0
        with _told(self._path):
            self._file = self._temporary.open("wb", buffering=0)

    @property
    def _temporary(self) -> Path:
        return self._path.with_suffix(".tmp")

    def add(self, core: Box, values: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        """Append a tile: stored values (bands, rows, columns), and valid LR pixels if they are kept."""
        size, crc = self._size, self._crc
        try:
            self._append(np.ascontiguousarray(values).data)
            if valid is not None:
                self._append(np.packbits(valid).data)
        except BaseException:
            # The tiles before this one are whole, and stay so.
            self._size, self._crc = size, crc
            self._file.seek(size)
            self._file.truncate()
            raise
        self._tiles.append(Stored(core, size))

    def add_empty(self, core: Box) -> None:
        """Note a tile without a valid pixel."""
        self._tiles.append(Stored(core, _EMPTY))

    def _append(self, data: memoryview) -> None:
        left = data.cast("B")
        while len(left):
            with _told(self._path):
                count = self._file.write(left)
            self._crc = zlib.crc32(left[:count], self._crc)
            self._size += count
            left = left[count:]

    def seal(self, tally: dict[str, Any] | None, sync: bool) -> Part | None:
        """Finish the part; None, and nothing there, without any tile.

        With `sync` it outlives the machine, without it the process: what a power failure makes of
        it does not pass the check of its bytes.
        """
        part = Part(self._path, tuple(self._tiles), self._size, self._crc, tally)
        with _told(self._path):
            if self._durable and sync:
                os.fsync(self._file.fileno())
            self._file.close()
            if not self._tiles:
                self._temporary.unlink()
                return None
            self._temporary.replace(self._path)
            if self._durable:
                if sync:
                    sync_folder(self._path.parent)
                part.save(sync)
        return part

    def abandon(self) -> None:
        """Close and remove the unfinished file after an error."""
        # What could not be written is not wanted any more.
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


class _told:  # noqa: N801  # reads as a statement
    """OSErrors of the block as what the user can do about them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, OSError):
            raise SrganError(
                f"cannot write {self._path}: {err.strerror or err}",
                "free some space, or choose another OUTPUT",
            ) from err


@dataclass(frozen=True)
class PartReader:
    """The pixels of parts, from their files."""

    dtype: str
    bands: int
    scale: int
    masked: bool
    """Whether valid pixels are stored as well."""

    def rows(self, part: Part, tile: Stored, first: int, last: int) -> NDArray[Any]:
        """SR rows `first` to `last` (exclusive, counted in the tile) of a tile, (bands, rows, columns)."""
        kind = np.dtype(self.dtype)
        height, width = tile.core.height * self.scale, tile.core.width * self.scale
        values = np.empty((self.bands, last - first, width), dtype=kind)
        with _read(part) as file:
            for band in range(self.bands):
                file.seek(tile.offset + (band * height + first) * width * kind.itemsize)
                _fill(file, values[band], part)
        return values

    def valid(self, part: Part, tile: Stored) -> NDArray[np.bool_]:
        """Valid LR pixels (rows, columns) of a tile."""
        height, width = tile.core.height, tile.core.width
        if tile.empty or not self.masked:
            return np.full((height, width), not tile.empty)
        area = height * width
        size = self.bands * area * self.scale**2 * int(np.dtype(self.dtype).itemsize)
        packed = np.empty(-(-area // 8), dtype=np.uint8)
        with _read(part) as file:
            file.seek(tile.offset + size)
            _fill(file, packed, part)
        found: NDArray[np.bool_] = np.unpackbits(packed, count=area).astype(bool)
        return found.reshape(height, width)


def _read(part: Part) -> Any:
    try:
        return part.path.open("rb", buffering=0)
    except OSError as err:
        raise SrganError(f"cannot read {part.path}: {err.strerror}") from err


def _fill(file: Any, array: NDArray[Any], part: Part) -> None:
    view = array.data.cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            raise SrganError(f"{part.path}: ends too early", "check the disk; repeat the command")
        view = view[count:]


def load_parts(folder: Path) -> tuple[list[Part], list[str]]:
    """The whole parts of a folder in order, and the names of damaged ones, which are removed."""
    parts, damaged = [], []
    for path in sorted(folder.glob("*.json")):
        if not _is_part(path.stem):
            continue
        try:
            parts.append(Part.load(path))
        except (ValueError, OSError):
            damaged.append(path.stem)
            remove_part(path)
    known = {part.path for part in parts}
    for path in [*folder.glob("*.bin"), *folder.glob("*.tmp")]:
        if _is_part(path.stem) and path not in known:
            path.unlink(missing_ok=True)
    return parts, damaged


def remove_parts(folder: Path) -> None:
    """Remove all parts, finished or not."""
    for path in [*folder.glob("*.json"), *folder.glob("*.bin"), *folder.glob("*.tmp")]:
        if _is_part(path.stem):
            path.unlink(missing_ok=True)


def remove_part(path: Path) -> None:
    """Remove a part; first the file that makes it count."""
    path.with_suffix(".json").unlink(missing_ok=True)
    path.with_suffix(".bin").unlink(missing_ok=True)


def _is_part(stem: str) -> bool:
    row, _, col = stem.partition("-")
    return row.isdecimal() and col.isdecimal()


class Done:
    """Which LR pixels the parts hold."""

    def __init__(self, parts: list[Part]) -> None:
        boxes = [(t.core.row, t.core.col, t.core.row_stop, t.core.col_stop) for t in _tiles(parts)]
        self._boxes = np.array(boxes, dtype=np.int64).reshape(-1, 4)

    def holds(self, core: Box) -> bool:
        """Whether all of a tile's core is there: it lies in one tile, or several smaller ones."""
        rows, cols = self._boxes[:, 0], self._boxes[:, 1]
        below, right = self._boxes[:, 2], self._boxes[:, 3]
        tall = np.minimum(below, core.row_stop) - np.maximum(rows, core.row)
        wide = np.minimum(right, core.col_stop) - np.maximum(cols, core.col)
        # No two tiles share a pixel.
        return int((tall.clip(0) * wide.clip(0)).sum()) == core.height * core.width


def _tiles(parts: list[Part]) -> Iterator[Stored]:
    for part in parts:
        yield from part.tiles
