"""The generator on its device, in its precision."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.heap import keep_freed_memory
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.memory import Memory
from srgan_cli.infer.options import Precision
from srgan_cli.models import Generator
from srgan_cli.models.parting import Parting, forward_part, parting

_ABSURD = 1e6
"""Input in network units that no radiometry makes of measurements."""

Finish = Callable[[Tensor], Tensor]
"""What the device does to the SR before it leaves it."""


class OutOfMemoryError(SrganError):
    """The device has too little memory for a batch; smaller ones may fit."""


class Network:
    """Runs batches of one shape; input and output float32 in network units.

    In bf16 the first and the last convolution still run in float32: input and output would otherwise
    have 8 bits, steps of 32 in a reflectance of 6000. Of a trained SRResNet that leaves a fifth of
    the error, at no cost.
    """

    def __init__(self, generator: Generator, device: torch.device, precision: Precision) -> None:
        self.device = device
        if device.type == "cpu":
            keep_freed_memory()
        if precision == "bf16" and not generator.bf16:
            raise RefusedError(
                f"--precision bf16: {generator.spec.model_type} {generator.spec.block_type} is too "
                "far off in bfloat16",
                "use --precision fp32",
            )
        self.precision: Precision = "bf16" if precision == "bf16" else "fp32"
        self._layout = torch.channels_last if generator.channels_last else torch.contiguous_format
        self._generator = generator.to(device, memory_format=self._layout)  # type: ignore[call-overload]  # missing in torch's stub
        first = next(layer for layer in generator.modules() if isinstance(layer, nn.Conv2d))
        self._in_float32 = (first, generator.last_layer())
        self.size_multiple = generator.size_multiple
        """Windows must start at multiples of so many LR pixels."""

    @property
    def runs_ahead(self) -> bool:
        """Whether `start` returns before the device is done."""
        return self.device.type == "cuda"

    def on(self, devices: Sequence[torch.device]) -> list[Network]:
        """This network, and a copy of it on every further device; `devices` starts with its own."""
        copies = [
            Network(copy.deepcopy(self._generator), device, self.precision)
            for device in devices[1:]
        ]
        return [self, *copies]

    def __call__(self, lr: NDArray[np.float32] | Tensor) -> Tensor:
        """SR (B, C_out, h * s, w * s) on the CPU of `lr` (B, C, h, w).

        Raises:
            SrganError: Out of memory, or an output that is not finite in float32 either.
        """
        return self.start(lr).result()

    def memory(self, batch: int) -> Memory:
        """What its device holds of it."""
        return Memory(self._generator, self.device, batch)

    def parting(self, input_px: tuple[int, int], core_px: tuple[int, int]) -> Parting:
        """The parts of inputs of so many rows and columns that hold cores of such a size."""
        return parting(self._generator, input_px, core_px)

    def part(self, lr: Tensor, wanted: Box) -> Tensor:
        """SR of one box of an input (1, C, h, w), on the CPU; the rest is not enlarged."""
        height, width = (int(side) for side in lr.shape[-2:])
        parts = self.parting((height, width), (wanted.height, wanted.width))
        row = parts.start(wanted.row, parts.height, height)
        col = parts.start(wanted.col, parts.width, width)
        sr = self.start(lr, parts, [(row, col)]).result()
        scale = self._generator.spec.scale
        rows, cols = wanted.scaled(scale).within(Box(row, col, 0, 0).scaled(scale))
        return sr[..., rows, cols]

    def start(
        self,
        lr: NDArray[np.float32] | Tensor,
        parts: Parting | None = None,
        starts: Sequence[tuple[int, int]] = (),
        finish: Finish | None = None,
        out: Tensor | None = None,
    ) -> Pending:
        """As a call, but the answer may be fetched later, while the device works on.

        With `parts` it is that of one part of each image, beginning at `starts`. `finish` is
        applied to it on the device. `out` is memory of the answer's shape on the device to put it
        into, in float32.

        Raises:
            OutOfMemoryError: The batch does not fit.
        """
        batch = torch.as_tensor(lr)
        try:
            if self.runs_ahead:
                batch = batch.pin_memory()
            batch = batch.to(self.device, memory_format=self._layout, non_blocking=True)
            return self._begin(_Question(batch, parts, starts, finish, out), self.precision)
        except (RuntimeError, MemoryError) as err:
            if not _is_out_of_memory(err):
                raise
            shape = " x ".join(map(str, batch.shape))
            raise OutOfMemoryError(
                f"out of memory on {self.device} with an input of {shape}",
                "choose a smaller --tile or --batch",
            ) from err

    def _begin(self, asked: _Question, precision: str) -> Pending:
        sr = self._run(asked, precision)
        # NaN wins in both; a mask of all pixels would cost much more than they do.
        low, high = sr.aminmax()
        finite = low.isfinite() & high.isfinite()
        out = sr if asked.finish is None else asked.finish(sr)
        done: torch.cuda.Event | None = None
        if self.runs_ahead:
            host = torch.empty(out.shape, dtype=out.dtype, pin_memory=True)
            host.copy_(out, non_blocking=True)
            finite = finite.to("cpu", non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.device))
            out = host

        def in_float32() -> Pending:
            if precision == "fp32":
                raise _not_finite(asked.lr)
            return self._begin(asked, "fp32")

        return Pending(out, finite, done, in_float32)

    def _run(self, asked: _Question, precision: str) -> Tensor:
        with torch.inference_mode():
            if precision == "bf16":
                return self._run_bf16(asked)
            with _exact_cudnn():
                return self._forward(asked)

    def _forward(self, asked: _Question) -> Tensor:
        if asked.parts is None:
            return _tensor(self._generator(asked.lr))
        return forward_part(self._generator, asked.lr, asked.parts, asked.starts, asked.out)

    def _run_bf16(self, asked: _Question) -> Tensor:
        kind = self.device.type
        for layer in self._in_float32:
            layer.__dict__["forward"] = _forward_in_float32(layer, kind)
        try:
            with torch.autocast(kind, dtype=torch.bfloat16):
                return self._forward(asked).float()
        finally:
            for layer in self._in_float32:
                layer.__dict__.pop("forward", None)


def _forward_in_float32(layer: nn.Conv2d, kind: str) -> Callable[[Tensor], Tensor]:
    plain_forward = type(layer).forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(kind, enabled=False):
            return _tensor(plain_forward(layer, x.float()))

    return forward


@dataclass(frozen=True)
class _Question:
    """A batch on the device, and what is wanted of it."""

    lr: Tensor
    parts: Parting | None
    starts: Sequence[tuple[int, int]]
    finish: Finish | None
    out: Tensor | None


@dataclass
class Pending:
    """The answer of a network that may still be on its way."""

    _out: Tensor
    _finite: Tensor
    _done: torch.cuda.Event | None
    _in_float32: Callable[[], Pending]

    def result(self) -> Tensor:
        """The SR on the CPU, waited for.

        Raises:
            RefusedError: It is not finite, in float32 either, and the input is to blame.
            SrganError: The same, and the weights are.
        """
        if self._done is not None:
            self._done.synchronize()
        if bool(self._finite):
            return self._out
        return self._in_float32().result()


def _not_finite(lr: Tensor) -> SrganError:
    """What an output that is not finite in float32 comes from."""
    message, largest = "the network's output is not finite", float(lr.abs().max())
    if largest < _ABSURD:
        return SrganError(message, "the weights are damaged: its input is of usual size")
    return RefusedError(
        f"{message}: its input goes up to {largest:.3g} in network units, where 1 is usual",
        "the raster has fill values that it does not declare (see gdalinfo -stats): give --nodata",
    )


_EXACT_LOCK = threading.Lock()
_EXACT_STACKS: list[ExitStack] = []


@contextmanager
def _exact_cudnn() -> Iterator[None]:
    """Full float32 and one deterministic algorithm, so that equal windows give equal values.

    TF32 would drop 13 of 23 mantissa bits. The switches belong to the process: the first thread
    in sets them, the last one out sets them back.
    """
    stack = ExitStack()
    with _EXACT_LOCK:
        if not _EXACT_STACKS:
            flags = {"enabled": True, "benchmark": False, "deterministic": True}
            stack.enter_context(torch.backends.cudnn.flags(**flags, allow_tf32=False))
        _EXACT_STACKS.append(stack)
    try:
        yield
    finally:
        with _EXACT_LOCK:
            _EXACT_STACKS.remove(stack)
            if _EXACT_STACKS:
                # Whoever is still inside takes over the way back.
                _EXACT_STACKS[0].push(stack.pop_all())
            stack.close()


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(type(value))
    return value


def _is_out_of_memory(err: BaseException) -> bool:
    if isinstance(err, (torch.OutOfMemoryError, MemoryError)):
        return True
    # PyTorch's CPU allocator in its two wordings, oneDNN, and the C++ library.
    words = ("allocate memory", "not enough memory", "could not create a memory", "bad_alloc")
    return any(word in str(err) for word in words)


def find_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        RefusedError: An unknown name, or a device that this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or name.endswith(":"):
        raise RefusedError(
            f"--device {name}: unknown", "use auto, cpu, cuda, cuda:N, cuda:0,cuda:1 or cuda:all"
        )
    count = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= count:
        raise RefusedError(
            f"--device {name}: this machine has {count} CUDA devices", "use --device auto or cpu"
        )
    return torch.device("cpu" if kind == "cpu" else name)


def find_devices(names: str) -> list[torch.device]:
    """The devices for `cuda:0,cuda:1`, for `cuda:all`, or the one that `find_device` finds.

    Raises:
        RefusedError: As `find_device`; also a GPU named twice, and GPUs beside the CPU.
    """
    if names == "cuda:all":
        find_device("cuda")
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    found = [find_device(name.strip()) for name in names.split(",")]
    if len({device.type for device in found}) > 1:
        raise RefusedError(
            f"--device {names}: a scene made partly on a CPU would not be of one piece",
            "name GPUs only",
        )
    cards = [device.index or 0 for device in found if device.type == "cuda"]
    if len(set(cards)) < len(cards):
        raise RefusedError(f"--device {names}: a GPU is named twice", "name each once")
    return found
