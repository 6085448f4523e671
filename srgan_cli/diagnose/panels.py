"""A plot as plain data: curves, levels and marks, short enough to be drawn, or why there are none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose import stats
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.series import Series

_SMOOTHED_BINS: Final = 120
_FARTHEST: Final = 1e30
"""What lies beyond is drawn here: further out, axes overflow."""
_NOISY_ROWS: Final = 240
"""From so many rows on, a curve is drawn pale with its bin medians on top."""


@dataclass(frozen=True)
class Curve:
    """One series; `median` is the same, smoothed, where the series is noisy and long."""

    label: str
    series: Series
    median: Series | None = None
    markers: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line: what a curve is compared with."""

    value: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A point worth naming: a cut of a rate, the best validation, the first NaN."""

    step: int
    value: float | None
    """None: a line across the whole height."""
    label: str
    symbol: str = "*"


@dataclass(frozen=True)
class Span:
    """Steps that a finding rests on."""

    first: int
    last: int
    label: str


@dataclass(frozen=True)
class Panel:
    """One plot over steps."""

    name: str
    title: str
    y_label: str
    curves: tuple[Curve, ...] = ()
    levels: tuple[Level, ...] = ()
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    log_scale: bool = False
    empty: str = ""
    """Why there is nothing to see; "" when there is."""

    @property
    def description(self) -> str:
        """The plot in words, for those who do not see it."""
        if self.empty:
            return f"{self.title}: nothing to show, {self.empty}."
        parts = [
            f"{curve.label} from {curve.series.values[0]:.3g} at step {curve.series.steps[0]} "
            f"to {curve.series.values[-1]:.3g} at step {curve.series.steps[-1]}"
            for curve in self.curves
        ]
        parts += [f"{level.label} at {level.value:.3g}" for level in self.levels]
        parts += [f"{mark.label} at step {mark.step}" for mark in self.marks]
        parts += [f"{span.label} from step {span.first} to {span.last}" for span in self.spans]
        return f"{self.title}: {'; '.join(parts)}."


@dataclass(frozen=True)
class Phases:
    """Where the run's phases begin; None where they do not."""

    first: int
    last: int
    t_adv: int | None
    t_full: int | None


@dataclass(frozen=True)
class PhaseMap:
    """The grid-locked pattern: mean deviation of each output phase, as a share of the value range."""

    title: str
    pattern: NDArray[np.float64] | None
    empty: str = ""


def phases_of(log: RunLog) -> Phases:
    """For the shading of all panels."""
    return Phases(log.first_step, log.last_step, log.t_adv, log.t_full)


def envelope(series: Series, max_points: int) -> Series:
    """At most `max_points` rows: of each bin its smallest and its largest, in their order."""
    n, count = len(series), max(1, max_points // 2 - 1)
    if n <= max_points:
        return series
    edges = np.linspace(0, n, count + 1).astype(np.intp)
    kept: set[int] = {0, n - 1}
    for start, stop in pairwise(edges):
        part = series.values[start:stop]
        kept |= {int(start + np.argmin(part)), int(start + np.argmax(part))}
    rows = np.array(sorted(kept), np.intp)
    return Series(series.steps[rows], series.values[rows])


def make_curve(
    label: str, series: Series, max_points: int, *, markers: bool = False
) -> Curve | None:
    """A series ready to be drawn; None when it is empty."""
    if not len(series):
        return None
    values = np.clip(series.values, -_FARTHEST, _FARTHEST)
    tiny = (values > 0) & (values < 1 / _FARTHEST)
    series = Series(series.steps, np.where(tiny, 1 / _FARTHEST, values))
    median = None
    if len(series) > _NOISY_ROWS:
        steps = stats.bin_medians(series.steps.astype(np.float64), _SMOOTHED_BINS)
        values = stats.bin_medians(series.values, _SMOOTHED_BINS)
        median = Series(steps.astype(np.int64), values)
    return Curve(label, envelope(series, max_points), median, markers)


def make_panel(
    name: str, title: str, y_label: str, curves: Sequence[Curve | None], why: str
) -> Panel:
    """A panel of the curves that exist; `why` says why there is none."""
    drawn = tuple(curve for curve in curves if curve is not None)
    return Panel(name, title, y_label, drawn, empty="" if drawn else why)


def log_where_positive(panel: Panel) -> Panel:
    """A log scale where all values allow it."""
    values = [curve.series.values for curve in panel.curves]
    positive = bool(values) and all(bool((each > 0).all()) for each in values)
    return replace(panel, log_scale=positive)


def fingerprint(panel: Panel, phases: Phases) -> str:
    """Of what a plot shows, to four digits: whether a drawing is up to date, whoever drew it."""
    curves = [
        [
            curve.label,
            curve.series.steps.tolist(),
            [f"{value:.3e}" for value in curve.series.values],
        ]
        for curve in panel.curves
    ]
    others = [panel.title, panel.y_label, panel.log_scale, panel.description, astuple(phases)]
    return hashlib.sha256(json.dumps([curves, others]).encode()).hexdigest()[:16]
