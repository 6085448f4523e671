"""How a scene is cut into tiles: their size, their halo, and how many go at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli.errors import RefusedError
from srgan_cli.infer.geometry import Box, round_up
from srgan_cli.infer.halo import AFFORDABLE_PX, Budget, Halo, measured_halo
from srgan_cli.infer.memory import Memory
from srgan_cli.infer.network import Network
from srgan_cli.infer.options import AUTO_HALO, EXACT_HALO, InferOptions
from srgan_cli.infer.settle import Settled
from srgan_cli.infer.source import Source, fill_radius

_CORE_MULTIPLE_PX = 16
"""Cores can be halved a few times when the memory runs out."""
_LEAST_CORE_PX = 8
_STRETCH = 1.25
"""How much larger than the usual limit the side of a window may be where that saves much time."""
_SEARCH_SHARE = 0.03
"""LR pixels that measuring the halo may put through the network, as a share of the scene's."""


@dataclass(frozen=True)
class Cut:
    """How a scene is cut into tiles."""

    core_px: int
    halo: Halo
    receptive_field_px: int | None
    """None = all of the input, or nobody asked because one window holds the scene."""
    batch: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Cut:
        """The inverse of `as_dict`; KeyError or TypeError for something else."""
        halo = Halo(**values["halo"])
        return Cut(values["core_px"], halo, values["receptive_field_px"], values["batch"])

    def smaller(self, multiple_px: int) -> Cut | None:
        """The next one that takes less memory: half the batch, then half the tile; None = no more.

        The new tiles lie within the old ones, so that what is finished stays finished.
        """
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        if self.halo.mode == "whole":
            return None
        least = max(_LEAST_CORE_PX, multiple_px)
        sizes = range(self.core_px // 2, least - 1, -1)
        for px in (px for px in sizes if self.core_px % px == px % multiple_px == 0):
            return replace(self, core_px=px)
        return None


def find_cut(
    source: Source,
    network: Network,
    settled: Settled,
    field: Callable[[], int | None],
    options: InferOptions,
) -> Cut:
    """How to cut the scene; `field` finds the receptive field and is called only where it matters.

    Raises:
        RefusedError: The network cannot work in tiles, and the scene does not fit one.
    """
    batch, multiple = options.batch or 1, network.size_multiple
    memory = network.memory(batch)
    # Of the whole scene, of which a part must get the bits.
    scene = (source.scene.height, source.scene.width)
    longest = max(scene)
    fits = memory.holds(scene) if options.tile_px is None else longest <= options.tile_px
    if fits and (source.is_whole or not _is_exact(field, options)):
        # Nothing is cut: the halo does not matter, as long as a part sees the whole scene.
        return Cut(round_up(longest, multiple), Halo(0, "whole"), None, batch)
    field_px = field()
    unaffordable = field_px is None or field_px > AFFORDABLE_PX
    less = (int(scene[0] / _STRETCH), int(scene[1] / _STRETCH))
    if options.tile_px is None and unaffordable and memory.holds(less):
        # One larger window costs less than tiles with wide margins, and the measurement.
        return Cut(round_up(longest, multiple), Halo(0, "whole"), field_px, batch)
    halo = _halo(source, network, settled, field_px, options, memory)
    granule = math.lcm(_CORE_MULTIPLE_PX, multiple)
    if options.tile_px is None:
        core = memory.best_core_px(scene, halo.px, granule, settled.valid_share)
    else:
        core = round_up(options.tile_px, granule)
    return Cut(core, halo, field_px, batch)


def _is_exact(field: Callable[[], int | None], options: InferOptions) -> bool:
    """Whether the halo is the receptive field, so that a part needs to see no more."""
    field_px = field()
    wanted = options.halo in (AUTO_HALO, EXACT_HALO)
    return wanted and field_px is not None and field_px <= AFFORDABLE_PX


def _halo(
    source: Source,
    network: Network,
    settled: Settled,
    field_px: int | None,
    options: InferOptions,
    memory: Memory,
) -> Halo:
    info, scene = settled.info, source.whole()
    if field_px is None:
        longest = max(scene.height, scene.width)
        raise RefusedError(
            f"this network ({info.spec.model_type} {info.spec.block_type}) averages over its whole "
            f"input: tiles of a scene of {scene.width} x {scene.height} pixels would not agree",
            "give --attention-window the side of the LR crops it was trained on, or set "
            f"--tile {longest} if the memory allows one window",
        )
    multiple = network.size_multiple
    field_px = round_up(field_px, multiple)
    if options.halo == EXACT_HALO or (options.halo == AUTO_HALO and field_px <= AFFORDABLE_PX):
        return Halo(field_px, "exact")
    if options.halo != AUTO_HALO:
        px = round_up(int(options.halo), multiple)
        return Halo(px, "given", 0.0 if px >= field_px else None)
    radiometry = info.radiometry

    def read(box: Box) -> tuple[Tensor, NDArray[np.bool_]]:
        # Of the whole scene: a part of it then gets the same halo.
        values, valid = scene.read_filled(box, fill_radius(field_px))
        return torch.from_numpy(np.asarray(radiometry.to_network(values))[None]), valid

    def predict(lr: Tensor, wanted: Box) -> Tensor:
        # The offset cancels out in the errors, which are then in stored units, band by band.
        return radiometry.difference_to_stored(network.part(lr, wanted))

    shape = (scene.height, scene.width)
    pixels = int(scene.height * scene.width * _SEARCH_SHARE)
    px, residual = measured_halo(
        predict,
        read,
        shape,
        field_px,
        settled.tolerance,
        Budget(memory.largest_window_px, pixels),
        multiple,
    )
    if px == field_px:
        return Halo(px, "exact")
    return Halo(px, "measured", residual)
