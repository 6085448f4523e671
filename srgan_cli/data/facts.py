"""What a raster says of its bands and its place, asked once, past what GDAL gets wrong."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

_LEAST_STEP = 1e-100


class BandFacts(NamedTuple):
    """One entry per band, in the order of the file."""

    dtypes: tuple[str, ...]
    colours: tuple[ColorInterp, ...]
    mask_flags: tuple[tuple[MaskFlags, ...], ...]
    """Empty where GDAL has no flag: a mask of this band alone."""
    nodata: tuple[float | None, ...]


def band_facts(dataset: DatasetReader) -> BandFacts:
    """What the open dataset says of its bands.

    rasterio asks GDAL about every band each time, which for the hundreds of a hyperspectral scene
    takes longer than reading it.

    Raises:
        CPLE_BaseError: GDAL cannot tell.
    """
    if dataset not in _FACTS:
        try:
            _FACTS[dataset] = _asked(dataset)
        except CPLE_BaseError:
            # GDAL looks at masks and overviews when it is first asked for them. What it says of
            # damaged ones reaches the next question, whatever that is; the answer is right.
            _FACTS[dataset] = _asked(dataset)
    return _FACTS[dataset]


def transform_of(dataset: DatasetReader) -> Affine:
    """The affine transform, in CRS units per pixel; identity where the raster has none.

    Of a raster without georeferencing some of GDAL's drivers (PNM) leave the six terms as they
    find them in memory, and rasterio passes them on: zeros, addresses and counters, which read as
    numbers below 1e-300.
    """
    transform: Affine = dataset.transform
    steps = [abs(step) for step in (transform.a, transform.b, transform.d, transform.e)]
    if not any(steps) or any(0 < step < _LEAST_STEP for step in steps):
        return Affine.identity()
    return transform


def _asked(dataset: DatasetReader) -> BandFacts:
    flags = tuple(tuple(flags) for flags in dataset.mask_flag_enums)
    return BandFacts(
        tuple(dataset.dtypes), tuple(dataset.colorinterp), flags, tuple(dataset.nodatavals)
    )


_FACTS: WeakKeyDictionary[DatasetReader, BandFacts] = WeakKeyDictionary()
