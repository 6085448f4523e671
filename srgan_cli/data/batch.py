"""What the data layer hands to the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Crops; invalid pixels hold finite values filled from valid ones. A single crop has no B."""

    lr: Tensor
    """(B, C, h, w), network units."""
    hr: Tensor
    """(B, C, h * scale, w * scale), network units."""
    valid: Tensor
    """(B, 1, h * scale, w * scale), 1 where HR and LR are valid, else 0."""

    def chunk(self, count: int) -> list[Batch]:
        """The batch in `count` equal parts."""
        return [Batch(*parts) for parts in zip(*(t.chunk(count) for t in self), strict=True)]


def stack(crops: Sequence[Batch]) -> Batch:
    """One batch of single crops of equal size."""
    lr, hr, valid = zip(*crops, strict=True)
    return Batch(torch.stack(lr), torch.stack(hr), torch.stack(valid))
