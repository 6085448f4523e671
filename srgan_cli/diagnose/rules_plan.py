"""SCH15, SCH16: the plan of config.yaml against what was logged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from srgan_cli import runfolder as names
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series
from srgan_cli.schedule import Schedule

_Floats = NDArray[np.float64]
_Bools = NDArray[np.bool_]
_Plan = Callable[[int], float]

_PLANNED_STEPS: Final = 4097


@dataclass(frozen=True)
class _Mismatch:
    what: str
    key: str
    step: int
    logged: float
    planned: float
    rows: int


def _no_plan(log: RunLog) -> str:
    return log.config_trouble or "there is no configuration to compare with"


def sch15(log: RunLog) -> Finding | NotChecked | None:
    """The logged ramp is half as long as configured: its steps count both optimizers.

    Lightning's `global_step` advances for the discriminator and for the generator, so OpenSR-SRGAN's ramp lasts half as
    many logged steps. Harmless when known; `srgan train` counts batches.
    """
    schedule = log.schedule
    if schedule is None:
        return NotChecked("SCH15", _no_plan(log))
    if not _half_as_long(log, schedule):
        return None
    start = log.t_adv or 0
    measured = (log.t_full or 0) - start
    return Finding(
        "SCH15",
        "info",
        "Steps were counted twice",
        f"the adversarial ramp took {measured} steps, half of the configured {schedule.ramp_steps}: the steps counted both optimizers",
        (start, log.t_full or start),
        "adversarial",
        {"measured_ramp": measured, "configured_ramp": schedule.ramp_steps},
        (
            Remedy(
                "Training.adv_loss_ramp_steps",
                schedule.ramp_steps,
                2 * schedule.ramp_steps,
                "where both optimizers are counted",
            ),
        ),
    )


def _half_as_long(log: RunLog, schedule: Schedule) -> bool:
    if log.t_adv is None or log.t_full is None or schedule.ramp_steps <= 0:
        return False
    interval = log.adv(names.ADV_WEIGHT).interval
    measured = log.t_full - log.t_adv
    # The cosine reaches 99 % of its height at 94 % of its length.
    expected = schedule.ramp_steps / 2 * (0.94 if schedule.ramp_shape == "cosine" else 0.99)
    return schedule.ramp_steps >= 6 * interval and abs(measured - expected) <= 1.5 * interval


def sch16(log: RunLog) -> Finding | NotChecked | None:
    """The logged phase, adversarial weight or warm-up is not what config.yaml plans.

    The plan is computed again from config.yaml for every logged step. A difference means that the configuration was edited
    after the run, or that something is wrong in the trainer. Of a run that was resumed with another configuration, the steps
    since then are looked at: its earlier ones are beside it, as `config_until_N.yaml`.
    """
    schedule = log.schedule
    if schedule is None:
        return NotChecked("SCH16", _no_plan(log))
    if (
        not len(log.get(names.PRETRAIN_PHASE))
        and not len(log.get(names.ADV_WEIGHT))
        and not len(log.get(names.G_RATE))
    ):
        return NotChecked("SCH16", "phase, adversarial weight and rate are not in the log")
    weight = None if _half_as_long(log, schedule) else _weight(log, schedule)
    found = [one for one in (_phase(log, schedule), weight, _warm_up(log, schedule)) if one]
    if not found:
        return None
    parts = [
        f"{one.what} at step {one.step} is {one.logged:.4g}, the plan says {one.planned:.4g} ({one.rows} rows differ)"
        for one in found
    ]
    return Finding(
        "SCH16",
        "warn",
        "Plan and measurements disagree",
        "; ".join(parts),
        (min(one.step for one in found), log.last_step),
        "run",
        {
            one.what: {"step": one.step, "logged": one.logged, "planned": one.planned}
            for one in found
        },
        tuple(
            Remedy(
                one.key,
                None,
                "the value the run was made with",
                "config.yaml does not describe this run",
            )
            for one in found
        ),
    )


def _planned(log: RunLog, name: str) -> Series:
    return log.get(name).between(log.planned_since, np.inf)


def _phase(log: RunLog, schedule: Schedule) -> _Mismatch | None:
    flag = _planned(log, names.PRETRAIN_PHASE)
    start = schedule.first_adversarial_step
    planned = flag.steps < (np.inf if start is None else start)
    # A row may stand for the whole interval before it.
    near = (
        np.zeros(len(flag), bool) if start is None else np.abs(flag.steps - start) <= flag.interval
    )
    wrong = ((flag.values >= 0.5) != planned) & ~near
    return _first_wrong(
        "pretrain_phase", "Training.g_pretrain_steps", flag, wrong, planned.astype(np.float64)
    )


def _weight(log: RunLog, schedule: Schedule) -> _Mismatch | None:
    weight = _planned(log, names.ADV_WEIGHT)
    start = schedule.first_adversarial_step or 0
    span = (start - 1, start + schedule.ramp_steps)
    low, high, middle = _band(weight, lambda step: schedule.at(step).adv_weight, span)
    slack = limit.PLAN_TOLERANCE * schedule.adv_weight + 1e-12
    wrong = (weight.values < low - slack) | (weight.values > high + slack)
    return _first_wrong("adv_loss_weight", "Training.adv_loss_ramp_steps", weight, wrong, middle)


def _warm_up(log: RunLog, schedule: Schedule) -> _Mismatch | None:
    if log.config is None:
        return None
    base, schedulers = log.config.optimizers.optim_g_lr, log.config.schedulers
    rate = _planned(log, names.G_RATE)
    rate = rate.between(0, schedule.warmup_steps + 5 * rate.interval)
    span = (-1, schedule.warmup_steps)
    low, high, middle = _band(rate, lambda step: base * schedule.at(step).g_rate_factor, span)
    slack = limit.PLAN_TOLERANCE * base
    wrong = (rate.values < low - slack) | (rate.values > high + slack)
    # A plateau scheduler may have cut the rate by then: whole powers of its factor are in order.
    for power in range(1, 8):
        factor = schedulers.factor_g**power
        wrong &= (
            (rate.values < factor * low - slack)
            | (rate.values > factor * high + slack)
            | (rate.steps < schedule.warmup_steps)
        )
    return _first_wrong("lr_generator", "Schedulers.g_warmup_steps", rate, wrong, middle)


def _band(series: Series, plan: _Plan, span: tuple[int, int]) -> tuple[_Floats, _Floats, _Floats]:
    """Least and largest planned value over each row's log interval, and that at the row.

    The plan changes within `span` only: elsewhere it is not asked again for each of a million rows.
    """
    if not len(series):
        return (np.empty(0),) * 3
    before = np.maximum(series.steps - series.interval, 0)
    steps = np.clip(np.stack([before, series.steps, series.steps + 1]), *span)
    ends = np.where(steps == span[0], plan(span[0]), plan(span[1]))
    inside = (steps > span[0]) & (steps < span[1])
    different, place = np.unique(steps[inside], return_inverse=True)
    ends[inside] = _at(different, plan)[place]
    return ends.min(axis=0), ends.max(axis=0), ends[1]


def _at(steps: NDArray[np.int64], plan: _Plan) -> _Floats:
    """The plan at rising steps; of very many, between some of them along straight lines.

    A cosine over 4096 lines is off by less than a millionth of its height.
    """
    asked = steps
    if len(steps) > _PLANNED_STEPS:
        asked = steps[np.linspace(0, len(steps) - 1, _PLANNED_STEPS).astype(np.intp)]
    values = np.array([plan(int(step)) for step in asked], np.float64)
    return values if asked is steps else np.interp(steps, asked, values)


def _first_wrong(
    what: str, key: str, series: Series, wrong: _Bools, planned: _Floats
) -> _Mismatch | None:
    rows = np.flatnonzero(wrong)
    if len(rows) < min(limit.PLAN_ROWS, max(1, len(series) // 2)):
        return None
    row = int(rows[0])
    value = float(series.values[row])
    return (
        None
        if math.isnan(value)
        else _Mismatch(what, key, int(series.steps[row]), value, float(planned[row]), len(rows))
    )
