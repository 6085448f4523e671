"""What all generators share: the optional global skip."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

from srgan_cli.models.spec import GeneratorSpec


class Generator(nn.Module):
    """LR (B, C, h, w) -> SR (B, C_out, h * scale, w * scale), in network units."""

    channels_last: ClassVar[bool] = True
    """Whether the channels-last layout is faster."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec

    def residual(self, lr: Tensor) -> Tensor:
        """The network itself, without the global skip."""
        raise NotImplementedError

    def last_layer(self) -> nn.Conv2d:
        """The convolution that makes the output."""
        raise NotImplementedError

    def start_at_skip_(self) -> None:
        """Zero the last layer where there is a global skip: the first output is the skip itself."""
        if self.spec.global_skip != "none":
            last = self.last_layer()
            nn.init.zeros_(last.weight)
            if last.bias is not None:
                nn.init.zeros_(last.bias)

    def forward(self, lr: Tensor) -> Tensor:
        """SR of `lr`."""
        sr = self.residual(lr)
        if self.spec.global_skip == "none":
            return sr
        return sr + upsample(lr.float(), self.spec.scale, self.spec.global_skip)


def upsample(lr: Tensor, scale: int, kind: str) -> Tensor:
    """`lr` (B, C, h, w) enlarged by `scale`, pixel centres kept; `kind` is nearest or bicubic."""
    if kind == "nearest":
        return F.interpolate(lr, scale_factor=scale, mode="nearest")
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
