"""Where HR and LR of a pair show the same ground.

Georeferenced pairs need not share a pixel grid. HR is read on the footprint of LR: at the whole
HR pixel nearest to each LR pixel's corner. A sub-pixel remainder of up to half an HR pixel stays;
nothing is resampled, since that would blur HR. Without georeferencing both files must start at
the same corner and HR be exactly `scale` times as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from srgan_cli.data.cutter import Scene
from srgan_cli.data.scenes import Raster
from srgan_cli.errors import RefusedError

TOLERANCE_LR_PX = 0.5
"""Farthest that a pixel of LR may lie from the HR pixels it is paired with."""

RATIO_TOLERANCE = 0.05
"""Beyond it the ratio of the pixel sizes is called another scale, below it a drift."""

_ROUNDING = 1e-6


class Alignment(NamedTuple):
    """The common ground of a pair, in whole LR pixels."""

    hr_row: int
    """Its upper left corner in HR."""
    hr_col: int
    lr_row: int
    """The same corner in LR."""
    lr_col: int
    lr_rows: int
    lr_cols: int
    apart_lr_px: float
    """Farthest that LR and the HR pixels paired with it are apart, in LR pixels."""


def align(hr: Raster, lr: Raster, scale: int) -> Alignment:
    """The common ground of HR and LR.

    Raises:
        RefusedError: They are in different CRS, of another scale or rotation, or HR does not cover
            LR, each by more than half an LR pixel; the message names both files and the numbers.
    """
    if not (hr.georeferenced and lr.georeferenced):
        return _by_size(hr, lr, scale)
    _check_crs(hr, lr)
    to_hr = _times(~hr.transform, lr.transform)
    _check_ratio(hr, lr, scale, to_hr)
    corners = [(0, 0), (lr.width, 0), (0, lr.height), (lr.width, lr.height)]
    places = [_at(to_hr, *corner) for corner in corners]
    shifts = [
        (x - scale * col, y - scale * row)
        for (x, y), (col, row) in zip(places, corners, strict=True)
    ]
    (col, apart_cols), (row, apart_rows) = (
        _nearest([shift[i] for shift in shifts]) for i in (0, 1)
    )
    apart = max(apart_cols, apart_rows) / scale
    if apart > TOLERANCE_LR_PX + _ROUNDING:
        raise _apart(hr, lr, apart, "the pixel grids drift apart or are rotated")
    beyond = max(distance for x, y in places for distance in (-x, x - hr.width, -y, y - hr.height))
    if beyond / scale > TOLERANCE_LR_PX + _ROUNDING:
        raise _apart(hr, lr, beyond / scale, "LR shows ground that HR does not")
    lr_col, lr_cols = _covered(col, hr.width, lr.width, scale)
    lr_row, lr_rows = _covered(row, hr.height, lr.height, scale)
    return Alignment(
        row + scale * lr_row, col + scale * lr_col, lr_row, lr_col, lr_rows, lr_cols, apart
    )


def scene_of(looked: tuple[Raster, Raster | None], scale: int) -> Scene:
    """HR, cut to a multiple of the scale, or the common ground of a pair.

    Raises:
        RefusedError: A pair does not fit, or has no valid pixel in common.
    """
    hr, lr = looked
    if lr is None:
        return Scene(
            hr=hr.path,
            lr=None,
            hr_bands=hr.bands,
            lr_bands=(),
            height=hr.height // scale * scale,
            width=hr.width // scale * scale,
            first_row=0,
            end_row=hr.height // scale * scale,
            valid_fraction=hr.valid_fraction,
            valid_spots=hr.valid_spots,
        )
    at = align(hr, lr, scale)
    height, width = at.lr_rows * scale, at.lr_cols * scale
    fraction, spots = hr.valid_fraction, hr.valid_spots - np.array([at.hr_row, at.hr_col])
    if lr.valid_fraction < fraction:
        fraction = lr.valid_fraction
        spots = (lr.valid_spots - np.array([at.lr_row, at.lr_col])) * scale
    inside = spots[((spots >= 0) & (spots < (height, width))).all(axis=1)]
    if len(spots) and not len(inside):
        raise RefusedError(
            f"{hr.path} and {lr.path} have no valid pixel on their common ground",
            "take the pair out of the list",
        )
    return Scene(
        hr=hr.path,
        lr=lr.path,
        hr_bands=hr.bands,
        lr_bands=lr.bands,
        height=height,
        width=width,
        first_row=0,
        end_row=height,
        valid_fraction=fraction,
        valid_spots=np.ascontiguousarray(inside, dtype=np.int32),
        hr_corner=(at.hr_row, at.hr_col),
        lr_corner=(at.lr_row, at.lr_col),
    )


def loose_pairs(pairs: Sequence[tuple[Raster, Raster | None]], scale: int) -> list[str]:
    """A warning about pairs whose pixel grids fit badly though they fit well enough."""
    loose = [
        (at.apart_lr_px, hr.path, lr.path)
        for hr, lr in pairs
        if lr is not None and (at := align(hr, lr, scale)).apart_lr_px > TOLERANCE_LR_PX / 2
    ]
    if not loose:
        return []
    apart, hr_path, lr_path = max(loose)
    more = (
        f" (and {len(loose) - 1} other pairs more than {TOLERANCE_LR_PX / 2})" if loose[1:] else ""
    )
    return [
        f"pixels of {hr_path} and {lr_path} lie up to {apart:.2g} LR pixels apart{more}: "
        "HR is read at whole pixels, never resampled"
    ]


def _by_size(hr: Raster, lr: Raster, scale: int) -> Alignment:
    if (hr.width, hr.height) != (lr.width * scale, lr.height * scale):
        raise RefusedError(
            f"{hr.path} is {hr.size} and {lr.path} is {lr.size}; with Generator.scaling_factor {scale} "
            f"HR must be {lr.width * scale}x{lr.height * scale}",
            "correct Generator.scaling_factor, or cut both files to the same ground",
        )
    return Alignment(0, 0, 0, 0, lr.height, lr.width, 0.0)


def _check_crs(hr: Raster, lr: Raster) -> None:
    try:
        same = CRS.from_string(hr.crs) == CRS.from_string(lr.crs)
    except CRSError:
        same = hr.crs == lr.crs
    if not same:
        raise RefusedError(
            f"{hr.path} is in {hr.crs}, {lr.path} in {lr.crs}", "warp LR to the CRS of HR"
        )


def _check_ratio(hr: Raster, lr: Raster, scale: int, to_hr: Affine) -> None:
    ratios = (to_hr.a, to_hr.e)
    if all(abs(ratio / scale - 1) <= RATIO_TOLERANCE for ratio in ratios):
        return
    ratio = " by ".join(dict.fromkeys(f"{ratio:.4g}" for ratio in ratios))
    raise RefusedError(
        f"{hr.path} is {hr.size} with pixels of {_pixel(hr.transform):.4g} and {lr.path} is {lr.size} with pixels of "
        f"{_pixel(lr.transform):.4g}: "
        f"a ratio of {ratio}, but Generator.scaling_factor is {scale}",
        "correct Generator.scaling_factor, or warp LR to the grid of HR",
    )


def _apart(hr: Raster, lr: Raster, distance: float, how: str) -> RefusedError:
    return RefusedError(
        f"the footprints of {hr.path} and {lr.path} differ by {distance:.2g} LR pixels ({how}); "
        f"at most {TOLERANCE_LR_PX} is allowed",
        "cut both files to the same ground, or correct their georeferencing",
    )


def _nearest(shifts: list[float]) -> tuple[int, float]:
    """The whole shift closest to all of these, and the largest distance from it."""
    whole = round((min(shifts) + max(shifts)) / 2)
    return whole, max(abs(shift - whole) for shift in shifts)


def _covered(shift: int, hr_length: int, lr_length: int, scale: int) -> tuple[int, int]:
    """First of the LR pixels whose HR pixels all exist, and their number."""
    first = max(0, -(shift // scale))
    end = min(lr_length, (hr_length - shift) // scale)
    return first, end - first


def _pixel(t: Affine) -> float:
    """Side of a pixel along its row, in units of the CRS."""
    return float((t.a**2 + t.d**2) ** 0.5)


def _times(a: Affine, b: Affine) -> Affine:
    # Written out: affine is changing its operator from * to @.
    return Affine(
        a.a * b.a + a.b * b.d,
        a.a * b.b + a.b * b.e,
        a.a * b.c + a.b * b.f + a.c,
        a.d * b.a + a.e * b.d,
        a.d * b.b + a.e * b.e,
        a.d * b.c + a.e * b.f + a.f,
    )


def _at(t: Affine, col: float, row: float) -> tuple[float, float]:
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
