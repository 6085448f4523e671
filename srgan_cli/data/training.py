"""The imagery of a run: opened, checked, split, served as batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.checks import (
    check_band_order,
    check_crop,
    check_pair,
    check_range,
    inconsistencies,
    overlaps,
)
from srgan_cli.data.crops import (
    Cutter,
    Place,
    Scene,
    TrainCrops,
    fixed_places,
    sample_numbers,
)
from srgan_cli.data.degradation import Degradation, build_degradation
from srgan_cli.data.fitting import fit_normalization
from srgan_cli.data.loader import in_process, load_batches
from srgan_cli.data.radiometry import Radiometry, build_radiometry
from srgan_cli.data.rasters import gdal_env
from srgan_cli.data.scenes import Raster, look_at
from srgan_cli.data.sources import Pair, find_sources
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

Looked = tuple[Raster, Raster | None]
"""HR, and LR where it is not made from HR."""


class TrainingData:
    """Training and validation crops of one run; made by `open_training_data`."""

    def __init__(
        self,
        config: RunConfig,
        radiometry: Radiometry,
        degradation: Degradation,
        train: Sequence[Scene],
        val: Sequence[Place],
        rasters: Sequence[tuple[Raster, str]],
        warnings: Sequence[str],
    ) -> None:
        self.config = config
        """The run's configuration, with the numbers of a fitted normalization."""
        self.radiometry = radiometry
        self.degradation = degradation
        self.warnings = tuple(warnings)
        self._train = tuple(train)
        self._val = tuple(val)
        self._rasters = tuple(rasters)
        first = rasters[0][0]
        self.band_names = band_names_of(config, first)
        self.gsd_m = first.gsd_m
        area = sum(scene.valid_area for scene in train)
        crops = area / config.data.hr_crop_px**2
        self.steps_per_epoch = max(1, math.ceil(crops / config.data.train_batch_size))

    def train_batches(
        self, first_step: int, last_step: int, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        """The batch of each step in [first_step, last_step); close the generator to stop the loader.

        A crop is a function of the seed, the step, the rank and its place in the batch alone.

        Raises:
            SrganError: a file cannot be read.
        """
        data = self.config.data
        crops = TrainCrops(
            self._train,
            Cutter(data.hr_crop_px, self.radiometry, self.degradation, data.nodata),
            self.config.training.seed,
            data.min_valid_fraction,
            data.augment,
            data.min_texture,
            data.band_dropout,
        )
        steps, size = range(first_step, last_step), data.train_batch_size
        numbers = (sample_numbers(step, rank, world, size) for step in steps)
        return load_batches(crops, numbers, data.num_workers, data.prefetch_factor)

    def validation(self) -> Batch:
        """The fixed validation crops, on the CPU: the same ones at every call and in every run of the seed."""
        data = self.config.data
        cutter = Cutter(
            data.val_crop_px or data.hr_crop_px, self.radiometry, self.degradation, data.nodata
        )
        with in_process():
            batch = stack([cutter.cut(place, noise_seed=i) for i, place in enumerate(self._val)])
            cutter.close()
        return batch

    def describe(self) -> list[tuple[str, ...]]:
        """Rows (file, role, size, bands, dtype, CRS, pixel, range) for a table."""
        return [
            (
                raster.path,
                role,
                raster.size,
                ",".join(str(band) for band in raster.bands),
                raster.dtype,
                raster.crs[:24] or "none",
                f"{raster.gsd_m:.3g} m" if raster.gsd_m else "unknown",
                f"{raster.low:.4g}..{raster.high:.4g}",
            )
            for raster, role in self._rasters
        ]


def open_training_data(config: RunConfig) -> TrainingData:
    """Find, open and check all imagery of a configuration: headers and a decimated look per file.

    Raises:
        RefusedError: something does not fit; the message names the file and the key.
    """
    radiometry = build_radiometry(config.data.normalization)
    sources = find_sources(config.data)
    with gdal_env():
        train = [_look_at_pair(pair, config, radiometry) for pair in sources.train]
        val = [_look_at_pair(pair, config, radiometry) for pair in sources.val]
    return arrange(config, train, val, sources.warnings)


def arrange(
    config: RunConfig, train: Sequence[Looked], val: Sequence[Looked], warnings: Sequence[str]
) -> TrainingData:
    """The data of a run from files that are each in order: split, fitted, checked together.

    Args:
        config: The run.
        train: Files to train on.
        val: Files for validation; empty: held back from `train`.
        warnings: What is known already.

    Raises:
        RefusedError: The files do not fit each other, or leave nothing to train or validate on.
    """
    data, radiometry = config.data, build_radiometry(config.data.normalization)
    check_band_order([hr for hr, _ in (*train, *val)])
    degradation = choose_degradation(config, train[0])
    warnings = list(warnings)
    if val:
        train_scenes = [scene_of(looked, config) for looked in train]
        val_scenes = [scene_of(looked, config) for looked in val]
    elif len(train) > 1:
        train, val = _hold_back(train, config)
        train_scenes = [scene_of(looked, config) for looked in train]
        val_scenes = [scene_of(looked, config) for looked in val]
    else:
        upper, lower = _cut_in_two(scene_of(train[0], config), config, degradation)
        train_scenes, val_scenes = [upper], [lower]
        warnings.append(
            f"only one scene: its last {lower.end_row - lower.first_row} of {lower.height} rows are "
            "for validation; a second scene would tell more"
        )
    if radiometry is None:
        config, radiometry = fit_normalization(config, train_scenes)
        _check_ranges((*train, *val), radiometry)
    warnings += inconsistencies([hr for hr, _ in (*train, *val)])
    warnings += overlaps([hr for hr, _ in train], [hr for hr, _ in val])
    places = _validation_places(
        val_scenes,
        config,
        Cutter(data.val_crop_px or data.hr_crop_px, radiometry, degradation, data.nodata),
    )
    roles = _roles(train, "train" if val else "train, val") + _roles(val, "val")
    return TrainingData(config, radiometry, degradation, train_scenes, places, roles, warnings)


def _check_ranges(looked: Sequence[Looked], radiometry: Radiometry) -> None:
    for hr, lr in looked:
        check_range(hr, radiometry)
        if lr is not None:
            check_range(lr, radiometry)


def _look_at_pair(pair: Pair, config: RunConfig, radiometry: Radiometry | None) -> Looked:
    data, scale = config.data, config.generator.scaling_factor
    with _naming(pair.hr_key):
        hr = _look_at(pair.hr, config)
        check_crop(hr, data.hr_crop_px, scale, "Data.hr_crop_px")
        if data.val_crop_px:
            check_crop(hr, data.val_crop_px, scale, "Data.val_crop_px")
        if radiometry is not None:
            check_range(hr, radiometry)
    if pair.lr is None:
        return hr, None
    with _naming(pair.lr_key):
        lr = _look_at(pair.lr, config)
        check_pair(hr, lr, scale)
        if radiometry is not None:
            check_range(lr, radiometry)
    return hr, lr


def _look_at(path: str, config: RunConfig) -> Raster:
    return look_at(path, config.data.bands, config.model.in_bands, config.data.nodata)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Puts the key that led to a file before what is wrong with it."""
    try:
        yield
    except RefusedError as err:
        raise RefusedError(f"{key}: {err.message}", err.hint) from err


def _hold_back(looked: Sequence[Looked], config: RunConfig) -> tuple[list[Looked], list[Looked]]:
    """Whole scenes for validation, chosen by the seed."""
    count = round(config.data.val_fraction * len(looked))
    count = min(max(count, 1), len(looked) - 1)
    rng = Generator(PCG64(SeedSequence([config.training.seed], spawn_key=(2,))))
    held = set(rng.permutation(len(looked))[:count].tolist())
    train = [pair for index, pair in enumerate(looked) if index not in held]
    return train, [pair for index, pair in enumerate(looked) if index in held]


def scene_of(looked: Looked, config: RunConfig) -> Scene:
    """The part of a raster (pair) that crops may be taken from: all of it."""
    hr, lr = looked
    scale = config.generator.scaling_factor
    fraction, spots = hr.valid_fraction, hr.valid_spots
    if lr is not None and lr.valid_fraction < fraction:
        fraction, spots = lr.valid_fraction, lr.valid_spots * scale
    height, width = hr.height // scale * scale, hr.width // scale * scale
    return Scene(
        hr=hr.path,
        lr=lr.path if lr else None,
        hr_bands=hr.bands,
        lr_bands=lr.bands if lr else (),
        height=height,
        width=width,
        first_row=0,
        end_row=height,
        valid_fraction=fraction,
        valid_spots=spots,
    )


def _cut_in_two(scene: Scene, config: RunConfig, degradation: Degradation) -> tuple[Scene, Scene]:
    """Training rows above, validation rows below, and between them more than LR sees from both sides."""
    data, scale = config.data, config.generator.scaling_factor
    val_crop = data.val_crop_px or data.hr_crop_px
    gap = scale if scene.lr else max(2 * degradation.margin_px, scale)
    first_val = _first_validation_row(scene, data.val_fraction, val_crop) // scale * scale
    end_train = first_val - gap
    if end_train < data.hr_crop_px:
        raise RefusedError(
            f"Data.hr: {scene.hr} is the only scene, and its {scene.height} rows do not hold training crops of "
            f"{data.hr_crop_px}, {scene.height - first_val} validation rows and a gap of {gap}",
            "add a scene, or lower Data.hr_crop_px and Data.val_crop_px",
        )
    return (
        _rows_of(scene, 0, end_train),
        _rows_of(scene, first_val, scene.height),
    )


def _first_validation_row(scene: Scene, fraction: float, crop_px: int) -> int:
    """Below it lie `fraction` of the valid area, and at least one crop."""
    rows = np.sort(scene.valid_spots[:, 0]) if len(scene.valid_spots) else np.arange(scene.height)
    return min(int(rows[int((1 - fraction) * len(rows))]), int(rows[-1]) + 1 - crop_px)


def _rows_of(scene: Scene, first_row: int, end_row: int) -> Scene:
    """The part of a scene between two rows."""
    spots, fraction = scene.valid_spots, scene.valid_fraction
    if len(spots):
        inside = (spots[:, 0] >= first_row) & (spots[:, 0] < end_row)
        if not inside.any():
            raise RefusedError(
                f"Data.hr: {scene.hr} is the only scene, and its rows {first_row} to {end_row - 1} hold no valid pixel",
                "give a validation scene with Data.val_hr, or change Data.val_fraction",
            )
        spots = spots[inside]
        fraction = min(1.0, fraction * inside.mean() * scene.height / (end_row - first_row))
    return replace(
        scene,
        first_row=first_row,
        end_row=end_row,
        valid_fraction=float(fraction),
        valid_spots=np.ascontiguousarray(spots),
    )


def _validation_places(scenes: Sequence[Scene], config: RunConfig, cutter: Cutter) -> list[Place]:
    data = config.data
    with gdal_env():
        places = fixed_places(
            scenes, cutter, data.val_crops, config.training.seed, data.min_valid_fraction
        )
        cutter.close()
    if not places:
        raise RefusedError(
            f"Data.min_valid_fraction: no validation crop of {cutter.crop_px} pixels in {scenes[0].hr} "
            f"has {data.min_valid_fraction:.0%} valid pixels",
            "lower Data.min_valid_fraction or Data.val_crop_px, or give other scenes with Data.val_hr",
        )
    return places


def choose_degradation(config: RunConfig, looked: Looked) -> Degradation:
    """How LR is made; where LR is given, only the scale of it matters."""
    hr, lr = looked
    scale = config.generator.scaling_factor
    if lr is not None:
        return Degradation(scale)
    return build_degradation(config.data.degradation, scale, band_names_of(config, hr))


def band_names_of(config: RunConfig, hr: Raster) -> tuple[str, ...]:
    """Names of the bands in network order; `band N` where a band has no name of its own."""
    names = config.data.band_names or hr.descriptions
    return tuple(name or f"band {band}" for name, band in zip(names, hr.bands, strict=True))


def _roles(looked: Sequence[Looked], role: str) -> list[tuple[Raster, str]]:
    rows = []
    for hr, lr in looked:
        rows.append((hr, role))
        if lr is not None:
            rows.append((lr, f"{role} LR"))
    return rows
