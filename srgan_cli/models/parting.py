"""The SR of a part of the input, with the enlarging layers run on that part alone.

A tile needs its whole margin in the trunk, where a network looks far, but only a few pixels of it
in the layers that enlarge: those are where most memory goes, and with small networks most time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor

from srgan_cli.models.generator import Generator, upsample


@dataclass(frozen=True)
class Parting:
    """Equal parts of equal inputs, in LR pixels."""

    height: int
    """Rows of every part, margin included."""
    width: int
    margin_px: int
    multiple_px: int
    """Parts start at multiples of it."""

    def start(self, core_start: int, size: int, length: int) -> int:
        """Where the part begins that holds a core beginning at `core_start`.

        `size` is that of the part and `length` that of the input, both along the same side.
        """
        last = round_up(length, self.multiple_px) - size
        wanted = max(core_start - self.margin_px, 0) // self.multiple_px * self.multiple_px
        return min(wanted, last)


def parting(generator: Generator, input_px: tuple[int, int], core_px: tuple[int, int]) -> Parting:
    """The smallest parts of inputs of `input_px` rows and columns that hold cores of `core_px`.

    Cores that do not begin at multiples of `size_multiple` are to be given larger by the pixels
    between it and them.
    """
    multiple = generator.size_multiple
    margin = enlarging_reach_px(generator)
    height, width = (
        min(round_up(core, multiple) + 2 * margin, round_up(side, multiple))
        for core, side in zip(core_px, input_px, strict=True)
    )
    return Parting(height, width, margin, multiple)


def enlarging_reach_px(generator: Generator) -> int:
    """LR pixels to every side that the enlarging layers look at; a multiple of `size_multiple`."""
    fold = generator.size_multiple
    return generator.enlarging_reach() * fold


def forward_part(
    generator: Generator, lr: Tensor, parts: Parting, starts: Sequence[tuple[int, int]]
) -> Tensor:
    """SR (B, C, height * scale, width * scale) of one part of each image of `lr` (B, C, h, w).

    Where nothing within the margin is cut off by the part, the values are those of the whole
    input's SR: on the CPU and in float32 to the last bit.

    Args:
        generator: In evaluation.
        lr: Network units.
        parts: Their common size.
        starts: Row and column in LR pixels where each part begins.
    """
    fold, scale = parts.multiple_px, generator.spec.scale
    folded = [(row // fold, col // fold) for row, col in starts]
    rows, cols = parts.height // fold, parts.width // fold

    def cut(_module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_cut(inputs[0], folded, rows, cols), *inputs[1:])

    hook = generator.enlarging()[0].register_forward_pre_hook(cut)
    try:
        sr = generator.residual(lr)
    finally:
        hook.remove()
    if generator.spec.global_skip == "none":
        return sr
    skip = upsample(lr.float(), scale, generator.spec.global_skip)
    below, right = (-side % fold * scale for side in lr.shape[-2:])
    skip = F.pad(skip, (0, right, 0, below))
    rows, cols = sr.shape[-2:]
    return sr + _cut(skip, [(row * scale, col * scale) for row, col in starts], rows, cols)


def _cut(x: Tensor, starts: Sequence[tuple[int, int]], rows: int, cols: int) -> Tensor:
    """The parts of x (B, C, h, w) that begin at `starts`, of one size, in the layout of x."""
    if len(set(starts)) == 1:
        row, col = starts[0]
        part = x[..., row : row + rows, col : col + cols]
    else:
        each = [
            image[:, row : row + rows, col : col + cols]
            for image, (row, col) in zip(x, starts, strict=True)
        ]
        part = torch.stack(each)
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return part.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def round_up(px: int, multiple_px: int) -> int:
    """The next multiple of `multiple_px`."""
    return math.ceil(px / multiple_px) * multiple_px
