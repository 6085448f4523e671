"""The native validation tiles of a run folder, scored for a grid-locked pattern."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.checkerboard import MIN_CELLS, CheckerboardScore, checkerboard_score, enough_tiles
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog

_Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class GridScores:
    """Scores of the last validations, oldest first, and of HR as the control."""

    scale: int
    steps: tuple[int, ...]
    sr: tuple[CheckerboardScore, ...]
    hr: CheckerboardScore

    @property
    def amplitude(self) -> float:
        """Median over the last validations: weight noise makes a single one fluctuate."""
        return float(np.median([score.amplitude for score in self.sr]))

    @property
    def texture_ratio(self) -> float:
        """Median of the pattern against the quietest texture."""
        return float(np.median([score.texture_ratio for score in self.sr]))

    @property
    def significant(self) -> bool:
        """Whether most of the validations show the pattern beyond chance."""
        return sum(beyond_chance(score) for score in self.sr) * 2 > len(self.sr)


def beyond_chance(score: CheckerboardScore) -> bool:
    """Whether random phases cannot explain a score."""
    return score.z > limit.GRID_Z and score.p <= limit.GRID_P


def grid_scores(log: RunLog) -> GridScores | str:
    """The scores, or the reason why there are none."""
    result: GridScores | str = log.remember("grid", _measure)
    return result


def _measure(log: RunLog) -> GridScores | str:
    if log.tiles is None:
        return "the run has no tiles/ folder with native validation tiles"
    files = sorted(log.tiles.glob("step_*.npz"), key=_step_of)[-limit.GRID_VALIDATIONS :]
    if not files:
        return "no validation tiles have been written yet"
    try:
        lr, hr, usable = _reference(log.tiles / "reference.npz")
        stacks = [_load(file, "sr") for file in files]
    except _UnusableError as err:
        return str(err)
    return _score(files, stacks, lr, hr, usable)


class _UnusableError(Exception):
    """Why the tiles cannot be scored."""


def _step_of(path: Path) -> int:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdigit() else -1


def _load(path: Path, key: str) -> _Array:
    """(N, C, H, W)."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            array = np.asarray(archive[key])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as err:
        raise _UnusableError(f"tiles/{path.name} cannot be read: {err}") from err
    if array.ndim != 4 or not len(array):
        raise _UnusableError(
            f"tiles/{path.name}: {key} has the shape {array.shape}, not (N, C, H, W)"
        )
    return array


def _reference(path: Path) -> tuple[_Array, _Array, NDArray[np.bool_]]:
    """LR, HR and which tiles are valid throughout."""
    if not path.is_file():
        raise _UnusableError("tiles/reference.npz (LR and HR of the tiles) is missing")
    lr, hr, valid = _load(path, "lr"), _load(path, "hr"), _load(path, "valid")
    return lr, hr, np.asarray(valid.astype(bool).all(axis=(1, 2, 3)))


def _spread(indices: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """At most `count` of the indices, evenly spread: neighbouring crops may show the same place."""
    if len(indices) <= count:
        return indices
    places = np.linspace(0, len(indices) - 1, count).round().astype(np.intp)
    return np.asarray(indices[places])


def _score(
    files: list[Path], stacks: list[_Array], lr: _Array, hr: _Array, usable: NDArray[np.bool_]
) -> GridScores | str:
    scale = hr.shape[2] // lr.shape[2]
    if scale < 2:
        return f"scale {scale} has no upsampling grid"
    if any(stack.shape != hr.shape for stack in stacks):
        return f"the SR tiles {stacks[-1].shape} do not match the HR tiles {hr.shape}"
    for stack in (*stacks, hr):
        usable = usable & np.isfinite(stack).all(axis=(1, 2, 3))
    chosen = _spread(np.flatnonzero(usable), limit.GRID_MAX_TILES)
    if len(chosen) < enough_tiles(scale):
        return (
            f"{len(chosen)} tiles without invalid pixels; scale {scale} needs {enough_tiles(scale)}"
        )
    if min(hr.shape[2:]) < MIN_CELLS * scale:
        return (
            f"tiles of {hr.shape[2]} px are too small; needs {MIN_CELLS * scale} (Data.val_crop_px)"
        )
    low, high = np.percentile(lr[chosen].astype(np.float64), (2, 98), axis=(0, 2, 3))
    if not np.all(high > low):
        return "the LR tiles are constant"
    return GridScores(
        scale=scale,
        steps=tuple(_step_of(file) for file in files),
        sr=tuple(checkerboard_score(stack[chosen], scale, high - low) for stack in stacks),
        hr=checkerboard_score(hr[chosen], scale, high - low),
    )
