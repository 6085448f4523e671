"""Real-ESRGAN's discriminator; keys as in BasicSR and Real-ESRGAN."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

from srgan_cli.models.spectral import normalised


class UNetDiscriminator(nn.Module):
    """U-Net with spectral norm: one logit per pixel, any image size (Wang et al. 2021).

    Three strided convolutions see the image at an eighth of its size; three bilinear upsamplings
    with skip connections bring what they found back to every pixel.

    Args:
        in_bands: Bands of the image.
        base_channels: Channels of the first layer, up to eight times as many inside.
        use_spectral_norm: Spectral normalisation of all layers but the first and the last.
    """

    def __init__(
        self, in_bands: int, base_channels: int = 64, use_spectral_norm: bool = True
    ) -> None:
        super().__init__()
        b = base_channels

        def layer(narrow: int, wide: int, kernel: int, stride: int) -> nn.Module:
            conv = nn.Conv2d(narrow, wide, kernel, stride, padding=1, bias=False)
            return normalised(conv) if use_spectral_norm else conv

        self.conv0 = nn.Conv2d(in_bands, b, 3, padding=1)
        self.conv1 = layer(b, 2 * b, 4, 2)
        self.conv2 = layer(2 * b, 4 * b, 4, 2)
        self.conv3 = layer(4 * b, 8 * b, 4, 2)
        self.conv4 = layer(8 * b, 4 * b, 3, 1)
        self.conv5 = layer(4 * b, 2 * b, 3, 1)
        self.conv6 = layer(2 * b, b, 3, 1)
        self.conv7 = layer(b, b, 3, 1)
        self.conv8 = layer(b, b, 3, 1)
        self.conv9 = nn.Conv2d(b, 1, 3, padding=1)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W)."""
        x0 = self.act(self.conv0(image))
        x1 = self.act(self.conv1(x0))
        x2 = self.act(self.conv2(x1))
        x3 = self.act(self.conv3(x2))
        x4 = self.act(self.conv4(_to_size_of(x3, x2))) + x2
        x5 = self.act(self.conv5(_to_size_of(x4, x1))) + x1
        x6 = self.act(self.conv6(_to_size_of(x5, x0))) + x0
        out: Tensor = self.conv9(self.act(self.conv8(self.act(self.conv7(x6)))))
        return out


def _to_size_of(x: Tensor, other: Tensor) -> Tensor:
    """Bilinear; twice the size where nothing was cut off by a stride."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
