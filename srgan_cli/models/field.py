"""How far a network looks: exactly, from its layers, or by a NaN probe where the layers are unknown."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

_PROBE_CAP_PX = 512


@dataclass(frozen=True)
class Reach:
    """A layer whose output depends on so many pixels to every side: (k - 1) / 2 * dilation."""

    px: int


@dataclass(frozen=True)
class Up:
    """A layer that makes `factor` x `factor` pixels of each: PixelShuffle or nearest neighbour."""

    factor: int = 2


@dataclass(frozen=True)
class Down:
    """PixelUnshuffle: `factor` x `factor` pixels become one."""

    factor: int


Step = Reach | Up | Down


def reach_of(conv: nn.Conv2d) -> Reach:
    """The reach of a convolution with an odd kernel and stride 1."""
    return Reach((conv.kernel_size[0] - 1) // 2 * conv.dilation[0])


def receptive_field(steps: Iterable[Step], scale: int) -> int:
    """LR pixels that an SR pixel depends on, to every side of its own LR pixel.

    A single LR pixel is followed through `steps`, the longest way from input to output: the
    interval it has touched on the current grid grows with every layer. All sub-pixel positions of
    the output count, so a half pixel is rounded up. Behind a `Down` the answer depends on where
    in its cell the LR pixel lies; the worst place counts.

    Args:
        steps: In order; the product of all `Up` over all `Down` is `scale`.
        scale: SR pixels per LR pixel along a side.
    """
    way = list(steps)
    period = math.prod(step.factor for step in way if isinstance(step, Down))
    reach = 0
    for pixel in range(period):
        first = last = pixel
        for step in way:
            first, last = _through(step, first, last)
        reach = max(reach, pixel - first // scale, last // scale - pixel)
    return reach


def _through(step: Step, first: int, last: int) -> tuple[int, int]:
    if isinstance(step, Reach):
        return first - step.px, last + step.px
    if isinstance(step, Up):
        return first * step.factor, last * step.factor + step.factor - 1
    return first // step.factor, last // step.factor


def probe_receptive_field(
    network: nn.Module, in_bands: int, scale: int, period: int = 1
) -> int | None:
    """As `receptive_field`, found by looking at the output; None = the whole input.

    A NaN in a line of noise contaminates exactly the SR pixels that depend on it. Two lines, one
    lying and one standing, cost a hundredth of a square and reach as far: the middle row of a
    kernel is as long as the kernel, and a weight of 0 passes NaN on like any other. The probe
    runs on the CPU, where no convolution algorithm spreads NaN beyond its kernel.

    Args:
        network: LR (1, C, h, w) -> SR; it is copied, and left as it is.
        in_bands: C.
        scale: SR pixels per LR pixel along a side.
        period: LR pixels after which the network repeats itself; 1 for a plain convolutional one.

    Raises:
        ValueError: The network turns NaN into numbers.
    """
    network = copy.deepcopy(network).cpu().eval()
    size = 64
    while True:
        reaches = [
            _reach(network, in_bands, scale, size, size // 2 + pixel, axis)
            for axis in (2, 3)
            for pixel in range(period)
        ]
        found = [reach for reach in reaches if reach is not None]
        if len(found) == len(reaches):
            return max(found)
        if size > 2 * _PROBE_CAP_PX:
            return None
        size *= 2


def _reach(
    network: nn.Module, in_bands: int, scale: int, size: int, pixel: int, axis: int
) -> int | None:
    shape = [1, in_bands, 1, 1]
    shape[axis] = size
    lr = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    lr.select(axis, pixel).fill_(math.nan)
    with torch.inference_mode():
        sr = network(lr)
    touched = sr.isnan().amax(dim=(0, 1, 5 - axis)).nonzero().flatten() // scale
    if touched.numel() == 0:
        raise ValueError("the network hides NaN; its receptive field cannot be probed")
    first, last = int(touched[0]), int(touched[-1])
    if first == 0 or last == size - 1:
        return None
    return max(pixel - first, last - pixel)
