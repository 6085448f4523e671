"""A logged metric: values at rising steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Series:
    """One metric: steps (int64, rising) and values (float64), of equal length."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    def where(self, keep: NDArray[np.bool_]) -> Series:
        """The rows for which `keep` is true."""
        return self if keep.all() else Series(self.steps[keep], self.values[keep])

    def between(self, start: float, stop: float) -> Series:
        """The rows with start <= step < stop; views, since a million rows are not copied for fun."""
        first, last = np.searchsorted(self.steps, (start, stop))
        return Series(self.steps[first:last], self.values[first:last])

    @property
    def window(self) -> tuple[int, int]:
        """First and last step; (0, 0) without rows."""
        return (int(self.steps[0]), int(self.steps[-1])) if len(self) else (0, 0)

    @property
    def interval(self) -> int:
        """Usual distance between rows in steps; 1 with fewer than two rows."""
        return max(1, int(np.median(np.diff(self.steps)))) if len(self) > 1 else 1


EMPTY: Final = Series(np.empty(0, np.int64), np.empty(0, np.float64))


def on_common_steps(*series: Series) -> tuple[Series, ...]:
    """The rows at steps that all series have."""
    first = series[0].steps
    # Usually all are columns of the same rows: then there is nothing to search.
    if all(np.array_equal(first, other.steps) for other in series[1:]):
        return series
    steps = first
    for other in series[1:]:
        steps = np.intersect1d(steps, other.steps, assume_unique=True)
    return tuple(
        each
        if len(each) == len(steps)
        else Series(steps, each.values[np.searchsorted(each.steps, steps)])
        for each in series
    )


def union_of_steps(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """All steps of several rising arrays, each once.

    A stable sort is fast where they are sorted in pieces.
    """
    steps = np.sort(np.concatenate([*parts, EMPTY.steps]), kind="stable")
    return steps[np.append(np.diff(steps) > 0, True)] if len(steps) else steps
