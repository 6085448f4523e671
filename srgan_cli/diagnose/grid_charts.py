"""The plots of the grid-locked pattern: its amplitude over the validations, and its phase map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog, Series
from srgan_cli.diagnose.panels import Level, Panel, PhaseMap, make_curve, make_panel
from srgan_cli.diagnose.tiles import grid_scores


def grid_panels(log: RunLog, max_points: int) -> list[Panel]:
    """Amplitude over the validations, against what counts as a note, a warning and an error."""
    title, y_label = "Grid-locked pattern in the validation tiles", "amplitude, % of range"
    scores = grid_scores(log)
    if isinstance(scores, str):
        return [Panel("grid", title, y_label, empty=scores)]
    percent = np.array([max(score.amplitude, 0.0) * 100 for score in scores.sr])
    series = Series(np.array(scores.steps, np.int64), percent)
    hr = np.full(len(percent), max(scores.hr.amplitude, 0.0) * 100)
    curves = [
        make_curve("SR", series, max_points, markers=True),
        make_curve("HR, as control", Series(series.steps, hr), max_points, markers=True),
    ]
    marks = (
        (limit.GRID_INFO, "note"),
        (limit.GRID_WARN, "warning"),
        (limit.GRID_ERROR, "error"),
    )
    # Far above the data, a limit would only flatten the curve.
    top = max(float(percent.max()) * 3, limit.GRID_WARN * 100)
    levels = tuple(
        Level(100 * value, f"{100 * value:g} %: {word}")
        for value, word in marks
        if 100 * value <= top
    )
    return [replace(make_panel("grid", title, y_label, curves, ""), levels=levels)]


def phase_map(log: RunLog) -> PhaseMap:
    """The pattern of the last validation."""
    title = "Phase map of the grid-locked pattern"
    scores = grid_scores(log)
    if isinstance(scores, str):
        return PhaseMap(title, None, scores)
    return PhaseMap(f"{title}, step {scores.steps[-1]}", np.asarray(scores.sr[-1].pattern))
