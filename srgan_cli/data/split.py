"""What is trained on and what is held back for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from srgan_cli.data.cutter import Scene
from srgan_cli.data.degradation import Degradation
from srgan_cli.data.looking import Looked
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig


def hold_back(looked: Sequence[Looked], config: RunConfig) -> tuple[list[Looked], list[Looked]]:
    """Whole scenes for validation, chosen by the seed."""
    count = round(config.data.val_fraction * len(looked))
    count = min(max(count, 1), len(looked) - 1)
    rng = Generator(PCG64(SeedSequence([config.training.seed], spawn_key=(2,))))
    held = set(rng.permutation(len(looked))[:count].tolist())
    train = [pair for index, pair in enumerate(looked) if index not in held]
    return train, [pair for index, pair in enumerate(looked) if index in held]


def cut_in_two(scene: Scene, config: RunConfig, degradation: Degradation) -> tuple[Scene, Scene]:
    """Training rows above, validation rows below, and between them more than LR sees from both sides."""
    data, scale = config.data, config.generator.scaling_factor
    val_crop = data.val_crop_px or data.hr_crop_px
    gap = scale if scene.lr else max(2 * degradation.margin_px, scale)
    first_val = _first_validation_row(scene, data.val_fraction, val_crop) // scale * scale
    end_train = first_val - gap
    if end_train < data.hr_crop_px:
        raise RefusedError(
            f"Data.hr: {scene.hr} is the only scene, and its {scene.height} rows do not hold training crops of "
            f"{data.hr_crop_px}, {scene.height - first_val} validation rows and a gap of {gap}",
            "add a scene, or lower Data.hr_crop_px and Data.val_crop_px",
        )
    return (
        _rows_of(scene, 0, end_train),
        _rows_of(scene, first_val, scene.height),
    )


def _first_validation_row(scene: Scene, fraction: float, crop_px: int) -> int:
    """Below it lie `fraction` of the valid area, and at least one crop."""
    rows = np.sort(scene.valid_spots[:, 0]) if len(scene.valid_spots) else np.arange(scene.height)
    return min(int(rows[int((1 - fraction) * len(rows))]), int(rows[-1]) + 1 - crop_px)


def _rows_of(scene: Scene, first_row: int, end_row: int) -> Scene:
    """The part of a scene between two rows."""
    spots, fraction = scene.valid_spots, scene.valid_fraction
    if len(spots):
        inside = (spots[:, 0] >= first_row) & (spots[:, 0] < end_row)
        if not inside.any():
            raise RefusedError(
                f"Data.hr: {scene.hr} is the only scene, and its rows {first_row} to {end_row - 1} hold no valid pixel",
                "give a validation scene with Data.val_hr, or change Data.val_fraction",
            )
        spots = spots[inside]
        fraction = min(1.0, fraction * inside.mean() * scene.height / (end_row - first_row))
    return replace(
        scene,
        first_row=first_row,
        end_row=end_row,
        valid_fraction=float(fraction),
        valid_spots=np.ascontiguousarray(spots),
    )
