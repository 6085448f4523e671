"""Facts about a raster, from its header and a quick look at its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.windows import Window

from srgan_cli.data.facts import transform_of
from srgan_cli.data.images import Reading, open_image, wanted_bands
from srgan_cli.data.rasters import has_scale_offset, image_bands, name_of, read_pixels
from srgan_cli.errors import RefusedError

LOOK_PX = 384
"""Side of the decimated image that a raster is judged by."""

WHOLE_READ_PIXELS = 4096 * 4096
"""Without overviews a larger raster is judged by patches: decimating it would read all of it."""

PATCHES = 12
"""Patches along a side of such a raster."""

NUM_SPOTS = 4096
"""Valid places remembered of a raster with invalid pixels."""


@dataclass(frozen=True)
class Raster:
    """One file: header facts, the bands to read, and what a decimated look showed."""

    path: str
    width: int
    height: int
    dtype: str
    """Of the values as they are used: float32 where scale and offset tags are applied."""
    crs: str
    """"" without one."""
    transform: Affine
    bands: tuple[int, ...]
    """Bands to read, counted from 1, in network order."""
    descriptions: tuple[str, ...]
    """Of these bands; "" where there is none."""
    gsd_m: float | None
    """Pixel size in metres; None without a projected CRS."""
    scaled: bool
    """Whether bands carry scale or offset tags that are not applied."""
    low: float
    """0.1th percentile of the valid stored values seen."""
    high: float
    """99.9th percentile."""
    valid_fraction: float
    """Share of valid pixels in the look."""
    valid_spots: NDArray[np.int32]
    """(N, 2): row and column of valid pixels spread over the raster; empty where all are valid."""
    band_lows: tuple[float, ...] = ()
    """`low` of each band."""
    band_highs: tuple[float, ...] = ()
    """`high` of each band."""
    block: tuple[int, int] = (1, 1)
    """Rows and columns that are decoded together."""

    @property
    def size(self) -> str:
        """Width x height, for messages."""
        return f"{self.width}x{self.height}"

    @property
    def georeferenced(self) -> bool:
        """Whether footprints can be compared."""
        return bool(self.crs) and self.transform != Affine.identity()


def look_at(path: str, reading: Reading, part: Window | None = None) -> Raster:
    """Open a raster and check that it can be trained on; call it inside a `gdal_env`.

    Pixels are looked at in `part` of it alone, where that is given.

    Raises:
        UnreadableError: it cannot be opened or read.
        RefusedError: it lacks bands, has an unusable type, or holds no valid pixel.
    """
    with open_image(path, reading) as dataset:
        if dataset.count == 0:
            parts = "\n  ".join(dataset.subdatasets) or "(none)"
            raise RefusedError(
                f"{path} holds no raster itself, only subdatasets:\n  {parts}",
                "give one of them instead",
            )
        bands = _choose_bands(dataset, wanted_bands(path, reading), reading.num_bands)
        _check_type(dataset, bands)
        part = part or Window(0, 0, dataset.width, dataset.height)
        values, valid = _look(dataset, bands, reading, part)
        if not valid.any():
            raise RefusedError(
                f"{path} holds no valid pixel in bands {_listed(bands)}: all are nodata, masked or NaN",
                "take it out of the list, or correct Data.nodata",
            )
        low, high = np.percentile(values[:, valid], [0.1, 99.9])
        applied = reading.scale_offset and has_scale_offset(dataset, bands)
        return Raster(
            path=path,
            width=dataset.width,
            height=dataset.height,
            dtype="float32" if applied else dataset.dtypes[bands[0] - 1],
            crs=dataset.crs.to_string() if dataset.crs else "",
            transform=transform_of(dataset),
            bands=bands,
            descriptions=tuple(dataset.descriptions[band - 1] or "" for band in bands),
            gsd_m=_pixel_size_m(dataset),
            scaled=has_scale_offset(dataset, bands) and not applied,
            low=float(low),
            high=float(high),
            valid_fraction=float(valid.mean()),
            valid_spots=_spots(valid, part),
            band_lows=_of_each_band(values[:, valid], 0.1),
            band_highs=_of_each_band(values[:, valid], 99.9),
            block=tuple(dataset.block_shapes[bands[0] - 1]),
        )


def _of_each_band(values: NDArray[np.float32], percentile: float) -> tuple[float, ...]:
    return tuple(float(value) for value in np.percentile(values, percentile, axis=1))


def _choose_bands(dataset: DatasetReader, wanted: Sequence[int], num_bands: int) -> tuple[int, ...]:
    usable = image_bands(dataset)
    if wanted:
        if max(wanted) <= dataset.count:
            return tuple(wanted)
        raise RefusedError(
            f"{name_of(dataset)} has {_counted(dataset.count)}, but Data.bands asks for band {max(wanted)}",
            "correct Data.bands and Model.in_bands, or take the file out of the list",
        )
    if len(usable) >= num_bands:
        return usable[:num_bands]
    alpha = [band for band in range(1, dataset.count + 1) if band not in usable]
    if alpha and dataset.count >= num_bands:
        everything = ", ".join(str(band) for band in range(1, num_bands + 1))
        raise RefusedError(
            f"{name_of(dataset)} has {_counted(len(usable))} and an alpha band (band {alpha[0]}), "
            f"but Model.in_bands is {num_bands}",
            f"if band {alpha[0]} is imagery (near infrared, say), set Data.bands: [{everything}]",
        )
    raise RefusedError(
        f"{name_of(dataset)} has {_counted(len(usable))}, but Model.in_bands is {num_bands}",
        f"set Model.in_bands: {len(usable)}, or choose bands with Data.bands",
    )


def _check_type(dataset: DatasetReader, bands: Sequence[int]) -> None:
    for band in bands:
        dtype = dataset.dtypes[band - 1]
        if "complex" in dtype:
            raise RefusedError(
                f"{name_of(dataset)} holds complex numbers ({dtype}) in band {band}",
                "write its amplitude to a new file",
            )
        if dataset.colorinterp[band - 1] == ColorInterp.palette:
            raise RefusedError(
                f"{name_of(dataset)} holds entries of a colour table in band {band}, not radiometry",
                "expand it: gdal_translate -expand rgb IN OUT",
            )


def _look(
    dataset: DatasetReader, bands: Sequence[int], reading: Reading, part: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    height, width = part.height, part.width
    by_overviews = bool(dataset.overviews(bands[0]))
    by_patches = not by_overviews and height * width > WHOLE_READ_PIXELS
    if by_overviews or by_patches:
        # What follows does not read all pixels; of a file cut short the last ones are missing.
        for row, col in ((0, 0), (dataset.height - 1, dataset.width - 1)):
            _read(dataset, Window(col, row, 1, 1), bands, reading)
    if by_patches:
        return _look_at_patches(dataset, bands, reading, part)
    shape = (min(height, LOOK_PX), min(width, LOOK_PX))
    return _read(dataset, part, bands, reading, shape)


def _read(
    dataset: DatasetReader,
    window: Window,
    bands: Sequence[int],
    reading: Reading,
    shape: tuple[int, int] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    return read_pixels(dataset, window, bands, reading.nodata, shape, reading.scale_offset)


def _look_at_patches(
    dataset: DatasetReader, bands: Sequence[int], reading: Reading, part: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A mosaic of small patches from the middle of each cell of a grid."""
    side = LOOK_PX // PATCHES
    rows, cols = (
        [start + int((i + 0.5) * length / PATCHES) - side // 2 for i in range(PATCHES)]
        for start, length in ((part.row_off, part.height), (part.col_off, part.width))
    )
    values = np.empty((len(bands), LOOK_PX, LOOK_PX), dtype=np.float32)
    valid = np.empty((LOOK_PX, LOOK_PX), dtype=np.bool_)
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            down, right = slice(i * side, (i + 1) * side), slice(j * side, (j + 1) * side)
            patch, patch_valid = _read(dataset, Window(col, row, side, side), bands, reading)
            values[:, down, right], valid[down, right] = patch, patch_valid
    return values, valid


def _spots(valid: NDArray[np.bool_], part: Window) -> NDArray[np.int32]:
    if valid.all():
        return np.empty((0, 2), dtype=np.int32)
    cells = np.argwhere(valid)
    chosen = cells[:: max(1, len(cells) // NUM_SPOTS)]
    places = (chosen + 0.5) * (part.height, part.width) / np.array(valid.shape)
    return np.asarray(places, dtype=np.int32) + np.array([part.row_off, part.col_off], np.int32)


def _pixel_size_m(dataset: DatasetReader) -> float | None:
    crs = dataset.crs
    if not crs or not crs.is_projected:
        return None
    transform = dataset.transform
    area = abs(transform.a * transform.e - transform.b * transform.d)
    return float(area**0.5 * crs.linear_units_factor[1])


def _counted(number: int) -> str:
    return f"{number} band" if number == 1 else f"{number} bands"


def _listed(bands: Sequence[int]) -> str:
    return ", ".join(str(band) for band in bands)
