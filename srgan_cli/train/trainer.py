"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from srgan_cli import runfolder as names
from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.prefetch import on_device
from srgan_cli.data.training import TrainingData
from srgan_cli.diagnose.report import Finding
from srgan_cli.errors import EXIT_FAILED, SrganError
from srgan_cli.runfolder import RunFolder
from srgan_cli.schedule import Plan, build_schedule
from srgan_cli.signals import StopRequest
from srgan_cli.train.best import Best
from srgan_cli.train.checkpoint import save_checkpoint
from srgan_cli.train.clock import Clock
from srgan_cli.train.distributed import Ranks
from srgan_cli.train.guard import Guard, consult, stopped_by
from srgan_cli.train.memory import Sweeper, peak_memory_mb
from srgan_cli.train.meter import Meter
from srgan_cli.train.networks import Networks
from srgan_cli.train.optim import get_rate, set_rate
from srgan_cli.train.panels import write_panel
from srgan_cli.train.progress import Reporter, headline
from srgan_cli.train.recorder import Recorder
from srgan_cli.train.state import (
    networks_state,
    own_states,
    restore_networks,
    restore_own_state,
)
from srgan_cli.train.validation import Validator, write_tiles
from srgan_cli.weights import WeightsInfo, save_weights


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
        ranks: Ranks,
    ) -> None:
        self.ranks = ranks
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
        self.travel = {names.G_TRAVEL: 0.0, names.D_TRAVEL: 0.0}
        self.step = 0
        """Steps done; the index of the next one."""
        self.best = Best(config, self.schedule, max_steps)
        self.guard = Guard(config, max_steps)
        self.validating = False
        """Whether it measures just now, not trains."""

    def run(self, reporter: Reporter, stop: StopRequest) -> None:
        """Train until `max_steps`, or until waiting for a better validation has an end.

        Raises:
            StoppedError: A signal asked for the end; everything is saved.
            SrganError: Too many steps in a row were not finite, or the guard stopped the run;
                everything is saved.
        """
        self.networks.step.generator.train()
        self.networks.step.discriminator.train()
        for batch in () if self.best.waited_enough else self._batches():
            self.ranks.announce(stop.signal_number)
            self._one_step(batch)
            if (self.step - 1) % self.config.logging.log_every == 0:
                self._log(self.schedule.at(self.step - 1), reporter)
            reporter.advance()
            finished = self.step == self.max_steps
            if self.step % self.val_every == 0 or finished:
                self._validate(reporter)
            if self._save_is_due() or finished or self.best.waited_enough:
                self.save()
            asked = self.ranks.agreed(stop.signal_number)
            if self.best.waited_enough:
                break
            if asked and not finished:
                self._end_early(stop, asked)
        self._finish(reporter)

    def _batches(self) -> Iterator[Batch]:
        read = self.data.train_batches(
            self.step, self.max_steps, self.ranks.rank, self.ranks.world, self.recorder.warn
        )
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
        self.travel[names.G_TRAVEL] += get_rate(gan.optimizer_g)
        if not plan.pretrain:
            self.travel[names.D_TRAVEL] += get_rate(gan.optimizer_d)
        if plan.ema_active and self.networks.ema is not None:
            self.networks.ema.update(gan.generator)
        self.step += 1
        self.clock.steps += 1

    def _log(self, plan: Plan, reporter: Reporter) -> None:
        means, skipped, in_a_row = self.meter.read(self.ranks.average)
        gan, ema = self.networks.step, self.networks.ema
        values = {
            names.PRETRAIN_PHASE: float(plan.pretrain),
            names.ADV_WEIGHT: plan.adv_weight,
            **means,
            names.G_RATE: get_rate(gan.optimizer_g),
            names.D_RATE: get_rate(gan.optimizer_d),
            **self.travel,
            names.SKIPPED_STEPS: float(skipped),
            **({names.EMA_DECAY: ema.beta()} if ema is not None and ema.active else {}),
            **self.clock.read(),
            names.PEAK_MEMORY: peak_memory_mb(self.validator.device),
        }
        self.recorder.train(plan.step, values)
        self.guard.add(plan.step, values)
        reporter.show(headline(values))
        self._hear_others()
        if in_a_row >= self.config.training.max_nonfinite_steps:
            self._give_up(in_a_row)

    def _hear_others(self) -> None:
        """Pass on what other ranks have to say: files that only they have met."""
        if self.ranks.world == 1:
            return
        told = [
            text for texts in self.ranks.gather(self.recorder.take_warnings()) for text in texts
        ]
        for text in dict.fromkeys(told):
            self.recorder.warn(text)

    def _give_up(self, in_a_row: int) -> None:
        self.save()
        self.recorder.event("stop", self.step, reason="nonfinite")
        error = SrganError(
            f"{in_a_row} steps in a row had a non-finite loss or gradient (step {self.step}); "
            "the weights are as they were before",
            "check the data for absurd values (Data.nodata, Data.normalization), lower "
            "Optimizers.optim_g_lr, or set Optimizers.gradient_clip_val to 0.5; then go on with "
            "--resume auto",
        )
        raise self.ranks.common(error)

    def _validate(self, reporter: Reporter) -> None:
        started = time.perf_counter()
        plan = self.schedule.at(self.step - 1)
        self.validating = True
        found, sr = self.validator.run(
            self.networks.best_generator,
            None if plan.pretrain else self.networks.step.discriminator,
        )
        self.validating = False
        if self.ranks.is_main:
            self._save_pictures(sr)
        found[names.VAL_SECONDS] = time.perf_counter() - started
        self._step_plateaus(plan, found, reporter)
        self.recorder.validation(self.step, found)
        self._keep_best(plan, found)
        self.export(self.folder.ema)
        reporter.say(
            f"step {self.step}: PSNR {found['val_metrics/psnr']:.2f} dB, "
            f"SSIM {found['val_metrics/ssim']:.4f}, L1 {found['val_metrics/l1']:.5f}"
        )
        # One process decides for all: clocks differ.
        self.guard.add(self.step, found)
        finding = consult(self.guard, self.step, self.recorder, reporter.say)
        if self.ranks.share(finding is not None):
            self._stop_for(finding)
        self.clock.since += time.perf_counter() - started

    def _save_pictures(self, sr: torch.Tensor) -> None:
        crops = self.validator.crops
        write_tiles(self.folder.tile_file(self.step), sr=sr)
        if not self.folder.reference_tiles.exists():
            write_tiles(self.folder.reference_tiles, lr=crops.lr, hr=crops.hr, valid=crops.valid)
        path = self.folder.image(self.step)
        if write_panel(path, crops, sr, self.config):
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
            found |= plateau.values(network)

    def _keep_best(self, plan: Plan, found: dict[str, float]) -> None:
        if self.best.take(self.step, plan, found):
            self.export(self.folder.best_pretrain if plan.pretrain else self.folder.best_gan)

    def _stop_for(self, finding: Finding | None) -> None:
        self.save()
        if finding is None:  # rank 0 has it, and tells
            raise SystemExit(EXIT_FAILED)
        self.recorder.event("stop", self.step, reason="guard", code=finding.code)
        raise stopped_by(finding, self.step)

    def _finish(self, reporter: Reporter) -> None:
        self._hear_others()
        self.export(self.folder.ema)
        if self.step < self.max_steps:
            reporter.say(
                f"step {self.step}: stopped early, {self.best.waited} validations without a better "
                f"{self.config.schedulers.metric_g}; a larger Training.early_stop_patience goes on"
            )
            self.recorder.event("stop", self.step, reason="early_stop")
        else:
            self.recorder.event("end", self.step)

    def _end_early(self, stop: StopRequest, signal_number: int) -> None:
        stop.signal_number = signal_number
        self.save()
        self.export(self.folder.ema)
        self.recorder.event("stop", self.step, reason="signal", signal=signal_number)
        if self.ranks.world > 1:
            # The first process that ends makes the launcher end the others.
            self.ranks.wait_for_all()
            stop.ignore_more()
        error = stop.stopped(
            f"everything up to step {self.step} is saved", "go on with --resume auto"
        )
        raise self.ranks.common(error)

    def export(self, path: Path) -> None:
        """Write the generator that validation used as a weights file."""
        if not self.ranks.is_main:
            return
        generator = self.networks.best_generator
        ema = self.networks.ema is not None and self.networks.ema.active
        info = WeightsInfo(**{**vars(self.info), "step": self.step, "ema": ema})
        save_weights(path, generator.state_dict(), info)

    def save(self) -> None:
        """Write a checkpoint, after the log that leads to it."""
        self.recorder.sync()
        training = self.config.training
        state = self.state_dict()
        if self.ranks.is_main:
            save_checkpoint(self.folder, self.step, state, training.keep_last, training.keep_every)
        # Whoever went on would wait on the device, whose patience is shorter.
        self.ranks.wait_for_all()

    def _save_is_due(self) -> bool:
        training = self.config.training
        return self.step % training.checkpoint_every == 0 or (
            training.keep_every is not None and self.step % training.keep_every == 0
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact resume needs."""
        return {
            "step": self.step,
            **networks_state(self.networks),
            "best": self.best.state_dict(),
            "guard": self.guard.state_dict(),
            **own_states(self.ranks, self.meter),
            "travel": dict(self.travel),
            # What a weights file needs beside the tensors: `srgan import` makes one of a checkpoint.
            "info": self.info.as_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; the log must have been read back before."""
        restore_networks(self.networks, state)
        self.best.load_state_dict(state["best"])
        self.guard.load_state_dict(state.get("guard", {}))
        self.travel |= state.get("travel", {})
        self.step = int(state["step"])
        seed = self.config.training.seed
        restore_own_state(state, self.ranks, self.meter, self.validator.device, seed)

    def measure_step(self, crops: int, divisor: int) -> float | None:
        """Bytes on the GPU at the peak of a step with so many crops of a part of their side.

        For advice at the end of a run: it changes the weights. None = out of memory.
        """
        gan = self.networks.step
        device = gan.offset.device
        self.meter = Meter()
        for optimizer in (gan.optimizer_g, gan.optimizer_d):
            optimizer.zero_grad(set_to_none=True)
        data, scale = self.config.data, self.config.generator.scaling_factor
        lr_px = data.hr_crop_px // scale // divisor
        lr = torch.zeros(crops, self.config.model.in_bands, lr_px, lr_px, device=device)
        hr = torch.zeros(*lr.shape[:2], lr_px * scale, lr_px * scale, device=device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            gan(Batch(lr, hr, hr[:, :1] + 1), self.schedule.at(self.step), True)
            return float(torch.cuda.max_memory_allocated(device))
        except RuntimeError:  # out of memory, or a network that needs its full crop
            return None


def validation_interval(config: RunConfig, steps_per_epoch: int, max_steps: int) -> int:
    """Steps between validations."""
    interval = config.training.val_check_interval
    steps = interval if isinstance(interval, int) else round(interval * steps_per_epoch)
    return min(max(steps, 1), max_steps)
