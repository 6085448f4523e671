"""LR against HR: shift, gain and bias."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.registration import phase_cross_correlation

from srgan_cli.data.batch import Batch
from srgan_cli.data.consistency import (
    Shift,
    compare,
    differences,
    disagreement,
    measure_shift,
    shift_words,
)
from srgan_cli.data.degradation import degrade
from srgan_cli.data.landscape import draw_landscape
from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry

REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real imagery in ../shared/data")
TEN_K = RADIOMETRIES["sen2_stretch_10k"]
NAMES = ("B04", "B03", "B02", "B08")


@pytest.fixture(scope="module")
def ground():
    """A landscape, stored units."""
    drawn = draw_landscape(336, np.random.default_rng(4))
    return torch.from_numpy(drawn.astype(np.float32))


def crop_of(ground, down, right, gain=1.0, bias=0.0, kind="area", noise=0.0, side=64):
    """HR, and LR that lies `down` and `right` HR pixels beside it."""
    hr = ground[:, 40 : 40 + 4 * side, 40 : 40 + 4 * side]
    seen = ground[:, 40 - down : 40 - down + 4 * side, 40 - right : 40 - right + 4 * side]
    lr = degrade(seen[None], 4, kind)[0]
    if noise:
        lr = lr + noise * torch.randn(lr.shape, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(1, 4 * side, 4 * side)
    return Batch(TEN_K.to_network(lr * gain + bias), TEN_K.to_network(hr), valid)


@settings(deadline=None, max_examples=25)
@given(
    down=st.integers(-12, 12),
    right=st.integers(-12, 12),
    kind=st.sampled_from(["area", "bicubic", "gaussian"]),
    gain=st.floats(0.5, 2),
)
def test_a_known_shift_is_found_to_a_twentieth_of_a_pixel(ground, down, right, kind, gain):
    found = compare([crop_of(ground, down, right, gain, 50, kind, noise=20)], 4, TEN_K).shift
    assert found is not None
    assert found.down == pytest.approx(down / 4, abs=0.06)
    assert found.right == pytest.approx(right / 4, abs=0.06)
    assert found.coherence > 0.3


def test_gain_and_bias_are_those_of_the_stored_values(ground):
    found = compare([crop_of(ground, 0, 0, gain=0.8, bias=150, noise=10)], 4, TEN_K)
    assert found.gain == pytest.approx([0.8] * 4, abs=0.03)
    mean = ground[:, 40:296, 40:296].mean(dim=(1, 2))
    assert found.bias == pytest.approx((150 - 0.2 * mean).tolist(), abs=5)
    assert min(found.correlation) > 0.98


def test_each_band_is_told_in_its_own_unit(ground):
    tenth = torch.tensor([1, 1, 1, 0.1])[:, None, None]
    crop = crop_of(ground, 0, 0, gain=0.8, bias=150)
    stored = [TEN_K.to_stored(image) * tenth for image in (crop.lr, crop.hr)]
    each = Radiometry("linear", (1 / 3000,) * 3 + (1 / 300,), (0.0,) * 4)
    lr, hr = (each.to_network(image) for image in stored)
    found = compare([Batch(lr, hr, crop.valid)], 4, each)
    whole = compare([crop], 4, TEN_K)
    assert found.gain == pytest.approx(whole.gain, abs=1e-3)
    assert found.bias[3] == pytest.approx(whole.bias[3] / 10, abs=0.1)


def test_a_half_pixel_is_allowed_and_more_is_not(ground):
    def verdict(down, **more):
        found = compare([crop_of(ground, down, -1, **more)], 4, TEN_K)
        return disagreement(found, TEN_K, NAMES, lr_pixel_m=40)

    assert verdict(0) == verdict(1) == ("", "")
    text, hint = verdict(4)
    found = re.fullmatch(
        r"LR lies (\S+) LR pixels, (\S+) m beside HR \((\S+) down, (\S+) left; "
        r"phase correlation 0\.9\d\); at most 0\.5 is allowed",
        text,
    )
    assert found
    assert [float(each) for each in found.groups()] == pytest.approx([1, 40, 1, 0.25], rel=0.05)
    assert "register LR to HR" in hint
    assert "at most 0.5 is allowed" in verdict(3)[0]


def test_other_units_other_ground_and_other_light_are_told(ground):
    unit = compare([crop_of(ground, 0, 0, gain=3.0)], 4, TEN_K)
    assert "B04 of LR is 3 times that of HR: another unit" in disagreement(unit, TEN_K, NAMES)[0]
    light = compare([crop_of(ground, 0, 0, gain=1.4, bias=-600)], 4, TEN_K)
    assert disagreement(light, TEN_K, NAMES) == ("", "")
    words = differences(light, TEN_K, NAMES)
    assert "LR has 1.40 (B04), 1.40 (B03)" in words
    assert "LR less HR is " in words
    crop, other = crop_of(ground, 0, 0), crop_of(ground.rot90(1, (1, 2)), 0, 0)
    mixed = compare([Batch(other.lr, crop.hr, crop.valid)], 4, TEN_K)
    assert mixed.shift is None
    assert "do not show the same ground" in disagreement(mixed, TEN_K, NAMES)[0]
    assert differences(compare([crop], 4, TEN_K), TEN_K, NAMES) == ""


def test_even_or_small_ground_tells_nothing():
    flat = torch.full((4, 64, 64), 0.3)
    noise = 1e-4 * torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(1))
    crop = Batch(degrade(flat[None], 4, "area")[0] + noise, flat, torch.ones(1, 64, 64))
    found = compare([crop], 4, TEN_K)
    assert found.shift is None
    assert disagreement(found, TEN_K, NAMES) == ("", "")
    tiny = Batch(flat[:, :8, :8], flat[:, :32, :32], torch.ones(1, 32, 32))
    assert compare([tiny], 4, TEN_K).shift is None


def test_invalid_pixels_take_no_part(ground):
    crop = crop_of(ground, 0, 0)
    valid = crop.valid.clone()
    valid[:, :128] = 0
    lr = crop.lr.clone()
    lr[:, :32] = 7
    found = compare([Batch(lr, crop.hr, valid)], 4, TEN_K)
    assert found.gain == pytest.approx([1] * 4, abs=1e-3)
    assert found.shift is None
    nothing = compare([Batch(lr, crop.hr, torch.zeros_like(valid))], 4, TEN_K)
    assert all(math.isnan(value) for value in (*nothing.gain, *nothing.bias))


def test_words_for_a_shift():
    assert shift_words(Shift(-1.0, 1.99, 0.9)) == "1.00 up, 1.99 right"
    assert shift_words(Shift(0.0, -0.5, 0.9)) == "0.00 down, 0.50 left"


@pytest.mark.parametrize("side", [16, 32, 64])
def test_different_ground_is_not_taken_for_shifted_ground(side):
    grounds = [
        draw_landscape(288, np.random.default_rng(seed)).reshape(4, 72, 4, 72, 4).mean(axis=(2, 4))
        for seed in range(8)
    ]
    cut = [ground[:, :side, :side] for ground in grounds]
    found = [measure_shift([(cut[i], cut[j])]) for i in range(8) for j in range(8) if i != j]
    assert found.count(None) >= 55
    same = [measure_shift([(ground[:, 2 : 2 + side, 1 : 1 + side], ground[:, :side, :side])])
            for ground in grounds]  # fmt: skip
    # Of 16 pixels two are not shared: what is found is found less exactly.
    error = 0.4 if side == 16 else 0.1
    near = [e for e in same if e and max(abs(e.down + 2), abs(e.right + 1)) < error]
    assert len(near) >= 7


@real
def test_a_real_pair_lies_where_another_implementation_finds_it():
    with rasterio.open(REAL / "pairs" / "spacenet_ms1_1m_float64.tif") as dataset:
        lr = dataset.read([1, 2, 3])
    with rasterio.open(REAL / "pairs" / "spacenet_pan1_0p5m.tif") as dataset:
        pan = dataset.read(1).astype(np.float64).reshape(300, 2, 300, 2).mean(axis=(1, 3))
    found = measure_shift([(lr, np.stack([pan] * 3))])
    taper = np.outer(np.hanning(300), np.hanning(300))
    others = [
        phase_cross_correlation(
            (band - band.mean()) * taper,
            (pan - pan.mean()) * taper,
            upsample_factor=100,
            normalization="phase",
        )[0]
        for band in lr
    ]
    # Pan lies half a multispectral pixel off, as the two cameras' grids do.
    assert found.right == pytest.approx(np.mean([other[1] for other in others]), abs=0.1)
    assert found.down == pytest.approx(np.mean([other[0] for other in others]), abs=0.1)
    assert found.right > 0.4
