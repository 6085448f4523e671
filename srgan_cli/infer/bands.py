"""Do the raster and the weights fit: bands by name or by count, values by range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from srgan_cli.data.radiometry import TIMES_BRIGHTER, Radiometry, of_band
from srgan_cli.data.rasters import image_bands
from srgan_cli.errors import RefusedError
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.products import for_product
from srgan_cli.infer.source import Source
from srgan_cli.weights import WeightsInfo

FLOAT32_EXACT = 2**24
_NO_MEASUREMENT = 1e30
_FILLED_SHARE = 0.001
_SAMPLE_GRID = 6
_SAMPLE_PX = 128


def choose_bands(
    source: Source, in_bands: int, band_names: Sequence[str], bidx: Sequence[int]
) -> tuple[tuple[int, ...], str]:
    """The bands to read, counted from 1, and a warning or an empty string.

    `bidx` if given; else by the weights' band names where the raster has all of them; else all
    bands but alpha if their number is right.

    Raises:
        RefusedError: None of these gives `in_bands` bands.
    """
    if bidx:
        return _given(source, in_bands, band_names, bidx), ""
    found = _by_name(source, band_names)
    if found:
        return found, ""
    bands = image_bands(source.dataset)
    if len(bands) != in_bands:
        raise RefusedError(_both_lists(source, in_bands, band_names), "choose with --bidx 1,2,...")
    # The bands of a product were opened in the order of the weights.
    return bands, "" if source.product_offsets else _name_warning(source, band_names)


def _given(
    source: Source, in_bands: int, band_names: Sequence[str], bidx: Sequence[int]
) -> tuple[int, ...]:
    count = source.dataset.count
    beyond = [band for band in bidx if not 1 <= band <= count]
    if beyond:
        raise RefusedError(
            f"--bidx {beyond[0]}: {source.path} has bands 1 to {count}", "bands count from 1"
        )
    if len(bidx) != in_bands:
        raise RefusedError(
            f"--bidx names {len(bidx)} bands. " + _both_lists(source, in_bands, band_names),
            f"give {in_bands} bands, in the order of the weights",
        )
    return tuple(bidx)


def _plain(name: str | None) -> str:
    """B4, b04 and B04 are one band."""
    return re.sub(r"^b0+(?=\d)", "b", (name or "").strip().casefold())


def _by_name(source: Source, band_names: Sequence[str]) -> tuple[int, ...]:
    wanted = [_plain(name) for name in band_names]
    offered = [_plain(name) for name in source.dataset.descriptions]
    if not wanted or not all(wanted) or any(offered.count(name) != 1 for name in wanted):
        return ()
    return tuple(offered.index(name) + 1 for name in wanted)


def _labels(source: Source) -> str:
    names = source.dataset.descriptions
    colours = source.dataset.colorinterp
    parts = [
        f"{i} {name or colour.name}"
        for i, (name, colour) in enumerate(zip(names, colours, strict=True), start=1)
    ]
    return ", ".join(parts)


def _both_lists(source: Source, in_bands: int, band_names: Sequence[str]) -> str:
    names = ", ".join(name or "?" for name in band_names) if any(band_names) else "without names"
    return (
        f"the weights want {in_bands} bands ({names}); "
        f"{source.path} has {source.dataset.count} ({_labels(source)})"
    )


def _name_warning(source: Source, band_names: Sequence[str]) -> str:
    names = source.dataset.descriptions
    if not any(names) or not any(band_names):
        return ""
    return (
        f"bands are taken in their order: the raster names them {', '.join(map(str, names))}, "
        f"the weights {', '.join(band_names)}"
    )


def for_raster(info: WeightsInfo, source: Source) -> WeightsInfo:
    """The header with a radiometry for the stored values of this raster's chosen bands.

    Another one where the weights were trained on values with scale and offset tags applied, and the
    raster has such tags, and for the digital numbers of Sentinel-2 products: reading and writing
    then go on in stored values, and the tags stay true.

    Raises:
        RefusedError: Each band has a radiometry of its own, and the network makes other bands.
    """
    radiometry, dataset = info.radiometry, source.dataset
    if source.product_offsets is not None:
        offsets_of_bands = tuple(source.product_offsets[band - 1] for band in source.bands)
        radiometry = for_product(radiometry, offsets_of_bands)
    elif info.scale_offset:
        scales = [dataset.scales[band - 1] for band in source.bands]
        offsets = [dataset.offsets[band - 1] for band in source.bands]
        if set(scales) != {1.0} or set(offsets) != {0.0}:
            radiometry = radiometry.of_stored(scales, offsets)
    if radiometry.num_bands is not None and info.spec.out_bands != info.spec.in_bands:
        raise RefusedError(
            f"the weights make {info.spec.out_bands} bands of {info.spec.in_bands}, each with a "
            "radiometry of its own",
            "import them with one --normalization for all bands",
        )
    return replace(info, radiometry=radiometry)


def sample_values(source: Source) -> NDArray[np.float32]:
    """Stored values (bands, pixels) of valid pixels, from a grid of small windows or all of it."""
    parts = [_valid_values(source, box) for box in _sample_boxes(source)]
    sample = np.concatenate(parts, axis=1)
    if sample.size or source.height * source.width > 64_000_000:
        return sample
    # A sparse scene may lie between all windows.
    step = max(_SAMPLE_PX, source.height // 64)
    rows = range(0, source.height, step)
    boxes = [Box(row, 0, min(16, source.height - row), source.width) for row in rows]
    return np.concatenate([_valid_values(source, box) for box in boxes], axis=1)


def valid_share(source: Source, sample: NDArray[np.float32]) -> float:
    """Of the pixels that `sample_values` looked at first."""
    looked_at = sum(box.height * box.width for box in _sample_boxes(source))
    return min(int(sample.shape[1]) / max(looked_at, 1), 1.0)


def _valid_values(source: Source, box: Box) -> NDArray[np.float32]:
    values, valid = source.read(box)
    chosen: NDArray[np.float32] = values[:, valid]
    return chosen


def _sample_boxes(source: Source) -> list[Box]:
    height, width = min(_SAMPLE_PX, source.height), min(_SAMPLE_PX, source.width)
    rows = np.unique(np.linspace(0, source.height - height, _SAMPLE_GRID).astype(int))
    cols = np.unique(np.linspace(0, source.width - width, _SAMPLE_GRID).astype(int))
    return [Box(int(row), int(col), height, width) for row in rows for col in cols]


def check_values(source: Source, sample: NDArray[np.float32], radiometry: Radiometry) -> str:
    """What is wrong with the values for these weights, or an empty string."""
    if sample.size == 0:
        return ""
    low, high = float(sample.min()), float(sample.max())
    if not source.is_float and max(abs(low), abs(high)) > FLOAT32_EXACT:
        return (
            f"{source.path}: values from {low:.0f} to {high:.0f}; the networks work in float32, "
            f"which counts exactly up to {FLOAT32_EXACT}"
        )
    usual, band, which = radiometry.usual_max, 0, ""
    if isinstance(usual, tuple):
        highs = [float(value) for value in np.quantile(sample, 0.999, axis=1)]
        misfits = radiometry.misfits(highs)
        if misfits:
            band, usual = misfits[0], usual[misfits[0]]
            low, high = float(sample[band].min()), float(sample[band].max())
            which = f" in band {source.bands[band]}"
    else:
        highs = [float(np.quantile(sample, 0.999))]
        misfits = radiometry.misfits(highs)
    if not misfits:
        return ""
    return (
        f"{source.path}: {source.dtype} values from {low:g} to {high:g}{which} (99.9 % below "
        f"{highs[band]:g}) do not fit the weights, which were trained on {radiometry.name} data "
        f"with bright pixels around {usual:g}"
    )


def undeclared_nodata(
    source: Source, sample: NDArray[np.float32], radiometry: Radiometry
) -> tuple[str, float]:
    """What tells of a nodata value that the file does not declare, or an empty string; and the value.

    That is a number that no sensor measures, or one far below all measurements that many pixels
    share. A network would spread it over everything around.
    """
    if source.nodata is not None or sample.size == 0:
        return "", 0.0
    for index, values in enumerate(sample):
        low, high = float(values.min()), float(values.max())
        value = high if high >= _NO_MEASUREMENT else low
        share = float((values == np.float32(value)).mean())
        usual = radiometry.usual_max
        floor = -_NO_MEASUREMENT
        if usual is not None:
            least = of_band(radiometry.usual_min, index)
            floor = max(floor, least - (of_band(usual, index) - least) / 2)
        fills = value < floor and share >= _FILLED_SHARE
        if abs(value) >= _NO_MEASUREMENT or fills:
            return (
                f"{source.path}: {100 * share:.2g} % of band {source.bands[index]} is {value:.9g}, as "
                "if that were a nodata value, but the file does not declare one"
            ), value
    return "", 0.0


def narrow_dtype(source: Source, radiometry: Radiometry) -> str:
    """A warning where the dtype cannot reach what the weights know as bright, or an empty string."""
    usual = radiometry.usual_max
    usual = max(usual) if isinstance(usual, tuple) else usual
    if usual is None or source.is_float or np.iinfo(source.dtype).max >= usual / TIMES_BRIGHTER:
        return ""
    return (
        f"{source.path}: {source.dtype} values end at {np.iinfo(source.dtype).max}, the weights "
        f"were trained on {radiometry.name} data with bright pixels around {usual:g}"
    )
