"""Robust statistics: what is computed faster is what is computed plainly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.diagnose import stats

levels = st.lists(st.floats(-5, 5).map(lambda x: round(x, 1)), max_size=60)


@given(levels=levels, width=st.sampled_from([1, 3, 5, 21]), by=st.floats(0, 4))
def test_rows_above_their_neighbours_are_those_above_the_running_median(
    levels: list[float], width: int, by: float
) -> None:
    values = np.array(levels, np.float64)
    rest = values - stats.running_median(values, width)
    rows, above = stats.above_neighbours(values, width, by)
    assert rows.tolist() == np.flatnonzero(rest > by).tolist()
    assert above.tolist() == rest[rest > by].tolist()


def test_many_rows_above_their_neighbours_are_found_in_pieces() -> None:
    values = np.random.default_rng(0).normal(size=200_000)
    rows, above = stats.above_neighbours(values, 5, 0.0)
    rest = values - stats.running_median(values, 5)
    assert len(rows) > 65_536
    assert rows.tolist() == np.flatnonzero(rest > 0).tolist()
    assert above.max() == pytest.approx(rest.max())
