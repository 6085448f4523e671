"""RRDBNet, the ESRGAN generator of BasicSR and Real-ESRGAN (Wang et al. 2018, 2021).

Keys and numerics are theirs, so that their checkpoints load here and ours open wherever theirs do.
It differs from `esrgan`, which is OpenSR-SRGAN's: every dense block has its own residual, and the
upsampling is nearest neighbour and a convolution, which has no checkerboard to avoid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

from srgan_cli.models.blocks import conv
from srgan_cli.models.generator import Generator
from srgan_cli.models.init import small_kaiming_
from srgan_cli.models.spec import GeneratorSpec

_RESIDUAL = 0.2


class ResidualDenseBlock(nn.Module):
    """x + 0.2 * five densely connected convolutions."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, growth)
        self.conv2 = conv(channels + growth, growth)
        self.conv3 = conv(channels + 2 * growth, growth)
        self.conv4 = conv(channels + 3 * growth, growth)
        self.conv5 = conv(channels + 4 * growth, channels)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features.append(self.act(layer(torch.cat(features, dim=1))))
        out: Tensor = self.conv5(torch.cat(features, dim=1)) * _RESIDUAL + x
        return out


class ResidualInResidual(nn.Module):
    """x + 0.2 * three dense blocks."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(channels, growth)
        self.rdb2 = ResidualDenseBlock(channels, growth)
        self.rdb3 = ResidualDenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rdb3(self.rdb2(self.rdb1(x))) * _RESIDUAL + x
        return out


class RRDBNet(Generator):
    """`model_type: rrdbnet`.

    With a `fold` the input first shrinks to a half or a quarter of its size (PixelUnshuffle), as in
    Real-ESRGAN at scales 2 and 1: the trunk works at a quarter of the output's size whatever the
    scale, and costs accordingly less.
    """

    layers_in_order = True

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        width, growth, fold = spec.n_channels, spec.growth_channels, spec.fold
        self.unshuffle = nn.PixelUnshuffle(fold)
        self.conv_first = conv(spec.in_bands * fold**2, width)
        self.body = nn.Sequential(
            *(ResidualInResidual(width, growth) for _ in range(spec.n_blocks))
        )
        self.conv_body = conv(width, width)
        self.num_stages = (spec.scale * fold).bit_length() - 1
        for stage in range(1, self.num_stages + 1):
            nearest, conv_up = nn.Upsample(scale_factor=2), conv(width, width)
            self.add_module(f"nearest{stage}", nearest)
            self.add_module(f"conv_up{stage}", conv_up)
        self.conv_hr = conv(width, width)
        self.act = nn.LeakyReLU(0.2, inplace=True)
        self.conv_last = conv(width, spec.out_bands)
        small_kaiming_(self.body)
        self.start_at_skip_()

    @property
    def size_multiple(self) -> int:
        return self.spec.fold

    def features(self, lr: Tensor) -> Tensor:
        first = self.conv_first(self.unshuffle(pad_to_multiple(lr, self.size_multiple)))
        out: Tensor = first + self.conv_body(self.body(first))
        return out

    def enlarge(self, features: Tensor) -> Tensor:
        for stage in range(1, self.num_stages + 1):
            nearest = self.get_submodule(f"nearest{stage}")
            features = self.act(self.get_submodule(f"conv_up{stage}")(nearest(features)))
        out: Tensor = self.conv_last(self.act(self.conv_hr(features)))
        return out

    def enlarging(self) -> list[nn.Module]:
        stages = [
            self.get_submodule(f"{name}{stage}")
            for stage in range(1, self.num_stages + 1)
            for name in ("nearest", "conv_up")
        ]
        return [*stages, self.conv_hr, self.conv_last]

    def last_layer(self) -> nn.Conv2d:
        return self.conv_last


def pad_to_multiple(lr: Tensor, multiple: int) -> Tensor:
    """`lr` (B, C, h, w) continued to the right and below: mirrored, or repeated where too small."""
    height, width = lr.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not (below or right):
        return lr
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(lr, (0, right, 0, below), mode=mode)
