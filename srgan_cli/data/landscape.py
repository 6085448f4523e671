"""A landscape seen from above, as numbers: reflectance x 10000 in B04, B03, B02, B08.

Drawn on a grid of twice the resolution and averaged, so that edges are mixed pixels as a sensor
sees them. Units: u, v and all lengths are fine pixels unless they are called `_px`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

FINE = 2
"""Fine pixels per pixel."""

Plane = NDArray[np.float32]
"""(rows, cols) of the fine grid."""

# Reflectance x 10000 in B04, B03, B02, B08.
SOILS = ((1050, 820, 620, 1650), (1650, 1250, 900, 2300), (2300, 1800, 1300, 3000))
CROPS = ((330, 620, 330, 4300), (420, 760, 400, 3700), (620, 850, 430, 3200))
STUBBLE = (1750, 1450, 950, 2900)
FOREST = (290, 450, 270, 3000)
HEDGE = (380, 560, 330, 2900)
WATER = (330, 480, 470, 170)
SHORE = (1900, 1650, 1250, 2500)
ASPHALT = (1150, 1080, 1020, 1350)
TRACK = (2100, 1750, 1300, 2800)
YARD = (900, 900, 650, 2500)
ROOFS = (
    (2300, 1250, 950, 2600),
    (1750, 1100, 900, 2100),
    (1500, 1450, 1400, 1700),
    (900, 880, 880, 1100),
    (4300, 4200, 4100, 4400),
)
SPARSE = 100_000
"""Above this size most of a cover is zero and left alone."""
NUM_SPECTRA = 4096
"""Different parcels; a power of two."""
SUN = (0.55, 0.83)
"""Direction of shadows, (rows, cols) up and left of what casts them."""


@dataclass
class Canvas:
    """What is drawn so far."""

    colour: NDArray[np.float32]
    """(4, rows, cols)."""
    height: Plane
    """Of crowns above the ground; casts shading at the end."""
    rows: Plane
    cols: Plane

    def paint(self, cover: Plane, spectrum: tuple[float, ...] | NDArray[np.float32]) -> None:
        """Lay a spectrum, (4,), over what is there; `cover` is its share of each pixel."""
        at = np.nonzero(cover) if cover.size > SPARSE else (slice(None), slice(None))
        share = cover[at]
        for band, value in zip(self.colour, spectrum, strict=True):
            band[at] += share * (np.float32(value) - band[at])


def draw_landscape(size_px: int, rng: Generator) -> NDArray[np.uint16]:
    """A scene (4, size_px, size_px) of fields, woods, water, roads and buildings."""
    side = size_px * FINE
    rows, cols = np.meshgrid(*(np.arange(side, dtype=np.float32),) * 2, indexing="ij")
    empty = np.zeros((side, side), dtype=np.float32)
    canvas = Canvas(np.empty((4, side, side), dtype=np.float32), empty, rows, cols)
    relief = _noise(side, rng, 300) + 0.5 * _noise(side, rng, 120)
    _draw_fields(canvas, rng)
    _draw_woods(canvas, relief, rng)
    _draw_water(canvas, relief, rng)
    roads = [_draw_road(canvas, rng) for _ in range(max(2, size_px // 250))]
    for row, col, angle in roads:
        _draw_village(canvas, row, col, angle, rng)
    _draw_trees(canvas, rng)
    _shade(canvas)
    return _observe(canvas, relief, rng)


def _noise(side: int, rng: Generator, wavelength: float) -> Plane:
    """Smooth noise of about unit variance: random values on a coarse grid, interpolated by cosine."""
    num = max(int(side / wavelength), 1) + 3
    grid = rng.standard_normal((num, num)).astype(np.float32)
    at = np.arange(side) / wavelength + rng.random()
    low = at.astype(int)
    weight = 0.5 - 0.5 * np.cos(np.pi * (at - low))
    between = np.zeros((side, num), dtype=np.float32)
    between[np.arange(side), low] = 1 - weight
    between[np.arange(side), low + 1] = weight
    smooth: Plane = between @ grid @ between.T * np.float32(1.6)
    return smooth


def _cover(distance: Plane, half_width: float | Plane) -> Plane:
    """1 inside `half_width`, 0 outside, with an edge one fine pixel wide."""
    cover: Plane = np.clip(half_width - distance + np.float32(0.5), 0, 1)
    return cover


def _draw_fields(canvas: Canvas, rng: Generator) -> None:
    """Parcels in strips, in several districts with their own direction, spectra and crop rows."""
    side = canvas.rows.shape[0]
    warp = 6 * _noise(side, rng, 220)
    rows, cols = canvas.rows + warp, canvas.cols - warp
    num = max(3, side // 350)
    seeds = rng.uniform(0, side, (num, 2)).astype(np.float32)
    district = np.zeros((side, side), dtype=np.intp)
    nearest = np.full((side, side), -np.inf, dtype=np.float32)
    for index, (row, col) in enumerate(seeds):
        # The nearest seed has the largest p . s - s . s / 2.
        near = rows * row + (cols * col - (row * row + col * col) / 2)
        district[near > nearest] = index
        np.maximum(nearest, near, out=nearest)
    angles = rng.uniform(0, np.pi, num).astype(np.float32)
    cos, sin = np.cos(angles)[district], np.sin(angles)[district]
    u, v = cols * cos + rows * sin, rows * cos - cols * sin
    strip, strip_edge = _intervals(u, rng, 70, 260)
    parcel, parcel_edge = _intervals(v + np.float32(733) * strip.astype(np.float32), rng, 90, 420)
    # Parcels that differ in any of the three numbers take different entries of the tables.
    table = (district * 7919 + strip * 104729 + parcel * 31) & (NUM_SPECTRA - 1)
    _fill_parcels(canvas, table, u, v, rng)
    width = rng.choice(np.array([0, 1.5, 2.5], dtype=np.float32), NUM_SPECTRA)
    border = _cover(np.minimum(strip_edge, parcel_edge), width[table])
    hedge = (rng.random(NUM_SPECTRA) < 0.5)[table]
    canvas.paint(border * hedge, HEDGE)
    canvas.paint(border * ~hedge, TRACK)


def _intervals(
    position: Plane, rng: Generator, least: float, most: float
) -> tuple[NDArray[np.intp], Plane]:
    """(number of the interval, distance to its nearer end) on a line cut at random."""
    low, high = float(position.min()), float(position.max())
    cuts = low - most + np.cumsum(rng.uniform(least, most, int((high - low) / least) + 8))
    cuts = cuts.astype(np.float32)
    # Tables at quarters of a fine pixel are quicker than a search per pixel.
    steps = (low + np.arange(int(4 * (high - low)) + 2) / 4).astype(np.float32)
    index = np.searchsorted(cuts, steps, side="right")
    edge = np.minimum(steps - cuts[index - 1], cuts[index] - steps)
    at = ((position - np.float32(low)) * 4).astype(np.intp)
    return index[at], edge[at]


def _fill_parcels(
    canvas: Canvas, table: NDArray[np.intp], u: Plane, v: Plane, rng: Generator
) -> None:
    num = NUM_SPECTRA
    soil = np.array(SOILS, dtype=np.float32)[rng.integers(len(SOILS), size=num)]
    crop = np.array(CROPS, dtype=np.float32)[rng.integers(len(CROPS), size=num)]
    crop[rng.random(num) < 0.2] = STUBBLE
    green = rng.beta(0.7, 0.6, num).astype(np.float32)
    shade = rng.normal(1, 0.1, (num, 1)).astype(np.float32)
    soil, crop = soil * shade, crop * shade
    along = np.where((rng.random(num) < 0.5)[table], u, v)
    period = (FINE * rng.uniform(5, 13, num)).astype(np.float32)[table]
    depth = (rng.random(num) * rng.integers(0, 2, num) * 0.35).astype(np.float32)[table]
    patchy = 0.12 * _noise(table.shape[0], rng, 45) + 0.05 * _noise(table.shape[0], rng, 9)
    rows_of_crop = depth * np.cos(2 * np.float32(np.pi) * along / period)
    cover = np.clip(green[table] + patchy + rows_of_crop, 0, 1)
    gain = crop - soil
    for band in range(4):
        canvas.colour[band] = soil[:, band].copy()[table] + cover * gain[:, band].copy()[table]


def _draw_woods(canvas: Canvas, relief: Plane, rng: Generator) -> None:
    side = canvas.rows.shape[0]
    wood = _noise(side, rng, 260) + 0.25 * _noise(side, rng, 40) - 0.2 * relief
    cover = np.clip((wood - 1.15) * 30, 0, 1)
    canvas.paint(cover, FOREST)
    # Crowns grow wherever a random point falls into the wood.
    points = rng.uniform(0, side - 1, (side * side // 70, 2))
    inside = cover[points[:, 0].astype(int), points[:, 1].astype(int)] > 0.7
    _plant(canvas, points[inside], rng.uniform(3, 6.5, int(inside.sum())))


def _draw_trees(canvas: Canvas, rng: Generator) -> None:
    side = canvas.rows.shape[0]
    num = side * side // 9000
    points = rng.uniform(8, side - 9, (num, 2))
    water = canvas.colour[3][points[:, 0].astype(int), points[:, 1].astype(int)] < 700
    points = points[~water]
    for row, col in points:
        bottom, right = int(row), int(col)
        canvas.colour[:, bottom - 8 : bottom + 1, right - 8 : right] *= np.float32(0.8)
    radius = rng.uniform(2.5, 5, len(points))
    before = canvas.height.copy()
    _plant(canvas, points, radius)
    canvas.paint((canvas.height > before).astype(np.float32), HEDGE)


def _plant(canvas: Canvas, points: NDArray[np.float64], radius: NDArray[np.float64]) -> None:
    """Domes of crowns on the height field."""
    side = canvas.rows.shape[0]
    reach = 7
    row, col = points[:, 0].astype(int), points[:, 1].astype(int)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            dome = 1 - (down**2 + right**2) / radius**2
            hit = (dome > 0) & (np.abs(row + down - side // 2) < side // 2)
            hit &= np.abs(col + right - side // 2) < side // 2
            top = (radius[hit] * np.sqrt(dome[hit])).astype(np.float32)
            np.maximum.at(canvas.height, (row[hit] + down, col[hit] + right), top)


def _curve(canvas: Canvas, rng: Generator, bend: float) -> tuple[Plane, float, float, float]:
    """(distance to a winding line across the scene, a row and column on it, its angle)."""
    side = canvas.rows.shape[0]
    angle = float(rng.uniform(0, np.pi))
    row, col = (float(value) for value in rng.uniform(0.25 * side, 0.75 * side, 2))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (canvas.cols - col) * cos + (canvas.rows - row) * sin
    v = (canvas.rows - row) * cos - (canvas.cols - col) * sin
    waves = (2 * np.pi / rng.uniform(400, 1400, 2)).astype(np.float32)
    swing = (bend * rng.uniform(0.4, 1, 2) / waves).astype(np.float32)
    # Tabulated along the line, at eighths of a fine pixel: quicker than sines of all pixels.
    steps = (np.arange(-12 * side, 12 * side) / 8).astype(np.float32)
    middle = swing[0] * np.sin(waves[0] * steps) + swing[1] * np.sin(waves[1] * steps)
    stretch = np.sqrt(1 + np.gradient(middle, steps) ** 2)
    at = (u * 8 + 12 * side).astype(np.intp)
    distance: Plane = np.abs(v - middle[at]) / stretch[at]
    turned = angle + float(np.arctan(swing @ waves))
    return distance, row, col, turned


def _draw_road(canvas: Canvas, rng: Generator) -> tuple[float, float, float]:
    distance, row, col, angle = _curve(canvas, rng, 0.12)
    half_width = FINE * float(rng.uniform(1.2, 2.6))
    canvas.paint(_cover(distance, half_width + 3), HEDGE)
    canvas.paint(_cover(distance, half_width), ASPHALT if rng.random() < 0.7 else TRACK)
    canvas.height[distance < half_width + 2] = 0
    return row, col, angle


def _draw_water(canvas: Canvas, relief: Plane, rng: Generator) -> None:
    side = canvas.rows.shape[0]
    ripple = _noise(side, rng, 60)
    lake = np.clip((-relief - 2.1) * 40, -6, 6)
    shore_distance = -lake
    if rng.random() < 0.75:
        distance, *_ = _curve(canvas, rng, 0.45)
        width = FINE * rng.uniform(4, 14) + 3 * ripple
        shore_distance = np.minimum(shore_distance, distance - width)
    canvas.paint(_cover(shore_distance, 4.0), SHORE)
    water = _cover(shore_distance, 0.0)
    canvas.paint(water, np.array(WATER, dtype=np.float32) * np.float32(rng.uniform(0.8, 1.3)))
    canvas.colour *= 1 + 0.08 * water * ripple
    canvas.height[shore_distance < 2] = 0


def _draw_village(canvas: Canvas, row: float, col: float, angle: float, rng: Generator) -> None:
    """Houses, and a few sheds, in rows along a road."""
    houses = int(rng.integers(25, 90))
    spread = rng.uniform(150, 320)
    for _ in range(houses):
        along, lane = rng.normal(0, spread), rng.integers(1, 5) * rng.choice([-1, 1])
        across = float(lane) * 34 + rng.normal(0, 2)
        large = rng.random() < 0.06
        length, width = rng.uniform(30, 70, 2) if large else rng.uniform(7, 16, 2)
        at = (
            row + along * np.sin(angle) + across * np.cos(angle),
            col + along * np.cos(angle) - across * np.sin(angle),
        )
        roof = ROOFS[int(rng.integers(len(ROOFS)))]
        _draw_house(canvas, at, angle + float(rng.normal(0, 0.05)), (length, width), roof)


def _draw_house(
    canvas: Canvas,
    at: tuple[float, float],
    angle: float,
    size: tuple[float, float],
    roof: tuple[int, ...],
) -> None:
    """A yard, the shadow, and a roof whose two sides are lit differently."""
    side, reach = canvas.rows.shape[0], int(max(size)) + 14
    top, left = int(at[0]) - reach, int(at[1]) - reach
    if min(top, left) < 0 or max(top, left) + 2 * reach > side:
        return
    part = (slice(top, top + 2 * reach), slice(left, left + 2 * reach))
    if canvas.colour[3][int(at[0]), int(at[1])] < 700:
        return
    local = Canvas(
        canvas.colour[:, part[0], part[1]],
        canvas.height[part],
        canvas.rows[part],
        canvas.cols[part],
    )
    local.height[:] = np.where(_box(local, at, angle, size, 5)[0] > 0, 0, local.height)
    local.paint(0.7 * _box(local, at, angle, size, 6)[0], YARD)
    fall = 2.0 + 0.1 * max(size)
    shadow = np.zeros_like(local.rows)
    for part_of_fall in (0.33, 0.66, 1.0):
        moved = (at[0] - SUN[0] * fall * part_of_fall * 2, at[1] - SUN[1] * fall * part_of_fall * 2)
        np.maximum(shadow, _box(local, moved, angle, size, 0)[0], out=shadow)
    local.colour *= 1 - np.float32(0.65) * shadow
    cover, across = _box(local, at, angle, size, 0)
    local.paint(cover, roof)
    local.colour *= 1 + cover * np.where(across > 0, np.float32(0.12), np.float32(-0.16))


def _box(
    canvas: Canvas,
    at: tuple[float, float],
    angle: float,
    size: tuple[float, float],
    grow: float,
) -> tuple[Plane, Plane]:
    """(cover of a rectangle, position across its ridge)."""
    rows, cols = canvas.rows - np.float32(at[0]), canvas.cols - np.float32(at[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = cols * cos + rows * sin, rows * cos - cols * sin
    cover = _cover(np.abs(along), size[0] / 2 + grow) * _cover(np.abs(across), size[1] / 2 + grow)
    return cover, across


def _shade(canvas: Canvas) -> None:
    """Light on crowns from the lower right, dark away from it."""
    height = canvas.height
    slope = np.zeros_like(height)
    slope[1:] += np.float32(SUN[0]) * (height[:-1] - height[1:])
    slope[:, 1:] += np.float32(SUN[1]) * (height[:, :-1] - height[:, 1:])
    canvas.colour *= np.clip(1 + np.float32(0.16) * slope, 0.45, 1.45)


def _observe(canvas: Canvas, relief: Plane, rng: Generator) -> NDArray[np.uint16]:
    """What the sensor makes of it: relief shading, optics, pixels, noise, 16 bits."""
    # Optics, a binomial blur of the fine grid, and the detector's square pixels in one kernel.
    seen = _halve(_halve(canvas.colour).swapaxes(1, 2)).swapaxes(1, 2)
    size = seen.shape[1]
    seen *= 1 + np.float32(0.03) * (relief[::FINE, ::FINE] + _noise(size, rng, 15))
    grain = rng.standard_normal(seen.shape, dtype=np.float32)
    noisy = seen + grain * (np.float32(8) + np.float32(0.004) * seen)
    stored: NDArray[np.uint16] = np.clip(np.rint(noisy), 1, 10000).astype(np.uint16)
    return stored


def _halve(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every second row of (bands, rows, cols) seen through the kernel 1 3 3 1; edges repeated."""
    padded = np.concatenate([fine[:, :1], fine, fine[:, -1:]], axis=1)
    outer = padded[:, 0:-3:2] + padded[:, 3::2]
    inner = padded[:, 1:-2:2] + padded[:, 2:-1:2]
    halved: NDArray[np.float32] = (outer + 3 * inner) / 8
    return halved
