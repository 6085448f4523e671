import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from rasterio.transform import Affine
from torch.testing import assert_close

from srgan_cli.data.augment import NUM_ELEMENTS, dihedral
from srgan_cli.data.degradation import degrade
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError

REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real imagery in ../shared/data")


def first_batch(data):
    batches = data.train_batches(0, 1)
    batch = next(batches)
    batches.close()
    return batch


def stored(path):
    with rasterio.open(path) as dataset:
        return torch.from_numpy(dataset.read().astype(np.float32))


def is_cut_from(crop, image):
    """Whether a crop, turned back by one of the eight elements, lies somewhere in an image."""
    side = crop.shape[-1]
    windows = image[0].unfold(0, side, 1).unfold(1, side, 1)
    for element in range(NUM_ELEMENTS):
        turned = dihedral(crop, element)
        close = (windows - turned[0]).abs().amax(dim=(-2, -1)) < 1e-4
        for row, col in close.nonzero().tolist():
            if torch.allclose(image[:, row : row + side, col : col + side], turned, atol=1e-4):
                return True
    return False


def refused(config):
    with pytest.raises(RefusedError) as caught:
        open_training_data(config)
    assert caught.value.hint
    return caught.value


def test_batches_have_the_promised_shape_and_units(scene, config):
    paths = [scene("a.tif"), scene("b.tif")]
    data = open_training_data(config(hr=[str(path) for path in paths]))
    batch = first_batch(data)
    assert batch.lr.shape == (3, 4, 8, 8)
    assert batch.hr.shape == (3, 4, 32, 32)
    assert batch.valid.shape == (3, 1, 32, 32)
    assert {image.dtype for image in batch} == {torch.float32}
    assert float(batch.valid.min()) == 1
    images = [stored(path) / 3000 for path in paths]
    assert all(any(is_cut_from(crop, image) for image in images) for crop in batch.hr)


@pytest.mark.parametrize("kind", ["bicubic", "area", "gaussian"])
def test_lr_is_that_of_the_whole_degraded_scene(scene, config, kind):
    path = scene("a.tif", rows=99, cols=114)
    settings = {"augment": False, "degradation": kind, "val_hr": str(path), "train_batch_size": 20}
    data = open_training_data(config(hr=str(path), **settings))
    whole = degrade(stored(path)[None, :, :96, :112] / 3000, 4, kind)[0]
    for crops in (first_batch(data).lr, data.validation().lr):
        for crop in crops:
            windows = whole.unfold(1, 8, 1).unfold(2, 8, 1)
            distance = (windows - crop[:, None, None]).abs().amax(dim=(0, 3, 4))
            assert float(distance.min()) < 1e-5


def test_lr_of_bands_of_different_sharpness_is_that_of_the_whole_scene(scene, config):
    path, mtf = scene("a.tif", rows=99, cols=114), [0.05, 0.2, 0.3, 0.6]
    degradation = {"kind": "gaussian", "mtf_bands": mtf}
    settings = {"augment": False, "val_hr": str(path), "train_batch_size": 20}
    data = open_training_data(config(hr=str(path), degradation=degradation, **settings))
    whole = degrade(stored(path)[None, :, :96, :112] / 3000, 4, "gaussian", mtf)[0]
    for crop in (*first_batch(data).lr, *data.validation().lr):
        windows = whole.unfold(1, 8, 1).unfold(2, 8, 1)
        distance = (windows - crop[:, None, None]).abs().amax(dim=(0, 3, 4))
        assert float(distance.min()) < 1e-5


def test_augmentation_turns_lr_hr_and_mask_alike(write_raster, config):
    # A ramp tells its orientation: LR must lie on the same ramp as HR.
    rows, cols = np.mgrid[:96, :96]
    image = np.stack([300 + 20 * rows, 300 + 20 * cols]).astype(np.uint16)
    image[:, 40:50, 20:60] = 0
    path = write_raster("ramp.tif", image, nodata=0)
    data = open_training_data(
        config(hr=str(path), in_bands=2, val_hr=str(path), degradation="area", train_batch_size=32)
    )
    batch = first_batch(data)
    assert 0.5 < float(batch.valid.mean()) < 1
    whole = batch.valid.amin(dim=(1, 2, 3)) == 1
    assert whole.sum() > 3
    assert_close(torch.nn.functional.avg_pool2d(batch.hr[whole], 4), batch.lr[whole])
    # Invalid pixels hold copies of valid ones; where HR is valid it is the ramp.
    falls = (batch.hr[:, :, 1:] - batch.hr[:, :, :-1]).abs()
    both = (batch.valid[:, :, 1:] * batch.valid[:, :, :-1]).expand_as(falls) == 1
    assert float((falls[both] * (falls[both] - 20 / 3000)).abs().max()) < 1e-4
    assert float(batch.hr.min()) >= 0.099


def test_the_crops_are_a_function_of_seed_step_and_rank(scene, config):
    paths = [str(scene("a.tif")), str(scene("b.tif"))]
    data = open_training_data(config(hr=paths))
    batches = list(data.train_batches(0, 4))
    resumed = list(data.train_batches(2, 4))
    for here, there in zip(batches[2:], resumed, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    assert not torch.equal(batches[0].hr, batches[1].hr)
    other = open_training_data(config(hr=paths, seed=1))
    assert not torch.equal(batches[0].hr, next(other.train_batches(0, 1)).hr)


def test_ranks_share_the_samples_of_a_step_among_them(scene, config):
    paths = [str(scene("a.tif")), str(scene("b.tif"))]
    data = open_training_data(config(hr=paths, train_batch_size=6))
    alone = list(data.train_batches(0, 3))
    for world in (2, 3):
        shares = [list(data.train_batches(0, 3, rank, world)) for rank in range(world)]
        for step, batch in enumerate(alone):
            together = torch.cat([batches[step].hr for batches in shares])
            assert torch.equal(batch.hr, together)


def test_scenes_count_by_their_valid_area(write_raster, config):
    def flat(name, value, **options):
        return str(write_raster(name, np.full((1, 96, 96), value, np.uint16), **options))

    mask = np.full((96, 96), 255, np.uint8)
    mask[:, 48:] = 0
    paths = [flat("full.tif", 1000), flat("half.tif", 2000, mask=mask)]
    data = open_training_data(
        config(
            hr=paths,
            in_bands=1,
            val_hr=flat("val.tif", 500),
            normalization="normalise_10k",
            train_batch_size=300,
        )
    )
    means = first_batch(data).hr.mean(dim=(1, 2, 3))
    assert float((means > 0.15).float().mean()) == pytest.approx(1 / 3, abs=0.08)


def test_crops_hold_enough_valid_pixels(write_raster, config):
    image = np.full((1, 256, 256), 1000, np.uint16)
    image[:, :, :200] = 0
    image[:, :60] = 0
    path = str(write_raster("coast.tif", image, nodata=0))
    data = open_training_data(
        config(hr=path, in_bands=1, val_hr=path, min_valid_fraction=0.6, train_batch_size=100)
    )
    fractions = first_batch(data).valid.mean(dim=(1, 2, 3))
    assert float((fractions >= 0.6).float().mean()) > 0.98
    assert float(data.validation().valid.mean(dim=(1, 2, 3)).min()) >= 0.6
    assert data.steps_per_epoch == math.ceil(196 * 56 / 32**2 / 100)


def test_whole_scenes_are_held_back_by_the_seed(scene, config):
    paths = [str(scene(f"{i}.tif")) for i in range(10)]

    def held(seed, fraction=0.2):
        data = open_training_data(config(hr=paths, seed=seed, val_fraction=fraction))
        roles = {row[0]: row[1] for row in data.describe()}
        assert set(roles) == set(paths)
        return {path for path, role in roles.items() if role == "val"}

    assert len(held(0)) == 2
    assert held(0) == held(0)
    assert len({frozenset(held(seed)) for seed in range(4)}) > 1
    assert len(held(0, 0.01)) == 1


@pytest.mark.parametrize("kind", ["bicubic", "gaussian"])
def test_a_single_scene_is_cut_with_no_pixel_on_both_sides(write_raster, config, kind):
    # Every row has its own value: LR tells which rows it was made of.
    image = np.full((1, 256, 64), 1000, np.uint16)
    changed = image.copy()
    changed[:, 170:] = 3000
    settings = {"in_bands": 1, "degradation": kind, "val_fraction": 0.25, "train_batch_size": 200}
    plain = open_training_data(config(hr=str(write_raster("a.tif", image)), **settings))
    other = open_training_data(config(hr=str(write_raster("b.tif", changed)), **settings))
    assert "only one scene: its last 64 of 256 rows" in plain.warnings[0]
    # The gap before row 192: no training crop knows what lies below row 170 or so.
    end = 192 - 2 * {"bicubic": 8, "gaussian": 8}[kind]
    assert end > 170
    assert float(first_batch(other).hr.max()) > 0.9
    batch = open_training_data(
        config(hr=str(_with_rows(write_raster, image, end + 8, 3000)), **settings)
    )
    assert torch.equal(first_batch(batch).lr, first_batch(plain).lr)
    assert not torch.equal(batch.validation().lr, plain.validation().lr)


def _with_rows(write_raster, image, first, value):
    changed = image.copy()
    changed[:, first:] = value
    return write_raster(f"rows{first}.tif", changed)


def test_validation_crops_are_fixed_spread_and_do_not_overlap(write_raster, config):
    image = np.arange(128 * 160).reshape(1, 128, 160).astype(np.uint16)
    path = str(write_raster("a.tif", image))
    settings = {"in_bands": 1, "normalization": "identity", "val_hr": path}
    data = open_training_data(config(hr=path, val_crops=8, **settings))
    batch = data.validation()
    assert batch.hr.shape == (8, 1, 32, 32)
    assert torch.equal(batch.hr, data.validation().hr)
    assert batch.hr.unique().numel() == 8 * 32 * 32
    everything = open_training_data(config(hr=path, val_crops=100, **settings)).validation()
    assert everything.hr.shape[0] == 20


def test_noise_is_that_of_the_sample(scene, config):
    path = str(scene("a.tif"))
    settings = {"val_hr": path, "augment": False}
    clean = open_training_data(config(hr=path, **settings))
    noise = {"kind": "bicubic", "noise_std": 0.02}
    noisy = open_training_data(config(hr=path, degradation=noise, **settings))
    difference = first_batch(noisy).lr - first_batch(clean).lr
    assert float(difference.std()) == pytest.approx(0.02, rel=0.15)
    assert torch.equal(first_batch(noisy).lr, first_batch(noisy).lr)
    assert torch.equal(noisy.validation().lr, noisy.validation().lr)
    assert len({round(float(crop.sum()), 4) for crop in difference}) == 3


def paired(write_raster, name, scale=2, rows=64, cols=64, shift_m=0.0, **lr_options):
    rng = np.random.default_rng(5)
    lr = rng.integers(300, 4000, (2, rows // scale, cols // scale)).astype(np.uint16)
    hr = lr.repeat(scale, 1).repeat(scale, 2)
    at = Affine(2.5 * scale, 0, 500_000 + shift_m, 0, -2.5 * scale, 5_000_000)
    return (
        write_raster(f"hr/{name}.tif", hr),
        write_raster(f"lr/{name}.tif", lr, **({"transform": at} | lr_options)),
    )


def test_given_lr_is_cut_where_hr_is(write_raster, config, tmp_path):
    mask = np.full((32, 32), 255, np.uint8)
    mask[4, 4] = 0
    paired(write_raster, "a", mask=mask)
    paired(write_raster, "b", mask=mask)
    data = open_training_data(
        config(
            scale=2,
            in_bands=2,
            root_dir=str(tmp_path),
            hr="hr",
            lr="lr",
            train_batch_size=16,
            num_workers=0,
        )
    )
    batch = first_batch(data)
    grown = batch.lr.repeat_interleave(2, 2).repeat_interleave(2, 3)
    known = (batch.valid == 1).expand_as(grown)
    assert torch.equal(grown[known], batch.hr[known])
    missing = (1 - batch.valid).sum(dim=(1, 2, 3))
    assert set(missing.tolist()) == {0.0, 4.0}
    assert {row[1] for row in data.describe()} == {"train", "train LR", "val", "val LR"}


def test_a_pair_of_the_wrong_size_is_refused(write_raster, config, tmp_path):
    paired(write_raster, "a")
    err = refused(config(scale=4, in_bands=2, root_dir=str(tmp_path), hr="hr", lr="lr"))
    assert "a.tif is 64x64 with pixels of 2.5" in err.message
    assert "a.tif is 32x32 with pixels of 5: a ratio of 2, but" in err.message
    paired(write_raster, "a", crs=None)
    err = refused(config(scale=4, in_bands=2, root_dir=str(tmp_path), hr="hr", lr="lr"))
    assert "a.tif is 32x32; with Generator.scaling_factor 4 HR must be 128x128" in err.message


def test_a_known_shift_between_lr_and_hr_is_found(write_raster, config, tmp_path):
    paired(write_raster, "a", shift_m=2.4)
    paired(write_raster, "b", shift_m=-2.4)
    setting = {"scale": 2, "in_bands": 2, "root_dir": str(tmp_path), "hr": "hr", "lr": "lr"}
    open_training_data(config(**setting))
    paired(write_raster, "b", shift_m=6.0)
    err = refused(config(**setting))
    assert "footprints of" in err.message
    assert "differ by 1.2 LR pixels" in err.message
    paired(write_raster, "b", crs="EPSG:32632")
    assert "EPSG:32631" in refused(config(**setting)).message


def test_band_names_and_pixel_size(scene, config):
    names = ("B04", "B03", "B02", "B08")
    path = str(scene("a.tif", descriptions=names))
    data = open_training_data(config(hr=path, val_hr=path, bands=[4, 1], in_bands=2))
    assert data.band_names == ("B08", "B04")
    assert data.gsd_m == 2.5
    assert data.radiometry.name == "sen2_stretch_10k"
    given = open_training_data(config(hr=path, val_hr=path, band_names=["r", "g", "b", "n"]))
    assert given.band_names == ("r", "g", "b", "n")
    plain = str(scene("b.tif", crs="EPSG:4326", transform=Affine(1e-4, 0, 3, 0, -1e-4, 45)))
    data = open_training_data(config(hr=plain, val_hr=plain))
    assert data.band_names == ("band 1", "band 2", "band 3", "band 4")
    assert data.gsd_m is None


def test_pixel_size_in_feet_is_told_in_metres(scene, config):
    path = str(scene("feet.tif", crs="EPSG:2263"))
    data = open_training_data(config(hr=path, val_hr=path))
    assert data.gsd_m == pytest.approx(2.5 * 0.3048, rel=1e-3)


def test_a_linear_normalization_is_used(scene, config):
    path = scene("a.tif")
    data = open_training_data(
        config(
            hr=str(path),
            val_hr=str(path),
            normalization={"name": "linear", "scale": 0.001, "offset": -1},
        )
    )
    assert float(data.validation().hr.min()) >= -0.71
    assert is_cut_from(data.validation().hr[0], stored(path) * 0.001 - 1)


@pytest.mark.parametrize(
    ("values", "in_bands", "text", "fix"),
    [
        ({}, 5, "a.tif has 4 bands, but Model.in_bands is 5", "Model.in_bands: 4"),
        (
            {"bands": [1, 2, 3, 7]},
            4,
            "a.tif has 4 bands, but Data.bands asks for band 7",
            "Data.bands",
        ),
        (
            {"hr_crop_px": 128},
            4,
            "a.tif is 112x96 pixels, smaller than one crop of Data.hr_crop_px 128",
            "96 or smaller",
        ),
        (
            {"val_crop_px": 100},
            4,
            "smaller than one crop of Data.val_crop_px 100",
            "Data.val_crop_px: 96",
        ),
        (
            {"normalization": "zero_one"},
            4,
            "but Data.normalization zero_one is for values up to about 1",
            "sen2_stretch_10k or normalise_10k or normalise_10k_signed or {name: linear, scale:",
        ),
        ({"normalization": "uint8"}, 4, "holds uint16 values of 3", "sen2_stretch_10k"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_key(scene, config, values, in_bands, text, fix):
    err = refused(config(hr=str(scene("a.tif")), in_bands=in_bands, **values))
    assert text in err.message
    assert "Data." in err.message
    assert "a.tif" in err.message
    assert fix in err.hint


def test_bytes_under_a_reflectance_normalization_are_refused(write_raster, config):
    image = np.random.default_rng(0).integers(0, 256, (4, 64, 64)).astype(np.uint8)
    err = refused(config(hr=str(write_raster("photo.tif", image))))
    assert "photo.tif holds uint8 values" in err.message
    assert "Data.normalization: uint8 or" in err.hint


def test_an_alpha_band_in_the_way_is_explained(write_raster, config):
    # What GDAL does by itself with four bands of bytes.
    image = np.random.default_rng(0).integers(1, 256, (4, 128, 64)).astype(np.uint8)
    path = str(write_raster("naip.tif", image, photometric=None))
    err = refused(config(hr=path, normalization="uint8"))
    assert "naip.tif has 3 bands and an alpha band (band 4), but Model.in_bands is 4" in err.message
    assert "Data.bands: [1, 2, 3, 4]" in err.hint
    data = open_training_data(config(hr=path, normalization="uint8", bands=[1, 2, 3, 4]))
    assert first_batch(data).hr.shape[1] == 4


def test_scenes_without_valid_pixels_complex_and_palette_are_refused(write_raster, config):
    empty = write_raster("empty.tif", np.zeros((1, 64, 64), np.uint16), nodata=0)
    assert (
        "empty.tif holds no valid pixel in bands 1"
        in refused(config(hr=str(empty), in_bands=1)).message
    )
    radar = write_raster("slc.tif", np.ones((1, 64, 64), np.complex64))
    assert (
        "slc.tif holds complex numbers (complex64)"
        in refused(config(hr=str(radar), in_bands=1)).message
    )
    classes = write_raster("classes.tif", np.ones((1, 64, 64), np.uint8), photometric="palette")
    with rasterio.open(classes, "r+") as dataset:
        dataset.write_colormap(1, {1: (255, 0, 0, 255)})
    assert "entries of a colour table" in refused(config(hr=str(classes), in_bands=1)).message


def test_a_damaged_file_is_named_at_the_start(scene, config):
    good = str(scene("good.tif"))
    bad = scene("bad.tif", rows=400, cols=400)
    bad.write_bytes(bad.read_bytes()[:200_000])
    err = refused(config(hr=[good, str(bad)]))
    assert f"Data.hr: cannot read {bad}" in err.message
    text = scene("text.tif")
    text.write_text("hello")
    assert f"Data.val_hr: cannot open {text}" in refused(config(hr=good, val_hr=str(text))).message


def test_a_file_cut_short_behind_its_overviews_is_named(write_raster, config):
    image = np.random.default_rng(0).integers(300, 4000, (1, 1024, 1024)).astype(np.uint16)
    path = write_raster("cog.tif", image, driver="COG")
    path.write_bytes(path.read_bytes()[:-100_000])
    assert f"cannot read {path}" in refused(config(hr=str(path), in_bands=1)).message


def test_a_file_of_subdatasets_lists_them(write_raster, tmp_path, config):
    source = str(write_raster("a.tif", np.full((1, 256, 256), 100, np.uint8)))
    path = tmp_path / "parts.gpkg"
    for name in ("NORTH", "SOUTH"):
        options = {"RASTER_TABLE": name, "APPEND_SUBDATASET": "YES"}
        rasterio.shutil.copy(source, path, driver="GPKG", **options)
    err = refused(config(hr=str(path), in_bands=1, normalization="uint8"))
    assert f"holds no raster itself, only subdatasets:\n  GPKG:{path}:NORTH" in err.message
    part = {"hr": f"GPKG:{path}:NORTH", "bands": [1], "normalization": "uint8"}
    data = open_training_data(config(**part, in_bands=1, val_hr=source))
    assert float(first_batch(data).hr.mean()) == pytest.approx(100 / 255)


def test_bands_in_different_order_are_refused(scene, config):
    a = scene("a.tif", descriptions=("B04", "B03", "B02", "B08"))
    b = scene("b.tif", descriptions=("B02", "B03", "B04", "B08"))
    err = refused(config(hr=[str(a), str(b)]))
    assert "a.tif has bands B04, B03, B02, B08, but " in err.message


def test_no_validation_crop_with_enough_valid_pixels(write_raster, config):
    image = np.full((1, 128, 128), 1000, np.uint16)
    image[:, ::2] = 0
    path = str(write_raster("stripes.tif", image, nodata=0))
    err = refused(config(hr=path, in_bands=1, val_hr=path, min_valid_fraction=0.9))
    assert "Data.min_valid_fraction: no validation crop of 32 pixels" in err.message


def test_a_single_scene_too_small_to_cut_is_refused(scene, config):
    err = refused(config(hr=str(scene("a.tif", rows=64))))
    assert "is the only scene, and its 64 rows do not hold training crops of 32" in err.message


def test_warnings_about_mixed_imagery(write_raster, scene, config):
    coarse = scene("coarse.tif", transform=Affine(10, 0, 500_000, 0, -10, 5_000_000))
    tagged = scene("tagged.tif")
    with rasterio.open(tagged, "r+") as dataset:
        dataset.scales = (0.0001,) * 4
    pixels = np.full((4, 96, 96), 1000, np.int16)
    other = write_raster("other.tif", pixels)
    data = open_training_data(config(hr=[str(coarse), str(tagged), str(other)]))
    text = "\n".join(data.warnings)
    assert "tagged.tif carries scale or offset tags" in text
    assert "pixels of " in text
    assert "int16" in text
    assert "show the same ground" in text


def test_a_large_raster_without_overviews_is_judged_by_patches(write_raster, config, monkeypatch):
    image = np.full((1, 900, 700), 1000, np.uint16)
    image[:, :450] = 0
    path = str(write_raster("large.tif", image, nodata=0))
    monkeypatch.setattr("srgan_cli.data.scenes.WHOLE_READ_PIXELS", 1000)
    data = open_training_data(config(hr=path, in_bands=1, val_hr=path, train_batch_size=20))
    assert float(first_batch(data).valid.mean()) > 0.9
    assert data.steps_per_epoch == math.ceil(900 * 700 / 2 / 32**2 / 20)


def test_describe_tells_what_was_found(scene, config):
    path = scene("a.tif", descriptions=("B04", "B03", "B02", "B08"))
    data = open_training_data(config(hr=str(path), val_hr=str(path)))
    row = data.describe()[0]
    assert row[:7] == (str(path), "train", "112x96", "1,2,3,4", "uint16", "EPSG:32631", "2.5 m")
    low, high = (float(value) for value in row[7].split(".."))
    assert 300 <= low < 320 < 3900 < high <= 4000


@real
@pytest.mark.parametrize(
    ("name", "bands", "normalization"),
    [
        ("scenes/s2_l1c_virginia_eastern_shore_10m_B04B03B02B08.tif", 4, "sen2_stretch_10k"),
        ("scenes/landsat8_sr_rondonia_6band_int16.tif", 6, "normalise_10k"),
        ("scenes/naip_4709963_20200831.tif", 4, "uint8"),
        ("odd/rasterio__alpha.tif", 3, "uint8"),
        ("odd/rasterio__RGB2.byte.tif", 3, "uint8"),
        ("odd/riocogeo__image_rgba_nodata.tif", 3, "uint8"),
        ("odd/riocogeo__image_nan.tif", 1, "zero_one"),
        ("odd/riotiler__cog_nonearth.tif", 1, "zero_one"),
        ("odd/opengeos__cog.tif", 4, "sen2_stretch_10k"),
        ("odd/mapchete__gcps.tif", 1, "sen2_stretch_10k"),
    ],
)
def test_real_imagery_of_every_kind(config, name, bands, normalization):
    data = open_training_data(
        config(hr=str(REAL / name), in_bands=bands, normalization=normalization)
    )
    for batch in (first_batch(data), data.validation()):
        assert all(bool(torch.isfinite(image).all()) for image in batch)
        assert float(batch.valid.mean()) > 0.4


@real
@pytest.mark.parametrize("name", ["rasterio__corrupt.tif", "gdal__unknown_compression.tif"])
def test_real_damaged_files_are_named(config, name):
    err = refused(config(hr=str(REAL / "odd" / name), in_bands=1, normalization="uint8"))
    assert name in err.message


def test_a_file_that_vanishes_later_is_named(scene, config):
    paths = [scene("a.tif"), scene("b.tif")]
    data = open_training_data(config(hr=[str(path) for path in paths]))
    for path in paths:
        path.unlink()
    with pytest.raises(RefusedError, match=r"cannot open .*\.tif"):
        first_batch(data)
