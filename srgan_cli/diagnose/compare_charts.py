"""The curves of several runs in one plot each: validation, separation, content loss and rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from srgan_cli import runfolder as names
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.compare import METRICS
from srgan_cli.diagnose.log import HF_RATIO, RunLog
from srgan_cli.diagnose.panels import (
    Level,
    Mark,
    Panel,
    Phases,
    log_where_positive,
    make_curve,
    make_panel,
)
from srgan_cli.diagnose.series import EMPTY, Series

MAX_RUNS: Final = 4
"""Of more, curves cannot be told apart."""
_FEW_ROWS: Final = 60
_METRICS: Final = (*METRICS, HF_RATIO.rpartition("/")[2])


def compared_panels(
    logs: Sequence[RunLog], run_names: Sequence[str], *, max_points: int = 1000
) -> tuple[Panel, ...]:
    """A plot for everything that at least one run has logged; the first `MAX_RUNS` runs are drawn.

    The first adversarial steps of the runs are marked where they are not those of the first run, whose
    phases are shaded.
    """
    logs, run_names = logs[:MAX_RUNS], run_names[:MAX_RUNS]
    marks = tuple(
        Mark(log.t_adv, None, f"{name}: first adversarial step", "v")
        for name, log in zip(run_names[1:], logs[1:], strict=True)
        if log.t_adv is not None and log.t_adv != logs[0].t_adv
    )

    def panel(title: str, y_label: str, of: Callable[[RunLog], Series]) -> Panel:
        series = [of(log) for log in logs]
        curves = [
            make_curve(name, each, max_points, markers=len(each) <= _FEW_ROWS)
            for name, each in zip(run_names, series, strict=True)
        ]
        found = make_panel("comparison", title, y_label, curves, "no run has logged it")
        return found if found.empty else replace(found, marks=marks)

    panels = [
        panel(f"Validation {name}", name, _logged(f"val_metrics/{name}")) for name in _METRICS
    ]
    balance = panel(
        "Separation of D's answers, 0 at chance and 1 at best", "separation", _separation
    )
    panels += [
        balance if balance.empty else replace(balance, levels=(Level(0.0, "chance"),)),
        log_where_positive(panel("Content loss", "loss", _logged(names.G_CONTENT))),
        log_where_positive(
            panel("Learning rate of the generator", "rate", _positive(names.G_RATE))
        ),
        log_where_positive(
            panel("Learning rate of the discriminator", "rate", _positive(names.D_RATE))
        ),
    ]
    return tuple(each for each in panels if not each.empty)


def common_phases(logs: Sequence[RunLog]) -> Phases:
    """The steps of all runs together, and the phases of the first."""
    return Phases(
        min(log.first_step for log in logs),
        max(log.last_step for log in logs),
        logs[0].t_adv,
        logs[0].t_full,
    )


def _logged(name: str) -> Callable[[RunLog], Series]:
    return lambda log: log.get(name)


def _positive(name: str) -> Callable[[RunLog], Series]:
    """A warm-up starts at 0, which a log scale cannot show."""

    def values(log: RunLog) -> Series:
        rate = log.get(name)
        return rate.where(rate.values > 0)

    return values


def _separation(log: RunLog) -> Series:
    balance = balance_of(log)
    return EMPTY if isinstance(balance, str) else balance.q
