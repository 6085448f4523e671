"""SRResNet (Ledig et al. 2017) and its family with other blocks, keys as OpenSR-SRGAN."""

from __future__ import annotations

from torch import Tensor, nn

from srgan_cli.models.blocks import RCAB, RRDB, LKABlock, ResBlock, conv, upsampler
from srgan_cli.models.generator import Generator
from srgan_cli.models.init import icnr_upsamplers_
from srgan_cli.models.spec import GeneratorSpec
from srgan_cli.models.steady import Tanh


class ConvBlock(nn.Module):
    """Convolution, optional batch norm, optional PReLU or Tanh."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, norm: bool, act: nn.Module | None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(in_channels, out_channels, kernel)]
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        if act is not None:
            layers.append(act)
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_block(x)
        return out


class BatchNormBlock(nn.Module):
    """x + BN(Conv(PReLU(BN(Conv(x)))))."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_block1 = ConvBlock(channels, channels, kernel, norm=True, act=nn.PReLU())
        self.conv_block2 = ConvBlock(channels, channels, kernel, norm=True, act=None)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block2(self.conv_block1(x))
        return out


class SubPixelBlock(nn.Module):
    """Convolution to four times the channels, PixelShuffle 2, PReLU."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = conv(channels, 4 * channels, kernel)
        self.shuffle = nn.PixelShuffle(2)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(self.shuffle(self.conv(x)))
        return out


class StandardTrunk(nn.Module):
    """The layers of the original SRResNet, Tanh at the end."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        width, small, large = spec.n_channels, spec.small_kernel_size, spec.large_kernel_size
        self.conv_block1 = ConvBlock(spec.in_bands, width, large, norm=False, act=nn.PReLU())
        self.residual_blocks = nn.Sequential(
            *(BatchNormBlock(width, small) for _ in range(spec.n_blocks))
        )
        self.conv_block2 = ConvBlock(width, width, small, norm=True, act=None)
        stages = spec.scale.bit_length() - 1
        self.subpixel_convolutional_blocks = nn.Sequential(
            *(SubPixelBlock(width, small) for _ in range(stages))
        )
        self.conv_block3 = ConvBlock(width, spec.out_bands, large, norm=False, act=Tanh())

    def features(self, lr: Tensor) -> Tensor:
        head = self.conv_block1(lr)
        out: Tensor = head + self.conv_block2(self.residual_blocks(head))
        return out

    def enlarge(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv_block3(self.subpixel_convolutional_blocks(features))
        return out


class SRResNetStandard(Generator):
    """`block_type: standard`."""

    layers_in_order = True

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        self.net = StandardTrunk(spec)
        if spec.use_icnr:
            icnr_upsamplers_(self)
        self.start_at_skip_()

    def features(self, lr: Tensor) -> Tensor:
        return self.net.features(lr)

    def enlarge(self, features: Tensor) -> Tensor:
        return self.net.enlarge(features)

    def trunk(self) -> list[nn.Module]:
        return list(self.net.residual_blocks.children())

    def enlarging(self) -> list[nn.Module]:
        return [self.net.subpixel_convolutional_blocks, self.net.conv_block3]

    def last_layer(self) -> nn.Conv2d:
        layer = self.net.conv_block3.conv_block[0]
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(type(layer))
        return layer


def rrdb_growth(channels: int) -> int:
    """Channels that every convolution of a dense block adds: OpenSR-SRGAN's rule."""
    return max(16, channels // 3)


def _block(spec: GeneratorSpec) -> nn.Module:
    width, kernel = spec.n_channels, spec.small_kernel_size
    if spec.block_type == "res":
        return ResBlock(width, kernel)
    if spec.block_type == "rcab":
        return RCAB(width, kernel)
    if spec.block_type == "lka":
        return LKABlock(width, kernel)
    if spec.block_type == "rrdb":
        return RRDB(width, rrdb_growth(width))
    raise KeyError(spec.block_type)


class SRResNetFlexible(Generator):
    """`block_type: res | rcab | rrdb | lka`: no batch norm, no Tanh."""

    layers_in_order = True

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        width, small, large = spec.n_channels, spec.small_kernel_size, spec.large_kernel_size
        self.head = nn.Sequential(conv(spec.in_bands, width, large), nn.PReLU())
        self.body = nn.Sequential(*(_block(spec) for _ in range(spec.n_blocks)))
        self.body_tail = conv(width, width, small)
        self.upsampler = upsampler(width, spec.scale)
        self.tail = conv(width, spec.out_bands, large)
        if spec.use_icnr:
            icnr_upsamplers_(self)
        self.start_at_skip_()

    def features(self, lr: Tensor) -> Tensor:
        head = self.head(lr)
        out: Tensor = head + self.body_tail(self.body(head))
        return out

    def enlarge(self, features: Tensor) -> Tensor:
        out: Tensor = self.tail(self.upsampler(features))
        return out

    def enlarging(self) -> list[nn.Module]:
        return [self.upsampler, self.tail]

    def last_layer(self) -> nn.Conv2d:
        return self.tail
