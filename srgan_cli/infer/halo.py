"""How wide a tile's margin must be: the receptive field, or as much of it as matters, by measuring."""

from __future__ import annotations

import math
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
_LEAST_REFERENCE_PX = 64
_MUCH_LARGER = 3
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
    halo; a patch is all edge, so the error is that of the worst pixels of a tile. What a network
    sees of a pixel falls off with the distance: behind the first patch three times the candidate
    is much larger. When no candidate below the receptive field is good enough the largest
    affordable one is returned with its error.

    Args:
        predict: LR (1, C, h, w) in network units, and a box of it -> SR of that box, in units of
            its own.
        read: The network input of a box and its valid pixels.
        shape: Rows and columns of the scene.
        exact_px: The receptive field.
        tolerance: In the units of `predict`.
        budget: Limits the number of patches, two at least, and the halo that they are compared with.
        multiple_px: Windows must start at multiples of it; it divides all halos.
    """
    fitting_px = max((budget.max_window_px - _PATCH_PX) // 2, CANDIDATES_PX[1])
    largest_px = _multiple(min(exact_px, _REFERENCE_PX, fitting_px), multiple_px)
    affordable_px = max((math.isqrt(budget.max_pixels) - _PATCH_PX) // 2, _LEAST_REFERENCE_PX)
    first_px = _multiple(min(affordable_px, largest_px), multiple_px)
    patches = _patches(read, shape, _num_patches(budget, first_px), multiple_px)
    tried, residual = [CANDIDATES_PX[0]], 0.0
    # When nothing is good enough the first comparison was perhaps too near.
    for reference_px in sorted({first_px, largest_px}):
        errors = _Errors(predict, read, shape, patches, reference_px)
        # From the cheapest on: most scenes need no more than the first.
        tried = [px for px in CANDIDATES_PX if px < reference_px] or tried
        for px in tried:
            residual = errors.p999(px)
            if residual <= tolerance:
                return px, residual
    if exact_px <= min(CANDIDATES_PX[-1], fitting_px):
        return exact_px, 0.0
    return tried[-1], residual


def _multiple(px: int, multiple_px: int) -> int:
    return px // multiple_px * multiple_px


def _num_patches(budget: Budget, first_px: int) -> int:
    least = CANDIDATES_PX[0]
    others = (_PATCH_PX + 2 * _MUCH_LARGER * least) ** 2 + (_PATCH_PX + 2 * least) ** 2
    left = budget.max_pixels - (_PATCH_PX + 2 * first_px) ** 2
    return min(1 + max(left // others, 1), _MAX_PATCHES)


class _Errors:
    """What halos leave, compared with larger ones."""

    def __init__(
        self,
        predict: Predict,
        read: Read,
        shape: tuple[int, int],
        patches: Sequence[Box],
        reference_px: int,
    ) -> None:
        self._predict, self._read, self._shape = predict, read, shape
        self._patches, self._reference_px = patches, reference_px
        self._known: dict[tuple[int, int], Tensor] = {}

    def p999(self, px: int) -> float:
        """Of all pixels of the patches; 0 without patches."""
        errors = []
        for index in range(len(self._patches)):
            larger_px = self._reference_px
            if index:
                larger_px = min(_MUCH_LARGER * px, larger_px)
            error = self._patch(index, px) - self._patch(index, larger_px)
            errors.append(error.abs().flatten())
        return float(np.quantile(torch.cat(errors).numpy(), 0.999)) if errors else 0.0

    def _patch(self, index: int, halo_px: int) -> Tensor:
        if (index, halo_px) not in self._known:
            box = self._patches[index]
            found = _predict_patch(self._predict, self._read, box, halo_px, self._shape)
            self._known[index, halo_px] = found
        return self._known[index, halo_px]


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
