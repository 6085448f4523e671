"""What the networks trained on ImageNet have in common: three bands, and weights from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from srgan_cli.errors import RefusedError

Network = TypeVar("Network", bound=nn.Module)


def rgb_bands(fixed_idx: Sequence[int] | None, in_bands: int) -> tuple[int, int, int]:
    """The bands seen as R, G, B: `fixed_idx`, else the first three; the last one fills up.

    A single band is seen as grey, of two bands the second one as G and B.
    """
    bands = tuple(fixed_idx) if fixed_idx else tuple(range(min(in_bands, 3)))
    red, green, blue = (*bands, *[bands[-1]] * (3 - len(bands)))
    return red, green, blue


def frozen(network: Network) -> Network:
    """The network in evaluation mode, without gradients of its own."""
    return network.eval().requires_grad_(False)


def read_state(
    path: Path | None, key: str, usual_name: str, download: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """A state dict from a file, or by `download` where there is none.

    Raises:
        RefusedError: The file is missing or no state dict, or the download failed; the message
            names `key`.
    """
    if path is not None:
        return _from_file(path, key, usual_name)
    try:
        return download()
    except (OSError, RuntimeError) as err:
        raise RefusedError(
            f"the weights of the perceptual loss could not be downloaded ({err})",
            f"put torchvision's {usual_name} on this machine and set {key} to it, or set "
            "Training.Losses.perceptual_weight: 0",
        ) from err


def _from_file(path: Path, key: str, usual_name: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise RefusedError(
            f"{key}: {path} does not exist", f"copy torchvision's {usual_name} there"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch.load raises many kinds for a file that is not its own
        raise RefusedError(
            f"{key}: {path} cannot be read ({type(err).__name__})",
            f"copy torchvision's {usual_name} again",
        ) from err
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise RefusedError(f"{key}: {path} holds no state dict", f"give torchvision's {usual_name}")
    return state
