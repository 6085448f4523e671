"""Robust statistics of noisy, autocorrelated training curves. Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Values = NDArray[np.float64]

_CHUNK_ROWS = 65536
_MAX_PAIRWISE = 300
"""Series longer than this are thinned to bin medians before a method that compares all pairs."""
MAD_TO_SIGMA = 1.4826


def running_median(values: Values, width: int) -> Values:
    """Median of a centred window of odd `width`, which shrinks at both ends; same length."""
    half = min(width // 2, (len(values) - 1) // 2)
    if half < 1:
        return np.array(values, np.float64)
    result = np.empty_like(values)
    windows = sliding_window_view(values, 2 * half + 1)
    for start in range(0, len(windows), _CHUNK_ROWS):
        chunk = windows[start : start + _CHUNK_ROWS]
        # A window is odd, so that its median is one of its values: half the work of np.median.
        result[half + start : half + start + len(chunk)] = np.partition(chunk, half, axis=1)[
            :, half
        ]
    for index in range(half):
        result[index] = np.median(values[: index + half + 1])
        result[-1 - index] = np.median(values[-(index + half + 1) :])
    return result


def above_neighbours(values: Values, width: int, by: float) -> tuple[NDArray[np.int64], Values]:
    """Rows that exceed the running median of odd `width` by more than `by`, and by how much.

    As `running_median` finds them; but medians are taken only where a value exceeds the lowest one
    around it by so much, which in a million rows are few.
    """
    half = min(width // 2, (len(values) - 1) // 2)
    if half < 1:
        return np.empty(0, np.int64), np.empty(0)
    candidates = np.flatnonzero(values - _lowest_around(values, half) > by)
    medians = np.empty(len(candidates))
    whole = (candidates >= half) & (candidates < len(values) - half)
    for index in np.flatnonzero(~whole):
        row = candidates[index]
        medians[index] = np.median(values[max(0, row - half) : row + half + 1])
    windows = sliding_window_view(values, 2 * half + 1)
    rows = np.flatnonzero(whole)
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = rows[start : start + _CHUNK_ROWS]
        around = windows[candidates[chunk] - half]
        medians[chunk] = np.partition(around, half, axis=1)[:, half]
    rest = values[candidates] - medians
    return candidates[rest > by], rest[rest > by]


def _lowest_around(values: Values, half: int) -> Values:
    """Lowest value within `half` rows of each row, that row included."""
    padded = np.pad(values, half, constant_values=np.inf)
    width, reach = 2 * half + 1, 1
    while reach < width:
        shift = min(reach, width - reach)
        padded = np.minimum(padded[:-shift], padded[shift:])
        reach += shift
    return padded


def robust_sigma(values: Values) -> float:
    """Noise of a series: 1.4826 * MAD of the first differences / sqrt 2, blind to slow trends."""
    if len(values) < 3:
        return 0.0
    steps = np.diff(values)
    return float(MAD_TO_SIGMA * np.median(np.abs(steps - np.median(steps))) / math.sqrt(2))


def bin_medians(values: Values, count: int) -> Values:
    """Medians of `count` consecutive bins of nearly equal size; the series itself when shorter."""
    if len(values) <= count:
        return values
    # The first bins are one longer; two medians of all rows at once are many times faster.
    size, longer = divmod(len(values), count)
    cut = longer * (size + 1)
    parts = (values[:cut].reshape(longer, size + 1), values[cut:].reshape(count - longer, size))
    return np.concatenate([np.median(part, axis=1) for part in parts if len(part)])


def tail(values: Values, share: float, at_least: int = 1) -> Values:
    """The last `share` of a series, but at least so many values where there are any."""
    return values[-max(at_least, round(len(values) * share)) :]


def theil_sen(x: Values, y: Values) -> float:
    """Median slope over all pairs of points; 0 with fewer than two."""
    x, y = bin_medians(x, _MAX_PAIRWISE), bin_medians(y, _MAX_PAIRWISE)
    first, second = np.triu_indices(len(x), k=1)
    rise, run = y[second] - y[first], x[second] - x[first]
    return float(np.median(rise[run != 0] / run[run != 0])) if np.any(run != 0) else 0.0


@dataclass(frozen=True)
class Trend:
    """Result of a Mann-Kendall test."""

    direction: int
    """-1 falling, 0 none, 1 rising (the sign of Kendall's S, whatever its significance)."""
    p: float
    """Two-sided, corrected for autocorrelation."""


def mann_kendall(values: Values) -> Trend:
    """Test for a monotonic trend; variance corrected for autocorrelation (Hamed and Rao 1998)."""
    y = bin_medians(values, _MAX_PAIRWISE)
    n = len(y)
    if n < 4:
        return Trend(0, 1.0)
    first, second = np.triu_indices(n, k=1)
    score = float(np.sign(y[second] - y[first]).sum())
    variance = n * (n - 1) * (2 * n + 5) / 18 * _autocorrelation_inflation(y)
    z = max(abs(score) - 1, 0.0) / math.sqrt(variance)
    return Trend(int(np.sign(score)), math.erfc(z / math.sqrt(2)))


def _autocorrelation_inflation(y: Values) -> float:
    """Factor on the variance of S, from the significant rank autocorrelations after detrending."""
    n = len(y)
    positions = np.arange(n, dtype=np.float64)
    rest = y - theil_sen(positions, y) * positions
    ranks = np.argsort(np.argsort(rest, kind="stable"), kind="stable").astype(np.float64)
    ranks -= ranks.mean()
    power = float(ranks @ ranks)
    if power == 0:
        return 1.0
    inflation = 0.0
    for lag in range(1, min(n - 2, n // 4) + 1):
        rho = float(ranks[:-lag] @ ranks[lag:]) / power
        if abs(rho) > 1.96 / math.sqrt(n):
            inflation += (n - lag) * (n - lag - 1) * (n - lag - 2) * rho
    # Below 1 the correction would make a test more certain than independence; stay on the safe side.
    return max(1.0, 1 + 2 * inflation / (n * (n - 1) * (n - 2)))


def lag_one(values: Values) -> float:
    """Autocorrelation at lag 1; 0 for a constant series."""
    centred = values - values.mean()
    power = float(centred @ centred)
    return float(centred[:-1] @ centred[1:]) / power if power else 0.0


def share_of(condition: NDArray[np.bool_]) -> float:
    """Share of rows for which a condition holds; 0 without rows."""
    return float(condition.mean()) if len(condition) else 0.0


def round_nicely(value: float) -> float:
    """Rounded to 1, 2 or 5 times a power of ten: a setting for a person to type."""
    if value <= 0 or not math.isfinite(value):
        return value
    exponent = math.floor(math.log10(value))
    mantissa = value / 10**exponent
    nearest = min((1, 2, 5, 10), key=lambda step: abs(math.log(mantissa / step)))
    return float(f"{nearest}e{exponent}")
