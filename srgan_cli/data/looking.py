"""What the files of a pair show: each by itself, then where they show the same ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rasterio.windows import Window

from srgan_cli.data.checks import check_crop, check_range
from srgan_cli.data.degradation import Degradation, build_degradation
from srgan_cli.data.footprints import align
from srgan_cli.data.images import build_reading
from srgan_cli.data.radiometry import Radiometry
from srgan_cli.data.rasters import UnreadableError
from srgan_cli.data.scenes import Raster, look_at
from srgan_cli.data.sources import Pair
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

Looked = tuple[Raster, Raster | None]
"""HR, and LR where it is not made from HR."""


def look_at_pair(pair: Pair, config: RunConfig, radiometry: Radiometry | None) -> Looked:
    """Open the files of a pair and check that crops can be cut; call it inside a `gdal_env`.

    Without `radiometry`, which is to be fitted, values are not checked.

    Raises:
        RefusedError: Something does not fit; the message names the key and the file.
    """
    with _naming(pair.hr_key):
        hr = look_at(pair.hr, build_reading(config))
        check_crops(hr, config)
        check_ranges([(hr, None)], radiometry)
    if pair.lr is None:
        return hr, None
    with _naming(pair.lr_key):
        lr = look_at(pair.lr, build_reading(config))
        check_ranges([(lr, None)], radiometry)
        part = common_ground(hr, lr, config)
    if part is not None:
        with _naming(pair.hr_key):
            hr = look_at(pair.hr, build_reading(config), part)
            check_ranges([(hr, None)], radiometry)
    return hr, lr


def common_ground(hr: Raster, lr: Raster, config: RunConfig) -> Window | None:
    """The part of HR that LR shows, where that is less than all of it, as in a mosaic.

    Raises:
        RefusedError: HR and LR do not show the same ground, or less of it than one crop.
    """
    scale = config.generator.scaling_factor
    at = align(hr, lr, scale)
    common = replace(
        hr,
        path=f"the common ground of {hr.path} and {lr.path}",
        height=at.lr_rows * scale,
        width=at.lr_cols * scale,
    )
    check_crop(common, config.data.hr_crop_px, scale, "Data.hr_crop_px")
    if common.width + scale < hr.width or common.height + scale < hr.height:
        return Window(at.hr_col, at.hr_row, common.width, common.height)
    return None


def check_crops(hr: Raster, config: RunConfig) -> None:
    """RefusedError where HR is smaller than a crop."""
    data, scale = config.data, config.generator.scaling_factor
    check_crop(hr, data.hr_crop_px, scale, "Data.hr_crop_px")
    if data.val_crop_px:
        check_crop(hr, data.val_crop_px, scale, "Data.val_crop_px")


def check_ranges(looked: Sequence[Looked], radiometry: Radiometry | None) -> None:
    """RefusedError where the values of a file are in another unit than the radiometry, if there is one."""
    for raster in (raster for pair in looked for raster in pair if raster is not None):
        if radiometry is not None:
            check_range(raster, radiometry)


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


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Puts the key that led to a file before what is wrong with it."""
    try:
        yield
    except UnreadableError as err:
        raise UnreadableError(err.path, f"{key}: {err.message}", err.hint) from err
    except RefusedError as err:
        raise RefusedError(f"{key}: {err.message}", err.hint) from err
