"""What a run would be, without making a folder: facts, schedule, and measured seconds per step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.training import open_training_data
from srgan_cli.schedule import Schedule, build_schedule
from srgan_cli.train.device import computes_bf16
from srgan_cli.train.memory import peak_memory_mb
from srgan_cli.train.networks import Networks, build_networks
from srgan_cli.train.run import absolute_paths, prepare_device, total_steps
from srgan_cli.train.trainer import validation_interval

_TIMED_STEPS = 3


@dataclass(frozen=True)
class DryRun:
    """The answer of `srgan train --dry-run`."""

    device: str
    precision: str
    generator_parameters: int
    discriminator_parameters: int
    max_steps: int
    steps_per_epoch: int
    validation_every: int
    milestones: list[tuple[int, str]]
    scenes: list[tuple[str, ...]]
    warnings: tuple[str, ...]
    pretrain_seconds_per_step: float | None
    adversarial_seconds_per_step: float | None
    peak_memory_mb: float

    @property
    def total_seconds(self) -> float:
        """Estimated time of all steps, validation not counted."""
        pretrain = self._pretrain_steps()
        first = (self.pretrain_seconds_per_step or 0.0) * pretrain
        return first + (self.adversarial_seconds_per_step or 0.0) * (self.max_steps - pretrain)

    def _pretrain_steps(self) -> int:
        if self.adversarial_seconds_per_step is None:
            return self.max_steps
        starts = [step for step, text in self.milestones if text.startswith("discriminator")]
        return starts[0] if starts else 0


def dry_run(config: RunConfig) -> DryRun:
    """Open the data, build the networks, run a few steps of each phase, write nothing.

    Raises:
        RefusedError: As `run_training`.
    """
    device = prepare_device(config)
    config = absolute_paths(config)
    data = open_training_data(config)
    config = data.config
    networks = build_networks(config, device, data.radiometry.offset)
    steps = total_steps(config, data.steps_per_epoch)
    schedule = build_schedule(config)
    batches = [
        Batch(*(part.to(device) for part in batch)) for batch in data.train_batches(0, _TIMED_STEPS)
    ]
    precision = config.training.precision
    if precision == "auto":
        precision = "bf16" if computes_bf16(device) else "fp32"
    phases = _phases(schedule, steps)
    seconds = {name: _seconds(networks, schedule, batches, at) for name, at in phases.items()}
    return DryRun(
        device=str(device),
        precision=precision,
        generator_parameters=_count(networks.step.generator),
        discriminator_parameters=_count(networks.step.discriminator),
        max_steps=steps,
        steps_per_epoch=data.steps_per_epoch,
        validation_every=validation_interval(config, data.steps_per_epoch, steps),
        milestones=schedule.milestones(steps),
        scenes=data.describe(),
        warnings=data.warnings,
        pretrain_seconds_per_step=seconds.get("pretrain"),
        adversarial_seconds_per_step=seconds.get("gan"),
        peak_memory_mb=peak_memory_mb(device),
    )


def _phases(schedule: Schedule, max_steps: int) -> dict[str, int]:
    """A step of each phase that the run will reach."""
    first = schedule.first_adversarial_step
    phases = {} if first == 0 else {"pretrain": 0}
    if first is not None and first < max_steps:
        phases["gan"] = max_steps - 1
    return phases


def _seconds(networks: Networks, schedule: Schedule, batches: list[Batch], step: int) -> float:
    """Best wall time of a step; the first ones choose algorithms and allocate."""
    best = float("inf")
    for batch in batches:
        started = time.perf_counter()
        networks.step(batch, schedule.at(step))
        if batch.lr.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
