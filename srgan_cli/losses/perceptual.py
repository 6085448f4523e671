"""Distance of VGG19 features (Ledig et al. 2017; Simonyan and Zisserman 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from srgan_cli.errors import RefusedError
from srgan_cli.losses.imagenet import frozen, read_state

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CONVOLUTIONS_PER_STAGE = (2, 2, 4, 4, 4)
_KEY = "TruncatedVGG.weights"
_FILE = "vgg19-dcbb9e9d.pth"


class VGGLoss(nn.Module):
    """Mean squared distance between VGG19 features of SR and HR.

    Args:
        i: Features of the stage before the i-th max-pooling ...
        j: ... after its j-th convolution and ReLU; 5, 4 in SRGAN.
        weights: torchvision's VGG19 state dict; None lets torchvision find or download it.
        bands: The three bands seen as R, G, B.
        offset: Network value of a stored 0, mapped to black, of all bands or of each of `bands` ...
        span: ... and the distance from it to white.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        i: int,
        j: int,
        weights: Path | None,
        bands: Sequence[int],
        offset: float | Sequence[float] = 0.0,
        span: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        self.bands = list(bands)
        self.features = _truncated_vgg19(i, j, weights)
        mean = torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1)
        std = torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1)
        # One affine map from network units to what ImageNet networks expect.
        black, white = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (offset, span))
        self.register_buffer("scale", 1 / (white * std))
        self.register_buffer("shift", -black / (white * std) - mean / std)

    def forward(self, sr: Tensor, hr: Tensor, valid: Tensor) -> Tensor:
        """Feature distance of sr and hr (B, C, H, W); invalid pixels are alike in both."""
        with torch.no_grad():
            target = self.features(self._input(hr))
        found = self.features(self._input(torch.where(valid > 0, sr, hr.to(sr.dtype))))
        distance: Tensor = (found.float() - target.float()).square().mean()
        return distance

    def _input(self, image: Tensor) -> Tensor:
        scaled: Tensor = image[:, self.bands].float() * self.scale + self.shift
        return scaled


def _truncated_vgg19(i: int, j: int, weights: Path | None) -> nn.Sequential:
    if j > _CONVOLUTIONS_PER_STAGE[i - 1]:
        raise RefusedError(
            f"TruncatedVGG.j is {j}, but stage {i} of VGG19 has "
            f"{_CONVOLUTIONS_PER_STAGE[i - 1]} convolutions",
            f"set TruncatedVGG.j to {_CONVOLUTIONS_PER_STAGE[i - 1]} or less",
        )
    from torchvision.models import vgg19

    # Built on meta: the classifier alone would be 124 million numbers that nobody needs.
    with torch.device("meta"):
        layers = list(vgg19(weights=None).features)
    features = nn.Sequential(*layers[: _layers_up_to(layers, i, j)])
    wanted = features.state_dict()
    state = read_state(weights, _KEY, _FILE, _download)
    found = {name: state[f"features.{name}"] for name in wanted if f"features.{name}" in state}
    wrong = [
        name for name in wanted if name not in found or found[name].shape != wanted[name].shape
    ]
    if wrong:
        raise RefusedError(
            f"{weights}: not torchvision's VGG19: features.{wrong[0]} is missing or misshapen",
            f"set {_KEY} to {_FILE} from torchvision",
        )
    features.load_state_dict(found, assign=True)
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return frozen(features)


def _layers_up_to(layers: list[nn.Module], i: int, j: int) -> int:
    """Number of layers up to the ReLU after the j-th convolution of stage i."""
    stage, count = 1, 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            stage, count = stage + 1, 0
        elif isinstance(layer, nn.Conv2d):
            count += 1
        if (stage, count) == (i, j):
            return index + 2
    raise IndexError((i, j))


def _download() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
