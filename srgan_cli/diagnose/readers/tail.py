"""What was appended to a file since it was last read; files that were replaced are noticed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from srgan_cli.errors import RefusedError

BLOCK_BYTES: Final = 1 << 18
"""Small enough that the rows of a block stay in the processor's cache while they become columns."""
MAX_LINE_BYTES: Final = 1 << 24
"""A row of a log has some kB; what is longer is no row, and is passed over without being kept."""
_MARK_BYTES: Final = 64


class Tail:
    """Reads a growing file piece by piece; `.gz` files are read anew when they changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._mark = b""
        self._identity: tuple[int, ...] = ()
        self._packed = path.suffix == ".gz"

    def replaced(self) -> bool:
        """Whether what was read is no longer there: rotated, truncated, or written anew.

        The next `blocks` then starts at the beginning.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return False  # between the two steps of a rotation
        except OSError as err:
            raise unreadable(self.path, err) from err
        identity: tuple[int, ...] = (status.st_dev, status.st_ino)
        if self._packed:
            identity += (status.st_size, status.st_mtime_ns)
        known, self._identity = self._identity, identity
        if not known or not self.offset:
            return False
        if self._packed:
            gone = identity != known
        else:
            gone = identity != known or status.st_size < self.offset or not self._mark_is_there()
        if gone:
            self.offset, self._mark = 0, b""
        return gone

    def _mark_is_there(self) -> bool:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset - len(self._mark))
                return file.read(len(self._mark)) == self._mark
        except OSError as err:
            raise unreadable(self.path, err) from err

    def blocks(self, size: int = BLOCK_BYTES, *, lines: bool = False) -> Iterator[bytes]:
        """The bytes that were appended since the last call; `lines`: up to line ends, where they come."""
        if self._packed and self.offset:
            return
        try:
            with gzip.open(self.path) if self._packed else self.path.open("rb") as file:
                file.seek(self.offset)
                while block := file.read(size):
                    if lines and block[-1:] != b"\n":
                        block += file.readline(MAX_LINE_BYTES)
                    self.offset += len(block)
                    self._mark = (self._mark + block[-_MARK_BYTES:])[-_MARK_BYTES:]
                    yield block
        except EOFError:
            return  # a packed file that was cut: what came before is whole
        except (gzip.BadGzipFile, zlib.error) as err:
            if not self.offset:
                raise RefusedError(
                    f"cannot unpack {self.path}: {err}", "give the log itself, or a whole .gz file"
                ) from err
        except OSError as err:
            raise unreadable(self.path, err) from err


class LineTail:
    """Whole lines that were appended to a text file."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.rest = b""
        """The last line, as long as its end is missing."""
        self.num_overlong = 0
        self._passing_over = False

    def replaced(self) -> bool:
        """As `Tail.replaced`."""
        if not self._tail.replaced():
            return False
        self.rest, self.num_overlong, self._passing_over = b"", 0, False
        return True

    def blocks(self) -> Iterator[bytes]:
        """Blocks of whole lines, each block ending in a line end."""
        for block in self._tail.blocks(lines=True):
            whole = self.rest + block if self.rest else block
            self.rest = b""
            if self._passing_over:
                end = whole.find(b"\n") + 1
                self.num_overlong += bool(end)
                self._passing_over = not end
                whole = whole[end:] if end else b""
            end = whole.rfind(b"\n") + 1
            self.rest = whole[end:]
            if len(self.rest) > MAX_LINE_BYTES:
                self.rest, self._passing_over = b"", True
            if end:
                yield whole if end == len(whole) else whole[:end]

    @property
    def has_overlong_end(self) -> bool:
        """Whether the file ends in a line that is far too long."""
        return self._passing_over


def unreadable(path: Path, err: OSError) -> RefusedError:
    """The refusal of a file that the system does not let us read."""
    hint = (
        "give yourself the right to read it, or copy it"
        if isinstance(err, PermissionError)
        else "is it there, and whole?"
    )
    return RefusedError(f"cannot read {path}: {err.strerror or err}", hint)
