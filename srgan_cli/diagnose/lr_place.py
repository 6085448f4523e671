"""Where an SR raster lies in the LR raster that it was made of, or in a part of."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from rasterio.io import DatasetReader

from srgan_cli.errors import RefusedError

_Affine = tuple[float, ...]

_OFF_PX: Final = 0.01
"""An SR raster that is further off the pixel grid, in SR px, was moved."""
_STRETCH: Final = 1e-6
"""Relative difference of two pixel sizes that are the same: in 10 000 px a hundredth of one."""
_IDENTITY: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_HINT: Final = "give the LR raster that it was made of"


class Place(NamedTuple):
    """The LR pixels that an SR raster was made of."""

    row: int
    col: int
    height: int
    width: int


def place_in_lr(
    sr: DatasetReader, lr: DatasetReader, scale: int, path: object, lr_path: object
) -> Place:
    """The LR pixels below an SR raster, by what says where both lie: transform, GCPs or RPCs.

    Where SR does not say so, as images of many tools do not, it must be of all of LR.

    Raises:
        RefusedError: They do not lie on one pixel grid, or SR reaches beyond LR.
    """
    height, width = sr.height // scale, sr.width // scale
    origin = _origin(sr, lr, scale, path, lr_path)
    if origin is None:
        if (sr.width, sr.height) != (lr.width * scale, lr.height * scale):
            raise RefusedError(
                f"{path} has {sr.width} x {sr.height} px, {scale} times {lr_path} are "
                f"{lr.width * scale} x {lr.height * scale}, and nothing says where in it the image lies",
                f"{_HINT}, and the right --scale; of a part, give that part",
            )
        return Place(0, 0, height, width)
    row, col = origin
    if row < 0 or col < 0 or row + height > lr.height or col + width > lr.width:
        raise RefusedError(
            f"{path} reaches beyond {lr_path}: it covers columns {col} to {col + width - 1} and rows "
            f"{row} to {row + height - 1} of an image of {lr.width} x {lr.height} px "
            f"({_transforms(sr, lr)})",
            f"{_HINT}, and the right --scale",
        )
    return Place(row, col, height, width)


def _origin(
    sr: DatasetReader, lr: DatasetReader, scale: int, path: object, lr_path: object
) -> tuple[int, int] | None:
    """Row and column in LR where SR begins; None where nothing says so."""
    ours, theirs = _affine(sr), _affine(lr)
    corner: tuple[float, float] | None = None
    fits = True
    if ours != _IDENTITY:
        fits = sr.crs == lr.crs and _same_steps(ours, theirs, scale)
        corner = _in_pixels(theirs, ours[2], ours[5]) if fits else None
    elif sr.gcps[0] and lr.gcps[0]:
        corner = _by_gcps(sr, lr, scale)
        fits = corner is not None
    elif sr.rpcs is not None and lr.rpcs is not None:
        corner = _by_rpcs(sr, lr, scale)
    if corner is None and fits:
        return None
    off = np.inf if corner is None else max(abs(at - round(at)) for at in corner) * scale
    if corner is None or not off <= _OFF_PX:
        apart = "" if corner is None else f", off it by {off:.2g} px"
        raise RefusedError(
            f"{path} does not lie on the pixel grid of {lr_path}{apart} (CRS {sr.crs or 'none'} and "
            f"{lr.crs or 'none'}, scale {scale}, {_transforms(sr, lr)})",
            f"{_HINT}; reprojected images cannot be judged",
        )
    return round(corner[1]), round(corner[0])


def _affine(dataset: DatasetReader) -> _Affine:
    return tuple(dataset.transform)[:6]


def _transforms(sr: DatasetReader, lr: DatasetReader) -> str:
    words = (", ".join(f"{value:.10g}" for value in _affine(each)) for each in (sr, lr))
    return "transforms [{}] and [{}]".format(*words)


def _same_steps(ours: _Affine, theirs: _Affine, scale: int) -> bool:
    """Whether `scale` SR pixels are one LR pixel, in length and direction."""
    steps = np.array(theirs)[[0, 1, 3, 4]]
    close = np.abs(np.array(ours)[[0, 1, 3, 4]] * scale - steps) <= _STRETCH * np.abs(steps).max()
    return bool(close.all())


def _in_pixels(transform: _Affine, x: float, y: float) -> tuple[float, float] | None:
    """Column and row of a point; None where the transform has no inverse."""
    a, b, c, d, e, f = transform
    determinant = a * e - b * d
    if determinant == 0:
        return None
    x, y = x - c, y - f
    return (e * x - b * y) / determinant, (a * y - d * x) / determinant


def _by_gcps(sr: DatasetReader, lr: DatasetReader, scale: int) -> tuple[float, float] | None:
    """By points on the same ground, which must all say the same; None where they do not."""
    known = {(point.x, point.y): point for point in lr.gcps[0]}
    corners = [
        (known[point.x, point.y].col - point.col / scale, known[point.x, point.y].row - point.row / scale)
        for point in sr.gcps[0]
        if (point.x, point.y) in known
    ]  # fmt: skip
    if not corners or np.ptp(np.array(corners), axis=0).max() * scale > _OFF_PX:
        return None
    return corners[0]


def _by_rpcs(sr: DatasetReader, lr: DatasetReader, scale: int) -> tuple[float, float]:
    """RPCs count from the centre of the first pixel."""
    return (
        lr.rpcs.samp_off + 0.5 - (sr.rpcs.samp_off + 0.5) / scale,
        lr.rpcs.line_off + 0.5 - (sr.rpcs.line_off + 0.5) / scale,
    )
