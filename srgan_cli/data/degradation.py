"""LR made of HR: a blur, sampling at the centres of the LR pixels, noise.

LR pixel i covers the HR pixels i * scale ... (i + 1) * scale - 1 along each axis, so its centre
lies at HR coordinate (i + 0.5) * scale - 0.5: for an even scale between two HR pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

GAUSSIAN_REACH = 4.0
"""Standard deviations after which the Gaussian PSF is cut: 6e-5 of its mass lies outside."""


def degrade(
    hr: Tensor,
    scale: int,
    kind: str = "bicubic",
    mtf_nyquist: float = 0.25,
    noise_std: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """LR (B, C, H / scale, W / scale) of HR (B, C, H, W), both in network units.

    - `bicubic`: Keys' kernel (a = -0.5) stretched by `scale`, so that it does not alias;
      R. Keys, "Cubic convolution interpolation for digital image processing", 1981. At the
      edges the kernel is cut and normalised. PIL, MATLAB's imresize and torch agree on it.
    - `area`: the mean of each block of scale x scale pixels.
    - `gaussian`: a PSF exp(-x^2 / 2 s^2) with s = scale / pi * sqrt(-2 ln mtf_nyquist) HR pixels,
      whose transfer function exp(-2 pi^2 s^2 f^2) is `mtf_nyquist` at the LR Nyquist frequency
      f = 1 / (2 scale); Aiazzi et al., "MTF-tailored multiscale fusion of high-resolution MS and
      Pan imagery", 2006. Edges are replicated. The PSF is sampled at the HR pixels, which holds
      the value to 1 % up to 0.5 at scale 2 and 0.9 at scale 4; narrower ones come out blurrier.

    Noise is white and Gaussian, drawn from `generator`.

    Raises:
        ValueError: an unknown `kind`, or sides that are not multiples of `scale`.
    """
    if hr.shape[-2] % scale or hr.shape[-1] % scale:
        raise ValueError(f"{tuple(hr.shape[-2:])} is not a multiple of scale {scale}")
    rows, cols = (sampling(side, scale, kind, mtf_nyquist).to(hr) for side in hr.shape[-2:])
    lr = rows @ hr @ cols.T
    return add_noise(lr, noise_std, generator)


def add_noise(lr: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """`lr` plus white Gaussian noise; `lr` itself where `std` is 0."""
    if std == 0:
        return lr
    noise = torch.randn(lr.shape, generator=generator, dtype=lr.dtype, device=lr.device)
    return lr + std * noise


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
    identity = torch.eye(side, dtype=torch.float64)
    if kind == "bicubic":
        size = (side // scale, side)
        image = identity[None, None]
        return functional.interpolate(image, size, mode="bicubic", antialias=True)[0, 0]
    if kind == "area":
        return functional.avg_pool2d(identity[None], (scale, 1))[0]
    if kind == "gaussian":
        return _gaussian(identity, scale, mtf_nyquist)
    raise ValueError(f"unknown degradation {kind!r}")


def _gaussian(identity: Tensor, scale: int, mtf_nyquist: float) -> Tensor:
    margin = margin_px(scale, "gaussian", mtf_nyquist)
    offsets = torch.arange(scale + 2 * margin, dtype=torch.float64) - (scale - 1) / 2 - margin
    psf = torch.exp(-(offsets**2) / (2 * gaussian_sigma(scale, mtf_nyquist) ** 2))
    columns = functional.pad(identity.T[:, None], (margin, margin), mode="replicate")
    return functional.conv1d(columns, (psf / psf.sum())[None, None], stride=scale)[:, 0].T
