"""From a configuration to the networks of a run with everything that updates and judges them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from srgan_cli.config import RunConfig
from srgan_cli.data.radiometry import PerBand, of_band
from srgan_cli.errors import RefusedError
from srgan_cli.losses.adversarial import Adversarial
from srgan_cli.losses.perceptual import VGGLoss, default_bands
from srgan_cli.models import Generator, build_discriminator, build_generator, generator_spec
from srgan_cli.train.checkpoint import load_checkpoint
from srgan_cli.train.device import arithmetic
from srgan_cli.train.ema import EMA
from srgan_cli.train.optim import Plateau, build_adam
from srgan_cli.train.step import GanStep
from srgan_cli.weights import check_tensors, read_weights

Network = TypeVar("Network", bound=nn.Module)


@dataclass
class Networks:
    """What changes during a run."""

    step: GanStep
    ema: EMA | None
    plateau_g: Plateau
    plateau_d: Plateau

    @property
    def best_generator(self) -> Generator:
        """What validation and export use: the average once it is active, else the live network."""
        if self.ema is not None and self.ema.active:
            return self.ema.model  # type: ignore[return-value]  # a copy of the generator
        return self.step.generator


def build_networks(config: RunConfig, device: torch.device, offset: PerBand) -> Networks:
    """Freshly initialised networks on `device`; the initial weights depend on the seed alone.

    Args:
        config: The run.
        device: Where they live; also `meta`.
        offset: Network value of a stored 0, of all bands or of each.
    """
    torch.manual_seed(config.training.seed)
    generator = build_generator(generator_spec(config))
    discriminator = build_discriminator(config)
    if config.model.load_checkpoint is not None:
        load_weights_into(generator, Path(config.model.load_checkpoint))
    generator, discriminator = _place(generator, device), _place(discriminator, device)
    optim = config.optimizers
    betas_g = optim.betas_g or optim.betas
    optimizer_g = build_adam(generator, optim.optim_g_lr, betas_g, optim.eps, optim.weight_decay_g)
    optimizer_d = build_adam(
        discriminator, optim.d_rate, optim.betas, optim.eps, optim.weight_decay_d
    )
    precision = config.training.precision
    step = GanStep(
        generator=generator,
        discriminator=discriminator,
        optimizer_g=optimizer_g,
        optimizer_d=optimizer_d,
        losses=config.training.losses,
        adversarial=build_adversarial(config),
        perceptual=build_perceptual(config, device, offset),
        clip=optim.gradient_clip_val,
        offset=torch.tensor(offset, device=device).reshape(-1, 1, 1),
        arithmetic=lambda: arithmetic(precision, device),
    )
    section = config.training.ema
    ema = EMA(generator, section.decay, section.use_num_updates) if section.enabled else None
    return Networks(
        step=step,
        ema=ema,
        plateau_g=Plateau(optimizer_g, config, "g"),
        plateau_d=Plateau(optimizer_d, config, "d"),
    )


def _place(network: Network, device: torch.device) -> Network:
    return network.to(device).to(memory_format=torch.channels_last)


def build_adversarial(config: RunConfig) -> Adversarial:
    """The adversarial objective of a configuration."""
    losses = config.training.losses
    return Adversarial(
        kind=losses.adv_loss_type,
        relativistic=losses.relativistic_average_d,
        real_target=0.9 if config.training.label_smoothing else 1.0,
    )


def build_perceptual(config: RunConfig, device: torch.device, offset: PerBand) -> VGGLoss | None:
    """The perceptual loss, where its weight is not 0.

    Raises:
        RefusedError: Its weights are not there, or its metric is not available.
    """
    losses = config.training.losses
    if losses.perceptual_weight == 0:
        return None
    if losses.perceptual_metric != "vgg":
        raise RefusedError(
            f"Training.Losses.perceptual_metric {losses.perceptual_metric} is not available in "
            "this version",
            "set it to vgg",
        )
    path = config.truncated_vgg.weights
    bands = losses.fixed_idx or default_bands(config.model.in_bands)
    black = [of_band(offset, band) for band in bands]
    loss = VGGLoss(
        config.truncated_vgg.i,
        config.truncated_vgg.j,
        None if path is None else Path(path),
        bands,
        black,
        span=[losses.max_val - each for each in black],
    )
    return loss.to(device)


def load_weights_into(generator: nn.Module, path: Path) -> None:
    """Start from the weights of a .safetensors file or of a checkpoint (its average, if any).

    Raises:
        RefusedError: The file is unusable, or made for another network.
    """
    if path.suffix == ".safetensors":
        tensors = read_weights(path)[0]
    else:
        state = load_checkpoint(path)
        ema = state["ema"]
        use_ema = ema is not None and ema["num_updates"] > 0
        tensors = ema["model"] if use_ema else state["generator"]
    check_tensors(f"Model.load_checkpoint {path}", tensors, generator.state_dict())
    generator.load_state_dict(tensors)
