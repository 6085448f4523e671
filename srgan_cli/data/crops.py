"""Which crops are taken: placed as a pure function of the sample's number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import PCG64, Generator, SeedSequence
from rasterio.windows import Window
from torch import Tensor

from srgan_cli.data.augment import NUM_ELEMENTS, dihedral
from srgan_cli.data.batch import Batch
from srgan_cli.data.cutter import Cutter, Place, Scene
from srgan_cli.data.rasters import UnreadableError
from srgan_cli.errors import RefusedError

ATTEMPTS = 100
"""Times that a crop is drawn anew where its file cannot be read."""

TRIES = 16
"""Places tried for a crop with enough valid pixels and texture before the best of them is taken."""


def sample_numbers(step: int, rank: int, world: int, batch_size: int) -> list[int]:
    """Numbers of the samples of a step on one of `world` ranks; no two steps or ranks share one."""
    start = (step * world + rank) * batch_size
    return list(range(start, start + batch_size))


class TrainCrops:
    """Map-style data set: sample number -> random crop, whoever reads it and in whatever order."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        cutter: Cutter,
        seed: int,
        min_valid_fraction: float,
        augment: bool,
        min_texture: float = 0.0,
        band_dropout: float = 0.0,
        skip_unreadable: bool = False,
    ) -> None:
        self._scenes = tuple(scenes)
        self._areas = np.cumsum([scene.valid_area for scene in scenes])
        self._cutter = cutter
        self._seed = seed
        self._min_valid_fraction = min_valid_fraction
        self._augment = augment
        self._min_texture = min_texture
        self._band_dropout = band_dropout
        self._skip_unreadable = skip_unreadable

    def __getitem__(self, number: int) -> Batch:
        """Crop `number`, without batch dimension.

        Raises:
            RefusedError: a file cannot be read.
        """
        return self.get(number)[0]

    def get(self, number: int) -> tuple[Batch, tuple[UnreadableError, ...]]:
        """Crop `number`, and what could not be read before it was found.

        With `skip_unreadable` a crop that cannot be read is drawn anew, with random numbers of its
        own: which crop comes out depends on the state of the files alone.

        Raises:
            RefusedError: a file cannot be read.
        """
        failures: list[UnreadableError] = []
        for attempt in range(ATTEMPTS):
            key = [self._seed, number, attempt] if attempt else [self._seed, number]
            try:
                return self._crop(Generator(PCG64(SeedSequence(key)))), tuple(failures)
            except UnreadableError as err:
                if not self._skip_unreadable:
                    raise
                failures.append(err)
        raise RefusedError(
            f"{len(failures)} crops in a row could not be read, the last one because: {failures[-1].message}",
            "check the disk, or take damaged files out of the list",
        )

    def windows(self, number: int) -> list[tuple[str, Window, tuple[int, ...]]]:
        """(path, window, bands) of what is read for crop `number`, if it can be read."""
        place = self._place(Generator(PCG64(SeedSequence([self._seed, number]))))
        return self._cutter.windows(place)

    def _crop(self, rng: Generator) -> Batch:
        crop = self._cutter.cut(self._place(rng), int(rng.integers(2**63)))
        if self._augment:
            element = int(rng.integers(NUM_ELEMENTS))
            crop = Batch(*(dihedral(image, element) for image in crop))
        if self._band_dropout:
            crop = crop._replace(lr=self._drop_bands(crop.lr, rng))
        return crop

    def _drop_bands(self, lr: Tensor, rng: Generator) -> Tensor:
        """LR with some bands, never all, as if stored as 0."""
        kept = rng.random(len(lr)) >= self._band_dropout
        last = int(rng.integers(len(lr)))
        if not kept.any():
            kept[last] = True
        return torch.where(torch.from_numpy(kept)[:, None, None], lr, self._cutter.zero)

    def close(self) -> None:
        """Close all files of this process."""
        self._cutter.close()

    def _place(self, rng: Generator) -> Place:
        """A random place; scenes count by their valid area."""
        best, best_rank = self._draw(rng), (-1.0, -1.0)
        place = best
        for _ in range(TRIES):
            fraction = self._cutter.valid_fraction(place) if len(place.scene.valid_spots) else 1.0
            enough = fraction >= self._min_valid_fraction
            texture = self._cutter.texture(place) if enough and self._min_texture else 0.0
            if enough and texture >= self._min_texture:
                return place
            rank = (min(fraction, self._min_valid_fraction), texture)
            if rank > best_rank:
                best, best_rank = place, rank
            place = self._draw(rng)
        return best

    def _draw(self, rng: Generator) -> Place:
        chosen = np.searchsorted(self._areas, rng.random() * self._areas[-1], side="right")
        scene = self._scenes[min(int(chosen), len(self._scenes) - 1)]
        row_low, col_low = scene.first_row, 0
        row_high, col_high = (
            scene.end_row - self._cutter.crop_px,
            scene.width - self._cutter.crop_px,
        )
        if len(scene.valid_spots):
            # Any crop around a valid pixel: crops count by their number of valid pixels.
            row, col = (
                int(value) for value in scene.valid_spots[rng.integers(len(scene.valid_spots))]
            )
            row_low, row_high = self._around(row, row_low, row_high)
            col_low, col_high = self._around(col, col_low, col_high)
        scale = self._cutter.scale
        place = Place(
            scene,
            scale * int(rng.integers(-(-row_low // scale), row_high // scale + 1)),
            scale * int(rng.integers(-(-col_low // scale), col_high // scale + 1)),
        )
        return place if scene.block is None else self._cutter.within_block(place, scene.block)

    def _around(self, position: int, low: int, high: int) -> tuple[int, int]:
        """First and last start within [low, high], multiples of the scale, of a crop that holds `position`."""
        scale, last_start = self._cutter.scale, position // self._cutter.scale * self._cutter.scale
        first_start = last_start - self._cutter.crop_px + scale
        return min(max(first_start, low), high), max(min(last_start, high), low)


def fixed_places(
    scenes: Sequence[Scene],
    cutter: Cutter,
    count: int,
    seed: int,
    min_valid_fraction: float,
    skip_unreadable: bool = False,
) -> list[Place]:
    """At most `count` places of crops that do not overlap and hold enough valid pixels.

    Taken in random order from the grid of crops over all scenes, so that they spread.
    """
    size = cutter.crop_px
    grids = [((s.end_row - s.first_row) // size, s.width // size) for s in scenes]
    ends = np.cumsum([rows * cols for rows, cols in grids])
    # A spawn key keeps these numbers apart from those of the training samples.
    rng = Generator(PCG64(SeedSequence([seed], spawn_key=(1,))))
    places: list[Place] = []
    for cell in rng.permutation(int(ends[-1])):
        index = int(np.searchsorted(ends, cell, side="right"))
        rows, cols = grids[index]
        row, col = divmod(int(cell - ends[index]) + rows * cols, cols)
        scene = scenes[index]
        place = Place(scene, scene.first_row + row * size, col * size)
        try:
            fits = not len(scene.valid_spots) or cutter.valid_fraction(place) >= min_valid_fraction
        except UnreadableError:
            if not skip_unreadable:
                raise
            continue
        if fits:
            places.append(place)
            if len(places) == count:
                break
    return places
