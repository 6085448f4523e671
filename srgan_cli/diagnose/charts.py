"""The plots of a report: what each of them shows, and which one shows a finding best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.grid_charts import grid_panels
from srgan_cli.diagnose.influence import Influence, influence_of
from srgan_cli.diagnose.knobs import cuts
from srgan_cli.diagnose.log import GRAD_RATIO, RunLog
from srgan_cli.diagnose.panels import (
    Level,
    Mark,
    Panel,
    Span,
    log_where_positive,
    make_curve,
    make_panel,
)
from srgan_cli.diagnose.report import Report
from srgan_cli.diagnose.series import Series

_RISING: Final = ("psnr", "ssim")
"""Validation metrics of which more is better."""
_FIRST_METRICS: Final = ("l1", "psnr", "ssim", "perceptual", "sam", "ergas", "hf_ratio", "tv")
_MAX_METRICS: Final = 6
_PLANNED_POINTS: Final = 120

Builder = Callable[[RunLog, int], Sequence[Panel]]


def panels_of(log: RunLog, report: Report, *, max_points: int = 1000) -> tuple[Panel, ...]:
    """Every plot of a report; each curve keeps at most `max_points` points, extremes among them."""
    found = [panel for build in BUILDERS.values() for panel in build(log, max_points)]
    return tuple(_with_spans(panel, report) for panel in found)


def panel_for(code: str) -> str:
    """The name of the builder whose plot shows best what a code is about; "" where none does."""
    return _BEST_PANEL.get(code, _FAMILY_PANEL.get(code.rstrip("0123456789"), "losses"))


def _losses(log: RunLog, max_points: int) -> list[Panel]:
    panel = make_panel(
        "losses",
        "Losses",
        "loss",
        [
            make_curve("content", log.get(names.G_CONTENT), max_points),
            make_curve("adversarial (generator)", log.get(names.G_ADVERSARIAL), max_points),
            make_curve("discriminator", log.get(names.D_LOSS), max_points),
        ],
        "no loss of the generator or the discriminator is in the log",
    )
    broken = log.nonfinite[:1] if panel.curves else ()
    marks = tuple(Mark(one.step, None, f"{one.name} {one.value:g}", "x") for one in broken)
    return [replace(log_where_positive(panel), marks=marks)]


def _balance(log: RunLog, max_points: int) -> list[Panel]:
    balance = balance_of(log)
    why = balance if isinstance(balance, str) else "D(y) and D(G(x)) are not in the log"
    curves = [
        make_curve("D(y), real images", log.get(names.D_REAL), max_points),
        make_curve("D(G(x)), generated images", log.get(names.D_FAKE), max_points),
        make_curve("D(y) in validation", log.get(names.VAL_D_REAL), max_points, markers=True),
        make_curve("D(G(x)) in validation", log.get(names.VAL_D_FAKE), max_points, markers=True),
    ]
    if isinstance(balance, str) and "Wasserstein" in balance:
        curves = []
    panel = make_panel("balance", "Discriminator's answers", "probability of real", curves, why)
    if panel.empty:
        return [panel]
    levels = [Level(0.5, "0.5")]
    if not isinstance(balance, str) and balance.target < 1:
        levels = [Level(balance.target / 2, f"{balance.target / 2:g}: chance, labels smoothed")]
    return [replace(panel, levels=tuple(levels))]


def _influence(log: RunLog, max_points: int) -> list[Panel]:
    influence = influence_of(log)
    ratio, kind = log.adv(GRAD_RATIO), "gradient"
    if isinstance(influence, Influence) and influence.kind == "losses":
        ratio, kind = influence.series, "loss"
    # On a log scale the zero weight of the pretraining has no place.
    weight = log.adv(names.ADV_WEIGHT)
    weight, ratio = weight.where(weight.values > 0), ratio.where(ratio.values > 0)
    curves = [
        make_curve("adversarial weight", weight, max_points),
        make_curve(f"{kind} ratio, adversarial to content", ratio, max_points),
        make_curve("weight as config.yaml plans it", _planned(log, weight), max_points),
    ]
    why = influence if isinstance(influence, str) else "the adversarial weight is not in the log"
    title, y_label = "Adversarial weight and influence", "weight, ratio"
    panel = make_panel("influence", title, y_label, curves, why)
    if not len(ratio):
        return [replace(panel, log_scale=not panel.empty)]
    levels = [Level(limit.INFLUENCE_DOMINATES, "ratio 1: dominates")]
    if kind == "gradient":
        levels.append(Level(limit.INFLUENCE_NONE, "ratio 0.001: no influence"))
    return [replace(panel, levels=tuple(levels), log_scale=True)]


def _planned(log: RunLog, weight: Series) -> Series:
    """The adversarial weight of the plan, where the measured one differs from it; else nothing."""
    schedule = log.schedule
    if schedule is None or not len(weight):
        return weight.where(np.zeros(len(weight), bool))
    rows = np.unique(np.linspace(0, len(weight) - 1, _PLANNED_POINTS).astype(np.intp))
    steps = weight.steps[rows]
    planned = np.array([schedule.at(int(step)).adv_weight for step in steps])
    differs = np.abs(weight.values[rows] - planned) > limit.PLAN_TOLERANCE * schedule.adv_weight
    return Series(steps, planned).where((planned > 0) & bool(differs.any()))


def _rates(log: RunLog, max_points: int) -> list[Panel]:
    sides = (("generator", log.get(names.G_RATE)), ("discriminator", log.get(names.D_RATE)))
    # A warm-up starts at 0, which a log scale cannot show.
    curves = [
        make_curve(who, rate.where(rate.values > 0), max_points) for who, rate in sides if len(rate)
    ]
    panel = make_panel("rates", "Learning rates", "rate", curves, "no learning rate is in the log")
    marks = []
    for who, rate in sides:
        found = cuts(rate, limit.CUT)
        # A smooth decay falls at every row: that is no cut.
        if len(found) <= max(limit.REGULAR_CUTS, 0.2 * len(rate)):
            marks += [
                Mark(int(step), float(value), f"cut of the {who}'s rate", "v")
                for step, value in zip(found.steps[:30], found.values[:30], strict=True)
                if value > 0
            ]
    return [replace(panel, marks=tuple(marks), log_scale=not panel.empty)]


def _norms(log: RunLog, max_points: int) -> list[Panel]:
    curves = [
        make_curve("generator", log.get(names.G_NORM), max_points),
        make_curve("discriminator", log.get(names.D_NORM), max_points),
    ]
    why = "no gradient norm is in the log"
    panel = log_where_positive(
        make_panel("norms", "Gradient norms before clipping", "norm", curves, why)
    )
    clip = log.config.optimizers.gradient_clip_val if log.config else 0.0
    levels = (Level(clip, f"{clip:g}: clipped above"),) if clip and not panel.empty else ()
    return [replace(panel, levels=levels)]


def _validation(log: RunLog, max_points: int) -> list[Panel]:
    prefix = "val_metrics/"
    logged = [name for name in _FIRST_METRICS if len(log.get(prefix + name))]
    if not logged:
        why = "no validation metric is in the log"
        return [Panel("validation", "Validation", "metric", empty=why)]
    panels = []
    for name in logged[:_MAX_METRICS]:
        series = log.get(prefix + name)
        curve = make_curve(f"validation {name}", series, max_points, markers=len(series) <= 60)
        title = f"Validation {name}"
        panel = make_panel("validation", title, name, [curve], "")
        panels.append(replace(panel, marks=tuple(_best_marks(log, name, series))))
    return panels


def _best_marks(log: RunLog, name: str, series: Series) -> list[Mark]:
    """The best value of each phase: pretraining and GAN are not comparable."""
    if name not in (*_RISING, "l1", "perceptual", "sam", "ergas"):
        return []
    marks = []
    for label, part in (
        ("best of pretraining", log.pre(f"val_metrics/{name}")),
        ("best with the GAN", log.adv(f"val_metrics/{name}")),
    ):
        if len(part) and len(series) > 1:
            best = int(np.argmax(part.values) if name in _RISING else np.argmin(part.values))
            marks.append(Mark(int(part.steps[best]), float(part.values[best]), label))
    return marks


def _time(log: RunLog, max_points: int) -> list[Panel]:
    curves = [
        make_curve("step", log.get(names.STEP_SECONDS), max_points),
        make_curve("of it waiting for data", log.get(names.DATA_SECONDS), max_points),
        make_curve("a validation", log.get(names.VAL_SECONDS), max_points, markers=True),
    ]
    why = "no step time is in the log"
    return [
        log_where_positive(
            make_panel("time", "Time of steps and validations", "seconds", curves, why)
        )
    ]


def _memory(log: RunLog, max_points: int) -> list[Panel]:
    curves = [make_curve("peak memory", log.get(names.PEAK_MEMORY), max_points)]
    why = "no memory is in the log"
    return [make_panel("memory", "Peak memory", "MB", curves, why)]


BUILDERS: Final[Mapping[str, Builder]] = {
    "losses": _losses,
    "balance": _balance,
    "influence": _influence,
    "rates": _rates,
    "validation": _validation,
    "norms": _norms,
    "grid": grid_panels,
    "time": _time,
    "memory": _memory,
}
"""In the order of the report."""

_FAMILY_PANEL: Final = {
    "GAN": "balance",
    "NUM": "losses",
    "SCH": "rates",
    "EMA": "validation",
    "FIT": "validation",
    "IMG": "",
    "SYS": "time",
    "LOG": "losses",
}
_BEST_PANEL: Final = {
    "GAN06": "influence",
    "GAN07": "influence",
    "GAN08": "losses",
    "IMG01": "grid",
    "IMG02": "grid",
    "IMG03": "grid",
    "NUM04": "validation",
    "NUM05": "validation",
    "NUM06": "norms",
    "SCH01": "losses",
    "SCH02": "losses",
    "SCH03": "losses",
    "SCH04": "losses",
    "SCH05": "influence",
    "SCH06": "losses",
    "SCH10": "validation",
    "SCH12": "validation",
    "SCH14": "validation",
    "SCH15": "influence",
    "SCH16": "influence",
    "FIT03": "losses",
    "SYS03": "memory",
    "SYS04": "losses",
    "SYS06": "losses",
}


def _with_spans(panel: Panel, report: Report) -> Panel:
    """The steps of the findings that a panel shows best; a finding on the whole run needs no mark."""
    if panel.empty:
        return panel
    spans = tuple(
        Span(*finding.window, finding.code)
        for finding in report.findings
        if panel_for(finding.code) == panel.name
    )
    return replace(panel, spans=spans)


def panel_of(log: RunLog, report: Report, code: str, *, max_points: int) -> Panel | None:
    """The plot that shows best what a code is about, with the steps of that finding alone."""
    if not panel_for(code):
        return None
    panel = BUILDERS[panel_for(code)](log, max_points)[0]
    return replace(
        _with_spans(panel, report),
        spans=tuple(Span(*f.window, f.code) for f in report.findings if f.code == code),
    )
