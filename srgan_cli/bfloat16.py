"""Whether a device computes in bfloat16 itself."""

from __future__ import annotations

import torch


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has native bfloat16 matrix arithmetic (elsewhere it is slower than fp32).

    A small network on a CPU with AVX2 alone takes 7 times as long, one of dense blocks 4 times.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = (
            torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        )
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return False


def why_not_bf16(device: torch.device) -> str | None:
    """What speaks against bfloat16 on the device; None = nothing."""
    if computes_bf16(device):
        return None
    name = "CPU" if device.type == "cpu" else str(device)
    return f"this {name} has no bfloat16 arithmetic, and takes several times as long with it"
