"""How much memory a run has needed, and how it gets along with less."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from srgan_cli.models import Generator

_WARM_UP_STEPS = 10
_SWEEP_EVERY = 1000


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far: allocated on a CUDA device, else resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def recomputed(
    function: Callable[..., Tensor], network: nn.Module, *inputs: Tensor, random: bool = True
) -> Tensor:
    """`function(*inputs)`, its activations not kept but computed again in the backward pass.

    Chen et al. 2016, arXiv:1604.06174. Batch norms of `network` count a batch once.

    Args:
        function: Applies `network`.
        network: What is applied.
        inputs: What it is applied to.
        random: Whether it draws random numbers, which must then be the same ones.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]

    def contexts() -> tuple[AbstractContextManager[None], _NotCounting]:
        return nullcontext(), _NotCounting(norms)

    found: Tensor = (
        checkpoint(
            function, *inputs, use_reentrant=False, preserve_rng_state=random, context_fn=contexts
        )
        if norms  # a compiler understands the plain form only
        else checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=random)
    )
    return found


class _NotCounting:
    """Batch norms inside use the statistics of the batch without taking them in.

    Entered at every backward pass through the same graph, which `contextmanager` cannot.
    """

    def __init__(self, norms: list[_BatchNorm]) -> None:
        self.norms = norms

    def __enter__(self) -> None:
        self.before = [(norm.momentum, norm.num_batches_tracked) for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0
            # Counted on a copy: synchronised batch norm insists on a count.
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked = norm.num_batches_tracked.clone()

    def __exit__(self, *_: object) -> None:
        for norm, (momentum, count) in zip(self.norms, self.before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def recompute_blocks_(generator: Generator) -> None:
    """Let the generator keep the input of each block of its trunk instead of all activations."""
    for block in generator.trunk():
        block.forward = partial(recomputed, block.forward, block, random=False)


class Sweeper:
    """Python's garbage collection between steps instead of in the middle of one.

    Networks and modules are looked through once, after the first steps, and then left alone; what
    has piled up since is collected every thousand steps.
    """

    def __init__(self) -> None:
        self.steps = 0

    def __enter__(self) -> Sweeper:
        self._was_enabled = gc.isenabled()
        gc.disable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def step_done(self) -> None:
        """A step is over: collect if it is time."""
        self.steps += 1
        if self.steps == _WARM_UP_STEPS:
            gc.collect()
            gc.freeze()
        elif self.steps % _SWEEP_EVERY == 0:
            gc.collect()
