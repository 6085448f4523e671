"""The generator on its device, in its precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer.options import Precision
from srgan_cli.models import Generator


class Network:
    """Runs batches of one shape; input and output float32 in network units.

    In bf16 the last convolution still runs in float32: its output would otherwise have 8 bits,
    steps of 32 in a reflectance of 6000.
    """

    def __init__(self, generator: Generator, device: torch.device, precision: Precision) -> None:
        self.device = device
        if precision == "bf16" and not generator.bf16:
            raise RefusedError(
                f"--precision bf16: {generator.spec.model_type} {generator.spec.block_type} is too "
                "far off in bfloat16",
                "use --precision fp32",
            )
        self.precision = "bf16" if precision == "bf16" else "fp32"
        self._layout = torch.channels_last if generator.channels_last else torch.contiguous_format
        self._generator = generator.to(device, memory_format=self._layout)  # type: ignore[call-overload]  # missing in torch's stub
        self._last = generator.last_layer()
        self.size_multiple = generator.size_multiple
        """Windows must start at multiples of so many LR pixels."""

    def __call__(self, lr: NDArray[np.float32] | Tensor) -> Tensor:
        """SR (B, C_out, h * s, w * s) on the CPU of `lr` (B, C, h, w).

        Raises:
            SrganError: Out of memory, or an output that is not finite in float32 either.
        """
        batch = torch.as_tensor(lr).to(self.device, memory_format=self._layout, non_blocking=True)
        try:
            sr = self._run(batch, self.precision)
            if self.precision == "bf16" and not bool(sr.isfinite().all()):
                sr = self._run(batch, "fp32")
        except RuntimeError as err:
            if not _is_out_of_memory(err):
                raise
            shape = " x ".join(map(str, batch.shape))
            raise SrganError(
                f"out of memory on {self.device} with an input of {shape}",
                "choose a smaller --tile or --batch",
            ) from err
        if not bool(sr.isfinite().all()):
            raise SrganError(
                "the network's output is not finite",
                "the weights are damaged, or the input is far outside of what they know",
            )
        return sr.cpu()

    def _run(self, batch: Tensor, precision: str) -> Tensor:
        with torch.inference_mode():
            if precision == "bf16":
                return self._run_bf16(batch)
            # TF32 would drop 13 of 23 mantissa bits, and a deterministic algorithm is what makes
            # equal windows equal.
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                return _tensor(self._generator(batch))

    def _run_bf16(self, batch: Tensor) -> Tensor:
        kind = self.device.type
        plain_forward = type(self._last).forward

        def forward_in_float32(x: Tensor) -> Tensor:
            with torch.autocast(kind, enabled=False):
                return _tensor(plain_forward(self._last, x.float()))

        self._last.__dict__["forward"] = forward_in_float32
        try:
            with torch.autocast(kind, dtype=torch.bfloat16):
                return _tensor(self._generator(batch)).float()
        finally:
            del self._last.__dict__["forward"]


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(type(value))
    return value


def _is_out_of_memory(err: RuntimeError) -> bool:
    return isinstance(err, torch.OutOfMemoryError) or "allocate memory" in str(err)


def find_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        RefusedError: An unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or name.endswith(":"):
        raise RefusedError(f"--device {name}: unknown", "use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise RefusedError(
            f"--device {name}: this machine has {count} CUDA devices", "use --device auto or cpu"
        )
    return torch.device("cpu" if kind == "cpu" else name)
