"""Generators and discriminators, and the two registries that name them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from srgan_cli.config import RunConfig
from srgan_cli.models.discriminators import ESRGANDiscriminator, PatchGAN, SRGANDiscriminator
from srgan_cli.models.esrgan import ESRGAN
from srgan_cli.models.generator import Generator, upsample
from srgan_cli.models.rrdbnet import RRDBNet
from srgan_cli.models.spec import GeneratorSpec
from srgan_cli.models.srresnet import SRResNetFlexible, SRResNetStandard
from srgan_cli.models.steady import Conv2d
from srgan_cli.models.stochastic import StochasticGenerator
from srgan_cli.models.unet import UNetDiscriminator

GENERATORS: dict[str, type[Generator]] = {
    "SRResNet/standard": SRResNetStandard,
    "SRResNet/res": SRResNetFlexible,
    "SRResNet/rcab": SRResNetFlexible,
    "SRResNet/rrdb": SRResNetFlexible,
    "SRResNet/lka": SRResNetFlexible,
    "rrdbnet": RRDBNet,
    "esrgan": ESRGAN,
    "stochastic_gan": StochasticGenerator,
}
"""`model_type`, with `/block_type` where the family has blocks."""

DISCRIMINATORS: dict[str, Callable[[RunConfig], nn.Module]] = {
    "standard": lambda config: SRGANDiscriminator(
        config.model.in_bands,
        config.discriminator.n_blocks or 8,
        config.discriminator.use_spectral_norm,
    ),
    "patchgan": lambda config: PatchGAN(
        config.model.in_bands,
        config.discriminator.n_blocks or 3,
        config.discriminator.base_channels,
    ),
    "esrgan": lambda config: ESRGANDiscriminator(
        config.model.in_bands,
        config.discriminator.base_channels,
        config.discriminator.linear_size,
    ),
    "unet": lambda config: UNetDiscriminator(
        config.model.in_bands,
        config.discriminator.base_channels,
        config.discriminator.use_spectral_norm,
    ),
}


def registry_name(spec: GeneratorSpec) -> str:
    """The generator's name in `GENERATORS`."""
    return f"SRResNet/{spec.block_type}" if spec.model_type == "SRResNet" else spec.model_type


def build_generator(spec: GeneratorSpec) -> Generator:
    """A freshly initialised generator; KeyError for a name that is not in `GENERATORS`."""
    generator = GENERATORS[registry_name(spec)](spec)
    # On the grid of the SR, wherever in the scene a tile begins.
    last = generator.last_layer()
    if isinstance(last, Conv2d):
        last.on_even_grid = spec.scale % 2 == 0
    return generator


def build_discriminator(config: RunConfig) -> nn.Module:
    """A freshly initialised discriminator."""
    return DISCRIMINATORS[config.discriminator.model_type](config)


def generator_spec(config: RunConfig) -> GeneratorSpec:
    """The generator that a configuration describes, defaults resolved."""
    section, bands = config.generator, config.model.in_bands
    default_blocks = 23 if section.model_type in ("esrgan", "rrdbnet") else 16
    return GeneratorSpec(
        model_type=section.model_type,
        block_type=section.block_type,
        in_bands=bands,
        out_bands=section.out_channels or bands,
        scale=section.scaling_factor,
        n_channels=section.n_channels,
        n_blocks=section.n_blocks or default_blocks,
        large_kernel_size=section.large_kernel_size,
        small_kernel_size=section.small_kernel_size,
        growth_channels=section.growth_channels,
        res_scale=section.res_scale,
        noise_dim=section.noise_dim,
        use_icnr=section.use_icnr,
        global_skip=section.global_skip,
        # Real-ESRGAN's rule: its trunk makes 4 x 4 pixels of one.
        fold=max(4 // section.scaling_factor, 1) if section.model_type == "rrdbnet" else 1,
    )


__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "Generator",
    "GeneratorSpec",
    "build_discriminator",
    "build_generator",
    "generator_spec",
    "registry_name",
    "upsample",
]
