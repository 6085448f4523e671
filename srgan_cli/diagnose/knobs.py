"""Values of the settings that remedies change: from the configuration, else as measured."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Remedy
from srgan_cli.diagnose.series import Series
from srgan_cli.diagnose.stats import round_nicely


def g_rate(log: RunLog) -> float | None:
    """The generator's full learning rate."""
    return log.config.optimizers.optim_g_lr if log.config else _peak(log.get(names.G_RATE))


def d_rate(log: RunLog) -> float | None:
    """The discriminator's full learning rate."""
    return log.config.optimizers.d_rate if log.config else _peak(log.adv(names.D_RATE))


def beta(log: RunLog) -> float | None:
    """The adversarial weight after the ramp."""
    if log.config:
        return log.config.training.losses.adv_loss_beta
    return _peak(log.adv(names.ADV_WEIGHT))


def ramp_steps(log: RunLog) -> int | None:
    """Length of the adversarial ramp."""
    if log.config:
        return log.config.training.adv_loss_ramp_steps
    return log.t_full - log.t_adv if log.t_full is not None and log.t_adv is not None else None


def pretrain_steps(log: RunLog) -> int | None:
    """Length of the pretraining; None when it never ended."""
    if log.config and log.config.training.pretrain_g_only:
        return log.config.training.g_pretrain_steps
    return log.t_adv


def _peak(series: Series) -> float | None:
    return float(series.values.max()) if len(series) else None


def ttur(log: RunLog, why: str) -> Remedy:
    """D's rate down to half of G's, or, where it is that already, to a quarter of its own."""
    g, d = g_rate(log), d_rate(log)
    new = None
    if g is not None and d is not None:
        new = round_nicely(min(0.5 * g, 0.5 * d if d <= 0.5 * g else 0.5 * g))
    return Remedy("Optimizers.optim_d_lr", d, new, why)


def faster_d(log: RunLog, why: str) -> Remedy:
    """D's rate up to half of G's, at least threefold."""
    g, d = g_rate(log), d_rate(log)
    new = None
    if d is not None:
        new = round_nicely(max(3 * d, 0.5 * g if g is not None else 3 * d))
    return Remedy("Optimizers.optim_d_lr", d, new, why)


def weaker_beta(log: RunLog, factor: float, why: str) -> Remedy:
    """The adversarial weight divided by `factor`."""
    old = beta(log)
    return Remedy(
        "Training.Losses.adv_loss_beta",
        old,
        None if old is None else round_nicely(old / factor),
        why,
    )


def cuts(rate: Series, threshold: float) -> Series:
    """The rows at which a rate fell below `threshold` times its last value, once past its peak."""
    if len(rate) < 2:
        return rate.where(np.zeros(len(rate), bool))
    fell = np.append(False, rate.values[1:] < threshold * rate.values[:-1])
    return rate.where(fell & (rate.values > 0))
