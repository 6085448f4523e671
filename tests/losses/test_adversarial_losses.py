import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srgan_cli.losses.adversarial import Adversarial, r1_penalty


def logits(*values):
    return torch.tensor(values)


def test_bce_at_chance_is_ln_2_for_both():
    game = Adversarial("bce")
    zero = torch.zeros(4, 1)
    assert game.discriminator(zero, zero).item() == pytest.approx(math.log(2))
    assert game.generator(zero, zero).item() == pytest.approx(math.log(2))


def test_bce_is_the_mean_of_its_real_and_fake_term_with_smoothing_for_d_alone():
    game = Adversarial("bce", real_target=0.9)
    real, fake = logits(2.0, 1.0), logits(-1.0, 0.5)
    expected = 0.5 * (
        F.binary_cross_entropy(real.sigmoid(), torch.full((2,), 0.9))
        + F.binary_cross_entropy(fake.sigmoid(), torch.zeros(2))
    )
    assert game.discriminator(real, fake).item() == pytest.approx(expected.item())
    assert game.generator(real, fake).item() == pytest.approx(F.softplus(-fake).mean().item())


def test_hinge_and_wasserstein_by_hand():
    real, fake = logits(2.0, 0.0), logits(-3.0, 0.5)
    assert Adversarial("hinge").discriminator(real, fake).item() == pytest.approx(
        0.5 * ((0 + 1) / 2 + (0 + 1.5) / 2)
    )
    assert Adversarial("wasserstein").discriminator(real, fake).item() == pytest.approx(-1.25 - 1.0)
    for kind in ("hinge", "wasserstein"):
        assert Adversarial(kind).generator(real, fake).item() == pytest.approx(1.25)


def test_relativistic_average_by_hand():
    game = Adversarial("bce", relativistic=True)
    real, fake = logits(1.0, 3.0), logits(-1.0, 0.0)
    better, worse = real - fake.mean(), fake - real.mean()
    expected_d = 0.5 * (F.softplus(-better).mean() + F.softplus(worse).mean())
    expected_g = 0.5 * (F.softplus(better).mean() + F.softplus(-worse).mean())
    assert game.discriminator(real, fake).item() == pytest.approx(expected_d.item())
    assert game.generator(real, fake).item() == pytest.approx(expected_g.item())
    assert game.probabilities(real, fake)[0].item() == pytest.approx(better.sigmoid().mean().item())


@pytest.mark.parametrize("kind", ["bce", "hinge", "wasserstein"])
def test_both_sides_push_the_logits_apart_and_together(kind):
    game = Adversarial(kind)
    real, fake = logits(0.1).requires_grad_(), logits(-0.1).requires_grad_()
    game.discriminator(real, fake).backward()
    assert real.grad < 0 < fake.grad
    fake.grad = None
    game.generator(real, fake).backward()
    assert fake.grad < 0


def test_r1_of_a_linear_critic_is_its_squared_weight_norm():
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    hr = torch.rand(5, 3, 2, 2)
    penalty = r1_penalty(critic, hr)
    assert penalty.item() == pytest.approx(critic[1].weight.square().sum().item(), rel=1e-5)
    assert not hr.requires_grad
    penalty.backward()
    assert critic[1].weight.grad.abs().sum() > 0
