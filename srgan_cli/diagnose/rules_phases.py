"""SCH01, SCH02, SCH04, SCH05: whether the phases are there, long enough and smooth."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.influence import Influence, influence_of
from srgan_cli.diagnose.log import TRAIN_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy, Severity
from srgan_cli.diagnose.series import Series

_PRETRAIN_KEY = "Training.g_pretrain_steps"
_RAMP_KEY = "Training.adv_loss_ramp_steps"


def sch01(log: RunLog) -> Finding | NotChecked | None:
    """The run never left pretraining, so no GAN was trained.

    `g_pretrain_steps` is larger than the run is long, or counted in another unit than steps. A note only where the
    configuration asks for it with -1.
    """
    if log.t_adv is not None:
        return None
    if not log.has_phases:
        return NotChecked(
            "SCH01", f"neither {names.PRETRAIN_PHASE} nor an adversarial loss is in the log"
        )
    planned = knobs.pretrain_steps(log) if log.config else None
    wanted = planned is not None and planned < 0
    end = log.max_steps
    beyond = planned is not None and end is not None and planned >= end
    if log.cut_short and not wanted and not beyond:
        of = "" if planned is None else f" of {planned}"
        return NotChecked("SCH01", f"still pretraining at step {log.last_step}{of}, as planned")
    if log.config is None and log.num_rows < limit.MIN_SPIKE_ROWS:
        return NotChecked(
            "SCH01", f"still pretraining after {log.num_rows} rows; too early to say more"
        )
    length = end or log.last_step
    asked = (
        "as g_pretrain_steps -1 asks for"
        if wanted
        else (
            f"g_pretrain_steps is {planned}, the run has {length} steps"
            if planned is not None
            else "no row has an adversarial step"
        )
    )
    return Finding(
        "SCH01",
        "info" if wanted else "warn",
        "The run never left pretraining",
        f"all rows up to step {log.last_step} are pretraining: {asked}; the generator knows L1 only",
        (log.first_step, log.last_step),
        "pretraining",
        {"g_pretrain_steps": planned, "last_step": log.last_step},
        (
            Remedy(
                _PRETRAIN_KEY,
                planned,
                max(1, int(stats.round_nicely(length / 4))),
                "about a quarter of the run",
            ),
        ),
    )


def sch02(log: RunLog) -> Finding | NotChecked | None:
    """Pretraining was too short.

    The discriminator started while the generator was still improving quickly on its own: going on for half as long again
    would have gained more than 12 % of L1 (a note) or 40 % (a warning); or pretraining was less than 5 % of the run.
    """
    reason = _no_pretraining_to_judge(log)
    if log.t_adv is None or reason:
        return NotChecked("SCH02", reason)
    length = max(log.max_steps or 0, log.last_step)
    share = (log.t_adv - min(log.first_step, log.t_adv)) / max(length, 1)
    if share < limit.SHORT_PRETRAIN_SHARE:
        words = f"{share:.1%} of the run ({log.t_adv} of {length} steps)"
        return _too_short(log, "warn", f"pretraining was {words}", {"share": share})
    l1 = _content(log)
    late = l1.where(np.arange(len(l1)) >= 0.6 * len(l1))
    late = late.where(late.values > 0)
    if len(late) < limit.MIN_TREND_ROWS:
        return NotChecked(
            "SCH02",
            f"{len(late)} rows in the last part of pretraining; needs {limit.MIN_TREND_ROWS}",
        )
    level = np.log(late.values)
    trend = stats.mann_kendall(level)
    steps = late.steps.astype(np.float64)
    slope = stats.theil_sen(steps, level)
    more = 0.5 * (log.t_adv - log.first_step)
    gain = 1 - float(np.exp(slope * more))
    # What noise leaves of it: the slope is known to two of its standard errors.
    error = stats.robust_sigma(level) / (np.sqrt(len(level)) * float(steps.std()))
    sure = 1 - float(np.exp((slope + 2 * error) * more))
    if (
        trend.direction >= 0
        or trend.p >= limit.TREND_P
        or gain <= limit.SHORT_PRETRAIN_GAIN_INFO
        or sure <= 0
    ):
        return None
    plain = (
        gain > limit.SHORT_PRETRAIN_GAIN_WARN
        and sure > limit.SHORT_PRETRAIN_GAIN_SURE
        and trend.p < limit.SURE_TREND_P
    )
    severity: Severity = "warn" if plain else "info"
    words = f"L1 was still falling when the discriminator started at step {log.t_adv}: half as much again would gain about {gain:.0%}"
    return _too_short(log, severity, words, {"projected_gain": gain, "p": trend.p})


def _no_pretraining_to_judge(log: RunLog) -> str:
    if log.t_adv is None:
        return "pretraining has not ended"
    if not log.has_phases:
        return "the log does not say where pretraining ended"
    if log.config and (log.config.model.load_checkpoint or log.config.model.continue_training):
        return "the run started from given weights"
    return ""


def _content(log: RunLog) -> Series:
    return log.pre(TRAIN_L1) if len(log.pre(TRAIN_L1)) else log.pre(names.G_CONTENT)


def _too_short(log: RunLog, severity: Severity, message: str, numbers: dict[str, float]) -> Finding:
    length = max(log.max_steps or 0, log.last_step)
    start = log.t_adv or 0
    new = max(int(start * 1.5), int(length * 0.15))
    why = "D should meet a generator that has converged on content"
    remedies = [Remedy(_PRETRAIN_KEY, knobs.pretrain_steps(log), new, why)]
    if log.config and not log.config.training.pretrain_g_only:
        remedies.insert(0, Remedy("Training.pretrain_g_only", False, True, why))
    return Finding(
        "SCH02",
        severity,
        "Pretraining was too short",
        message,
        (log.first_step, start),
        "pretraining",
        numbers,
        tuple(remedies),
        "high" if severity == "warn" else "medium",
    )


def sch04(log: RunLog) -> Finding | NotChecked | None:
    """The adversarial weight came at once, and the generator felt it.

    With a ramp of two log rows or less, the content loss jumped, or a strong adversarial term acted while the
    discriminator was still blind. A ramp lets D learn while its weight is small.
    """
    if log.t_adv is None or log.t_full is None:
        return NotChecked("SCH04", "the full adversarial weight has not been reached")
    weight = log.adv(names.ADV_WEIGHT)
    if not len(weight):
        return NotChecked("SCH04", f"{names.ADV_WEIGHT} is not in the log")
    rows = int(np.count_nonzero(weight.steps < log.t_full))
    if rows > limit.ABRUPT_ROWS:
        return None
    jump, z = _content_jump(log)
    blind = _blind_and_strong(log)
    if not (jump > limit.ABRUPT_JUMP and z > limit.ABRUPT_SIGMAS) and not blind:
        return None
    what = (
        f"the content loss rose {jump:.2f} times"
        if jump > limit.ABRUPT_JUMP and z > limit.ABRUPT_SIGMAS
        else blind
    )
    ramp = knobs.ramp_steps(log)
    length = max(log.max_steps or 0, log.last_step)
    new = max(500, int(stats.round_nicely((length - log.t_adv) / 5)))
    return Finding(
        "SCH04",
        "warn",
        "The adversarial ramp is abrupt",
        f"the adversarial weight was at its full {knobs.beta(log) or 0:g} within {log.t_full - log.t_adv} steps of step {log.t_adv}: {what}",
        (log.t_adv, log.t_full),
        "adversarial",
        {"ramp_rows": rows, "content_jump": jump, "z": z},
        (Remedy(_RAMP_KEY, ramp, new, "D must learn before its word counts"),),
    )


def _content_jump(log: RunLog) -> tuple[float, float]:
    before = _content(log).values[-15:]
    name = TRAIN_L1 if len(log.adv(TRAIN_L1)) else names.G_CONTENT
    after = log.adv(name).values[:10]
    if len(before) < 5 or len(after) < 5:
        return 1.0, 0.0
    old, new = float(np.median(before)), float(np.median(after))
    sigma = max(stats.robust_sigma(before), 1e-12) * np.sqrt(np.pi / 2 / len(after))
    return (new / old if old > 0 else 1.0), float((new - old) / sigma)


def _blind_and_strong(log: RunLog) -> str:
    """Evidence that D was at chance while its weight was full and mattered; "" if not."""
    balance, influence = balance_of(log), influence_of(log)
    if isinstance(balance, str) or not isinstance(influence, Influence):
        return ""
    start = log.t_full or 0
    q = balance.q.between(start, float("inf")).values[:10]
    ratio = influence.series.values[:10]
    bar = limit.INFLUENCE_CHANGED if influence.kind == "gradients" else limit.LOSS_RATIO_CHANGED
    if len(q) < 5 or float(np.median(q)) >= limit.BLIND_Q or float(np.median(ratio)) <= bar:
        return ""
    return (
        f"the discriminator was still blind (separation {float(np.median(q)):.2f}), "
        f"and its term already weighed {float(np.median(ratio)):.2g} of the content term"
    )


def sch05(log: RunLog) -> Finding | NotChecked | None:
    """The run ended before the adversarial weight was at its full value."""
    if log.t_adv is None:
        return NotChecked("SCH05", "the run has no adversarial step yet")
    if log.t_full is not None:
        return None
    if log.cut_short:
        return NotChecked("SCH05", f"the ramp was still going on at step {log.last_step}")
    weight = log.adv(names.ADV_WEIGHT)
    reached = float(weight.values[-1]) if len(weight) else 0.0
    ramp = knobs.ramp_steps(log)
    left = max(log.last_step - log.t_adv, 1)
    return Finding(
        "SCH05",
        "info",
        "The adversarial ramp was not finished",
        f"at the last step {log.last_step} the adversarial weight was {reached:.3g}"
        + (f" of {knobs.beta(log):g}" if log.config else " and still rising"),
        (log.t_adv, log.last_step),
        "adversarial",
        {"weight": reached},
        (
            Remedy(
                _RAMP_KEY,
                ramp,
                int(stats.round_nicely(left / 4)),
                "leaves most of the phase at full weight",
            ),
            Remedy("Training.max_steps", log.max_steps, None, "or train longer"),
        ),
    )
