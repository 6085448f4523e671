"""Everything that is settled before the first tile: bands, values, halo, tiles, output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
)
from srgan_cli.infer.geometry import Box, Grid, fitting_core, largest_core, round_up
from srgan_cli.infer.halo import AFFORDABLE_PX, Halo, measured_halo
from srgan_cli.infer.network import Network
from srgan_cli.infer.options import AUTO_HALO, EXACT_HALO, InferOptions
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.sink import OutputShape
from srgan_cli.infer.source import Source, fill_radius, holds
from srgan_cli.models import GeneratorSpec
from srgan_cli.weights import WeightsInfo

_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_DTYPES = (*_INTEGERS, "float32", "float64")
_CPU_BYTES = 640 * 2**20
_LIVE_MAPS = 3
"""Feature maps of the output's size that exist at the same time."""
_LIVE_OUTPUTS = 10
"""Copies of the output tile in the same unit: network, crops on their way to the writer, rounding."""
_MAX_WINDOW_PX = 4096


@dataclass(frozen=True)
class Plan:
    """What a scene's inference will do."""

    grid: Grid
    halo: Halo
    receptive_field_px: int | None
    """None = all of the input, or nobody asked because one window holds the scene."""
    quantiser: Quantiser
    output: OutputShape
    batch: int
    warnings: tuple[str, ...]

    @property
    def fill_px(self) -> int:
        """How far around a window valid pixels are looked for."""
        return fill_radius(self.grid.halo_px)


def make_plan(
    source: Source,
    network: Network,
    info: WeightsInfo,
    field: Callable[[], int | None],
    options: InferOptions,
    block_px: int,
) -> Plan:
    """Settle everything about one scene; chooses the bands of `source` on the way.

    `field` finds the receptive field and is called only where it matters.

    Raises:
        RefusedError: Bands, values, dtype, nodata or halo do not work out.
    """
    if options.qa_max_bias is not None and not options.qa:
        raise RefusedError("--qa-max-bias: without the QA that measures it", "leave out --no-qa")
    bands, warning = choose_bands(source, info.spec.in_bands, info.band_names, options.bidx)
    source.choose(bands, options.nodata)
    info = for_raster(info, source)
    warnings = [text for text in (warning, narrow_dtype(source, info.radiometry)) if text]
    sample = sample_values(source)
    misfit = check_values(source, sample, info.radiometry)
    if misfit and not options.force:
        raise RefusedError(misfit, "use other weights or bands, or convert it; --force goes on")
    if misfit:
        warnings.append(misfit)
    quantiser, output = _output(source, info, options)
    if options.qa_max_bias is not None and output.bands != len(source.bands):
        raise RefusedError(
            f"--qa-max-bias: the network makes {output.bands} bands of {len(source.bands)}, "
            "so there is no LR to compare them with",
            "leave it out",
        )
    tolerance = _tolerance(options, quantiser, sample)
    limit = window_limit(info.spec, network.device, options.batch or 1)
    longest = max(source.scene.height, source.scene.width)
    fits = longest <= (options.tile_px or limit)
    if fits and (source.area == source.whole().area or not _is_exact(field, options)):
        # Nothing is cut: the halo does not matter, as long as a part sees the whole scene.
        core = fitting_core(longest, info.scale, block_px)
        around = 0 if source.area == source.whole().area else longest
        grid = Grid(source.height, source.width, core, around, scene=source.scene)
        halo, field_px = Halo(0, "whole"), None
    else:
        field_px = field()
        halo = _halo(source, network, info, field_px, options, tolerance)
        multiple = network.size_multiple
        grid = _grid(source, info.scale, halo.px, options.tile_px, limit, block_px, multiple)
    if halo.residual is not None and halo.residual > tolerance:
        warnings.append(
            f"halo {halo.px} px leaves an error of {halo.residual:.3g} (99.9 % of pixels at tile "
            f"edges), above the tolerance {tolerance:.3g}; --halo exact "
            f"({field_px} px) leaves none"
        )
    return Plan(grid, halo, field_px, quantiser, output, options.batch or 1, tuple(warnings))


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
    lost = nodata is None and integer and (source.is_float or source.is_cut_out)
    mask = source.has_mask or lost
    quantiser = Quantiser(dtype, info.radiometry, info.scale, nodata)
    shape = OutputShape(
        bands=info.spec.out_bands,
        height=source.height * info.scale,
        width=source.width * info.scale,
        dtype=dtype,
        mask=mask,
    )
    return quantiser, shape


def _tolerance(options: InferOptions, quantiser: Quantiser, sample: NDArray[np.float32]) -> float:
    """In stored units."""
    if options.tolerance is not None:
        return options.tolerance
    if quantiser.is_integer:
        return 0.5
    span = float(sample.max()) - float(sample.min()) if sample.size else 0.0
    return 1e-4 * span


def window_limit(spec: GeneratorSpec, device: torch.device, batch: int) -> int:
    """The side of the largest window, in LR pixels, whose feature maps fit the memory."""
    budget = _CPU_BYTES
    if device.type == "cuda":
        budget = torch.cuda.mem_get_info(device)[0] // 2
    large = spec.n_channels * spec.scale**2
    dense = spec.n_channels + 5 * spec.growth_channels
    outputs = spec.out_bands * spec.scale**2
    per_pixel = 4 * batch * (_LIVE_MAPS * max(large, dense) + _LIVE_OUTPUTS * outputs)
    return min(math.isqrt(budget // per_pixel), _MAX_WINDOW_PX)


def _grid(
    source: Source,
    scale: int,
    halo_px: int,
    tile_px: int | None,
    limit_px: int,
    block_px: int,
    multiple_px: int,
) -> Grid:
    if tile_px is None:
        core = largest_core(limit_px, halo_px, scale, block_px, multiple_px)
    else:
        core = fitting_core(tile_px, scale, block_px, multiple_px)
    return Grid(source.height, source.width, core, halo_px, multiple_px, source.scene)


def _halo(
    source: Source,
    network: Network,
    info: WeightsInfo,
    field_px: int | None,
    options: InferOptions,
    tolerance: float,
) -> Halo:
    scene = source.whole()
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

    def predict(lr: Tensor) -> Tensor:
        # The offset cancels out in the errors, which are then in stored units, band by band.
        return radiometry.difference_to_stored(network(lr))

    shape = (scene.height, scene.width)
    px, residual = measured_halo(predict, read, shape, info.scale, field_px, tolerance, multiple)
    if px == field_px:
        return Halo(px, "exact")
    return Halo(px, "measured", residual)
