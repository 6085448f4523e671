"""How much a generator computes, from its layers."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from srgan_cli.models.generator import Generator


def macs_per_pixel(generator: Generator) -> tuple[float, float]:
    """Multiply-accumulates of all convolutions for one LR pixel: in the trunk, and in enlarging it."""
    enlarging = [layer for module in generator.enlarging() for layer in module.modules()]
    trunk = sum(_kernel(layer) for layer in generator.modules() if layer not in enlarging)
    per_cell = generator.size_multiple**2
    return trunk / per_cell, sum(_enlarging(enlarging)) / per_cell


def _enlarging(layers: list[nn.Module]) -> Iterator[float]:
    side = 1
    for layer in layers:
        if isinstance(layer, nn.PixelShuffle):
            side *= layer.upscale_factor
        elif isinstance(layer, nn.Upsample):
            side *= int(layer.scale_factor)  # type: ignore[arg-type]  # a number in ours
        yield _kernel(layer) * side**2


def _kernel(layer: nn.Module) -> int:
    return layer.weight.numel() if isinstance(layer, nn.Conv2d) else 0
