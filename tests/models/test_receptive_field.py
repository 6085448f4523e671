import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from srgan_cli.models import GENERATORS, Generator, GeneratorSpec, build_generator
from srgan_cli.models.field import (
    Down,
    Reach,
    Up,
    probe_receptive_field,
    receptive_field,
)

WINDOW = 6


def strong(name, scale, **changes):
    """A small network with weights so large that every pixel of its field counts."""
    model_type, _, block_type = name.partition("/")
    values = {
        "n_channels": 16,
        "n_blocks": 1,
        "large_kernel_size": 5,
        "growth_channels": 3,
        "noise_dim": 4,
        "fold": max(4 // scale, 1) if name == "rrdbnet" else 1,
    }
    torch.manual_seed(1)
    generator = build_generator(
        GeneratorSpec(model_type, block_type or "res", 2, 2, scale, **(values | changes))
    )
    for parameter in generator.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, a=0.5)
    generator.pool_locally_(WINDOW)
    return generator.eval()


def brute_force(generator, scale, reach):
    """The farthest LR pixel whose change is seen in the SR block of a pixel far from the border, in float64."""
    period, found = generator.size_multiple, 0
    size = 2 * (reach + period) + 2 * period
    lr = torch.rand(1, 2, size, size, dtype=torch.float64, requires_grad=True)
    sr = generator.double()(lr)
    weights = torch.rand(scale, scale, dtype=torch.float64)
    start = size // 2 - size // 2 % period
    for pixel in range(start, start + period):
        block = slice(pixel * scale, (pixel + 1) * scale)
        loss = (sr[..., block, block] * weights).sum()
        (gradient,) = torch.autograd.grad(loss, lr, retain_graph=True)
        rows, cols = gradient.abs().amax(dim=(0, 1)).nonzero().T
        found = max(found, int((rows - pixel).abs().max()), int((cols - pixel).abs().max()))
    return found


SCALES = {"rrdbnet": (1, 2, 4, 8), "esrgan": (1, 2, 4, 8)}
CASES = [(name, scale) for name in GENERATORS for scale in SCALES.get(name, (2, 4, 8))]


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_stated_field_is_what_the_gradient_and_the_probe_find(name, scale):
    generator = strong(name, scale)
    stated = generator.receptive_field_px()
    # Once, at the border, a shifted window looks farther: that cannot be seen from inside.
    inside = stated - (WINDOW - 1 - WINDOW // 2 if generator.pools_globally else 0)
    assert probe_receptive_field(generator, 2, scale, generator.size_multiple) == inside
    assert brute_force(generator, scale, inside + 3) == inside


@pytest.mark.parametrize("skip", ["nearest", "bicubic"])
def test_a_skip_looks_no_farther_than_the_network(skip):
    with_skip = strong("SRResNet/res", 4, global_skip=skip)
    assert with_skip.receptive_field_px() == strong("SRResNet/res", 4).receptive_field_px()


def test_known_fields():
    # 4 + 4 blocks of 2 + 1 + 1 + 1/2 + 4/4 = 15.5: head, body, tail of body, two stages, tail.
    assert strong("SRResNet/res", 4, n_blocks=4, large_kernel_size=9).receptive_field_px() == 16
    assert strong("esrgan", 4, n_blocks=2).receptive_field_px() == 34
    # Real-ESRGAN: 1 + 23 * 15 + 1 + 1/2 + 1/4 + 1/4 + 1/4.
    assert strong("rrdbnet", 4, n_blocks=23, n_channels=4).receptive_field_px() == 349


def test_channel_attention_without_a_window_sees_everything():
    generator = strong("SRResNet/rcab", 2)
    generator.pool_locally_(None)
    assert generator.receptive_field_px() is None
    assert probe_receptive_field(generator, 2, 2) is None


def test_a_shifted_window_looks_farther_at_the_border():
    generator = strong("SRResNet/rcab", 2, large_kernel_size=1, small_kernel_size=1)
    lr = torch.rand(1, 2, 3 * WINDOW, 3 * WINDOW, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator(lr)[..., :2, :2].sum(), lr)
    assert gradient.abs().amax(dim=(0, 1)).nonzero().max() == WINDOW - 1
    assert generator.receptive_field_px() >= WINDOW - 1


class Branches(Generator):
    """Its layers lie on two ways, and are registered against their order."""

    def __init__(self, spec):
        super().__init__(spec)
        self.last = nn.Conv2d(4, spec.out_bands, 3, padding=1)
        self.near = nn.Conv2d(spec.in_bands, 4, 1)
        self.far = nn.Conv2d(spec.in_bands, 4, 7, padding=3)

    def residual(self, lr):
        both = self.near(lr) + self.far(lr)
        return self.last(nn.functional.interpolate(both, scale_factor=self.spec.scale))

    def last_layer(self):
        return self.last


def test_a_network_that_says_nothing_is_probed():
    spec = GeneratorSpec("branches", "", 2, 2, 4, 8, 1)
    assert Branches(spec).receptive_field_px() == 3 + 1


def test_a_network_that_hides_nan_is_not_believed():
    class Hiding(nn.Module):
        def forward(self, x):
            return x.nan_to_num()

    with pytest.raises(ValueError, match="hides NaN"):
        probe_receptive_field(Hiding(), 1, 1)


@given(
    st.lists(st.integers(0, 4), min_size=3, max_size=3), st.sampled_from([1, 2, 4]), st.booleans()
)
def test_the_arithmetic_agrees_with_following_every_pixel(reaches, fold, twice):
    ups = [2] * (2 + twice)
    steps = [Reach(reaches[0]), Down(fold), Reach(reaches[1])]
    steps += list(itertools.chain(*((Up(up), Reach(reaches[2])) for up in ups)))
    scale = 2 ** len(ups) // fold
    size = 64
    farthest = 0
    for pixel in range(size // 2, size // 2 + fold):
        touched = {pixel}
        for step in steps:
            if isinstance(step, Reach):
                touched = {t + d for t in touched for d in range(-step.px, step.px + 1)}
            elif isinstance(step, Up):
                touched = {t * step.factor + d for t in touched for d in range(step.factor)}
            else:
                touched = {t // step.factor for t in touched}
        farthest = max(farthest, *(abs(t // scale - pixel) for t in touched))
    assert receptive_field(steps, scale) == farthest
