"""How large a tile may be, by the memory that a network takes, and how large it is best.

The numbers of floats are estimates from the layers. With the bytes below, the peak of a process
stays under 1.5 GB with the default network (benchmarks/infer_scene.py memory), its heap's gaps
counted; a device that runs out of memory gets smaller tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from srgan_cli.models import Generator, GeneratorSpec
from srgan_cli.models.parting import enlarging_reach_px
from srgan_cli.models.srresnet import rrdb_growth
from srgan_cli.models.work import macs_per_pixel

_CPU_BYTES = 400 * 2**20
_CPU_BAND_BYTES = 64 * 2**20
"""What the enlarging layers take at once: the largest arrays are theirs, and a heap grows by those."""
_LIVE_MAPS = 4.5
"""Feature maps of the output's size that exist at the same time, folded copies for the last layer among them."""
_LIVE_OUTPUTS = 4
"""Copies of the output tile: in the network, and on their way to the disk."""
_LIVE_TRUNK = 5.0
"""Feature maps of the trunk that exist at the same time."""
_LIVE_DENSE = 3.0
"""The same of networks with dense blocks, whose maps have the channels of all layers of a block."""
_KEPT_TRUNK = 3.0
"""Feature maps of the trunk that stay while the enlarging layers run."""
_LEAST_BAND_PX = 32
"""Rows of a band beside its margins, or of the part if that has less: narrower ones are mostly margin."""
_MAX_WINDOW_PX = 4096
_MAX_CORE_PX = 1024
"""What is lost with a killed process, and held in memory, grows with tiles."""
_TILE_COSTS_PX = 1000
"""LR pixels that might be made in the time that a tile costs beside its pixels."""
_FLOAT_BYTES = 4

Size = tuple[int, int]


@dataclass(frozen=True)
class _Cost:
    """MACs of an LR pixel."""

    trunk: float
    enlarging: float


class Memory:
    """The memory for one batch of a network on a device, and what is made of it."""

    def __init__(self, generator: Generator, device: torch.device, batch: int) -> None:
        spec = generator.spec
        self._bytes: float = _CPU_BYTES
        self._band_bytes: float = _CPU_BAND_BYTES
        if device.type == "cuda":
            self._bytes = self._band_bytes = torch.cuda.mem_get_info(device)[0] / 2
        self._margin_px = enlarging_reach_px(generator)
        self._multiple_px = generator.size_multiple
        self._cost = _Cost(*macs_per_pixel(generator))
        each = _FLOAT_BYTES * batch
        trunk = _trunk_floats(spec) / self._multiple_px**2
        self._trunk = each * trunk
        self._kept = each * _KEPT_TRUNK * spec.n_channels
        self._enlarged = (
            each * _LIVE_MAPS * max(spec.n_channels * spec.scale**2, trunk / _LIVE_DENSE)
        )
        self._output = each * _LIVE_OUTPUTS * spec.out_bands * spec.scale**2

    @property
    def largest_input_px(self) -> int:
        """Side in LR pixels of the largest input that is super-resolved as a whole and at once."""
        return self._side(self._enlarged + self._output)

    @property
    def largest_window_px(self) -> int:
        """Side in LR pixels of the largest input of which only a small part is enlarged."""
        return self._side(self._trunk)

    def _side(self, bytes_per_pixel: float) -> int:
        return min(math.isqrt(int(self._bytes / bytes_per_pixel)), _MAX_WINDOW_PX)

    def holds(self, scene_px: Size) -> bool:
        """Whether a scene of rows and columns fits as one window, enlarged in bands."""
        return self._fits(scene_px, scene_px)

    def best_core_px(self, scene_px: Size, halo_px: int, multiple_px: int) -> int:
        """Side of the core, a multiple of `multiple_px`, with which a scene costs least.

        Large cores waste less on their margins, and cores that leave no small rest at the scene's
        edge less on it: all windows have one size.
        """
        sizes = range(multiple_px, _MAX_CORE_PX + 1, multiple_px)
        fitting = [
            px for px in sizes if self._fits(*_sides(scene_px, px, halo_px, self._margin_px))
        ]
        return min(fitting or [multiple_px], key=lambda px: self._macs(scene_px, px, halo_px))

    def band_px(self, window_px: Size, part_px: Size) -> int:
        """Rows of a part that may be enlarged at once, beside its margins and all of the window."""
        left = self._bytes - self._kept * math.prod(window_px) - self._output * math.prod(part_px)
        rows = int(min(left, self._band_bytes) / (self._enlarged * part_px[1]))
        return max(rows, self._least_band_px(part_px))

    def _least_band_px(self, part_px: Size) -> int:
        return min(_LEAST_BAND_PX + 2 * self._margin_px, part_px[0])

    def _fits(self, window_px: Size, part_px: Size) -> bool:
        if max(window_px) > _MAX_WINDOW_PX:
            return False
        window, part = math.prod(window_px), math.prod(part_px)
        band = self._least_band_px(part_px) * part_px[1]
        enlarging = self._kept * window + self._output * part + self._enlarged * band
        return max(self._trunk * window, enlarging) <= self._bytes

    def _macs(self, scene_px: Size, core_px: int, halo_px: int) -> float:
        """Of a whole scene."""
        window_px, part_px = _sides(scene_px, core_px, halo_px, self._margin_px)
        tiles = math.prod(
            1 if seen == side else math.ceil(side / core_px)
            for seen, side in zip(window_px, scene_px, strict=True)
        )
        rows = min(self.band_px(window_px, part_px), part_px[0])
        again = 1.0
        if rows < part_px[0]:
            again = rows / max(rows - 2 * self._margin_px, 1)
        trunk = self._cost.trunk * (math.prod(window_px) + _TILE_COSTS_PX)
        return tiles * (
            trunk + self._cost.enlarging * (math.prod(part_px) * again + _TILE_COSTS_PX)
        )


def _trunk_floats(spec: GeneratorSpec) -> float:
    """Per pixel of the trunk's grid."""
    if spec.model_type in ("esrgan", "rrdbnet"):
        return _LIVE_DENSE * (spec.n_channels + 5 * spec.growth_channels)
    if spec.model_type == "SRResNet" and spec.block_type == "rrdb":
        return _LIVE_DENSE * (spec.n_channels + 5 * rrdb_growth(spec.n_channels))
    return _LIVE_TRUNK * spec.n_channels


def _sides(scene_px: Size, core_px: int, halo_px: int, margin_px: int) -> tuple[Size, Size]:
    """Rows and columns of windows and of their parts.

    Where a window reaches from one edge of the scene to the other, all between them is core.
    """
    window = [min(core_px + 2 * halo_px, side) for side in scene_px]
    part = [
        side if seen == side else min(core_px + 2 * margin_px, seen)
        for seen, side in zip(window, scene_px, strict=True)
    ]
    return (window[0], window[1]), (part[0], part[1])
