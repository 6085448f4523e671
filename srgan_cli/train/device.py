"""Which device a run uses, and in which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from srgan_cli.bfloat16 import computes_bf16, why_not_bf16
from srgan_cli.data.batch import Batch
from srgan_cli.errors import RefusedError


def choose_device(
    wanted: str, gpus: tuple[int, ...] = (), local_rank: int = 0, local_world: int = 1
) -> torch.device:
    """The device for `Training.device` and `Training.gpus`.

    Args:
        wanted: `Training.device`.
        gpus: `Training.gpus`.
        local_rank: Number of this process on its machine ...
        local_world: ... of so many.

    Raises:
        RefusedError: CUDA is asked for by name and is not there, or there are too few devices.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    check_devices(wanted, gpus, local_world)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index = torch.device(wanted).index if wanted != "auto" else None
    if index is None:
        index = gpus[local_rank] if gpus else local_rank
    return torch.device("cuda", index)


def check_devices(wanted: str, gpus: tuple[int, ...], processes: int) -> None:
    """RefusedError where this machine lacks a device that one of its processes is to use."""
    if wanted == "cpu":
        return
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not available and (wanted != "auto" or len(gpus) > 1):
        asked = f"device is {wanted}" if wanted != "auto" else f"gpus names {len(gpus)} devices"
        raise RefusedError(
            f"Training.{asked}, but this machine has no usable CUDA device",
            "set Training.device: auto (or cpu) to train on the CPU"
            if wanted != "auto"
            else "set Training.device: cpu to train on the CPU",
        )
    if len(gpus) not in (0, processes):
        raise RefusedError(
            f"Training.gpus names {len(gpus)} devices, but this machine has {processes} processes "
            "of the run",
            "start as many as there are devices, or leave Training.gpus out",
        )
    index = torch.device(wanted).index if wanted != "auto" else None
    devices = gpus or tuple(range(processes)) if index is None else (index,)
    if available and max(devices) >= available:
        raise RefusedError(
            f"CUDA device {max(devices)} does not exist; this machine has {available}",
            "set Training.device or Training.gpus to those that exist, counted from 0",
        )


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context for `Training.precision`; reusable, one per forward pass."""
    use_bf16 = precision == "bf16" or (precision == "auto" and computes_bf16(device))
    if not use_bf16:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def slow_arithmetic(precision: str, device: torch.device) -> tuple[str, ...]:
    """A warning where `Training.precision` costs time on the device instead of saving it."""
    why = why_not_bf16(device) if precision == "bf16" else None
    return (f"Training.precision is bf16, but {why}: auto is faster here",) if why else ()


def check_compiler(device: torch.device) -> None:
    """Compile and run something small.

    Raises:
        RefusedError: torch.compile does not work here.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as err:  # a missing compiler has many kinds, on each platform others
        reason = str(err).strip().partition("\n")[0]
        raise RefusedError(
            f"Training.compile is true, but torch.compile does not work here ({reason})",
            "set Training.compile: false, or install a C++ compiler (g++; CXX names another), on "
            "GPUs Triton too",
        ) from err


def hand_over(batch: Batch, device: torch.device, lr_channels_last: bool) -> Batch:
    """The batch on `device`, in the layouts that the networks run in; discriminators: channels last.

    A copy from pinned memory does not wait.
    """

    def moved(part: Tensor, channels_last: bool) -> Tensor:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return part.to(device, non_blocking=True, memory_format=layout)

    return Batch(
        moved(batch.lr, lr_channels_last), moved(batch.hr, True), moved(batch.valid, False)
    )
