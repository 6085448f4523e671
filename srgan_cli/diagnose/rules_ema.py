"""EMA01-04: whether the average follows the training."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.lag import validation_over_training
from srgan_cli.diagnose.log import TRAIN_L1, VAL_L1, RunLog
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
    if last.std() >= limit.CONSTANT_STD * abs(float(last.mean())):
        return None
    if len(train) < limit.MIN_ADVERSARIAL_ROWS:
        return NotChecked(
            "EMA01", f"{len(train)} rows of training L1; needs {limit.MIN_ADVERSARIAL_ROWS}"
        )
    smooth = stats.running_median(train.values, 5)
    fell = float(smooth.max() / max(float(smooth[-1]), 1e-12))
    if fell < limit.TRAIN_FELL and not _frozen_while_trained(log):
        return None
    why = f"training L1 fell {fell:.1f} times" if fell >= limit.TRAIN_FELL else "training goes on"
    ema = log.config.training.ema if log.config else None
    return Finding(
        "EMA01",
        "error",
        "Validation is frozen",
        f"validation L1 is {float(last[-1]):.4g} at every one of the last {len(last)} validations, while {why}: other weights are validated than trained",
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


def _frozen_while_trained(log: RunLog) -> bool:
    """Whether many validations in a row are equal while the generator's rate is alive."""
    l1, rate = log.get(VAL_L1).values, log.get(names.G_RATE).values
    if len(l1) < limit.FROZEN_VALIDATIONS or not len(rate):
        return False
    last = l1[-limit.FROZEN_VALIDATIONS :]
    equal = float(last.std()) < limit.CONSTANT_STD * abs(float(last.mean()))
    return equal and float(rate[-1]) > limit.RATE_DEAD * float(rate.max())


def ema02(log: RunLog) -> Finding | NotChecked | None:
    """The average lags behind: its half-life is a large part of the adversarial phase.

    Validation, `ema.safetensors` and every image then show an old generator. A warning when the half-life is more than a
    quarter of the steps and validation L1 at least 1.5 times the training L1; a note when it is longer than all of the
    steps, so that most of what is exported was there before. A short adversarial phase alone is no reason to speak.
    Without a known decay, only a threefold gap is put down to the EMA.
    """
    ratio = validation_over_training(log)
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
    lags = ratio > limit.EMA_LAG_RATIO
    tolerated = (limit.EMA_SLOW_SHARE if lags else limit.EMA_SLOW_SHARE_ALONE) * steps
    if decay is not None and half_life <= tolerated:
        return None
    if decay is None and (ratio <= limit.EMA_LAG_RATIO_ALONE or not _always_behind(log)):
        return NotChecked("EMA02", "the EMA decay is not known")
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
                suited_decay(steps),
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


def _always_behind(log: RunLog) -> bool:
    """Whether validation lay above training all the time, as behind an average; not just at the end."""
    l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    smooth = np.interp(l1.steps, train.steps, stats.running_median(train.values, 11))
    return stats.share_of(l1.values > limit.EMA_LAG_RATIO * smooth) >= limit.PERSISTENT


def ema03(log: RunLog) -> Finding | NotChecked | None:
    """The average forgets so fast that it averages nothing.

    With a decay below 0.9 it spans less than ten steps, so validation and export show the weight noise of single steps,
    which is what the average is there to take out.
    """
    if log.config is None:
        return NotChecked("EMA03", log.config_trouble or "the EMA decay is not known")
    ema = log.config.training.ema
    if not ema.enabled or ema.decay >= limit.EMA_FAST:
        return None
    steps = max((log.max_steps or log.last_step) - ema.update_after_step, 40)
    return Finding(
        "EMA03",
        "info",
        "The EMA averages nothing",
        f"decay {ema.decay:g} spans about {1 / (1 - ema.decay):.1f} steps: what is validated and exported is as noisy as the live weights",
        (log.first_step, log.last_step),
        "run",
        {"decay": ema.decay},
        (
            Remedy(
                "Training.EMA.decay",
                ema.decay,
                suited_decay(steps),
                "a half-life of 5 % of these steps",
            ),
        ),
    )


def ema04(log: RunLog) -> Finding | NotChecked | None:
    """The average began as another network than the one that is trained.

    OpenSR-SRGAN makes its average before it loads the weights of `Model.load_checkpoint`, so the average starts from
    random weights; without `use_num_updates` it needs several half-lives to forget them. `srgan train` copies the
    loaded generator.
    """
    if log.form == "run folder":
        return None
    if log.config is None:
        return NotChecked("EMA04", log.config_trouble or "there is no configuration")
    ema, start = log.config.training.ema, log.config.model.load_checkpoint
    if start is None or not ema.enabled or ema.use_num_updates or not 0 < ema.decay < 1:
        return None
    half_life = math.log(0.5) / math.log(ema.decay)
    first = ema.update_after_step
    random_share = 0.5 ** (max(log.last_step - first, 0) / half_life)
    return Finding(
        "EMA04",
        "warn" if random_share > limit.EMA_RANDOM_SHARE else "info",
        "The EMA began with random weights",
        f"weights were loaded from {start} after the average had been made of random ones; of those {random_share:.1%} are left in it at step {log.last_step} (decay {ema.decay:g})",
        (first, log.last_step),
        "run",
        {"random_share": random_share, "half_life": half_life},
        (
            Remedy(
                "Training.EMA.use_num_updates",
                ema.use_num_updates,
                True,
                "the average forgets its start within some steps",
            ),
        ),
    )


def suited_decay(steps: int) -> float:
    """A decay whose half-life is 5 % of so many steps."""
    return float(f"{0.5 ** (20 / max(steps, 40)):.4g}")
