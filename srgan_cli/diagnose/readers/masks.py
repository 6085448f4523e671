"""Tables that write NaN where there is no value, as pandas does when asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose.readers.naming import NOT_METRICS
from srgan_cli.diagnose.readers.table import NO_VALUE

_MOSTLY: Final = 0.5
_COMES_BACK: Final = 3
"""Weights that are NaN stay so: what becomes finite again and again was never NaN."""


def unmask(names: Sequence[str], values: NDArray[np.float64]) -> int:
    """Replace NaN by NO_VALUE, in place, where it stands for a missing value.

    A validation metric that is NaN in most rows and finite again and again was not measured in
    those rows. In such a table a NaN counts as missing where the row holds metrics of the other sort, training
    or validation, only, and before the first number of a metric.

    Args:
        names: Of the columns.
        values: (columns, rows).

    Returns:
        How many values were replaced.
    """
    broken = np.isnan(values)
    if not broken.any():
        return 0
    val = np.array([name.startswith("val") for name in names])
    train = np.array([name not in NOT_METRICS for name in names]) & ~val
    if not any(_comes_and_goes(broken[column]) for column in np.flatnonzero(val)):
        return 0
    finite = ~broken & (values != NO_VALUE)
    trained, validated = finite[train].any(axis=0), finite[val].any(axis=0)
    missing = np.zeros_like(broken)
    missing[val] = broken[val] & (trained & ~validated)
    missing[train] = broken[train] & (validated & ~trained)
    # What begins with NaN and has numbers later was not logged yet, as D's metrics in pretraining.
    has_begun = np.maximum.accumulate(finite, axis=1)
    missing |= broken & ~has_begun & finite.any(axis=1)[:, None]
    values[missing] = NO_VALUE
    return int(np.count_nonzero(missing))


def _comes_and_goes(broken: NDArray[np.bool_]) -> bool:
    returns = np.count_nonzero(broken[:-1] & ~broken[1:])
    return bool(broken.mean() > _MOSTLY and returns >= _COMES_BACK)
