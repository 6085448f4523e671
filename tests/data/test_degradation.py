import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.testing import assert_close

from srgan_cli.config.data import DegradationConfig
from srgan_cli.data.augment import NUM_ELEMENTS, dihedral
from srgan_cli.data.degradation import (
    Degradation,
    build_degradation,
    degrade,
    gaussian_sigma,
    margin_px,
)
from srgan_cli.errors import RefusedError

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


def make(hr, seed=0, **options):
    """LR of a whole image by `Degradation`."""
    degradation = Degradation(4, **options)
    rows, cols = (slice(0, side // 4) for side in hr.shape[-2:])
    return degradation.make_lr(hr, rows, cols, seed)


@pytest.mark.parametrize("frequency", [0.04, 0.1, 0.125])
def test_each_band_has_its_own_transfer_function(frequency):
    values = (0.15, 0.26, 0.4)
    image = wave(128, frequency, 0.3)[0].expand(3, -1, -1)
    lr = make(image, kind="gaussian", mtf_nyquist=tuple((each, each) for each in values))
    centres = (torch.arange(8, 24, dtype=torch.float64) + 0.5) * 4 - 0.5
    ideal = torch.cos(2 * math.pi * frequency * centres + 0.3)
    for band, mtf in enumerate(values):
        gain = (lr[band, 16, 8:24] @ ideal) / (ideal @ ideal)
        sigma = gaussian_sigma(4, mtf)
        expected = math.exp(-2 * (math.pi * sigma * frequency) ** 2)
        assert float(gain) == pytest.approx(expected, abs=1e-3)


def test_one_number_for_all_bands_equals_it_given_for_each():
    hr = torch.rand(1, 3, 32, 48)
    assert_close(degrade(hr, 4, "gaussian", 0.3), degrade(hr, 4, "gaussian", (0.3, 0.3, 0.3)))


def test_bands_of_sentinel_2_are_known_by_name():
    section = DegradationConfig(kind="gaussian", mtf_bands="sentinel2")
    names = ("B04", "b3", "B2, central wavelength 490 nm", "B8A", "B12")
    found = build_degradation(section, 4, names)
    assert found.mtf_nyquist == tuple((v, v) for v in (0.24, 0.28, 0.26, 0.33, 0.23))
    assert found.margin_px == margin_px(4, "gaussian", 0.23)
    for name in ("red", "B10", "B13", "band 1", "B041"):
        with pytest.raises(RefusedError, match=f"no figure for band '{name}'") as caught:
            build_degradation(section, 4, (name,))
        assert "Data.band_names" in caught.value.hint
    # Not read, not refused.
    assert (
        build_degradation(DegradationConfig(mtf_bands="sentinel2"), 4, ("red",)).kind == "bicubic"
    )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**63), low=st.floats(0.1, 0.5), width=st.floats(0, 0.4))
def test_a_range_is_drawn_from_the_seed_and_stays_inside(seed, low, width):
    hr = wave(64, 0.08, 0.0)[0]
    drawn = make(hr, seed, kind="gaussian", mtf_nyquist=((low, low + width),))
    again = make(hr, seed, kind="gaussian", mtf_nyquist=((low, low + width),))
    assert torch.equal(drawn, again)
    ends = [
        make(hr, kind="gaussian", mtf_nyquist=((each, each),))[0, 8].abs().max()
        for each in (low, low + width)
    ]
    assert ends[0] - 1e-9 <= drawn[0, 8].abs().max() <= ends[1] + 1e-9


def test_ranges_fill_their_width():
    hr = torch.zeros(1, 64, 64)
    spreads = [float(make(hr, seed, noise_std=(0.0, 0.1)).std()) for seed in range(60)]
    assert min(spreads) < 0.015
    assert max(spreads) > 0.085
    assert sum(spreads) / 60 == pytest.approx(0.05, abs=0.012)


def test_noise_grows_with_the_signal_above_zero():
    flat = torch.cat([torch.full((1, 512, 256), level) for level in (-0.5, 0.0, 0.5, 2.0)])
    lr = make(flat, noise_std=(0.01, 0.01), noise_signal=(4e-4, 4e-4))
    variances = lr.var(dim=(1, 2)).tolist()
    expected = [1e-4, 1e-4, 1e-4 + 4e-4 * 0.5, 1e-4 + 4e-4 * 2]
    assert variances == pytest.approx(expected, rel=0.05)
    zero = torch.tensor([-1.0, 0.0, 0.0, 2.0]).reshape(4, 1, 1)
    rows, cols = slice(0, 128), slice(0, 64)
    lr = Degradation(4, noise_signal=(4e-4, 4e-4)).make_lr(flat, rows, cols, 0, zero)
    assert lr.var(dim=(1, 2)).tolist() == pytest.approx([2e-4, 0, 2e-4, 0], rel=0.05, abs=1e-9)


def test_noise_before_the_blur_is_averaged_and_after_it_is_not():
    hr = torch.zeros(1, 256, 256)
    levels = {"kind": "area", "noise_std": (0.04, 0.04)}
    assert float(make(hr, **levels).std()) == pytest.approx(0.04, rel=0.05)
    before = make(hr, order=("noise", "blur"), **levels)
    assert float(before.std()) == pytest.approx(0.01, rel=0.05)
    both = make(hr, order=("noise", "blur", "noise"), **levels)
    assert float(both.var()) == pytest.approx(0.04**2 + 0.01**2, rel=0.08)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"mtf_nyquist": [0.35, 0.2]}, "mtf_nyquist .0.35, 0.2. must rise"),
        ({"noise_std": [0.1, 0.0]}, "noise_std .0.1, 0. must rise"),
        ({"mtf_nyquist": [0.2, 1.0]}, "less than 1"),
        ({"mtf_bands": "landsat"}, "sentinel2"),
        ({"order": ["noise"]}, "order names blur once"),
        ({"order": ["blur", "noise", "blur"]}, "order names blur once"),
        ({"order": ["blur"], "noise_std": 0.1}, "order has no noise"),
    ],
)
def test_degradations_that_make_no_sense_are_refused(values, text):
    with pytest.raises(ValidationError, match=text):
        DegradationConfig.model_validate(values)
