"""Measurements on sets of native tiles (N, C, H, W). Numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

_LOW_FREQUENCY = 0.2
"""Cycles per pixel up to which a shift is read off the phase: above, aliasing begins."""


def value_range(tiles: Tiles) -> Floats:
    """(C,) 98th minus 2nd percentile of each band."""
    low, high = np.percentile(tiles.astype(np.float64), (2, 98), axis=(0, 2, 3))
    return np.asarray(high - low)


def area_mean(tiles: Tiles, scale: int) -> Floats:
    """Mean over cells of scale * scale pixels."""
    num, bands, height, width = tiles.shape
    cells = tiles.reshape(num, bands, height // scale, scale, width // scale, scale)
    return np.asarray(cells.mean(axis=(3, 5), dtype=np.float64))


def extreme_share(tiles: Tiles) -> Floats:
    """(C,) share of the pixels that lie exactly at their band's least or largest value."""
    flat = np.moveaxis(tiles, 1, 0).reshape(tiles.shape[1], -1)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    return np.asarray(((flat == low) | (flat == high)).mean(axis=1))


def share_beyond(tiles: Tiles, reference: Tiles, slack: float) -> Floats:
    """(C,) share of the pixels further out than all of `reference` by `slack` of its range."""
    margin = slack * value_range(reference)
    low = reference.min(axis=(0, 2, 3)) - margin
    high = reference.max(axis=(0, 2, 3)) + margin
    shape = (1, -1, 1, 1)
    outside = (tiles < low.reshape(shape)) | (tiles > high.reshape(shape))
    return np.asarray(outside.mean(axis=(0, 2, 3)))


def blockiness(tiles: Tiles, scale: int) -> float:
    """Mean step between neighbours of different cells over that inside cells; 1 = no blocks.

    Of all positions that the grid may have, the one with the largest steps (Wang et al. 2002), and of
    both directions the lower ratio: blocks have edges along both.
    """
    return min(_blockiness(np.diff(tiles, axis=axis), axis, scale) for axis in (2, 3))


def _blockiness(steps: Tiles, axis: int, scale: int) -> float:
    other = tuple(each for each in range(4) if each != axis)
    profile = np.abs(steps.astype(np.float64)).mean(axis=other)
    phases = np.array([profile[phase::scale].mean() for phase in range(scale)])
    at = int(np.argmax(phases))
    inside = float(np.delete(phases, at).mean())
    return float(phases[at]) / max(inside, 1e-6 * float(phases[at]), 1e-30)


def border_ratio(sr: Tiles, hr: Tiles, width_px: int) -> float:
    """Mean absolute error in the outermost pixels over that further inside."""
    error = np.abs(sr.astype(np.float64) - hr).mean(axis=(0, 1))
    inner = error[width_px:-width_px, width_px:-width_px]
    around = (error.sum() - inner.sum()) / (error.size - inner.size)
    return float(around / max(float(inner.mean()), 1e-30))


def shift_px(moved: Tiles, still: Tiles) -> tuple[float, float]:
    """(rows, columns) by which `moved` lies further down and right than `still`, in their pixels.

    From the phase of the cross spectrum at low frequencies, summed over tiles and bands (Kuglin and
    Hines 1975), by least squares; right to a tenth of a pixel for shifts below two.
    """
    spectrum = _cross_spectrum(moved, still)
    height, width = moved.shape[2:]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    # The window stands still: what is not much longer in frequency than it would say no shift.
    least = 1.5 / min(height, width)
    low = (np.hypot(fy, fx) <= _LOW_FREQUENCY) & (np.hypot(fy, fx) > least)
    fy, fx = np.broadcast_arrays(fy, fx)
    weight = np.sqrt(np.abs(spectrum[low]))
    rows = columns = 0.0
    for _ in range(4):
        turned = spectrum * np.exp(2j * math.pi * (fy * rows + fx * columns))
        phase = -np.angle(turned[low]) / (2 * math.pi)
        root = np.sqrt(weight)
        system = np.stack([fy[low] * root, fx[low] * root], axis=1)
        step, *_ = np.linalg.lstsq(system, phase * root, rcond=None)
        rows, columns = rows + float(step[0]), columns + float(step[1])
    return rows, columns


def _cross_spectrum(moved: Tiles, still: Tiles) -> NDArray[np.complex128]:
    height, width = moved.shape[2:]
    window = np.hanning(height)[:, None] * np.hanning(width)[None]
    total = np.zeros((height, width), np.complex128)
    for band in range(moved.shape[1]):
        a, b = moved[:, band].astype(np.float64), still[:, band].astype(np.float64)
        a, b = (x - x.mean(axis=(1, 2), keepdims=True) for x in (a, b))
        power = float(np.sqrt((a**2).sum() * (b**2).sum()))
        if power > 0:
            total += (np.fft.fft2(a * window) * np.conj(np.fft.fft2(b * window))).sum(
                axis=0
            ) / power
    return total


def contrast(tiles: Tiles) -> Floats:
    """(C,) median over the tiles of the standard deviation within a tile."""
    return np.asarray(np.median(tiles.astype(np.float64).std(axis=(2, 3)), axis=0))


def sign_test(differences: Floats) -> float:
    """Two-sided p that the median of the differences is 0; ties do not count."""
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    num = positive + negative
    if num == 0:
        return 1.0
    more = max(positive, negative)
    tail = sum(math.comb(num, k) for k in range(more, num + 1)) / 2**num
    return float(min(1.0, 2 * tail))


@dataclass(frozen=True)
class Peak:
    """A peak of the spectrum of SR over that of HR."""

    sigmas: float
    """Height above its neighbours in robust standard deviations of the log spectral ratio."""
    times: float
    """Power against that of its neighbours."""
    period_px: float
    share: float
    """Share of the tiles that have it."""


def repeated_texture(sr: Tiles, hr: Tiles, scale: int) -> Peak:
    """The strongest spectral peak that SR has and HR does not, away from the grid's frequencies."""
    ratios = np.log(_spectra(sr) / _spectra(hr))
    mean = ratios.mean(axis=0)
    rest = mean - _local_median(mean)
    height, width = sr.shape[2:]
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    free = (np.hypot(fy, fx) >= 2.5 / min(height, width)) & ~_on_grid(fy, fx, scale, height, width)
    sigma = 1.4826 * float(np.median(np.abs(rest[free] - np.median(rest[free]))))
    heights = np.where(free, rest / max(sigma, 1e-9), -np.inf)
    at = np.unravel_index(int(np.argmax(heights)), heights.shape)
    own = np.array([each[at] - np.median(_neighbours(each, at)) for each in ratios])
    spread = np.array(
        [1.4826 * np.median(np.abs(each[free] - np.median(each[free]))) for each in ratios]
    )
    period = 1 / float(np.hypot(fy[at[0], 0], fx[0, at[1]]))
    return Peak(
        sigmas=float(heights[at]),
        times=float(np.exp(rest[at])),
        period_px=period,
        share=float((own > np.maximum(2 * spread, math.log(2))).mean()),
    )


def _spectra(tiles: Tiles) -> Floats:
    """(N, H, W // 2 + 1) power summed over bands, each scaled by its variance."""
    height, width = tiles.shape[2:]
    window = np.hanning(height)[:, None] * np.hanning(width)[None]
    x = tiles.astype(np.float64)
    x = x - x.mean(axis=(2, 3), keepdims=True)
    scale = np.sqrt((x**2).mean(axis=(0, 2, 3), keepdims=True))
    power = np.abs(np.fft.rfft2(x / np.maximum(scale, 1e-12) * window)) ** 2
    total = power.sum(axis=1)
    return np.asarray(total + 1e-9 * total.mean())


def _on_grid(fy: Tiles, fx: Tiles, scale: int, height: int, width: int) -> NDArray[np.bool_]:
    """Frequencies within two bins of the multiples of 1 / scale along both axes."""
    near_y = np.abs(fy * scale - np.round(fy * scale)) <= 2.5 * scale / height
    near_x = np.abs(fx * scale - np.round(fx * scale)) <= 2.5 * scale / width
    return np.asarray(near_y & near_x)


def _local_median(values: Floats) -> Floats:
    """Median over 7 x 7 neighbours, periodic along the rows."""
    windows = np.lib.stride_tricks.sliding_window_view(_padded(values), (7, 7))
    return np.asarray(np.median(windows, axis=(2, 3)))


def _neighbours(values: Floats, at: tuple[np.intp, ...]) -> Floats:
    """The 7 x 7 of `_local_median` at one place."""
    return _padded(values)[at[0] : at[0] + 7, at[1] : at[1] + 7]


def _padded(values: Floats) -> Floats:
    return np.pad(np.pad(values, ((3, 3), (0, 0)), mode="wrap"), ((0, 0), (3, 3)), mode="reflect")
