"""How large a tile may be: the memory that a network takes, by its channels.

The numbers of floats are upper bounds of what was measured for all generators with benchmarks of
their peak memory on the CPU; a device that still runs out of memory gets smaller tiles.
"""

from __future__ import annotations

import math

import torch

from srgan_cli.models import GeneratorSpec

_CPU_BYTES = 720 * 2**20
_LIVE_MAPS = 2.5
"""Feature maps of the output's size that exist at the same time."""
_LIVE_OUTPUTS = 4
"""Copies of the output tile in the same unit: in the network, and on their way to the disk."""
_LIVE_TRUNK = 3.0
"""Feature maps of the trunk, with those of a dense block, that exist at the same time."""
_KEPT_TRUNK = 3.0
"""Feature maps of the trunk that stay while the enlarging layers run."""
_MAX_WINDOW_PX = 4096
_MAX_CORE_PX = 1024
"""Larger tiles gain little speed, and what is lost with a killed process and held in memory grows."""
_FLOAT_BYTES = 4


class Memory:
    """The memory for one batch of a network on a device."""

    def __init__(self, spec: GeneratorSpec, device: torch.device, batch: int) -> None:
        self._bytes: float = _CPU_BYTES
        if device.type == "cuda":
            self._bytes = torch.cuda.mem_get_info(device)[0] / 2
        large = spec.n_channels * spec.scale**2
        dense = spec.n_channels + 5 * spec.growth_channels
        outputs = spec.out_bands * spec.scale**2
        each = _FLOAT_BYTES * batch
        self._trunk = each * _LIVE_TRUNK * dense
        self._kept = each * _KEPT_TRUNK * spec.n_channels
        self._enlarged = each * (_LIVE_MAPS * max(large, dense) + _LIVE_OUTPUTS * outputs)

    @property
    def largest_input_px(self) -> int:
        """Side in LR pixels of the largest input that is super-resolved as a whole."""
        return self._side(self._enlarged)

    @property
    def largest_window_px(self) -> int:
        """Side in LR pixels of the largest input of which only a small part is enlarged."""
        return self._side(self._trunk)

    def _side(self, bytes_per_pixel: float) -> int:
        return min(math.isqrt(int(self._bytes / bytes_per_pixel)), _MAX_WINDOW_PX)

    def largest_core_px(
        self, scene_px: tuple[int, int], halo_px: int, margin_px: int, multiple_px: int
    ) -> int:
        """Side of the largest core, a multiple of `multiple_px`, for a scene of rows and columns.

        `margin_px` is what of the halo the enlarging layers see. Where a window reaches from one
        edge of the scene to the other, all between them is core.
        """
        best = multiple_px
        for core in range(multiple_px, _MAX_CORE_PX + 1, multiple_px):
            window = [min(core + 2 * halo_px, side) for side in scene_px]
            part = [
                side if seen == side else core + 2 * margin_px
                for seen, side in zip(window, scene_px, strict=True)
            ]
            if self._fits(math.prod(window), math.prod(part)) and max(window) <= _MAX_WINDOW_PX:
                best = core
        return best

    def _fits(self, window: int, part: int) -> bool:
        return max(self._trunk * window, self._enlarged * part + self._kept * window) <= self._bytes
