"""How much the adversarial term matters, and what became of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import (
    GRAD_RATIO,
    HF_RATIO,
    VAL_L1,
    VAL_PERCEPTUAL,
    RunLog,
)
from srgan_cli.diagnose.series import Series, on_common_steps


@dataclass(frozen=True)
class Influence:
    """Ratio of the adversarial to the content term at full weight."""

    kind: Literal["gradients", "losses"]
    series: Series
    typical: float

    def words(self) -> str:
        """For messages."""
        if self.kind == "gradients":
            return f"its gradient at the last layer is {self.typical:.2g} times the content term's"
        return f"weighted, it is {self.typical:.2g} times the content loss"


def influence_of(log: RunLog) -> Influence | str:
    """The influence, or the reason why it is not known."""
    result: Influence | str = log.remember("influence", _measure)
    return result


def _measure(log: RunLog) -> Influence | str:
    if log.t_adv is None:
        return "the run has no adversarial step yet"
    if log.t_full is None:
        return "the adversarial weight is still rising"
    ratio = log.full(GRAD_RATIO)
    if len(ratio) >= limit.MIN_ADVERSARIAL_ROWS:
        return Influence("gradients", ratio, float(np.median(ratio.values)))
    ratio = _loss_ratio(log)
    if len(ratio) >= limit.MIN_ADVERSARIAL_ROWS:
        return Influence("losses", ratio, float(np.median(ratio.values)))
    return f"{len(ratio)} rows at full adversarial weight; needs {limit.MIN_ADVERSARIAL_ROWS}"


def _loss_ratio(log: RunLog) -> Series:
    adversarial, content = log.full(names.G_ADVERSARIAL), log.full(names.G_CONTENT)
    weight = log.full(names.ADV_WEIGHT)
    adversarial, content = on_common_steps(adversarial, content)
    steps = adversarial.steps
    if not len(steps) or not len(weight):
        return Series(steps[:0], np.empty(0))
    top, bottom = adversarial.values, content.values
    beta = np.interp(steps, weight.steps, weight.values)
    return Series(steps, beta * np.abs(top) / np.maximum(np.abs(bottom), 1e-12))


def detail_change(log: RunLog) -> float | None:
    """Relative change of the validation images' high-frequency energy since pretraining."""
    before, after = log.pre(HF_RATIO).values, log.adv(HF_RATIO).values
    if not len(before) or len(after) < 3:
        return None
    start = float(np.median(before[-3:]))
    # Where there is hardly any detail, a change of it is relative to a visible amount.
    return (float(np.median(after[-3:])) - start) / max(start, limit.HF_VISIBLE)


def images_changed(log: RunLog) -> tuple[bool, str]:
    """Whether the adversarial phase changed the images, and the evidence in words."""
    influence = influence_of(log)
    change = detail_change(log)
    if isinstance(influence, Influence) and influence.kind == "gradients":
        moved = influence.typical > limit.INFLUENCE_CHANGED
        words = f"adversarial gradient {influence.typical:.2g} of the content gradient"
    elif change is not None:
        # Content training alone lets it fall: a young generator is noisy.
        moved, words = change >= limit.HF_CHANGED, f"high-frequency energy {change:+.0%}"
    elif isinstance(influence, Influence):
        moved = influence.typical >= limit.LOSS_RATIO_CHANGED
        words = f"weighted adversarial loss {influence.typical:.2g} of the content loss"
    else:
        moved, words = False, influence
    if change is not None and "energy" not in words:
        words += f", high-frequency energy {change:+.0%}"
    return moved, words


def validation_worse(log: RunLog) -> str:
    """Evidence that the adversarial phase degraded validation without a perceptual gain; "" if not."""
    before, after = log.pre(VAL_L1).values, log.adv(VAL_L1).values
    if not len(before) or len(after) < 3:
        return ""
    best, now = float(before.min()), float(np.median(after[-3:]))
    if now <= limit.L1_DEGRADED * best:
        return ""
    old, new = log.pre(VAL_PERCEPTUAL).values, log.adv(VAL_PERCEPTUAL).values
    if len(old) and len(new) and float(np.median(stats.tail(new, 0.3, 3))) < float(old.min()):
        return ""
    return f"validation L1 {now:.3g} against {best:.3g} in pretraining"


def change_is_measured(log: RunLog) -> bool:
    """Whether gradients or detail tell if the images changed, not losses alone."""
    influence = influence_of(log)
    gradients = isinstance(influence, Influence) and influence.kind == "gradients"
    return gradients or detail_change(log) is not None
