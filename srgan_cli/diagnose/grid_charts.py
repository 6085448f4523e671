"""The plots of the grid-locked pattern: its amplitude over the validations, and its phase map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.panels import Level, Panel, PhaseMap, make_curve, make_panel
from srgan_cli.diagnose.pictures import Pictures, pictures_of
from srgan_cli.diagnose.rules_grid import grid_limits
from srgan_cli.diagnose.series import Series
from srgan_cli.diagnose.tiles import GridScores, grid_scores


def grid_panels(log: RunLog, max_points: int) -> list[Panel]:
    """Amplitude over the validations, against what counts as a note, a warning and an error."""
    title, y_label = "Grid-locked pattern in the validation tiles", "amplitude, % of range"
    found = _measured(log)
    if isinstance(found, str):
        return [Panel("grid", title, y_label, empty=found)]
    pictures, scores = found
    percent = np.array([max(score.amplitude, 0.0) * 100 for score in scores.sr])
    series = Series(np.array(pictures.steps, np.int64), percent)
    curves = [make_curve("SR", series, max_points, markers=True)]
    if scores.hr is not None:
        hr = np.full(len(percent), max(scores.hr.amplitude, 0.0) * 100)
        control = Series(series.steps, hr)
        curves.append(make_curve("HR, as control", control, max_points, markers=True))
    warn, error, _ = grid_limits(pictures)
    marks = ((limit.GRID_INFO, "note"), (warn, "warning"), (error, "error"))
    # Far above the data, a limit would only flatten the curve.
    top = max(float(percent.max()) * 3, limit.GRID_INFO * 300)
    levels = tuple(
        Level(100 * value, f"{100 * value:g} %: {word}")
        for value, word in marks
        if 100 * value <= top
    )
    return [replace(make_panel("grid", title, y_label, curves, ""), levels=levels)]


def phase_map(log: RunLog) -> PhaseMap:
    """The pattern of the last validation."""
    title = "Phase map of the grid-locked pattern"
    found = _measured(log)
    if isinstance(found, str):
        return PhaseMap(title, None, found)
    pictures, scores = found
    return PhaseMap(f"{title}, step {pictures.steps[-1]}", np.asarray(scores.sr[-1].pattern))


def _measured(log: RunLog) -> tuple[Pictures, GridScores] | str:
    """The run's validation tiles and their scores, or the reason why there are none."""
    pictures = pictures_of(log)
    if isinstance(pictures, str):
        return pictures
    scores = grid_scores(pictures)
    return scores if isinstance(scores, str) else (pictures, scores)
