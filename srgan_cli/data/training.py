"""The imagery of a run: opened, checked, split, served as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.blocks import dear_reads, worth_aligning
from srgan_cli.data.cache import ImageCache, check_memory, fill_cache
from srgan_cli.data.checks import check_band_order, inconsistencies, overlaps
from srgan_cli.data.crops import TrainCrops, fixed_places, sample_numbers
from srgan_cli.data.cutter import Cutter, Place, Scene
from srgan_cli.data.degradation import Degradation
from srgan_cli.data.fitting import fit_normalization
from srgan_cli.data.footprints import loose_pairs, scene_of
from srgan_cli.data.handover import check_room, crop_floats
from srgan_cli.data.images import build_reading
from srgan_cli.data.loader import in_process, load_batches
from srgan_cli.data.looking import (
    Looked,
    band_names_of,
    check_ranges,
    choose_degradation,
    look_at_pair,
)
from srgan_cli.data.radiometry import Radiometry, build_radiometry
from srgan_cli.data.rasters import gdal_env
from srgan_cli.data.scenes import Raster
from srgan_cli.data.sources import find_sources
from srgan_cli.data.split import cut_in_two, hold_back
from srgan_cli.data.unreadable import UnreadableFiles, readable
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig


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
        self._cache: ImageCache | None = None
        first = rasters[0][0]
        self.band_names = band_names_of(config, first)
        self.gsd_m = first.gsd_m
        area = sum(scene.valid_area for scene in train)
        crops = area / config.data.hr_crop_px**2
        self.steps_per_epoch = max(1, math.ceil(crops / config.data.train_batch_size))

    def train_batches(
        self,
        first_step: int,
        last_step: int,
        rank: int = 0,
        world: int = 1,
        warn: Callable[[str], None] = lambda _: None,
    ) -> Generator[Batch, None, None]:
        """The batch of each step in [first_step, last_step); close the generator to stop the loader.

        A crop is a function of the seed, the step and its place in the batch alone; each of `world`
        ranks takes its share of these places, so all together see what one would.
        `warn` hears once of each file that fails and is skipped, and at the end how often.

        Raises:
            SrganError: a file cannot be read.
        """
        data, crops = self.config.data, self.train_crops()
        steps, size = range(first_step, last_step), data.train_batch_size // world
        numbers = (sample_numbers(step, rank, world, size) for step in steps)
        unreadable = UnreadableFiles(warn)
        batches = load_batches(
            crops, numbers, data.num_workers, data.prefetch_factor, unreadable.add
        )
        return unreadable.told_at_the_end(batches)

    def train_crops(self) -> TrainCrops:
        """Sample number -> crop, for reading in whatever process; `train_batches` numbers them."""
        data = self.config.data
        return TrainCrops(
            self._train,
            self._cutter(data.hr_crop_px, self._fill_cache()),
            self.config.training.seed,
            data.min_valid_fraction,
            data.augment,
            data.min_texture,
            data.band_dropout,
            data.on_bad_file == "skip",
        )

    def _cutter(self, crop_px: int, cache: ImageCache | None = None) -> Cutter:
        return Cutter(crop_px, self.radiometry, self.degradation, build_reading(self.config), cache)

    def _fill_cache(self) -> ImageCache | None:
        """The training images in memory, decoded at the first call; None without `Data.cache`."""
        data = self.config.data
        if data.cache == "ram" and self._cache is None:
            files = {scene.hr: scene.hr_bands for scene in self._train}
            files |= {scene.lr: scene.lr_bands for scene in self._train if scene.lr}
            with in_process():
                self._cache = fill_cache(
                    files,
                    build_reading(self.config),
                    data.num_workers > 0,
                    data.on_bad_file == "skip",
                )
        return self._cache

    def validation(self, warn: Callable[[str], None] = lambda _: None) -> Batch:
        """The fixed validation crops, on the CPU: the same ones at every call and in every run of the seed."""
        data = self.config.data
        cutter = self._cutter(data.val_crop_px or data.hr_crop_px)
        with in_process():
            crops = readable(
                range(len(self._val)),
                lambda index: cutter.cut(self._val[index], noise_seed=index),
                data.on_bad_file == "skip",
                warn,
                "validation crops",
            )
            cutter.close()
        return stack(crops)

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
    data, radiometry = config.data, build_radiometry(config.data.normalization)
    sources = find_sources(data)
    warnings = list(sources.warnings)
    with gdal_env():
        train, val = (
            readable(
                pairs,
                lambda pair: look_at_pair(pair, config, radiometry),
                data.on_bad_file == "skip",
                warnings.append,
                "scenes",
            )
            for pairs in (sources.train, sources.val)
        )
    return arrange(config, train, val, warnings)


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
    radiometry, scale = build_radiometry(config.data.normalization), config.generator.scaling_factor
    check_band_order([hr for hr, _ in (*train, *val)])
    degradation = choose_degradation(config, train[0])
    warnings = list(warnings)
    if val:
        train_scenes = [scene_of(looked, scale) for looked in train]
        val_scenes = [scene_of(looked, scale) for looked in val]
    elif len(train) > 1:
        train, val = hold_back(train, config)
        train_scenes = [scene_of(looked, scale) for looked in train]
        val_scenes = [scene_of(looked, scale) for looked in val]
    else:
        upper, lower = cut_in_two(scene_of(train[0], scale), config, degradation)
        train_scenes, val_scenes = [upper], [lower]
        warnings.append(
            f"only one scene: its last {lower.end_row - lower.first_row} of {lower.height} rows are "
            "for validation; a second scene would tell more"
        )
    if radiometry is None:
        config, radiometry = fit_normalization(config, train_scenes)
        check_ranges((*train, *val), radiometry)
    warnings += _check_loading(config, train)
    train_scenes = _with_blocks(train, train_scenes)
    warnings += loose_pairs([*train, *val], scale)
    warnings += inconsistencies([hr for hr, _ in (*train, *val)])
    warnings += overlaps([hr for hr, _ in train], [hr for hr, _ in val])
    val_crop_px = config.data.val_crop_px or config.data.hr_crop_px
    cutter = Cutter(val_crop_px, radiometry, degradation, build_reading(config))
    places = _validation_places(val_scenes, config, cutter)
    roles = _roles(train, "train" if val else "train, val") + _roles(val, "val")
    return TrainingData(config, radiometry, degradation, train_scenes, places, roles, warnings)


def _check_loading(config: RunConfig, train: Sequence[Looked]) -> list[str]:
    """What makes reading slow; refuses what has no room in memory."""
    data = config.data
    floats = crop_floats(data.hr_crop_px, config.model.in_bands, config.generator.scaling_factor)
    check_room(floats * data.train_batch_size, data.num_workers, data.prefetch_factor + 1)
    if data.cache == "ram":
        images = [raster for pair in train for raster in pair if raster]
        check_memory(images, data.num_workers > 0, config.training.processes)
        return []
    return dear_reads([hr for hr, _ in train], data.hr_crop_px)


def _with_blocks(train: Sequence[Looked], scenes: list[Scene]) -> list[Scene]:
    """Scenes that move their crops into blocks of the files, where that saves much."""
    if not worth_aligning([hr for hr, _ in train]):
        return scenes
    blocks = {hr.path: hr.block for hr, _ in train}
    return [replace(scene, block=blocks[scene.hr]) for scene in scenes]


def _validation_places(scenes: Sequence[Scene], config: RunConfig, cutter: Cutter) -> list[Place]:
    data = config.data
    with gdal_env():
        places = fixed_places(
            scenes,
            cutter,
            data.val_crops,
            config.training.seed,
            data.min_valid_fraction,
            data.on_bad_file == "skip",
        )
        cutter.close()
    if not places:
        raise RefusedError(
            f"Data.min_valid_fraction: no validation crop of {cutter.crop_px} pixels in {scenes[0].hr} "
            f"has {data.min_valid_fraction:.0%} valid pixels",
            "lower Data.min_valid_fraction or Data.val_crop_px, or give other scenes with Data.val_hr",
        )
    return places


def _roles(looked: Sequence[Looked], role: str) -> list[tuple[Raster, str]]:
    rows = []
    for hr, lr in looked:
        rows.append((hr, role))
        if lr is not None:
            rows.append((lr, f"{role} LR"))
    return rows
