"""GAN01-04, GAN09, GAN10: who is ahead, and whether "0.5" is equilibrium or death."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import Balance, balance_of
from srgan_cli.diagnose.influence import (
    Influence,
    change_is_measured,
    images_changed,
    influence_of,
    validation_worse,
)
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


def gan01(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator tells real from generated almost perfectly, and the gap does not close.

    A winning discriminator is normal in super-resolution, where SR is easily told from HR: by itself this is a
    note. It becomes a warning when D is nearly perfect at full adversarial weight, or learns faster than the generator, and an
    error when the validation images get worse at the same time; a note where the adversarial term has no
    influence, since nothing then stops D from winning. Slow D down, smooth its labels,
    penalise its gradient (R1), pretrain longer; and look for a trivial cue that separates the two, such
    as nodata zeros or quantised values that only real images have.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN01", balance)
    q, loss = float(np.median(balance.tail_q)), float(np.median(balance.tail_loss))
    closing = stats.theil_sen(np.arange(len(balance.tail_q), dtype=float), balance.tail_q)
    holds = (
        q > limit.OVERPOWER_Q
        and loss < limit.OVERPOWER_LOSS
        and stats.share_of(balance.tail_q > limit.OVERPOWER_ROW_Q) > limit.PERSISTENT
        and closing * len(balance.tail_q) > limit.OVERPOWER_CLOSING
    )
    if not holds:
        return None
    g, d = knobs.g_rate(log), knobs.d_rate(log)
    faster = g is not None and d is not None and d > g
    # While the weight still rises, the generator has hardly been asked to answer.
    answered = log.t_full is not None and balance.window[0] >= log.t_full
    near_perfect = q > limit.OVERPOWER_HARD_Q and loss < limit.OVERPOWER_HARD_LOSS and answered
    worse = validation_worse(log)
    influence = influence_of(log)
    unheard = isinstance(influence, Influence) and influence.typical < limit.INFLUENCE_NONE
    message = (
        f"separation {q:.2f} of 1, discriminator loss {max(loss, 0):.0%} of the way from perfect to chance, "
        f"and the gap is not closing" + (f"; {worse}" if worse else "")
    )
    if faster:
        message += f"; its rate {d:.2g} is above the generator's {g:.2g}"
    if unheard:
        message += "; no wonder, since the generator hardly hears of it (GAN06)"
    return Finding(
        "GAN01",
        "error" if worse else "warn" if (faster or near_perfect) and not unheard else "info",
        "The discriminator overpowers the generator",
        message,
        balance.window,
        "adversarial",
        {"separation": q, "relative_loss": loss, "d_rate": d, "g_rate": g},
        _slow_down(log),
    )


def _slow_down(log: RunLog) -> tuple[Remedy, ...]:
    remedies = [knobs.ttur(log, "a slower discriminator leaves the generator time to follow")]
    if log.config and not log.config.training.label_smoothing:
        why = "a target of 0.9 keeps D from certainty"
        remedies.append(Remedy("Training.label_smoothing", False, True, why))
    if log.config is None or log.config.training.losses.r1_gamma == 0:
        why = "R1 keeps D smooth around real images"
        remedies.append(Remedy("Training.Losses.r1_gamma", 0.0 if log.config else None, 10.0, why))
    return tuple(remedies)


def gan02(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator never separated real from generated, and the images did not change either.

    D(y) and D(G(x)) both near 0.5 look like the ideal equilibrium, but at an equilibrium D was
    ahead before. Here it sat at chance from the first adversarial step, so the adversarial term taught the
    generator nothing. The sum of D's rate over its steps tells why: Adam moves a weight by at most about the
    rate per step, so below 0.005 D cannot have learned (raise its rate); above 0.3 it had every
    chance and collapsed (lower its rate).
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN02", balance)
    moved, evidence = images_changed(log)
    if not balance.never_separated or moved:
        return None
    early = _too_early(log, balance)
    cause, remedy = _why_dead(log, balance, early)
    numbers = _probabilities(balance)
    return Finding(
        "GAN02",
        "info" if early else "error",
        "The discriminator has not learned yet" if early else "The discriminator never learned",
        f"{numbers} is not equilibrium: D was never ahead (largest separation {balance.max_q:.2f}), "
        f"and the images did not change ({evidence}); {cause}",
        balance.window,
        "adversarial",
        {"largest_separation": balance.max_q, "sum_of_d_rates": _number(balance.travel)},
        () if early else (remedy,),
        "medium" if early or math.isnan(balance.travel) or not change_is_measured(log) else "high",
    )


def _too_early(log: RunLog, balance: Balance) -> bool:
    """Whether D may still come alive: few steps, little travel with more planned, or q rising."""
    if balance.steps < limit.DEAD_STEPS:
        return True
    if limit.TRAVEL_NONE <= balance.travel < limit.TRAVEL_EARLY:
        return True
    rate = log.adv(names.D_RATE).values
    if log.cut_short and log.max_steps and len(rate):
        to_come = float(rate[-1]) * (log.max_steps - log.last_step)
        if balance.travel < limit.TRAVEL_EARLY <= balance.travel + to_come:
            return True
    trend = stats.mann_kendall(balance.q.values)
    rising = trend.direction > 0 and trend.p < limit.RISING_P
    return rising and float(np.median(balance.tail_q)) > limit.RISING_Q


def _why_dead(log: RunLog, balance: Balance, early: bool) -> tuple[str, Remedy]:
    total = f"the sum of its rate over all steps is {balance.travel:.2g}"
    if math.isnan(balance.travel):
        why = "D's rate is not in the log; check that it is updated at all"
        return why, knobs.faster_d(log, "give D a rate at which it can learn")
    if balance.travel < limit.TRAVEL_NONE and not early:
        return f"{total}, so its weights cannot have moved", knobs.faster_d(
            log, f"at {balance.travel:.2g} in total Adam cannot have moved D's weights"
        )
    if balance.travel > limit.TRAVEL_AMPLE:
        return f"{total}, ample: it collapsed to a constant answer", knobs.ttur(
            log, "D had every chance to learn and collapsed; a lower rate lets it"
        )
    if balance.travel < limit.TRAVEL_EARLY:
        return f"{total}; healthy runs separate by 0.06, so wait", knobs.faster_d(log, "")
    if early:
        return f"{total}; still too early to say", knobs.faster_d(log, "")
    return (
        f"{total}, enough to learn something: check that D's gradients are not zero",
        knobs.faster_d(log, "D learns too little at this rate"),
    )


def _probabilities(balance: Balance) -> str:
    if math.isnan(balance.d_real):
        return f"discriminator loss at {float(np.median(balance.tail_loss)):.3f} of chance"
    return f"D(y) {balance.d_real:.2f} / D(G(x)) {balance.d_fake:.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def gan10(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator never separated, while a strong adversarial term did change the images.

    D is out-paced: the generator moves faster than D can learn what is wrong with its images, and follows
    noise. Weaken the adversarial term, let D learn faster, or give it a longer ramp to learn in.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN10", balance)
    moved, evidence = images_changed(log)
    if not balance.never_separated or not moved:
        return None
    ramp = knobs.ramp_steps(log)
    lengthen = Remedy(
        "Training.adv_loss_ramp_steps",
        ramp,
        None if ramp is None else max(4 * ramp, 1000),
        "D learns while the weight is still small",
    )
    return Finding(
        "GAN10",
        "info" if balance.steps < limit.DEAD_STEPS else "warn",
        "The discriminator is out-paced from the start",
        f"D has been at chance ({_probabilities(balance)}, loss "
        f"{float(np.median(balance.tail_loss)):.3f} of chance) since the first adversarial step, "
        f"while the images changed: {evidence}",
        balance.window,
        "adversarial",
        {"largest_separation": balance.max_q, "sum_of_d_rates": _number(balance.travel)},
        (
            knobs.weaker_beta(log, 5, "the generator follows a discriminator that knows nothing"),
            knobs.faster_d(log, "D must learn at least as fast as the images change"),
            lengthen,
        ),
    )


def gan03(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator takes generated images for more real than real ones: the generator has won.

    D is worse than chance, so its gradient no longer points towards real images. D's rate is too low, was cut too far
    by its scheduler, or the adversarial term is too strong.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN03", balance)
    q, loss = float(np.median(balance.tail_q)), float(np.median(balance.tail_loss))
    lasting = stats.share_of(balance.tail_q < limit.BEATEN_Q) >= limit.PERSISTENT
    if not (q < limit.BEATEN_Q and loss > limit.BEATEN_LOSS and lasting):
        return None
    return Finding(
        "GAN03",
        "error",
        "The generator beats the discriminator",
        f"{_probabilities(balance)}: generated images look more real to D than real ones "
        f"(separation {q:.2f}, loss {loss:.2f} of chance)",
        balance.window,
        "adversarial",
        {"separation": q, "relative_loss": loss},
        (
            knobs.faster_d(log, "D must keep up with the generator"),
            knobs.weaker_beta(log, 5, "a weaker adversarial term slows the generator down"),
        ),
    )


def gan04(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator swings between winning and chance again and again.

    Some rotation is part of every GAN; large cycles mean that both networks overshoot. Lower both rates,
    take beta1 = 0, clip gradients at 0.5 to 1, penalise D's gradient. Judged on bin medians, since
    the raw per-batch values of any healthy run cross every line by chance.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN04", balance)
    n = len(balance.q)
    if n < limit.MIN_OSCILLATION_ROWS:
        return NotChecked("GAN04", f"{n} adversarial rows; needs {limit.MIN_OSCILLATION_ROWS}")
    bins = stats.bin_medians(balance.q.values, int(np.clip(n // 4, 10, 40)))
    smooth = stats.running_median(bins, 3)
    flips = _flips(smooth)
    if stats.lag_one(smooth) <= limit.OSCILLATION_LAG_ONE or flips < limit.OSCILLATION_FLIPS:
        return None
    first, last = balance.q.window
    g = knobs.g_rate(log)
    lower = Remedy(
        "Optimizers.optim_g_lr", g, None if g is None else round(g / 2, 12), "smaller steps"
    )
    return Finding(
        "GAN04",
        "warn",
        "The balance oscillates",
        f"the separation swings {flips} times between above {limit.HIGH_Q} and below {limit.LOW_Q}, "
        f"about every {2 * (last - first) // flips} steps",
        balance.q.window,
        "adversarial",
        {"flips": flips},
        (lower, knobs.ttur(log, "both networks overshoot"), *_damping(log)),
        "medium",
    )


def _damping(log: RunLog) -> list[Remedy]:
    if log.config is None:
        return []
    optimizers, remedies = log.config.optimizers, []
    if optimizers.betas[0] > 0:
        new = [0.0, optimizers.betas[1]]
        why = "momentum drives the cycle"
        remedies.append(Remedy("Optimizers.betas", list(optimizers.betas), new, why))
    if optimizers.gradient_clip_val == 0:
        why = "bounds each step"
        remedies.append(Remedy("Optimizers.gradient_clip_val", 0.0, 1.0, why))
    return remedies


def _flips(q: stats.Values) -> int:
    """Changes between high and low, with the band in between ignored."""
    states = np.where(q > limit.HIGH_Q, 1, np.where(q < limit.LOW_Q, -1, 0))
    states = states[states != 0]
    return int(np.count_nonzero(np.diff(states)))


def gan09(log: RunLog) -> Finding | NotChecked | None:
    """A genuine equilibrium: the discriminator was ahead, and the generator has caught up.

    D(y) and D(G(x)) are both near chance (0.45 with label smoothing), after D had learned to tell
    them apart, and validation did not suffer. Nothing to change; further training brings little.
    """
    balance = balance_of(log)
    if isinstance(balance, str):
        return NotChecked("GAN09", balance)
    q, loss = float(np.median(balance.tail_q)), float(np.median(balance.tail_loss))
    low, high = limit.EQUILIBRIUM_LOSS
    caught_up = balance.max_q > limit.LEARNED_Q and abs(q) < limit.DEAD_MAX_Q and low < loss < high
    if not caught_up or not balance.travel >= 0.05 or validation_worse(log):
        return None
    return Finding(
        "GAN09",
        "ok",
        "The game is at equilibrium",
        f"D was ahead (separation up to {balance.max_q:.2f}) and the generator has caught up: "
        f"{_probabilities(balance)}, chance is {balance.target / 2:.2f}",
        balance.window,
        "adversarial",
        {"separation": q, "relative_loss": loss},
    )
