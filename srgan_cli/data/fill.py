"""Invalid pixels take the value of the nearest valid one, so that nothing bleeds from nodata."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def fill_nearest(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`values` with every invalid pixel replaced by the nearest valid pixel's spectrum.

    Exact Euclidean distance; among equally near pixels the left-most column wins, then the upper
    row. Without any invalid pixel `values` itself is returned; without any valid one, zeros.

    Args:
        values: (C, H, W).
        valid: (H, W).
    """
    if valid.all():
        return values
    filled = np.zeros_like(values)
    if valid.any():
        filled[:, valid] = values[:, valid]
        rows, cols = np.nonzero(~valid)
        source_rows, source_cols = nearest_valid(valid, rows, cols)
        filled[:, rows, cols] = values[:, source_rows, source_cols]
    return filled


def nearest_valid(valid: NDArray[np.bool_], rows: Index, cols: Index) -> tuple[Index, Index]:
    """(rows, cols) of the valid pixel nearest to each of the given pixels.

    Two passes, as in Felzenszwalb & Huttenlocher, "Distance transforms of sampled functions"
    (2012): down the columns, then along the rows. The second takes, instead of their lower
    envelope, the monotone minima of a Monge array by halving, which numpy can do for all rows
    at once.
    """
    height, width = valid.shape
    touched, row_of = np.unique(rows, return_inverse=True)
    nearest_row = _nearest_in_column(valid, touched)
    # A column without valid pixels is farther away than any other.
    beyond = (height + width) ** 2
    distance = np.where(nearest_row < 0, beyond, (nearest_row - touched[:, None]) ** 2)
    best = _nearest_along_rows(distance.astype(np.int64))
    source_cols = best[row_of, cols]
    return nearest_row[row_of, source_cols], source_cols


def _nearest_in_column(valid: NDArray[np.bool_], rows: Index) -> Index:
    """Row of the nearest valid pixel in the same column, (len(rows), W); -1 where there is none."""
    height = valid.shape[0]
    index = np.arange(height)[:, None]
    above = np.maximum.accumulate(np.where(valid, index, -1))[rows]
    below = np.minimum.accumulate(np.where(valid, index, 2 * height)[::-1])[::-1][rows]
    here = rows[:, None]
    use_above = (above >= 0) & (here - above <= below - here)
    return np.where(use_above, above, np.where(below < 2 * height, below, -1))


def _nearest_along_rows(distance: Index) -> Index:
    """For each row and column x, the x' with the least (x - x')**2 + distance[row, x'].

    The least x' grows with x. So the minima at every second column bound those between them,
    and halving the stride looks about once at each column of each row.
    """
    num_rows, width = distance.shape
    best = np.zeros((num_rows, width), dtype=np.int64)
    last = np.full((num_rows, 1), width - 1)
    best[:, :1] = _minima(distance, np.zeros(1, dtype=np.int64), np.zeros_like(last), last)
    half = (1 << (width - 1).bit_length()) // 2
    while half:
        columns = np.arange(half, width, 2 * half)
        low = best[:, columns - half]
        known = columns[columns + half < width] + half
        high = np.hstack([best[:, known], last])[:, : len(columns)]
        best[:, columns] = _minima(distance, columns, low, high)
        half //= 2
    return best


def _minima(distance: Index, columns: Index, low: Index, high: Index) -> Index:
    """The least x' within [low, high], both (rows, len(columns)), for each of the columns."""
    width = distance.shape[1]
    counts = (high - low + 1).ravel()
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    run = np.repeat(np.arange(len(counts)), counts)
    tried = low.ravel()[run] + np.arange(len(run)) - starts[run]
    row, column = run // len(columns), columns[run % len(columns)]
    cost = (column - tried) ** 2 + distance[row, tried]
    least = np.minimum.reduceat(cost * width + tried, starts)
    source: Index = least % width
    return source.reshape(low.shape)
