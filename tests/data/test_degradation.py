import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from srgan_cli.data.augment import NUM_ELEMENTS, dihedral
from srgan_cli.data.degradation import degrade, gaussian_sigma, margin_px

KINDS = ("bicubic", "area", "gaussian")


def wave(side, frequency, phase):
    """A cosine along the columns; `frequency` in cycles per HR pixel."""
    row = torch.cos(2 * math.pi * frequency * torch.arange(side, dtype=torch.float64) + phase)
    return row.expand(1, 1, side, side).clone()


def response(kind, scale, frequency, **options):
    """Gain at a frequency and the error of a fit with LR pixels at the centres of their blocks."""
    side, phase = 32 * scale, 0.3
    lr = degrade(wave(side, frequency, phase), scale, kind, **options)[0, 0, 16, 8:24]
    centres = (torch.arange(8, 24, dtype=torch.float64) + 0.5) * scale - 0.5
    ideal = torch.cos(2 * math.pi * frequency * centres + phase)
    gain = (lr @ ideal) / (ideal @ ideal)
    return float(gain), float((lr - gain * ideal).abs().max())


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_stays_and_a_ramp_is_not_shifted(kind, scale):
    side = 24 * scale
    constant = degrade(torch.full((1, 2, side, side), 0.7), scale, kind)
    assert_close(constant, torch.full_like(constant, 0.7))
    ramp = torch.arange(side, dtype=torch.float64).expand(1, 1, side, side)
    lr = degrade(ramp.clone(), scale, kind)[0, 0, 10, 6:18]
    assert_close(lr, (torch.arange(6, 18, dtype=torch.float64) + 0.5) * scale - 0.5)


@pytest.mark.parametrize("frequency", [0.02, 0.06, 0.1, 0.125, 0.15])
@pytest.mark.parametrize("mtf", [0.15, 0.25, 0.35])
def test_gaussian_has_its_transfer_function(frequency, mtf):
    scale = 4
    gain, error = response("gaussian", scale, frequency, mtf_nyquist=mtf)
    sigma = gaussian_sigma(scale, mtf)
    assert gain == pytest.approx(math.exp(-2 * (math.pi * sigma * frequency) ** 2), abs=2e-4)
    assert error < 2e-4


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_gaussian_mtf_at_nyquist_is_what_was_asked_for(scale):
    assert response("gaussian", scale, 1 / (2 * scale), mtf_nyquist=0.3)[0] == pytest.approx(
        0.3, abs=1e-3
    )


@pytest.mark.parametrize("frequency", [0.02, 0.06, 0.1])
def test_area_has_the_transfer_function_of_a_box(frequency):
    gain, error = response("area", 4, frequency)
    box = math.sin(math.pi * 4 * frequency) / (4 * math.sin(math.pi * frequency))
    assert gain == pytest.approx(box, abs=1e-9)
    assert error < 1e-9


@pytest.mark.parametrize("frequency", [0.02, 0.06, 0.1])
def test_bicubic_has_the_transfer_function_of_the_stretched_keys_kernel(frequency):
    scale = 4
    offsets = (torch.arange(16, dtype=torch.float64) - 7.5) / scale
    x = offsets.abs()
    keys = torch.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)
    keys = keys / keys.sum()
    expected = float((keys * torch.cos(2 * math.pi * frequency * scale * offsets)).sum())
    gain, error = response("bicubic", scale, frequency)
    assert gain == pytest.approx(expected, abs=1e-6)
    assert error < 1e-6


@settings(deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    scale=st.sampled_from([1, 2, 4, 8]),
    mtf=st.floats(0.05, 0.9),
    place=st.tuples(st.integers(0, 11), st.integers(0, 14)),
    blocks=st.integers(1, 5),
)
def test_a_window_with_its_margin_equals_the_whole_scene(kind, scale, mtf, place, blocks):
    height, width = 12 * scale, 15 * scale
    hr = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(1))
    row, col = place
    rows, cols = min(blocks, 12 - row), min(blocks, 15 - col)
    whole = degrade(hr, scale, kind, mtf)[..., row : row + rows, col : col + cols]
    margin = margin_px(scale, kind, mtf)
    top, left = max(row * scale - margin, 0), max(col * scale - margin, 0)
    bottom = min((row + rows) * scale + margin, height)
    right = min((col + cols) * scale + margin, width)
    lr = degrade(hr[..., top:bottom, left:right], scale, kind, mtf)
    row, col = row - top // scale, col - left // scale
    assert_close(lr[..., row : row + rows, col : col + cols], whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("element", range(NUM_ELEMENTS))
def test_degradation_and_augmentation_commute(kind, element):
    hr = torch.rand(1, 3, 48, 48)
    assert_close(degrade(dihedral(hr, element), 4, kind), dihedral(degrade(hr, 4, kind), element))


def test_the_eight_elements_differ_and_turn_images_as_a_whole():
    image = torch.arange(9.0).reshape(1, 3, 3)
    turned = [dihedral(image, element) for element in range(NUM_ELEMENTS)]
    assert len({tuple(each.flatten().tolist()) for each in turned}) == NUM_ELEMENTS
    assert all(each.is_contiguous() for each in turned)
    assert turned[0] is image or torch.equal(turned[0], image)


def test_noise_has_its_deviation_and_follows_its_generator():
    hr = torch.zeros(1, 4, 256, 256)
    lr = degrade(hr, 4, noise_std=0.05, generator=torch.Generator().manual_seed(3))
    again = degrade(hr, 4, noise_std=0.05, generator=torch.Generator().manual_seed(3))
    assert torch.equal(lr, again)
    assert float(lr.std()) == pytest.approx(0.05, rel=0.03)


def test_what_does_not_divide_or_is_unknown_is_an_error():
    with pytest.raises(ValueError, match=r"\(30, 32\) is not a multiple of scale 4"):
        degrade(torch.zeros(1, 1, 30, 32), 4)
    with pytest.raises(ValueError, match="unknown degradation 'lanczos'"):
        degrade(torch.zeros(1, 1, 32, 32), 4, "lanczos")
