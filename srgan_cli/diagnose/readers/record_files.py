"""Framing of two binary logs: W&B's `.wandb` files and TensorBoard's event files. Standard library only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

WANDB_MAGIC: Final = b":W&B"
WANDB_HEADER: Final = struct.Struct("<4sHB")
"""`:W&B`, 0xBEE1, version."""
_WANDB_NUMBER: Final = 0xBEE1
WANDB_BLOCK: Final = 32768
WANDB_RECORD: Final = struct.Struct("<IHB")
"""CRC-32 of type and data, length of the data, type."""
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4

_TF_LENGTH: Final = struct.Struct("<QI")
_TF_CHECKED_BYTES: Final = 4096
"""The checksum of an event is computed in Python, slowly: that of an image is taken on trust."""
_LARGEST_EVENT: Final = 1 << 30


class NotThisFormatError(ValueError):
    """The file begins with something else."""


class WandbRecords:
    """Takes a `.wandb` file piece by piece and gives its records.

    The format is LevelDB's log: blocks of 32 KiB, records that are split over blocks, zeros where
    no header fits; before it, in the first block, W&B's own header. A damaged record costs the
    rest of its block, as in LevelDB; a record whose end is missing waits for it.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        """Of the buffer's first byte in the file."""
        self._parts: list[bytes] = []
        self.num_damaged = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The records that are whole now.

        Raises:
            NotThisFormatError: The file does not begin like one of W&B.
        """
        self._buffer += data
        at = 0
        if not self._position:
            if len(self._buffer) < WANDB_HEADER.size:
                return
            magic, number, _ = WANDB_HEADER.unpack_from(self._buffer)
            if magic != WANDB_MAGIC or number != _WANDB_NUMBER:
                raise NotThisFormatError
            at = WANDB_HEADER.size
        while (step := self._next(at)) is not None:
            at, record = step
            if record is not None:
                yield record
        self._position += at
        self._buffer = self._buffer[at:]

    def _next(self, at: int) -> tuple[int, bytes | None] | None:
        """The place after the next piece, with a record where one ends there; None without enough data."""
        left = WANDB_BLOCK - (self._position + at) % WANDB_BLOCK
        if left < WANDB_RECORD.size:
            return (at + left, None) if at + left <= len(self._buffer) else None
        if at + WANDB_RECORD.size > len(self._buffer):
            return None
        crc, length, kind = WANDB_RECORD.unpack_from(self._buffer, at)
        end = at + WANDB_RECORD.size + length
        if length > left - WANDB_RECORD.size or not FULL <= kind <= LAST:
            return self._rest_of_block(at, left, damaged=bool(crc or length or kind))
        if end > len(self._buffer):
            return None
        data = self._buffer[at + WANDB_RECORD.size : end]
        if zlib.crc32(data, zlib.crc32(bytes([kind]))) != crc:
            return self._rest_of_block(at, left, damaged=True)
        return end, self._joined(kind, data)

    def _rest_of_block(self, at: int, left: int, *, damaged: bool) -> tuple[int, None] | None:
        if at + left > len(self._buffer):
            return None  # half written, or damaged: the next block will tell
        self.num_damaged += damaged
        self._parts = []
        return at + left, None

    def _joined(self, kind: int, data: bytes) -> bytes | None:
        if kind in (FULL, FIRST):
            self.num_damaged += bool(self._parts)  # its end never came
            self._parts = [data]
        elif not self._parts:
            return None  # its beginning was damaged, and has been counted
        else:
            self._parts.append(data)
        if kind not in (FULL, LAST):
            return None
        record, self._parts = b"".join(self._parts), []
        return record


class TensorBoardRecords:
    """Takes an event file piece by piece and gives its records.

    The format is TFRecord: length, its masked CRC-32C, data, their masked CRC-32C. After a damaged
    record there is no telling where the next one starts: `damaged` is set, and nothing more comes.

    Args:
        checksum: The masked CRC-32C of bytes.
    """

    def __init__(self, checksum: Callable[[bytes], int]) -> None:
        self._checksum = checksum
        self._buffer = b""
        self._started = False
        self.damaged = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The records that are whole now.

        Raises:
            NotThisFormatError: The file does not begin like one of TensorBoard.
        """
        if self.damaged:
            return
        self._buffer += data
        at = 0
        while at + _TF_LENGTH.size <= len(self._buffer):
            length, crc = _TF_LENGTH.unpack_from(self._buffer, at)
            if crc != self._checksum(self._buffer[at : at + 8]) or length > _LARGEST_EVENT:
                self._stop()
                return
            start = at + _TF_LENGTH.size
            end = start + length
            if end + 4 > len(self._buffer):
                break
            record = self._buffer[start:end]
            (crc,) = struct.unpack_from("<I", self._buffer, end)
            if length <= _TF_CHECKED_BYTES and crc != self._checksum(record):
                self._stop()
                return
            self._started = True
            at = end + 4
            yield record
        self._buffer = self._buffer[at:]

    def _stop(self) -> None:
        if not self._started:
            raise NotThisFormatError
        self.damaged, self._buffer = True, b""
