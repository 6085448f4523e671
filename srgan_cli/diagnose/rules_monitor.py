"""SCH10, SCH12, SCH14: what the metric that schedulers and checkpoints watch leads to."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.knobs import cuts
from srgan_cli.diagnose.log import VAL_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series

_HIGHER_IS_BETTER = ("val_metrics/psnr", "val_metrics/ssim")


def _watched(log: RunLog) -> str:
    return log.config.schedulers.metric_g if log.config else VAL_L1


def _losses(name: str, series: Series) -> Series:
    """The metric so that less is better."""
    sign = -1.0 if name in _HIGHER_IS_BETTER else 1.0
    return Series(series.steps, sign * series.values)


def sch10(log: RunLog) -> Finding | NotChecked | None:
    """The generator's rate is cut in the adversarial phase because pretraining was better by its metric.

    The adversarial term makes L1 and PSNR worse by design. A plateau scheduler that still compares with the best of the
    pretraining sees no improvement ever after and cuts again and again. `srgan train` starts its comparison anew with
    the first adversarial step; OpenSR-SRGAN does not.
    """
    if log.form == "run folder":
        return None
    if log.t_adv is None or log.t_adv == log.first_step:
        return NotChecked("SCH10", "there is no adversarial phase after a pretraining")
    name = _watched(log)
    before = _losses(name, log.pre(name)).values
    after = _losses(name, log.adv(name)).values
    rate = log.adv(names.G_RATE)
    if not len(before) or len(after) < limit.MIN_LAG_VALIDATIONS or len(rate) < 2:
        return NotChecked("SCH10", f"too few validations with {name}, or no rates in the log")
    found = cuts(rate, limit.CUT)
    if len(found) < limit.UNFAIR_CUTS or float(after.min()) < float(before.min()):
        return None
    # A smooth decay falls at every row; a plateau scheduler leaves most rows alone.
    if len(found) > 0.2 * len(rate):
        return None
    patience = log.config.schedulers.patience_g if log.config else None
    return Finding(
        "SCH10",
        "warn",
        "The generator's rate is cut for not beating pretraining",
        f"lr_generator was cut {len(found)} times after the adversarial phase began at step {log.t_adv}, in which {name} never reached the best of the pretraining",
        found.window,
        "adversarial",
        {"cuts": [int(step) for step in found.steps[:30]], "metric": name},
        (
            Remedy(
                "Schedulers.metric_g",
                name,
                "val_metrics/perceptual",
                "a metric that the adversarial term can improve",
            ),
            Remedy(
                "Schedulers.patience_g",
                patience,
                None if patience is None else 4 * patience + 4,
                "or compare within a phase, as srgan train does",
            ),
        ),
    )


def sch12(log: RunLog) -> Finding | NotChecked | None:
    """A plateau scheduler does not do what it is there for.

    Its metric is not among the validation metrics (a warning: the rate will never be cut), or it has been flat for more than
    three times the patience without a cut (a note: noise counts as improvement; raise `Schedulers.threshold`).
    """
    if log.config is None:
        return NotChecked("SCH12", log.config_trouble or "the scheduler's metric is not known")
    name, section = log.config.schedulers.metric_g, log.config.schedulers
    phase = log.pre if log.t_adv is None else log.adv
    validations = max(len(phase(VAL_L1)), len(phase("val_metrics/psnr")))
    if validations < limit.MIN_LAG_VALIDATIONS:
        return NotChecked("SCH12", f"{validations} validations in this phase; needs 5")
    metric = _losses(name, phase(name))
    if not len(metric) and not len(log.get(name)):
        return _metric_missing(log, name, validations)
    needed = 3 * (section.patience_g + 1)
    if len(metric) < needed:
        return NotChecked(
            "SCH12", f"{len(metric)} validations in this phase; three patiences are {needed}"
        )
    return _idle(log, name, Series(metric.steps[-needed:], metric.values[-needed:]))


def _idle(log: RunLog, name: str, late: Series) -> Finding | None:
    """The finding for a metric that is flat over all of `late` while the rate stays."""
    if log.config is None:
        return None
    section = log.config.schedulers
    rate = log.get(names.G_RATE).between(*late.window)
    lowest = section.min_lr_g * 1.001
    if not len(rate) or len(cuts(rate, limit.CUT)) or float(rate.values[-1]) <= lowest:
        return None
    trend = stats.mann_kendall(late.values)
    level = abs(float(np.median(late.values))) or 1.0
    slope = stats.theil_sen(late.steps.astype(np.float64), late.values)
    change = slope * (late.window[1] - late.window[0]) / level
    if trend.p <= limit.FLAT_P or abs(change) >= limit.FLAT_CHANGE:
        return None
    noise = stats.robust_sigma(late.values) / level
    return Finding(
        "SCH12",
        "info",
        "The plateau scheduler does not act on a plateau",
        f"{name} has changed by {change:+.1%} over the last {len(late)} validations, without a trend, and lr_generator was not cut (patience {section.patience_g})",
        late.window,
        "run" if log.t_adv is None else "adversarial",
        {"change": change, "p": trend.p, "validations": len(late)},
        (
            Remedy(
                "Schedulers.threshold",
                section.threshold,
                stats.round_nicely(max(noise / 2, 2 * section.threshold)),
                "noise should not count as improvement",
            ),
        ),
        "medium",
    )


def _metric_missing(log: RunLog, name: str, validations: int) -> Finding:
    return Finding(
        "SCH12",
        "warn",
        "The plateau scheduler's metric is missing",
        f"Schedulers.metric_g is {name}, which none of the {validations} validations holds: the rate is never cut",
        (log.first_step, log.last_step),
        "run",
        {"metric": name},
        (Remedy("Schedulers.metric_g", name, VAL_L1, "it is measured at every validation"),),
    )


def sch14(log: RunLog) -> Finding | NotChecked | None:
    """The checkpoint kept as the best one was made before the adversarial phase: it is no GAN.

    Chosen by L1 or PSNR, which adversarial training makes worse by design, the best checkpoint is the end of the pretraining.
    `srgan train` keeps `best_pretrain` and `best_gan` apart; elsewhere take the last checkpoint, or choose by a
    perceptual metric.
    """
    if log.form == "run folder":
        return None
    if log.config is None:
        return NotChecked("SCH14", "what the best checkpoint was chosen by is not in the log")
    if log.t_adv is None or log.t_adv == log.first_step:
        return NotChecked("SCH14", "there is no adversarial phase after a pretraining")
    name = _watched(log)
    before, after = _losses(name, log.pre(name)), _losses(name, log.full(name))
    if not len(before) or len(after) < limit.MIN_LAG_VALIDATIONS:
        return NotChecked("SCH14", f"fewer than 5 validations with {name} at full weight")
    best = int(np.argmin(before.values))
    if float(after.values.min()) <= float(before.values[best]):
        return None
    step = int(before.steps[best])
    return Finding(
        "SCH14",
        "info",
        "The best checkpoint is older than the GAN",
        f"{name} was best at step {step}, before the adversarial phase (from {log.t_adv}): a checkpoint chosen by it knows nothing of the GAN",
        (step, int(after.steps[-1])),
        "run",
        {"best_step": step, "metric": name},
        (
            Remedy(
                "ModelCheckpoint.monitor",
                name,
                "val_metrics/perceptual",
                "or use the last checkpoint",
            ),
        ),
    )
