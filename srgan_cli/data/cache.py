"""`Data.cache: ram`: all images of a training set decoded once, in memory that its processes share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor

from srgan_cli.data.arrays import ArrayDataset
from srgan_cli.data.handover import SHARED_FOLDER
from srgan_cli.data.images import Reading, open_image
from srgan_cli.data.rasters import UnreadableError, read_stored, valid_mask
from srgan_cli.data.scenes import Raster
from srgan_cli.errors import RefusedError

SHARE = 0.8
"""Of the free memory, the most that is taken; training needs the rest."""

PIECE_BYTES = 64 * 2**20
"""Read at once while filling."""

_ALIGNMENT = 64


@dataclass(frozen=True)
class _Slot:
    """Where an image lies in the memory, and what its file says about it."""

    start: int
    dtype: str
    shape: tuple[int, int, int]
    mask_start: int
    bands: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]


class ImageCache:
    """Stored values and masks of images by path; travels to loader processes without being copied."""

    def __init__(self, memory: Tensor, slots: Mapping[str, _Slot]) -> None:
        self._memory = memory
        self._slots = dict(slots)

    def get(self, path: str) -> ArrayDataset | None:
        """The image as a dataset whose bands have the numbers of the file; None if it is not here."""
        slot = self._slots.get(path)
        if slot is None:
            return None
        pixels, mask = _views(self._memory, slot)
        return ArrayDataset(path, pixels, mask, slot.scales, slot.offsets, band_numbers=slot.bands)


def check_memory(rasters: Sequence[Raster], shared: bool, processes: int = 1) -> None:
    """RefusedError where the images do not fit into the free memory.

    Args:
        rasters: What would be cached.
        shared: Whether other processes read it too.
        processes: Trainings on this machine that each have their own.
    """
    files = {raster.path: raster for raster in rasters}
    needed = processes * sum(_size(raster) for raster in files.values())
    times = f" in each of {processes} processes" if processes > 1 else ""
    for what, free, hint in _limits(shared):
        if needed > SHARE * free:
            raise RefusedError(
                f"Data.cache: ram needs {_gb(needed)} for {len(files)} files{times}, "
                f"but of the {_gb(free)} free in {what} at most {SHARE:.0%} may be taken",
                f"set Data.cache: none{hint}",
            )


def fill_cache(
    files: Mapping[str, tuple[int, ...]], reading: Reading, shared: bool, skip_unreadable: bool
) -> ImageCache:
    """The given bands of each file, decoded; call it inside a `gdal_env`.

    Raises:
        UnreadableError: A file cannot be read, unless `skip_unreadable`; then it is left out.
    """
    slots, end = _plan(files, reading, skip_unreadable)
    memory = torch.empty(end, dtype=torch.uint8)
    if shared:
        memory.share_memory_()  # type: ignore[no-untyped-call]  # torch does not say
    for path, slot in list(slots.items()):
        try:
            _fill(path, slot, memory, reading)
        except UnreadableError:
            if not skip_unreadable:
                raise
            del slots[path]
    return ImageCache(memory, slots)


def _plan(
    files: Mapping[str, tuple[int, ...]], reading: Reading, skip_unreadable: bool
) -> tuple[dict[str, _Slot], int]:
    slots: dict[str, _Slot] = {}
    end = 0
    for path, wanted in files.items():
        bands = tuple(dict.fromkeys(wanted))
        try:
            with open_image(path, reading) as dataset:
                dtype = np.result_type(*(np.dtype(dataset.dtypes[band - 1]) for band in bands))
                height, width = dataset.shape
                scales, offsets = tuple(dataset.scales), tuple(dataset.offsets)
        except UnreadableError:
            if not skip_unreadable:
                raise
            continue
        mask_start = _aligned(end + len(bands) * height * width * dtype.itemsize)
        shape = (len(bands), height, width)
        slots[path] = _Slot(end, dtype.name, shape, mask_start, bands, scales, offsets)
        end = _aligned(mask_start + height * width)
    return slots, end


def _fill(path: str, slot: _Slot, memory: Tensor, reading: Reading) -> None:
    pixels, mask = _views(memory, slot)
    _, height, width = slot.shape
    rows = max(1, PIECE_BYTES // (pixels[:, :1].nbytes or 1))
    with open_image(path, reading) as dataset:
        for top in range(0, height, rows):
            window = Window(0, top, width, min(rows, height - top))
            inside = slice(top, top + window.height)
            pixels[:, inside] = read_stored(dataset, window, slot.bands)
            mask[inside] = valid_mask(dataset, window, slot.bands, reading.nodata)


def _views(memory: Tensor, slot: _Slot) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    bytes_ = memory.numpy()
    dtype, (_, height, width) = np.dtype(slot.dtype), slot.shape
    size = int(np.prod(slot.shape)) * dtype.itemsize
    pixels = bytes_[slot.start : slot.start + size].view(dtype).reshape(slot.shape)
    mask = bytes_[slot.mask_start : slot.mask_start + height * width].view(np.bool_)
    return pixels, mask.reshape(height, width)


def _size(raster: Raster) -> int:
    per_pixel = len(set(raster.bands)) * np.dtype(raster.dtype).itemsize + 1
    return raster.width * raster.height * per_pixel + 2 * _ALIGNMENT


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def _limits(shared: bool) -> list[tuple[str, int, str]]:
    """(where, free bytes, more advice) of everything the cache must fit into."""
    limits = [("memory", free_memory(), "")]
    if shared and Path(SHARED_FOLDER).is_dir():
        free = shutil.disk_usage(SHARED_FOLDER).free
        advice = ", Data.num_workers: 0, or make it larger (docker run --shm-size)"
        limits.append((SHARED_FOLDER, free, advice))
    return limits


def free_memory() -> int:
    """Bytes that this process may still take, within its control group where it has one."""
    free = _meminfo("/proc/meminfo")
    if free is None:
        # Without Linux' account half of the memory is taken as free.
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE")) // 2
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            # No such control group, or `max`, which is no limit.
            continue
    return max(free, 0)


def _meminfo(path: str) -> int | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _gb(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
