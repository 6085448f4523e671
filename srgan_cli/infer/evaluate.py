"""How good a model is: HR scenes are degraded, super-resolved, and compared with themselves.

Windows overlap by everything that network, degradation and metrics see, so the figures are those
of the whole scene at once, in memory that does not grow with it. They are in stored units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli import metrics
from srgan_cli.data.degradation import degrade, margin_px
from srgan_cli.data.rasters import gdal_env
from srgan_cli.errors import RefusedError
from srgan_cli.infer.bands import check_values, choose_bands, for_raster, sample_values
from srgan_cli.infer.geometry import Grid, Tile, fitting_core, largest_core, round_up
from srgan_cli.infer.halo import CANDIDATES_PX
from srgan_cli.infer.model import Model
from srgan_cli.infer.network import Network
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.source import Source, fill_radius, quiet_rasterio
from srgan_cli.models import upsample

_SSIM_PX = 11
_BICUBIC_PX = 2


@dataclass(frozen=True)
class Quality:
    """Figures over the valid pixels of a scene."""

    psnr: float
    """dB, over all bands."""
    ssim: float
    sam: float
    """Degrees."""


@dataclass(frozen=True)
class Evaluation:
    """One scene."""

    file: str
    sr: Quality
    bicubic: Quality
    gain: float
    """PSNR of SR less that of bicubic, dB."""
    valid_pixels: int
    peak: float
    """The value range that PSNR and SSIM refer to, in stored units."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class _Sums:
    """Streaming sums of one method."""

    def __init__(self, peak: float) -> None:
        self._peak = peak
        self._squares = self._values = self._ssim = self._windows = self._sam = self._pixels = 0.0

    def add(self, image: Tensor, hr: Tensor, valid: Tensor, core: tuple[slice, slice]) -> None:
        """`image`, `hr` (1, C, H, W) and `valid` (1, 1, H, W) of the core and what SSIM adds."""
        if min(hr.shape[-2:]) >= _SSIM_PX:
            windows = float((1 - F.max_pool2d(1 - valid, _SSIM_PX, stride=1)).sum())
            if windows:
                self._ssim += windows * float(metrics.ssim(image, hr, valid, self._peak))
                self._windows += windows
        image, hr, valid = (part[..., core[0], core[1]] for part in (image, hr, valid))
        count = float(valid.sum())
        if not count:
            return
        self._squares += float(((image - hr).double().square() * valid).sum())
        self._values += count * image.shape[1]
        # Angles need a physical zero: stored units have it.
        self._sam += count * float(metrics.sam(image, hr, valid))
        self._pixels += count

    def quality(self) -> Quality:
        """The figures of all that was added; NaN without a valid pixel."""
        error = _ratio(self._squares, self._values)
        psnr = math.inf if error == 0 else 10 * math.log10(self._peak**2 / error)
        return Quality(
            psnr=psnr,
            ssim=_ratio(self._ssim, self._windows),
            sam=math.degrees(_ratio(self._sam, self._pixels)),
        )

    @property
    def pixels(self) -> int:
        """Valid pixels so far."""
        return int(self._pixels)


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan


def evaluate_file(
    model: Model,
    path: str,
    kind: str = "bicubic",
    options: InferOptions | None = None,
    advance: Callable[[int], None] | None = None,
) -> Evaluation:
    """Degrade an HR raster with `kind`, super-resolve it and compare, beside bicubic upsampling.

    The raster is cropped to a multiple of the scale. Only `bidx`, `nodata`, `tile_px`, `device`,
    `precision` and `force` of the options matter.

    Raises:
        RefusedError: As `Model.infer_file`; also when the raster is smaller than one LR pixel.
    """
    options = options or InferOptions()
    info, scale = model.info, model.info.scale
    if info.spec.in_bands != info.spec.out_bands:
        raise RefusedError(
            f"the weights make {info.spec.out_bands} bands of {info.spec.in_bands}",
            "only networks that keep the bands can be compared with their input",
        )
    with quiet_rasterio(), gdal_env(), model.source(path, options) as source:
        model, sample = _prepare(source, model, options)
        height, width = source.height // scale, source.width // scale
        if not height or not width:
            raise RefusedError(
                f"{path}: {source.width} x {source.height} pixels, less than the scale {scale}",
                "give a larger HR raster",
            )
        network = model.network(options)
        grid = _grid(model, network, options, kind, height, width)
        peak = _peak(source, model, sample)
        sums = [_Sums(peak) for _ in range(2)]
        for tile in _tiles(grid):
            _add_tile(sums, tile, source, network, model, kind, grid)
            if advance is not None:
                advance(1)
    sr, bicubic = (each.quality() for each in sums)
    return Evaluation(path, sr, bicubic, sr.psnr - bicubic.psnr, sums[0].pixels, peak)


def _prepare(
    source: Source, model: Model, options: InferOptions
) -> tuple[Model, NDArray[np.float32]]:
    """The model in terms of the raster's stored values, and a sample of them."""
    info = model.info
    bands, _ = choose_bands(source, info.spec.in_bands, info.band_names, options.bidx)
    source.choose(bands, options.nodata)
    info = for_raster(info, source)
    sample = sample_values(source)
    misfit = check_values(source, sample, info.radiometry)
    if misfit and not options.force:
        raise RefusedError(misfit, "use other weights or bands, or convert it; --force goes on")
    return Model(model.generator, info, model.sha256), sample


def _peak(source: Source, model: Model, sample: NDArray[np.float32]) -> float:
    """In stored units: the radiometry's bright value, else the dtype's or the data's range."""
    usual_max = model.info.radiometry.usual_max
    if usual_max is not None:
        return max(usual_max) if isinstance(usual_max, tuple) else usual_max
    if not source.is_float:
        return float(np.iinfo(source.dtype).max)
    return float(sample.max() - sample.min()) if sample.size else 1.0


def _grid(
    model: Model, network: Network, options: InferOptions, kind: str, height: int, width: int
) -> Grid:
    """Cuts the LR scene; without cutting the halo does not matter."""
    scale, longest = model.info.scale, max(height, width)
    limit = network.memory(1).largest_input_px
    if longest <= (options.tile_px or limit):
        return Grid(height, width, longest, 0)
    field_px = model.receptive_field()
    if field_px is None:
        raise RefusedError(
            f"this network averages over its whole input: {width} x {height} LR pixels must be "
            "one window",
            f"give smaller rasters, or --tile {longest} if the memory allows",
        )
    halo = (
        min(field_px, CANDIDATES_PX[-1])
        + margin_px(scale, kind) // scale
        + _BICUBIC_PX
        + math.ceil(_SSIM_PX / 2 / scale)
    )
    multiple = network.size_multiple
    halo = round_up(halo, multiple)
    if options.tile_px:
        core = fitting_core(options.tile_px, scale, 1, multiple)
    else:
        core = largest_core(limit, halo, scale, 64, multiple)
    return Grid(height, width, core, halo, multiple)


def _tiles(grid: Grid) -> Iterator[Tile]:
    for strip in range(grid.num_strips):
        for segment in grid.strip(strip, 1):
            yield from segment.tiles


def _add_tile(
    sums: Sequence[_Sums],
    tile: Tile,
    source: Source,
    network: Network,
    model: Model,
    kind: str,
    grid: Grid,
) -> None:
    scale = model.info.scale
    window, core = tile.window.scaled(scale), tile.core.scaled(scale)
    values, valid = source.read_filled(window, fill_radius(grid.halo_px * scale))
    if not valid[core.within(window)].any():
        return
    radiometry, hr = model.info.radiometry, torch.from_numpy(values)[None]
    lr = degrade(radiometry.to_network(hr), scale, kind)
    around = core.grown(_SSIM_PX // 2, grid.height * scale, grid.width * scale)
    rows, cols = around.within(window)
    part = hr[..., rows, cols]
    weight = torch.from_numpy(valid[rows, cols].astype(np.float32))[None, None]
    inner = core.within(around)
    sr = network(lr)
    for total, image in zip(sums, (sr, upsample(lr, scale, "bicubic")), strict=True):
        total.add(radiometry.to_stored(image)[..., rows, cols], part, weight, inner)


def mean(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Plain means over the scenes."""
    return {
        "psnr": float(np.mean([each.sr.psnr for each in evaluations])),
        "ssim": float(np.mean([each.sr.ssim for each in evaluations])),
        "sam": float(np.mean([each.sr.sam for each in evaluations])),
        "bicubic_psnr": float(np.mean([each.bicubic.psnr for each in evaluations])),
        "bicubic_ssim": float(np.mean([each.bicubic.ssim for each in evaluations])),
        "bicubic_sam": float(np.mean([each.bicubic.sam for each in evaluations])),
        "gain": float(np.mean([each.gain for each in evaluations])),
    }
