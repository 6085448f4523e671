"""Windows of rasters with their masks.

GDAL talks to Python's `rasterio` logger only inside a `gdal_env`; outside it writes to the
terminal. So open and read inside one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from srgan_cli.data.facts import band_facts
from srgan_cli.data.fill import fill_nearest
from srgan_cli.errors import RefusedError

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache; its own default, 5 % of the memory, would count once per loader process."""

Shape = tuple[int, int]

__all__ = [
    "CACHE_BYTES",
    "UnreadableError",
    "fill_nearest",
    "gdal_env",
    "has_scale_offset",
    "image_bands",
    "name_dataset",
    "name_of",
    "open_raster",
    "read_pixels",
    "read_stored",
    "read_window",
    "valid_mask",
]


_GDAL = {
    # A folder of inputs is not to be written to.
    "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO",
}


class UnreadableError(RefusedError):
    """A file that cannot be opened or decoded, whatever is asked of it."""

    def __init__(self, path: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.path = path

    def __reduce__(self) -> tuple[type[UnreadableError], tuple[str, str, str]]:
        return type(self), (self.path, self.message, self.hint)


def gdal_env(cache_bytes: int = CACHE_BYTES) -> AbstractContextManager[Any]:
    """A GDAL environment with a bounded block cache whose messages stay off the terminal."""
    env: AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=cache_bytes, **_GDAL)
    return env


def open_raster(path: str) -> DatasetReader:
    """The open dataset; RefusedError with the file's name where that fails."""
    try:
        with _silent(NotGeoreferencedWarning):
            dataset = rasterio.open(path)
        band_facts(dataset)
    except UnicodeEncodeError as err:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UnreadableError(
            path, f"cannot open {shown}: its name is not UTF-8", "give it another name"
        ) from err
    except (RasterioError, CPLE_BaseError, OSError) as err:
        raise UnreadableError(
            path, f"cannot open {path}: {reason(err)}", "give a file that `gdalinfo` can read"
        ) from err
    return dataset


def name_dataset(dataset: DatasetReader, path: str) -> DatasetReader:
    """The dataset, called `path` in messages: one made of several files has no name of its own."""
    _NAMES[dataset] = path
    return dataset


def name_of(dataset: DatasetReader) -> str:
    """What messages call a dataset."""
    return _NAMES.get(dataset) or str(dataset.name)


_NAMES: WeakKeyDictionary[DatasetReader, str] = WeakKeyDictionary()


def reason(err: BaseException) -> str:
    """GDAL's own words: rasterio's "Read failed" hides them in the cause."""
    while isinstance(err.__cause__, Exception):
        err = err.__cause__
    return " ".join(str(err).split()) or type(err).__name__


def image_bands(dataset: DatasetReader) -> tuple[int, ...]:
    """Numbers of the bands that are not alpha, counted from 1."""
    interpretations = enumerate(band_facts(dataset).colours, start=1)
    return tuple(band for band, kind in interpretations if kind != ColorInterp.alpha)


def read_window(
    dataset: DatasetReader,
    window: Window,
    bands: Sequence[int],
    nodata: float | None = None,
    scale_offset: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored values (C, H, W) with invalid pixels filled from the nearest valid ones, and valid (H, W).

    `window` must lie inside the dataset. A pixel is valid where it is so in each of `bands`: by
    the dataset's mask (nodata, alpha, mask band, .msk file), finite, and not `nodata`. An alpha
    band among `bands` counts as imagery and masks nothing. With `scale_offset`, stored value *
    scale + offset by the dataset's tags, where it has any.

    Raises:
        UnreadableError: the file cannot be read there.
    """
    values, valid = read_pixels(dataset, window, bands, nodata, None, scale_offset)
    return fill_nearest(values, valid), valid


def valid_mask(
    dataset: DatasetReader, window: Window, bands: Sequence[int], nodata: float | None = None
) -> NDArray[np.bool_]:
    """The `valid` (H, W) of `read_window`; reads no values where the masks alone decide."""
    dtypes = band_facts(dataset).dtypes
    if nodata is None and not any("float" in dtypes[band - 1] for band in bands):
        return _masks(dataset, window, bands, None)
    return read_pixels(dataset, window, bands, nodata)[1]


def read_pixels(
    dataset: DatasetReader,
    window: Window,
    bands: Sequence[int],
    nodata: float | None = None,
    shape: Shape | None = None,
    scale_offset: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """As `read_window`, but not filled, and decimated to `shape` where that is given."""
    stored = read_stored(dataset, window, bands, shape)
    valid = _masks(dataset, window, bands, shape)
    if nodata is not None:
        valid &= (stored != nodata).all(axis=0)
    if scale_offset:
        stored = _unscaled(stored, dataset, bands)
    if stored.dtype.kind != "f":
        return stored.astype(np.float32), valid
    # float64 holds values that float32 does not; they come out infinite, hence invalid.
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = stored.astype(np.float32)
    valid &= np.isfinite(values).all(axis=0)
    return values, valid


def read_stored(
    dataset: DatasetReader, window: Window, bands: Sequence[int], shape: Shape | None = None
) -> NDArray[Any]:
    """Stored values (C, H, W) as they are, in their own type, or the one that holds those of all bands.

    Raises:
        UnreadableError: the file cannot be read there.
    """
    # rasterio reads bands of one type at once only.
    groups = [list(bands)]
    dtypes = band_facts(dataset).dtypes
    if len({dtypes[band - 1] for band in bands}) > 1:
        groups = [[band] for band in bands]
    try:
        stored = [
            dataset.read(
                group, window=window, out_shape=None if shape is None else (len(group), *shape)
            )
            for group in groups
        ]
    except (RasterioError, OSError) as err:
        raise _unreadable(dataset, window, err) from err
    together: NDArray[Any] = stored[0] if len(stored) == 1 else np.concatenate(stored)
    return together


def has_scale_offset(dataset: DatasetReader, bands: Sequence[int]) -> bool:
    """Whether tags say that stored values are not the measured ones."""
    return any(dataset.scales[band - 1] != 1 or dataset.offsets[band - 1] != 0 for band in bands)


def _unscaled(stored: NDArray[Any], dataset: DatasetReader, bands: Sequence[int]) -> NDArray[Any]:
    """Measured values in float64; `stored` itself, and with it exact integers, without tags."""
    if not has_scale_offset(dataset, bands):
        return stored
    scales, offsets = (
        np.array([values[band - 1] for band in bands], dtype=np.float64)[:, None, None]
        for values in (dataset.scales, dataset.offsets)
    )
    unscaled: NDArray[np.float64] = stored * scales + offsets
    return unscaled


def _masks(
    dataset: DatasetReader, window: Window, bands: Sequence[int], shape: Shape | None
) -> NDArray[np.bool_]:
    plan = _mask_plan(dataset, bands)
    valid = np.ones(shape or (window.height, window.width), dtype=np.bool_)
    try:
        if plan.masked:
            out_shape = None if shape is None else (len(plan.masked), *shape)
            with _silent(NodataShadowWarning) if plan.shadowed else nullcontext():
                masks = dataset.read_masks(plan.masked, window=window, out_shape=out_shape)
            valid &= (masks != 0).all(axis=0)
        if plan.alpha is not None:
            valid &= dataset.read(plan.alpha, window=window, out_shape=shape) != 0
    except (RasterioError, OSError) as err:
        raise _unreadable(dataset, window, err) from err
    return valid


class _MaskPlan(NamedTuple):
    masked: list[int]
    """Bands whose masks must be looked at; a mask shared by all bands is looked at once."""
    alpha: int | None
    """Band whose values count as a mask."""
    shadowed: bool
    """Nodata makes GDAL leave alpha out of its masks, of which rasterio warns."""


def _mask_plan(dataset: DatasetReader, bands: Sequence[int]) -> _MaskPlan:
    plans = _PLANS.setdefault(dataset, {})
    key = tuple(bands)
    if key not in plans:
        plans[key] = _make_mask_plan(dataset, bands)
    return plans[key]


_PLANS: WeakKeyDictionary[DatasetReader, dict[tuple[int, ...], _MaskPlan]] = WeakKeyDictionary()
"""Asking a dataset for its mask flags takes as long as reading a small window."""


def _make_mask_plan(dataset: DatasetReader, bands: Sequence[int]) -> _MaskPlan:
    usable = image_bands(dataset)
    alpha = sorted(set(range(1, dataset.count + 1)).difference(usable))
    flags = band_facts(dataset).mask_flags
    own: list[int] = []
    shared: list[int] = []
    for band in bands:
        flag = flags[band - 1]
        if MaskFlags.alpha in flag or MaskFlags.all_valid in flag:
            continue
        (shared if MaskFlags.per_dataset in flag else own).append(band)
    return _MaskPlan(
        masked=own + shared[:1],
        alpha=alpha[0] if alpha and not set(alpha) & set(bands) else None,
        shadowed=bool(alpha) and dataset.nodata is not None,
    )


@contextmanager
def _silent(category: type[Warning]) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield


def _unreadable(dataset: DatasetReader, window: Window, err: BaseException) -> UnreadableError:
    name = name_of(dataset)
    place = f"rows {window.row_off}..{window.row_off + window.height - 1}"
    why = reason(err)
    hint = "the file is damaged or incomplete; replace it or take it out of the list"
    if "cannot allocate" in why.lower():
        rows, cols = dataset.block_shapes[0]
        hint = (
            f"its blocks of {cols} x {rows} pixels and {dataset.count} bands do not fit into the memory, "
            "or it is damaged; store it in smaller ones: gdal_translate -co TILED=YES INPUT tiled.tif"
        )
    return UnreadableError(name, f"cannot read {name} at {place}: {why}", hint)
