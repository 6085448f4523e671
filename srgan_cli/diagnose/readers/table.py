"""Rows of a log as blocks of numbers, in the order in which they were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NO_VALUE: Final = -9e299
"""Stands for an empty cell: NaN means that a NaN was logged."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows with the same columns."""

    names: tuple[str, ...]
    order: NDArray[np.int64]
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

    def add_rows(self, rows: Sequence[Mapping[str, Any]], *, plain: bool = False) -> None:
        """Append rows that are mappings; `plain` promises that no value is null or nested.

        A row with `"kind": "event"`, as in a run folder, becomes an event.
        """
        groups: dict[tuple[str, ...], list[int]] = {}
        if not plain:
            rows = [_flat(row) for row in rows]
        for index, row in enumerate(rows):
            kind = row.get("kind")
            if kind == "event":
                self._add_event(self.num_rows + index, row)
                continue
            groups.setdefault((kind if isinstance(kind, str) else "", *row), []).append(index)
        for (kind, *keys), indices in groups.items():
            names = tuple(key for key in keys if key != "kind")
            if not names:
                self.num_unusable += len(indices)
                continue
            chosen = rows if len(indices) == len(rows) else [rows[index] for index in indices]
            order = np.array(indices, np.int64) + self.num_rows
            values = _numbers(chosen, names)
            self.blocks.append(Block(names, order, values, kind == "train" if kind else None))
        self.num_rows += len(rows)
        if rows and isinstance(written := rows[-1].get("time"), (int, float)):
            self.last_time = float(written)

    def _add_event(self, position: int, row: Mapping[str, Any]) -> None:
        step = row.get("step")
        if isinstance(step, int) and not isinstance(step, bool):
            self.events.append((position, row))
        else:
            self.num_unusable += 1


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if any(isinstance(value, dict) for value in row.values()):
        return dict(_flattened(row, ""))
    return row


def _flattened(row: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _numbers(rows: Sequence[Mapping[str, Any]], names: tuple[str, ...]) -> Floats:
    get = itemgetter(*names)
    cells: Iterable[Any] = map(get, rows) if len(names) == 1 else chain.from_iterable(map(get, rows))
    try:
        # Takes what float() takes: "nan" and "inf" too, as the run folder writes them.
        values = np.fromiter(cells, np.float64, len(rows) * len(names))
    except (TypeError, ValueError, OverflowError):
        one_by_one = (_number(row[name]) for row in rows for name in names)
        values = np.fromiter(one_by_one, np.float64, len(rows) * len(names))
    return values.reshape(len(rows), len(names))


def _number(value: Any) -> float:
    if value is None:
        return NO_VALUE
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return NO_VALUE
