"""Losses between SR and HR pixels. Invalid pixels count in none; all are computed in float32.

Shapes: sr and hr (B, C, H, W) in network units, valid (B, 1, H, W) with 1 for valid pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-12
"""Inside square roots: the gradient of sqrt is infinite at 0."""


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `values` (B, C, H, W) over valid pixels; 0 where nothing is valid."""
    weight = valid.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1)


def l1(sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error."""
    return masked_mean((sr.float() - hr.float()).abs(), valid)


def spectral_angle(sr: Tensor, hr: Tensor) -> Tensor:
    """Angle (B, 1, H, W) in radians between the spectra of SR and HR.

    Kruse et al. 1993, in Kahan's form 2 * atan2(|u - v|, |u + v|) of the unit spectra, whose
    gradient stays finite where the cosine form breaks down.
    """
    u = torch.nn.functional.normalize(sr.float(), dim=1, eps=1e-6)
    v = torch.nn.functional.normalize(hr.float(), dim=1, eps=1e-6)
    apart = ((u - v).square().sum(dim=1, keepdim=True) + _EPS).sqrt()
    together = ((u + v).square().sum(dim=1, keepdim=True) + _EPS).sqrt()
    return 2 * torch.atan2(apart, together)


def sam(sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
    """Mean spectral angle in radians."""
    return masked_mean(spectral_angle(sr, hr), valid)


def total_variation(sr: Tensor, valid: Tensor) -> Tensor:
    """Anisotropic total variation per pixel, over neighbours that are both valid.

    Rudin, Osher and Fatemi 1992.
    """
    image = sr.float()
    rows = (image[:, :, 1:] - image[:, :, :-1]).abs()
    columns = (image[:, :, :, 1:] - image[:, :, :, :-1]).abs()
    return masked_mean(rows, valid[:, :, 1:] * valid[:, :, :-1]) + masked_mean(
        columns, valid[:, :, :, 1:] * valid[:, :, :, :-1]
    )
