"""The SR of a part of the input, with the enlarging layers run on that part alone.

A tile needs its whole margin in the trunk, where a network looks far, but only a few pixels of it
in the layers that enlarge: those are where most memory goes, and with small networks most time.
They may also run on one block of it after the other, so that the memory goes to the trunk instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor

from srgan_cli.models.generator import Generator, upsample


class Span(NamedTuple):
    """A stretch of rows or columns of a part that is enlarged at once, in LR pixels."""

    first: int
    """Where it begins, margin included."""
    seen: int
    """How many are enlarged."""
    start: int
    """Where those begin that are kept."""
    kept: int


@dataclass(frozen=True)
class Parting:
    """Equal parts of equal inputs, in LR pixels."""

    height: int
    """Rows of every part, margin included."""
    width: int
    margin_px: int
    multiple_px: int
    """Parts start at multiples of it."""
    block_px: tuple[int, int] | None = None
    """Rows and columns that are enlarged at once, without their margins; multiples of `multiple_px`.

    None: all.
    """

    def start(self, core_start: int, size: int, length: int) -> int:
        """Where the part begins that holds a core beginning at `core_start`.

        `size` is that of the part and `length` that of the input, both along the same side.
        """
        last = round_up(length, self.multiple_px) - size
        wanted = max(core_start - self.margin_px, 0) // self.multiple_px * self.multiple_px
        return min(wanted, last)

    def in_blocks(self, most_px: tuple[int, int]) -> Parting:
        """The same parts, with at most so many rows and columns enlarged at once if that is possible.

        Margins count; all blocks have the same size.
        """
        rows, cols = self._even(self.height, most_px[0]), self._even(self.width, most_px[1])
        whole = (rows, cols) == (self.height, self.width)
        return replace(self, block_px=None if whole else (rows, cols))

    def _even(self, side: int, most_px: int) -> int:
        if side <= most_px:
            return side
        kept = (most_px - 2 * self.margin_px) // self.multiple_px * self.multiple_px
        kept = max(kept, self.multiple_px)
        even = round_up(math.ceil(side / math.ceil(side / kept)), self.multiple_px)
        return side if even + 2 * self.margin_px >= side else even

    def blocks(self) -> Iterator[tuple[Span, Span]]:
        """Rows and columns of one block after the other."""
        rows, cols = self.block_px or (self.height, self.width)
        for down in self._spans(self.height, rows):
            for across in self._spans(self.width, cols):
                yield down, across

    def _spans(self, side: int, kept: int) -> Iterator[Span]:
        seen = side if kept >= side else kept + 2 * self.margin_px
        for start in range(0, side, kept):
            first = min(max(start - self.margin_px, 0), side - seen)
            yield Span(first, seen, start, min(kept, side - start))


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
    generator: Generator,
    lr: Tensor,
    parts: Parting,
    starts: Sequence[tuple[int, int]],
    out: Tensor | None = None,
) -> Tensor:
    """SR (B, C, height * scale, width * scale) of one part of each image of `lr` (B, C, h, w).

    Contiguous, whatever the layout of `lr`. Where nothing within the margin is cut off by the part,
    the values are those of the whole input's SR: on the CPU and in float32 to the last bit.

    Args:
        generator: In evaluation.
        lr: Network units.
        parts: Their common size, and the blocks in which they are enlarged.
        starts: Row and column in LR pixels where each part begins.
        out: Where it is to be put.
    """
    fold, spec = parts.multiple_px, generator.spec
    scale = spec.scale
    features = generator.features(lr)
    skip = None
    if spec.global_skip != "none":
        below, right = (-side % fold * scale for side in lr.shape[-2:])
        skip = F.pad(upsample(lr.float(), scale, spec.global_skip), (0, right, 0, below))
    shape = (lr.shape[0], spec.out_bands, parts.height * scale, parts.width * scale)
    sr = out
    for down, across in parts.blocks():
        begun = [
            ((top + down.first) // fold, (left + across.first) // fold) for top, left in starts
        ]
        block = generator.enlarge(_cut(features, begun, down.seen // fold, across.seen // fold))
        rows, cols = _kept(down, scale), _kept(across, scale)
        block = block[..., rows, cols]
        if skip is not None:
            begun = [
                ((top + down.start) * scale, (left + across.start) * scale) for top, left in starts
            ]
            block = block + _cut(skip, begun, down.kept * scale, across.kept * scale)
        if sr is None:
            sr = torch.empty(shape, dtype=block.dtype, device=block.device)
        row, col = down.start * scale, across.start * scale
        sr[..., row : row + down.kept * scale, col : col + across.kept * scale] = block
    if sr is None:
        raise ValueError(f"{parts} has no pixels")
    return sr


def _kept(span: Span, scale: int) -> slice:
    """The SR pixels of a span that are kept, counted from where it begins."""
    begin = (span.start - span.first) * scale
    return slice(begin, begin + span.kept * scale)


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
