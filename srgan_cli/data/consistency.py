"""Do a given LR and its HR show the same ground in the same light? Shift, gain and bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan_cli.data.batch import Batch
from srgan_cli.data.degradation import degrade
from srgan_cli.data.radiometry import Radiometry, of_band

MIN_WINDOW_PX = 16
"""Below it a window has too few frequencies to measure a shift by."""
BLOCK_PX = 8
"""LR pixels along a side of the blocks whose means are compared: larger than shifts and blurs."""
MIN_BLOCKS = 8
HIGHEST_FREQUENCY = 0.35
"""Cycles per LR pixel; beyond lie aliasing and noise."""
LOWEST_FREQUENCY = 0.05
"""Below lies shading, which correlates by chance: it has few waves in a window."""
MIN_EVIDENCE = 0.14
"""Coherence times correlation of detail that a shift must reach, more in small windows; different
ground reaches 0.13, pan and near infrared of the same ground 0.24, two bands of one sensor 0.8."""

MAX_SHIFT_PX = 0.5
"""LR pixels that LR may lie beside HR."""
MAX_GAIN = 2.0
"""LR and HR of gains beyond it, or below its reciprocal, are in different units."""
USUAL_GAIN = 1.25
"""Gains beyond it are worth a warning."""
USUAL_BIAS = 0.05
"""Mean differences beyond it, in network units, are worth a warning."""
MIN_CONTRAST = 0.02
"""Bands with less contrast, in network units, do not tell much."""
MIN_CORRELATION = 0.3

Spectrum = NDArray[np.complex128]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Shift:
    """Where LR lies relative to the degraded HR, in LR pixels."""

    down: float
    right: float
    coherence: float
    """Height of the peak of the phase correlation, 0 to 1."""

    @property
    def largest(self) -> float:
        """Along the axis where it is larger."""
        return max(abs(self.down), abs(self.right))


@dataclass(frozen=True)
class Agreement:
    """How LR differs from the degraded HR; one number per band, stored units."""

    shift: Shift | None
    """None where it cannot be measured: too small, too flat, or too different."""
    gain: tuple[float, ...]
    """Slope of LR over HR; NaN where the ground is too even or too small to tell."""
    bias: tuple[float, ...]
    """Mean of LR less mean of HR."""
    correlation: tuple[float, ...]
    contrast: tuple[float, ...]
    """Standard deviation of HR; without contrast nothing else tells much."""


def compare(crops: Sequence[Batch], scale: int, radiometry: Radiometry) -> Agreement:
    """How the given LR of some crops differs from their HR, degraded by block means.

    Both are compared on the LR grid, where LR pixel i covers the HR pixels i * scale ... Gain,
    bias and correlation are those of means of blocks of 8 x 8 LR pixels, which hardly know of
    shifts and of differences in sharpness; gain is the slope of the least-squares line.

    Args:
        crops: Without batch dimension, all of one size, network units.
        scale: HR pixels per LR pixel along a side.
        radiometry: Of the crops.
    """
    pairs = [_on_lr_grid(crop, scale, radiometry) for crop in crops]
    lr_blocks = np.concatenate([_block_means(lr, valid) for lr, _, valid in pairs], axis=1)
    hr_blocks = np.concatenate([_block_means(hr, valid) for _, hr, valid in pairs], axis=1)
    lines = [_line(lr, hr) for lr, hr in zip(lr_blocks, hr_blocks, strict=True)]
    gain, correlation = zip(*lines, strict=True)
    bias = (lr_blocks - hr_blocks).mean(axis=1) if lr_blocks.size else [np.nan] * len(lr_blocks)
    whole = [(lr, hr) for lr, hr, valid in pairs if valid.all()]
    return Agreement(
        shift=measure_shift(whole),
        gain=tuple(gain),
        bias=tuple(float(value) for value in bias),
        correlation=tuple(correlation),
        contrast=tuple(float(band.std()) if band.size else 0.0 for band in hr_blocks),
    )


def _on_lr_grid(crop: Batch, scale: int, radiometry: Radiometry) -> tuple[Floats, Floats, Mask]:
    """LR and degraded HR (C, h, w) in stored units, and where both are wholly valid (h, w)."""
    hr = degrade(crop.hr[None], scale, "area")[0]
    valid = functional.avg_pool2d(crop.valid, scale)[0] == 1
    lr, hr = (_stored(image, radiometry) for image in (crop.lr, hr))
    return lr.numpy(), hr.numpy(), valid.numpy()


def _stored(image: Tensor, radiometry: Radiometry) -> Tensor:
    return radiometry.to_stored(image.to(torch.float64))


def _block_means(image: Floats, valid: Mask) -> Floats:
    """Means (C, N) of the blocks without an invalid pixel; of small crops, of smaller blocks."""
    bands, height, width = image.shape
    side = max(1, min(BLOCK_PX, height // 4, width // 4))
    rows, cols = height // side, width // side

    def blocks(values: Floats) -> Floats:
        cut = values[..., : rows * side, : cols * side].reshape(-1, rows, side, cols, side)
        means: Floats = cut.mean(axis=(2, 4))
        return means.reshape(-1, rows * cols)

    whole = blocks(valid.astype(np.float64))[0] == 1
    return blocks(image)[:, whole].reshape(bands, -1)


def _line(lr: Floats, hr: Floats) -> tuple[float, float]:
    """Slope and correlation of LR over HR."""
    if len(hr) < MIN_BLOCKS or hr.std() == 0 or lr.std() == 0:
        return float("nan"), float("nan")
    covariance = float(np.mean((lr - lr.mean()) * (hr - hr.mean())))
    return covariance / float(hr.var()), covariance / float(hr.std() * lr.std())


def measure_shift(
    pairs: Sequence[tuple[Floats, Floats]],
) -> Shift | None:
    """Where the first image of each pair lies relative to the second, by phase correlation.

    The phase differences of all pairs and bands are averaged; the shift is the maximum of their
    transform, found to 0.01 pixel by evaluating it between the pixels. Kuglin and Hines, "The
    phase correlation image alignment method", 1975; Guizar-Sicairos et al., "Efficient subpixel
    image registration algorithms", 2008.

    Args:
        pairs: Images (C, H, W) of one size.

    Returns:
        None where the windows are smaller than 16 pixels, even, or do not correlate.
    """
    if not pairs or min(pairs[0][0].shape[1:]) < MIN_WINDOW_PX:
        return None
    shape = pairs[0][0].shape[1:]
    down, right = (np.fft.fftfreq(side).astype(np.float64) for side in shape)
    frequency = np.hypot(down[:, None], right[None])
    used = (frequency <= HIGHEST_FREQUENCY) & (frequency > 0)
    phases, crosses, powers = _cross_spectra(pairs)
    phases = np.where(used, phases / used.sum(), 0)
    at_down, at_right, coherence = _peak(phases, down, right)
    waves = used & (frequency >= LOWEST_FREQUENCY)
    turn = np.exp(2j * np.pi * (at_down * down[:, None] + at_right * right[None]))
    together = (crosses * turn)[:, waves].real.sum(axis=1)
    match = together / np.maximum(np.sqrt(powers[:, :, waves].sum(axis=2).prod(axis=0)), 1e-30)
    by_chance = 2.5 / math.sqrt(len(pairs) * used.sum() / 2)
    if coherence * float(np.median(match)) < max(MIN_EVIDENCE, by_chance):
        return None
    return Shift(at_down, at_right, min(coherence, 1.0))


def _cross_spectra(pairs: Sequence[tuple[Floats, Floats]]) -> tuple[Spectrum, Spectrum, Floats]:
    """Mean phase factors (H, W) of all pairs and bands; sums of cross spectra (C, H, W) and of powers (2, C, H, W)."""
    bands, height, width = pairs[0][0].shape
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    phases = np.zeros((height, width), dtype=np.complex128)
    crosses = np.zeros((bands, height, width), dtype=np.complex128)
    powers = np.zeros((2, bands, height, width))
    for pair in pairs:
        first, second = (_spectrum(image, taper) for image in pair)
        cross = first * second.conj()
        strength = np.abs(cross)
        known = strength > 1e-12 * strength.max(initial=0)
        phases += np.where(known, cross / np.where(known, strength, 1), 0).sum(axis=0)
        crosses += cross
        powers += np.abs([first, second]) ** 2
    return phases / (len(pairs) * bands), crosses, powers


def _spectrum(image: Floats, taper: Floats) -> Spectrum:
    level = image - image.mean(axis=(1, 2), keepdims=True)
    return np.fft.fft2(level * taper)


def _peak(phases: Spectrum, down: Floats, right: Floats) -> tuple[float, float, float]:
    """Place and height of the maximum of the inverse transform, searched in ever finer steps."""
    whole = np.fft.ifft2(phases).real * phases.size
    row, col = np.unravel_index(int(whole.argmax()), whole.shape)
    at_down, at_right = (
        float(np.fft.fftfreq(length, 1 / length)[index])
        for length, index in zip(whole.shape, (row, col), strict=True)
    )
    height = float(whole[row, col])
    for step in (0.1, 0.01):
        near = step * np.arange(-10, 11)
        rows = np.exp(2j * np.pi * np.outer(at_down + near, down))
        cols = np.exp(2j * np.pi * np.outer(right, at_right + near))
        fine = (rows @ phases @ cols).real
        row, col = np.unravel_index(int(fine.argmax()), fine.shape)
        at_down, at_right = at_down + float(near[row]), at_right + float(near[col])
        height = float(fine[row, col])
    # Rounding leaves -0.0 and 0.30000000000000004 behind.
    return round(at_down, 2) + 0.0, round(at_right, 2) + 0.0, height


def disagreement(
    found: Agreement,
    radiometry: Radiometry,
    band_names: Sequence[str],
    lr_pixel_m: float | None = None,
) -> tuple[str, str]:
    """Why LR and HR cannot be trained on together, without their names, and what to do; or two empty strings."""
    shift, telling = found.shift, _telling(found, radiometry)
    if shift is not None and shift.largest > MAX_SHIFT_PX:
        metres = f", {shift.largest * lr_pixel_m:.3g} m" if lr_pixel_m else ""
        return (
            f"LR lies {shift.largest:.2f} LR pixels{metres} beside HR ({shift_words(shift)}; phase "
            f"correlation {shift.coherence:.2f}); at most {MAX_SHIFT_PX} is allowed",
            "register LR to HR, or take the pair out",
        )
    best = max((found.correlation[band] for band in telling), default=1.0)
    if shift is None and best < MIN_CORRELATION:
        return (
            f"LR and HR do not show the same ground: they correlate by {best:.2f} at most",
            "correct the pairing, or take the pair out",
        )
    for band in telling:
        gain = found.gain[band]
        if found.correlation[band] >= MIN_CORRELATION and not 1 / MAX_GAIN <= gain <= MAX_GAIN:
            return (
                f"{band_names[band]} of LR is {gain:.3g} times that of HR: another unit",
                "bring LR and HR into the same unit, or take the pair out",
            )
    return "", ""


def differences(found: Agreement, radiometry: Radiometry, band_names: Sequence[str]) -> str:
    """What differs between LR and HR and may be meant so, without their names; or nothing."""
    contrasts, means = [], []
    for band in _telling(found, radiometry):
        gain, bias = found.gain[band], found.bias[band]
        if not 1 / USUAL_GAIN <= gain <= USUAL_GAIN:
            contrasts.append(f"{gain:.2f} ({band_names[band]})")
        if abs(bias * of_band(radiometry.scale, band)) > USUAL_BIAS:
            means.append(f"{bias:+.4g} ({band_names[band]})")
    words = []
    if contrasts:
        words.append(f"LR has {', '.join(contrasts)} times the contrast of HR")
    if means:
        words.append(f"LR less HR is {', '.join(means)} on average")
    return "; ".join(words)


def shift_words(shift: Shift) -> str:
    """A shift in directions of the image."""
    down = f"{abs(shift.down):.2f} {'down' if shift.down >= 0 else 'up'}"
    return f"{down}, {abs(shift.right):.2f} {'right' if shift.right >= 0 else 'left'}"


def _telling(found: Agreement, radiometry: Radiometry) -> list[int]:
    """Bands whose blocks are many and differ enough to judge by."""
    return [
        band
        for band, contrast in enumerate(found.contrast)
        if contrast * abs(of_band(radiometry.scale, band)) >= MIN_CONTRAST
        and np.isfinite(found.correlation[band])
    ]
