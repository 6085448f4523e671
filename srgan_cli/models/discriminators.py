"""Discriminators: HR or SR (B, C, H, W) -> logits, (B, 1) or (B, 1, h, w). Keys as OpenSR-SRGAN."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from srgan_cli.models.spectral import normalised


class SRGANBlock(nn.Module):
    """Convolution, batch norm except in the first block, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)]
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_block(x)
        return out


class SRGANDiscriminator(nn.Module):
    """SRGAN's discriminator (Ledig et al. 2017), one logit per image of any size.

    Args:
        in_bands: Bands of the image.
        n_blocks: Convolution blocks; every second one halves the size.
        use_spectral_norm: Spectral normalisation (Miyato et al. 2018) of every layer.
    """

    def __init__(self, in_bands: int, n_blocks: int = 8, use_spectral_norm: bool = True) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels, width = in_bands, 64
        for index in range(n_blocks):
            if index > 0 and index % 2 == 0:
                width *= 2
            blocks.append(SRGANBlock(channels, width, stride=1 + index % 2, norm=index > 0))
            channels = width
        self.conv_blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.fc1 = nn.Linear(36 * channels, 1024)
        self.act = nn.LeakyReLU(0.2, inplace=True)
        self.fc2 = nn.Linear(1024, 1)
        if use_spectral_norm:
            for layer in list(self.modules()):
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    normalised(layer)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1)."""
        features = self.pool(self.conv_blocks(image)).flatten(1)
        out: Tensor = self.fc2(self.act(self.fc1(features)))
        return out


class PatchLayers(nn.Module):
    """The sequence of a PatchGAN."""

    def __init__(self, in_bands: int, n_layers: int, base_channels: int) -> None:
        super().__init__()
        width = base_channels
        layers: list[nn.Module] = [nn.Conv2d(in_bands, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for index in range(1, n_layers + 1):
            wider = base_channels * min(2**index, 8)
            stride = 2 if index < n_layers else 1
            layers += [
                nn.Conv2d(width, wider, 4, stride, 1),
                nn.InstanceNorm2d(wider),
                nn.LeakyReLU(0.2, True),
            ]
            width = wider
        layers.append(nn.Conv2d(width, 1, 4, 1, 1))
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.model(image)
        return out


class PatchGAN(nn.Module):
    """PatchGAN (Isola et al. 2017) with instance norm: one logit per patch, any image size.

    Args:
        in_bands: Bands of the image.
        n_layers: Strided layers; 3 sees patches of 70 x 70 pixels.
        base_channels: Channels of the first layer; they double up to eight times as many.
    """

    def __init__(self, in_bands: int, n_layers: int = 3, base_channels: int = 64) -> None:
        super().__init__()
        self.model = PatchLayers(in_bands, n_layers, base_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, h, w)."""
        out: Tensor = self.model(image)
        return out


class ESRGANDiscriminator(nn.Module):
    """ESRGAN's VGG-style discriminator (Wang et al. 2018), one logit per image of any size.

    Args:
        in_bands: Bands of the image.
        base_channels: Channels of the first layer.
        linear_size: Width of the dense layer.
    """

    def __init__(self, in_bands: int, base_channels: int = 64, linear_size: int = 1024) -> None:
        super().__init__()
        b = base_channels
        layers: list[nn.Module] = [nn.Conv2d(in_bands, b, 3, padding=1), nn.LeakyReLU(0.2, True)]
        widths = [b, b, 2 * b, 2 * b, 4 * b, 4 * b, 8 * b, 8 * b, 16 * b, 16 * b]
        for index, (narrow, wide) in enumerate(pairwise(widths)):
            kernel, stride = (4, 2) if index % 2 == 0 else (3, 1)
            layers.append(
                nn.Sequential(
                    nn.Conv2d(narrow, wide, kernel, stride, kernel // 2),
                    nn.BatchNorm2d(wide),
                    nn.LeakyReLU(0.2, True),
                )
            )
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(16 * b, linear_size), nn.LeakyReLU(0.2, True), nn.Linear(linear_size, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1)."""
        out: Tensor = self.classifier(self.pool(self.features(image)).flatten(1))
        return out
