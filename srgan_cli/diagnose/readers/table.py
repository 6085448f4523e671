"""Rows of a log as blocks of numbers, in the order in which they were written."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_VALUE: Final = -9e299
"""Stands for an empty cell: NaN means that a NaN was logged. A metric that is this very number is lost."""


_MOST_KINDS: Final = 8
"""A run folder has three."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows with the same columns."""

    names: tuple[str, ...]
    order: Ints
    """Positions of the rows in the log."""
    values: Floats
    """(rows, columns); NO_VALUE where a cell is empty."""
    train: bool | None = None
    """Whether these are rows of training steps; None: those with a value that is not validation's."""


@dataclass
class Table:
    """All rows of a log."""

    blocks: list[Block] = field(default_factory=list)
    num_rows: int = 0
    num_unusable: int = 0
    """Lines that are no rows, and rows without a step."""
    events: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    """Rows that tell of the run, not of a step, with their positions."""
    last_time: float | None = None
    """Of the last row that has one: seconds since 1970."""

    def copy(self) -> Table:
        """A table that can grow by itself."""
        return Table(
            list(self.blocks),
            self.num_rows,
            self.num_unusable,
            list(self.events),
            self.last_time,
        )

    @property
    def names(self) -> list[str]:
        """All columns."""
        return list(dict.fromkeys(chain.from_iterable(block.names for block in self.blocks)))

    def add(self, names: Sequence[str], values: Floats) -> None:
        """Append rows that are an array already."""
        order = np.arange(self.num_rows, self.num_rows + len(values))
        self.blocks.append(Block(tuple(names), order, values))
        self.num_rows += len(values)

    def extend(self, later: Table) -> None:
        """Append all rows of a table that was written later."""
        self.blocks += [replace(b, order=b.order + self.num_rows) for b in later.blocks]
        self.num_rows += later.num_rows
        self.num_unusable += later.num_unusable

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows that are mappings, nested ones as `outer/inner`.

        A row with `"kind": "event"`, as in a run folder, becomes an event.
        """
        groups: dict[tuple[str, ...], list[tuple[int, list[Mapping[str, Any]]]]] = {}
        position = self.num_rows
        # Rows of a kind mostly stand together: comparing neighbours is faster than hashing each.
        for keys, same in groupby(rows, key=tuple):
            run = list(same)
            groups.setdefault(keys, []).append((position, run))
            position += len(run)
        for keys, runs in groups.items():
            order = np.concatenate([np.arange(start, start + len(run)) for start, run in runs])
            chosen = list(chain.from_iterable(run for _, run in runs))
            self._add_group(keys, order, chosen)
        self.num_rows += len(rows)
        if rows and isinstance(written := rows[-1].get("time"), (int, float)):
            self.last_time = float(written)

    def _add_group(
        self, keys: tuple[str, ...], order: Ints, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Append rows with the same keys."""
        if any(isinstance(value, dict) for value in rows[0].values()):
            for position, row in zip(order, rows, strict=True):
                flat = dict(_flattened(row, ""))
                self._add_block(tuple(flat), position[None], [flat], None)
            return
        kinds = [row["kind"] for row in rows] if "kind" in keys else []
        different = set(kinds) if set(map(type, kinds)) == {str} else set()
        if not different or len(different) > _MOST_KINDS:
            # Without kinds, or another tool's column of that name.
            self._add_block(keys, order, rows, None)
            return
        names = tuple(name for name in keys if name != "kind")
        for kind in sorted(different):
            of_kind = [i for i, each in enumerate(kinds) if each == kind]
            whole = len(of_kind) == len(rows)
            chosen = rows if whole else [rows[i] for i in of_kind]
            if kind == "event":
                self._add_events(order[of_kind], chosen)
            else:
                self._add_block(names, order[of_kind], chosen, kind == "train")

    def _add_block(
        self,
        names: tuple[str, ...],
        order: Ints,
        rows: Sequence[Mapping[str, Any]],
        train: bool | None,
    ) -> None:
        if names:
            self.blocks.append(Block(names, order, _numbers(rows, names), train))
        else:
            self.num_unusable += len(rows)

    def _add_events(self, order: Ints, rows: Sequence[Mapping[str, Any]]) -> None:
        for position, row in zip(order.tolist(), rows, strict=True):
            step = row.get("step")
            if isinstance(step, int) and not isinstance(step, bool):
                self.events.append((position, row))
            else:
                self.num_unusable += 1
        self.events.sort(key=itemgetter(0))


def _flattened(row: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _numbers(rows: Sequence[Mapping[str, Any]], names: tuple[str, ...]) -> Floats:
    get = itemgetter(*names)
    cells = list(map(get, rows)) if len(names) > 1 else [(row[names[0]],) for row in rows]
    values = packed(cells, len(names))
    if values is None:
        numbers = map(_number, chain.from_iterable(cells))
        values = np.fromiter(numbers, np.float64, len(rows) * len(names))
    return values.reshape(len(rows), len(names))


def packed(rows: Iterable[Sequence[Any]], width: int) -> Floats | None:
    """Rows of numbers as one array, faster than numpy makes one; None where something is no number."""
    pack = struct.Struct(f"{width}d").pack
    try:
        return np.frombuffer(b"".join([pack(*row) for row in rows]), np.float64)
    except (struct.error, OverflowError):
        return None


def _number(value: Any) -> float:
    """What float() takes, "nan" and "inf" too, as the run folder writes them."""
    if value is None:
        return NO_VALUE
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return NO_VALUE
