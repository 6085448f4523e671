"""Losses between SR and HR pixels. Invalid pixels count in none; all are computed in float32.

Shapes: sr and hr (B, C, H, W) in network units, valid (B, 1, H, W) with 1 for valid pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_EPS = 1e-12
"""Inside square roots: the gradient of sqrt is infinite at 0."""


class Counts(NamedTuple):
    """What means divide by, where these crops are a part of a batch; 0-d tensors."""

    pixels: Tensor
    """Valid pixels."""
    rows: Tensor
    """Valid pixels with a valid neighbour below."""
    columns: Tensor
    """Valid pixels with a valid neighbour to the right."""


def count_valid(valid: Tensor) -> Counts:
    """What the means over these crops alone divide by."""
    return Counts(valid.sum(), _rows(valid).sum(), _columns(valid).sum())


def masked_mean(values: Tensor, valid: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean of `values` (B, C, H, W) over valid pixels; 0 where nothing is valid.

    `count`: so many valid pixels are divided by, not those of `valid` itself.
    """
    weight = valid.expand_as(values)
    if count is None:
        total = weight.sum().clamp(min=1)
    else:
        # A count may be a mean over processes, below 1.
        total = (count * values.shape[1]).clamp(min=1e-6)
    return (values * weight).sum() / total


def _rows(valid: Tensor) -> Tensor:
    return valid[:, :, 1:] * valid[:, :, :-1]


def _columns(valid: Tensor) -> Tensor:
    return valid[:, :, :, 1:] * valid[:, :, :, :-1]


def l1(sr: Tensor, hr: Tensor, valid: Tensor, counts: Counts | None = None) -> Tensor:
    """Mean absolute error."""
    error = (sr.float() - hr.float()).abs()
    return masked_mean(error, valid, None if counts is None else counts.pixels)


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


def sam(sr: Tensor, hr: Tensor, valid: Tensor, counts: Counts | None = None) -> Tensor:
    """Mean spectral angle in radians."""
    return masked_mean(spectral_angle(sr, hr), valid, None if counts is None else counts.pixels)


def total_variation(sr: Tensor, valid: Tensor, counts: Counts | None = None) -> Tensor:
    """Anisotropic total variation per pixel, over neighbours that are both valid.

    Rudin, Osher and Fatemi 1992.
    """
    image = sr.float()
    rows = (image[:, :, 1:] - image[:, :, :-1]).abs()
    columns = (image[:, :, :, 1:] - image[:, :, :, :-1]).abs()
    num_rows, num_columns = (None, None) if counts is None else (counts.rows, counts.columns)
    return masked_mean(rows, _rows(valid), num_rows) + masked_mean(
        columns, _columns(valid), num_columns
    )
