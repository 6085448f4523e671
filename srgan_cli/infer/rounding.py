"""Rounding on the device, which halves what a GPU sends back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli.infer.network import Finish
from srgan_cli.infer.quantise import Quantiser

_CARRIERS = {
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.int16,
    "int16": torch.int16,
    "float32": torch.float32,
}
"""What carries an output dtype: GPUs compute little with uint16, so its bits travel as int16."""


def rounding(quantiser: Quantiser) -> Finish | None:
    """What makes stored values of SR (B, C, h, w) in network units, as `Quantiser` does.

    None for dtypes wider than float32 counts, which are rounded in float64 afterwards.
    """
    carrier = _CARRIERS.get(quantiser.dtype)
    if carrier is None:
        return None
    kind = np.dtype(quantiser.dtype)

    def finish(sr: Tensor) -> Tensor:
        values = quantiser.radiometry.to_stored(sr)
        if kind.kind == "f":
            return values
        info = np.iinfo(kind)
        whole = values.round().clamp(info.min, info.max).to(torch.int32)
        if kind == np.uint16:
            # 40000 has the bits of 40000 - 65536.
            whole = torch.where(whole > torch.iinfo(torch.int16).max, whole - 2**16, whole)
        return whole.to(carrier)

    return finish


def carried(values: Tensor, quantiser: Quantiser) -> NDArray[Any]:
    """The array that `rounding` made, in the output's dtype."""
    return values.numpy().view(np.dtype(quantiser.dtype))
