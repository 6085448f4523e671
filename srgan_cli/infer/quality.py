"""How well SR agrees with LR, gathered while it is made: tile by tile, mergeable in any order.

Averaged over the pixels of one LR pixel, SR should be LR again. What a network adds to the mean is
bias; what differs from pixel to pixel is seen in RMSE, in the 99th percentile of the absolute
difference and in the spectral angle. All of it is in stored units, over valid pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from numpy.typing import NDArray

from srgan_cli.data.radiometry import of_band
from srgan_cli.infer.geometry import Tile
from srgan_cli.infer.quality_report import BandQuality, QualityReport
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.seams import Lines, Seams

_FRACTION_BITS = 60
"""Sums are kept as integers of that many binary digits behind the point: their order is of no matter."""
_BIN_SHIFT = 16
"""The upper half of a float32 is the bin of its histogram: 2 ** 7 bins to the octave."""
_P99 = 0.99
_CHUNK_NUMBERS = 2**17
"""So many stay in the processor's cache."""
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass
class Seen:
    """What one tile adds to the figures."""

    pixels: int
    """That are valid."""
    beyond: list[int]
    """Of every band."""
    lines: Lines
    sums: list[int] = field(default_factory=list)
    squares: list[int] = field(default_factory=list)
    histograms: list[NDArray[np.int64]] = field(default_factory=list)
    """Of every band, up to its last filled bin."""
    angles: int = 0
    num_angles: int = 0


class Quality:
    """Gathers the figures of a scene; for one thread at a time."""

    def __init__(
        self, quantiser: Quantiser, bands: Sequence[str], comparable: bool, size: tuple[int, int]
    ) -> None:
        """Begin with nothing.

        Args:
            quantiser: How predictions are stored.
            bands: Names of the SR bands, maybe empty ones.
            comparable: Whether SR has the bands of LR.
            size: Rows and columns of the LR area.
        """
        self._quantiser = quantiser
        self._names = tuple(bands)
        self._comparable = comparable
        self._ranges = [_range(quantiser, band) for band in range(len(self._names))]
        self._limits = _in_network_units(quantiser, self._ranges)
        self._gain, self._dark = _to_brightness(quantiser, len(self._names))
        self._seams = Seams(len(self._names), quantiser.scale, size)
        num = len(self._names)
        self._pixels = 0
        self._sums, self._squares, self._beyond = [0] * num, [0] * num, [0] * num
        self._histograms = np.zeros((num, 2**15), dtype=np.int64)
        self._angles, self._num_angles = 0, 0

    def look(self, tile: Tile, lr_core: Array, sr_core: Array, valid: Mask) -> Seen:
        """What there is to note of one tile; changes nothing.

        Args:
            tile: Where it lies.
            lr_core: (C, h, w), network units.
            sr_core: (C', h * scale, w * scale), network units.
            valid: (h, w), LR pixels that count.
        """
        beyond = self._beyond_limits(sr_core, valid)
        lines = self._seams.look(tile.core, sr_core, valid)
        seen = Seen(int(valid.sum()), beyond, lines)
        if not self._comparable or not seen.pixels:
            return seen
        radiometry, scale = self._quantiser.radiometry, self._quantiser.scale
        means = _finite(_of_valid(_pooled(sr_core, scale), valid))
        lr = _of_valid(lr_core, valid)
        with np.errstate(over="ignore"):
            differences = radiometry.difference_to_stored((means - lr)[:, :, None])[:, :, 0]
        for difference in _finite(np.asarray(differences, dtype=np.float32)):
            exact = difference.astype(np.float64)
            seen.sums.append(_exact(float(exact.sum())))
            seen.squares.append(_exact(float(np.dot(exact, exact))))
            bins = np.abs(difference).view(np.uint32) >> _BIN_SHIFT
            seen.histograms.append(np.bincount(bins))
        if len(self._names) > 1:
            seen.angles, seen.num_angles = self._sum_of_angles(means, lr)
        return seen

    def note(self, seen: Seen) -> None:
        """Take in what was seen of a tile."""
        self._pixels += seen.pixels
        self._seams.note(seen.lines)
        self._angles += seen.angles
        self._num_angles += seen.num_angles
        for band, beyond in enumerate(seen.beyond):
            self._beyond[band] += beyond
        for band, histogram in enumerate(seen.histograms):
            self._sums[band] += seen.sums[band]
            self._squares[band] += seen.squares[band]
            self._histograms[band, : len(histogram)] += histogram

    def _beyond_limits(self, sr: Array, valid: Mask) -> list[int]:
        """Pixels of every band that are beyond its limits."""
        scale = self._quantiser.scale
        counts = []
        for image, (low, high) in zip(sr, self._limits, strict=True):
            # Almost always nothing is beyond, and two passes at the speed of memory tell so.
            if image.min() >= low and image.max() <= high:
                counts.append(0)
                continue
            if valid.all():
                counts.append(int(np.count_nonzero(image < low) + np.count_nonzero(image > high)))
                continue
            beyond = (image < low) | (image > high)
            per_pixel = beyond.reshape(valid.shape[0], scale, valid.shape[1], scale)
            counts.append(int(per_pixel.sum(axis=(1, 3))[valid].sum()))
        return counts

    def _sum_of_angles(self, sr: Array, lr: Array) -> tuple[int, int]:
        """Sum and number of the angles between (C, pixels), from where the radiometry has no light."""
        left, right = self._brightness(sr), self._brightness(lr)
        # In float64: near 1 an arccosine loses half of the digits.
        norms = np.sqrt(_along(left, left) * _along(right, right))
        lit = norms > 0
        cosines = _along(left, right)[lit] / norms[lit]
        angles = np.arccos(np.clip(cosines, -1, 1, out=cosines), out=cosines)
        return _exact(float(angles.sum())), int(lit.sum())

    def _brightness(self, network: Array) -> NDArray[np.float64]:
        brightness: NDArray[np.float64] = network * self._gain
        brightness += self._dark
        return brightness

    def as_dict(self) -> dict[str, Any]:
        """Everything gathered so far, in plain numbers for JSON."""
        return {
            "pixels": self._pixels,
            "sums": list(self._sums),
            "squares": list(self._squares),
            "beyond": list(self._beyond),
            "histograms": [_sparse(histogram) for histogram in self._histograms],
            "angles": self._angles,
            "num_angles": self._num_angles,
            "seams": self._seams.as_dict(),
        }

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add what another instance for the same scene gathered, as its `as_dict` gives it."""
        self._pixels += other["pixels"]
        for band in range(len(self._names)):
            self._sums[band] += other["sums"][band]
            self._squares[band] += other["squares"][band]
            self._beyond[band] += other["beyond"][band]
            for index, count in other["histograms"][band]:
                self._histograms[band, index] += count
        self._angles += other["angles"]
        self._num_angles += other["num_angles"]
        self._seams.merge(other["seams"])

    def tags(self) -> dict[str, str]:
        """The figures as tags of the output."""
        return self.report().tags()

    def report(self) -> QualityReport:
        """The figures of all that was gathered."""
        known = self._comparable and self._pixels > 0
        sam = None
        if self._num_angles:
            sam = math.degrees(_value(self._angles) / self._num_angles)
        return QualityReport(
            bands=tuple(self._band(band) for band in range(len(self._names))) if known else (),
            sam=sam,
            seam_index=self._seams.index(),
            pixels=self._pixels,
        )

    def _band(self, band: int) -> BandQuality:
        count = self._pixels
        low, high = self._ranges[band]
        return BandQuality(
            name=self._names[band],
            bias=_value(self._sums[band]) / count,
            rmse=math.sqrt(_value(self._squares[band]) / count),
            p99=_quantile(self._histograms[band], _P99),
            out_of_range=self._beyond[band] / (count * self._quantiser.scale**2),
            range=(low, high) if math.isfinite(low) and math.isfinite(high) else None,
        )


def _pooled(sr: Array, scale: int) -> Array:
    """Means (C, h, w) over LR pixels of SR (C, h * scale, w * scale), which may be cut out of more.

    By a few rows at a time: pooling copies what is cut out, and small copies stay in the cache.
    """
    height, width = sr.shape[1] // scale, sr.shape[2] // scale
    means = np.empty((len(sr), height, width), dtype=np.float32)
    rows = max(_CHUNK_NUMBERS // (sr.shape[2] * scale), 1)
    with torch.inference_mode():
        for band, image in enumerate(torch.from_numpy(sr)):
            for row in range(0, height, rows):
                part = image[row * scale : (row + rows) * scale]
                means[band, row : row + rows] = F.avg_pool2d(part[None], scale)[0].numpy()
    return means


def _of_valid(image: Array, valid: Mask) -> Array:
    """(C, pixels)."""
    return image.reshape(len(image), -1) if valid.all() else image[:, valid]


def _finite(image: Array) -> Array:
    """The same with 0 for NaN, and the largest numbers for infinity."""
    # One pass instead of many where all is well, as it nearly always is.
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(image.sum())
    return image if math.isfinite(total) else np.nan_to_num(image)


def _along(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = np.einsum("cp,cp->p", left, right)
    return product


def _to_brightness(
    quantiser: Quantiser, num_bands: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain and addition (C, 1) that make stored values above no light of network units."""
    radiometry, bands = quantiser.radiometry, range(num_bands)
    gain = np.array([[1 / of_band(radiometry.scale, band)] for band in bands])
    offset = np.array([[of_band(radiometry.offset, band)] for band in bands])
    dark = np.array([[of_band(radiometry.usual_min, band)] for band in bands])
    return gain, -offset * gain - dark


def _range(quantiser: Quantiser, band: int) -> tuple[float, float]:
    """Stored values that are in order."""
    radiometry = quantiser.radiometry
    if quantiser.is_integer:
        info = np.iinfo(quantiser.dtype)
        return float(info.min), float(info.max)
    if radiometry.usual_max is None:
        return -math.inf, math.inf
    return of_band(radiometry.usual_min, band), of_band(radiometry.usual_max, band)


def _in_network_units(
    quantiser: Quantiser, ranges: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Limits of predictions; integers are rounded to the limit from half a step beyond it."""
    step = 0.5 if quantiser.is_integer else 0.0
    radiometry = quantiser.radiometry
    limits = []
    for band, (low, high) in enumerate(ranges):
        scale, offset = of_band(radiometry.scale, band), of_band(radiometry.offset, band)
        ends = ((low - step) * scale + offset, (high + step) * scale + offset)
        limits.append((min(ends), max(ends)))
    return limits


def _exact(value: float) -> int:
    return math.floor(math.ldexp(value, _FRACTION_BITS))


def _value(total: int) -> float:
    return float(total / 2**_FRACTION_BITS)


def _sparse(histogram: NDArray[np.int64]) -> list[list[int]]:
    filled = np.flatnonzero(histogram)
    return [[int(index), int(histogram[index])] for index in filled]


def _quantile(histogram: NDArray[np.int64], share: float) -> float:
    """The upper end of the bin that the quantile lies in."""
    counts = np.cumsum(histogram)
    index = int(np.searchsorted(counts, share * counts[-1]))
    if index == 0:
        return 0.0
    upper = np.array([(index + 1) << _BIN_SHIFT], dtype=np.uint32).view(np.float32)
    return float(upper[0])
