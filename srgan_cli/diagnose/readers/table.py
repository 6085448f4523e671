"""Rows of a log as blocks of numbers, in the order in which they were written."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, starmap
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
    """(rows, columns); NO_VALUE where a cell is empty. A block is small: to turn it while it is in the
    processor's cache costs nothing, a column that is put together from rows of all blocks a lot."""
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
        groups: dict[int, list[tuple[int, list[Mapping[str, Any]]]]] = {}
        position = self.num_rows
        # Rows of as many keys mostly have the same ones: to count them is faster than to compare them.
        for num_keys, same in groupby(rows, key=len):
            run = list(same)
            groups.setdefault(num_keys, []).append((position, run))
            position += len(run)
        for runs in groups.values():
            order = np.concatenate([np.arange(start, start + len(run)) for start, run in runs])
            chosen = list(chain.from_iterable(run for _, run in runs))
            try:
                self._add_group(tuple(chosen[0]), order, chosen)
            except KeyError:
                self._add_by_keys(order, chosen)
        self.num_rows += len(rows)
        if rows and isinstance(written := rows[-1].get("time"), (int, float)):
            self.last_time = float(written)

    def _add_by_keys(self, order: Ints, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows with as many keys, not always the same ones."""
        by_keys: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(rows):
            by_keys.setdefault(tuple(row), []).append(index)
        for keys, chosen in by_keys.items():
            self._add_group(keys, order[chosen], [rows[index] for index in chosen])

    def _add_group(
        self, keys: tuple[str, ...], order: Ints, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Append rows with the same keys.

        Raises:
            KeyError: A row has others; nothing was appended.
        """
        if not keys:
            self.num_unusable += len(rows)
            return
        if any(isinstance(value, dict) for value in rows[0].values()):
            flat = [dict(_flattened(row, "")) for row in rows]
            self.blocks += [
                _block(tuple(row), position[None], [row], None)
                for position, row in zip(order, flat, strict=True)
                if row
            ]
            self.num_unusable += sum(not row for row in flat)
            return
        kinds = list(map(itemgetter("kind"), rows)) if "kind" in keys else []
        different = set(kinds) if set(map(type, kinds)) == {str} else set()
        if not different or len(different) > _MOST_KINDS:
            # Without kinds, or another tool's column of that name.
            self.blocks.append(_block(keys, order, rows, None))
            return
        parts = {kind: _of_kind(kind, kinds, order, rows) for kind in sorted(different)}
        events = parts.pop("event", None)
        names = tuple(name for name in keys if name != "kind")
        if names:
            blocks = [_block(names, *part, kind == "train") for kind, part in parts.items()]
            self.blocks += blocks
        else:
            self.num_unusable += sum(len(order) for order, _ in parts.values())
        if events is not None:
            self._add_events(*events)

    def _add_events(self, order: Ints, rows: Sequence[Mapping[str, Any]]) -> None:
        for position, row in zip(order.tolist(), rows, strict=True):
            step = row.get("step")
            if isinstance(step, int) and not isinstance(step, bool):
                self.events.append((position, row))
            else:
                self.num_unusable += 1
        self.events.sort(key=itemgetter(0))


def _block(
    names: tuple[str, ...], order: Ints, rows: Sequence[Mapping[str, Any]], train: bool | None
) -> Block:
    return Block(names, order, _numbers(rows, names), train)


def _of_kind(
    kind: str, kinds: Sequence[str], order: Ints, rows: Sequence[Mapping[str, Any]]
) -> tuple[Ints, Sequence[Mapping[str, Any]]]:
    """The rows of a kind and their positions."""
    if kinds.count(kind) == len(rows):
        return order, rows
    chosen = [index for index, each in enumerate(kinds) if each == kind]
    return order[chosen], [rows[index] for index in chosen]


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
    return by_column(values, len(names))


def by_column(numbers: Floats, width: int) -> Floats:
    """Rows of numbers, one after the other, as (rows, columns); a column's numbers stand together."""
    return np.asfortranarray(numbers.reshape(-1, width))


def packed(rows: Iterable[Sequence[Any]], width: int) -> Floats | None:
    """Rows of numbers as one array, faster than numpy makes one; None where something is no number."""
    pack = struct.Struct(f"{width}d").pack
    try:
        return np.frombuffer(b"".join(starmap(pack, rows)), np.float64)
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
