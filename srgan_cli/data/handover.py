"""Batches from loader processes to the training process, through memory that is used again.

torch would create shared memory anew for every tensor of every batch, and hand over a descriptor
of it by a handshake: more work than cutting the crops. Here each loader process fills a few
places in turn, and only the first batch of each place carries the memory along.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from srgan_cli.data.batch import Batch
from srgan_cli.data.rasters import UnreadableError
from srgan_cli.errors import RefusedError

Failures = tuple[UnreadableError, ...]
Shapes = tuple[tuple[int, ...], ...]


SHARED_FOLDER = "/dev/shm"
"""Where Linux keeps memory shared by processes; containers often make it small."""


def crop_floats(crop_px: int, bands: int, scale: int) -> int:
    """Numbers of a crop: LR, HR and the mask."""
    return (bands + 1) * crop_px**2 + bands * (crop_px // scale) ** 2


def check_room(floats: int, num_workers: int, num_places: int) -> None:
    """RefusedError where the places of all loader processes do not fit into shared memory.

    Writing beyond its end would kill a loader process without a word.

    Args:
        floats: Numbers of a batch.
        num_workers: Loader processes.
        num_places: Of each of them.
    """
    if not num_workers or not Path(SHARED_FOLDER).is_dir():
        return
    needed = 4 * floats * num_workers * num_places
    free = shutil.disk_usage(SHARED_FOLDER).free
    if needed > free:
        raise RefusedError(
            f"Data.num_workers: {num_workers} loader processes hand over batches in {SHARED_FOLDER}; they need "
            f"{needed / 2**20:.0f} MiB, but {free / 2**20:.0f} MiB are free",
            "make it larger (docker run --shm-size), or lower Data.num_workers, Data.prefetch_factor or "
            "Data.train_batch_size",
        )


class Packed(NamedTuple):
    """What travels: where the batch lies, and what could not be read on the way to it."""

    worker: int
    place: int
    memory: Tensor | None
    """The memory of the place, when the other process does not know it yet."""
    shapes: Shapes
    failures: Failures


class Packer:
    """One per loader process. A place is filled again `num_places` batches later."""

    def __init__(self, num_places: int) -> None:
        self._num_places = num_places
        self._places: list[Tensor] = []
        self._count = 0

    def pack(self, crops: Sequence[Batch], failures: Failures) -> Packed:
        """Copy crops of one size into the next place."""
        info = get_worker_info()
        shapes = tuple((len(crops), *image.shape) for image in crops[0])
        size = sum(math.prod(shape) for shape in shapes)
        place = self._count % self._num_places
        self._count += 1
        new = place == len(self._places)
        if new:
            self._places.append(_shared(size))
        elif self._places[place].numel() != size:
            self._places[place], new = _shared(size), True
        memory = self._places[place]
        for images, room in zip(zip(*crops, strict=True), _views(memory, shapes), strict=True):
            torch.stack(images, out=room)
        worker = info.id if info is not None else 0
        return Packed(worker, place, memory if new else None, shapes, failures)


class Unpacker:
    """In the training process."""

    def __init__(self, pin: bool) -> None:
        self._pin = pin
        self._known: dict[tuple[int, int], Tensor] = {}

    def unpack(self, packed: Packed) -> Batch:
        """A batch with memory of its own, pinned if asked for: its place will be filled again."""
        at = (packed.worker, packed.place)
        if packed.memory is not None:
            self._known[at] = packed.memory
        place = self._known[at]
        copy = torch.empty(place.shape, pin_memory=self._pin)
        # By numpy, in this thread: torch would wake its others for it, and these go on spinning for a
        # while, on the cores that the loader processes need.
        np.copyto(copy.numpy(), place.numpy())
        return Batch(*_views(copy, packed.shapes))


def _shared(size: int) -> Tensor:
    return torch.empty(size).share_memory_()  # type: ignore[no-any-return,no-untyped-call]  # torch does not say


def _views(memory: Tensor, shapes: Shapes) -> list[Tensor]:
    parts = torch.split(memory, [math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
