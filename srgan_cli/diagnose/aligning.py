"""Rows that several metrics have in common."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose.log import Series
from srgan_cli.diagnose.stats import Values


def aligned(*series: Series) -> tuple[NDArray[np.int64], list[Values]]:
    """The steps at which all have a value, and the values of each there."""
    first = series[0].steps
    # A run logs most metrics in the same rows; sorting a million of them takes seconds.
    if all(np.array_equal(first, other.steps) for other in series[1:]):
        return first, [each.values for each in series]
    steps = reduce(_intersection, (each.steps for each in series))
    return steps, [each.values[np.isin(each.steps, steps)] for each in series]


def _intersection(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.intersect1d(a, b, assume_unique=True))
