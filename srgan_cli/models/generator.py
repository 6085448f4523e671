"""What all generators share: the optional global skip, and the facts that inference needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

from srgan_cli.models.field import (
    Down,
    Reach,
    Step,
    Up,
    probe_receptive_field,
    reach_of,
    receptive_field,
)
from srgan_cli.models.pooling import WindowMean
from srgan_cli.models.spec import GeneratorSpec

_SKIP_REACH_PX = {"none": 0, "nearest": 0, "bicubic": 2}


class Generator(nn.Module):
    """LR (B, C, h, w) -> SR (B, C_out, h * scale, w * scale), in network units."""

    bf16: ClassVar[bool] = True
    """Whether it may run in bfloat16; benchmarks/networks.py measures how far off it then is."""
    layers_in_order: ClassVar[bool] = False
    """Whether all layers lie on one way from input to output, registered in the order in which they
    run. The receptive field is then computed from them; else it is probed."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    def size_multiple(self) -> int:
        """Tiles start at multiples of so many LR pixels; any size of input is accepted."""
        return 1

    @property
    def channels_last(self) -> bool:
        """Whether the channels-last layout is the one to run it in.

        It is the faster one for 3 x 3 kernels (benchmarks/networks.py); with large kernels inside,
        only the contiguous layout gives every pixel the same sum whatever the tile (steady.py).
        """
        return self.spec.small_kernel_size == 3

    def features(self, lr: Tensor) -> Tensor:
        """What the trunk makes of `lr`: (B, n_channels, h / size_multiple, w / size_multiple).

        Sides that are no multiples are continued first.
        """
        raise NotImplementedError

    def enlarge(self, features: Tensor) -> Tensor:
        """SR, without the global skip, of features (B, n_channels, h, w), or of any part of them."""
        raise NotImplementedError

    def residual(self, lr: Tensor) -> Tensor:
        """The network itself, without the global skip."""
        height, width = (side * self.spec.scale for side in lr.shape[-2:])
        sr = self.enlarge(self.features(lr))
        return sr if sr.shape[-2:] == (height, width) else sr[..., :height, :width]

    def last_layer(self) -> nn.Conv2d:
        """The convolution that makes the output."""
        raise NotImplementedError

    def trunk(self) -> list[nn.Module]:
        """The equal blocks that make up most of the network."""
        return list(self.get_submodule("body").children())

    def enlarging(self) -> list[nn.Module]:
        """The layers of `enlarge`, in the order in which they run."""
        raise NotImplementedError

    def enlarging_reach(self) -> int:
        """Pixels of the trunk's grid to every side that the enlarging layers look at."""
        steps = [step for module in self.enlarging() for step in _steps(module)]
        return receptive_field(steps, self.spec.scale * self.size_multiple)

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

    @property
    def pools_globally(self) -> bool:
        """Whether it averages over its input: without a window, or with one (`pool_locally_`)."""
        return any(isinstance(module, WindowMean) for module in self.modules())

    @property
    def window_px(self) -> int | None:
        """Side of the window it averages over, in LR pixels; None = its whole input, or never."""
        windows = {m.window_px for m in self.modules() if isinstance(m, WindowMean)}
        return windows.pop() if windows else None

    def pool_locally_(self, window_px: int | None) -> None:
        """Average over windows of so many LR pixels; None = over the whole input, as trained.

        No effect on networks that do not average over their input.
        """
        for module in self.modules():
            if isinstance(module, WindowMean):
                module.window_px = window_px

    def receptive_field_px(self) -> int | None:
        """LR pixels to every side that an SR pixel depends on; None = the whole input."""
        pools = [module for module in self.modules() if isinstance(module, WindowMean)]
        if any(pool.window_px is None for pool in pools):
            return None
        if self.layers_in_order:
            field = receptive_field(_steps(self), self.spec.scale)
        else:
            probed = probe_receptive_field(
                self, self.spec.in_bands, self.spec.scale, self.size_multiple
            )
            if probed is None:
                return None
            field = probed
        border = max((pool.border_reach_px for pool in pools), default=0)
        return max(field + border, _SKIP_REACH_PX[self.spec.global_skip])


def _steps(network: nn.Module) -> Iterator[Step]:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            yield reach_of(layer)
        elif isinstance(layer, nn.PixelShuffle):
            yield Up(layer.upscale_factor)
        elif isinstance(layer, nn.Upsample):
            yield Up(int(layer.scale_factor))  # type: ignore[arg-type]  # a number in ours
        elif isinstance(layer, nn.PixelUnshuffle):
            yield Down(layer.downscale_factor)
        elif isinstance(layer, WindowMean):
            yield Reach(layer.reach_px or 0)


def upsample(lr: Tensor, scale: int, kind: str) -> Tensor:
    """`lr` (B, C, h, w) enlarged by `scale`, pixel centres kept; `kind` is nearest or bicubic."""
    if kind == "nearest":
        return F.interpolate(lr, scale_factor=scale, mode="nearest")
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
