"""Initialisation of the generators."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def icnr_(weight: Tensor, factor: int = 2) -> None:
    """Fill a convolution kernel that feeds `PixelShuffle(factor)` so that its phases start equal.

    The shuffled output is then a nearest-neighbour upsampling: no energy at the sub-pixel grid
    frequencies. ICNR, Aitken et al. 2017, arXiv:1707.02937.

    Args:
        weight: (C * factor**2, C_in, k, k).
        factor: The shuffle factor.
    """
    if weight.is_meta:
        # Without values; and to draw them there loads sympy and PyTorch's compiler, 160 MB.
        return
    phases = factor * factor
    kernel = torch.empty_like(weight[::phases])
    nn.init.kaiming_normal_(kernel)
    with torch.no_grad():
        weight.copy_(kernel.repeat_interleave(phases, dim=0))


def icnr_upsamplers_(module: nn.Module) -> None:
    """Apply ICNR to every convolution that directly feeds a PixelShuffle, with a zero bias."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.PixelShuffle)]
    for conv, shuffle in pairwise(layers):
        if isinstance(conv, nn.Conv2d) and isinstance(shuffle, nn.PixelShuffle):
            icnr_(conv.weight, shuffle.upscale_factor)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)


def small_kaiming_(module: nn.Module, gain: float = 0.1) -> None:
    """ESRGAN's start: Kaiming-normal kernels times `gain`, zero biases (Wang et al. 2018)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            with torch.no_grad():
                layer.weight.mul_(gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
