"""The imagery of a run: opened, checked, split, served as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import PCG64, SeedSequence
from numpy.random import Generator as RandomGenerator
from rasterio.windows import Window

from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.blocks import dear_reads, worth_aligning
from srgan_cli.data.cache import ImageCache, check_memory, fill_cache
from srgan_cli.data.checks import (
    check_band_order,
    check_crop,
    check_range,
    inconsistencies,
    overlaps,
)
from srgan_cli.data.crops import Cutter, Place, Scene, TrainCrops, fixed_places
from srgan_cli.data.degradation import margin_px
from srgan_cli.data.footprints import align, loose_pairs, scene_of
from srgan_cli.data.handover import check_room, crop_floats
from srgan_cli.data.images import build_reading
from srgan_cli.data.loader import in_process, load_batches
from srgan_cli.data.radiometry import Radiometry, build_radiometry
from srgan_cli.data.rasters import UnreadableError, gdal_env
from srgan_cli.data.scenes import Raster, look_at
from srgan_cli.data.sources import Pair, find_sources
from srgan_cli.data.unreadable import UnreadableFiles, readable
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
        train: Sequence[Scene],
        val: Sequence[Place],
        rasters: Sequence[tuple[Raster, str]],
        warnings: Sequence[str],
    ) -> None:
        self.radiometry = radiometry
        self.warnings = tuple(warnings)
        self._config = config
        self._train = tuple(train)
        self._val = tuple(val)
        self._rasters = tuple(rasters)
        self._cache: ImageCache | None = None
        first = rasters[0][0]
        names = config.data.band_names or first.descriptions
        self.band_names = tuple(
            name or f"band {band}" for name, band in zip(names, first.bands, strict=True)
        )
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

        A crop is a function of the seed, the step, the rank and its place in the batch alone.
        `warn` hears once of each file that fails and is skipped, and at the end how often.

        Raises:
            SrganError: a file cannot be read.
        """
        data, crops = self._config.data, self.train_crops()
        size = data.train_batch_size
        starts = ((step * world + rank) * size for step in range(first_step, last_step))
        numbers = (list(range(start, start + size)) for start in starts)
        unreadable = UnreadableFiles(warn)
        batches = load_batches(
            crops, numbers, data.num_workers, data.prefetch_factor, unreadable.add
        )
        return unreadable.told_at_the_end(batches)

    def train_crops(self) -> TrainCrops:
        """Sample number -> crop, for reading in whatever process; `train_batches` numbers them."""
        data = self._config.data
        return TrainCrops(
            self._train,
            _cutter(self._config, self.radiometry, data.hr_crop_px, self._fill_cache()),
            self._config.training.seed,
            data.min_valid_fraction,
            data.augment,
            data.on_bad_file == "skip",
        )

    def _fill_cache(self) -> ImageCache | None:
        """The training images in memory, decoded at the first call; None without `Data.cache`."""
        data = self._config.data
        if data.cache == "ram" and self._cache is None:
            files = {scene.hr: scene.hr_bands for scene in self._train}
            files |= {scene.lr: scene.lr_bands for scene in self._train if scene.lr}
            with in_process():
                self._cache = fill_cache(
                    files,
                    build_reading(self._config),
                    data.num_workers > 0,
                    data.on_bad_file == "skip",
                )
        return self._cache

    def validation(self, warn: Callable[[str], None] = lambda _: None) -> Batch:
        """The fixed validation crops, on the CPU: the same ones at every call and in every run of the seed."""
        data = self._config.data
        cutter = _cutter(self._config, self.radiometry, data.val_crop_px or data.hr_crop_px)
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
    data, bands, scale = config.data, config.model.in_bands, config.generator.scaling_factor
    radiometry = build_radiometry(data.normalization)
    sources = find_sources(data)
    warnings = list(sources.warnings)
    with gdal_env():
        train, val = (
            readable(
                pairs,
                lambda pair: _look_at_pair(pair, config, radiometry),
                data.on_bad_file == "skip",
                warnings.append,
                "scenes",
            )
            for pairs in (sources.train, sources.val)
        )
    check_band_order([hr for hr, _ in (*train, *val)])
    if val:
        train_scenes = [scene_of(looked, scale) for looked in train]
        val_scenes = [scene_of(looked, scale) for looked in val]
    elif len(train) > 1:
        train, val = _hold_back(train, config)
        train_scenes = [scene_of(looked, scale) for looked in train]
        val_scenes = [scene_of(looked, scale) for looked in val]
    else:
        upper, lower = _cut_in_two(scene_of(train[0], scale), config)
        train_scenes, val_scenes = [upper], [lower]
        warnings.append(
            f"only one scene: its last {lower.end_row - lower.first_row} of {lower.height} rows are "
            "for validation; a second scene would tell more"
        )
    floats = crop_floats(data.hr_crop_px, bands, scale) * data.train_batch_size
    check_room(floats, data.num_workers, data.prefetch_factor + 1)
    if data.cache == "ram":
        check_memory([raster for pair in train for raster in pair if raster], data.num_workers > 0)
    else:
        warnings += dear_reads([hr for hr, _ in train], data.hr_crop_px)
    if worth_aligning([hr for hr, _ in train]):
        blocks = {hr.path: hr.block for hr, _ in train}
        train_scenes = [replace(scene, block=blocks[scene.hr]) for scene in train_scenes]
    warnings += loose_pairs([*train, *val], scale)
    warnings += inconsistencies([hr for hr, _ in (*train, *val)])
    warnings += overlaps([hr for hr, _ in train], [hr for hr, _ in val])
    places = _validation_places(val_scenes, config, radiometry)
    roles = _roles(train, "train" if val else "train, val") + _roles(val, "val")
    return TrainingData(config, radiometry, train_scenes, places, roles, warnings)


def _look_at_pair(pair: Pair, config: RunConfig, radiometry: Radiometry) -> Looked:
    data, scale = config.data, config.generator.scaling_factor
    with _naming(pair.hr_key):
        hr = _look_at(pair.hr, config)
        check_crop(hr, data.hr_crop_px, scale, "Data.hr_crop_px")
        if data.val_crop_px:
            check_crop(hr, data.val_crop_px, scale, "Data.val_crop_px")
        check_range(hr, radiometry)
    if pair.lr is None:
        return hr, None
    with _naming(pair.lr_key):
        lr = _look_at(pair.lr, config)
        at = align(hr, lr, scale)
        common = replace(
            hr,
            path=f"the common ground of {hr.path} and {lr.path}",
            height=at.lr_rows * scale,
            width=at.lr_cols * scale,
        )
        check_crop(common, data.hr_crop_px, scale, "Data.hr_crop_px")
        check_range(lr, radiometry)
    if common.width + scale < hr.width or common.height + scale < hr.height:
        # A mosaic: what counts is what it shows here.
        part = Window(at.hr_col, at.hr_row, common.width, common.height)
        with _naming(pair.hr_key):
            hr = look_at(pair.hr, build_reading(config), part)
            check_range(hr, radiometry)
    return hr, lr


def _look_at(path: str, config: RunConfig) -> Raster:
    return look_at(path, build_reading(config))


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Puts the key that led to a file before what is wrong with it."""
    try:
        yield
    except UnreadableError as err:
        raise UnreadableError(err.path, f"{key}: {err.message}", err.hint) from err
    except RefusedError as err:
        raise RefusedError(f"{key}: {err.message}", err.hint) from err


def _hold_back(looked: Sequence[Looked], config: RunConfig) -> tuple[list[Looked], list[Looked]]:
    """Whole scenes for validation, chosen by the seed."""
    count = round(config.data.val_fraction * len(looked))
    count = min(max(count, 1), len(looked) - 1)
    rng = RandomGenerator(PCG64(SeedSequence([config.training.seed], spawn_key=(2,))))
    held = set(rng.permutation(len(looked))[:count].tolist())
    train = [pair for index, pair in enumerate(looked) if index not in held]
    return train, [pair for index, pair in enumerate(looked) if index in held]


def _cut_in_two(scene: Scene, config: RunConfig) -> tuple[Scene, Scene]:
    """Training rows above, validation rows below, and between them more than LR sees from both sides."""
    data, scale = config.data, config.generator.scaling_factor
    val_crop = data.val_crop_px or data.hr_crop_px
    reach = margin_px(scale, data.degradation.kind, data.degradation.mtf_nyquist)
    gap = scale if scene.lr else max(2 * reach, scale)
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


def _validation_places(
    scenes: Sequence[Scene], config: RunConfig, radiometry: Radiometry
) -> list[Place]:
    data = config.data
    cutter = _cutter(config, radiometry, data.val_crop_px or data.hr_crop_px)
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


def _cutter(
    config: RunConfig, radiometry: Radiometry, crop_px: int, cache: ImageCache | None = None
) -> Cutter:
    data = config.data
    return Cutter(
        crop_px,
        config.generator.scaling_factor,
        radiometry,
        build_reading(config),
        cache,
        data.degradation.kind,
        data.degradation.mtf_nyquist,
        data.degradation.noise_std,
    )


def _roles(looked: Sequence[Looked], role: str) -> list[tuple[Raster, str]]:
    rows = []
    for hr, lr in looked:
        rows.append((hr, role))
        if lr is not None:
            rows.append((lr, f"{role} LR"))
    return rows
