"""How large a tile may be, by the memory that a network takes, and how large it is best.

The numbers of floats are estimates from the layers. With the bytes below, the peak of a process
stays near 1 GB with the default network (benchmarks/infer_scene.py memory), of which 0.55 GB are
Python and PyTorch; a device that runs out of memory gets smaller tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from srgan_cli.models import Generator, GeneratorSpec
from srgan_cli.models.parting import enlarging_reach_px
from srgan_cli.models.srresnet import rrdb_growth
from srgan_cli.models.work import macs_per_pixel

_CPU_BYTES = 152 * 2**20
"""A heap of larger arrays has larger gaps, and grows on for minutes: with twice the bytes, to twice the peak."""
_CPU_BLOCK_BYTES = 64 * 2**20
"""What the enlarging layers take at once: the largest arrays are theirs, and a heap grows by those."""
_CPU_OUTPUT_BYTES = 280 * 2**20
"""For output tiles, which are few and stay where they are."""
_CPU_WHOLE_BYTES = 400 * 2**20
"""For an input that is enlarged at once, when nothing else takes memory."""
_LIVE_MAPS = 4.5
"""Feature maps of the output's size that exist at the same time, folded copies for the last layer among them."""
_LIVE_OUTPUTS = 4
"""Copies of the output tile: in the network, and on their way to the disk."""
_LIVE_TRUNK = 5.0
"""Feature maps of the trunk that exist at the same time."""
_LIVE_DENSE = 3.0
"""The same of networks with dense blocks, whose maps have the channels of all layers of a block."""
_KEPT_TRUNK = 2.0
"""Feature maps of the trunk that stay while the enlarging layers run."""
_LEAST_BLOCK_PX = 32
"""Side of a block beside its margins, or of the part if that is less: smaller ones are mostly margin."""
_MOST_SPLITS = 64
"""Of a part, along one side."""
_MAX_WINDOW_PX = 4096
_MAX_CORE_PX = 1024
"""What is lost with a killed process, and held in memory, grows with tiles."""
_NEARLY = 1.03
_SMALL_CORE_PX = 512
"""Below, what smaller ones would save is lost with the work that every tile brings."""
_SPARSE = 0.5
"""Share of valid pixels."""
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
        self._block_bytes: float = _CPU_BLOCK_BYTES
        self._output_bytes: float = _CPU_OUTPUT_BYTES
        self._whole_bytes: float = _CPU_WHOLE_BYTES
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0] / 2
            self._bytes = self._block_bytes = self._output_bytes = free / 2
            self._whole_bytes = free
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
        return _side(self._whole_bytes, self._enlarged + self._output)

    @property
    def largest_window_px(self) -> int:
        """Side in LR pixels of the largest input of which only a small part is enlarged."""
        return _side(self._bytes, self._trunk)

    def holds(self, scene_px: Size) -> bool:
        """Whether a scene of rows and columns fits as one window, enlarged in blocks."""
        return self._fits(scene_px, scene_px)

    def best_core_px(
        self, scene_px: Size, halo_px: int, multiple_px: int, valid_share: float = 1.0
    ) -> int:
        """Side of the core, a multiple of `multiple_px`, with which a scene costs about least.

        Large cores waste less on their margins, and cores that leave no small rest at the scene's
        edge less on it: all windows have one size. Among nearly equal ones the smallest takes least
        memory, and least is lost with it. Where little of a scene is valid, small cores leave more
        of the rest alone.
        """
        sizes = range(multiple_px, _MAX_CORE_PX + 1, multiple_px)
        fitting = [
            px for px in sizes if self._fits(*_sides(scene_px, px, halo_px, self._margin_px))
        ]
        costs = {
            # Tiles that touch a swath: its own, and half a tile to every side of it.
            px: self._macs(scene_px, px, halo_px) * min(valid_share + px / min(scene_px), 1.0)
            for px in fitting or [multiple_px]
        }
        if valid_share < _SPARSE:
            return min(costs, key=lambda px: costs[px])
        enough = _NEARLY * min(costs.values())
        nearly = [px for px, cost in costs.items() if cost <= enough]
        return min((px for px in nearly if px >= _SMALL_CORE_PX), default=max(nearly))

    def block_px(self, window_px: Size, part_px: Size) -> Size:
        """Rows and columns of a part that may be enlarged at once, margins included.

        Of those that the memory holds beside all of the window, the ones with which
        least is enlarged twice.
        """
        left = self._bytes - self._kept * math.prod(window_px)
        area = int(min(left, self._block_bytes) / self._enlarged)
        least = self._least_block_px(part_px)
        if area >= math.prod(part_px):
            return part_px
        found = []
        for splits in range(1, _MOST_SPLITS + 1):
            cols = min(math.ceil(part_px[1] / splits) + 2 * self._margin_px, part_px[1])
            rows = min(area // cols, part_px[0])
            if rows >= least[0] and cols >= least[1]:
                found.append((rows, cols))
        return min(
            found or [least], key=lambda block: (self._enlarged_px(part_px, block), -block[1])
        )

    def _enlarged_px(self, part_px: Size, block_px: Size) -> int:
        """LR pixels that are enlarged for a part, margins as often as they are."""
        total = 1
        for side, seen in zip(part_px, block_px, strict=True):
            kept = max(seen - 2 * self._margin_px, 1)
            total *= side if seen >= side else math.ceil(side / kept) * seen
        return total

    def _least_block_px(self, part_px: Size) -> Size:
        least = _LEAST_BLOCK_PX + 2 * self._margin_px
        return min(least, part_px[0]), min(least, part_px[1])

    def _fits(self, window_px: Size, part_px: Size) -> bool:
        if max(window_px) > _MAX_WINDOW_PX:
            return False
        window = math.prod(window_px)
        enlarging = self._kept * window + self._enlarged * math.prod(self._least_block_px(part_px))
        if max(self._trunk * window, enlarging) > self._bytes:
            return False
        return self._output * math.prod(part_px) <= self._output_bytes

    def _macs(self, scene_px: Size, core_px: int, halo_px: int) -> float:
        """Of a whole scene."""
        window_px, part_px = _sides(scene_px, core_px, halo_px, self._margin_px)
        tiles = math.prod(
            1 if seen == side else math.ceil(side / core_px)
            for seen, side in zip(window_px, scene_px, strict=True)
        )
        enlarged = self._enlarged_px(part_px, self.block_px(window_px, part_px))
        trunk = self._cost.trunk * (math.prod(window_px) + _TILE_COSTS_PX)
        return tiles * (trunk + self._cost.enlarging * (enlarged + _TILE_COSTS_PX))


def _side(all_bytes: float, bytes_per_pixel: float) -> int:
    return min(math.isqrt(int(all_bytes / bytes_per_pixel)), _MAX_WINDOW_PX)


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
