"""The processes that train one network together: who this one is, and what they exchange.

Two groups connect them. Gradients and means travel between devices in the first, by NCCL on GPUs and
gloo on CPUs. Everything that the host decides on (checkpoints, metrics, stop requests) travels
between hosts in the second, `control`, whose patience is long: rank 0 may take its time to write.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from srgan_cli.errors import SrganError

Value = TypeVar("Value")


@dataclass(eq=False)
class Ranks:
    """This process alone: every exchange gives back what it got."""

    rank: int = 0
    """Number of this process among all; 0 writes the files and speaks to the user."""
    world: int = 1
    """Processes in all."""
    local_rank: int = 0
    """Number of this process on its machine."""
    local_world: int = 1
    """Processes on this machine."""
    restarts: int = 0
    """How often a launcher has started this run again by itself."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, value: Value) -> Value:
        """Rank 0's value: plain values and CPU tensors in lists, tuples and dicts."""
        return value

    def gather(self, value: Value) -> list[Value]:
        """Each rank's value on rank 0, in the order of ranks; nothing elsewhere."""
        return [value]

    def wait_for_all(self) -> None:
        """Return when every rank is here."""
        self.share(None)

    def average(self, values: Tensor) -> Tensor:
        """Mean over ranks, on the device; no gradient."""
        return values

    def averaging(self, values: Tensor) -> Callable[[], Tensor]:
        """As `average`, begun at once; the call waits for it."""
        return lambda: values

    def average_with_gradient(self, values: Tensor) -> Tensor:
        """Mean over ranks of what a loss depends on; the gradient goes back to every rank."""
        return values

    def averaging_gradients(self, network: nn.Module) -> nn.Module:
        """The network; its backward passes average the gradients over ranks."""
        return network

    def holding_back(self, network: nn.Module, hold: bool) -> AbstractContextManager[None]:  # noqa: ARG002
        """Passes of an `averaging_gradients` network inside add to its gradients on this rank only.

        `hold` is false for the last one, which averages the sum.
        """
        return nullcontext()

    def announce(self, signal_number: int | None) -> None:
        """At the start of a step: which signal asked this process for the end, if any."""

    def agreed(self, signal_number: int | None) -> int | None:
        """At the end of the step: the signal for which all ranks stop after this step.

        `signal_number`: what has asked this process since; alone it stops for that at once.
        """
        return signal_number

    def common(self, error: SrganError) -> BaseException:
        """What to raise for an error that every rank has: it is told once."""
        return error


class Together(Ranks):
    """One of several processes.

    A collective fails at once where another process is gone; who tells the user what has happened
    is settled in `train/processes.py`.

    Args:
        rank, world, local_rank, local_world, restarts: As `Ranks`.
        control: A gloo group of all ranks.
    """

    def __init__(
        self,
        rank: int,
        world: int,
        local_rank: int,
        local_world: int,
        restarts: int,
        control: Any,
    ) -> None:
        super().__init__(rank, world, local_rank, local_world, restarts)
        self._control = control
        self._flag: tuple[Tensor, Any] | None = None

    def share(self, value: Value) -> Value:
        """Rank 0's value: plain values and CPU tensors in lists, tuples and dicts."""
        data = _to_bytes(value) if self.is_main else torch.empty(0, dtype=torch.uint8)
        size = torch.tensor([data.numel()])
        dist.broadcast(size, 0, group=self._control)
        if not self.is_main:
            data = torch.empty(int(size), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self._control)
        return value if self.is_main else _from_bytes(data)

    def gather(self, value: Value) -> list[Value]:
        """Each rank's value on rank 0, in the order of ranks; nothing elsewhere."""
        if self.is_main:
            return [value, *(self._receive(rank) for rank in range(1, self.world))]
        data = _to_bytes(value)
        dist.send(torch.tensor([data.numel()]), 0, group=self._control)
        dist.send(data, 0, group=self._control)
        return []

    def _receive(self, rank: int) -> Any:
        size = torch.zeros(1, dtype=torch.int64)
        dist.recv(size, rank, group=self._control)
        data = torch.empty(int(size), dtype=torch.uint8)
        dist.recv(data, rank, group=self._control)
        return _from_bytes(data)

    def average(self, values: Tensor) -> Tensor:
        """Mean over ranks, on the device; no gradient."""
        return self.averaging(values)()

    def averaging(self, values: Tensor) -> Callable[[], Tensor]:
        """As `average`, begun at once; the call waits for it."""
        mean = values.detach() / self.world
        work = dist.all_reduce(mean, async_op=True)

        def wait() -> Tensor:
            # On CUDA the stream waits, not the host.
            work.wait()
            return mean

        return wait

    def average_with_gradient(self, values: Tensor) -> Tensor:
        """Mean over ranks of what a loss depends on; the gradient goes back to every rank."""
        mean: Tensor = _Average.apply(values, self)
        return mean

    def averaging_gradients(self, network: nn.Module) -> nn.Module:
        """The network; its backward passes average the gradients over ranks, bucket by bucket."""
        # Batch statistics are averaged or synchronised; other buffers are the same everywhere.
        known = inspect.signature(DistributedDataParallel).parameters
        key = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {key: False, "gradient_as_bucket_view": True}
        return DistributedDataParallel(network, **options)

    def holding_back(self, network: nn.Module, hold: bool) -> AbstractContextManager[None]:
        """Passes of an `averaging_gradients` network inside add to its gradients on this rank only."""
        if hold and isinstance(network, DistributedDataParallel):
            return network.no_sync()
        return nullcontext()

    def announce(self, signal_number: int | None) -> None:
        """At the start of a step: which signal asked this process for the end, if any."""
        flag = torch.tensor([signal_number or 0])
        # Travels while the step is computed, from host to host: no device waits for it.
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._control, async_op=True)
        self._flag = flag, work

    def agreed(self, signal_number: int | None) -> int | None:  # noqa: ARG002  # next step's
        """At the end of the step: the signal for which all ranks stop after this step."""
        if self._flag is None:
            return None
        flag, work = self._flag
        work.wait()
        self._flag = None
        return int(flag) or None

    def common(self, error: SrganError) -> BaseException:
        """What to raise for an error that every rank has: it is told once."""
        return error if self.is_main else SystemExit(error.exit_code)


class _Average(torch.autograd.Function):
    """Every rank's loss depends on the mean, so the gradient of each part is the ranks' mean too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.average(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return ctx.ranks.average(gradient), None


def average_batch_statistics_(network: nn.Module, ranks: Ranks) -> None:
    """Make the running statistics of batch norms the same on every rank: their mean over ranks."""
    if ranks.world == 1:
        return
    running = [
        statistic
        for module in network.modules()
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm)
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]
    if running:
        mean = ranks.average(torch.cat(running))
        torch._foreach_copy_(running, list(torch.split(mean, [len(each) for each in running])))


def _to_bytes(value: Any) -> Tensor:
    """As a checkpoint would be written: what arrives is data, never code."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)


def _from_bytes(data: Tensor) -> Any:
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location="cpu", weights_only=True)


ALONE = Ranks()
"""A training in one process."""
