"""Image quality of SR against HR, one number per image, over valid pixels only.

Shapes: sr and hr (B, C, H, W), valid (B, 1, H, W) with 1 for valid pixels; results (B,) float32,
NaN for an image without valid pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor


def _mean_per_image(values: Tensor, valid: Tensor) -> Tensor:
    weight = valid.expand_as(values)
    # 0 / 0 is NaN on purpose: an image without valid pixels has no quality.
    return (values * weight).flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1)


def l1(sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error."""
    return _mean_per_image((sr - hr).abs(), valid)


def psnr(sr: Tensor, hr: Tensor, valid: Tensor, max_val: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB, over all bands; not clipped to a range."""
    error = _mean_per_image((sr - hr).square(), valid)
    return 10 * torch.log10(max_val**2 / error)


def ssim(
    sr: Tensor, hr: Tensor, valid: Tensor, max_val: float = 1.0, window_px: int = 11
) -> Tensor:
    """Structural similarity (Wang et al. 2004), Gaussian window of sigma 1.5, mean over bands.

    Only windows that lie wholly in the image and on valid pixels count.
    """
    bands = sr.shape[1]
    kernel = _gaussian(window_px, 1.5, sr).expand(bands, 1, window_px, window_px)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, kernel, groups=bands)

    mean_s, mean_h = blur(sr), blur(hr)
    var_s = blur(sr * sr) - mean_s * mean_s
    var_h = blur(hr * hr) - mean_h * mean_h
    covariance = blur(sr * hr) - mean_s * mean_h
    c1, c2 = (0.01 * max_val) ** 2, (0.03 * max_val) ** 2
    score = ((2 * mean_s * mean_h + c1) * (2 * covariance + c2)) / (
        (mean_s * mean_s + mean_h * mean_h + c1) * (var_s + var_h + c2)
    )
    whole = 1 - F.max_pool2d(1 - valid, window_px, stride=1)
    return _mean_per_image(score, whole)


def _gaussian(size_px: int, sigma: float, like: Tensor) -> Tensor:
    x = torch.arange(size_px, device=like.device, dtype=like.dtype) - (size_px - 1) / 2
    profile = torch.exp(-(x**2) / (2 * sigma**2))
    profile = profile / profile.sum()
    return profile[:, None] * profile[None, :]


def sam(sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
    """Mean spectral angle in radians (Kruse et al. 1993); values must have a physical zero."""
    u, v = F.normalize(sr, dim=1), F.normalize(hr, dim=1)
    apart, together = (u - v).norm(dim=1, keepdim=True), (u + v).norm(dim=1, keepdim=True)
    return _mean_per_image(2 * torch.atan2(apart, together), valid)


def ergas(sr: Tensor, hr: Tensor, valid: Tensor, scale: int) -> Tensor:
    """ERGAS = 100 / scale * sqrt(mean over bands of (RMSE / mean)^2) (Wald 2002); 0 is perfect.

    Values must have a physical zero.
    """
    weight = valid.expand_as(hr)
    count = weight.sum(dim=(2, 3))
    squared = ((sr - hr).square() * weight).sum(dim=(2, 3)) / count
    mean = (hr * weight).sum(dim=(2, 3)) / count
    return 100 / scale * (squared / mean.square()).mean(dim=1).sqrt()


def high_frequency_ratio(sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
    """Power of SR over that of HR in the top octave of spatial frequencies; 1 = as sharp as HR.

    Below 0.25 the result is oversmooth, above 1.3 it shows invented detail. NaN for an image with
    invalid pixels.
    """
    height, width = sr.shape[-2:]
    fy = torch.fft.fftfreq(height, device=sr.device)[:, None]
    fx = torch.fft.rfftfreq(width, device=sr.device)[None, :]
    top: Tensor = ((fy**2 + fx**2).sqrt() >= 0.25).to(sr.dtype)
    window = torch.hann_window(height, device=sr.device)[:, None] * torch.hann_window(
        width, device=sr.device
    )

    def power(image: Tensor) -> Tensor:
        centred = image - image.mean(dim=(2, 3), keepdim=True)
        spectrum: Tensor = torch.fft.rfft2(centred * window).abs().square()
        return (spectrum * top).sum(dim=(1, 2, 3))

    ratio = power(sr) / power(hr)
    complete: Tensor = valid.flatten(1).amin(dim=1) > 0
    found: Tensor = torch.where(complete, ratio, torch.nan)
    return found
