"""A table of rows becomes one series per metric: repeated steps once, one process's rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose.readers import naming
from srgan_cli.diagnose.readers.masks import unmask
from srgan_cli.diagnose.readers.table import NO_VALUE, Block, Floats, Table
from srgan_cli.diagnose.reading import Reading
from srgan_cli.diagnose.series import Series
from srgan_cli.errors import RefusedError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_LARGEST_STEP: Final = 2.0**53
"""From here on a float is no step number any more."""
_FEW_REPEATS: Final = 8
_MANY_REPEATS: Final = 0.05


class NothingYetError(RefusedError):
    """There is nothing to judge yet; a run that is going on may still log it."""


@dataclass(frozen=True)
class Measured:
    """The metrics of a table."""

    series: dict[str, Series]
    events: tuple[Mapping[str, Any], ...]
    reading: Reading


def measure(table: Table, mapping: Mapping[str, str], source: str) -> Measured:
    """The series of all metrics.

    Raises:
        NothingYetError: No row holds a metric.
        RefusedError: There is no column of steps, or none that the mapping names.
    """
    columns = table.names
    if not columns:
        raise nothing_in(source, table)
    naming.check_columns(mapping, columns, source)
    step_name = naming.step_column(columns, mapping, source)
    metrics = naming.metric_columns(columns, mapping)
    blocks = [block for block in table.blocks if step_name in block.names]
    usable, num_processes = _usable(blocks, step_name)
    num_stepless = sum(len(b.order) for b in table.blocks if step_name not in b.names)
    num_stepless += sum(_num_without_step(block, step_name) for block in blocks)
    surviving, resumed_at, num_back = _surviving(table, blocks, usable, step_name)
    builder = _SeriesBuilder(blocks, surviving, step_name)
    series = {metric: builder.series(column) for metric, column in metrics.items()}
    series = {metric: each for metric, each in series.items() if len(each)}
    if not series:
        raise nothing_in(source, table)
    events, resumes = _living_events(table)
    return Measured(
        series,
        events,
        Reading(
            num_unusable=table.num_unusable,
            num_stepless=num_stepless,
            num_rows=table.num_rows,
            resumed_at=tuple(resumed_at),
            announced_resumes=resumes,
            num_processes=num_processes,
            num_steps_back=num_back,
            repeated_share=builder.repeated_share,
            num_masked=builder.num_masked,
        ),
    )


def nothing_in(source: str, table: Table) -> NothingYetError:
    """The refusal of a log without metrics."""
    lines = table.num_unusable
    words = "1 line in it is no row" if lines == 1 else f"{lines} lines in it are no rows"
    seen = f" ({words})" if lines else ""
    return NothingYetError(
        f"{source} holds no metrics rows: there is nothing to judge yet{seen}",
        "is it the log of a training?"
        if lines
        else "wait for the first log interval (Logging.log_every steps)",
    )


def _steps(block: Block, step_name: str) -> Floats:
    return block.values[:, block.names.index(step_name)]


def _num_without_step(block: Block, step_name: str) -> int:
    return int(np.count_nonzero(~(np.abs(_steps(block, step_name)) < _LARGEST_STEP)))


def _usable(blocks: list[Block], step_name: str) -> tuple[list[Bools], int]:
    """Rows with a step, of the first process only; and how many processes wrote."""
    usable = [np.abs(_steps(block, step_name)) < _LARGEST_STEP for block in blocks]
    ranks: set[float] = set()
    by_block: list[Floats | None] = []
    for block in blocks:
        name = next((n for n in block.names if n.lower() in naming.RANK_COLUMNS), None)
        rank = None if name is None else block.values[:, block.names.index(name)]
        by_block.append(rank)
        if rank is not None:
            ranks |= set(np.unique(rank[rank != NO_VALUE]).tolist())
    if len(ranks) < 2:
        return usable, 1
    first = min(ranks)
    kept = [
        keep if rank is None else keep & ((rank == first) | (rank == NO_VALUE))
        for keep, rank in zip(usable, by_block, strict=True)
    ]
    return kept, len(ranks)


def _surviving(
    table: Table, blocks: list[Block], usable: list[Bools], step_name: str
) -> tuple[list[Bools], list[int], int]:
    """Rows that no later resume took back, the steps of resumes that were found, and of steps back."""
    if not blocks:
        return [], [], 0
    steps = np.concatenate([_steps(block, step_name) for block in blocks])
    train = np.concatenate([_is_train(block) for block in blocks])
    keep = np.concatenate(usable)
    order = np.concatenate([block.order for block in blocks])
    in_order = np.argsort(order, kind="stable") if np.any(np.diff(order) < 0) else None
    if in_order is not None:
        steps, train, keep, order = (a[in_order] for a in (steps, train, keep, order))
    resumed_at: list[int] = []
    num_back = 0
    if any(block.train is not None for block in blocks):
        keep &= _before_resumes(table, order, steps, train)
    else:
        back = _steps_back(steps, train & keep)
        num_back = len(back)
        if len(back) <= max(_FEW_REPEATS, _MANY_REPEATS * np.count_nonzero(train & keep)):
            resumed_at = [int(step) for step in steps[back]]
            limits = np.full(len(steps) + 1, np.inf)
            limits[back] = steps[back]
            keep &= steps < _lowest_behind(limits)
            num_back = 0
    if in_order is not None:
        unsorted = np.empty_like(keep)
        unsorted[in_order] = keep
        keep = unsorted
    ends = np.cumsum([len(block.order) for block in blocks])[:-1]
    return np.split(keep, ends), resumed_at, num_back


def _is_train(block: Block) -> Bools:
    if block.train is not None:
        return np.full(len(block.order), block.train)
    measured = [
        column
        for column, name in enumerate(block.names)
        if name not in naming.NOT_METRICS and not name.startswith("val")
    ]
    if not measured:
        return np.zeros(len(block.order), bool)
    return np.asarray((block.values[:, measured] != NO_VALUE).any(axis=1))


def _steps_back(steps: Floats, train: Bools) -> Ints:
    """Rows of training steps that are before the one logged last."""
    rows = np.flatnonzero(train)
    return rows[1:][np.diff(steps[rows]) < 0]


def _lowest_behind(limits: Floats) -> Floats:
    """For each row, the lowest of the limits that stand behind it."""
    return np.minimum.accumulate(limits[::-1])[::-1][1:]


def _before_resumes(table: Table, order: Ints, steps: Floats, train: Bools) -> Bools:
    """As `runfolder.read_metrics`: a `resume` takes back what came after its checkpoint, a `start` all.

    The validation at the checkpoint's own step came before the checkpoint.
    """
    limits = np.full(len(order) + 1, np.inf)
    for position, event in table.events:
        if event.get("event") in ("resume", "start"):
            row = int(np.searchsorted(order, position))
            limit = float(event["step"]) if event["event"] == "resume" else -np.inf
            limits[row] = min(limits[row], limit)
    # An event stands before the row that follows it.
    lowest = _lowest_behind(limits)
    return np.asarray(np.where(train, steps < lowest, steps <= lowest))


def _living_events(table: Table) -> tuple[tuple[Mapping[str, Any], ...], tuple[int, ...]]:
    """Events that no later resume took back, and the steps of the resumes among them."""
    living: list[Mapping[str, Any]] = []
    for _, event in table.events:
        if event.get("event") == "resume":
            living = [each for each in living if each["step"] <= event["step"]]
        elif event.get("event") == "start":
            living = []
        living.append(event)
    return tuple(living), tuple(e["step"] for e in living if e.get("event") == "resume")


class _Matrix:
    """All rows with the same columns that count, a column after the other."""

    def __init__(self, names: tuple[str, ...], num_rows: int) -> None:
        self.names = names
        self.values = np.empty((len(names), num_rows))
        self.order = np.empty(num_rows, np.int64)
        self._filled = 0

    def add(self, block: Block, keep: Bools) -> None:
        """Append the rows of a block that count."""
        whole = keep.all()
        values = block.values if whole else block.values[keep]
        end = self._filled + len(values)
        self.values[:, self._filled : end] = values.T
        self.order[self._filled : end] = block.order if whole else block.order[keep]
        self._filled = end

    def column(self, name: str) -> Floats:
        """The values of a column."""
        return np.asarray(self.values[self.names.index(name)])


class _SeriesBuilder:
    """Puts the blocks of a column together; columns of the same rows share their steps."""

    def __init__(self, blocks: list[Block], surviving: list[Bools], step_name: str) -> None:
        sizes: dict[tuple[str, ...], int] = {}
        for block, keep in zip(blocks, surviving, strict=True):
            sizes[block.names] = sizes.get(block.names, 0) + int(np.count_nonzero(keep))
        matrices = {names: _Matrix(names, num_rows) for names, num_rows in sizes.items()}
        for block, keep in zip(blocks, surviving, strict=True):
            matrices[block.names].add(block, keep)
        self._matrices = list(matrices.values())
        self.num_masked = 0
        """NaN that stood for missing values."""
        if all(block.train is None for block in blocks):
            self.num_masked = sum(unmask(m.names, m.values) for m in self._matrices)
        self._steps = [matrix.column(step_name).astype(np.int64) for matrix in self._matrices]
        self._shared: dict[tuple[int, ...], tuple[Ints, Ints | None]] = {}
        self.repeated_share = 0.0
        """Of the rows of the training metric that repeats its steps most."""

    def series(self, column: str) -> Series:
        """The values of a column by rising steps; of several values at a step the last one written."""
        indices = tuple(i for i, each in enumerate(self._matrices) if column in each.names)
        if not indices:
            return Series(np.empty(0, np.int64), np.empty(0))
        values = _joined([self._matrices[i].column(column) for i in indices])
        filled = values != NO_VALUE
        if filled.all():
            if indices not in self._shared:
                self._shared[indices] = _by_step(*self._steps_and_order(indices))
            rising, chosen = self._shared[indices]
        else:
            steps, order = self._steps_and_order(indices)
            values = values[filled]
            rising, chosen = _by_step(steps[filled], order[filled])
        if len(values) and not column.startswith("val"):
            self.repeated_share = max(self.repeated_share, 1 - len(rising) / len(values))
        return Series(rising, values if chosen is None else values[chosen])

    def _steps_and_order(self, indices: tuple[int, ...]) -> tuple[Ints, Ints]:
        steps = _joined([self._steps[i] for i in indices])
        return steps, _joined([self._matrices[i].order for i in indices])


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _by_step(steps: Ints, order: Ints) -> tuple[Ints, Ints | None]:
    """Rising steps, and which values belong to them; None: all as they are."""
    if np.all(np.diff(steps) > 0):
        return steps, None
    chosen = np.lexsort((order, steps))
    last = np.append(np.diff(steps[chosen]) > 0, True)
    chosen = chosen[last]
    return steps[chosen], chosen
