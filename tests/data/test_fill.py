import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from srgan_cli.data.fill import fill_nearest, nearest_valid

masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(np.bool_, shape)
)


@settings(deadline=None)
@given(masks)
def test_every_invalid_pixel_gets_a_valid_one_at_the_least_distance(valid):
    values = np.arange(valid.size, dtype=np.float32).reshape(1, *valid.shape)
    filled = fill_nearest(values, valid)
    if not valid.any():
        assert not filled.any()
        return
    source = filled[0].astype(int)
    rows, cols = np.divmod(source, valid.shape[1])
    assert valid[rows, cols].all()
    at_rows, at_cols = np.indices(valid.shape)
    distance = np.hypot(at_rows - rows, at_cols - cols)
    np.testing.assert_allclose(distance, distance_transform_edt(~valid), atol=1e-9)


def test_a_spectrum_stays_together_and_nan_does_not_survive():
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    valid = np.ones((3, 4), dtype=bool)
    valid[1, 2] = False
    values[:, 1, 2] = np.nan
    filled = fill_nearest(values, valid)
    assert np.isfinite(filled).all()
    assert filled[1, 1, 2] - filled[0, 1, 2] == 12


def test_all_valid_costs_no_copy():
    values = np.ones((3, 5, 5), dtype=np.float32)
    assert fill_nearest(values, np.ones((5, 5), dtype=bool)) is values


@pytest.mark.parametrize("shape", [(300, 257), (1, 500), (500, 1)])
def test_a_single_valid_pixel_far_away(shape):
    valid = np.zeros(shape, dtype=bool)
    valid[-1, 0] = True
    rows, cols = nearest_valid(valid, *np.nonzero(~valid))
    assert (rows == shape[0] - 1).all()
    assert (cols == 0).all()


def test_ties_go_left_then_up():
    valid = np.zeros((3, 3), dtype=bool)
    valid[0, 1] = valid[2, 1] = valid[1, 0] = valid[1, 2] = True
    rows, cols = nearest_valid(valid, np.array([1]), np.array([1]))
    assert (int(rows[0]), int(cols[0])) == (1, 0)
    valid[1, 0] = valid[1, 2] = False
    rows, cols = nearest_valid(valid, np.array([1]), np.array([1]))
    assert (int(rows[0]), int(cols[0])) == (0, 1)
