"""LR made of HR: a blur, sampling at the centres of the LR pixels, noise.

LR pixel i covers the HR pixels i * scale ... (i + 1) * scale - 1 along each axis, so its centre
lies at HR coordinate (i + 0.5) * scale - 0.5: for an even scale between two HR pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from numpy.random import PCG64, Generator, SeedSequence
from torch import Tensor
from torch.nn import functional

from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config.data import DegradationConfig

GAUSSIAN_REACH = 4.0
"""Standard deviations after which the Gaussian PSF is cut: 6e-5 of its mass lies outside."""

SENTINEL2_MTF = {
    "B1": 0.32, "B2": 0.26, "B3": 0.28, "B4": 0.24, "B5": 0.38, "B6": 0.34,
    "B7": 0.34, "B8": 0.26, "B8A": 0.33, "B9": 0.26, "B11": 0.22, "B12": 0.23,
}  # fmt: skip
"""Modulation of Sentinel-2A's MSI at the Nyquist frequency of each band's own pixels (10, 20, 60 m).

Measured by ESA's Sentinel-2 Mission Performance Centre (S. Clerc et al., "S2 MPC Data Quality
Report", S2-PDGS-MPC-DQR, 2017, section "Modulation Transfer Function"), as tabulated by Lanaras
et al., "Super-resolution of multispectral multiresolution images from a single sensor", CVPRW 2017.
"""

Range = tuple[float, float]
"""Lowest and highest value of a uniform draw; twice the same for a fixed value."""


@dataclass(frozen=True)
class Degradation:
    """How LR is made of HR; what is a range is drawn anew for each crop, from the crop's own seed."""

    scale: int
    kind: str = "bicubic"
    """As in `degrade`."""
    mtf_nyquist: tuple[Range, ...] = ((0.25, 0.25),)
    """One range for all bands, or one for each. One draw serves all: sharp crops are sharp in all bands."""
    noise_std: Range = (0.0, 0.0)
    """As in `add_noise`, network units."""
    noise_signal: Range = (0.0, 0.0)
    """As in `add_noise`, network units."""
    order: tuple[str, ...] = ("blur", "noise")
    """`blur` once (it samples, too); `noise` before it falls on HR, after it on LR."""

    @property
    def margin_px(self) -> int:
        """How far, in HR pixels, a LR pixel sees beyond its own block at most; a multiple of the scale."""
        return max(margin_px(self.scale, self.kind, low) for low, _ in self.mtf_nyquist)

    def make_lr(
        self,
        hr: Tensor,
        rows: slice,
        cols: slice,
        seed: int,
        zero: Tensor | float = 0.0,
    ) -> Tensor:
        """LR pixels `rows`, `cols` of the HR window (C, H, W); the same seed gives the same LR.

        Args:
            hr: Network units; with `margin_px` around the wanted pixels, or up to the scene's edge.
            rows: In LR pixels of the window.
            cols: In LR pixels of the window.
            seed: Of the crop, at least 0.
            zero: Network value of a stored 0, broadcast over (C, H, W).
        """
        mtf, std, signal = self._drawn(seed)
        noise = torch.Generator().manual_seed(seed) if std or signal else None
        image, sampled = hr, False
        for step in self.order:
            if step == "noise":
                image = add_noise(image, std, noise, signal, zero)
            elif not sampled:
                image, sampled = _sample(image[None], self.scale, self.kind, mtf)[0], True
                image = image[:, rows, cols]
        return image

    def _drawn(self, seed: int) -> tuple[tuple[float, ...], float, float]:
        """MTF of each band, and both noise levels."""
        limits = (*self.mtf_nyquist, self.noise_std, self.noise_signal)
        if all(low == high for low, high in limits):
            return tuple(low for low, _ in self.mtf_nyquist), limits[-2][0], limits[-1][0]
        # The draws have a stream of their own: ranges do not change the noise field.
        share, std, signal = Generator(PCG64(SeedSequence([seed], spawn_key=(3,)))).random(3)
        mtf = tuple(_within(each, share) for each in self.mtf_nyquist)
        return mtf, _within(self.noise_std, std), _within(self.noise_signal, signal)


def _within(limits: Range, share: float) -> float:
    return limits[0] + float(share) * (limits[1] - limits[0])


def build_degradation(
    section: DegradationConfig, scale: int, band_names: Sequence[str]
) -> Degradation:
    """The degradation of a configuration.

    Args:
        section: `Data.degradation`.
        scale: HR pixels per LR pixel along a side.
        band_names: Names of the bands in network order, for the MTF of Sentinel-2.

    Raises:
        RefusedError: Sentinel-2's MTF is asked for, but a band is none of its bands.
    """
    return Degradation(
        scale,
        section.kind,
        _mtf_ranges(section, band_names),
        _as_range(section.noise_std),
        _as_range(section.noise_signal),
        section.order,
    )


def _as_range(value: float | Range) -> Range:
    return value if isinstance(value, tuple) else (value, value)


def _mtf_ranges(section: DegradationConfig, band_names: Sequence[str]) -> tuple[Range, ...]:
    if section.kind != "gaussian" or not section.mtf_bands:
        return (_as_range(section.mtf_nyquist),)
    if section.mtf_bands != "sentinel2":
        return tuple((value, value) for value in section.mtf_bands)
    values = [sentinel2_mtf(name) for name in band_names]
    return tuple((value, value) for value in values)


def sentinel2_mtf(band_name: str) -> float:
    """ESA's modulation at Nyquist of a band: `B04`, `b4` and `B4, central wavelength 665 nm` are one.

    Raises:
        RefusedError: No such band.
    """
    found = re.match(r"b0*(\d+a?)\b", band_name.strip(), re.IGNORECASE)
    value = SENTINEL2_MTF.get(f"B{found[1].upper()}") if found else None
    if value is None:
        raise RefusedError(
            f"Data.degradation.mtf_bands sentinel2: there is no figure for band {band_name!r}, "
            f"only for {', '.join(SENTINEL2_MTF)}",
            "name the bands with Data.band_names, for example [B04, B03, B02, B08], "
            "or give one number per band",
        )
    return value


def degrade(
    hr: Tensor,
    scale: int,
    kind: str = "bicubic",
    mtf_nyquist: float | Sequence[float] = 0.25,
    noise_std: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """LR (B, C, H / scale, W / scale) of HR (B, C, H, W), both in network units.

    - `bicubic`: Keys' kernel (a = -0.5) stretched by `scale`, so that it does not alias;
      R. Keys, "Cubic convolution interpolation for digital image processing", 1981. At the
      edges the kernel is cut and normalised. PIL, MATLAB's imresize and torch agree on it.
    - `area`: the mean of each block of scale x scale pixels: a box PSF, whose transfer function
      is sin(pi scale f) / (scale sin(pi f)), 0.64 at the LR Nyquist frequency.
    - `gaussian`: a PSF exp(-x^2 / 2 s^2) with s = scale / pi * sqrt(-2 ln mtf_nyquist) HR pixels,
      whose transfer function exp(-2 pi^2 s^2 f^2) is `mtf_nyquist` at the LR Nyquist frequency
      f = 1 / (2 scale); Aiazzi et al., "MTF-tailored multiscale fusion of high-resolution MS and
      Pan imagery", 2006. Edges are replicated. The PSF is sampled at the HR pixels, which holds
      the value to 1 % up to 0.5 at scale 2 and 0.9 at scale 4; narrower ones come out blurrier.

    Args:
        hr: Image, network units.
        scale: HR pixels per LR pixel along a side.
        kind: See above.
        mtf_nyquist: For `gaussian`: of all bands, or of each.
        noise_std: As in `add_noise`.
        generator: Of the noise.

    Raises:
        ValueError: an unknown `kind`, or sides that are not multiples of `scale`.
    """
    mtf = (mtf_nyquist,) if isinstance(mtf_nyquist, (int, float)) else tuple(mtf_nyquist)
    return add_noise(_sample(hr, scale, kind, mtf), noise_std, generator)


def _sample(hr: Tensor, scale: int, kind: str, mtf_nyquist: tuple[float, ...]) -> Tensor:
    if hr.shape[-2] % scale or hr.shape[-1] % scale:
        raise ValueError(f"{tuple(hr.shape[-2:])} is not a multiple of scale {scale}")
    rows, cols = (
        _maps(side, scale, kind, mtf_nyquist, hr.dtype).to(hr.device) for side in hr.shape[-2:]
    )
    return rows @ hr @ cols.mT


@lru_cache(maxsize=16)
def _maps(
    side: int, scale: int, kind: str, mtf_nyquist: tuple[float, ...], dtype: torch.dtype
) -> Tensor:
    """`sampling` for each band; one map for all bands as a plain matrix, which is multiplied at once."""
    maps = [sampling(side, scale, kind, mtf) for mtf in mtf_nyquist]
    return (torch.stack(maps) if len(maps) > 1 else maps[0]).to(dtype)


def add_noise(
    image: Tensor,
    std: float,
    generator: torch.Generator | None = None,
    per_signal: float = 0.0,
    zero: Tensor | float = 0.0,
) -> Tensor:
    """`image` plus noise of variance std^2 + per_signal * max(image - zero, 0); itself without noise.

    The Poisson-Gaussian model of a detector, both parts as normal deviates: `std` is read-out and
    quantisation, `per_signal` photon noise; Foi et al., "Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data", 2008. White in space, independent in bands.

    Args:
        image: (..., C, H, W), network units.
        std: Standard deviation of the signal-independent part.
        generator: Random numbers.
        per_signal: Variance of the other part per unit of signal.
        zero: Network value of a stored 0, where the signal begins.
    """
    if std == 0 and per_signal == 0:
        return image
    noise = torch.randn(image.shape, generator=generator, dtype=image.dtype, device=image.device)
    if per_signal == 0:
        return image + std * noise
    variance = std**2 + per_signal * (image - zero).clamp(min=0)
    return image + variance.sqrt() * noise


def margin_px(scale: int, kind: str, mtf_nyquist: float = 0.25) -> int:
    """How far, in HR pixels, a LR pixel sees beyond its own block; a multiple of `scale`."""
    if kind == "area" or (kind == "bicubic" and scale == 1):
        return 0
    if kind == "bicubic":
        # The kernel reaches 2 * scale from the centre of the block, which is scale wide.
        return 2 * scale
    reach = GAUSSIAN_REACH * gaussian_sigma(scale, mtf_nyquist)
    return scale * max(1, math.ceil((reach - scale / 2) / scale))


def gaussian_sigma(scale: int, mtf_nyquist: float) -> float:
    """Standard deviation, in HR pixels, of the Gaussian PSF with this MTF at the LR Nyquist."""
    return scale / math.pi * math.sqrt(-2 * math.log(mtf_nyquist))


@lru_cache(maxsize=64)
def sampling(side: int, scale: int, kind: str, mtf_nyquist: float) -> Tensor:
    """The linear map (side / scale, side) that makes LR of HR along one axis, in float64.

    All kinds are separable, and for crops two matrix products are quicker than a filter.
    """
    if kind == "gaussian":
        return _gaussian(side, scale, mtf_nyquist)
    identity = torch.eye(side, dtype=torch.float64)
    if kind == "bicubic":
        size = (side // scale, side)
        image = identity[None, None]
        return functional.interpolate(image, size, mode="bicubic", antialias=True)[0, 0]
    if kind == "area":
        return functional.avg_pool2d(identity[None], (scale, 1))[0]
    raise ValueError(f"unknown degradation {kind!r}")


def _gaussian(side: int, scale: int, mtf_nyquist: float) -> Tensor:
    margin = margin_px(scale, "gaussian", mtf_nyquist)
    steps = torch.arange(scale + 2 * margin)
    offsets = steps - (scale - 1) / 2 - margin
    psf = torch.exp(-(offsets.double() ** 2) / (2 * gaussian_sigma(scale, mtf_nyquist) ** 2))
    starts = scale * torch.arange(side // scale)
    # What lies beyond the edge counts as the edge.
    columns = (starts[:, None] - margin + steps).clamp(0, side - 1)
    weights = (psf / psf.sum()).expand(len(starts), -1)
    return torch.zeros(len(starts), side, dtype=torch.float64).scatter_add_(1, columns, weights)
