"""SRResNet whose blocks are modulated by a noise vector, keys as OpenSR-SRGAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srgan_cli.models.blocks import conv, upsampler
from srgan_cli.models.generator import Generator
from srgan_cli.models.init import icnr_upsamplers_
from srgan_cli.models.spec import GeneratorSpec


class ModulatedBlock(nn.Module):
    """x + res_scale * Conv(PReLU(Conv(x) * (1 + gamma(z)) + beta(z)))."""

    def __init__(self, channels: int, kernel: int, noise_dim: int, res_scale: float) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, kernel)
        self.act = nn.PReLU()
        self.conv2 = conv(channels, channels, kernel)
        self.noise_mlp = nn.Sequential(
            nn.Linear(noise_dim, channels), nn.SiLU(), nn.Linear(channels, 2 * channels)
        )
        self.res_scale = res_scale

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        gamma, beta = self.noise_mlp(noise)[:, :, None, None].chunk(2, dim=1)
        y = self.act(self.conv1(x) * (1 + gamma) + beta)
        out: Tensor = x + self.res_scale * self.conv2(y)
        return out


class StochasticGenerator(Generator):
    """`model_type: stochastic_gan`.

    Training draws a noise vector per image. In evaluation one vector, drawn from `noise_seed`,
    serves every image and tile, so that a scene does not depend on how it was cut.
    """

    layers_in_order = True

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        width, small, large = spec.n_channels, spec.small_kernel_size, spec.large_kernel_size
        self.head = nn.Sequential(conv(spec.in_bands, width, large), nn.PReLU())
        self.body = nn.ModuleList(
            ModulatedBlock(width, small, spec.noise_dim, spec.res_scale)
            for _ in range(spec.n_blocks)
        )
        self.body_tail = conv(width, width, small)
        self.upsampler = upsampler(width, spec.scale)
        self.tail = conv(width, spec.out_bands, large)
        self.noise_seed = 0
        if spec.use_icnr:
            icnr_upsamplers_(self)
        self.start_at_skip_()

    def draw_noise(self, lr: Tensor) -> Tensor:
        """Noise ~ N(0, I) for a batch: (B, noise_dim) in training, else (1, noise_dim) for all images.

        One row, since a matrix product with several adds up in another order.
        """
        if self.training:
            shape = (lr.shape[0], self.spec.noise_dim)
            return torch.randn(shape, device=lr.device, dtype=lr.dtype)
        generator = torch.Generator().manual_seed(self.noise_seed)
        return torch.randn(1, self.spec.noise_dim, generator=generator).to(lr)

    def features(self, lr: Tensor, noise: Tensor | None = None) -> Tensor:
        """The trunk with `noise` (B or 1, noise_dim), drawn where it is not given."""
        z = self.draw_noise(lr) if noise is None else noise
        head = self.head(lr)
        features = head
        for block in self.body:
            features = block(features, z)
        out: Tensor = head + self.body_tail(features)
        return out

    def enlarge(self, features: Tensor) -> Tensor:
        out: Tensor = self.tail(self.upsampler(features))
        return out

    def enlarging(self) -> list[nn.Module]:
        return [self.upsampler, self.tail]

    def last_layer(self) -> nn.Conv2d:
        return self.tail
