"""Measurements on tiles: each responds to what it measures, and to nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_grid_findings import SIDE, scenes

from srgan_cli.diagnose import images

TILES = scenes(0, 16, 2)


def moved(tiles: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Periodic shift by a fraction of a pixel."""
    fy, fx = np.fft.fftfreq(tiles.shape[2])[:, None], np.fft.fftfreq(tiles.shape[3])[None]
    turn = np.exp(-2j * np.pi * (fy * rows + fx * columns))
    return np.fft.ifft2(np.fft.fft2(tiles) * turn).real


@settings(max_examples=15)
@given(st.floats(-1.9, 1.9), st.floats(-1.9, 1.9), st.integers(0, 5))
def test_a_shift_is_measured_to_a_tenth_of_a_pixel(rows: float, columns: float, seed: int) -> None:
    still = scenes(seed, 8, 2)
    noise = 0.003 * np.random.default_rng(seed).normal(size=still.shape)
    found = images.shift_px(moved(still, rows, columns) + noise, still)
    assert found == pytest.approx((rows, columns), abs=0.1)


@settings(max_examples=25)
@given(st.sampled_from([2, 3, 4, 8]), st.integers(0, 50), st.integers(0, 7), st.floats(0.1, 9))
def test_blocks_are_seen_wherever_the_grid_lies(
    scale: int, seed: int, offset: int, gain: float
) -> None:
    lr = scenes(seed, 4, 1)[:, :, : SIDE // scale, : SIDE // scale]
    nearest = lr.repeat(scale, axis=2).repeat(scale, axis=3)[:, :, offset:, offset:]
    assert images.blockiness(gain * nearest, scale) > 1000
    assert images.blockiness(gain * scenes(seed, 4, 1)[:, :, offset:, offset:], scale) < 1.3


def test_stripes_along_one_axis_are_no_blocks() -> None:
    rows = TILES[:, :, ::4].repeat(4, axis=2)
    assert images.blockiness(rows, 4) < 1.3


def test_extremes_and_values_beyond() -> None:
    assert images.extreme_share(TILES).max() < 0.001
    cut = np.clip(TILES, np.quantile(TILES, 0.02), np.quantile(TILES, 0.97))
    assert images.extreme_share(cut) == pytest.approx([0.05, 0.05], abs=0.02)
    assert images.share_beyond(TILES, TILES, 0.1).max() == 0
    far = TILES.copy()
    far[:, 1, :10] += 10
    assert images.share_beyond(far, TILES, 0.1) == pytest.approx([0, 10 / SIDE])


def test_errors_at_the_border() -> None:
    wrong = TILES + 0.01
    assert images.border_ratio(wrong, TILES, 8) == pytest.approx(1.0)
    wrong[:, :, :8] += 0.05
    assert images.border_ratio(wrong, TILES, 8) > 2


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_the_sign_test_is_a_probability(positive: int, negative: int, ties: int) -> None:
    values = np.array([1.0] * positive + [-2.0] * negative + [0.0] * ties)
    p = images.sign_test(values)
    assert 0 < p <= 1
    assert p == images.sign_test(-values)
    if positive == negative:
        assert p == 1


def test_the_sign_test_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for positive, negative in ((16, 0), (13, 3), (9, 7)):
        values = np.array([1.0] * positive + [-1.0] * negative)
        assert images.sign_test(values) == pytest.approx(binomtest(positive, 16).pvalue)


def wave(period: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.sin(2 * np.pi * (0.8 * x + 0.6 * y) / period)


@pytest.mark.parametrize("period", [2.7, 5.3, 9.4])
def test_a_repeated_texture_is_a_peak(period: float) -> None:
    quiet = TILES + 0.002 * scenes(5, 16, 2)
    assert images.repeated_texture(quiet, TILES, 4).times < 2
    peak = images.repeated_texture(quiet + 0.01 * wave(period), TILES, 4)
    assert peak.sigmas > 8
    assert peak.times > 3
    assert peak.period_px == pytest.approx(period, rel=0.06)
    assert peak.share > 0.9


def test_the_grid_is_no_repeated_texture() -> None:
    checker = np.tile([[1.0, -1.0], [-1.0, 1.0]], (SIDE // 2, SIDE // 2))
    assert images.repeated_texture(TILES + 0.01 * checker, TILES, 4).times < 3


def test_contrast_and_means() -> None:
    assert images.contrast(2 * TILES) == pytest.approx(2 * images.contrast(TILES))
    assert images.area_mean(TILES, 4).shape == (16, 2, SIDE // 4, SIDE // 4)
    assert images.area_mean(TILES, 4).mean() == pytest.approx(TILES.mean())
    low, high = np.percentile(TILES[:, 1], (2, 98))
    assert images.value_range(TILES)[1] == pytest.approx(high - low)
