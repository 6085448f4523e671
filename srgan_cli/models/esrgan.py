"""ESRGAN's generator (Wang et al. 2018), keys and numerics as OpenSR-SRGAN."""

from __future__ import annotations

from torch import Tensor, nn

from srgan_cli.models.blocks import RRDB, conv, upsampler
from srgan_cli.models.generator import Generator
from srgan_cli.models.init import icnr_upsamplers_, small_kaiming_
from srgan_cli.models.spec import GeneratorSpec


class ESRGAN(Generator):
    """RRDB trunk, PixelShuffle upsampling, no clamp."""

    layers_in_order = True

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        width = spec.n_channels
        self.conv_first = conv(spec.in_bands, width)
        self.body = nn.Sequential(
            *(RRDB(width, spec.growth_channels, spec.res_scale) for _ in range(spec.n_blocks))
        )
        self.conv_body = conv(width, width)
        self.upsampler = upsampler(width, spec.scale)
        self.conv_hr = conv(width, width)
        self.act = nn.LeakyReLU(0.2)
        self.conv_last = conv(width, spec.out_bands)
        small_kaiming_(self)
        if spec.use_icnr:
            icnr_upsamplers_(self)
        self.start_at_skip_()

    def features(self, lr: Tensor) -> Tensor:
        first = self.conv_first(lr)
        out: Tensor = first + self.conv_body(self.body(first))
        return out

    def enlarge(self, features: Tensor) -> Tensor:
        out: Tensor = self.conv_last(self.act(self.conv_hr(self.upsampler(features))))
        return out

    def enlarging(self) -> list[nn.Module]:
        return [self.upsampler, self.conv_hr, self.conv_last]

    def last_layer(self) -> nn.Conv2d:
        return self.conv_last
