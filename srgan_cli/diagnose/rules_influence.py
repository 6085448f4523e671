"""GAN06-08: whether the adversarial term does nothing, too much, or has no bounds."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import loss_form
from srgan_cli.diagnose.influence import Influence, detail_change, influence_of, validation_worse
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


def gan06(log: RunLog) -> Finding | NotChecked | None:
    """The adversarial term has no influence on the generator.

    At full weight its gradient is a thousandth of the content term's or less, so the result is that of plain
    content training with a discriminator beside it. Raise `adv_loss_beta`; a gradient ratio near 0.05 is a good start.
    Without logged gradients the ratio of the weighted losses stands in, an order of magnitude only.
    """
    influence = influence_of(log)
    if isinstance(influence, str):
        return NotChecked("GAN06", influence)
    typical, values = influence.typical, influence.series.values
    little, none = (
        typical < bar and stats.share_of(values < bar) >= limit.PERSISTENT
        for bar in (limit.INFLUENCE_LITTLE, limit.INFLUENCE_NONE)
    )
    change = detail_change(log)
    # What gradients say of no influence is plain; less is outweighed by detail that did come.
    plain = none and influence.kind == "gradients"
    if not little or (not plain and change is not None and change >= limit.HF_CHANGED):
        return None
    old = knobs.beta(log)
    new = None
    if old and typical > 0:
        new = stats.round_nicely(old * limit.INFLUENCE_TARGET / typical)
    unchanged = "" if change is None else f", and high-frequency energy changed by {change:+.0%}"
    return Finding(
        "GAN06",
        "warn" if none else "info",
        f"The adversarial term has {'no' if none else 'little'} influence",
        f"at full weight {influence.words()}{unchanged}",
        influence.series.window,
        "adversarial",
        {"influence": typical, "kind": influence.kind, "detail_change": change},
        (Remedy("Training.Losses.adv_loss_beta", old, new, "brings the ratio to about 0.05"),),
        "high" if influence.kind == "gradients" else "medium",
    )


def gan07(log: RunLog) -> Finding | NotChecked | None:
    """The adversarial term dominates: the generator follows the discriminator more than the data.

    Texture is then invented rather than reconstructed. Divide `adv_loss_beta` by the measured ratio and more. An
    error when validation L1 got 20 % worse than in pretraining without a perceptual gain.
    """
    influence = influence_of(log)
    if isinstance(influence, str):
        return NotChecked("GAN07", influence)
    bar = limit.INFLUENCE_DOMINATES if influence.kind == "gradients" else limit.LOSS_RATIO_DOMINATES
    recent = stats.tail(influence.series.values, limit.TAIL_SHARE, 5)
    typical = float(np.median(recent))
    # Near the bar, where the ratio of healthy games comes and goes, it must stay above.
    needed = 0.5 if typical > limit.DOMINATES_PLAINLY * bar else limit.PERSISTENT
    if typical <= bar or stats.share_of(recent > bar) < needed:
        return None
    worse = validation_worse(log)
    recently = Influence(influence.kind, influence.series, typical)
    return Finding(
        "GAN07",
        "error" if worse else "warn",
        "The adversarial term dominates",
        f"over the last rows {recently.words()}" + (f"; {worse}" if worse else ""),
        influence.series.window,
        "adversarial",
        {"influence": typical, "kind": influence.kind},
        (
            knobs.weaker_beta(
                log, max(4.0, typical / 0.1), "content must lead; 0.05 to 0.3 is usual"
            ),
        ),
        "high" if influence.kind == "gradients" else "medium",
    )


def gan08(log: RunLog) -> Finding | NotChecked | None:
    """The critic's scale grows without bounds (Wasserstein).

    A Wasserstein critic must be kept Lipschitz; without R1 or spectral normalisation its output, and with it the
    adversarial gradient, grows for ever. Set `r1_gamma`, take a discriminator with spectral normalisation, or use the
    `bce` objective.
    """
    if log.t_adv is None:
        return NotChecked("GAN08", "the run has no adversarial step yet")
    if loss_form(log) != "wasserstein":
        return None
    worst: tuple[float, float, str] = (0.0, 0.0, "")
    for name in (names.D_LOSS, names.G_ADVERSARIAL):
        level = stats.running_median(np.abs(log.adv(name).values), 5)
        if len(level) < limit.MIN_ADVERSARIAL_ROWS:
            return NotChecked(
                "GAN08", f"{len(level)} rows of {name}; needs {limit.MIN_ADVERSARIAL_ROWS}"
            )
        early = float(np.median(level[: max(5, len(level) // 10)]))
        now = float(np.median(stats.tail(level, 0.1, 5)))
        worst = max(worst, (now / max(early, 1e-6), now, name))
    growth, now, name = worst
    if growth <= limit.CRITIC_GROWTH or now <= limit.CRITIC_LEVEL:
        return None
    return Finding(
        "GAN08",
        "error",
        "The critic grows without bounds",
        f"|{name}| has grown {growth:.0f} times since the first adversarial steps, to {now:.3g}",
        log.adv(name).window,
        "adversarial",
        {"growth": growth, "level": now},
        _bounds(log),
    )


def _bounds(log: RunLog) -> tuple[Remedy, ...]:
    gamma = log.config.training.losses.r1_gamma if log.config else None
    return (
        Remedy("Training.Losses.r1_gamma", gamma, 10.0, "a gradient penalty bounds the critic"),
        Remedy("Training.Losses.adv_loss_type", "wasserstein", "bce", "needs no Lipschitz bound"),
    )
