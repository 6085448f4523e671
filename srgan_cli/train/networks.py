"""From a configuration to the networks of a run with everything that updates and judges them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.data.radiometry import PerBand, of_band
from srgan_cli.errors import RefusedError
from srgan_cli.losses.adversarial import Adversarial
from srgan_cli.losses.imagenet import rgb_bands
from srgan_cli.losses.lpips import LPIPSLoss
from srgan_cli.losses.perceptual import VGGLoss
from srgan_cli.models import Generator, build_discriminator, build_generator, generator_spec
from srgan_cli.models.spectral import modern_names
from srgan_cli.peers.containers import open_checkpoint
from srgan_cli.peers.renaming import modern_generator
from srgan_cli.train.device import arithmetic, check_compiler, hand_over
from srgan_cli.train.distributed import ALONE, Ranks
from srgan_cli.train.ema import EMA
from srgan_cli.train.memory import recompute_blocks_
from srgan_cli.train.optim import Plateau, build_adam
from srgan_cli.train.step import GanStep
from srgan_cli.weights import check_tensors, is_weights_file, read_weights

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

    def hand_over(self, batch: Batch) -> Batch:
        """The batch where the networks are, as they like it."""
        return hand_over(batch, self.step.offset.device, self.step.generator.channels_last)


def _silent(_: str) -> None:
    """Where nobody listens."""


def build_networks(
    config: RunConfig,
    device: torch.device,
    offset: PerBand,
    warn: Callable[[str], None] = _silent,
    ranks: Ranks = ALONE,
) -> Networks:
    """Freshly initialised networks on `device`; the initial weights depend on the seed alone.

    Args:
        config: The run.
        device: Where they live; also `meta`.
        offset: Network value of a stored 0, of all bands or of each.
        warn: Takes warnings.
        ranks: The processes that train them together.
    """
    torch.manual_seed(config.training.seed)
    generator = build_generator(generator_spec(config))
    discriminator = build_discriminator(config)
    if config.model.load_checkpoint is not None:
        start = Path(config.model.load_checkpoint)
        warning = load_weights_into(generator, discriminator, start)
        if warning:
            warn(warning)
    generator.pool_locally_(config.data.hr_crop_px // config.generator.scaling_factor)
    if ranks.world > 1:
        generator = _with_synchronised_norms(generator, config, device, warn)
        discriminator = _with_synchronised_norms(discriminator, config, device, warn)
    generator = _place(generator, device, generator.channels_last)
    discriminator = _place(discriminator, device, _judges_in_channels_last(discriminator, device))
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
        adversarial=replace(build_adversarial(config), average=ranks.average_with_gradient),
        perceptual=build_perceptual(config, device, offset),
        clip=optim.gradient_clip_val,
        offset=torch.tensor(offset, device=device).reshape(-1, 1, 1),
        arithmetic=lambda: arithmetic(precision, device),
        accumulate=config.training.accumulate_steps,
        ranks=ranks,
    )
    section = config.training.ema
    ema = EMA(generator, section.decay, section.use_num_updates) if section.enabled else None
    # After the average was copied, which is never trained.
    if config.training.checkpoint_blocks:
        recompute_blocks_(generator)
    if config.training.compile:
        check_compiler(device)
        step.compile()
    if ranks.rank > 0:
        # The same weights everywhere, but noise of its own.
        torch.manual_seed(config.training.seed + ranks.rank)
    return Networks(
        step=step,
        ema=ema,
        plateau_g=Plateau(optimizer_g, config, "g"),
        plateau_d=Plateau(optimizer_d, config, "d"),
    )


def _with_synchronised_norms(
    network: Network, config: RunConfig, device: torch.device, warn: Callable[[str], None]
) -> Network:
    """Batch norms that see the whole batch, where that is wanted and the device can."""
    norms = any(isinstance(module, _BatchNorm) for module in network.modules())
    if not norms or not config.training.sync_batch_norm:
        return network
    if device.type == "cpu":
        warn(
            f"Training.sync_batch_norm: torch has none for the CPU; the batch norms of the "
            f"{type(network).__name__} see each process's part of a batch by itself"
        )
        return network
    found: Network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return found


def _place(network: Network, device: torch.device, channels_last: bool) -> Network:
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def _judges_in_channels_last(discriminator: nn.Module, device: torch.device) -> bool:
    """Convolutions like the channels-last layout; instance norm, on the CPU, copies out of it."""
    norms = any(isinstance(module, nn.InstanceNorm2d) for module in discriminator.modules())
    return device.type != "cpu" or not norms


def build_adversarial(config: RunConfig) -> Adversarial:
    """The adversarial objective of a configuration."""
    losses = config.training.losses
    return Adversarial(
        kind=losses.adv_loss_type,
        relativistic=losses.relativistic_average_d,
        real_target=0.9 if config.training.label_smoothing else 1.0,
    )


def build_perceptual(
    config: RunConfig, device: torch.device, offset: PerBand
) -> VGGLoss | LPIPSLoss | None:
    """The perceptual loss, where its weight is not 0.

    Raises:
        RefusedError: Its weights or its package are not there.
    """
    losses = config.training.losses
    if losses.perceptual_weight == 0:
        return None
    bands = rgb_bands(losses.fixed_idx, config.model.in_bands)
    black = [of_band(offset, band) for band in bands]
    span = [losses.max_val - each for each in black]
    if losses.perceptual_metric == "lpips":
        return LPIPSLoss(_path(losses.lpips_weights), bands, black, span).to(device)
    vgg = config.truncated_vgg
    return VGGLoss(vgg.i, vgg.j, _path(vgg.weights), bands, black, span).to(device)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def load_weights_into(generator: Generator, discriminator: nn.Module, path: Path) -> str:
    """Start from the weights of a .safetensors file or of a checkpoint, another tool's too.

    Of a checkpoint the moving average is taken, if it has one, and the discriminator, if it has one
    like the run's.

    Returns:
        What a person should hear about it, or an empty string.

    Raises:
        RefusedError: The file is unusable, or made for another generator.
    """
    source, judge = f"Model.load_checkpoint {path}", {}
    if is_weights_file(path):
        tensors = read_weights(path)[0]
    else:
        checkpoint = open_checkpoint(path)
        tensors = modern_generator(checkpoint.generator()[0])
        judge = modern_names(checkpoint.discriminator)
    hint = "set the Generator section to the network it was made for; srgan weights FILE tells it"
    check_tensors(source, tensors, generator.state_dict(), hint)
    generator.load_state_dict(tensors)
    if not judge:
        return ""
    try:
        check_tensors(source, judge, discriminator.state_dict())
    except RefusedError:
        return f"{source}: its discriminator is another one than the run's, which starts anew"
    discriminator.load_state_dict(judge)
    return ""
