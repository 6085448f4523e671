"""What a run would be, without making a folder: facts, schedule, and measured seconds per step."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from srgan_cli.bfloat16 import computes_bf16
from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.training import TrainingData, open_training_data
from srgan_cli.schedule import Schedule, build_schedule
from srgan_cli.train.device import arithmetic, slow_arithmetic
from srgan_cli.train.distributed import ALONE, Ranks
from srgan_cli.train.footprint import Activations, lasting_bytes
from srgan_cli.train.memory import peak_memory_mb
from srgan_cli.train.networks import Networks, build_networks
from srgan_cli.train.paths import absolute_paths
from srgan_cli.train.run import check_shares, prepare_device, total_steps
from srgan_cli.train.trackers import check_trackers
from srgan_cli.train.trainer import validation_interval
from srgan_cli.train.validation import Validator

_TIMED_STEPS = 3


@dataclass(frozen=True)
class DryRun:
    """The answer of `srgan train --dry-run`."""

    device: str
    processes: int
    """That share a batch."""
    batch_size: int
    """Crops of a step, of all processes together."""
    precision: str
    generator_parameters: int
    discriminator_parameters: int
    receptive_field_px: int | None
    """LR pixels to every side; None = the whole input."""
    lasting_mb: float
    """Weights, gradients, moments and the average."""
    activations_mb: float
    """What a step keeps for its backward passes, at most."""
    peak_memory_mb: float
    """Measured over the steps made here: allocated on the GPU, else resident of the process."""
    max_steps: int
    steps_per_epoch: int
    validation_every: int
    schedule: list[ScheduleRow]
    scenes: list[tuple[str, ...]]
    warnings: tuple[str, ...]
    pretrain_seconds_per_step: float | None
    adversarial_seconds_per_step: float | None
    validation_seconds: float

    @property
    def total_seconds(self) -> float:
        """Estimated time of the run, its validations included."""
        return self.schedule[-1].seconds


@dataclass(frozen=True)
class ScheduleRow:
    """The plan from one of its milestones on."""

    step: int
    seconds: float
    """Estimated time until then."""
    g_rate: float
    """Before any cut by the plateau scheduler."""
    d_rate: float
    """0 while the discriminator rests."""
    adv_weight: float
    text: str


def dry_run(config: RunConfig, ranks: Ranks = ALONE) -> DryRun:
    """Open the data, build the networks, run a few steps of each phase, write nothing.

    Of several processes' work one process does its share; what they exchange is not measured.

    Args:
        config: The run.
        ranks: Where a launcher has started several; only rank 0 calls this.

    Raises:
        RefusedError: As `run_training`.
    """
    check_trackers(config)
    here = Ranks(local_world=ranks.local_world if ranks.world > 1 else config.training.processes)
    processes = ranks.world if ranks.world > 1 else here.local_world
    check_shares(config, Ranks(world=processes))
    device = prepare_device(config, here)
    config = absolute_paths(config)
    data = open_training_data(config)
    config = data.config
    networks = build_networks(config, device, data.radiometry.offset)
    generator, discriminator = networks.step.generator, networks.step.discriminator
    steps = total_steps(config, data.steps_per_epoch)
    schedule = build_schedule(config)
    batches = [
        networks.hand_over(batch) for batch in data.train_batches(0, _TIMED_STEPS, 0, processes)
    ]
    phases = _phases(schedule, steps)
    seconds = {name: _seconds(networks, schedule, batches, at) for name, at in phases.items()}
    validation = _validation_seconds(config, data, networks, device, "gan" in phases)
    # After the steps that are timed: counting makes a step slower, not larger.
    measured_mb = peak_memory_mb(device)
    with Activations(networks) as kept:
        networks.step(batches[0], schedule.at([*phases.values()][-1]), True)
    every = validation_interval(config, data.steps_per_epoch, steps)
    precision = config.training.precision
    if precision == "auto":
        precision = "bf16" if computes_bf16(device) else "fp32"
    return DryRun(
        device=str(device),
        processes=processes,
        batch_size=config.data.train_batch_size,
        precision=precision,
        generator_parameters=_count(generator),
        discriminator_parameters=_count(discriminator),
        receptive_field_px=generator.receptive_field_px(),
        lasting_mb=lasting_bytes(networks) / 1e6,
        activations_mb=kept.peak_bytes / 1e6,
        peak_memory_mb=measured_mb,
        max_steps=steps,
        steps_per_epoch=data.steps_per_epoch,
        validation_every=every,
        schedule=_table(config, schedule, steps, seconds, validation / every),
        scenes=data.describe(),
        warnings=(*data.warnings, *slow_arithmetic(precision, device)),
        pretrain_seconds_per_step=seconds.get("pretrain"),
        adversarial_seconds_per_step=seconds.get("gan"),
        validation_seconds=validation,
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


def _validation_seconds(
    config: RunConfig, data: TrainingData, networks: Networks, device: torch.device, gan: bool
) -> float:
    step, precision = networks.step, config.training.precision
    validator = Validator(
        crops=data.validation(),
        config=config,
        device=device,
        adversarial=step.adversarial,
        perceptual=step.perceptual,
        offset=step.offset,
        arithmetic=lambda: arithmetic(precision, device),
    )
    started = time.perf_counter()
    validator.run(step.generator, step.discriminator if gan else None)
    return time.perf_counter() - started


def _table(
    config: RunConfig,
    schedule: Schedule,
    max_steps: int,
    seconds: dict[str, float],
    validation_share: float,
) -> list[ScheduleRow]:
    """A row per milestone; `validation_share` is a validation's time divided among its steps."""
    first = schedule.first_adversarial_step
    pretrain_steps = max_steps if first is None else min(first, max_steps)
    rows = []
    for step, text in schedule.milestones(max_steps):
        plan = schedule.at(min(step, max_steps - 1))
        before = min(step, pretrain_steps)
        spent = before * seconds.get("pretrain", 0.0) + (step - before) * seconds.get("gan", 0.0)
        rows.append(
            ScheduleRow(
                step=step,
                seconds=spent + step * validation_share,
                g_rate=config.optimizers.optim_g_lr * plan.g_rate_factor,
                d_rate=0.0 if plan.pretrain else config.optimizers.d_rate,
                adv_weight=plan.adv_weight,
                text=text,
            )
        )
    return rows


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
