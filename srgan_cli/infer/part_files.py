"""The pixels of parts: written tile by tile, read by rows."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.errors import SrganError
from srgan_cli.files import sync_folder
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.parts import EMPTY, Part, Stored


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
        self._tiles.append(Stored(core, EMPTY))

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
