"""The training plan as pure functions of the step.

A step is one batch, which is one generator update. `Schedule.at(step)` answers everything the
trainer asks of the plan, and `diagnose` asks the same function what should have happened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

Shape = Literal["linear", "cosine"]


def ramp(step: int, start: int, length: int, shape: Shape) -> float:
    """Rises from 0 at `start` to 1 at `start + length`; a length of 0 is a jump to 1 at `start`."""
    if step < start:
        return 0.0
    if length <= 0:
        return 1.0
    fraction = min((step - start) / length, 1.0)
    return fraction if shape == "linear" else 0.5 * (1.0 - math.cos(math.pi * fraction))


@dataclass(frozen=True)
class Plan:
    """What one step does."""

    step: int
    pretrain: bool
    """Generator alone on plain L1; the discriminator neither runs nor is updated."""
    adv_weight: float
    """Weight of the adversarial term in the generator's loss."""
    g_rate_factor: float
    """Factor on the generator's learning rate (warm-up)."""
    ema_active: bool
    """Whether the EMA is updated after this step."""


@dataclass(frozen=True)
class Schedule:
    """The whole plan of a run."""

    pretrain_steps: int | None
    """Steps of generator pretraining; None = for ever, 0 = none."""
    ramp_steps: int
    ramp_shape: Shape
    adv_weight: float
    warmup_steps: int
    warmup_shape: Shape
    ema_start: int | None
    """First step after which the EMA is updated; None = no EMA."""

    @property
    def first_adversarial_step(self) -> int | None:
        """First step with a discriminator; None when pretraining never ends."""
        return self.pretrain_steps

    @property
    def full_adversarial_step(self) -> int | None:
        """First step with the full adversarial weight."""
        return None if self.pretrain_steps is None else self.pretrain_steps + self.ramp_steps

    def at(self, step: int) -> Plan:
        """The plan for `step` (0-based)."""
        pretrain = self.pretrain_steps is None or step < self.pretrain_steps
        rise = (
            0.0
            if self.pretrain_steps is None
            else ramp(step, self.pretrain_steps, self.ramp_steps, self.ramp_shape)
        )
        return Plan(
            step=step,
            pretrain=pretrain,
            adv_weight=self.adv_weight * rise,
            g_rate_factor=ramp(step, 0, self.warmup_steps, self.warmup_shape),
            ema_active=self.ema_start is not None and step >= self.ema_start,
        )

    def milestones(self, max_steps: int) -> list[tuple[int, str]]:
        """The steps at which the plan changes, in order, with a word on each."""
        marks = [(0, "start: generator pretraining on L1" if self.at(0).pretrain else "start")]
        if self.warmup_steps:
            marks.append((self.warmup_steps, "generator rate at its full value"))
        if self.ema_start:
            marks.append((self.ema_start, "EMA starts"))
        if self.pretrain_steps is not None:
            full = self.pretrain_steps + self.ramp_steps
            if self.pretrain_steps:
                marks.append((self.pretrain_steps, "discriminator starts, adversarial weight 0"))
            marks.append((full, f"adversarial weight at {self.adv_weight:g}"))
        inside = [mark for mark in marks if mark[0] < max_steps]
        return [*sorted(inside), (max_steps, "end")]


def build_schedule(config: RunConfig) -> Schedule:
    """The plan that a configuration describes."""
    training = config.training
    if not training.pretrain_g_only:
        pretrain_steps: int | None = 0
    elif training.g_pretrain_steps < 0:
        pretrain_steps = None
    else:
        pretrain_steps = training.g_pretrain_steps
    return Schedule(
        pretrain_steps=pretrain_steps,
        ramp_steps=training.adv_loss_ramp_steps,
        ramp_shape=training.losses.adv_loss_schedule,
        adv_weight=training.losses.adv_loss_beta,
        warmup_steps=config.schedulers.g_warmup_steps,
        warmup_shape=config.schedulers.g_warmup_type,
        ema_start=training.ema.update_after_step if training.ema.enabled else None,
    )
