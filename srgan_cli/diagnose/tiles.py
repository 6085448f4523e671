"""Tiles scored for a pattern locked to the upsampling grid, and how it has developed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srgan_cli.checkerboard import (
    MIN_CELLS,
    MIN_LINES,
    CheckerboardScore,
    amplitude_samples,
    checkerboard_score,
    enough_tiles,
    lines_suffice,
)
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.pictures import Pictures, UnusableError, load_tiles, step_of


@dataclass(frozen=True)
class GridScores:
    """Scores of the last validations, oldest first, and of HR as the control."""

    scale: int
    sr: tuple[CheckerboardScore, ...]
    hr: CheckerboardScore | None

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


def grid_scores(pictures: Pictures) -> GridScores | str:
    """The scores, or the reason why there are none."""
    return pictures.remember("grid", _measure)


def _measure(pictures: Pictures) -> GridScores | str:
    scale, tiles = pictures.scale, pictures.last
    if scale < 2:
        return f"scale {scale} has no upsampling grid"
    if len(tiles) < enough_tiles(scale):
        return (
            f"{len(tiles)} tiles without invalid pixels; scale {scale} needs {enough_tiles(scale)}"
        )
    if min(tiles.shape[2:]) < MIN_CELLS * scale:
        return f"tiles of {tiles.shape[2]} px are too small; needs {MIN_CELLS * scale} (Data.val_crop_px)"
    if pictures.places is not None and not lines_suffice(pictures.places):
        return (
            f"the image is too small to tell a street from an artefact: {len(tiles)} tiles of "
            f"{tiles.shape[2]} px; needs {MIN_LINES} rows and columns of them"
        )
    if not np.all(pictures.band_range > 0):
        return "the LR tiles are constant" if pictures.lr is not None else "a band is constant"
    chosen = _chosen(pictures)
    return GridScores(
        scale=scale,
        sr=tuple(
            checkerboard_score(stack[chosen], scale, pictures.band_range, pictures.places)
            for stack in pictures.sr
        ),
        hr=None
        if pictures.hr is None
        else checkerboard_score(pictures.hr[chosen], scale, pictures.band_range),
    )


def _chosen(pictures: Pictures) -> NDArray[np.intp]:
    """Of a run, at most 16 tiles, evenly spread: neighbouring crops may show the same place."""
    count = len(pictures.last)
    if pictures.kind != "validations" or count <= limit.GRID_MAX_TILES:
        return np.arange(count)
    places = np.linspace(0, count - 1, limit.GRID_MAX_TILES).round()
    return np.asarray(places.astype(np.intp))


@dataclass(frozen=True)
class Growth:
    """Amplitude of the pattern over the validations of a phase."""

    steps: tuple[int, ...]
    amplitudes: tuple[float, ...]
    early: tuple[float, float]
    """95 % interval over resampled tiles of the median amplitude in the first third."""
    late: tuple[float, float]


def growth_of(pictures: Pictures) -> Growth | str:
    """How the pattern has developed in the last phase, or the reason why that is not known."""
    if pictures.log is None or pictures.chosen is None:
        return "a single image has no history"
    grid = grid_scores(pictures)
    if isinstance(grid, str):
        return grid
    # While the adversarial weight rises, so may a pattern.
    start = pictures.log.t_full or pictures.log.t_adv or 0
    files = [file for file in pictures.history if step_of(file) > start]
    if len(files) < limit.GROWTH_VALIDATIONS:
        return (
            f"{len(files)} validations with tiles in this phase; needs {limit.GROWTH_VALIDATIONS}"
        )
    places = np.linspace(0, len(files) - 1, min(len(files), limit.GROWTH_MAX)).round().astype(int)
    files = [files[place] for place in places]
    band, chosen = grid.sr[-1].band, _chosen(pictures)
    samples = []
    for file in files:
        try:
            stack = load_tiles(file)[pictures.chosen]
        except (UnusableError, IndexError):
            return f"tiles/{file.name} cannot be read"
        tiles = stack[chosen][:, band]
        if not np.isfinite(tiles).all():
            return f"tiles/{file.name} holds pixels that are not finite"
        samples.append(amplitude_samples(tiles, pictures.scale, float(pictures.band_range[band])))
    third = max(2, len(files) // 3)
    return Growth(
        steps=tuple(step_of(file) for file in files),
        amplitudes=tuple(float(np.median(each)) for each in samples),
        early=_interval(samples[:third]),
        late=_interval(samples[-third:]),
    )


def _interval(samples: list[NDArray[np.float64]]) -> tuple[float, float]:
    low, high = np.percentile(np.median(samples, axis=0), (2.5, 97.5))
    return float(low), float(high)
