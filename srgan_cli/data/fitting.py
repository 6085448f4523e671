"""Radiometries fitted on the training scenes: per band, from a bounded sample of valid pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srgan_cli.config.data import FIT_KEYS, fit_section
from srgan_cli.data.cutter import Scene
from srgan_cli.data.images import Reading, build_reading, open_image
from srgan_cli.data.radiometry import Radiometry
from srgan_cli.data.rasters import gdal_env, read_pixels
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

SAMPLE_PIXELS = 2**20
"""Pixels looked at over all scenes; each scene has its share by valid area."""
PATCH_PX = 64
"""Side of the patches that a scene is sampled by."""
USUAL_PERCENTILES = (0.1, 99.9)

FITTED = ("percentile", "mean_std")
"""Names that `fit_radiometry` takes."""


def fit_normalization(config: RunConfig, scenes: Sequence[Scene]) -> tuple[RunConfig, Radiometry]:
    """The radiometry fitted on the training scenes, and the configuration that holds its numbers."""
    section = fit_section(config.data.normalization)
    with gdal_env():
        found = fit_radiometry(section.name, scenes, build_reading(config), section.percentiles)
    numbers = {key: getattr(found, key) for key in FIT_KEYS}
    data = config.data.model_copy(update={"normalization": section.model_copy(update=numbers)})
    return config.model_copy(update={"data": data}), found


def fit_radiometry(
    name: str,
    scenes: Sequence[Scene],
    reading: Reading,
    percentiles: tuple[float, float] = (2.0, 98.0),
) -> Radiometry:
    """The radiometry that brings each band of these scenes near the unit range.

    The same scenes give the same numbers: nothing is drawn at random. Call it in a `gdal_env`.

    Args:
        name: `percentile`: the two `percentiles` become 0 and 1, scale = 1 / (high - low) and
            offset = -low * scale. `mean_std`: mean 0 and standard deviation 1, scale = 1 / std
            and offset = -mean / std.
        scenes: Training scenes; HR counts.
        reading: How their files become numbers.
        percentiles: For `percentile`.

    Raises:
        RefusedError: A file cannot be read, or a band has the same value everywhere.
    """
    sample = sample_scenes(scenes, reading).astype(np.float64)
    if not sample.size:
        raise RefusedError(
            f"Data.normalization {name}: no valid pixel was met in the training scenes, {scenes[0].hr} for one",
            "give scenes with more valid pixels, or numbers: "
            "Data.normalization: {name: linear, scale: ..., offset: ...}",
        )
    if name == "percentile":
        low, high = np.percentile(sample, percentiles, axis=1)
    else:
        low, high = sample.mean(axis=1), sample.mean(axis=1) + sample.std(axis=1)
    for band, value, flat in zip(scenes[0].hr_bands, low, high <= low, strict=True):
        if flat:
            raise RefusedError(
                f"Data.normalization {name}: band {band} is {value:g} in (nearly) all pixels of the "
                f"training scenes, {scenes[0].hr} for one; no range can be fitted",
                "leave the band out with Data.bands, or give numbers: "
                "Data.normalization: {name: linear, scale: ..., offset: ...}",
            )
    scale = 1 / (high - low)
    darkest, brightest = np.percentile(sample, USUAL_PERCENTILES, axis=1)
    return Radiometry(
        name=name,
        scale=_plain(scale),
        offset=_plain(-low * scale),
        usual_max=_plain(brightest),
        usual_min=_plain(np.minimum(darkest, 0)),
    )


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    # Without the sign of -0.0.
    return tuple(float(value) + 0.0 for value in values)


def sample_scenes(scenes: Sequence[Scene], reading: Reading) -> NDArray[np.float32]:
    """Stored HR values (bands, pixels) of valid pixels spread over all scenes."""
    areas = np.array([scene.valid_area for scene in scenes])
    quotas = SAMPLE_PIXELS / PATCH_PX**2 * areas / areas.sum()
    parts = [
        part
        for scene, quota in zip(scenes, quotas, strict=True)
        for part in _sample(scene, max(1, round(float(quota))), reading)
    ]
    return np.concatenate(parts, axis=1)


def _sample(scene: Scene, count: int, reading: Reading) -> Iterator[NDArray[np.float32]]:
    row, col = scene.hr_corner
    with open_image(scene.hr, reading) as dataset:
        for patch in _patches(scene, count):
            window = Window(col + patch.col_off, row + patch.row_off, patch.width, patch.height)
            values, valid = read_pixels(
                dataset, window, scene.hr_bands, reading.nodata, None, reading.scale_offset
            )
            yield values[:, valid]


def _patches(scene: Scene, count: int) -> Iterator[Window]:
    """Patches spread over the scene, or over its known valid pixels; all of a small scene."""
    rows, cols = scene.end_row - scene.first_row, scene.width
    if rows * cols <= count * PATCH_PX**2:
        yield Window(0, scene.first_row, cols, rows)
        return
    height, width = min(PATCH_PX, rows), min(PATCH_PX, cols)
    spots = scene.valid_spots
    for index in range(count):
        if len(spots):
            row, col = (int(value) for value in spots[index * len(spots) // count])
            row, col = row - height // 2 - scene.first_row, col - width // 2
        else:
            # R2 sequence (Roberts 2018): covers the plane evenly, whatever the count.
            row = int((0.5 + index * 0.7548776662466927) % 1 * (rows - height + 1))
            col = int((0.5 + index * 0.5698402909980532) % 1 * (cols - width + 1))
        row, col = min(max(row, 0), rows - height), min(max(col, 0), cols - width)
        yield Window(col, scene.first_row + row, width, height)
