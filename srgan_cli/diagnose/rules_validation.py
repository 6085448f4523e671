"""NUM04-05: validation that diverges, or jumps up and down."""

from __future__ import annotations

import numpy as np

from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import VAL_L1, VAL_PSNR, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy, Severity
from srgan_cli.diagnose.series import Series
from srgan_cli.diagnose.stats import round_nicely


def num04(log: RunLog) -> Finding | NotChecked | None:
    """Validation got much worse than it had been and did not recover.

    The last three validations have twice the L1 of the best one, or within the adversarial phase three decibels less
    PSNR. Some loss of PSNR at the start of the adversarial phase is expected and not counted.
    """
    found = _worse_l1(log.get(VAL_L1)) or _worse_psnr(
        log.adv(VAL_PSNR) if log.t_adv else log.get(VAL_PSNR)
    )
    count = max(len(log.get(VAL_L1)), len(log.get(VAL_PSNR)))
    if count < 5:
        return NotChecked("NUM04", f"{count} validations; needs 5")
    if not found:
        return None
    message, window, numbers = found
    g = knobs.g_rate(log)
    rate = None if g is None else round_nicely(g / 3)
    remedies = [
        Remedy("Optimizers.optim_g_lr", g, rate, "the weights moved away from a good solution")
    ]
    if log.t_adv is not None:
        remedies.append(knobs.weaker_beta(log, 5, "if it began with the adversarial phase"))
    severity: Severity = "error"
    return Finding(
        "NUM04", severity, "Validation diverged", message, window, "run", numbers, tuple(remedies)
    )


_Worse = tuple[str, tuple[int, int], dict[str, float]]


def _worse_l1(l1: Series) -> _Worse | None:
    if len(l1) < 5:
        return None
    best, now = int(np.argmin(l1.values)), float(np.median(l1.values[-3:]))
    low = float(l1.values[best])
    sigma = stats.robust_sigma(l1.values)
    if (
        low <= 0  # no validation is perfect: a dummy
        or best >= len(l1) - 3
        or now <= limit.DIVERGED_FACTOR * low
        or now - low <= limit.DIVERGED_SIGMAS * sigma
    ):
        return None
    step = int(l1.steps[best])
    message = f"validation L1 is {now:.3g} over the last three validations, {now / low:.1f} times the best ({low:.3g} at step {step})"
    return message, (step, int(l1.steps[-1])), {"best": low, "now": now, "best_step": float(step)}


def _worse_psnr(psnr: Series) -> _Worse | None:
    if len(psnr) < 6:
        return None
    smooth = stats.running_median(psnr.values, 3)
    best, now = int(np.argmax(smooth)), float(np.median(psnr.values[-3:]))
    fall = float(smooth[best]) - now
    if (
        best >= len(psnr) - 3
        or fall <= limit.DIVERGED_DB
        or fall <= limit.DIVERGED_SIGMAS * stats.robust_sigma(psnr.values)
    ):
        return None
    if np.any(psnr.values[-3:] > smooth[best] - limit.DIVERGED_DB / 2):
        return None
    step = int(psnr.steps[best])
    message = f"validation PSNR has fallen by {fall:.1f} dB to {now:.2f} since step {step} and not recovered"
    return (
        message,
        (step, int(psnr.steps[-1])),
        {"fall_db": fall, "now": now, "best_step": float(step)},
    )


def num05(log: RunLog) -> Finding | NotChecked | None:
    """Validation jumps up and down from one time to the next.

    The noise between validations is more than a quarter of the metric itself: the weights jump about. The generator's
    rate is too high, or it has no warm-up.
    """
    l1 = log.get(VAL_L1)
    if len(l1) < limit.MIN_VALIDATIONS:
        return NotChecked("NUM05", f"{len(l1)} validations; needs {limit.MIN_VALIDATIONS}")
    # The first validations fall steeply; that is progress, not noise.
    values = l1.values[2:]
    typical = float(np.median(values))
    if typical <= 0:
        return NotChecked("NUM05", f"half of the validations have an L1 of {typical:.3g} or less")
    noise = stats.robust_sigma(values) / typical
    if noise <= limit.UNSTABLE_VALIDATION:
        return None
    g = knobs.g_rate(log)
    rate = None if g is None else round_nicely(g / 5)
    return Finding(
        "NUM05",
        "warn",
        "Validation is unstable",
        f"validation L1 varies by {noise:.0%} from one validation to the next (healthy runs: up to 19 %)",
        l1.window,
        "run",
        {"noise": noise},
        (Remedy("Optimizers.optim_g_lr", g, rate, "the weights jump about"),),
    )
