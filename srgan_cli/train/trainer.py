"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from srgan_cli import runfolder as names
from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.prefetch import on_device
from srgan_cli.data.training import TrainingData
from srgan_cli.errors import SrganError
from srgan_cli.runfolder import RunFolder
from srgan_cli.schedule import Plan, build_schedule
from srgan_cli.signals import StopRequest
from srgan_cli.train.checkpoint import save_checkpoint
from srgan_cli.train.memory import Sweeper, peak_memory_mb
from srgan_cli.train.meter import Meter
from srgan_cli.train.networks import Networks
from srgan_cli.train.optim import HIGHER_IS_BETTER, get_rate, set_rate
from srgan_cli.train.panels import write_panel
from srgan_cli.train.recorder import Recorder
from srgan_cli.train.validation import Validator, write_tiles
from srgan_cli.weights import WeightsInfo, save_weights


class Reporter(Protocol):
    """Where a person follows the run."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """So many more steps are done; `text` tells the numbers that matter."""

    def say(self, text: str) -> None:
        """Something worth a line."""


@dataclass
class Clock:
    """Wall time of the steps and of waiting for data since the last `read`."""

    steps: int = 0
    waited: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def read(self) -> dict[str, float]:
        """Mean seconds per step and per wait; starts anew."""
        now, steps = time.perf_counter(), max(self.steps, 1)
        found = {
            names.STEP_SECONDS: (now - self.since) / steps,
            names.DATA_SECONDS: self.waited / steps,
        }
        self.steps, self.waited, self.since = 0, 0.0, now
        return found


class Trainer:
    """Runs the plan step by step; logs, validates, saves, and stops when asked."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        data: TrainingData,
        networks: Networks,
        validator: Validator,
        recorder: Recorder,
        info: WeightsInfo,
        max_steps: int,
    ) -> None:
        self.config = config
        self.folder = folder
        self.data = data
        self.networks = networks
        self.validator = validator
        self.recorder = recorder
        self.info = info
        self.max_steps = max_steps
        self.val_every = validation_interval(config, data.steps_per_epoch, max_steps)
        self.schedule = build_schedule(config)
        self.meter = Meter()
        self.clock = Clock()
        self.step = 0
        """Steps done; the index of the next one."""
        self.best = {"pretrain": math.nan, "gan": math.nan}

    def run(self, reporter: Reporter, stop: StopRequest) -> None:
        """Train until `max_steps`.

        Raises:
            StoppedError: A signal asked for the end; everything is saved.
            SrganError: Too many steps in a row were not finite; everything is saved.
        """
        self.networks.step.generator.train()
        self.networks.step.discriminator.train()
        for batch in self._batches():
            self._one_step(batch)
            if (self.step - 1) % self.config.logging.log_every == 0:
                self._log(self.schedule.at(self.step - 1), reporter)
            reporter.advance()
            finished = self.step == self.max_steps
            if self.step % self.val_every == 0 or finished:
                self._validate(reporter)
            if self.step % self.config.training.checkpoint_every == 0 or finished:
                self.save()
            if stop and not finished:
                self._end_early(stop)
        self.export(self.folder.ema)
        self.recorder.event("end", self.step)

    def _batches(self) -> Iterator[Batch]:
        read = self.data.train_batches(self.step, self.max_steps, warn=self.recorder.warn)
        batches = on_device(read, self.validator.device)
        with Sweeper() as sweeper:
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                self.clock.waited += time.perf_counter() - asked
                if batch is None:
                    return
                yield self.networks.hand_over(batch)
                sweeper.step_done()

    def _one_step(self, batch: Batch) -> None:
        plan = self.schedule.at(self.step)
        gan = self.networks.step
        if self.step <= self.schedule.warmup_steps:
            # Afterwards the rate belongs to the plateau scheduler.
            set_rate(gan.optimizer_g, self.config.optimizers.optim_g_lr * plan.g_rate_factor)
        if self.step == self.schedule.first_adversarial_step and self.step > 0:
            self.networks.plateau_g.forget_best()
        measure = self.step % self.config.logging.log_every == 0
        self.meter.add(gan(batch, plan, measure))
        if plan.ema_active and self.networks.ema is not None:
            self.networks.ema.update(gan.generator)
        self.step += 1
        self.clock.steps += 1

    def _log(self, plan: Plan, reporter: Reporter) -> None:
        means, skipped, in_a_row = self.meter.read()
        gan, ema = self.networks.step, self.networks.ema
        values = {
            names.PRETRAIN_PHASE: float(plan.pretrain),
            names.ADV_WEIGHT: plan.adv_weight,
            **means,
            names.G_RATE: get_rate(gan.optimizer_g),
            names.D_RATE: get_rate(gan.optimizer_d),
            names.SKIPPED_STEPS: float(skipped),
            **({names.EMA_DECAY: ema.beta()} if ema is not None and ema.active else {}),
            **self.clock.read(),
            "system/peak_memory_mb": peak_memory_mb(self.validator.device),
        }
        self.recorder.train(plan.step, values)
        reporter.advance(0, _headline(plan, values))
        if in_a_row >= self.config.training.max_nonfinite_steps:
            self._give_up(in_a_row)

    def _give_up(self, in_a_row: int) -> None:
        self.save()
        self.recorder.event("stop", self.step, reason="nonfinite")
        raise SrganError(
            f"{in_a_row} steps in a row had a non-finite loss or gradient (step {self.step}); "
            "the weights are as they were before",
            "check the data for absurd values (Data.nodata, Data.normalization), lower "
            "Optimizers.optim_g_lr, or set Optimizers.gradient_clip_val to 0.5; then go on with "
            "--resume auto",
        )

    def _validate(self, reporter: Reporter) -> None:
        started = time.perf_counter()
        plan = self.schedule.at(self.step - 1)
        found, sr = self.validator.run(
            self.networks.best_generator,
            None if plan.pretrain else self.networks.step.discriminator,
        )
        self._save_pictures(sr)
        found[names.VAL_SECONDS] = time.perf_counter() - started
        self.recorder.validation(self.step, found)
        self._step_plateaus(plan, found, reporter)
        self._keep_best(plan, found)
        self.export(self.folder.ema)
        reporter.say(
            f"step {self.step}: PSNR {found['val_metrics/psnr']:.2f} dB, "
            f"SSIM {found['val_metrics/ssim']:.4f}, L1 {found['val_metrics/l1']:.5f}"
        )
        self.clock.since += time.perf_counter() - started

    def _save_pictures(self, sr: torch.Tensor) -> None:
        crops = self.validator.crops
        write_tiles(self.folder.tile_file(self.step), sr=sr)
        if not self.folder.reference_tiles.exists():
            write_tiles(self.folder.reference_tiles, lr=crops.lr, hr=crops.hr, valid=crops.valid)
        if self.config.logging.num_val_images:
            path = self.folder.image(self.step)
            bands = (0, 1, 2) if sr.shape[1] >= 3 else (0,)
            scale = self.config.generator.scaling_factor
            write_panel(path, crops, sr, scale, bands, self.config.logging.num_val_images)
            self.recorder.panel(self.step, path)

    def _step_plateaus(self, plan: Plan, found: dict[str, float], reporter: Reporter) -> None:
        gan = self.networks.step
        due = []
        if self.step >= self.schedule.warmup_steps:
            due.append(("generator", self.networks.plateau_g, gan.optimizer_g))
        if not plan.pretrain:
            due.append(("discriminator", self.networks.plateau_d, gan.optimizer_d))
        for network, plateau, optimizer in due:
            if plateau.step(found):
                rate = get_rate(optimizer)
                self.recorder.event("rate_cut", self.step, network=network, rate=rate)
                reporter.say(f"step {self.step}: {network} rate cut to {rate:.3g} (plateau)")

    def _keep_best(self, plan: Plan, found: dict[str, float]) -> None:
        """Best of each phase by itself: adversarial training raises L1 on purpose."""
        phase = "pretrain" if plan.pretrain else "gan"
        full = self.schedule.full_adversarial_step
        if phase == "gan" and full is not None and self.step < min(full, self.max_steps):
            return
        perceptual = phase == "gan" and self.config.training.losses.perceptual_weight > 0
        metric = "val_metrics/perceptual" if perceptual else self.config.schedulers.metric_g
        value = found.get(metric, math.nan)
        if not math.isfinite(value):
            return
        score = -value if metric in HIGHER_IS_BETTER else value
        if math.isnan(self.best[phase]) or score < self.best[phase]:
            self.best[phase] = score
            best = self.folder.best_pretrain if plan.pretrain else self.folder.best_gan
            self.export(best)

    def _end_early(self, stop: StopRequest) -> None:
        self.save()
        self.export(self.folder.ema)
        self.recorder.event("stop", self.step, reason="signal", signal=stop.signal_number)
        raise stop.stopped(
            f"everything up to step {self.step} is saved", "go on with --resume auto"
        )

    def export(self, path: Path) -> None:
        """Write the generator that validation used as a weights file."""
        generator = self.networks.best_generator
        ema = self.networks.ema is not None and self.networks.ema.active
        info = WeightsInfo(**{**vars(self.info), "step": self.step, "ema": ema})
        save_weights(path, generator.state_dict(), info)

    def save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(self.folder, self.step, self.state_dict(), self.config.training.keep_last)

    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact resume needs."""
        gan, ema = self.networks.step, self.networks.ema
        return {
            "step": self.step,
            "generator": gan.generator.state_dict(),
            "discriminator": gan.discriminator.state_dict(),
            "ema": None if ema is None else ema.state_dict(),
            "optimizer_g": gan.optimizer_g.state_dict(),
            "optimizer_d": gan.optimizer_d.state_dict(),
            "plateau_g": self.networks.plateau_g.state_dict(),
            "plateau_d": self.networks.plateau_d.state_dict(),
            "best": self.best,
            "meter": self.meter.state_dict(),
            "random": random_state(),
            # What a weights file needs beside the tensors: `srgan import` makes one of a checkpoint.
            "info": self.info.as_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        gan, ema = self.networks.step, self.networks.ema
        gan.generator.load_state_dict(state["generator"])
        gan.discriminator.load_state_dict(state["discriminator"])
        if ema is not None and state["ema"] is not None:
            ema.load_state_dict(state["ema"])
        gan.optimizer_g.load_state_dict(state["optimizer_g"])
        gan.optimizer_d.load_state_dict(state["optimizer_d"])
        self.networks.plateau_g.load_state_dict(state["plateau_g"])
        self.networks.plateau_d.load_state_dict(state["plateau_d"])
        self.best = dict(state["best"])
        self.meter.load_state_dict(state["meter"], self.validator.device)
        self.step = int(state["step"])
        restore_random_state(state["random"])


def _headline(plan: Plan, values: dict[str, float]) -> str:
    parts = [
        "pretrain" if plan.pretrain else "gan",
        f"L1 {values.get('train_metrics/l1', math.nan):.4f}",
    ]
    if not plan.pretrain:
        real, fake = values.get(names.D_REAL, math.nan), values.get(names.D_FAKE, math.nan)
        parts.append(f"D(y) {real:.2f} D(G(x)) {fake:.2f}")
    parts.append(f"{values[names.STEP_SECONDS]:.2f} s/step")
    return "  ".join(parts)


def validation_interval(config: RunConfig, steps_per_epoch: int, max_steps: int) -> int:
    """Steps between validations."""
    interval = config.training.val_check_interval
    steps = interval if isinstance(interval, int) else round(interval * steps_per_epoch)
    return min(max(steps, 1), max_steps)


def random_state() -> dict[str, Any]:
    """The state of torch's generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`; CUDA's only where as many devices are there."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
