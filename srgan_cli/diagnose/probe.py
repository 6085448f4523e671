"""`srgan diagnose ema.safetensors`: the upsampling grid of a generator, from its weights alone.

The only file of this package that imports torch, and only when a weights file is to be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.engine import examine_pictures
from srgan_cli.diagnose.images import Tiles, value_range
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.report import Remedy, Report
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.models import Generator
    from srgan_cli.weights import WeightsInfo

_FIELDS: Final = 8
_MARGIN_PX: Final = 8
"""LR px along each side that show the zero padding rather than the network."""
_CELLS: Final = 24
_SEED: Final = 20240229
_DARK, _BRIGHT, _SWING = 0.03, 0.5, 0.08
"""Shares of the usual range: level of the darkest and of the brightest field, and its swing."""


def diagnose_weights(path: Path) -> Report:
    """The diagnosis of a weights file; see `diagnose_generator`.

    Raises:
        RefusedError: No weights file of ours, or a generator without an upsampling grid.
    """
    from srgan_cli.weights import load_generator

    if not path.is_file():
        raise RefusedError(f"{path} does not exist", "give the weights file of a run")
    generator, info = load_generator(path)
    return diagnose_generator(generator, info, str(path))


def diagnose_generator(
    generator: Generator, info: WeightsInfo, source: str, notes: Sequence[str] = ()
) -> Report:
    """The diagnosis of a generator, in eval mode: what it makes of smooth fields.

    A smooth field has no detail, so whatever is locked to the grid in its SR is the generator's own
    (Sugawara et al. 2018: the upsampling phases differ in gain). Beside the amplitude, the index of
    every PixelShuffle convolution tells where its weights come from: 0 = all phases have the same gain, as
    ICNR starts; about 0.87 = never initialised so.

    Args:
        generator: The network; channel attention averages over whole fields from then on.
        info: Its bands, scale and radiometry.
        source: What it was loaded from, for the report.
        notes: What else the reader should know of the weights.

    Raises:
        RefusedError: It has no upsampling grid, or its output is not finite.
    """
    if info.scale < 2:
        raise RefusedError(f"{source}: scale {info.scale} has no upsampling grid")
    fields = smooth_fields(info)
    sr = _respond(generator, fields, info.scale)
    pictures = Pictures(
        kind="probe", scale=info.scale, sr=(sr,), band_range=value_range(fields), lr=None
    )
    indices = gain_indices(generator)
    bands = len(info.band_names)
    report = examine_pictures(
        pictures,
        source,
        "weights",
        f"{info.spec.model_type}, {bands} bands, scale {info.scale}, step {info.step}",
        (*notes, *((_about_indices(indices),) if indices else ())),
    )
    return _with_indices(report, indices)


def smooth_fields(info: WeightsInfo) -> Tiles:
    """(8, C, h, w) float32 LR fields in network units, from dark to bright, without detail."""
    rng = np.random.default_rng(_SEED)
    bands, side = info.spec.in_bands, _CELLS + 2 * _MARGIN_PX
    y, x = np.mgrid[:side, :side] / side
    levels = np.linspace(_DARK, _BRIGHT, _FIELDS)[:, None, None, None]
    phases = rng.uniform(0, 2 * np.pi, (2, _FIELDS, bands, 1, 1))
    turns = rng.uniform(0.3, 1.0, (2, _FIELDS, bands, 1, 1))
    waves = np.cos(2 * np.pi * turns[0] * y + phases[0]) + np.cos(
        2 * np.pi * turns[1] * x + phases[1]
    )
    tint = rng.uniform(0.7, 1.3, (1, bands, 1, 1))
    share = np.clip(levels * tint + 0.5 * _SWING * waves, 0.0, None)
    return _in_network_units(share, info).astype(np.float32)


def _in_network_units(share: np.ndarray[Any, Any], info: WeightsInfo) -> np.ndarray[Any, Any]:
    """Network values for shares of the usual range of stored values."""
    radiometry, bands = info.radiometry, share.shape[1]

    def per_band(value: float | tuple[float, ...]) -> np.ndarray[Any, Any]:
        return np.broadcast_to(np.asarray(value, np.float64), (bands,)).reshape(1, -1, 1, 1)

    scale, offset = per_band(radiometry.scale), per_band(radiometry.offset)
    low = per_band(radiometry.usual_min)
    # Without a usual maximum, the network's unit range stands for it.
    high = (1 - offset) / scale if radiometry.usual_max is None else per_band(radiometry.usual_max)
    stored = low + share * (high - low)
    return np.asarray(stored * scale + offset)


def _respond(generator: Generator, fields: Tiles, scale: int) -> Tiles:
    import torch

    generator.pool_locally_(None)
    torch.manual_seed(_SEED)
    with torch.inference_mode():
        sr = generator(torch.from_numpy(fields))
    margin = _MARGIN_PX * scale
    found: Tiles = sr[:, :, margin:-margin, margin:-margin].float().numpy()
    if not np.isfinite(found).all():
        raise RefusedError(
            "the generator's output is not finite on smooth fields", "export it from the run again"
        )
    return found


def gain_indices(generator: Generator) -> dict[str, float]:
    """Name of each convolution before a PixelShuffle -> how much its phases differ in gain, 0 to 1."""
    import torch
    from torch import nn

    modules = list(generator.named_modules())
    found = {}
    convolution: tuple[str, nn.Conv2d] | None = None
    for name, module in modules:
        if isinstance(module, nn.Conv2d):
            convolution = (name, module)
        elif isinstance(module, nn.PixelShuffle) and convolution is not None:
            gain = convolution[1].weight.detach().double().sum(dim=(2, 3))
            phases = gain.reshape(-1, module.upscale_factor**2, gain.shape[1])
            rest = phases - phases.mean(dim=1, keepdim=True)
            found[convolution[0]] = float(torch.linalg.norm(rest) / torch.linalg.norm(phases))
    return found


def _about_indices(indices: dict[str, float]) -> str:
    each = ", ".join(f"{name} {value:.2f}" for name, value in indices.items())
    return (
        f"unequal gain of the upsampling phases (0 = as ICNR starts, 0.87 = never applied): {each}"
    )


def _with_indices(report: Report, indices: dict[str, float]) -> Report:
    """ICNR is proposed only where the weights did not start with it."""
    without_icnr = any(value > limit.GAIN_INDEX_RANDOM for value in indices.values())

    def fits(remedy: Remedy) -> bool:
        return remedy.key != "Generator.use_icnr" or without_icnr

    findings = tuple(
        replace(
            finding,
            remedy=tuple(remedy for remedy in finding.remedy if fits(remedy)),
            evidence={**finding.evidence, "gain_indices": indices},
        )
        for finding in report.findings
    )
    return replace(report, findings=findings)
