"""Flips and quarter turns, the same for every image of a crop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NUM_ELEMENTS = 8
"""Symmetries of the square."""


def dihedral(image: Tensor, element: int) -> Tensor:
    """Quarter turns (`element` % 4), then a left-right flip (`element` >= 4).

    Args:
        image: (..., H, W), on the CPU.
        element: 0 (unchanged) to 7.
    """
    # Views in numpy, which unlike torch knows negative strides, and one copy.
    pixels = np.rot90(image.numpy(), element % 4, (-2, -1))
    if element >= 4:
        pixels = pixels[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(pixels))
