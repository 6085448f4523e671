"""Do rasters fit the declared radiometry, and do they fit each other?"""

from __future__ import annotations

from collections.abc import Sequence

from rasterio.transform import Affine

from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry
from srgan_cli.data.scenes import Raster
from srgan_cli.errors import RefusedError


def check_range(raster: Raster, radiometry: Radiometry) -> None:
    """RefusedError where the stored values cannot be in the declared unit."""
    if radiometry.usual_max is None or _fits(raster, radiometry):
        return
    names = [
        other.name for other in RADIOMETRIES.values() if other.usual_max and _fits(raster, other)
    ]
    factor = f"{{name: linear, scale: {1 / max(raster.high, 1e-6):.3g}}}"
    raise RefusedError(
        f"{raster.path} holds {raster.dtype} values of {raster.low:g} to {raster.high:g} (99.8 % of its pixels), "
        f"but Data.normalization {radiometry.name} is for values up to about {radiometry.usual_max:g}",
        f"set Data.normalization: {' or '.join([*names, factor])}",
    )


def _fits(raster: Raster, radiometry: Radiometry) -> bool:
    if raster.dtype == "uint8" and radiometry.usual_max is not None and radiometry.usual_max > 255:
        return False
    return radiometry.fits(raster.high)


def _at(t: Affine, col: float, row: float) -> tuple[float, float]:
    # Written out: affine is changing its operator from * to @.
    return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f


def check_crop(raster: Raster, crop_px: int, scale: int, key: str) -> None:
    """RefusedError where the raster is smaller than one crop."""
    least = min(raster.width, raster.height) // scale * scale
    if least < crop_px:
        advice = f"set {key}: {least} or smaller" if least else "take the file out of the list"
        raise RefusedError(
            f"{raster.path} is {raster.size} pixels, smaller than one crop of {key} {crop_px}",
            advice,
        )


def check_band_order(rasters: Sequence[Raster]) -> None:
    """RefusedError where two rasters describe the same bands in different order."""
    named = [raster for raster in rasters if all(raster.descriptions)]
    for other in named[1:]:
        first = named[0]
        same_bands = sorted(other.descriptions) == sorted(first.descriptions)
        if same_bands and other.descriptions != first.descriptions:
            raise RefusedError(
                f"{first.path} has bands {', '.join(first.descriptions)}, "
                f"but {other.path} has {', '.join(other.descriptions)}",
                "bring the bands of all files into the same order",
            )


def inconsistencies(rasters: Sequence[Raster]) -> list[str]:
    """Warnings about HR rasters that can be used together, but perhaps should not."""
    first = rasters[0]
    warnings = [
        f"{raster.path} carries scale or offset tags; stored values are used without them "
        "(Data.apply_scale_offset: true applies them)"
        for raster in rasters
        if raster.scaled
    ]
    sizes = [raster for raster in rasters if raster.gsd_m]
    for raster in sizes[1:]:
        if abs(raster.gsd_m / sizes[0].gsd_m - 1) > 0.02:  # type: ignore[operator]  # filtered above
            warnings.append(
                f"pixels of {raster.gsd_m:.3g} m in {raster.path}, but of {sizes[0].gsd_m:.3g} m in {sizes[0].path}"
            )
            break
    for raster in rasters:
        if raster.dtype != first.dtype:
            warnings.append(f"{raster.path} is {raster.dtype}, but {first.path} is {first.dtype}")
            break
    return warnings


def overlaps(train: Sequence[Raster], val: Sequence[Raster]) -> list[str]:
    """A warning where a validation raster shows ground that is trained on."""
    for seen in train:
        for held in val:
            if seen.georeferenced and seen.crs == held.crs and _overlap(seen, held):
                return [
                    f"{held.path} (validation) and {seen.path} (training) show the same ground: "
                    "the metrics will be too good"
                ]
    return []


def _overlap(a: Raster, b: Raster) -> bool:
    a_left, a_bottom, a_right, a_top = _bounds(a)
    b_left, b_bottom, b_right, b_top = _bounds(b)
    width = min(a_right, b_right) - max(a_left, b_left)
    height = min(a_top, b_top) - max(a_bottom, b_bottom)
    pixel = (a_right - a_left) / a.width
    return bool(width > pixel and height > pixel)


def _bounds(raster: Raster) -> tuple[float, float, float, float]:
    t = raster.transform
    corners = [_at(t, col, row) for col in (0, raster.width) for row in (0, raster.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
