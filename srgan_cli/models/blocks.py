"""Blocks that the generators are made of; the attribute names are OpenSR-SRGAN's state keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srgan_cli.models.pooling import WindowMean
from srgan_cli.models.steady import Conv2d, Sigmoid


def conv(in_channels: int, out_channels: int, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size, zero padding."""
    return Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)


def upsampler(channels: int, scale: int) -> nn.Sequential:
    """log2(scale) times [Conv3x3 C -> 4C, PixelShuffle 2, PReLU]; empty for scale 1."""
    layers: list[nn.Module] = []
    for _ in range(scale.bit_length() - 1):
        layers += [conv(channels, 4 * channels), nn.PixelShuffle(2), nn.PReLU()]
    return nn.Sequential(*layers)


class ResBlock(nn.Module):
    """x + 0.2 * Conv(PReLU(Conv(x))): EDSR's block (Lim et al. 2017) with PReLU."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, kernel), nn.PReLU(), conv(channels, channels, kernel)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + 0.2 * self.body(x)
        return out


class RCAB(nn.Module):
    """Residual channel attention (Zhang et al. 2018); `WindowMean` says what it averages over."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, kernel)
        self.act = nn.PReLU()
        self.conv2 = conv(channels, channels, kernel)
        self.se = nn.Sequential(
            WindowMean(),
            Conv2d(channels, channels // 16, 1),
            nn.ReLU(inplace=True),
            Conv2d(channels // 16, channels, 1),
            Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.act(self.conv1(x)))
        out: Tensor = x + 0.2 * (y * self.se(y))
        return out


class DenseBlock(nn.Module):
    """Five densely connected convolutions; returns the fifth alone, without an inner residual.

    The reference ESRGAN adds 0.2 times it to the input. OpenSR-SRGAN does not, and its
    checkpoints need that.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.c1 = conv(channels, growth)
        self.c2 = conv(channels + growth, growth)
        self.c3 = conv(channels + 2 * growth, growth)
        self.c4 = conv(channels + 3 * growth, growth)
        self.c5 = conv(channels + 4 * growth, channels)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in (self.c1, self.c2, self.c3, self.c4):
            features.append(self.act(layer(torch.cat(features, dim=1))))
        out: Tensor = self.c5(torch.cat(features, dim=1))
        return out


class RRDB(nn.Module):
    """Three dense blocks in a residual (Wang et al. 2018), OpenSR-SRGAN's variant."""

    def __init__(self, channels: int, growth: int, res_scale: float = 0.2) -> None:
        super().__init__()
        self.db1 = DenseBlock(channels, growth)
        self.db2 = DenseBlock(channels, growth)
        self.db3 = DenseBlock(channels, growth)
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.res_scale * self.db3(self.db2(self.db1(x)))
        return out


class LargeKernelAttention(nn.Module):
    """z * Sigmoid(pointwise(dilated 7x7(5x5(z)))), Guo et al. 2022, arXiv:2202.09741."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dw5 = Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.dw7d = Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.pw = Conv2d(channels, channels, 1)
        self.sigmoid = Sigmoid()

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = z * self.sigmoid(self.pw(self.dw7d(self.dw5(z))))
        return out


class LKABlock(nn.Module):
    """x + 0.2 * Conv(LKA(PReLU(Conv(x))))."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, kernel)
        self.act = nn.PReLU()
        self.lka = LargeKernelAttention(channels)
        self.conv2 = conv(channels, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + 0.2 * self.conv2(self.lka(self.act(self.conv1(x))))
        return out
