"""Spectral normalisation (Miyato et al. 2018), and its older spelling in state dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

Value = TypeVar("Value")

_SPELLINGS = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
"""torch.nn.utils.spectral_norm, a hook, and its successor, a parametrization."""


def normalised(layer: nn.Module) -> nn.Module:
    """The layer with spectral normalisation of its weight; loads both spellings."""
    layer = spectral_norm(layer)
    for norm in _norms(layer):
        norm.forward = partial(_in_float32, norm.forward)
    layer.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]  # torch
    return layer


def _norms(network: nn.Module) -> list[nn.Module]:
    return [
        norm
        for module in network.modules()
        if parametrize.is_parametrized(module, "weight")
        for norm in module.parametrizations["weight"]  # type: ignore[index]
    ]


def _in_float32(forward: Callable[[Tensor], Tensor], weight: Tensor) -> Tensor:
    """On CUDA, autocast would take the products of the power iteration to lower precision."""
    kind = weight.device.type
    if kind not in ("cpu", "cuda"):  # where there is no autocast
        return forward(weight)
    with torch.autocast(kind, enabled=False):
        return forward(weight)


@contextmanager
def settled(network: nn.Module) -> Iterator[None]:
    """Forward passes inside leave the estimates of the spectral norms as they are.

    Each pass in training mode improves them by a power iteration; images that are compared should
    be judged by the same weights.
    """
    norms = _norms(network)
    before = [norm.training for norm in norms]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm, training in zip(norms, before, strict=True):
            norm.training = training


def modern_names(state: Mapping[str, Value]) -> dict[str, Value]:
    """A state dict with the parametrization's names, whichever it had."""
    return {_modern(name): value for name, value in state.items()}


def _modern(name: str) -> str:
    layer, _, last = name.rpartition(".")
    if last not in _SPELLINGS:
        return name
    return f"{layer}.{_SPELLINGS[last]}" if layer else _SPELLINGS[last]


def _rename(_layer: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for old, new in _SPELLINGS.items():
        if prefix + old in state:
            state[prefix + new] = state.pop(prefix + old)
