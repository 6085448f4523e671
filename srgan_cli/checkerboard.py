"""The grid-artefact score: a pattern locked to the upsampling grid, common to many tiles.

A checkerboard is an unequal mean response of the s * s output phases of an upsampler. Any one
tile may show such a pattern by chance or because its content is periodic; only an artefact has
the same pattern, at the same phase, in every tile. So the tiles' phase patterns are averaged, and
the power of the average is compared with that after shifting every tile's pattern by a random
phase. Interpolation, nearest-neighbour blocks and periodic streets pass; a locked pattern of
0.2 % of the value range is found in 16 tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Tiles = NDArray[np.floating[Any]]
Pattern = NDArray[np.float64]
Pixels = NDArray[np.float32]

MIN_TILES_AT_TWO: Final = 6
MIN_TILES: Final = 4
MIN_CELLS: Final = 8
"""A tile must hold so many cells of the grid along each side."""

MIN_LINES: Final = 5
"""Tiles of one image must lie in so many rows and columns."""

BORDER_CELLS: Final = 2
"""The outermost cells show padding, not the network."""
_HUBER: Final = 3.0
_BLOCK_PX: Final = 32
_NULL_SHIFTS: Final = 999
_SEED: Final = 20240229


@dataclass(frozen=True)
class CheckerboardScore:
    """The common grid-locked pattern of a set of tiles; of several bands the clearest."""

    amplitude: float
    """Root mean square of the pattern as a share of the value range, unbiased; negative = none."""
    z: float
    """Standard deviations above what random phases give; of several ways to group tiles the least."""
    p: float
    """Share of random phases that give as much, likewise the largest; 0.001 is the least possible."""
    period2_share: float
    """Share of the pattern's energy at a period of 2 px: made by the last upsampling stage."""
    pattern: Pattern
    """(scale, scale) mean deviation of each output phase, as a share of the value range."""
    texture_ratio: float
    """The pattern's root mean square against the quietest texture of the tiles."""
    num_tiles: int
    band: int
    """Counted from 0."""


def checkerboard_score(
    tiles: ArrayLike,
    scale: int,
    value_range: float | ArrayLike | None = None,
    places: ArrayLike | None = None,
) -> CheckerboardScore:
    """Scores SR tiles for a pattern locked to the grid of `scale` output px.

    Args:
        tiles: (N, H, W) or (N, C, H, W), native resolution, each cut at a multiple of `scale`.
        scale: SR px per LR px along a side; 2 or more.
        value_range: Ordinary range of the data (98th minus 2nd percentile of the LR set), one
            number or one per band; by default that of the tiles.
        places: (N, 2) row and column of each tile in a lattice on one image. What runs along the
            image, such as a street, then counts once and not in every tile that it passes, so does
            what fills a sixteenth, and tiles of one quarter are not compared with each other; see
            `lines_suffice`. By default every tile shows another place.

    Raises:
        ValueError: too few tiles (4, with scale 2: 6), tiles smaller than 8 cells, or no range.
    """
    stack = np.asarray(tiles)
    if stack.ndim == 3:
        stack = stack[:, None]
    _check(stack, scale)
    bands = stack.shape[1]
    if value_range is None:
        low, high = np.percentile(stack.astype(np.float64), (2, 98), axis=(0, 2, 3))
        ranges = high - low
    else:
        ranges = np.broadcast_to(np.asarray(value_range, np.float64), (bands,))
    layout = _layout(len(stack), scale, None if places is None else np.asarray(places))
    scores = [_score_band(stack[:, b], scale, float(ranges[b]), b, layout) for b in range(bands)]
    return max(scores, key=lambda score: score.z)


def amplitude_samples(
    tiles: ArrayLike, scale: int, value_range: float, num_samples: int = 400
) -> NDArray[np.float64]:
    """(num_samples,) amplitudes of one band's pattern, each over tiles drawn with replacement.

    Their spread is what the choice of the tiles leaves open; amplitudes as in `CheckerboardScore`.

    Args:
        tiles: (N, H, W), native resolution, each cut at a multiple of `scale`.
        scale: SR px per LR px along a side; 2 or more.
        value_range: Ordinary range of the data.
        num_samples: How many.
    """
    stack = np.asarray(tiles)
    _check(stack[:, None], scale)
    patterns, flatness = _phase_patterns(stack, scale)
    floor = max(float(np.quantile(flatness, 0.25)), _tiny(stack))
    weights = 1.0 / np.maximum(flatness, floor)
    flat = _capped(patterns).reshape(len(stack), -1)
    counts = np.random.default_rng(_SEED).multinomial(
        len(stack), np.full(len(stack), 1 / len(stack)), num_samples
    )
    drawn = counts * weights
    # Pairs of a tile with itself say nothing of what tiles have in common.
    own = drawn**2 @ (flat**2).sum(axis=1)
    pairs = drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)
    power = (((drawn @ flat) ** 2).sum(axis=1) - own) / (np.maximum(pairs, 1e-300) * scale**2)
    return np.asarray(np.sign(power) * np.sqrt(np.abs(power)) / value_range)


def enough_tiles(scale: int) -> int:
    """Fewest tiles with which random phases can be told from a locked pattern."""
    return MIN_TILES_AT_TWO if scale == 2 else MIN_TILES


def _check(stack: Tiles, scale: int) -> None:
    if stack.ndim != 4:
        raise ValueError(f"tiles must be (N, H, W) or (N, C, H, W), not {stack.shape}")
    if scale < 2:
        raise ValueError(f"a grid needs a scale of 2 or more, not {scale}")
    if len(stack) < enough_tiles(scale):
        raise ValueError(f"{len(stack)} tiles; scale {scale} needs {enough_tiles(scale)}")
    if min(stack.shape[2:]) < MIN_CELLS * scale:
        raise ValueError(f"tiles of {stack.shape[2:]} px; at least {MIN_CELLS * scale} px a side")


@dataclass(frozen=True)
class _Layout:
    """Which tiles may belong together for another reason than the artefact."""

    parts: NDArray[np.intp]
    """(N,) part of the image that each tile is in; tiles of one part are not compared."""
    draws: list[NDArray[np.int64]]
    """Random phases (999, N), once for every way in which tiles may belong together."""


def _layout(num: int, scale: int, places: NDArray[Any] | None) -> _Layout:
    rng = np.random.default_rng(_SEED)
    alone = np.arange(num)
    groups = [(alone, alone)]
    parts = alone
    if places is not None and lines_suffice(places):
        rows, columns = (np.unique(axis, return_inverse=True)[1] for axis in np.transpose(places))
        parts = _blocks(rows, columns, 2)
        block = _blocks(rows, columns, 4)
        groups += [(rows, columns), (block, block)]
    draws = []
    for vertical, horizontal in groups:
        if vertical is horizontal:
            size = (_NULL_SHIFTS, int(vertical.max()) + 1)
            draws.append(rng.integers(scale**2, size=size)[:, vertical])
            continue
        dy, dx = (
            rng.integers(scale, size=(_NULL_SHIFTS, int(group.max()) + 1))[:, group]
            for group in (vertical, horizontal)
        )
        draws.append(dy * scale + dx)
    return _Layout(parts, draws)


def _blocks(rows: NDArray[np.intp], columns: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """(N,) number of the block that each tile is in, of count x count over the image."""
    across = [axis * count // (int(axis.max()) + 1) for axis in (rows, columns)]
    return np.asarray(np.unique(across[0] * count + across[1], return_inverse=True)[1])


def lines_suffice(places: ArrayLike) -> bool:
    """Whether there are enough rows and columns of tiles to tell a street from an artefact."""
    return num_lines(places) >= MIN_LINES


def num_lines(places: ArrayLike) -> int:
    """Rows or columns of tiles, whichever are fewer."""
    rows, columns = np.transpose(np.asarray(places))
    return min(len(np.unique(rows)), len(np.unique(columns)))


def _score_band(
    tiles: Tiles, scale: int, value_range: float, band: int, layout: _Layout
) -> CheckerboardScore:
    patterns, flatness = _phase_patterns(tiles, scale)
    scaled = _capped(patterns)
    weights = 1.0 / np.maximum(flatness, max(float(np.quantile(flatness, 0.25)), _tiny(tiles)))
    power, nulls = _common_power(scaled, weights, layout)
    z, p = math.inf, 0.0
    for null in nulls:
        spread = float(null.std())
        z = min(z, (power - float(null.mean())) / spread if spread > 0 else 0.0)
        p = max(p, (1 + int(np.count_nonzero(null >= power))) / (len(null) + 1))
    mean = np.tensordot(weights, scaled, 1) / weights.sum()
    rms = math.copysign(math.sqrt(abs(power)), power)
    texture = float(np.median(flatness))
    return CheckerboardScore(
        amplitude=rms / value_range if value_range > 0 else 0.0,
        z=z,
        p=p,
        period2_share=_period_two_share(mean),
        pattern=mean / value_range if value_range > 0 else mean,
        texture_ratio=rms / texture if texture > 0 else 0.0,
        num_tiles=len(tiles),
        band=band,
    )


def _tiny(tiles: Tiles) -> float:
    """A floor for textures that are exactly flat."""
    return float(np.abs(tiles).max()) * 1e-5 + 1e-12


def _box(images: Pixels, width: int) -> Pixels:
    """Mean over `width` px with half-weight ends where even: zero at every frequency k/width."""
    for _ in range(2):
        images = _box_rows(images, width).swapaxes(1, 2)
    return images


def _box_rows(images: Pixels, width: int) -> Pixels:
    """The same along the last axis."""
    half, length = width // 2, images.shape[2]
    padded = np.pad(images, ((0, 0), (0, 0), (half + 1, half)), mode="reflect")
    total = np.cumsum(padded, axis=2)
    sums = total[:, :, width:] - total[:, :, :-width]
    if width % 2:
        return np.asarray(sums[:, :, :length] / np.float32(width))
    return np.asarray((sums[:, :, :length] + sums[:, :, 1 : length + 1]) / np.float32(2 * width))


def _phase_patterns(tiles: Tiles, scale: int) -> tuple[Pattern, Pattern]:
    """(N, s, s) phase means of each tile's fine detail, and (N,) the quietest texture of each."""
    num, height, width = tiles.shape
    # The means go first: float32 sums then lose nothing that matters, in half the time.
    centred = tiles - tiles.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    pixels = centred[:, : height // scale * scale, : width // scale * scale].astype(np.float32)
    detail = pixels - _box(pixels, scale)
    sigma = np.sqrt(np.maximum(_box(detail * detail, 4 * scale), 0))
    flatness = np.quantile(sigma.reshape(num, -1), 0.1, axis=1).astype(np.float64)
    floor = np.maximum(flatness, _tiny(tiles)).astype(np.float32)
    sigma = np.maximum(sigma, floor[:, None, None])
    bounded = np.clip(detail, -_HUBER * sigma, _HUBER * sigma)
    weight = 1 / (sigma * sigma)
    inner = slice(BORDER_CELLS * scale, -BORDER_CELLS * scale)
    top = _fold((weight * bounded)[:, inner, inner], scale)
    bottom = _fold(weight[:, inner, inner], scale)
    block = top / bottom
    block -= block.mean(axis=(-2, -1), keepdims=True)
    trust = np.sqrt(bottom.mean(axis=(-2, -1)))[..., None, None]
    return (trust * block).sum(axis=1) / trust.sum(axis=1), flatness


def _fold(values: Tiles, scale: int) -> Pattern:
    """(N, K, s, s) sums over the cells of each superblock of about 32 px."""
    num, height, width = values.shape
    cells = values.reshape(num, height // scale, scale, width // scale, scale)
    per_block = max(1, _BLOCK_PX // scale)
    rows = np.arange(0, cells.shape[1], per_block)
    columns = np.arange(0, cells.shape[3], per_block)
    sums = np.add.reduceat(np.add.reduceat(cells, rows, axis=1), columns, axis=3)
    blocks = sums.transpose(0, 1, 3, 2, 4).reshape(num, -1, scale, scale)
    return np.asarray(blocks, np.float64)


def _capped(patterns: Pattern) -> Pattern:
    """No tile may outshout three times the usual pattern."""
    norms = np.sqrt((patterns**2).sum(axis=(1, 2)))
    limit = 3 * float(np.median(norms))
    factor = (
        np.minimum(1.0, limit / np.maximum(norms, 1e-300)) if limit > 0 else np.ones_like(norms)
    )
    return np.asarray(patterns * factor[:, None, None])


def _common_power(
    patterns: Pattern, weights: Pattern, layout: _Layout
) -> tuple[float, list[Pattern]]:
    """Unbiased power of the common pattern, and the same after each set of random shifts.

    The mean product of the patterns of two tiles of different parts.
    """
    num, scale, _ = patterns.shape
    member = np.zeros((int(layout.parts.max()) + 1, num))
    member[layout.parts, np.arange(num)] = 1
    pairs = float(weights.sum() ** 2 - ((member @ weights) ** 2).sum()) * scale**2
    weighted = weights[:, None, None] * patterns
    shifted = np.stack(
        [np.roll(weighted, (dy, dx), axis=(1, 2)) for dy in range(scale) for dx in range(scale)],
        axis=1,
    ).reshape(num, scale**2, scale**2)
    nulls = [_power(shifted, drawn, layout.parts) / pairs for drawn in layout.draws]
    unmoved = np.zeros((1, num), np.int64)
    return float(_power(shifted, unmoved, layout.parts)[0]) / pairs, nulls


def _power(shifted: Pattern, drawn: NDArray[np.int64], parts: NDArray[np.intp]) -> Pattern:
    """(M,) sum over all pairs of tiles of different parts of the product of their patterns."""
    cells = shifted.shape[2]
    whole, own = np.zeros((len(drawn), cells)), np.zeros(len(drawn))
    for part in range(int(parts.max()) + 1):
        within = np.zeros((len(drawn), cells))
        for tile in np.flatnonzero(parts == part):
            within += shifted[tile, drawn[:, tile]]
        whole += within
        own += (within**2).sum(axis=1)
    return np.asarray((whole**2).sum(axis=1) - own)


def _period_two_share(pattern: Pattern) -> float:
    """Share of the energy at the frequencies 0 and 1/2 per px of a pattern with zero mean."""
    energy = np.abs(np.fft.fft2(pattern)) ** 2
    energy[0, 0] = 0.0
    total = float(energy.sum())
    half = len(pattern) // 2
    if total <= 0 or len(pattern) % 2:
        return 0.0
    return float(energy[0, half] + energy[half, 0] + energy[half, half]) / total
