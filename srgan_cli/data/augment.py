"""Flips and quarter turns, the same for every image of a crop."""

from __future__ import annotations

from torch import Tensor

NUM_ELEMENTS = 8
"""Symmetries of the square."""


def dihedral(image: Tensor, element: int) -> Tensor:
    """Quarter turns (`element` % 4), then a left-right flip (`element` >= 4).

    Args:
        image: (..., H, W).
        element: 0 (unchanged) to 7.
    """
    turned = image.rot90(element % 4, (-2, -1)) if element % 4 else image
    flipped = turned.flip(-1) if element >= 4 else turned
    return flipped.contiguous()
