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


def choose(tolerance: float, reach: int = 100, max_pixels: int = 10**7) -> tuple[int, float]:
    scene = np.random.default_rng(0).random((1, 300, 400), dtype=np.float32)

    def read(box: Box) -> tuple[Tensor, np.ndarray]:
        rows, cols = box.within(Box(0, 0, 300, 400))
        part = scene[:, rows, cols]
        return torch.from_numpy(part)[None], np.ones(part.shape[1:], dtype=bool)

    blur = Blur(reach)

    def predict(lr: Tensor, wanted: Box) -> Tensor:
        rows, cols = wanted.within(Box(0, 0, 0, 0))
        return blur(lr)[..., rows, cols]

    return measured_halo(predict, read, (300, 400), reach, tolerance, Budget(450, max_pixels))


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


def test_a_near_comparison_that_fails_is_made_again_with_a_far_one() -> None:
    px, residual = choose(1e-9, reach=190, max_pixels=100)
    assert px == 128
    assert residual > 1e-9
    assert choose(0.0005, reach=190, max_pixels=100)[0] > 48


def test_the_search_costs_less_than_the_scene() -> None:
    """And two patches are measured at least."""
    blur, pixels = Blur(150), 0

    def read(box: Box) -> tuple[Tensor, np.ndarray]:
        shape = (1, box.height, box.width)
        scene = np.random.default_rng(0).random(shape, dtype=np.float32)
        return torch.from_numpy(scene)[None], np.ones(shape[1:], dtype=bool)

    def predict(lr: Tensor, wanted: Box) -> Tensor:
        nonlocal pixels
        pixels += lr.shape[-1] * lr.shape[-2]
        rows, cols = wanted.within(Box(0, 0, 0, 0))
        return blur(lr)[..., rows, cols]

    for side in (260, 700, 3000):
        pixels, share = 0, int(side * side * 0.03)
        measured_halo(predict, read, (side, side), 150, 1.0, Budget(450, share))
        two_patches = 144**2 + 112**2 + 2 * 48**2
        # Less at the edge of a small scene.
        assert 0.9 * two_patches <= pixels <= max(1.1 * share, two_patches), side
    largest = 0

    def remember(lr: Tensor, wanted: Box) -> Tensor:
        nonlocal largest
        largest = max(largest, *lr.shape[-2:])
        return predict(lr, wanted)

    measured_halo(remember, read, (3000, 3000), 150, 1e-9, Budget(200, 10**7))
    assert largest <= 200, "what fits the memory"
