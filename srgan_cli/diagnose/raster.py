"""`srgan diagnose out.tif`: tiles of an SR raster, judged by the image rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from srgan_cli.checkerboard import BORDER_CELLS, MIN_CELLS, MIN_LINES, enough_tiles, num_lines
from srgan_cli.data.rasters import gdal_env, image_bands, open_raster, read_pixels
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.engine import examine_pictures
from srgan_cli.diagnose.images import Tiles, value_range
from srgan_cli.diagnose.lossless import refuse_pictures_for_the_screen
from srgan_cli.diagnose.lr_place import Place, place_in_lr
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.report import Report
from srgan_cli.errors import RefusedError

_CACHE_BYTES: Final = 64 * 2**20
_SEED: Final = 20240229


def diagnose_raster(path: Path, scale: int | None = None, lr: Path | None = None) -> Report:
    """The diagnosis of an SR raster of any size, from up to 64 tiles spread over it.

    Args:
        path: GeoTIFF as `srgan infer` writes it, or of another tool.
        scale: SR px per LR px along a side; by default the file's SRGAN_SCALE tag.
        lr: The raster it was made of, or of a part of, as control and for the checks of radiometry and position.

    Raises:
        RefusedError: It cannot be judged: lossy, resampled, for the screen, or too small.
    """
    with ExitStack() as stack:
        stack.enter_context(gdal_env(_CACHE_BYTES))
        sr = stack.enter_context(_open(path))
        source = None if lr is None else stack.enter_context(_open(lr))
        refuse_pictures_for_the_screen(sr, path)
        scale = _scale_of(sr, scale, path)
        _refuse_resampled(sr, scale, path)
        below = None
        if source is not None:
            _refuse_other_bands(sr, source, path, lr)
            below = _Below(source, place_in_lr(sr, source, scale, path, lr))
        return _judge(sr, below, scale, path)


@dataclass(frozen=True)
class _Below:
    """The LR raster, and which part of it the SR raster covers."""

    dataset: DatasetReader
    place: Place

    def read(self, bands: tuple[int, ...], row: int, col: int, side: int) -> Tiles | None:
        """As `_read`, from the first LR pixel of the SR raster on."""
        return _read(self.dataset, bands, self.place.row + row, self.place.col + col, side)


def _open(path: Path) -> DatasetReader:
    if not path.exists():
        raise RefusedError(f"{path} does not exist", "give an SR GeoTIFF")
    return open_raster(str(path))


def _scale_of(dataset: DatasetReader, given: int | None, path: Path) -> int:
    tag = dataset.tags().get("SRGAN_SCALE", "")
    written = int(tag) if tag.isdecimal() else None
    if given is not None and written is not None and given != written:
        raise RefusedError(
            f"{path} was made with scale {written}, --scale says {given}",
            f"leave --scale out, or give --scale {written}",
        )
    scale = given if given is not None else written
    if scale is None:
        raise RefusedError(
            f"{path} does not say how many times it was enlarged (no SRGAN_SCALE tag)",
            "give --scale, for example --scale 4",
        )
    if scale < 2:
        raise RefusedError(f"scale {scale} has no upsampling grid", "give --scale 2 or more")
    return scale


def _refuse_resampled(dataset: DatasetReader, scale: int, path: Path) -> None:
    tags = dataset.tags()
    made = tags.get("SRGAN_SIZE", "").split()
    if made and made != [str(dataset.width), str(dataset.height)]:
        raise RefusedError(
            f"{path} has {dataset.width} x {dataset.height} px, srgan infer had written "
            f"{' x '.join(made)}: it was resampled, reprojected or cut since, and the upsampling "
            "grid is no longer where it was",
            "give the file as srgan infer wrote it",
        )
    if "SRGAN_SCALE" in tags and not _whole_cells(dataset, scale):
        raise RefusedError(
            f"{path} has {dataset.width} x {dataset.height} px, which is no multiple of the scale "
            f"{scale}: it was resampled, reprojected or cut since srgan infer wrote it",
            "give the file as srgan infer wrote it",
        )


def _whole_cells(dataset: DatasetReader, scale: int) -> bool:
    return not dataset.width % scale and not dataset.height % scale


def _refuse_other_bands(
    sr: DatasetReader, lr: DatasetReader, path: Path, lr_path: Path | None
) -> None:
    if len(image_bands(sr)) != len(image_bands(lr)):
        raise RefusedError(
            f"{path} has {len(image_bands(sr))} bands, {lr_path} has {len(image_bands(lr))}",
            "give the LR raster with the same bands in the same order",
        )


@dataclass(frozen=True)
class _Cut:
    """Tiles without nodata, on a lattice with uneven steps."""

    side_px: int
    sr: Tiles
    lr: Tiles | None
    bands: tuple[int, ...]
    """From 1."""
    places: NDArray[np.intp]
    """(N, 2) row and column in the lattice."""


def _judge(sr: DatasetReader, lr: _Below | None, scale: int, path: Path) -> Report:
    cut = _cut(sr, lr, scale, path)
    reference = cut.sr if cut.lr is None else cut.lr
    pictures = Pictures(
        kind="raster",
        scale=scale,
        sr=(cut.sr,),
        band_range=value_range(reference),
        lr=cut.lr,
        places=cut.places,
    )
    notes = []
    if not _whole_cells(sr, scale):
        notes.append(
            f"its size is no multiple of the scale {scale}: it was cut, or resampled since it was "
            "generated; resampling wipes the grid out"
        )
    if lr is not None and (lr.place.height, lr.place.width) != lr.dataset.shape:
        top, left, height, width = lr.place
        notes.append(
            f"it was made of columns {left} to {left + width - 1} and rows {top} to "
            f"{top + height - 1} of the LR raster"
        )
    if len(cut.bands) < sr.count:
        notes.append(f"bands {', '.join(map(str, cut.bands))} of {sr.count} were judged")
    extent = (
        f"{sr.width} x {sr.height} px, {len(cut.bands)} bands, scale {scale}, "
        f"{len(cut.sr)} tiles of {cut.side_px} px"
    )
    return examine_pictures(pictures, str(path), "SR raster", extent, tuple(notes))


def _cut(sr: DatasetReader, lr: _Below | None, scale: int, path: Path) -> _Cut:
    """The largest tiles of which enough rows and columns are free of nodata, else the smallest."""
    cuts = []
    for core in _cores(scale):
        cut = _cut_with(sr, lr, scale, core)
        if cut is None:
            continue
        cuts.append(cut)
        small = core <= max(limit.RASTER_SMALL_CORE, limit.RASTER_SMALL_CELLS * scale)
        enough = MIN_LINES if small else limit.RASTER_LINES
        if num_lines(cut.places) >= enough:
            return cut
    most = max(cuts, key=lambda cut: (num_lines(cut.places), len(cut.sr)), default=None)
    if most is None or len(most.sr) < enough_tiles(scale):
        raise RefusedError(
            f"{path}: {0 if most is None else len(most.sr)} tiles of {MIN_CELLS * scale} px "
            f"without nodata or fill; scale {scale} needs {enough_tiles(scale)}",
            "give a larger image, or one with less nodata",
        )
    return most


def _cores(scale: int) -> list[int]:
    """Sides of what is judged of a tile, from the largest on."""
    least = MIN_CELLS * scale - 2 * _margin(scale)
    return [*(core for core in (96, 64, 48, 32) if core % scale == 0 and core > least), least]


def _margin(scale: int) -> int:
    """What a tile has around its core, where the score only needs neighbours."""
    return BORDER_CELLS * scale


def _cut_with(sr: DatasetReader, lr: _Below | None, scale: int, core: int) -> _Cut | None:
    bands, side = _data_bands(sr), core + 2 * _margin(scale)
    rows, columns = _starts(sr.height, core, scale), _starts(sr.width, core, scale)
    taken: list[Tiles] = []
    below: list[Tiles] = []
    places = []
    for row, column in _in_order(len(rows), len(columns)):
        tile = _read(sr, bands, rows[row], columns[column], side)
        part = tile
        if lr is not None:
            part = lr.read(bands, rows[row] // scale, columns[column] // scale, side // scale)
        if tile is None or part is None or _is_fill(part):
            continue
        taken.append(tile)
        if lr is not None:
            below.append(part)
        places.append((row, column))
        if len(taken) == limit.RASTER_TILES:
            break
    if not taken:
        return None
    return _Cut(side, np.stack(taken), np.stack(below) if below else None, bands, np.array(places))


def _data_bands(dataset: DatasetReader) -> tuple[int, ...]:
    """Without alpha; of very many, some that are evenly spread."""
    data = image_bands(dataset)
    if len(data) <= limit.RASTER_BANDS:
        return data
    places = np.linspace(0, len(data) - 1, limit.RASTER_BANDS).round().astype(int)
    return tuple(data[place] for place in places)


def _starts(length: int, core: int, scale: int) -> list[int]:
    """First pixels of the rows or columns of tiles, multiples of the scale with uneven steps.

    With even steps, streets whose period divides the step would stand alike in all tiles. Cores do
    not overlap; the margins of the tiles around them may.
    """
    margin = _margin(scale)
    num = min(int(length / (1.25 * core)), limit.RASTER_MOST_LINES)
    room = length / max(num, 1)
    moved = np.random.default_rng(_SEED).uniform(0, max(room - core - scale, 0), num)
    last = (length - core - 2 * margin) // scale * scale
    starts = (int((index * room + moved[index]) // scale * scale) - margin for index in range(num))
    return sorted({min(max(start, 0), last) for start in starts if last >= 0})


def _in_order(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """All places of the lattice, spread evenly from the first on; the same order every time.

    A generalised golden-ratio sequence (Roberts 2018), then what it has left out.
    """
    steps = np.arange(4 * rows * columns)[:, None] * (0.7548776662466927, 0.5698402909980532)
    first = (((0.5 + steps) % 1.0) * (rows, columns)).astype(int)
    every = [(row, column) for row in range(rows) for column in range(columns)]
    yield from dict.fromkeys([*((int(row), int(column)) for row, column in first), *every])


def _read(
    dataset: DatasetReader, bands: tuple[int, ...], row: int, column: int, side: int
) -> Tiles | None:
    """(C, side, side), or None where a pixel is invalid."""
    tile, valid = read_pixels(dataset, Window(column, row, side, side), bands)
    return tile if valid.all() else None


def _is_fill(tile: Tiles) -> bool:
    """Whether a good part of a tile has the least value of every band at once: fill without a tag."""
    lowest = (tile == tile.min(axis=(1, 2), keepdims=True)).all(axis=0)
    return bool(lowest.mean() > limit.RASTER_FILL)
