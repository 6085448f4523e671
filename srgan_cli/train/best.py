"""Which validation was the best of its phase, and whether waiting for a better one has an end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from srgan_cli.config import RunConfig
from srgan_cli.schedule import Plan, Schedule
from srgan_cli.train.optim import HIGHER_IS_BETTER


class Best:
    """The best values of each phase by itself: adversarial training raises L1 on purpose.

    The adversarial phase is judged from the step with the full adversarial weight on; a value that is
    not finite is never the best.

    Args:
        config: The run.
        schedule: Its plan.
        max_steps: Its length.
    """

    def __init__(self, config: RunConfig, schedule: Schedule, max_steps: int) -> None:
        perceptual = config.training.losses.perceptual_weight > 0
        watched = config.schedulers.metric_g
        self._metrics = {"pretrain": watched, "gan": watched}
        if perceptual:
            self._metrics["gan"] = "val_metrics/perceptual"
        self._watched = watched
        self._patience = config.training.early_stop_patience
        full = schedule.full_adversarial_step
        self._judged_from = math.inf if full is None else min(full, max_steps)
        self.scores = {"pretrain": math.nan, "gan": math.nan}
        """Lower is better."""
        self._watched_score = math.nan
        self.waited = 0
        """Validations since `Schedulers.metric_g` improved in the adversarial phase."""

    def take(self, step: int, plan: Plan, found: Mapping[str, float]) -> bool:
        """Take in a validation; True where it is the best of its phase."""
        phase = "pretrain" if plan.pretrain else "gan"
        if phase == "gan" and step < self._judged_from:
            return False
        if phase == "gan":
            watched = _score(self._watched, found)
            if _better(watched, self._watched_score):
                self._watched_score, self.waited = watched, 0
            else:
                self.waited += 1
        score = _score(self._metrics[phase], found)
        if not _better(score, self.scores[phase]):
            return False
        self.scores[phase] = score
        return True

    @property
    def waited_enough(self) -> bool:
        """Whether `Training.early_stop_patience` is used up."""
        return self._patience > 0 and self.waited >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {**self.scores, "watched": self._watched_score, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.scores = {phase: float(state[phase]) for phase in self.scores}
        self._watched_score = float(state.get("watched", math.nan))
        self.waited = int(state.get("waited", 0))


def _score(metric: str, found: Mapping[str, float]) -> float:
    value = found.get(metric, math.nan)
    return -value if metric in HIGHER_IS_BETTER else value


def _better(score: float, best: float) -> bool:
    return math.isfinite(score) and (math.isnan(best) or score < best)
