"""Which crops are trained on, and what is done to them by chance."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data.crops import sample_numbers
from srgan_cli.data.training import open_training_data


@given(
    world=st.integers(1, 8),
    batch_size=st.integers(1, 64),
    first=st.integers(0, 10**7),
    steps=st.integers(1, 6),
)
def test_no_two_ranks_or_steps_share_a_sample(world, batch_size, first, steps):
    drawn = [
        sample_numbers(step, rank, world, batch_size)
        for step, rank in itertools.product(range(first, first + steps), range(world))
    ]
    together = list(itertools.chain(*drawn))
    assert len(set(together)) == len(together) == steps * world * batch_size
    # Together the ranks walk through the samples in order: more of them, same data.
    assert sorted(together) == list(range(together[0], together[0] + len(together)))


@pytest.fixture
def busy(scene, config):
    """Everything that is random switched on."""

    def make(**data):
        chosen = {
            "hr": [str(scene("a.tif")), str(scene("b.tif"))],
            "degradation": {
                "kind": "gaussian",
                "mtf_nyquist": [0.15, 0.4],
                "noise_std": [0, 0.05],
                "noise_signal": [0, 0.01],
                "order": ["noise", "blur", "noise"],
            },
            "band_dropout": 0.4,
            "min_texture": 0.05,
        }
        return open_training_data(config(**(chosen | data)))

    return make


def equal(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_all_that_is_random_follows_from_seed_step_and_rank(busy, num_workers):
    alone = list(busy().train_batches(0, 4, rank=1, world=2))
    again = list(busy(num_workers=num_workers).train_batches(0, 4, rank=1, world=2))
    resumed = list(busy(num_workers=num_workers).train_batches(2, 4, rank=1, world=2))
    assert all(map(equal, alone, again))
    assert all(map(equal, alone[2:], resumed))
    other = list(busy().train_batches(0, 4, rank=0, world=2))
    crops = [crop for batch in (*alone, *other) for crop in batch.lr]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(crops, 2))


def test_dropped_bands_hold_a_stored_zero_in_lr_alone(scene, config):
    path = str(scene("a.tif"))
    settings = {
        "hr": path,
        "val_hr": path,
        "train_batch_size": 100,
        "normalization": {"scale": [1e-3] * 4, "offset": [-1.0, -2.0, -3.0, -4.0]},
    }
    plain = open_training_data(config(**settings))
    dropped = open_training_data(config(band_dropout=0.6, **settings))
    before, after = (next(data.train_batches(0, 1)) for data in (plain, dropped))
    assert torch.equal(before.hr, after.hr)
    zero = torch.tensor([-1.0, -2.0, -3.0, -4.0]).reshape(4, 1, 1)
    blank = (after.lr == zero).all(dim=(2, 3))
    assert torch.equal(after.lr[~blank], before.lr[~blank])
    assert not blank.all(dim=1).any()
    # Four dropped at once, 13 %, become three.
    expected = 0.6 - 0.6**4 / 4
    assert float(blank.float().mean()) == pytest.approx(expected, abs=0.06)
    assert torch.equal(plain.validation().lr, dropped.validation().lr)


def half_flat(write_raster, texture=200):
    rng = np.random.default_rng(0)
    image = np.full((2, 256, 256), 1000.0)
    image += np.linspace(0, 3000, 256)[None, None, :]
    image[1, :, 128:] += rng.normal(0, texture, (256, 128))
    return str(write_raster("coast.tif", image.astype(np.uint16)))


def test_crops_with_nearly_no_texture_are_passed_over(write_raster, config):
    path = half_flat(write_raster)
    settings = {"hr": path, "in_bands": 2, "val_hr": path, "train_batch_size": 80}

    def textures(**more):
        hr = next(open_training_data(config(**settings, **more)).train_batches(0, 1)).hr
        steps = [hr.diff(dim=2).square().flatten(2), hr.diff(dim=3).square().flatten(2)]
        return torch.cat(steps, dim=2).mean(dim=2).sqrt().amax(dim=1)

    without = textures()
    assert 20 < int((without < 0.02).sum()) < 60
    # The slope of 12 a pixel is no texture; the noise of 200 * sqrt(2) is.
    kept = textures(min_texture=0.05)
    assert float(kept.min()) >= 0.05
    assert torch.equal(textures(min_texture=0.0), without)


def test_an_unreachable_texture_takes_the_best_instead_of_none(write_raster, config):
    path = half_flat(write_raster)
    settings = {"hr": path, "in_bands": 2, "val_hr": path, "train_batch_size": 40}
    data = open_training_data(config(min_texture=100.0, **settings))
    hr = next(data.train_batches(0, 1)).hr
    assert float(hr.diff(dim=2).square().mean(dim=(2, 3)).amax(dim=1).min()) > 0.05**2


def test_invalid_pixels_are_no_texture(write_raster, config):
    image = np.full((1, 256, 256), 1000, np.uint16)
    image[:, :, ::2] = 0
    image[:, :, 128:] = np.random.default_rng(0).integers(900, 1100, (256, 128))
    path = str(write_raster("stripes.tif", image, nodata=0))
    data = open_training_data(
        config(
            hr=path,
            in_bands=1,
            val_hr=path,
            min_valid_fraction=0.3,
            min_texture=0.005,
            train_batch_size=60,
        )
    )
    batch = next(data.train_batches(0, 1))
    assert float(batch.valid.mean(dim=(1, 2, 3)).min()) > 0.5


def test_the_largest_nodata_value_takes_no_part(write_raster, config):
    image = np.random.default_rng(0).uniform(0.1, 0.4, (1, 96, 96)).astype(np.float32)
    lowest = float(np.finfo(np.float32).min)
    image[:, :50, :50] = lowest
    path = str(write_raster("a.tif", image, nodata=lowest))
    settings = {"in_bands": 1, "val_hr": path, "normalization": "sen2_stretch"}
    data = open_training_data(config(hr=path, min_texture=0.01, **settings))
    assert bool(torch.isfinite(next(data.train_batches(0, 1)).hr).all())


@pytest.mark.parametrize(
    ("values", "text"),
    [({"band_dropout": 1.0}, "less than 1"), ({"min_texture": -1}, "greater than or equal")],
)
def test_probabilities_and_limits_have_a_range(config, values, text):
    with pytest.raises(ValueError, match=text):
        config(**values)
