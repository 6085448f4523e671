"""Learned perceptual distance LPIPS (Zhang et al. 2018, arXiv:1801.03924) on AlexNet features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srgan_cli.errors import RefusedError
from srgan_cli.losses.imagenet import frozen, read_state

_KEY = "Training.Losses.lpips_weights"
_FILE = "alexnet-owt-7be5be79.pth"


class LPIPSLoss(nn.Module):
    """LPIPS between SR and HR; the calibration comes with the package, the features from torchvision.

    Args:
        weights: torchvision's AlexNet state dict; None lets torchvision find or download it.
        bands: The three bands seen as R, G, B.
        offset: Network value of a stored 0, mapped to -1, of all bands or of each of `bands` ...
        span: ... and the distance from it to 1.

    Raises:
        RefusedError: The package or the weights are not there.
    """

    offset: Tensor
    span: Tensor

    def __init__(
        self,
        weights: Path | None,
        bands: Sequence[int],
        offset: float | Sequence[float] = 0.0,
        span: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        self.bands = list(bands)
        self.register_buffer("offset", torch.tensor(offset).reshape(-1, 1, 1))
        self.register_buffer("span", torch.tensor(span).reshape(-1, 1, 1))
        self.distance = frozen(_alexnet_lpips(weights))

    def forward(self, sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
        """Mean distance of sr and hr (B, C, H, W); invalid pixels are alike in both."""
        shown = torch.where(valid > 0, sr, hr.to(sr.dtype))
        found: Tensor = self.distance(self._input(shown), self._input(hr))
        return found.float().mean()

    def _input(self, image: Tensor) -> Tensor:
        return 2 * (image[:, self.bands].float() - self.offset) / self.span - 1


def _alexnet_lpips(weights: Path | None) -> nn.Module:
    try:
        import lpips
    except ImportError as err:
        raise RefusedError(
            "Training.Losses.perceptual_metric lpips: the package lpips is not installed",
            "pip install 'srgan-cli[lpips]', or set perceptual_metric: vgg",
        ) from err
    with warnings.catch_warnings():
        # It asks torchvision for an untrained AlexNet in the old notation.
        warnings.simplefilter("ignore", UserWarning)
        network: nn.Module = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    features: Any = network.net
    wanted = features.state_dict()
    state = read_state(weights, _KEY, _FILE, _download)
    # slice3.6.weight there is features.6.weight in torchvision.
    names = {name: f"features.{name.partition('.')[2]}" for name in wanted}
    wrong = [
        theirs
        for name, theirs in names.items()
        if theirs not in state or state[theirs].shape != wanted[name].shape
    ]
    if wrong:
        raise RefusedError(
            f"{weights}: not torchvision's AlexNet: {wrong[0]} is missing or misshapen",
            f"set {_KEY} to {_FILE} from torchvision",
        )
    features.load_state_dict({name: state[theirs] for name, theirs in names.items()})
    return network


def _download() -> dict[str, Tensor]:
    from torchvision.models import AlexNet_Weights

    return dict(AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
