"""What ends a run from outside, in words: memory that is too small, a disk that is full."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors
import torch

from srgan_cli.config import RunConfig
from srgan_cli.errors import SrganError
from srgan_cli.runfolder import RunFolder
from srgan_cli.train.checkpoint import free_mb

if TYPE_CHECKING:
    from srgan_cli.train.trainer import Trainer

SPARE = 0.1
"""Share of the memory that advice leaves free: fragments, cuDNN's workspaces, validation."""

_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_OF_A_FILE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ESTALE)

Measure = Callable[[int, int], float | None]
"""(crops, divisor of their side) -> bytes that a step needs at its peak; None = out of memory."""


@contextmanager
def disk_trouble_explained(folder: RunFolder) -> Iterator[None]:
    """Turn a write into the run folder that failed into advice.

    Raises:
        SrganError: In its place.
    """
    try:
        yield
    except safetensors.SafetensorError as err:
        raise _cannot_write(folder, str(err)) from err
    except OSError as err:
        inside = err.filename is not None and _is_inside(Path(str(err.filename)), folder.path)
        if err.errno in _OF_THE_DISK or (inside and err.errno in _OF_A_FILE):
            raise _cannot_write(folder, err.strerror or str(err)) from err
        raise


def _is_inside(path: Path, folder: Path) -> bool:
    return folder.absolute() in path.absolute().parents


def _cannot_write(folder: RunFolder, reason: str) -> SrganError:
    try:
        room = f"; {free_mb(folder.path):.0f} MB are free"
    except OSError:
        room = ""
    return SrganError(
        f"cannot write to {folder.path} ({reason}){room}",
        "make room or make it writable, then go on from the last checkpoint with --resume auto",
    )


@contextmanager
def memory_trouble_explained(config: RunConfig, trainer: Trainer) -> Iterator[None]:
    """Turn running out of memory into what to lower, and by how much.

    Raises:
        SrganError: In its place.
    """
    try:
        yield
    except torch.OutOfMemoryError as err:
        message = str(err)
    except RuntimeError as err:
        if "DefaultCPUAllocator" not in str(err):
            raise
        message = str(err)
    else:
        return
    # Outside of the handler: the traceback would keep the failed step's tensors alive.
    raise _out_of_memory(config, trainer, message)


def _out_of_memory(config: RunConfig, trainer: Trainer, message: str) -> SrganError:
    data = config.data
    device = trainer.validator.device
    what = "validation crops" if trainer.validating else "crops"
    world = trainer.ranks.world
    size = data.val_batch_size if trainer.validating else data.train_batch_size // world
    side = data.val_crop_px or data.hr_crop_px if trainer.validating else data.hr_crop_px
    fact = f"the device ran out of memory with {size} {what} of {side} px"
    if trainer.validating:
        advice = f"set Data.val_batch_size to {max(size // 2, 1)}"
        if size == 1:
            advice = "set Data.val_crop_px lower, or to the size of Data.hr_crop_px"
    elif world > 1:
        # A step alone, to measure by, would wait for the other processes for ever.
        fact += f", its share among {world} processes"
        advice = halved(size, side, config.generator.scaling_factor, world)
    elif device.type == "cuda":
        used = torch.cuda.max_memory_allocated(device)
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(device)
        capacity = free + torch.cuda.memory_reserved(device)
        fact += f" ({used / 1e9:.1f} GB in use at the peak, {capacity / 1e9:.1f} GB to be had)"
        advice = what_fits(
            trainer.measure_step, capacity, size, side, config.generator.scaling_factor
        )
    else:
        fact += f" ({message.partition(chr(10))[0]})"
        advice = halved(size, side, config.generator.scaling_factor)
    return SrganError(fact, f"{advice}, then go on with --resume auto")


def halved(size: int, side: int, scale: int, processes: int = 1) -> str:
    """Advice where nothing could be measured; `size` crops are the share of each process."""
    if size > 1:
        return f"set Data.train_batch_size to {size // 2 * processes}, or lower Data.hr_crop_px"
    return (
        f"set Data.hr_crop_px to {max(side // 2 // scale, 1) * scale}, or use a smaller Generator"
    )


def what_fits(measure: Measure, capacity: float, size: int, side: int, scale: int) -> str:
    """The batch size, else the crop size, that fits into the memory; measured.

    A step needs a fixed part and a part that grows with the pixels of its crops, so two
    measurements tell both.

    Args:
        measure: Runs a step with fewer, smaller crops.
        capacity: Memory to be had, in bytes.
        size: Crops per step that did not fit.
        side: Their side in HR pixels.
        scale: SR pixels per LR pixel.
    """
    room = capacity * (1 - SPARE)
    for divisor in (1, 2, 4):
        one, two = measure(1, divisor), measure(2, divisor)
        if one is None or two is None or two <= one:
            continue
        per_pixel = (two - one) / (side / divisor) ** 2
        fixed = one - (two - one)
        needed = fixed + per_pixel * side**2 * size
        facts = (
            f"a step needs about {fixed / 1e9:.2f} GB and {per_pixel * side**2 / 1e9:.2f} GB for "
            f"each crop, {needed / 1e9:.1f} GB in all"
        )
        fits = min(int((room - fixed) / (per_pixel * side**2)), size - 1)
        if fits >= 1:
            return f"{facts}: set Data.train_batch_size to {fits}"
        if room > fixed:
            fitting_side = int(math.sqrt((room - fixed) / per_pixel)) // scale * scale
            if fitting_side >= scale:
                return (
                    f"{facts}: set Data.train_batch_size to 1 and Data.hr_crop_px to "
                    f"{min(fitting_side, side - scale)}"
                )
        return f"{facts}: use a smaller Generator (n_channels, n_blocks)"
    return halved(size, side, scale)
