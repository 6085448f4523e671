"""Do rasters fit the declared radiometry, and do they fit each other?"""

from __future__ import annotations

from collections.abc import Sequence

from rasterio.transform import Affine

from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry
from srgan_cli.data.scenes import Raster
from srgan_cli.errors import RefusedError


def check_range(raster: Raster, radiometry: Radiometry) -> None:
    """RefusedError where the stored values cannot be in the declared unit.

    Where each band has its own usual values, each is judged by them; else all bands together.
    """
    misfits = _misfits(raster, radiometry)
    if not misfits:
        return
    usual_max, low, high, which = radiometry.usual_max, raster.low, raster.high, ""
    usual = usual_max
    if isinstance(usual_max, tuple):
        band = misfits[0]
        low, high, which = raster.band_lows[band], raster.band_highs[band], _band(raster, band)
        usual = usual_max[band]
    names = [
        other.name
        for other in RADIOMETRIES.values()
        if other.usual_max and not _misfits(raster, other)
    ]
    factor = f"{{name: linear, scale: {1 / max(raster.high, 1e-6):.3g}}}"
    hint = f"set Data.normalization: {' or '.join([*names, factor])}"
    if isinstance(usual_max, tuple):
        hint = f"bring it into the unit of the other files, take it out of the list, or {hint}"
    raise RefusedError(
        f"{raster.path} holds {raster.dtype} values of {low:g} to {high:g}{which} (99.8 % of its pixels), "
        f"but Data.normalization {radiometry.name} is for values up to about {usual:g}",
        hint,
    )


def _misfits(raster: Raster, radiometry: Radiometry) -> tuple[int, ...]:
    usual_max = radiometry.usual_max
    if usual_max is None:
        return ()
    largest = max(usual_max) if isinstance(usual_max, tuple) else usual_max
    if not raster.scaled and _cannot_hold(raster.dtype, largest):
        return (0,)
    per_band = isinstance(usual_max, tuple)
    return radiometry.misfits(raster.band_highs if per_band else (raster.high,))


def _cannot_hold(dtype: str, usual_max: float) -> bool:
    """Bytes end at 255; and the only integers in a unit range are 0 and 1."""
    return (dtype == "uint8" and usual_max > 255) or ("int" in dtype and usual_max <= 1)


def _band(raster: Raster, band: int) -> str:
    return f" in band {raster.bands[band]} {raster.descriptions[band]}".rstrip()


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
