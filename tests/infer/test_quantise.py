from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.infer.quantise import Quantiser

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
IDENTITY = RADIOMETRIES["identity"]
VALID = np.ones((1, 1), dtype=bool)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_far_values_stop_at_the_ends_of_the_dtype(dtype: str) -> None:
    quantise = Quantiser(dtype, IDENTITY, 1, None)
    info = np.iinfo(dtype)
    high = quantise.stored(np.full((1, 1, 1), 1e30, dtype=np.float32), VALID)
    low = quantise.stored(np.full((1, 1, 1), -1e30, dtype=np.float32), VALID)
    assert low[0, 0, 0] == info.min
    assert info.max * (1 - 1e-15) <= int(high[0, 0, 0]) <= info.max


@given(st.floats(-200, 400, width=32))
def test_values_are_rounded_to_even_halves(value: float) -> None:
    found = Quantiser("uint8", IDENTITY, 1, None).stored(
        np.full((1, 1, 1), value, dtype=np.float32), VALID
    )
    assert found[0, 0, 0] == min(max(round(value), 0), 255)


@pytest.mark.parametrize("dtype", [*INTEGERS, "float32", "float64"])
def test_no_valid_prediction_is_nodata(dtype: str) -> None:
    kind = np.dtype(dtype)
    limits = (-1e30, 1e30) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    ends = [float(end) for end in limits if kind.kind == "f" or kind.itemsize < 8]
    for nodata in (0.0, *ends):
        sr = np.full((1, 1, 1), nodata, dtype=np.float32)
        quantiser = Quantiser(dtype, IDENTITY, 1, nodata)
        found = quantiser.stored(sr, VALID)
        assert found[0, 0, 0] != quantiser.fill
        assert found.dtype == kind


def test_invalid_pixels_get_the_fill_on_the_larger_grid() -> None:
    valid = np.array([[True, False]])
    sr = np.full((2, 2, 4), 7, dtype=np.float32)
    for dtype, nodata, fill in (("uint8", 3, 3), ("uint8", None, 0), ("float32", -1.5, -1.5)):
        found = Quantiser(dtype, IDENTITY, 2, nodata).stored(sr, valid)
        np.testing.assert_array_equal(found[:, :, 2:], fill)
        np.testing.assert_array_equal(found[:, :, :2], 7)
    assert np.isnan(Quantiser("float32", IDENTITY, 2, None).stored(sr, valid)[:, :, 2:]).all()
