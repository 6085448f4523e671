"""Who is ahead, in numbers that do not depend on label smoothing or on the form of the loss.

q = (D(y) - D(G(x))) / target: 0 at chance, 1 for a perfect discriminator.
L' = (L - L_best) / (L_chance - L_best): D's loss with 0 = best possible, 1 = chance.

With a real target of 0.9, chance is D(y) = D(G(x)) = 0.45 and the best loss is 0.1625, not 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.series import Series, on_common_steps

Form = Literal["bce", "relativistic", "hinge", "wasserstein"]
_SMOOTHED = 0.9


@dataclass(frozen=True)
class Balance:
    """The balance over the adversarial phase; all series share their steps."""

    form: Form
    target: float
    """What D aims at on real images."""
    q: Series
    loss: Series
    """L'."""
    d_real: float
    """Median of D(y) over the tail; NaN where not logged."""
    d_fake: float
    travel: float
    """Sum of D's learning rate over the adversarial steps: how far Adam can have moved a weight."""

    @property
    def tail_q(self) -> stats.Values:
        """The separation over the tail."""
        return stats.tail(self.q.values, limit.TAIL_SHARE, 5)

    @property
    def tail_loss(self) -> stats.Values:
        """L' over the tail."""
        return stats.tail(self.loss.values, limit.TAIL_SHARE, 5)

    @cached_property
    def max_q(self) -> float:
        """Largest running median of q."""
        return float(stats.running_median(self.q.values, 5).max())

    @property
    def never_separated(self) -> bool:
        """D at chance from the first adversarial step to the last."""
        at_chance = abs(float(np.median(self.tail_loss)) - 1) < limit.DEAD_LOSS_BAND
        return self.max_q < limit.DEAD_MAX_Q and at_chance

    @property
    def steps(self) -> int:
        """Adversarial steps so far."""
        first, last = self.q.window
        return last - first

    @property
    def window(self) -> tuple[int, int]:
        """Steps of the tail."""
        return int(self.q.steps[-len(self.tail_q)]), int(self.q.steps[-1])


def loss_form(log: RunLog) -> Form:
    """The adversarial objective: from the configuration, else from what only a critic logs."""
    if log.config:
        kind = log.config.training.losses.adv_loss_type
        relativistic = log.config.training.losses.relativistic_average_d
        return "relativistic" if kind == "bce" and relativistic else kind
    values = log.adv(names.D_LOSS).values
    # A cross-entropy or hinge loss is never negative.
    return "wasserstein" if stats.share_of(values < -1e-3) > 0.05 else "bce"


def balance_of(log: RunLog) -> Balance | str:
    """The balance, or the reason why there is none."""
    result: Balance | str = log.remember("balance", _measure)
    return result


def _measure(log: RunLog) -> Balance | str:
    if log.t_adv is None:
        return "the run has no adversarial step yet"
    form = loss_form(log)
    if form == "wasserstein":
        return "a Wasserstein critic gives no probability (GAN08 watches its scale)"
    loss = log.adv(names.D_LOSS)
    real, fake = log.adv(names.D_REAL), log.adv(names.D_FAKE)
    if not len(loss):
        return f"{names.D_LOSS} is not in the log"
    if len(loss) < limit.MIN_ADVERSARIAL_ROWS:
        return f"{len(loss)} adversarial rows in the log; needs {limit.MIN_ADVERSARIAL_ROWS}"
    values = _without_penalty(log, loss)
    common, real, fake = on_common_steps(Series(loss.steps, values), real, fake)
    steps = common.steps
    if len(steps) < limit.MIN_ADVERSARIAL_ROWS:
        return _from_loss_alone(log, form, loss, values)
    values, a, b = common.values, real.values, fake.values
    target = _target(log, values, a, b)
    # Cut at the first rows, where D is near chance whatever comes later: 1 = mean form, 2 = sum.
    unit = _unit(values[:5], _cross_entropy(a[:5], b[:5], target))
    misfit = np.abs(values - unit * _cross_entropy(a, b, target)) / (unit * math.log(2))
    absolute = float(np.median(stats.tail(misfit, limit.TAIL_SHARE, 5))) < 0.15
    if form == "hinge":
        unit, relative = _hinge(values)
    elif form == "relativistic" or (unit == 2 and not absolute and not log.config):
        form = "relativistic"
        relative = _relative(values, unit, target)
    else:
        relative = _relative(values, unit, target)
    q = (a - b) / target if absolute and form != "hinge" else 1 - relative
    return Balance(
        form=form,
        target=target,
        q=Series(steps, q),
        loss=Series(steps, relative),
        d_real=_tail_median(a),
        d_fake=_tail_median(b),
        travel=_travel(log),
    )


def _from_loss_alone(log: RunLog, form: Form, loss: Series, values: stats.Values) -> Balance:
    target = _SMOOTHED if not log.config or log.config.training.label_smoothing else 1.0
    if form == "hinge":
        _, relative = _hinge(values)
    else:
        relative = _relative(values, _unit(values[:5], np.full(5, math.log(2))), target)
    return Balance(
        form=form,
        target=target,
        q=Series(loss.steps, 1 - relative),
        loss=Series(loss.steps, relative),
        d_real=math.nan,
        d_fake=math.nan,
        travel=_travel(log),
    )


def _without_penalty(log: RunLog, loss: Series) -> stats.Values:
    """D's adversarial loss; OpenSR-SRGAN adds its R1 penalty, the run folder keeps it apart."""
    penalty = log.adv(names.R1_PENALTY)
    if log.form == "run folder" or not len(penalty):
        return loss.values
    return np.asarray(loss.values - np.interp(loss.steps, penalty.steps, penalty.values))


def _cross_entropy(a: stats.Values, b: stats.Values, target: float) -> stats.Values:
    """Mean-form loss of a discriminator that says `a` on every real and `b` on every fake image."""
    a, b = np.clip(a, 1e-6, 1 - 1e-6), np.clip(b, 1e-6, 1 - 1e-6)
    return np.asarray(-0.5 * (target * np.log(a) + (1 - target) * np.log(1 - a) + np.log(1 - b)))


def _target(log: RunLog, loss: stats.Values, a: stats.Values, b: stats.Values) -> float:
    if log.config:
        return _SMOOTHED if log.config.training.label_smoothing else 1.0
    sure = a > 0.6
    if np.count_nonzero(sure) < 5:
        return _SMOOTHED
    misfits = {
        t: float(np.median(np.abs(loss - _cross_entropy(a, b, t))[sure])) for t in (0.9, 1.0)
    }
    return min(misfits, key=misfits.__getitem__)


def _unit(loss: stats.Values, mean_form: stats.Values) -> int:
    """1 where D's loss is the mean of its two terms, 2 where it is their sum."""
    ratio = float(np.median(loss / mean_form[: len(loss)]))
    return 2 if ratio > math.sqrt(2) else 1


def _relative(loss: stats.Values, unit: int, target: float) -> stats.Values:
    p = target / 2
    chance = unit * -0.5 * (target * math.log(p) + (2 - target) * math.log(1 - p))
    return _between(loss, unit * _entropy(target) / 2, chance)


def _hinge(loss: stats.Values) -> tuple[int, stats.Values]:
    unit = 2 if float(np.median(loss[:5])) > math.sqrt(2) else 1
    return unit, _between(loss, 0.0, float(unit))


def _between(loss: stats.Values, best: float, chance: float) -> stats.Values:
    return np.asarray((loss - best) / (chance - best))


def _entropy(target: float) -> float:
    return sum(-p * math.log(p) for p in (target, 1 - target) if p > 0)


def _tail_median(values: stats.Values) -> float:
    return float(np.median(stats.tail(values, limit.TAIL_SHARE, 5)))


def _travel(log: RunLog) -> float:
    """NaN when D's rate was not logged."""
    rate = log.adv(names.D_RATE)
    if len(rate) < 2:
        return math.nan
    return float(np.sum(rate.values[1:] * np.diff(rate.steps)))
