"""SCH03, SCH06, SCH07: whether pretraining and warm-up last as long as they should."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.config.lint import HIGH_RATE
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import TRAIN_L1, VAL_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series

_PRETRAIN_KEY = "Training.g_pretrain_steps"
_WARMUP_KEY = "Schedulers.g_warmup_steps"


def sch03(log: RunLog) -> Finding | NotChecked | None:
    """Pretraining was longer than it had to be.

    Over its second half neither training L1 nor validation L1 had a trend, and what was gained is below 1 %: the discriminator
    could have started much earlier. Only time is lost, so this is a note.
    """
    if log.t_adv is None:
        return NotChecked("SCH03", "pretraining has not ended")
    if log.t_adv <= log.first_step:
        return None
    half = log.first_step + 0.5 * (log.t_adv - log.first_step)
    judged = []
    for name in (VAL_L1, TRAIN_L1):
        late = log.pre(name).between(half, float("inf"))
        if len(late) >= limit.MIN_TREND_ROWS and np.all(late.values > 0):
            judged.append((name, late, *_gain(late)))
    if not judged:
        return NotChecked(
            "SCH03",
            f"fewer than {limit.MIN_TREND_ROWS} rows of L1 in the second half of pretraining",
        )
    if any(trend.p <= limit.FLAT_P or gain > limit.LONG_GAIN for _, _, gain, trend, _ in judged):
        return None
    name, late, gain, trend, resolution = min(judged, key=lambda one: one[-1])
    if resolution > 2 * limit.LONG_GAIN:
        return NotChecked("SCH03", f"the noise of {name} hides changes below {resolution:.0%}")
    new = max(1, int(stats.round_nicely(half)))
    return Finding(
        "SCH03",
        "info",
        "Pretraining was longer than needed",
        f"{name} changed by {-gain:+.1%} over the second half of pretraining (steps {int(half)} to {log.t_adv}), without a trend",
        late.window,
        "pretraining",
        {"gain": gain, "p": trend.p},
        (
            Remedy(
                _PRETRAIN_KEY,
                knobs.pretrain_steps(log),
                new,
                "the rest of the time is better spent on the GAN",
            ),
        ),
        "medium",
    )


def _gain(late: Series) -> tuple[float, stats.Trend, float]:
    """Share of L1 gained over the rows, its trend, and the least share that noise lets one see."""
    level = np.log(late.values)
    slope = stats.theil_sen(late.steps.astype(np.float64), level)
    gain = 1 - float(np.exp(slope * (late.window[1] - late.window[0])))
    # Twice the standard error of a difference between two halves.
    resolution = 2 * stats.robust_sigma(level) * 2 / np.sqrt(len(level))
    return gain, stats.mann_kendall(level), float(resolution)


def sch06(log: RunLog) -> Finding | NotChecked | None:
    """The generator starts at a high rate without a warm-up.

    From 1e-3 on, gradients easily explode right after random initialisation. A note, and a warning where the content loss
    did rise in the first steps.
    """
    rate = knobs.g_rate(log)
    warmup = _warmup_steps(log)
    if rate is None or warmup is None:
        return NotChecked("SCH06", f"the first rows of {names.G_RATE} are not in the log")
    if log.config and (log.config.model.load_checkpoint or log.config.model.continue_training):
        return None
    if warmup > 0 or rate < HIGH_RATE:
        return None
    rise = _early_rise(log)
    hurt = rise > limit.EARLY_RISE
    length = max(log.max_steps or 0, log.last_step)
    new = max(100, int(stats.round_nicely(length / 20)))
    return Finding(
        "SCH06",
        "warn" if hurt else "info",
        "A high rate starts without a warm-up",
        f"lr_generator is {rate:.2g} from the first step on"
        + (f", and the content loss rose {rise:.1f} times in the first steps" if hurt else ""),
        (log.first_step, log.first_step + length // 20),
        "run",
        {"rate": rate, "early_rise": rise},
        (Remedy(_WARMUP_KEY, warmup, new, "the rate rises once the moments of Adam are known"),),
    )


def _early_rise(log: RunLog) -> float:
    """How many times its start the content loss came to in the first twentieth of the run."""
    length = max(log.max_steps or 0, log.last_step) - log.first_step
    early = log.get(TRAIN_L1).between(log.first_step, log.first_step + length / 20 + 1).values
    if len(early) < 2 or early[0] <= 0:
        return 1.0
    return float(early[1:].max() / early[0])


def _warmup_steps(log: RunLog) -> int | None:
    """From the configuration, else as logged: the steps until the rate reaches its peak."""
    if log.config:
        return log.config.schedulers.g_warmup_steps
    rate = log.get(names.G_RATE)
    if len(rate) < limit.MIN_ROWS or rate.steps[0] > log.first_step + rate.interval:
        return None
    top = float(rate.values.max())
    if rate.values[0] >= 0.99 * top:
        return 0
    risen = int(np.argmax(rate.values >= 0.99 * top))
    # A rate that rises anywhere else is no warm-up.
    rising = bool(np.all(np.diff(rate.values[: risen + 1]) >= 0))
    return int(rate.steps[risen] - log.first_step) if rising else None


def sch07(log: RunLog) -> Finding | NotChecked | None:
    """The warm-up takes more than half of the pretraining, which then hardly sees the full rate."""
    warmup = _warmup_steps(log)
    if warmup is None:
        return NotChecked("SCH07", f"the first rows of {names.G_RATE} are not in the log")
    pretrain = knobs.pretrain_steps(log)
    if log.config and not log.config.training.pretrain_g_only:
        return None
    if pretrain is None or pretrain <= 0:
        return None if pretrain is not None else NotChecked("SCH07", "pretraining has not ended")
    if warmup <= limit.LONG_WARMUP * pretrain:
        return None
    return Finding(
        "SCH07",
        "info",
        "The warm-up takes most of the pretraining",
        f"the generator's rate rises over {warmup} steps, pretraining lasts {pretrain}",
        (log.first_step, warmup),
        "pretraining",
        {"warmup": warmup, "pretraining": pretrain},
        (
            Remedy(
                _WARMUP_KEY,
                warmup,
                max(1, int(stats.round_nicely(pretrain / 10))),
                "a tenth of the pretraining",
            ),
        ),
    )
