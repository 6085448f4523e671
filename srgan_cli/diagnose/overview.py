"""The lines above the findings: schedule, balance, plan and images, in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.pictures import Pictures, pictures_of
from srgan_cli.diagnose.report import Finding, Overview
from srgan_cli.diagnose.tiles import grid_scores


def overview_of(log: RunLog, findings: Iterable[Finding]) -> Overview:
    """The lines for a log and what was found in it."""
    codes = {code for finding in findings for code in (finding.code, *finding.explains)}
    return Overview(
        images=_images(log),
        schedule=_schedule(log),
        balance=_balance(log, codes),
        plan=_plan(log, codes),
    )


def phase_of(log: RunLog) -> str:
    """Where the run is: too early, pretraining, adversarial ramp or adversarial training."""
    if log.most_train_rows < limit.MIN_ROWS:
        return "too early"
    if log.t_adv is None:
        return "pretraining"
    return "adversarial ramp" if log.t_full is None else "adversarial training"


def _schedule(log: RunLog) -> str:
    end = log.max_steps
    # The last row of a run of N steps may be written at step N - 1.
    share = f" ({min(1.0, (log.last_step + 1) / end):.0%})" if end else ""
    where = f"step {log.last_step}" + (f" of {end}{share}" if end else " of an unknown number")
    if log.finished:
        where += ", finished"
    elif log.ended:
        where += ", stopped"
    elif log.ended is False:
        where += ", no end record"
    phase = phase_of(log)
    if log.t_adv is None:
        return f"{where}: {'pretraining' if phase == 'too early' else phase}{_coming(log)}"
    parts = [f"{where}: {phase}"]
    if log.t_adv > log.first_step:
        parts.append(f"pretraining until {log.t_adv}")
    weight = log.adv(names.ADV_WEIGHT)
    if log.t_full is not None and len(weight):
        parts.append(f"adversarial weight {weight.values[-1]:g}, full since {log.t_full}")
    elif len(weight):
        parts.append(f"adversarial weight {weight.values[-1]:.3g} so far")
    return "; ".join(parts)


def _coming(log: RunLog) -> str:
    schedule = log.schedule
    if schedule is None:
        return ""
    start = schedule.first_adversarial_step
    return (
        ", for ever (g_pretrain_steps -1)"
        if start is None
        else f", the discriminator starts at {start}"
    )


def _balance(log: RunLog, codes: set[str]) -> str:
    balance = balance_of(log)
    if isinstance(balance, str):
        return f"not judged: {balance}"
    q, loss = float(np.median(balance.tail_q)), float(np.median(balance.tail_loss))
    kind = {"relativistic": ", relative" if log.config else ""}.get(balance.form, "")
    smoothed = ", label smoothing" if balance.target < 1 else ""
    values = (
        f"D loss at {loss:.0%} of chance"
        if math.isnan(balance.d_real)
        else f"D(y) {balance.d_real:.2f}, D(G(x)) {balance.d_fake:.2f} (chance {balance.target / 2:.2f}{smoothed}{kind}), D loss at {loss:.0%} of chance"
    )
    return f"{_judgement(q, codes)}: {values}"


def _judgement(q: float, codes: set[str]) -> str:
    if "GAN02" in codes or "GAN10" in codes:
        return "no game: the discriminator has been at chance from the start"
    if "GAN04" in codes:
        return "oscillating"
    if q < limit.BEATEN_Q:
        return "the generator is ahead"
    if q > limit.OVERPOWER_Q:
        return "the discriminator is far ahead"
    if abs(q) < limit.DEAD_MAX_Q:
        return "at equilibrium" if "GAN09" in codes else "close to chance"
    return f"balanced: the discriminator is ahead by {q:.2f} of 1, as usual in super-resolution"


def _plan(log: RunLog, codes: set[str]) -> str:
    if log.config is None:
        return f"not compared: {log.config_trouble or 'there is no configuration'}"
    if "SCH16" in codes:
        return "the log differs from config.yaml (SCH16)"
    if "SCH15" in codes:
        return "the log fits config.yaml with steps counted twice (SCH15)"
    compared = [
        word
        for name, word in (
            (names.PRETRAIN_PHASE, "phase"),
            (names.ADV_WEIGHT, "adversarial weight"),
            (names.G_RATE, "warm-up"),
        )
        if len(log.get(name))
    ]
    return (
        f"{', '.join(compared)} as config.yaml plans"
        if compared
        else "not compared: nothing to compare is in the log"
    )


def _images(log: RunLog) -> str:
    pictures = pictures_of(log)
    return f"not judged: {pictures}" if isinstance(pictures, str) else grid_words(pictures)


def grid_words(pictures: Pictures) -> str:
    """Whether there is a pattern locked to the upsampling grid."""
    scores = grid_scores(pictures)
    if isinstance(scores, str):
        return f"not judged: {scores}"
    amount = f"{max(scores.amplitude, 0):.2%} of the value range, {scores.sr[-1].num_tiles} tiles"
    if pictures.steps:
        amount += f", last step {pictures.steps[-1]}"
    if scores.amplitude < limit.GRID_INFO:
        return f"no checkerboard ({amount})"
    if not scores.significant:
        return f"no checkerboard beyond chance ({amount}, z {scores.sr[-1].z:.1f})"
    control = f"; HR: {max(scores.hr.amplitude, 0):.2%}" if scores.hr else ""
    return f"grid-locked pattern ({amount}{control})"
