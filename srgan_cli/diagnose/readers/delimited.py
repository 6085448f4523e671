"""Logs as tables of text: CSV of Lightning and others, TSV, and spreadsheets' semicolons."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import orjson

from srgan_cli.diagnose.readers.table import NO_VALUE, Floats, Table, by_column, packed

_NO_VALUE: Final = b"%r" % NO_VALUE


class DelimitedParser:
    """Appends the lines of a text table to `table`; its first line names the columns.

    The delimiter is the comma, semicolon or tab that is most frequent in the header; where it is
    not the comma, a comma in a number is a decimal comma.
    """

    def __init__(self) -> None:
        self.header: tuple[str, ...] = ()
        self._delimiter = ","

    def add(self, table: Table, block: bytes) -> None:
        """Append a block of whole lines; lines with too few or many cells are counted and left out."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        if not self.header:
            block = self._take_header(block)
        if not block:
            return
        values = self._fast(table, block)
        if values is None:
            values = self._cell_by_cell(table, block)
        if len(values):
            table.add(self.header, values)

    def add_torn(self, table: Table, line: bytes) -> None:
        """Append a last line whose end is missing, but for its last cell, which may be half a number."""
        if not self.header:
            return
        delimiter = self._delimiter.encode()
        if line.count(delimiter) == len(self.header) - 1:
            self.add(
                table, line[: line.rindex(delimiter) + 1] + b"\n" if delimiter in line else b""
            )

    def _take_header(self, block: bytes) -> bytes:
        block = block.removeprefix(b"\xef\xbb\xbf").lstrip(b"\n")
        first, _, rest = block.partition(b"\n")
        text = first.decode("utf-8", "replace")
        self._delimiter = max(",;\t", key=text.count)
        cells = next(csv.reader([text], delimiter=self._delimiter), [])
        self.header = tuple(
            cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)
        )
        return rest

    def _fast(self, table: Table, block: bytes) -> Floats | None:
        """The numbers, parsed as JSON; None where a cell is not a plain number."""
        if self._delimiter != ",":
            block = block.replace(b",", b".").replace(self._delimiter.encode(), b",")
        while b"\n\n" in block:
            block = block.replace(b"\n\n", b"\n")
        block = block.strip(b"\n")
        if not block:
            return np.empty((0, len(self.header)))
        if not _is_plain(block):
            return None
        lines = _with_no_value(block)
        try:
            rows = orjson.loads(b"[[" + lines.replace(b"\n", b"],[") + b"]]")
        except orjson.JSONDecodeError:
            return None
        width = len(self.header)
        whole = rows if set(map(len, rows)) == {width} else [r for r in rows if len(r) == width]
        table.num_unusable += len(rows) - len(whole)
        values = packed(whole, width)
        return None if values is None else by_column(values, width)

    def _cell_by_cell(self, table: Table, block: bytes) -> Floats:
        rows = [
            [self._number(cell) for cell in row]
            for row in self._rows(table, block.decode("utf-8", "replace"))
        ]
        return by_column(np.array(rows, np.float64), len(self.header))

    def _rows(self, table: Table, text: str) -> Iterator[Sequence[str]]:
        lines = io.StringIO(text.replace("\x00", ""), newline="")
        reader = csv.reader(lines, delimiter=self._delimiter)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:  # a cell beyond the module's limit
                table.num_unusable += 1
                continue
            if tuple(cell.strip() for cell in row) == self.header:
                continue  # a resumed logger writes its header again
            if len(row) == len(self.header):
                yield row
            elif row:
                table.num_unusable += 1

    def _number(self, cell: str) -> float:
        if self._delimiter != ",":
            cell = cell.replace(",", ".")
        try:
            return float(cell)
        except ValueError:
            return NO_VALUE


def _is_plain(block: bytes) -> bool:
    """Whether there is nothing in a block but numbers and signs: the only letter in numbers is e."""
    signs = np.frombuffer(block, np.uint8)
    letters = signs[signs > ord("9")] | 0x20  # in lower case
    return bool(np.all(letters == ord("e"))) and b'"' not in block


def _with_no_value(block: bytes) -> bytes:
    """Lines of a table, each of its empty cells filled with NO_VALUE."""
    signs = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    ends = (signs == ord(",")) | (signs == ord("\n"))
    empty = np.flatnonzero(ends[:-1] & ends[1:]).tolist()
    if not empty:
        return block
    # `bytes.replace` of two commas takes ten times as long.
    parts = [block[start:stop] for start, stop in pairwise([0, *empty, len(block)])]
    return _NO_VALUE.join(parts)
