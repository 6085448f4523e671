"""EMA01, EMA02, FIT01, FIT03: whether the average follows, and whether anything is learned."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import TRAIN_L1, VAL_L1, RunLog, Series
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


def ema01(log: RunLog) -> Finding | NotChecked | None:
    """Validation does not change at all, although the training loss fell.

    The validated weights are not the trained ones: typically an EMA that has not started (`update_after_step` beyond
    the run) is swapped in, so that the initial weights are validated, saved and exported.
    """
    l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    if len(l1) < limit.CONSTANT_VALIDATIONS:
        return NotChecked("EMA01", f"{len(l1)} validations; needs {limit.CONSTANT_VALIDATIONS}")
    last = l1.values[-limit.CONSTANT_VALIDATIONS :]
    if (
        last.std() >= limit.CONSTANT_STD * abs(float(last.mean()))
        or len(train) < limit.MIN_ADVERSARIAL_ROWS
    ):
        return None
    smooth = stats.running_median(train.values, 5)
    fell = float(smooth.max() / max(float(smooth[-1]), 1e-12))
    if fell < limit.TRAIN_FELL:
        return None
    ema = log.config.training.ema if log.config else None
    return Finding(
        "EMA01",
        "error",
        "Validation is frozen",
        f"validation L1 is {float(last[-1]):.4g} at every one of the last {len(last)} validations, while training L1 fell {fell:.1f} times: other weights are validated than trained",
        (int(l1.steps[-len(last)]), int(l1.steps[-1])),
        "run",
        {"val_l1": float(last[-1]), "train_fell": fell},
        (
            Remedy(
                "Training.EMA.update_after_step",
                ema.update_after_step if ema else None,
                0,
                "the average starts at once",
            ),
        ),
    )


def ema02(log: RunLog) -> Finding | NotChecked | None:
    """The average lags behind: its half-life is a large part of the adversarial phase.

    Validation, `ema.safetensors` and every image then show an old generator. A warning when validation L1 is at least
    1.5 times the training L1 as well. Without a known decay, only a threefold gap is put down to the EMA.
    """
    ratio = _validation_over_training(log)
    if ratio is None:
        return NotChecked("EMA02", "too few validations, or too few rows of training L1")
    decay = _decay(log)
    if decay is None and log.config is not None:
        return None
    start = max(
        log.t_adv or log.first_step, log.config.training.ema.update_after_step if log.config else 0
    )
    steps = max(log.max_steps or log.last_step, start + 1) - start
    half_life = math.log(0.5) / math.log(decay) if decay else math.nan
    if decay is not None and half_life <= limit.EMA_SLOW_SHARE * steps:
        return None
    if decay is None and (ratio <= limit.EMA_LAG_RATIO_ALONE or not _always_behind(log)):
        return NotChecked("EMA02", "the EMA decay is not known")
    lags = ratio > limit.EMA_LAG_RATIO
    gap = f"validation L1 is {ratio:.1f} times the training L1"
    message = (
        gap + " and follows it late"
        if decay is None
        else (
            f"half-life {half_life:.0f} steps (decay {decay:g}) against {steps} steps since the average or the GAN started; {gap}"
        )
    )
    return Finding(
        "EMA02",
        "warn" if lags else "info",
        "The EMA is too slow for this run",
        message,
        (start, log.last_step),
        "run",
        {"half_life": None if decay is None else half_life, "validation_over_training": ratio},
        (
            Remedy(
                "Training.EMA.decay",
                decay,
                float(f"{0.5 ** (20 / max(steps, 40)):.4g}"),
                "a half-life of 5 % of these steps",
            ),
            *_start_faster(log),
        ),
        "medium" if decay is None else "high",
    )


def _start_faster(log: RunLog) -> list[Remedy]:
    before = log.config.training.ema.use_num_updates if log.config else None
    if before:
        return []
    why = "the average is fast at first"
    return [Remedy("Training.EMA.use_num_updates", before, True, why)]


def _decay(log: RunLog) -> float | None:
    logged = log.get(names.EMA_DECAY).values
    logged = logged[(logged > 0) & (logged < 1)]
    if len(logged):
        return float(logged[-1])
    if log.config is None or not log.config.training.ema.enabled:
        return None
    ema = log.config.training.ema
    updates = max(log.last_step - ema.update_after_step, 0)
    decay = min(ema.decay, (1 + updates) / (10 + updates)) if ema.use_num_updates else ema.decay
    return decay if decay > 0 else None


def _validation_over_training(log: RunLog) -> float | None:
    l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    if len(l1) < 5 or len(train) < limit.MIN_ADVERSARIAL_ROWS:
        return None
    window = train.between(float(l1.steps[-3]) - 5 * train.interval, math.inf)
    if not len(window):
        return None
    recent = float(np.median(window.values))
    return float(np.median(l1.values[-3:])) / recent if recent > 0 else None


def _always_behind(log: RunLog) -> bool:
    """Whether validation lay above training all the time, as behind an average; not just at the end."""
    l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    smooth = np.interp(l1.steps, train.steps, stats.running_median(train.values, 11))
    return stats.share_of(l1.values > limit.EMA_LAG_RATIO * smooth) >= limit.PERSISTENT


def fit01(log: RunLog) -> Finding | NotChecked | None:
    """Overfitting: training improves while validation gets worse, within the adversarial phase at full weight.

    Never judged across the start of the GAN, where PSNR and L1 get worse by design. More scenes, more augmentation, or an
    earlier stop (`weights/best_gan.safetensors`).
    """
    if log.t_adv is None:
        l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    else:
        l1, train = log.full(VAL_L1), log.full(TRAIN_L1)
    if len(l1) < limit.OVERFIT_VALIDATIONS:
        return NotChecked(
            "FIT01", f"{len(l1)} validations in the last phase; needs {limit.OVERFIT_VALIDATIONS}"
        )
    smooth = stats.running_median(l1.values, 5)
    best = int(np.argmin(smooth))
    age = (len(smooth) - 1 - best) / len(smooth)
    rise = float(smooth[-1] - smooth[best])
    trend = stats.mann_kendall(l1.values[best:])
    fall = _fall(train)
    overfits = (
        age >= limit.OVERFIT_AGE
        and rise > limit.OVERFIT_RISE * smooth[best]
        and rise > limit.OVERFIT_SIGMAS * stats.robust_sigma(l1.values) / math.sqrt(2)
        and trend.direction > 0
        and trend.p < limit.OVERFIT_P
        and fall > limit.OVERFIT_TRAIN_FALL
    )
    if not overfits:
        return None
    step = int(l1.steps[best])
    return Finding(
        "FIT01",
        "warn",
        "The generator overfits",
        f"validation L1 has risen {rise / float(smooth[best]):.0%} since its best at step {step}, while training L1 fell {fall:.0%}",
        (step, int(l1.steps[-1])),
        "run" if log.t_adv is None else "adversarial",
        {"best_step": step, "rise": rise, "train_fall": fall, "p": trend.p},
        (
            Remedy(
                "Data.augment",
                log.config.data.augment if log.config else None,
                True,
                "flips and rotations are free data",
            ),
            Remedy(
                "Training.max_steps",
                log.max_steps,
                int(stats.round_nicely(step)),
                "or stop near the best; or give more scenes",
            ),
        ),
    )


def _fall(train: Series) -> float:
    """Relative fall of the training loss from the first to the last fifth of the window."""
    fifth = max(3, len(train) // 5)
    if len(train) < 2 * fifth:
        return 0.0
    first, last = float(np.median(train.values[:fifth])), float(np.median(train.values[-fifth:]))
    return 1 - last / first if first > 0 else 0.0


def fit03(log: RunLog) -> Finding | NotChecked | None:
    """Nothing was learned: the content loss did not improve over the whole pretraining.

    Less than 5 % better, and no significant trend. The rate is far too small or far too large, or LR and HR do not belong
    together.
    """
    part = log.pre if log.t_adv is None or log.t_adv > log.first_step else log.adv
    train = part(TRAIN_L1) if len(part(TRAIN_L1)) else part(names.G_CONTENT)
    if len(train) < 2 * limit.MIN_TREND_ROWS:
        return NotChecked(
            "FIT03",
            f"{len(train)} rows of content loss in the first phase; needs {2 * limit.MIN_TREND_ROWS}",
        )
    if log.config and (log.config.model.load_checkpoint or log.config.model.continue_training):
        return NotChecked(
            "FIT03", "the run started from given weights, which may be as good already"
        )
    # Most is learned in the very first steps; a long converged phase hides that in its fifths.
    start, end = float(np.median(train.values[:3])), float(np.median(train.values[-3:]))
    fall = max(_fall(train), 1 - end / start if start > 0 else 0.0)
    for series in (train, part(VAL_L1)):
        trend = stats.mann_kendall(series.values)
        if fall >= limit.NOTHING_LEARNED or (trend.direction < 0 and trend.p < limit.TREND_P):
            return None
    g = knobs.g_rate(log)
    return Finding(
        "FIT03",
        "warn",
        "Nothing was learned",
        f"{'L1' if len(part(TRAIN_L1)) else 'the content loss'} changed by {-fall:+.1%} between steps {train.window[0]} and {train.window[1]}, without a trend",
        train.window,
        "pretraining" if log.t_adv != log.first_step else "run",
        {"fall": fall},
        (
            Remedy(
                "Optimizers.optim_g_lr",
                g,
                1e-4 if g is None or g < 1e-5 or g > 1e-3 else stats.round_nicely(2 * g),
                "a usual rate; and check that LR and HR belong together",
            ),
        ),
        "medium",
    )
