"""Finished pieces of an output, on disk until all of them are there.

A part is a run of neighbouring tiles of one strip: `PART.bin` with their stored values one tile
after the other, (bands, rows, columns) each, and `PART.json`, which appears last and makes the part
count. A process killed at any moment leaves whole parts and at most one unfinished file, which is
never looked at.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srgan_cli.files import write_text
from srgan_cli.infer.geometry import Box

EMPTY = -1
"""Offset of a tile of which nothing is stored."""
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
        return self.offset == EMPTY


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
