"""What is said of bfloat16 on this machine."""

from __future__ import annotations

import pytest
import torch

from srgan_cli.bfloat16 import computes_bf16, why_not_bf16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({}, False),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
    ],
)
def test_a_cpu_is_judged_by_its_instructions(
    capabilities: dict[str, bool], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert computes_bf16(CPU) is native
    why = why_not_bf16(CPU)
    assert why is None if native else "this CPU has no bfloat16 arithmetic" in str(why)


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True)])
def test_a_gpu_is_judged_by_its_generation(
    capability: tuple[int, int], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    device = torch.device("cuda", 1)
    assert computes_bf16(device) is native
    assert (
        why_not_bf16(device) is None if native else "this cuda:1 has" in str(why_not_bf16(device))
    )


def test_other_devices_count_as_without() -> None:
    assert not computes_bf16(torch.device("meta"))
