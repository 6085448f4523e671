"""SCH08, SCH09, SCH11: what the plateau schedulers did to the learning rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.knobs import cuts
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series


@dataclass(frozen=True)
class _Side:
    """One network's rate and the last letter of its keys."""

    who: str
    letter: str
    rate: Series

    def setting(self, log: RunLog, key: str) -> float | None:
        """A key of section Schedulers, such as `patience`."""
        return getattr(log.config.schedulers, f"{key}_{self.letter}") if log.config else None


def _sides(log: RunLog) -> list[_Side]:
    return [
        _Side("generator", "g", log.get(names.G_RATE)),
        _Side("discriminator", "d", log.get(names.D_RATE)),
    ]


def _few(log: RunLog) -> str:
    rows = max(len(side.rate) for side in _sides(log))
    return f"{rows} rows with learning rates; needs {limit.MIN_TREND_ROWS}"


def sch08(log: RunLog) -> Finding | NotChecked | None:
    """A learning rate was cut to almost nothing for a good part of the run.

    Below a hundredth of its peak, or at its floor, for more than a fifth of the run: nothing more is learned. Raise
    the patience, the factor or the floor (`min_lr_g`, `min_lr_d`).
    """
    judged = [side for side in _sides(log) if len(side.rate) >= limit.MIN_TREND_ROWS]
    if not judged:
        return NotChecked("SCH08", _few(log))
    for side in judged:
        values = side.rate.values
        peak = int(np.argmax(values))
        floor = side.setting(log, "min_lr") or 0.0
        dead = (values <= np.maximum(limit.RATE_DEAD * values[peak], floor * 1.001)) & (
            np.arange(len(values)) > peak
        )
        share = stats.share_of(dead)
        if share <= limit.RATE_DEAD_SHARE or values[peak] <= floor:
            continue
        start = int(side.rate.steps[np.argmax(dead)])
        patience = side.setting(log, "patience")
        return Finding(
            "SCH08",
            "warn",
            f"The {side.who}'s rate is used up",
            f"lr_{side.who} fell from {values[peak]:.2g} to {values[-1]:.2g}, so for {share:.0%} of the run (from step {start}) nothing more is learned",
            (start, int(side.rate.steps[-1])),
            "run",
            {"peak": float(values[peak]), "last": float(values[-1]), "share": share},
            (
                Remedy(
                    f"Schedulers.patience_{side.letter}",
                    patience,
                    None if patience is None else 2 * int(patience) + 2,
                    "cuts come later",
                ),
                Remedy(
                    f"Schedulers.min_lr_{side.letter}",
                    floor or None,
                    stats.round_nicely(values[peak] / 20),
                    "keeps some rate",
                ),
            ),
        )
    return None


def sch09(log: RunLog) -> Finding | NotChecked | None:
    """A rate is cut at constant intervals: its scheduler sees no improvement at all.

    Three cuts or more at the same distance mean that the patience runs out again and again, because the watched metric
    cannot improve in this phase. Watch another metric, or raise patience and cooldown.
    """
    judged = [side for side in _sides(log) if len(side.rate) >= limit.MIN_TREND_ROWS]
    if not judged:
        return NotChecked("SCH09", _few(log))
    for side in judged:
        found = cuts(side.rate, limit.CUT)
        # A smooth decay falls at every row; a plateau scheduler leaves most rows alone.
        if len(found) < limit.REGULAR_CUTS or len(found) > 0.2 * len(side.rate):
            continue
        gaps = np.diff(found.steps)
        spread = float(gaps.max() - gaps.min()) / float(np.median(gaps))
        if spread > limit.REGULAR_SPREAD:
            continue
        metric = None
        if log.config:
            metric = (
                log.config.schedulers.metric_g
                if side.letter == "g"
                else log.config.schedulers.metric_d
            )
        patience = side.setting(log, "patience")
        return Finding(
            "SCH09",
            "warn",
            f"The {side.who}'s rate is cut like clockwork",
            f"lr_{side.who} was cut {len(found)} times, every {int(np.median(gaps))} steps from step {int(found.steps[0])} on: its patience runs out back to back"
            + (f" because {metric} does not improve" if metric else ""),
            found.window,
            "run",
            {"cuts": [int(step) for step in found.steps[:30]], "interval": int(np.median(gaps))},
            (
                Remedy(
                    f"Schedulers.patience_{side.letter}",
                    patience,
                    None if patience is None else 2 * int(patience) + 2,
                    "cut only after a real plateau",
                ),
                Remedy(
                    f"Schedulers.cooldown_{side.letter}",
                    side.setting(log, "cooldown"),
                    2,
                    "lets a cut take effect first",
                ),
            ),
        )
    return None


def sch11(log: RunLog) -> Finding | NotChecked | None:
    """The discriminator's rate was cut during pretraining, before the discriminator had done a single step.

    OpenSR-SRGAN 0.5.1 steps D's plateau scheduler with a loss of 0 while the generator pretrains, so D's rate is cut every
    patience + 1 validations and D arrives dead. `srgan train` starts that scheduler with the first adversarial validation.
    """
    rate = log.pre(names.D_RATE)
    if log.t_adv == log.first_step and not len(rate):
        return None
    if not len(rate):
        return NotChecked("SCH11", f"{names.D_RATE} is not in the log of the pretraining")
    found = cuts(rate, limit.CUT)
    if not len(found):
        return None
    first, last = float(rate.values.max()), float(rate.values[-1])
    return Finding(
        "SCH11",
        "error",
        "The discriminator's rate was cut during pretraining",
        f"lr_discriminator was cut {len(found)} times before the first adversarial step, from {first:.2g} to {last:.2g} (first at step {int(found.steps[0])}): its scheduler was fed while D did not run",
        found.window,
        "pretraining",
        {"cuts": [int(step) for step in found.steps[:30]], "from": first, "to": last},
        (
            Remedy(
                "Schedulers.patience_d",
                log.config.schedulers.patience_d if log.config else None,
                1000000,
                "in OpenSR-SRGAN, until D's scheduler is stepped in the adversarial phase only",
            ),
        ),
    )
