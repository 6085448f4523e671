from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from srgan_cli.infer.geometry import Box
from srgan_cli.infer.halo import Budget, measured_halo


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

    return measured_halo(Blur(reach), read, (300, 400), 1, reach, tolerance, Budget(450, 10**7))


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
