from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srgan_cli.infer import Model
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.halo import measured_halo, receptive_field


def brute_force(network: nn.Module, bands: int, scale: int, reach: int) -> int:
    """The farthest LR pixel whose change is seen in the SR block of the centre, in float64."""
    network = network.double()
    size = 2 * reach + 1
    lr = torch.rand(1, bands, size, size, dtype=torch.float64)
    lr.requires_grad_(True)
    block = slice(reach * scale, (reach + 1) * scale)
    weights = torch.rand(scale, scale, dtype=torch.float64)
    (network(lr)[..., block, block] * weights).sum().backward()
    assert lr.grad is not None
    rows, cols = lr.grad.abs().amax(dim=(0, 1)).nonzero().T
    return int(max((rows - reach).abs().max(), (cols - reach).abs().max()))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("skip", ["none", "bicubic"])
def test_the_probe_finds_what_brute_force_finds(
    make_model: Callable[..., Model], scale: int, skip: str
) -> None:
    kind = {"model_type": "esrgan", "n_blocks": 1} if scale == 1 else {}
    model = make_model(2, scale, global_skip=skip, **kind)
    field = model.receptive_field()
    assert field is not None
    assert field == brute_force(model.generator, 2, scale, field + 3)


def test_known_fields(make_model: Callable[..., Model]) -> None:
    base = {"n_blocks": 4, "large_kernel_size": 9, "scale": 4}
    # 4 + 4 blocks of 2 + 1 + 1 + 1/2 + 4/4 = 15.5 (head, body, tail of body, two stages, tail).
    assert make_model(**base).receptive_field() == 16
    assert make_model(model_type="esrgan", scale=4, n_blocks=2).receptive_field() == 34


def test_lka_and_standard_have_finite_fields(make_model: Callable[..., Model]) -> None:
    assert make_model(block_type="lka", n_blocks=2).receptive_field() is not None
    assert make_model(block_type="standard").receptive_field() is not None
    assert make_model(model_type="stochastic_gan").receptive_field() is not None


def test_channel_attention_is_global(make_model: Callable[..., Model]) -> None:
    assert make_model(block_type="rcab", n_channels=16).receptive_field() is None


def test_a_network_that_hides_nan_is_not_believed() -> None:
    class Hiding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.nan_to_num()

    with pytest.raises(ValueError, match="hides NaN"):
        receptive_field(Hiding(), 1, 1)


class Blur(nn.Module):
    """A recursive-looking blur: one long kernel that decays by half every 8 pixels."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach
        decay = 0.5 ** (torch.arange(-reach, reach + 1).abs() / 8)
        self.kernel = (decay / decay.sum()).view(1, 1, 1, -1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(x, self.kernel, padding=(0, self.reach))


def choose(tolerance: float, reach: int = 100, data: np.ndarray | None = None) -> tuple[int, float]:
    scene = np.random.default_rng(0).random((1, 300, 400), dtype=np.float32)

    def read(box: Box) -> tuple[Tensor, np.ndarray]:
        rows, cols = box.within(Box(0, 0, 300, 400))
        part = scene[:, rows, cols]
        return torch.from_numpy(part)[None], np.ones(part.shape[1:], dtype=bool)

    return measured_halo(Blur(reach), read, (300, 400), 1, reach, tolerance)


def test_the_measured_halo_grows_as_the_tolerance_shrinks() -> None:
    found = [choose(tolerance)[0] for tolerance in (1.0, 0.03, 0.003, 1e-9)]
    assert found == sorted(found)
    assert found[0] == 16
    assert found[-1] == 100, "nothing below the receptive field is that good"
    assert choose(0.03)[1] <= 0.03


def test_the_residual_is_reported_when_the_tolerance_cannot_be_met() -> None:
    px, residual = choose(1e-9, reach=190)
    assert px == 128
    assert residual > 1e-9
