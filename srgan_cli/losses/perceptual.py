"""Distance of VGG19 features (Ledig et al. 2017; Simonyan and Zisserman 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from srgan_cli.errors import RefusedError

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CONVOLUTIONS_PER_STAGE = (2, 2, 4, 4, 4)


class VGGLoss(nn.Module):
    """Mean squared distance between VGG19 features of SR and HR.

    Args:
        i: Features of the stage before the i-th max-pooling ...
        j: ... after its j-th convolution and ReLU; 5, 4 in SRGAN.
        weights: torchvision's VGG19 state dict; None lets torchvision find or download it.
        bands: The three bands (or one) seen as R, G, B.
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
        self.bands = list(bands) if len(bands) == 3 else [bands[0]] * 3
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


def default_bands(in_bands: int) -> tuple[int, ...]:
    """The first three bands; of one or two bands the first alone."""
    return (0, 1, 2) if in_bands >= 3 else (0,)


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
    state = _vgg19_state(weights)
    found = {name: state[f"features.{name}"] for name in wanted if f"features.{name}" in state}
    wrong = [
        name for name in wanted if name not in found or found[name].shape != wanted[name].shape
    ]
    if wrong:
        raise RefusedError(
            f"{weights}: not torchvision's VGG19: features.{wrong[0]} is missing or misshapen",
            "set TruncatedVGG.weights to vgg19-dcbb9e9d.pth from torchvision",
        )
    features.load_state_dict(found, assign=True)
    for parameter in features.parameters():
        parameter.requires_grad_(False)
    for layer in features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return features.eval()


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


def _vgg19_state(weights: Path | None) -> dict[str, Tensor]:
    if weights is not None:
        if not weights.is_file():
            raise RefusedError(
                f"TruncatedVGG.weights: {weights} does not exist",
                "copy torchvision's vgg19-dcbb9e9d.pth there",
            )
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as err:  # torch.load raises many kinds for a file that is not its own
            raise RefusedError(
                f"TruncatedVGG.weights: {weights} cannot be read ({type(err).__name__})",
                "copy torchvision's vgg19-dcbb9e9d.pth again",
            ) from err
        return dict(state)
    from torchvision.models import VGG19_Weights

    try:
        return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as err:
        raise RefusedError(
            f"the VGG19 weights of the perceptual loss could not be downloaded ({err})",
            "put torchvision's vgg19-dcbb9e9d.pth on this machine and set TruncatedVGG.weights "
            "to it, or set Training.Losses.perceptual_weight: 0",
        ) from err
