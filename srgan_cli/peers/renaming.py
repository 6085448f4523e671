"""Older names of the field's networks, brought to the ones that the networks have here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

_ESRGAN = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
"""The names of xinntao/ESRGAN, BSRGAN and RealSR."""
_FIRST_ESRGAN = (
    (r"^model\.0\.", "conv_first."),
    (r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"^model\.1\.sub\.(\d+)\.(weight|bias)$", r"conv_body.\2"),
)
"""The names of the first release of ESRGAN, whose layers behind the trunk are only numbered."""


def without_wrappers(name: str) -> str:
    """The name without what DistributedDataParallel and torch.compile put before it."""
    return name.replace("_orig_mod.", "").removeprefix("module.")


def modern_generator(state: Mapping[str, Value]) -> dict[str, Value]:
    """A generator's state dict under today's names; what has no older name keeps its own."""
    if "model.0.weight" in state and "model.1.sub.0.RDB1.conv1.0.weight" in state:
        return _renamed(_named_tail(state), _FIRST_ESRGAN)
    return _renamed(state, _ESRGAN)


def _renamed(state: Mapping[str, Value], rules: tuple[tuple[str, str], ...]) -> dict[str, Value]:
    found = {}
    for name, value in state.items():
        new = name
        for old, replacement in rules:
            new = re.sub(old, replacement, new)
        found[new] = value
    return found


def _named_tail(state: Mapping[str, Value]) -> dict[str, Value]:
    """`model.3`, `model.6`, `model.8`, `model.10`: upsampling stages, conv_hr, conv_last."""
    numbers = sorted(
        {int(match[1]) for name in state if (match := re.match(r"model\.(\d+)\.weight$", name))}
        - {0}
    )
    stages, last = numbers[:-2], numbers[-2:]
    names = {number: f"conv_up{stage}" for stage, number in enumerate(stages, start=1)}
    names |= dict(zip(last, ("conv_hr", "conv_last"), strict=False))
    found = {}
    for name, value in state.items():
        match = re.match(r"model\.(\d+)\.(weight|bias)$", name)
        known = names.get(int(match[1])) if match else None
        found[f"{known}.{match[2]}" if match and known else name] = value
    return found
