"""Cutting a crop out of a scene, exactly: LR made here equals that of the whole degraded scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from srgan_cli.data.batch import Batch
from srgan_cli.data.blocks import within_block
from srgan_cli.data.degradation import Degradation
from srgan_cli.data.images import Reading
from srgan_cli.data.pool import ImagePool
from srgan_cli.data.radiometry import Radiometry
from srgan_cli.data.rasters import read_pixels, read_window, valid_mask

if TYPE_CHECKING:
    from srgan_cli.data.cache import ImageCache


@dataclass(frozen=True)
class Scene:
    """The part of a raster (pair) that crops are taken from, in HR pixels."""

    hr: str
    lr: str | None
    """None: LR is made from HR."""
    hr_bands: tuple[int, ...]
    lr_bands: tuple[int, ...]
    height: int
    """Of the whole raster, cut to a multiple of the scale; LR is made as if from all of it. Of a
    pair, its common ground."""
    width: int
    first_row: int
    """Crops lie within first_row ... end_row - 1; both are multiples of the scale."""
    end_row: int
    valid_fraction: float
    valid_spots: NDArray[np.int32]
    """(N, 2): known valid pixels of this part; empty where all are valid."""
    hr_corner: tuple[int, int] = (0, 0)
    """Row and column of the scene's upper left corner in the HR file."""
    lr_corner: tuple[int, int] = (0, 0)
    """The same in the LR file, in its pixels."""
    block: tuple[int, int] | None = None
    """Rows and columns of the HR file's blocks; None: crops are not moved into them."""

    @property
    def valid_area(self) -> float:
        """Valid pixels of this part."""
        return (self.end_row - self.first_row) * self.width * self.valid_fraction


@dataclass(frozen=True)
class Place:
    """Upper left corner of a crop in HR pixels, a multiple of the scale."""

    scene: Scene
    row: int
    col: int


class Cutter:
    """Reads crops of one size; LR made here equals that of the whole degraded scene."""

    def __init__(
        self,
        crop_px: int,
        radiometry: Radiometry,
        degradation: Degradation,
        reading: Reading,
        cache: ImageCache | None = None,
    ) -> None:
        self.crop_px = crop_px
        self.scale = degradation.scale
        self._radiometry = radiometry
        self._degradation = degradation
        self._reading = reading
        self._margin = degradation.margin_px
        self.zero = torch.tensor(radiometry.offset).reshape(-1, 1, 1)
        """(C, 1, 1) or (1, 1, 1): network value of a stored 0."""
        self._pool = ImagePool(reading, cache)

    def cut(self, place: Place, noise_seed: int) -> Batch:
        """The crop at `place`, without batch dimension.

        Raises:
            RefusedError: a file cannot be read there.
        """
        if place.scene.lr is not None:
            return self._cut_pair(place, place.scene.lr)
        return self._cut_hr(place, noise_seed)

    def valid_fraction(self, place: Place) -> float:
        """Share of valid pixels of the crop at `place`."""
        scene, nodata = place.scene, self._reading.nodata
        window = self._hr_window(place)
        valid = valid_mask(self._pool.get(scene.hr), window, scene.hr_bands, nodata)
        if scene.lr is not None:
            window = self._lr_window(place)
            lr_valid = valid_mask(self._pool.get(scene.lr), window, scene.lr_bands, nodata)
            valid = valid & self._grown(lr_valid)
        return float(valid.mean())

    def texture(self, place: Place) -> float:
        """RMS difference of neighbouring valid HR pixels, network units, of the band that has most.

        A slope in brightness, from haze or the sun's height, hardly counts. 0 without neighbours.
        """
        reading, dataset = self._reading, self._pool.get(place.scene.hr)
        window, bands = self._hr_window(place), place.scene.hr_bands
        stored, valid = read_pixels(
            dataset, window, bands, reading.nodata, None, reading.scale_offset
        )
        # Nodata may be a number that no arithmetic survives.
        image = self._radiometry.to_network(np.where(valid, stored, np.float32(0)))
        squares, count = np.zeros(len(image)), 0
        for here, there in (
            (np.s_[..., 1:, :], np.s_[..., :-1, :]),
            (np.s_[..., 1:], np.s_[..., :-1]),
        ):
            both = valid[here] & valid[there]
            squares += (np.square(image[here] - image[there]) * both).sum(axis=(1, 2))
            count += int(both.sum())
        return math.sqrt(float(squares.max()) / count) if count else 0.0

    def within_block(self, place: Place, block: tuple[int, int]) -> Place:
        """A place nearby, within the same part of the scene, whose crop touches the fewest blocks of HR."""
        scene = place.scene
        margin = 0 if scene.lr else self._margin
        ends = (scene.end_row, scene.width)
        moved = []
        for axis, (start, low) in enumerate(((place.row, scene.first_row), (place.col, 0))):
            shift = scene.hr_corner[axis] - margin
            length = self.crop_px + 2 * margin
            inside = within_block(start + shift, length, block[axis]) - shift
            high = ends[axis] - self.crop_px
            moved.append(min(max(inside, low), high) // self.scale * self.scale)
        return Place(scene, *moved)

    def windows(self, place: Place) -> list[tuple[str, Window, tuple[int, ...]]]:
        """(path, window, bands) of what is read for the crop at `place`."""
        scene = place.scene
        if scene.lr is None:
            return [(scene.hr, self._seen_window(place), scene.hr_bands)]
        return [
            (scene.hr, self._hr_window(place), scene.hr_bands),
            (scene.lr, self._lr_window(place), scene.lr_bands),
        ]

    def close(self) -> None:
        """Close all files; the next crop opens them again."""
        self._pool.close()

    def _cut_hr(self, place: Place, noise_seed: int) -> Batch:
        scene, size, scale = place.scene, self.crop_px, self.scale
        window = self._seen_window(place)
        seen, valid = self._read(scene.hr, window, scene.hr_bands)
        row, col = place.row - window.row_off, place.col - window.col_off
        rows, cols = _square(row, col, size)
        lr_rows, lr_cols = _square(row // scale, col // scale, size // scale)
        return Batch(
            lr=self._degradation.make_lr(seen, lr_rows, lr_cols, noise_seed, self.zero),
            hr=seen[:, rows, cols],
            valid=_as_mask(valid[rows, cols]),
        )

    def _cut_pair(self, place: Place, lr_path: str) -> Batch:
        scene = place.scene
        hr, hr_valid = self._read(scene.hr, self._hr_window(place), scene.hr_bands)
        lr, lr_valid = self._read(lr_path, self._lr_window(place), scene.lr_bands)
        return Batch(lr, hr, _as_mask(hr_valid & self._grown(lr_valid)))

    def _read(
        self, path: str, window: Window, bands: Sequence[int]
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        reading, dataset = self._reading, self._pool.get(path)
        stored, valid = read_window(dataset, window, bands, reading.nodata, reading.scale_offset)
        return self._radiometry.to_network(torch.from_numpy(stored)), valid

    def _seen_window(self, place: Place) -> Window:
        """The crop, and what LR made of HR sees beyond it."""
        scene, size = place.scene, self.crop_px
        top, left = max(place.row - self._margin, 0), max(place.col - self._margin, 0)
        bottom = min(place.row + size + self._margin, scene.height)
        right = min(place.col + size + self._margin, scene.width)
        return Window(left, top, right - left, bottom - top)

    def _hr_window(self, place: Place) -> Window:
        row, col = place.scene.hr_corner
        return Window(col + place.col, row + place.row, self.crop_px, self.crop_px)

    def _lr_window(self, place: Place) -> Window:
        side, scale = self.crop_px // self.scale, self.scale
        row, col = place.scene.lr_corner
        return Window(col + place.col // scale, row + place.row // scale, side, side)

    def _grown(self, lr_valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The LR mask on the HR grid."""
        return lr_valid.repeat(self.scale, axis=0).repeat(self.scale, axis=1)


def _square(row: int, col: int, side: int) -> tuple[slice, slice]:
    return slice(row, row + side), slice(col, col + side)


def _as_mask(valid: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(valid.astype(np.float32))[None]
