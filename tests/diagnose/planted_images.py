"""Runs whose validation tiles were made wrong, one for each code of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from synthetic_runs import Run, write_folder
from test_grid_findings import SCALE, folder_with_tiles, grid
from test_image_findings import STEPS, Edit, edited
from test_image_measurements import moved, wave

from srgan_cli.runfolder import HF_RATIO

Make = Callable[[Path], Path]


def _edited(edit: Edit, **options: object) -> Make:
    return lambda path: edited(path, edit, **options)


def _tinted(sr: np.ndarray, step: int) -> np.ndarray:
    sr = sr.copy()
    sr[:, 1] -= 0.06
    return sr


def _framed(sr: np.ndarray, step: int) -> np.ndarray:
    sr = sr.copy()
    sr[:, :, :6] += 0.05
    sr[:, :, -6:] -= 0.05
    return sr


def _blocks(sr: np.ndarray, step: int) -> np.ndarray:
    return sr[:, :, ::SCALE, ::SCALE].repeat(SCALE, axis=2).repeat(SCALE, axis=3)


def _noisy_detail(path: Path) -> Path:
    def edit(kind: str, step: int, values: dict[str, float]) -> dict[str, float]:
        if HF_RATIO in values:
            values[HF_RATIO] = 5.0 if step > 500 else 0.3
        return values

    return write_folder(Run(edit=edit, ratio=0.06), path)


IMAGES: Final[Mapping[str, tuple[str, Make]]] = {
    "IMG01": (
        "a pattern of 3 % of the value range in SR",
        lambda path: folder_with_tiles(path, sr=0.03),
    ),
    "IMG02": (
        "a pattern that grows to 3 % of the value range",
        _edited(lambda sr, step: sr + grid(0.03 * (step - 1000) / 1000, 4), steps=STEPS),
    ),
    "IMG03": (
        "a pattern of 1 % of the value range in HR",
        lambda path: folder_with_tiles(path, hr=0.01),
    ),
    "IMG04": (
        "SR cut off at the value that 3 % of its pixels exceed",
        _edited(lambda sr, step: np.minimum(sr, np.quantile(sr, 0.97))),
    ),
    "IMG05": ("a band that is too dark by 15 % of its range", _edited(_tinted)),
    "IMG06": ("five times the fine detail of HR", _noisy_detail),
    "IMG07": ("every LR pixel repeated as a block", _edited(_blocks)),
    "IMG08": ("a wave of 5.3 px in every tile", _edited(lambda sr, step: sr + 0.01 * wave(5.3))),
    "IMG09": ("six rows too bright and six too dark at the edges", _edited(_framed)),
    "IMG10": ("SR shifted by 0.4 LR px", _edited(lambda sr, step: moved(sr, 1.6, 0))),
    "IMG11": ("almost no contrast", _edited(lambda sr, step: 0.3 + 0.001 * sr)),
}
"""Code -> what was planted, and how."""
