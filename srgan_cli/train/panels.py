"""Pictures of validation crops: LR | bicubic | SR | HR | absolute error, one stretch for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.sheet import write_png
from srgan_cli.models import upsample

_GAP_PX = 4


def write_panel(path: Path, batch: Batch, sr: Tensor, config: RunConfig) -> bool:
    """Write a PNG with one row per crop, at most `Logging.num_val_images` rows.

    Args:
        path: The PNG, written whole or not at all.
        batch: Validation crops, on the CPU.
        sr: Super-resolved crops (B, C, H, W), on the CPU.
        config: The run; says which bands are shown.

    Returns:
        Whether there was anything to show.
    """
    bands, scale = shown_bands(config), config.generator.scaling_factor
    rows = []
    for index in range(min(config.logging.num_val_images, sr.shape[0])):
        crop = slice(index, index + 1)
        lr, hr = batch.lr[crop], batch.hr[crop]
        images = [upsample(lr, scale, "nearest"), upsample(lr, scale, "bicubic"), sr[crop], hr]
        rows.append(_row([_pick(image, bands) for image in images], batch.valid[index, 0].numpy()))
    if rows:
        write_png(path, np.concatenate(rows, axis=1)[:, :-_GAP_PX])
    return bool(rows)


def shown_bands(config: RunConfig) -> tuple[int, ...]:
    """Bands (from 0) shown as R, G, B: those of the perceptual loss, else the first three; else one."""
    rgb = config.training.losses.fixed_idx
    if rgb is not None and len(rgb) == 3:
        return rgb
    return (0, 1, 2) if config.model.in_bands >= 3 else (0,)


def _pick(image: Tensor, bands: tuple[int, ...]) -> npt.NDArray[np.float32]:
    chosen = image[0, list(bands)].numpy()
    return np.repeat(chosen, 3, axis=0) if len(bands) == 1 else chosen


def _row(
    images: list[npt.NDArray[np.float32]], valid: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """LR, bicubic, SR, HR (3, H, W) and the error of SR, side by side, as uint8."""
    hr = images[-1]
    # One stretch per band, taken from HR: a shift of colour or brightness stays visible.
    seen = hr[:, valid > 0] if (valid > 0).any() else hr.reshape(3, -1)
    low, high = np.percentile(seen, (2, 98), axis=1)[:, :, None, None]
    span = np.maximum(high - low, 1e-6)
    shown = [(image - low) / span for image in images]
    # Twice the error: white is half of the range. Invalid pixels count in no loss, and show none.
    shown.append(2 * np.abs(images[2] - hr) / span * valid)
    height = hr.shape[1] + _GAP_PX
    row = np.full((3, height, len(shown) * (hr.shape[2] + _GAP_PX) - _GAP_PX), 255, np.uint8)
    for column, image in enumerate(shown):
        left = column * (hr.shape[2] + _GAP_PX)
        pixels = np.nan_to_num(image).clip(0, 1) * 255
        row[:, :-_GAP_PX, left : left + hr.shape[2]] = np.rint(pixels).astype(np.uint8)
    return row
