"""Everything that can be said about the imagery of a configuration before it is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from srgan_cli.data.batch import Batch
from srgan_cli.data.checks import check_band_order, check_crop, check_range
from srgan_cli.data.consistency import MIN_WINDOW_PX, compare, differences, disagreement
from srgan_cli.data.cutter import Cutter, Place, Scene
from srgan_cli.data.degradation import Degradation
from srgan_cli.data.findings import CropCount, FileReport, PairReport, Survey, Trouble
from srgan_cli.data.fitting import fit_normalization
from srgan_cli.data.footprints import scene_of
from srgan_cli.data.images import build_reading
from srgan_cli.data.loader import in_process
from srgan_cli.data.looking import (
    Looked,
    band_names_of,
    choose_degradation,
    common_ground,
)
from srgan_cli.data.radiometry import Radiometry, build_radiometry
from srgan_cli.data.scenes import Raster, look_at
from srgan_cli.data.sources import Pair, find_sources
from srgan_cli.data.training import arrange
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

CROPS_TRIED = 2000
"""Crops looked at over all files ..."""
CROPS_PER_FILE = (4, 48)
"""... and for one file at least and at most."""
WINDOWS = 400
"""Windows compared over all pairs ..."""
WINDOWS_PER_PAIR = (1, 6)
"""... and for one pair at least and at most."""
WINDOW_SIDES_PX = (128, 64, 32, MIN_WINDOW_PX)
"""Sides of these windows, in LR pixels: the largest that finds wholly valid ground."""
SAMPLES = 24
"""Crops for the contact sheet at most ..."""
SAMPLES_PER_FILE = 6
"""... and of one file."""
REMARKS = 5
"""Pairs whose differences are told as warnings."""

Advance = Callable[[str], None]
Item = TypeVar("Item")


def num_files(config: RunConfig) -> int:
    """Pairs of files that `survey` will look at; 0 where it finds none."""
    try:
        sources = find_sources(config.data)
    except RefusedError:
        return 0
    return len(sources.train) + len(sources.val)


def survey(config: RunConfig, advance: Advance = lambda _name: None) -> Survey:
    """Open all imagery of a configuration and judge it; what is wrong is listed and stops nothing.

    Args:
        config: The run.
        advance: Told the name of every pair of files, first when it is opened, then when its
            crops are judged.
    """
    found = Survey(skip_unreadable=config.data.on_bad_file == "skip")
    with found.collecting():
        sources = find_sources(config.data)
        _survey(config, found, sources.train, sources.val, sources.warnings, advance)
    found.warnings = list(dict.fromkeys(found.warnings))
    found.troubles = list(dict.fromkeys(found.troubles))
    return found


def _survey(
    config: RunConfig,
    found: Survey,
    train: Sequence[Pair],
    val: Sequence[Pair],
    warnings: Sequence[str],
    advance: Advance,
) -> None:
    found.warnings += warnings
    roles = ("train" if val else "train, val", "val")
    with in_process():
        looked: list[list[Looked]] = [[], []]
        unusable: list[FileReport] = []
        for side, pairs in enumerate((train, val)):
            for pair in pairs:
                advance(Path(pair.hr).name)
                rasters, usable = _look(pair, config, found)
                if usable:
                    looked[side].append((rasters[0], rasters[1] if pair.lr is not None else None))
                else:
                    unusable += [FileReport(raster, roles[side]) for raster in rasters]
        together = [*looked[0], *looked[1]]
        for hr, _ in together[1:]:
            with found.collecting():
                check_band_order([together[0][0], hr])
        rasters = [*(hr for hr, _ in together), *(file.raster for file in unusable)]
        if rasters:
            found.band_names = band_names_of(config, rasters[0])
        if not looked[0] and not found.troubles:
            found.troubles.append(
                Trouble("no file of the training set can be read", "see the warnings")
            )
        _settle(config, found, looked[0], looked[1])
        judge = _Judge(config, found, together)
        for role, side_looked in zip(roles, looked, strict=True):
            for pair_looked in side_looked:
                judge.add(pair_looked, role)
                advance(Path(pair_looked[0].path).name)
        found.warnings += judge.remarks()
        found.files += unusable


def _look(pair: Pair, config: RunConfig, found: Survey) -> tuple[list[Raster], bool]:
    """The files of a pair that open, and whether both can be cut; what is wrong is noted."""
    data, scale = config.data, config.generator.scaling_factor
    radiometry = build_radiometry(data.normalization)
    rasters: list[Raster] = []
    for path, key in ((pair.hr, pair.hr_key), (pair.lr, pair.lr_key)):
        if path is None:
            continue
        with found.collecting(key):
            rasters.append(look_at(path, build_reading(config)))
            # A wrong unit keeps no crop from being cut; what is below would.
            if radiometry is not None:
                check_range(rasters[-1], radiometry)
    if len(rasters) < 1 + (pair.lr is not None):
        return rasters, False
    before = len(found.troubles)
    for key, crop_px in (
        ("Data.hr_crop_px", data.hr_crop_px),
        ("Data.val_crop_px", data.val_crop_px),
    ):
        with found.collecting(pair.hr_key):
            if crop_px is not None:
                check_crop(rasters[0], crop_px, scale, key)
    if pair.lr is not None:
        with found.collecting(pair.lr_key):
            part = common_ground(rasters[0], rasters[1], config)
            if part is not None:
                rasters[0] = look_at(pair.hr, build_reading(config), part)
    return rasters, before == len(found.troubles)


def _settle(
    config: RunConfig, found: Survey, train: Sequence[Looked], val: Sequence[Looked]
) -> None:
    """The radiometry; and whether a training could start, if nothing is wrong so far."""
    found.radiometry = build_radiometry(config.data.normalization)
    if found.radiometry is None and train:
        with found.collecting():
            scale = config.generator.scaling_factor
            scenes = [scene_of(looked, scale) for looked in train]
            found.radiometry = fit_normalization(config, scenes)[1]
        for raster in (raster for looked in (*train, *val) for raster in looked):
            with found.collecting():
                if raster is not None and found.radiometry is not None:
                    check_range(raster, found.radiometry)
    if not found.troubles:
        with found.collecting():
            data = arrange(config, train, val, ())
            # A fit leaves out what is held back for validation.
            found.radiometry, found.steps_per_epoch = data.radiometry, data.steps_per_epoch
            found.warnings += data.warnings


class _Judge:
    """Looks into the pixels of one pair of files after the other."""

    def __init__(self, config: RunConfig, found: Survey, looked: Sequence[Looked]) -> None:
        self._config = config
        self._found = found
        self._remarks: list[str] = []
        self._degradation: Degradation | None = None
        if looked:
            with found.collecting():
                self._degradation = choose_degradation(config, looked[0])
        num_pairs = max(len(looked), 1)
        self._num_crops = _share(CROPS_TRIED, num_pairs, CROPS_PER_FILE)
        self._num_windows = _share(WINDOWS, num_pairs, WINDOWS_PER_PAIR)
        self._num_samples = min(SAMPLES_PER_FILE, math.ceil(SAMPLES / num_pairs))

    def add(self, looked: Looked, role: str) -> None:
        """Report on the files of a pair."""
        hr, lr = looked
        crops = None
        if self._degradation is not None and self._found.radiometry is not None:
            scene = scene_of(looked, self._config.generator.scaling_factor)
            with self._found.collecting():
                crops = self._count(scene, self._found.radiometry, self._degradation)
            if lr is not None:
                with self._found.collecting():
                    self._compare(scene, hr, lr, self._found.radiometry)
        self._found.files.append(FileReport(hr, role, self._network(hr), crops))
        if lr is not None:
            self._found.files.append(FileReport(lr, f"{role} LR", self._network(lr)))

    def _network(self, raster: Raster) -> tuple[tuple[float, float], ...]:
        if self._found.radiometry is None:
            return ()
        stored = np.array([raster.band_lows, raster.band_highs])[..., None, None]
        lows, highs = self._found.radiometry.to_network(stored)[..., 0, 0].tolist()
        return tuple(zip(lows, highs, strict=True))

    def _count(self, scene: Scene, radiometry: Radiometry, degradation: Degradation) -> CropCount:
        data = self._config.data
        cutter = Cutter(data.hr_crop_px, radiometry, degradation, build_reading(self._config))
        total, places = _grid(scene, data.hr_crop_px, self._num_crops)
        valid = [place for place in places if _is_valid(place, cutter, data.min_valid_fraction)]
        textures = [cutter.texture(place) for place in valid]
        usable = [
            place
            for place, texture in zip(valid, textures, strict=True)
            if texture >= data.min_texture
        ]
        wanted = min(self._num_samples, SAMPLES - len(self._found.samples))
        for place in _spread(usable, wanted):
            number = len(self._found.samples)
            self._found.samples.append((place, cutter.cut(place, noise_seed=number)))
        cutter.close()
        if not usable:
            wanted_texture = f" and a texture of {data.min_texture:g}" if data.min_texture else ""
            self._found.warnings.append(
                f"{scene.hr}: none of {len(places)} crops has {data.min_valid_fraction:.0%} valid pixels{wanted_texture}"
            )
        texture = float(np.median(textures)) if textures else math.nan
        return CropCount(total, len(places), len(usable), texture)

    def _compare(self, scene: Scene, hr: Raster, lr: Raster, radiometry: Radiometry) -> None:
        """LR and HR in windows of one size, and what that says."""
        scale, found = self._config.generator.scaling_factor, self._found
        crops: list[Batch] = []
        for side in (*WINDOW_SIDES_PX, min(lr.height, lr.width)):
            if side > min(scene.end_row - scene.first_row, scene.width) // scale:
                continue
            reading = build_reading(self._config)
            cutter = Cutter(side * scale, radiometry, Degradation(scale), reading)
            _, places = _grid(scene, side * scale, 4 * self._num_windows)
            valid = [place for place in places if _is_valid(place, cutter, 1.0)]
            if valid or side not in WINDOW_SIDES_PX:
                chosen = _spread(valid or places, self._num_windows)
                crops = [cutter.cut(place, noise_seed=0) for place in chosen]
            cutter.close()
            if crops:
                break
        agreement = compare(crops, scale, radiometry)
        found.pairs.append(PairReport(hr.path, lr.path, agreement))
        wrong, hint = disagreement(agreement, radiometry, found.band_names, lr.gsd_m)
        pair = f"{lr.path} and {hr.path}"
        if wrong:
            found.troubles.append(Trouble(f"{pair}: {wrong}", hint))
            return
        words = differences(agreement, radiometry, found.band_names)
        if agreement.shift is None:
            words = "; ".join(
                filter(None, [words, "too small, even or different to measure a shift"])
            )
        if words:
            self._remarks.append(f"{pair}: {words}")

    def remarks(self) -> list[str]:
        """What differs within pairs, in a few lines."""
        shown, others = self._remarks[:REMARKS], len(self._remarks) - REMARKS
        return [*shown, f"{others} more pairs differ in such ways"] if others > 0 else shown


def _share(budget: int, count: int, limits: tuple[int, int]) -> int:
    return min(max(budget // count, limits[0]), limits[1])


def _grid(scene: Scene, size_px: int, wanted: int) -> tuple[int, list[Place]]:
    """Number of crops on a grid without overlap, and at most `wanted` of them, evenly spread."""
    rows, cols = (scene.end_row - scene.first_row) // size_px, scene.width // size_px
    places = [
        Place(scene, scene.first_row + cell // cols * size_px, cell % cols * size_px)
        for cell in _spread(range(rows * cols), wanted)
    ]
    return rows * cols, places


def _spread(items: Sequence[Item], wanted: int) -> list[Item]:
    """At most `wanted` of the items, in order, from the middles of equal parts."""
    count = min(wanted, len(items))
    return [items[int((index + 0.5) * len(items) / count)] for index in range(count)]


def _is_valid(place: Place, cutter: Cutter, least: float) -> bool:
    known = not len(place.scene.valid_spots) and place.scene.lr is None
    return known or cutter.valid_fraction(place) >= least
