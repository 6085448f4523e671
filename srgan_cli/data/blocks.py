"""Where a raster's blocks make reading a crop dearer than it needs to be.

GDAL decodes whole blocks. A window of 144 pixels that falls anywhere on tiles of 256 touches 2.4
of them on average; one that is moved into a tile touches one. What the block cache holds costs
nothing, so crops are moved only where the training set is larger than the cache. The price is a
seam along the tiles' borders that crops reach into less often or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srgan_cli.data.rasters import CACHE_BYTES
from srgan_cli.data.scenes import Raster

DEAR = 20
"""Tiles of 512 px are below it for usual crops, those of JPEG 2000 and strips of wide scenes above."""


def worth_aligning(rasters: Sequence[Raster]) -> bool:
    """Whether the decoded blocks of these rasters do not stay in one process's cache."""
    sizes = {
        raster.path: raster.width
        * raster.height
        * len(raster.bands)
        * np.dtype(raster.dtype).itemsize
        for raster in rasters
    }
    return sum(sizes.values()) > CACHE_BYTES


def dear_reads(rasters: Sequence[Raster], crop_px: int) -> list[str]:
    """A warning where reading a crop decodes many times the pixels that it has."""
    worst = max(rasters, key=lambda raster: _decoded(raster.block, crop_px))
    times = _decoded(worst.block, crop_px) / crop_px**2
    if times < DEAR or not worth_aligning(rasters):
        return []
    return [
        f"{worst.path} is stored in blocks of {worst.block[1]}x{worst.block[0]}: for each crop of {crop_px} px "
        f"about {times:.0f} times its pixels are decoded; Data.cache: ram decodes each file once"
    ]


def _decoded(block: tuple[int, int], crop_px: int) -> int:
    """Pixels of the blocks that a crop touches on average, after moving it."""
    rows, cols = (side if side >= crop_px else crop_px + side - 1 for side in block)
    return rows * cols


def within_block(start: int, length: int, block: int) -> int:
    """Start of a window of `length` moved so that it lies within the block where it starts.

    Starts that are spread evenly stay so. Windows that no block can hold are left where they are.
    """
    if block < length:
        return start
    return start // block * block + start % block * (block - length + 1) // block
