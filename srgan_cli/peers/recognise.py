"""Which network a generator's tensors belong to, from their names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from srgan_cli.errors import RefusedError
from srgan_cli.models import GeneratorSpec

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Recognised:
    """A network, as far as its tensors tell."""

    values: Mapping[str, Any]
    """Fields of `GeneratorSpec` that follow from the tensors."""
    assumed: tuple[str, ...] = ()
    """Fields that matter to this network and leave no trace in its tensors."""
    notes: tuple[str, ...] = ()

    def spec(self, **others: Any) -> GeneratorSpec:
        """The network, with `others` for what the tensors do not tell."""
        return GeneratorSpec(**{**others, **self.values})


def recognise(state: State, scale: int | None = None) -> Recognised:
    """The network that a generator's state dict (names of today) belongs to.

    `scale` settles what the shapes leave open: an RRDBNet with four or sixteen times as many input
    as output channels folds its input, unless the scale says otherwise.

    Raises:
        RefusedError: No network known here has such tensors.
    """
    for key, derive in _FAMILIES.items():
        if all(name in state for name in key.split()):
            try:
                return derive(state, scale)
            except (KeyError, IndexError, ValueError, StopIteration) as err:
                raise _unknown(state, f"; incomplete: {err}") from err
    raise _unknown(state, "")


def _unknown(state: State, more: str) -> RefusedError:
    names = list(state)
    return RefusedError(
        f"no generator known here has these {len(names)} tensors: {', '.join(names[:4])}, ...{more}",
        "known: SRResNet (standard, res, rcab, rrdb, lka), esrgan and stochastic_gan of "
        "OpenSR-SRGAN, RRDBNet of BasicSR and Real-ESRGAN",
    )


def _count(state: State, pattern: str) -> int:
    """Largest number in the names that `pattern` finds, plus one."""
    numbers = [int(match[1]) for name in state if (match := re.match(pattern, name))]
    return max(numbers) + 1


def _shape(state: State, name: str, rank: int = 4) -> tuple[int, ...]:
    shape = tuple(state[f"{name}.weight"].shape)
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"{name}.weight is {shape}")
    return shape


def _stages(state: State) -> int:
    """Upsampling stages of `upsampler`; of its layers convolutions alone have a bias."""
    return len([name for name in state if re.match(r"upsampler\.\d+\.bias$", name)])


def _flexible(block_type: str, model_type: str = "SRResNet") -> _Derive:
    """SRResNet with other blocks."""

    def derive(state: State, _: int | None) -> Recognised:
        width, in_bands, large, _ = _shape(state, "head.0")
        noise = {}
        if model_type == "stochastic_gan":
            noise = {"noise_dim": _shape(state, "body.0.noise_mlp.0", 2)[1]}
        return Recognised(
            {
                "model_type": model_type,
                "block_type": block_type,
                "in_bands": in_bands,
                "out_bands": _shape(state, "tail")[0],
                "scale": 2 ** _stages(state),
                "n_channels": width,
                "n_blocks": _count(state, r"body\.(\d+)\."),
                "large_kernel_size": large,
                "small_kernel_size": _shape(state, "body_tail")[2],
                **noise,
            },
            assumed=("res_scale",) if noise else (),
        )

    return derive


def _standard(state: State, _: int | None) -> Recognised:
    width, in_bands, large, _ = _shape(state, "net.conv_block1.conv_block.0")
    stages = _count(state, r"net\.subpixel_convolutional_blocks\.(\d+)\.")
    return Recognised(
        {
            "model_type": "SRResNet",
            "block_type": "standard",
            "in_bands": in_bands,
            "out_bands": _shape(state, "net.conv_block3.conv_block.0")[0],
            "scale": 2**stages,
            "n_channels": width,
            "n_blocks": _count(state, r"net\.residual_blocks\.(\d+)\."),
            "large_kernel_size": large,
            "small_kernel_size": _shape(state, "net.conv_block2.conv_block.0")[2],
        }
    )


def _esrgan(state: State, _: int | None) -> Recognised:
    width, in_bands, _, _ = _shape(state, "conv_first")
    return Recognised(
        {
            "model_type": "esrgan",
            "block_type": "res",
            "in_bands": in_bands,
            "out_bands": _shape(state, "conv_last")[0],
            "scale": 2 ** _stages(state),
            "n_channels": width,
            "n_blocks": _count(state, r"body\.(\d+)\."),
            "growth_channels": _shape(state, "body.0.db1.c1")[0],
        },
        assumed=("res_scale",),
    )


def _rrdbnet(state: State, scale: int | None) -> Recognised:
    width, channels, _, _ = _shape(state, "conv_first")
    out_bands = _shape(state, "conv_last")[0]
    stages = [name for name in state if re.match(r"conv_up\d+\.weight$", name)]
    enlarged = 2 ** len(stages)
    folds = [fold for fold in (4, 2) if channels == out_bands * fold**2 and enlarged % fold == 0]
    fold = folds[0] if folds else 1
    notes: tuple[str, ...] = ()
    if scale is not None and enlarged % scale == 0 and channels % (enlarged // scale) ** 2 == 0:
        fold = enlarged // scale
    elif folds:
        notes = (
            f"{channels} input channels for {out_bands} bands: the input is folded by {fold}, the "
            f"scale {enlarged // fold}; --scale {enlarged} reads it as {channels} bands",
        )
    return Recognised(
        {
            "model_type": "rrdbnet",
            "block_type": "res",
            "in_bands": channels // fold**2,
            "out_bands": out_bands,
            "scale": enlarged // fold,
            "n_channels": width,
            "n_blocks": _count(state, r"body\.(\d+)\."),
            "growth_channels": _shape(state, "body.0.rdb1.conv1")[0],
            "fold": fold,
        },
        notes=notes,
    )


_Derive = Callable[[State, int | None], Recognised]

_FAMILIES: dict[str, _Derive] = {
    "net.conv_block1.conv_block.0.weight": _standard,
    "head.0.weight body.0.noise_mlp.0.weight": _flexible("res", "stochastic_gan"),
    "head.0.weight body.0.body.0.weight": _flexible("res"),
    "head.0.weight body.0.se.1.weight": _flexible("rcab"),
    "head.0.weight body.0.lka.dw5.weight": _flexible("lka"),
    "head.0.weight body.0.db1.c1.weight": _flexible("rrdb"),
    "conv_first.weight body.0.db1.c1.weight": _esrgan,
    "conv_first.weight body.0.rdb1.conv1.weight": _rrdbnet,
}
"""Tensors that only one family has, and how to read it."""
