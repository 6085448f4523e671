"""How wide a tile's margin must be: the receptive field, or as much of it as matters, by measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli.infer.geometry import Box

AFFORDABLE_PX = 64
"""Up to here the exact receptive field is the halo; beyond, the halo is measured."""
CANDIDATES_PX = (16, 24, 32, 48, 64, 96, 128)
_REFERENCE_PX = 192
_PATCH_PX = 16
_MAX_PATCHES = 8

Predict = Callable[[Tensor, Box], Tensor]
Read = Callable[[Box], tuple[Tensor, NDArray[np.bool_]]]
HaloMode = Literal["exact", "measured", "given", "whole"]


@dataclass(frozen=True)
class Halo:
    """The margin of every window, and how it was found."""

    px: int
    mode: HaloMode
    """`exact`: the receptive field. `whole`: one window holds the scene."""
    residual: float | None = 0.0
    """p99.9 of the error that the halo leaves, in stored units; None when nobody measured it."""


@dataclass(frozen=True)
class Budget:
    """What the measurement may cost."""

    max_window_px: int
    """Side of the largest input that fits the memory, of which a patch is enlarged."""
    max_pixels: int
    """LR pixels that may go through the network, so that it costs less than the scene itself."""


def measured_halo(
    predict: Predict,
    read: Read,
    shape: tuple[int, int],
    exact_px: int,
    tolerance: float,
    budget: Budget,
    multiple_px: int = 1,
) -> tuple[int, float]:
    """The smallest candidate halo whose p99.9 error is within `tolerance`, and that error.

    Patches of the scene are predicted with one candidate after the other and with a much larger
    halo; a patch is all edge, so the error is that of the worst pixels of a tile. When no candidate
    below the receptive field is good enough the largest affordable one is returned with its error.

    Args:
        predict: LR (1, C, h, w) in network units, and a box of it -> SR of that box, in units of
            its own.
        read: The network input of a box and its valid pixels.
        shape: Rows and columns of the scene.
        exact_px: The receptive field.
        tolerance: In the units of `predict`.
        budget: Limits the number of patches, one at least, and the halo that they are compared with.
        multiple_px: Windows must start at multiples of it; it divides all halos.
    """
    fitting_px = max((budget.max_window_px - _PATCH_PX) // 2, CANDIDATES_PX[1])
    reference_px = min(exact_px, _REFERENCE_PX, fitting_px)
    side = min(_PATCH_PX + 2 * reference_px, *shape)
    wanted = min(max(budget.max_pixels // side**2, 1), _MAX_PATCHES)
    patches = _patches(read, shape, wanted, multiple_px)
    best = [_predict_patch(predict, read, box, reference_px, shape) for box in patches]
    residual = 0.0
    # From the cheapest on: most scenes need no more than the first.
    tried = [px for px in CANDIDATES_PX if px < reference_px]
    for px in tried:
        found = (_predict_patch(predict, read, box, px, shape) for box in patches)
        errors = [(sr - target).abs().flatten() for sr, target in zip(found, best, strict=True)]
        residual = float(np.quantile(torch.cat(errors).numpy(), 0.999)) if errors else 0.0
        if residual <= tolerance:
            return px, residual
    if exact_px <= min(CANDIDATES_PX[-1], fitting_px):
        return exact_px, 0.0
    return tried[-1], residual


def _patches(
    read: Read,
    shape: tuple[int, int],
    wanted: int,
    multiple_px: int,
) -> Sequence[Box]:
    """`wanted` patches, spread over the scene, on valid ground."""
    height, width = shape
    side_h, side_w = min(_PATCH_PX, height), min(_PATCH_PX, width)
    found: list[Box] = []
    # A golden-ratio sequence covers the scene evenly however many of its points are nodata.
    for index in range(16 * wanted):
        row = int((0.5 + index * 0.7548776662) % 1 * (height - side_h))
        col = int((0.5 + index * 0.5698402910) % 1 * (width - side_w))
        box = Box(row - row % multiple_px, col - col % multiple_px, side_h, side_w)
        if read(box)[1].mean() > 0.5:
            found.append(box)
        if len(found) == wanted:
            break
    return found


def _predict_patch(
    predict: Predict, read: Read, patch: Box, halo_px: int, shape: tuple[int, int]
) -> Tensor:
    window = patch.grown(halo_px, *shape)
    place = Box(patch.row - window.row, patch.col - window.col, patch.height, patch.width)
    return predict(read(window)[0], place)
