"""Combinations that work and usually go wrong: warnings, each with the training guide's reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from srgan_cli.config.schema import RunConfig

Risk = tuple[str, str]

HIGH_RATE: Final = 1e-3
"""Generator rates from here on explode right after random initialisation without a warm-up."""
EMA_SHARE: Final = 0.25
"""An average with a half-life above this share of its run still shows the start of the run."""


def risks(config: RunConfig) -> list[Risk]:
    """(dotted key, text) of every risky combination."""
    return [
        *_imagery(config),
        *_length(config),
        *_pretraining(config),
        *_discriminator(config),
        *_optimizers(config),
        *_generator(config),
        *_perceptual(config),
        *_ema(config),
    ]


def _gan_starts(config: RunConfig) -> bool:
    training = config.training
    if not training.pretrain_g_only:
        return True
    steps = training.g_pretrain_steps
    return steps >= 0 and (training.max_steps is None or steps < training.max_steps)


def _imagery(config: RunConfig) -> Iterator[Risk]:
    data = config.data
    if data.dataset_type == "GeoTIFF" and not data.hr and not data.pairs:
        yield "Data.hr", "empty: there is no imagery to train on; name files, folders or patterns"


def _length(config: RunConfig) -> Iterator[Risk]:
    training, steps = config.training, config.training.max_steps
    every = training.val_check_interval
    if isinstance(every, float):
        if steps is None and every > training.max_epochs:
            text = f"{every:g} passes, but the run has {training.max_epochs}: it is never validated on the way"
            yield "Training.val_check_interval", text
    elif steps is not None and every > steps:
        text = f"{every} steps, but the run has {steps}: it is never validated on the way"
        yield "Training.val_check_interval", text
    patience, cut = training.early_stop_patience, config.schedulers.patience_g
    if 0 < patience <= cut:
        text = f"{patience} is not above Schedulers.patience_g {cut}: the run ends before the generator's rate is ever cut"
        yield "Training.early_stop_patience", text
    warmup = config.schedulers.g_warmup_steps
    if steps is not None and warmup >= steps:
        text = f"{warmup} steps, but the run has {steps}: the generator's rate never reaches its full value"
        yield "Schedulers.g_warmup_steps", text


def _pretraining(config: RunConfig) -> Iterator[Risk]:
    training, steps = config.training, config.training.max_steps
    key = "Training.g_pretrain_steps"
    pretrain = training.g_pretrain_steps if training.pretrain_g_only else 0
    if pretrain < 0:
        yield key, "-1: pretraining never ends, so the GAN never starts; only L1 is optimised"
    elif steps is not None and pretrain >= steps:
        text = (
            f"{pretrain}, but the run has {steps} steps: the GAN never starts; only L1 is optimised"
        )
        yield key, text
    elif steps is not None and pretrain + training.adv_loss_ramp_steps > steps:
        end = pretrain + training.adv_loss_ramp_steps
        text = f"the ramp ends at step {end}, after the run ({steps}): the adversarial weight never reaches adv_loss_beta"
        yield "Training.adv_loss_ramp_steps", text
    started = config.model.load_checkpoint or config.model.continue_training
    if pretrain == 0 and not started:
        key = key if training.pretrain_g_only else "Training.pretrain_g_only"
        text = "pretraining is off: the discriminator tells an untrained generator's images at once and overpowers it"
        yield key, text


def _discriminator(config: RunConfig) -> Iterator[Risk]:
    if not _gan_starts(config):
        return
    losses, network = config.training.losses, config.discriminator
    if losses.adv_loss_beta == 0:
        text = "0: a discriminator is trained, but the generator never hears of it"
        yield "Training.Losses.adv_loss_beta", text
    spectral = network.model_type == "standard" and network.use_spectral_norm
    if losses.adv_loss_type == "wasserstein" and not spectral and losses.r1_gamma == 0:
        text = "wasserstein, but nothing bounds the discriminator; set r1_gamma above 0, or Discriminator.model_type standard with use_spectral_norm"
        yield "Training.Losses.adv_loss_type", text


def _optimizers(config: RunConfig) -> Iterator[Risk]:
    optimizers, schedulers = config.optimizers, config.schedulers
    g_rate, d_rate = optimizers.optim_g_lr, optimizers.d_rate
    if schedulers.g_warmup_steps == 0 and g_rate >= HIGH_RATE:
        text = f"0 with optim_g_lr {g_rate:g}: without a warm-up, gradients explode right after random initialisation"
        yield "Schedulers.g_warmup_steps", text
    if schedulers.min_lr_g >= g_rate:
        text = f"{schedulers.min_lr_g:g} is not below optim_g_lr {g_rate:g}: a plateau never cuts the rate"
        yield "Schedulers.min_lr_g", text
    if not _gan_starts(config):
        return
    # The factor keeps rates that are exactly half from failing by rounding.
    if d_rate > 0.5 * g_rate * (1 + 1e-9):
        text = f"{d_rate:g} is more than half of optim_g_lr {g_rate:g}: the discriminator overpowers the generator and checkerboards appear; use {g_rate / 2:g} or less"
        yield "Optimizers.optim_d_lr", text
    if optimizers.gradient_clip_val == 0:
        text = "0 = off: spikes of the discriminator make updates unstable; 0.5 to 1.0 work well"
        yield "Optimizers.gradient_clip_val", text
    if optimizers.betas[0] > 0.5:
        text = f"first beta {optimizers.betas[0]:g}: in the adversarial phase, momentum above 0.5 is stale; use (0.0, 0.99), and betas_g for the generator alone"
        yield "Optimizers.betas", text
    if schedulers.min_lr_d >= d_rate:
        text = f"{schedulers.min_lr_d:g} is not below optim_d_lr {d_rate:g}: a plateau never cuts the rate"
        yield "Schedulers.min_lr_d", text


def _generator(config: RunConfig) -> Iterator[Risk]:
    if not config.generator.use_icnr and config.generator.scaling_factor > 1:
        yield "Generator.use_icnr", "false: PixelShuffle starts with a checkerboard in flat areas"


def _perceptual(config: RunConfig) -> Iterator[Risk]:
    losses, bands = config.training.losses, config.model.in_bands
    if losses.fixed_idx is None and losses.perceptual_weight > 0 and bands > 3:
        text = f"not given: of {bands} bands, the perceptual loss takes the first three for R, G, B; say which, for example [0, 1, 2]"
        yield "Training.Losses.fixed_idx", text


def _ema(config: RunConfig) -> Iterator[Risk]:
    ema, steps = config.training.ema, config.training.max_steps
    if not ema.enabled or steps is None:
        return
    num_updates = steps - ema.update_after_step
    if num_updates <= 0:
        text = f"{ema.update_after_step}, but the run has {steps} steps: the average never starts"
        yield "Training.EMA.update_after_step", text
        return
    decay = ema.decay
    if ema.use_num_updates:
        decay = min(decay, (1 + num_updates) / (10 + num_updates))
    half_life = math.log(0.5) / math.log(decay) if decay > 0 else 0.0
    if half_life > EMA_SHARE * num_updates:
        text = f"{ema.decay:g} forgets half in {half_life:.0f} steps, but only {num_updates} are averaged: the average lags behind; use {0.5 ** (1 / (0.1 * num_updates)):.4g} or use_num_updates"
        yield "Training.EMA.decay", text
