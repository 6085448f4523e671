"""Exponential moving average of the generator."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """theta_ema <- beta * theta_ema + (1 - beta) * theta, a few multi-tensor calls per update.

    torch's AveragedModel keeps its count on the device and reads it back at every update; this
    one never makes the host wait.

    Args:
        model: The live network; copied at once, and again at the first update, so that the
            average starts where the network is at that moment.
        decay: beta.
        use_num_updates: beta = min(decay, (1 + n) / (10 + n)) at the n-th update.
    """

    def __init__(self, model: nn.Module, decay: float, use_num_updates: bool) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.use_num_updates = use_num_updates
        self.num_updates = 0

    @property
    def active(self) -> bool:
        """Whether it has been updated: before, the live network is the better one."""
        return self.num_updates > 0

    def beta(self) -> float:
        """The share of the average that the next update keeps."""
        n = self.num_updates
        return min(self.decay, (1 + n) / (10 + n)) if self.use_num_updates else self.decay

    @torch.no_grad()
    def update(self, live: nn.Module) -> None:
        """Take in the weights of `live`; buffers are copied."""
        mine, theirs = _tensors(self.model.parameters()), _tensors(live.parameters())
        if self.num_updates == 0:
            torch._foreach_copy_(mine, theirs)
        else:
            torch._foreach_lerp_(mine, theirs, 1.0 - self.beta())
        buffers = _tensors(self.model.buffers())
        if buffers:
            torch._foreach_copy_(buffers, _tensors(live.buffers()))
        self.num_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs."""
        return {"num_updates": self.num_updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.num_updates = int(state["num_updates"])
        self.model.load_state_dict(state["model"])


def _tensors(items: Any) -> list[Tensor]:
    return [item.data for item in items]
