"""Everything that is settled before the first tile: bands, values, halo, tiles, output."""

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
from srgan_cli.infer.bands import (
    check_values,
    choose_bands,
    for_raster,
    narrow_dtype,
    sample_values,
    undeclared_nodata,
)
from srgan_cli.infer.geometry import Box, Grid, round_up
from srgan_cli.infer.halo import AFFORDABLE_PX, Budget, Halo, measured_halo
from srgan_cli.infer.memory import Memory
from srgan_cli.infer.network import Network
from srgan_cli.infer.options import AUTO_HALO, EXACT_HALO, InferOptions
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.sink import OutputShape
from srgan_cli.infer.source import Source, fill_radius, holds
from srgan_cli.models.parting import Parting
from srgan_cli.weights import WeightsInfo

_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_DTYPES = (*_INTEGERS, "float32", "float64")
CORE_MULTIPLE_PX = 16
"""Cores can be halved a few times when the memory runs out."""
_LEAST_CORE_PX = 8
_STRETCH = 1.25
"""How much larger than the usual limit the side of a window may be where that saves much time."""
_SEARCH_SHARE = 0.03
"""LR pixels that measuring the halo may put through the network, as a share of the scene's."""


@dataclass(frozen=True)
class Settled:
    """What is known of a scene's inference before anybody asks how to cut it."""

    info: WeightsInfo
    """With the radiometry of this raster's stored values."""
    quantiser: Quantiser
    output: OutputShape
    tolerance: float
    """Error that a measured halo may leave, in stored units."""
    sample: NDArray[np.float32]
    """Stored values (bands, pixels) from all over the scene."""
    warnings: tuple[str, ...]


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


@dataclass(frozen=True)
class Plan:
    """What a scene's inference will do."""

    grid: Grid
    halo: Halo
    receptive_field_px: int | None
    """As in `Cut`."""
    quantiser: Quantiser
    output: OutputShape
    batch: int
    parts: Parting
    """What of every window is enlarged."""
    warnings: tuple[str, ...]

    @property
    def fill_px(self) -> int:
        """How far around a window valid pixels are looked for."""
        return fill_radius(self.grid.halo_px)


def settle(source: Source, info: WeightsInfo, options: InferOptions) -> Settled:
    """Settle bands, values and output of one scene; chooses the bands of `source` on the way.

    Raises:
        RefusedError: Bands, values, dtype or nodata do not work out.
    """
    if options.qa_max_bias is not None and not options.qa:
        raise RefusedError("--qa-max-bias: without the QA that measures it", "leave out --no-qa")
    bands, warning = choose_bands(source, info.spec.in_bands, info.band_names, options.bidx)
    source.choose(bands, options.nodata)
    info = for_raster(info, source)
    warnings = [text for text in (warning, narrow_dtype(source, info.radiometry)) if text]
    sample = sample_values(source)
    unsaid, value = undeclared_nodata(source, sample, info.radiometry)
    if unsaid and not options.force:
        raise RefusedError(unsaid, f"add --nodata {value:.9g}; --force takes it for a measurement")
    misfit = check_values(source, sample, info.radiometry)
    if misfit and not options.force:
        raise RefusedError(misfit, "use other weights or bands, or convert it; --force goes on")
    if misfit:
        warnings.append(misfit)
    if unsaid:
        warnings.append(unsaid)
    quantiser, output = _output(source, info, options)
    if options.qa_max_bias is not None and output.bands != len(source.bands):
        raise RefusedError(
            f"--qa-max-bias: the network makes {output.bands} bands of {len(source.bands)}, "
            "so there is no LR to compare them with",
            "leave it out",
        )
    tolerance = _tolerance(options, quantiser, source, sample)
    return Settled(info, quantiser, output, tolerance, sample, tuple(warnings))


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
    granule = math.lcm(CORE_MULTIPLE_PX, multiple)
    if options.tile_px is None:
        core = memory.best_core_px(scene, halo.px, granule)
    else:
        core = round_up(options.tile_px, granule)
    return Cut(core, halo, field_px, batch)


def make_plan(source: Source, network: Network, settled: Settled, cut: Cut) -> Plan:
    """The plan of a scene that is cut so."""
    halo, warnings = cut.halo, list(settled.warnings)
    if halo.residual is not None and halo.residual > settled.tolerance:
        warnings.append(
            f"halo {halo.px} px leaves an error of {halo.residual:.3g} (99.9 % of pixels at tile "
            f"edges), above the tolerance {settled.tolerance:.3g}; --halo exact "
            f"({cut.receptive_field_px} px) leaves none"
        )
    multiple = network.size_multiple
    around = halo.px if halo.mode != "whole" or source.is_whole else cut.core_px
    grid = Grid(source.height, source.width, cut.core_px, around, multiple, source.scene)
    window = (grid.window_height, grid.window_width)
    scene, part = source.scene, (source.height, source.width)
    # Where a window reaches from one edge of the scene to the other, all of the part is core.
    core = [
        (side if seen == whole else min(cut.core_px, side)) + first % multiple
        for seen, whole, side, first in zip(
            window, (scene.height, scene.width), part, source.origin, strict=True
        )
    ]
    parts = network.parting(window, (core[0], core[1]))
    band_px = network.memory(cut.batch).band_px(window, (parts.height, parts.width))
    return Plan(
        grid=grid,
        halo=halo,
        receptive_field_px=cut.receptive_field_px,
        quantiser=settled.quantiser,
        output=settled.output,
        batch=cut.batch,
        parts=parts.in_bands(band_px),
        warnings=tuple(warnings),
    )


def _is_exact(field: Callable[[], int | None], options: InferOptions) -> bool:
    """Whether the halo is the receptive field, so that a part needs to see no more."""
    field_px = field()
    wanted = options.halo in (AUTO_HALO, EXACT_HALO)
    return wanted and field_px is not None and field_px <= AFFORDABLE_PX


def _output(
    source: Source, info: WeightsInfo, options: InferOptions
) -> tuple[Quantiser, OutputShape]:
    dtype = options.dtype or source.dtype
    if dtype not in _DTYPES:
        raise RefusedError(f"dtype {dtype} cannot be written", f"use --dtype {', '.join(_DTYPES)}")
    nodata = source.nodata
    if nodata is not None and not holds(np.dtype(dtype), nodata):
        raise RefusedError(
            f"nodata {nodata:g} does not fit dtype {dtype}", "choose another with --nodata"
        )
    # NaN marks invalid pixels in floats; integers without a nodata value need a mask for them.
    integer = np.dtype(dtype).kind in "iu"
    marks = source.is_float or source.is_cut_out or source.marks_without_value
    mask = source.has_mask or (nodata is None and integer and marks)
    quantiser = Quantiser(dtype, info.radiometry, info.scale, nodata)
    shape = OutputShape(
        bands=info.spec.out_bands,
        height=source.height * info.scale,
        width=source.width * info.scale,
        dtype=dtype,
        mask=mask,
    )
    return quantiser, shape


def _tolerance(
    options: InferOptions, quantiser: Quantiser, source: Source, sample: NDArray[np.float32]
) -> float:
    """In stored units; `sample` is that of the part, which must get the halo of the whole scene."""
    if options.tolerance is not None:
        return options.tolerance
    if quantiser.is_integer:
        return 0.5
    if not source.is_whole:
        sample = sample_values(source.whole())
    span = float(sample.max()) - float(sample.min()) if sample.size else 0.0
    return 1e-4 * span


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
