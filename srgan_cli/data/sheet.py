"""A contact sheet of LR | HR pairs, for the eye."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from srgan_cli.data.batch import Batch
from srgan_cli.files import whole_file

GAP_PX = 4
PAIR_GAP_PX = 16
LEAST_SIDE_PX = 128
"""Smaller crops are shown enlarged, by a whole number."""
COLUMNS = 3
"""Pairs side by side."""
INVALID = (255, 0, 255)
"""Colour of invalid pixels."""

Pixels = NDArray[np.uint8]


def write_sheet(path: Path, crops: Sequence[Batch], bands: Sequence[int]) -> None:
    """Write a PNG of the crops, each as LR (nearest neighbour) | HR, three pairs in a row.

    Each pair has one stretch per band, the 2nd to 98th percentile of its HR: a difference in
    brightness or colour between LR and HR stays visible. Invalid pixels are magenta.

    Args:
        path: The PNG, written whole or not at all.
        crops: Without batch dimension, all of one size.
        bands: Three bands (from 0) shown as R, G, B, or one shown as grey.
    """
    pairs = [_pair(crop, bands) for crop in crops]
    columns = min(COLUMNS, len(pairs))
    _, height, width = pairs[0].shape
    rows = math.ceil(len(pairs) / columns)
    sheet = np.full(
        (
            3,
            rows * (height + PAIR_GAP_PX) - PAIR_GAP_PX,
            columns * (width + PAIR_GAP_PX) - PAIR_GAP_PX,
        ),
        255,
        np.uint8,
    )
    for index, pair in enumerate(pairs):
        top = index // columns * (height + PAIR_GAP_PX)
        left = index % columns * (width + PAIR_GAP_PX)
        sheet[:, top : top + height, left : left + width] = pair
    write_png(path, sheet)


def _pair(crop: Batch, bands: Sequence[int]) -> Pixels:
    hr, valid = crop.hr.numpy()[list(bands)], crop.valid.numpy()[0] > 0
    scale = hr.shape[1] // crop.lr.shape[1]
    lr = crop.lr.numpy()[list(bands)].repeat(scale, axis=1).repeat(scale, axis=2)
    seen = hr[:, valid] if valid.any() else hr.reshape(len(hr), -1)
    low, high = np.percentile(seen, (2, 98), axis=1)[:, :, None, None]
    images = [
        _shown((image - low) / np.maximum(high - low, 1e-6), valid, hr.shape[1])
        for image in (lr, hr)
    ]
    gap = np.full((3, images[0].shape[1], GAP_PX), 255, np.uint8)
    return np.concatenate([images[0], gap, images[1]], axis=2)


def _shown(image: NDArray[np.float32], valid: NDArray[np.bool_], side: int) -> Pixels:
    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    colours = np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels
    colours[:, ~valid] = np.array(INVALID, np.uint8)[:, None]
    factor = math.ceil(LEAST_SIDE_PX / side)
    return colours.repeat(factor, axis=1).repeat(factor, axis=2)


def write_png(path: Path, pixels: Pixels) -> None:
    """Write (3, H, W) pixels as PNG, whole or not at all."""
    profile = {
        "driver": "PNG",
        "count": pixels.shape[0],
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": "uint8",
    }
    with whole_file(path) as temporary, warnings.catch_warnings():
        # A picture has no place on Earth, and needs none.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        # Through memory: GDAL does not tell of a disk that was full.
        with MemoryFile() as memory:
            with memory.open(**profile) as dataset:
                dataset.write(pixels)
            temporary.write_bytes(memory.read())
