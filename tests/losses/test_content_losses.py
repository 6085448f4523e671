import math

import pytest
import torch

from srgan_cli import metrics
from srgan_cli.losses import content


@pytest.fixture
def pair():
    torch.manual_seed(0)
    hr = torch.rand(2, 4, 12, 10) + 0.1
    return (hr + 0.1 * torch.randn_like(hr)).requires_grad_(), hr, torch.ones(2, 1, 12, 10)


def test_l1_is_the_mean_absolute_error(pair):
    sr, hr, valid = pair
    assert content.l1(sr, hr, valid).item() == pytest.approx((sr - hr).abs().mean().item())


def test_sam_of_a_known_angle():
    sr = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    hr = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    valid = torch.ones(1, 1, 3, 3)
    assert content.sam(sr, hr, valid).item() == pytest.approx(math.pi / 4, abs=1e-5)
    assert content.sam(sr, 7 * sr, valid).item() == pytest.approx(0.0, abs=1e-5)


def test_sam_has_a_finite_gradient_where_it_is_zero_and_where_the_spectrum_is_zero(pair):
    _, hr, valid = pair
    for start in (hr, torch.zeros_like(hr)):
        sr = start.clone().requires_grad_()
        content.sam(sr, hr, valid).backward()
        assert torch.isfinite(sr.grad).all()


def test_total_variation_by_hand():
    sr = torch.tensor([[0.0, 1.0], [2.0, 2.0]]).view(1, 1, 2, 2)
    valid = torch.ones(1, 1, 2, 2)
    # rows: |2-0|, |2-1| -> 1.5; columns: |1-0|, |2-2| -> 0.5
    assert content.total_variation(sr, valid).item() == pytest.approx(2.0)


@pytest.mark.parametrize("loss", [content.l1, content.sam])
def test_invalid_pixels_count_in_no_loss(pair, loss):
    sr, hr, valid = pair
    valid = valid.clone()
    valid[:, :, 3:6, 2:7] = 0
    before = loss(sr, hr, valid)
    spoiled = hr.clone()
    spoiled[:, :, 3:6, 2:7] = 1e6
    assert loss(sr, spoiled, valid).item() == pytest.approx(before.item())
    (gradient,) = torch.autograd.grad(before, sr)
    assert gradient[:, :, 3:6, 2:7].abs().max() == 0
    assert gradient.abs().max() > 0


def test_total_variation_ignores_steps_to_invalid_pixels(pair):
    sr, _, valid = pair
    valid = valid.clone()
    valid[:, :, :, 5:] = 0
    spoiled = sr.detach().clone()
    spoiled[:, :, :, 5:] = 1e6
    assert content.total_variation(spoiled, valid).item() == pytest.approx(
        content.total_variation(sr, valid).item()
    )


def test_nothing_valid_is_zero_and_not_nan(pair):
    sr, hr, valid = pair
    for loss in (content.l1, content.sam):
        assert loss(sr, hr, 0 * valid).item() == 0.0


def test_nan_stays_nan(pair):
    sr, hr, valid = pair
    broken = sr.detach().clone()
    broken[0, 0, 0, 0] = float("nan")
    assert math.isnan(content.l1(broken, hr, valid).item())


def test_metrics_agree_with_the_losses_on_valid_images(pair):
    sr, hr, valid = pair
    sr = sr.detach()
    assert metrics.l1(sr, hr, valid).mean().item() == pytest.approx(
        content.l1(sr, hr, valid).item()
    )
    assert metrics.sam(sr, hr, valid).mean().item() == pytest.approx(
        content.sam(sr, hr, valid).item(), abs=1e-4
    )
