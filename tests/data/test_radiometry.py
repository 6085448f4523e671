import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from srgan_cli.config import dump_config, load_text
from srgan_cli.data import fitting
from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry, build_radiometry
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError

REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real imagery in ../shared/data")

numbers = st.floats(1e-4, 1e4)
offsets = st.floats(-5, 5)
radiometries = st.sampled_from(list(RADIOMETRIES.values())) | st.integers(1, 4).flatmap(
    lambda bands: st.builds(
        Radiometry,
        st.just("percentile"),
        st.tuples(*[numbers] * bands),
        st.tuples(*[offsets] * bands),
        st.none() | st.tuples(*[numbers] * bands),
        st.tuples(*[st.floats(-50, 0)] * bands),
    )
)


@settings(deadline=None)
@given(radiometries, st.integers(1, 3))
def test_there_and_back_for_arrays_and_tensors_alike(radiometry, rows):
    bands = radiometry.num_bands or 3
    stored = np.random.default_rng(rows).uniform(1, 5000, (2, bands, rows, 4))
    network = radiometry.to_network(stored)
    np.testing.assert_allclose(radiometry.to_stored(network), stored, rtol=1e-6, atol=1e-3)
    tensor = torch.from_numpy(stored)
    assert_close(radiometry.to_network(tensor), torch.from_numpy(network))
    assert_close(radiometry.to_stored(radiometry.to_network(tensor)), tensor, rtol=1e-6, atol=1e-3)
    assert radiometry.to_network(tensor.float()).dtype == torch.float32
    assert radiometry.to_network(stored.astype(np.float32)).dtype == np.float32


@given(radiometries)
def test_json_and_back(radiometry):
    assert Radiometry.from_dict(json.loads(json.dumps(radiometry.as_dict()))) == radiometry


def test_each_band_has_its_own_numbers():
    radiometry = Radiometry("linear", (0.5, 2.0), (0.0, -1.0))
    image = torch.full((1, 2, 3, 3), 10.0)
    assert radiometry.to_network(image)[0, :, 0, 0].tolist() == [5.0, 19.0]
    difference = radiometry.difference_to_stored(torch.ones(2, 3, 3))
    assert difference[:, 0, 0].tolist() == [2.0, 0.5]


def test_headers_without_usual_min_and_with_wrong_numbers():
    old = {"name": "uint8", "scale": 1 / 255, "offset": 0.0, "usual_max": 255.0}
    assert Radiometry.from_dict(old) == RADIOMETRIES["uint8"]
    with pytest.raises(ValueError, match="different numbers of bands"):
        Radiometry.from_dict(old | {"scale": [1, 2], "offset": [0, 0, 0]})


def test_a_unit_is_judged_band_by_band_and_from_below_zero():
    per_band = Radiometry("percentile", (1.0, 1.0), (0.0, 0.0), (4000.0, 40.0))
    assert per_band.misfits([3000, 30]) == ()
    assert per_band.misfits([3000, 3000]) == (1,)
    assert per_band.misfits([0.3, 30]) == (0,)
    assert per_band.fits(3000)
    assert not per_band.fits(1e6)
    decibel = Radiometry("linear", 1.0, 0.0, 0.0, -30.0)
    assert decibel.fits(-5.0)
    assert not decibel.fits(-31.0)


@pytest.fixture
def skewed(write_raster):
    """Two bands in different units, with an invalid corner of absurd values."""

    def write(name, seed=0, factor=1.0, size=128):
        rng = np.random.default_rng(seed)
        image = np.stack([rng.gamma(4, 200, (size, size)), rng.normal(40, 5, (size, size))]).astype(
            np.float32
        )
        image[0] *= factor
        image[:, :20, :20] = -9999
        return str(write_raster(name, image, nodata=-9999))

    return write


def fitted(config, name, paths, **data):
    return open_training_data(
        config(hr=paths, in_bands=2, val_hr=paths[0], normalization=name, **data)
    )


def test_percentiles_become_0_and_1_in_each_band(skewed, config):
    paths = [skewed("a.tif"), skewed("b.tif", seed=1)]
    data = fitted(config, {"name": "percentile", "percentiles": [5, 95]}, paths)
    rng = np.random.default_rng
    for band, draw in enumerate(
        (lambda r: r.gamma(4, 200, 200_000), lambda r: r.normal(40, 5, 200_000))
    ):
        low, high = np.percentile(draw(rng(9)), [5, 95])
        scale, offset = data.radiometry.scale[band], data.radiometry.offset[band]
        assert low * scale + offset == pytest.approx(0, abs=0.02)
        assert high * scale + offset == pytest.approx(1, abs=0.02)
    assert data.radiometry.usual_max[1] == pytest.approx(55, abs=2)
    assert data.radiometry.usual_min == (0, 0)


def test_mean_and_deviation_become_0_and_1_in_each_band(skewed, config):
    data = fitted(config, "mean_std", [skewed("a.tif")])
    hr = next(data.train_batches(0, 1)).hr
    assert data.radiometry.scale[1] == pytest.approx(1 / 5, rel=0.05)
    assert data.radiometry.offset[0] == pytest.approx(-2, abs=0.1)
    assert hr.mean().abs() < 0.5
    zero = data.radiometry.to_network(np.zeros((2, 1, 1)))[:, 0, 0]
    np.testing.assert_allclose(zero, data.radiometry.offset)


def test_a_fit_is_the_same_each_time_and_stays_in_the_configuration(skewed, config, monkeypatch):
    paths = [skewed("a.tif"), skewed("b.tif", seed=1)]
    first, again = (fitted(config, "percentile", paths) for _ in range(2))
    assert first.radiometry == again.radiometry
    section = first.config.data.normalization
    assert (section.scale, section.offset) == (first.radiometry.scale, first.radiometry.offset)
    written = load_text(dump_config(first.config), "config.yaml")
    assert written.warnings == ()
    assert written.config == first.config
    # Other scenes, and no way to look at them: the numbers stand.
    monkeypatch.setattr("srgan_cli.data.fitting.fit_radiometry", None)
    other = {"hr": (skewed("c.tif", 3, factor=2),), "val_hr": (paths[0],)}
    moved = written.config.model_copy(update={"data": written.config.data.model_copy(update=other)})
    assert open_training_data(moved).radiometry == first.radiometry


def test_only_training_pixels_are_fitted(skewed, config):
    paths = [skewed("a.tif"), skewed("b.tif")]
    alone = fitted(config, "percentile", paths[:1])
    data = open_training_data(
        config(
            hr=paths[0],
            in_bands=2,
            val_hr=skewed("val.tif", 5, factor=3),
            normalization="percentile",
        )
    )
    assert data.radiometry == alone.radiometry


def test_every_scene_is_in_a_bounded_sample(skewed, config, monkeypatch):
    paths = [skewed(f"{i}.tif", seed=i, factor=1 + i, size=160) for i in range(4)]
    monkeypatch.setattr(fitting, "SAMPLE_PIXELS", 4 * 2 * 32**2)
    monkeypatch.setattr(fitting, "PATCH_PX", 32)
    seen = []
    original = fitting.read_pixels

    def spy(dataset, window, *others):
        seen.append((dataset.name, window.width * window.height))
        return original(dataset, window, *others)

    monkeypatch.setattr(fitting, "read_pixels", spy)
    fitted(config, "mean_std", paths)
    assert {name for name, _ in seen} == set(paths)
    assert sum(size for _, size in seen) == 4 * 2 * 32**2


def test_a_band_without_a_range_is_refused(write_raster, config):
    image = np.random.default_rng(0).integers(300, 4000, (2, 64, 64)).astype(np.uint16)
    image[1] = 7
    path = str(write_raster("flat.tif", image))
    for name in fitting.FITTED:
        with pytest.raises(RefusedError, match=f"{name}: band 2 is 7 in .*flat.tif") as caught:
            fitted(config, name, [path])
        assert "Data.bands" in caught.value.hint


def test_a_scene_in_another_unit_than_the_fit_is_named_with_its_band(skewed, config):
    good, bad = skewed("good.tif"), skewed("percent.tif", factor=1e-4)
    data = fitted(config, "percentile", [good])
    numbers = data.config.data.normalization.model_dump()
    with pytest.raises(RefusedError) as caught:
        fitted(config, numbers, [bad])
    assert "percent.tif holds float32 values of" in caught.value.message
    assert "in band 1 (99.8 %" in caught.value.message
    assert "bring it into the unit of the other files" in caught.value.hint
    assert "Data.normalization percentile is for values up to about" in caught.value.message
    with pytest.raises(RefusedError, match="percent.tif holds"):
        fitted(config, "percentile", [good, good.replace("good", "percent")])


@pytest.mark.parametrize(
    ("dtype", "top", "normalization", "fits"),
    [
        ("uint8", 255, "sen2_stretch_10k", False),
        ("uint8", 255, "normalise_10k", False),
        ("uint8", 255, "uint8", True),
        ("uint8", 5, "zero_one", False),
        ("int16", 6, "sen2_stretch", False),
        ("int16", 4000, "normalise_10k_signed", True),
        ("uint16", 60000, "normalise_10k", True),
        ("uint16", 60000, "uint8", False),
        ("float32", 0.4, "normalise_s2", True),
        ("float32", 0.4, "sen2_stretch_10k", False),
        ("float64", 4000.0, "sen2_stretch", False),
        ("float64", 4000.0, "identity", True),
        ("uint8", 255, {"name": "linear", "scale": 0.01, "usual_max": 10000}, False),
        ("uint8", 255, {"name": "linear", "scale": 0.01, "usual_max": 200}, True),
        ("uint8", 255, {"name": "linear", "scale": 0.01}, True),
    ],
)
def test_the_dtype_and_the_range_must_fit_the_normalization(
    write_raster, config, dtype, top, normalization, fits
):
    rng = np.random.default_rng(0)
    image = (rng.random((1, 64, 64)) * top).astype(dtype)
    path = str(write_raster("a.tif", image))
    cfg = config(hr=path, in_bands=1, val_hr=path, normalization=normalization)
    if fits:
        open_training_data(cfg)
        return
    with pytest.raises(RefusedError, match=f"a.tif holds {dtype} values of") as caught:
        open_training_data(cfg)
    assert "set Data.normalization: " in caught.value.hint


def test_build_radiometry_tells_what_is_to_be_fitted(config):
    assert build_radiometry("percentile") is None
    assert build_radiometry(config(normalization={"name": "mean_std"}).data.normalization) is None
    given = config(in_bands=2, normalization={"scale": [1, 2], "offset": -1}).data.normalization
    assert build_radiometry(given) == Radiometry("linear", (1.0, 2.0), -1.0)


@real
@pytest.mark.parametrize("name", fitting.FITTED)
def test_real_imagery_with_nodata_and_negative_values(config, name):
    path = str(REAL / "scenes" / "landsat8_sr_rondonia_6band_int16.tif")
    data = open_training_data(config(hr=path, in_bands=6, normalization=name))
    assert all(math.isfinite(value) for value in data.radiometry.scale)
    hr = data.validation().hr
    spread = hr.transpose(0, 1).flatten(1).std(dim=1)
    assert bool(((spread > 0.05) & (spread < 3)).all())
