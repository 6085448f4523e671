"""SCH13: settings that usually go wrong, whatever the log says so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.config.lint import risks
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.knobs import cuts
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.stats import round_nicely

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

_CLIP_KEY: Final = "Optimizers.gradient_clip_val"
_Change = Callable[["RunConfig"], tuple[str, Any, Any]]

_CHANGES: Final[Mapping[str, _Change]] = {
    "Optimizers.optim_d_lr": lambda c: (
        "Optimizers.optim_d_lr",
        c.optimizers.d_rate,
        round_nicely(c.optimizers.optim_g_lr / 2),
    ),
    _CLIP_KEY: lambda _: (_CLIP_KEY, 0.0, 1.0),
    "Optimizers.betas": lambda c: (
        "Optimizers.betas",
        list(c.optimizers.betas),
        [0.0, c.optimizers.betas[1]],
    ),
    "Generator.use_icnr": lambda _: ("Generator.use_icnr", False, True),
    "Training.Losses.fixed_idx": lambda _: ("Training.Losses.fixed_idx", None, [0, 1, 2]),
    "Training.Losses.adv_loss_type": lambda _: ("Training.Losses.r1_gamma", 0.0, 10.0),
    "Training.Losses.adv_loss_beta": lambda _: ("Training.Losses.adv_loss_beta", 0.0, 1e-3),
}
"""Key that `srgan config check` warns of -> key to change, old and new value."""


def sch13(log: RunLog) -> Finding | NotChecked | None:
    """The configuration holds settings that usually go wrong.

    Those that `srgan config check` warns of: a discriminator's rate above half of the generator's, PixelShuffle without
    ICNR, a perceptual loss that picks its bands by itself, a Wasserstein critic without a bound, no clipping. Beside them, a
    discriminator's scheduler that cut its rate because its loss rose, which is what success of the generator looks
    like. A note; where one of them did harm, another finding says so.
    """
    if log.config is None:
        return NotChecked("SCH13", log.config_trouble or "there is no configuration")
    told, remedies = [], []
    for key, text in risks(log.config):
        if key not in _CHANGES or (key == "Generator.use_icnr" and not _shuffles(log.config)):
            continue
        changed, old, new = _CHANGES[key](log.config)
        told.append(f"{key}: {text}")
        why = "as the message says"
        if changed == _CLIP_KEY and (usual := _usual_norm(log)) > new:
            new, why = round_nicely(1.5 * usual), f"the gradient norm is usually {usual:.2g}"
        remedies.append(Remedy(changed, old, new, why))
    if punished := _success_punished(log):
        told.append(punished)
        patience = log.config.schedulers.patience_d
        why = "D's loss rises when the generator gets better"
        remedies.append(Remedy("Schedulers.patience_d", patience, 4 * patience + 4, why))
    if not told:
        return None
    return Finding(
        "SCH13",
        "info",
        "Settings that usually go wrong",
        "; ".join(told),
        (log.first_step, log.last_step),
        "run",
        {"settings": [remedy.key for remedy in remedies]},
        tuple(remedies),
    )


def _shuffles(config: RunConfig) -> bool:
    return config.generator.model_type != "rrdbnet"


def _success_punished(log: RunLog) -> str:
    """Evidence that D's rate was cut while its loss rose; "" if not."""
    if log.config is None or log.config.schedulers.metric_d != names.VAL_D_LOSS:
        return ""
    found, loss = cuts(log.adv(names.D_RATE), limit.CUT), log.adv(names.VAL_D_LOSS)
    if not len(found) or len(loss) < limit.MIN_LAG_VALIDATIONS:
        return ""
    before = loss.between(float("-inf"), float(found.steps[0])).values
    if len(before) < 2 or float(np.median(before[-3:])) <= 1.1 * float(before.min()):
        return ""
    return (
        f"Schedulers.metric_d: lr_discriminator was cut {len(found)} times (first at step "
        f"{int(found.steps[0])}) while {names.VAL_D_LOSS} rose from {float(before.min()):.3g} to "
        f"{float(before[-1]):.3g}: the scheduler takes the generator's success for D's plateau"
    )


def _usual_norm(log: RunLog) -> float:
    """Of the network whose gradients are longer; 0 where unknown, or so long that they are a fault."""
    known = (log.get(names.G_NORM), log.adv(names.D_NORM))
    usual = [float(np.median(norm.values)) for norm in known if len(norm)]
    return max((each for each in usual if each <= limit.NORM_HUGE), default=0.0)
