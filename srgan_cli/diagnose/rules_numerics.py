"""NUM01-03 and NUM06: broken, masked and spiking losses, huge gradients."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import loss_form
from srgan_cli.diagnose.log import LOSSES, TRAIN_L1, VAL_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series
from srgan_cli.diagnose.stats import round_nicely

_CLIP_KEY = "Optimizers.gradient_clip_val"


def num01(log: RunLog) -> Finding | NotChecked | None:
    """A loss became NaN or infinite.

    `srgan train` skips such steps and stops after too many in a row; elsewhere the first NaN reaches the weights and
    everything after it is lost, so the log is judged up to that step only. The first metric to break tells where to
    look: a content loss points at the data or the rate, a discriminator's loss at the adversarial side.
    """
    skipped = log.get(names.SKIPPED_STEPS)
    count = int(skipped.values.max()) if len(skipped) else 0
    stopped = _stopped_by_nonfinite(log)
    if not log.nonfinite and not count and not stopped:
        return None
    fatal = stopped or any(not one.recovered for one in log.nonfinite)
    start = log.nonfinite[0].step if log.nonfinite else _first_skip(skipped)
    return Finding(
        "NUM01",
        "error" if fatal else "warn",
        "The numbers broke down" if fatal else "Single steps were not finite",
        _what_broke(log, count, stopped, start),
        (start, log.last_step),
        "run",
        {
            "first_step": start,
            "skipped_steps": count,
            "metrics": [one.name for one in log.nonfinite],
        },
        _calm_down(log),
    )


def _stopped_by_nonfinite(log: RunLog) -> bool:
    for event in log.events:
        if event.get("event") in ("stop", "end", "failed"):
            words = " ".join(str(value) for value in event.values()).lower()
            if "finite" in words or "nan" in words.split():
                return True
    return False


def _first_skip(skipped: Series) -> int:
    rows = np.flatnonzero(skipped.values > 0)
    return int(skipped.steps[rows[0]]) if len(rows) else skipped.window[1]


def _what_broke(log: RunLog, count: int, stopped: bool, start: int) -> str:
    parts = []
    if log.nonfinite:
        first = log.nonfinite[0]
        together = [one.name for one in log.nonfinite if one.step == first.step]
        parts.append(f"{', '.join(together[:3])} first {first.value} at step {first.step}")
    if count:
        parts.append(
            f"{count} steps with a non-finite loss or gradient were skipped (from step {start})"
        )
    if stopped:
        parts.append("the run stopped because of it")
    for name, words in ((names.G_NORM, "generator's"), (names.D_NORM, "discriminator's")):
        before = log.get(name).between(float("-inf"), start + 1)
        if len(before) >= 5:
            typical = float(np.median(before.values))
            parts.append(
                f"the {words} gradient norm before was {before.values[-1]:.3g} (usually {typical:.3g})"
            )
            break
    return "; ".join(parts)


def _calm_down(log: RunLog) -> tuple[Remedy, ...]:
    g = knobs.g_rate(log)
    remedies = []
    clip = log.config.optimizers.gradient_clip_val if log.config else None
    if not clip:
        remedies.append(Remedy(_CLIP_KEY, clip, 1.0, "bounds a step that a bad batch causes"))
    if log.config and log.config.training.precision != "fp32":
        why = "tells whether the arithmetic is to blame"
        remedies.append(Remedy("Training.precision", log.config.training.precision, "fp32", why))
    rate = None if g is None else round_nicely(g / 2)
    remedies.append(
        Remedy("Optimizers.optim_g_lr", g, rate, "smaller steps diverge later or never")
    )
    return tuple(remedies)


def num02(log: RunLog) -> Finding | NotChecked | None:
    """NaN was replaced by a harmless-looking number before it was logged.

    OpenSR-SRGAN turns NaN into 1e-12 and infinity into 1e12; such a run seems to have converged. Losses that are
    exactly zero or exactly constant over several rows after having been positive mean the same.
    """
    for name in LOSSES:
        if name == VAL_L1:
            continue
        series = log.get(name)
        values = series.values
        bad = (np.abs(values - limit.SANITISED_TINY) < 1e-18) | (
            np.abs(values) > limit.SANITISED_HUGE
        )
        frozen = _frozen_from(values) if name not in (names.D_LOSS, names.G_ADVERSARIAL) else None
        if not bad.any() and frozen is None:
            continue
        row = int(np.argmax(bad)) if bad.any() else frozen or 0
        what = (
            f"{values[row]:.3g}"
            if bad.any()
            else f"exactly {values[row]:.3g} for {len(values) - row} rows"
        )
        return Finding(
            "NUM02",
            "error",
            "NaN is masked in the log",
            f"{name} is {what} from step {int(series.steps[row])} on: a replaced NaN or infinity, not a loss",
            (int(series.steps[row]), log.last_step),
            "run",
            {"metric": name, "step": int(series.steps[row]), "value": float(values[row])},
            (
                Remedy(
                    "nan_to_num in the training code", None, "removed", "let a broken step be seen"
                ),
                *_calm_down(log),
            ),
        )
    return None


def _frozen_from(values: stats.Values) -> int | None:
    """First row of a constant end of the series; None when it is alive."""
    if len(values) < 2 * limit.FROZEN_ROWS or np.all(values == values[-1]):
        return None
    changes = np.flatnonzero(np.diff(values) != 0)
    start = int(changes[-1]) + 1
    return start if len(values) - start >= limit.FROZEN_ROWS else None


def num03(log: RunLog) -> Finding | NotChecked | None:
    """The content loss spikes: single rows far above their neighbours.

    More than seven robust standard deviations and 1.8 times above the running median, away from the phase change. A single
    spike of less than four times is a note.
    Clip the gradient norm; if the spikes persist, look at the batches of those steps.
    """
    name = TRAIN_L1 if len(log.get(TRAIN_L1)) else names.G_CONTENT
    steps: list[int] = []
    factors: list[float] = []
    judged = 0
    for part in (log.pre(name), log.adv(name)):
        # The first rows of a training fall steeply; those of the GAN phase may jump.
        guard = 10 if part.window[0] == log.first_step else limit.SPIKE_GUARD_ROWS
        positive = part.where((part.values > 0) & (np.arange(len(part)) >= guard))
        if len(positive) < limit.MIN_SPIKE_ROWS:
            continue
        judged += len(positive)
        level = np.log(positive.values)
        sigma = max(stats.robust_sigma(level), 1e-3)
        least = max(limit.SPIKE_SIGMAS * sigma, math.log(limit.SPIKE_FACTOR))
        rows, above = stats.above_neighbours(level, 21, least)
        steps += positive.steps[rows].tolist()
        factors += np.exp(above).tolist()
    if not judged:
        return NotChecked("NUM03", f"fewer than {limit.MIN_SPIKE_ROWS} rows of {name} in a phase")
    if not steps:
        return None
    shown = ", ".join(str(step) for step in steps[:5]) + (", ..." if len(steps) > 5 else "")
    number, shown = (
        ("one spike", f"step {shown}")
        if len(steps) == 1
        else (f"{len(steps)} spikes", f"steps {shown}")
    )
    return Finding(
        "NUM03",
        "info" if len(steps) == 1 and factors[0] < limit.SPIKE_ALONE else "warn",
        "The content loss spikes",
        f"{number} of {name}, up to {max(factors):.1f} times its running median, at {shown}",
        (steps[0], steps[-1]),
        "run",
        {"steps": steps[:50], "largest_factor": max(factors), "rows": judged},
        (*_tighter_clipping(log), *_calm_down(log)),
    )


def _tighter_clipping(log: RunLog) -> tuple[Remedy, ...]:
    """Where gradients are clipped already, and yet the loss spikes."""
    clip = log.config.optimizers.gradient_clip_val if log.config else 0.0
    if not clip:
        return ()
    return (Remedy(_CLIP_KEY, clip, round_nicely(clip / 2), "bounds the step of a bad batch more"),)


def num06(log: RunLog) -> Finding | NotChecked | None:
    """Gradient norms are huge, or cut short at practically every step.

    Clipping is a safety net; where it halves more than nine gradients in ten it sets the step size itself. A note, and a warning
    when the usual norm is above 100.
    """
    norms = {"Generator": log.get(names.G_NORM), "Discriminator": log.adv(names.D_NORM)}
    known = {who: norm for who, norm in norms.items() if len(norm) >= limit.MIN_ADVERSARIAL_ROWS}
    if not known:
        return NotChecked("NUM06", "too few rows with gradient norms in the log")
    clip = log.config.optimizers.gradient_clip_val if log.config else 0.0
    wasserstein = loss_form(log) == "wasserstein"
    for who, norm in known.items():
        typical = float(np.median(norm.values))
        always = _clipped_share(log, who, norm, clip)
        huge = typical > limit.NORM_HUGE and not (wasserstein and who == "Discriminator")
        if not huge and (always <= limit.CLIPPED_SHARE or typical < limit.CLIPPED_BY * clip):
            continue
        words = f"{who.lower()}'s gradient norm is usually {typical:.3g}"
        if always > limit.CLIPPED_SHARE:
            words += f", above gradient_clip_val {clip:g} in {always:.0%} of the steps"
        new = stats.round_nicely(typical) if not huge else 1.0
        why = "clip outliers, not every step" if not huge else "bounds the steps"
        return Finding(
            "NUM06",
            "warn" if huge and always <= limit.CLIPPED_SHARE else "info",
            "Gradients are huge" if huge else "Gradients are always clipped",
            f"the {words}",
            norm.window,
            "run",
            {"typical_norm": typical, "clipped_share": always},
            (Remedy(_CLIP_KEY, clip or None, new, why),) if new != clip else (),
        )
    return None


def _clipped_share(log: RunLog, who: str, norm: Series, clip: float) -> float:
    """Share of the steps that were clipped: as counted, else as the logged norms say."""
    counted = log.get(names.G_CLIPPED if who == "Generator" else names.D_CLIPPED)
    if len(counted):
        return float(counted.values.mean())
    return stats.share_of(norm.values > clip) if clip else 0.0
