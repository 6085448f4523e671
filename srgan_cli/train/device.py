"""Which device a run uses, and which arithmetic is native there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from srgan_cli.errors import RefusedError


def choose_device(wanted: str, gpus: tuple[int, ...] = ()) -> torch.device:
    """The device for `Training.device` and `Training.gpus`.

    Raises:
        RefusedError: CUDA is asked for by name and is not there.
    """
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", gpus[0] if gpus else 0)
    device = torch.device(wanted)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RefusedError(
                f"Training.device is {wanted}, but this machine has no usable CUDA device",
                "set Training.device: auto (or cpu) to train on the CPU",
            )
        index = device.index if device.index is not None else (gpus[0] if gpus else 0)
        if index >= torch.cuda.device_count():
            raise RefusedError(
                f"CUDA device {index} does not exist; this machine has {torch.cuda.device_count()}",
                "set Training.device or Training.gpus to one of them",
            )
        return torch.device("cuda", index)
    return device


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has native bfloat16 matrix arithmetic (elsewhere it is slower than fp32)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = (
            torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        )
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return False


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context for `Training.precision`; reusable, one per forward pass."""
    use_bf16 = precision == "bf16" or (precision == "auto" and computes_bf16(device))
    if not use_bf16:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
