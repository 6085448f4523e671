"""What `srgan data` finds."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from srgan_cli.data.batch import Batch
from srgan_cli.data.degradation import degrade
from srgan_cli.data.landscape import draw_landscape
from srgan_cli.data.sheet import COLUMNS, GAP_PX, INVALID, LEAST_SIDE_PX, PAIR_GAP_PX, write_sheet
from srgan_cli.data.survey import num_files, survey
from srgan_cli.data.training import open_training_data

REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real imagery in ../shared/data")


@pytest.fixture(scope="module")
def ground():
    return draw_landscape(320, np.random.default_rng(2))


@pytest.fixture
def pair(write_raster, ground):
    """Writes HR and an LR made of it that lies `down` HR pixels beside it, both at the same place."""

    def write(name, down=0, gain=1.0, bias=0.0, rows=slice(32, 288)):
        hr = ground[:, rows, 32:288]
        seen = ground[:, rows.start - down : rows.stop - down, 32:288].astype(np.float32)
        lr = degrade(torch.from_numpy(seen)[None], 4, "gaussian")[0].numpy() * gain + bias
        ground_at = {"transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
        write_raster(f"hr/{name}.tif", hr)
        write_raster(f"lr/{name}.tif", np.rint(lr).astype(np.uint16), **ground_at)

    return write


def texts(found):
    assert all(trouble.hint for trouble in found.troubles)
    return [trouble.text for trouble in found.troubles]


def test_what_can_be_trained_on_is_reported_and_has_no_trouble(scene, config):
    names = ("B04", "B03", "B02", "B08")
    paths = [str(scene(f"{i}.tif", descriptions=names, transform=Affine(
        10, 0, 500_000 + 10_000 * i, 0, -10, 5_000_000))) for i in range(3)]  # fmt: skip
    cfg = config(hr=paths)
    calls = []
    found = survey(cfg, calls.append)
    assert texts(found) == found.warnings == []
    assert len(calls) == 2 * num_files(cfg) == 6
    assert found.band_names == names
    assert found.steps_per_epoch == open_training_data(cfg).steps_per_epoch
    assert [file.role for file in found.files] == ["train, val"] * 3
    crops = found.files[0].crops
    assert (crops.total, crops.tried, crops.usable, crops.estimate) == (9, 9, 9, 9)
    assert crops.texture > 0.3
    low, high = found.files[0].network[0]
    assert 0.1 <= low < 0.11
    assert 1.3 < high <= 4 / 3
    assert len(found.samples) == 18
    assert found.samples[0][1].lr.shape == (4, 8, 8)
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["ok"] is True
    assert told["files"][0]["crops"]["usable_estimate"] == 9


def test_everything_that_is_wrong_is_listed_not_only_the_first(write_raster, scene, config):
    good = str(scene("good.tif"))
    rng = np.random.default_rng(0)
    bytes_ = str(write_raster("bytes.tif", rng.integers(0, 256, (4, 64, 64)).astype(np.uint8)))
    small = str(scene("small.tif", rows=24, cols=20))
    bands = str(scene("bands.tif", bands=3))
    text = scene("text.tif")
    text.write_text("hello")
    both = str(write_raster("both.tif", rng.random((4, 20, 20)).astype(np.float32)))
    cfg = config(hr=[good, bytes_, small, bands, str(text), both], val_crop_px=48)
    found = survey(cfg)
    listed = texts(found)
    for name, words in (
        ("bytes.tif", "holds uint8 values"),
        ("small.tif", "smaller than one crop of Data.hr_crop_px 32"),
        ("small.tif", "smaller than one crop of Data.val_crop_px 48"),
        ("bands.tif", "has 3 bands, but Model.in_bands is 4"),
        ("text.tif", "cannot open"),
        ("both.tif", "holds float32 values"),
        ("both.tif", "smaller than one crop of Data.hr_crop_px 32"),
    ):
        assert [line for line in listed if name in line and words in line], (name, words)
    assert len(listed) == 8
    assert all(line.startswith("Data.hr: ") for line in listed)
    assert not any("good.tif" in line for line in listed)
    shown = {Path(file.raster.path).name for file in found.files}
    assert shown == {"good.tif", "bytes.tif", "small.tif", "both.tif"}
    assert found.samples
    assert found.as_dict()["ok"] is False


def test_bands_in_another_order_are_told_for_each_file(scene, config):
    names = ("B04", "B03", "B02", "B08")
    paths = [str(scene("a.tif", descriptions=names))]
    paths += [str(scene(f"{i}.tif", descriptions=names[::-1])) for i in range(2)]
    listed = texts(survey(config(hr=paths)))
    assert len(listed) == 2
    assert all("a.tif has bands B04, B03, B02, B08, but" in line for line in listed)


def test_what_only_a_whole_run_shows_is_told(scene, config):
    alone = survey(config(hr=str(scene("a.tif", rows=64))))
    assert "is the only scene, and its 64 rows do not hold" in texts(alone)[0]
    named = config(
        hr=[str(scene("a.tif")), str(scene("b.tif"))],
        degradation={"kind": "gaussian", "mtf_bands": "sentinel2"},
    )
    assert "there is no figure for band 'band 1'" in texts(survey(named))[0]
    assert len(texts(survey(named))) == 1
    assert "there is no" in texts(survey(config(hr="nowhere.tif")))[0]
    assert num_files(config(hr="nowhere.tif")) == 0


def test_a_fitted_normalization_is_shown_and_judges_the_files(write_raster, config):
    rng = np.random.default_rng(0)
    images = [rng.gamma(3, 300, (2, 96, 96)) for _ in range(3)]
    paths = [
        str(write_raster(f"{i}.tif", image.astype(np.uint16))) for i, image in enumerate(images)
    ]
    found = survey(config(hr=paths, in_bands=2, normalization="percentile"))
    assert texts(found) == []
    assert found.radiometry.name == "percentile"
    lows, highs = zip(*found.files[0].network, strict=True)
    assert max(lows) < 0.05
    assert min(highs) > 0.9
    unit = str(write_raster("unit.tif", (images[0] / 10000).astype(np.float32)))
    listed = texts(survey(config(hr=[*paths, unit], in_bands=2, normalization="percentile")))
    assert len(listed) == 1
    assert "unit.tif holds float32 values" in listed[0]
    flat = str(write_raster("flat.tif", np.full((2, 96, 96), 5, np.uint8)))
    found = survey(
        config(hr=[flat, flat.replace("flat", "flat")], in_bands=2, normalization="mean_std")
    )
    assert "no range can be fitted" in texts(found)[0]
    assert found.files[0].network == ()


def test_unusable_crops_are_counted(write_raster, config):
    image = np.random.default_rng(0).integers(300, 4000, (1, 128, 128)).astype(np.uint16)
    image[:, :, :64] = 0
    image[:, :64, 64:] = 1000
    path = str(write_raster("half.tif", image, nodata=0))
    settings = {"hr": path, "in_bands": 1, "val_hr": path, "min_valid_fraction": 0.9}
    assert survey(config(**settings)).files[0].crops.estimate == 8
    assert survey(config(min_texture=0.1, **settings)).files[0].crops.estimate == 4
    none = survey(config(min_texture=9.0, **settings))
    assert none.samples == []
    assert any(
        "none of 16 crops has 90% valid pixels and a texture of 9" in w for w in none.warnings
    )


def test_given_pairs_are_compared(pair, config, tmp_path):
    pair("a")
    pair("b", gain=1.3, rows=slice(33, 289))
    cfg = config(root_dir=str(tmp_path), hr="hr", lr="lr")
    found = survey(cfg)
    assert texts(found) == []
    first, second = (report.agreement for report in found.pairs)
    assert first.shift.largest < 0.05
    assert first.gain == pytest.approx([1] * 4, abs=0.05)
    assert second.gain == pytest.approx([1.3] * 4, abs=0.06)
    assert [file.role for file in found.files] == ["train, val", "train, val LR"] * 2
    (remark,) = (text for text in found.warnings if "contrast" in text)
    assert "hr/b.tif: LR has 1.29 (band 1), 1.30 (band 2), " in remark
    assert "; LR less HR is +3" in remark


def test_many_pairs_that_differ_are_told_in_a_few_lines(pair, config, tmp_path):
    for number in range(7):
        pair(str(number), gain=1.5, rows=slice(32, 160))
    found = survey(config(root_dir=str(tmp_path), hr="hr", lr="lr"))
    assert len([text for text in found.warnings if "times the contrast" in text]) == 5
    assert "2 more pairs differ in such ways" in found.warnings
    assert len(found.pairs) == 7


@pytest.mark.parametrize("down", [4, -3, 6])
def test_a_pair_built_from_a_known_shift_is_found_to_be_shifted(pair, config, tmp_path, down):
    pair("a", down=down)
    pair("b", rows=slice(33, 289))
    cfg = config(root_dir=str(tmp_path), hr="hr", lr="lr")
    open_training_data(cfg)
    found = survey(cfg)
    shift = found.pairs[0].agreement.shift
    assert shift.down == pytest.approx(down / 4, abs=0.06)
    assert abs(shift.right) < 0.06
    (line,) = texts(found)
    assert f"{tmp_path}/lr/a.tif and {tmp_path}/hr/a.tif: LR lies {abs(shift.down):.2f} LR" in line
    assert (" down, " if down > 0 else " up, ") in line
    assert "at most 0.5 is allowed" in line


def test_swapped_partners_are_found(pair, config, tmp_path, ground):
    pair("a", rows=slice(32, 160))
    pair("b", rows=slice(160, 288))
    for folder in ("lr", "hr"):
        with rasterio.open(tmp_path / folder / "a.tif") as dataset:
            assert dataset.count == 4
    (tmp_path / "lr" / "a.tif").rename(tmp_path / "lr" / "c.tif")
    (tmp_path / "lr" / "b.tif").rename(tmp_path / "lr" / "a.tif")
    (tmp_path / "lr" / "c.tif").rename(tmp_path / "lr" / "b.tif")
    listed = texts(survey(config(root_dir=str(tmp_path), hr="hr", lr="lr")))
    assert len(listed) == 2


@real
def test_a_real_pair_is_measured(config):
    pairs = REAL / "pairs"
    found = survey(
        config(
            scale=2,
            in_bands=1,
            bands=[1],
            hr=str(pairs / "spacenet_pan1_0p5m.tif"),
            lr=str(pairs / "spacenet_ms1_1m_float64.tif"),
            normalization={"scale": 1e-3},
        )
    )
    shift = found.pairs[0].agreement.shift
    assert 0.1 < shift.down < 0.5
    assert 0.3 < shift.right < 0.7


def read_png(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_sheet_shows_lr_beside_hr_under_one_stretch(tmp_path):
    hr = torch.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    lr = degrade(hr[None], 4, "area")[0]
    valid = torch.ones(1, 64, 64)
    valid[:, :8, :8] = 0
    crops = [Batch(lr, hr, valid), Batch(lr + 0.5, hr, torch.ones(1, 64, 64))] * 2
    path = tmp_path / "sheet.png"
    write_sheet(path, crops, (0,))
    image = read_png(path)
    side = LEAST_SIDE_PX
    width = 2 * side + GAP_PX
    assert image.shape == (
        3,
        2 * side + PAIR_GAP_PX,
        COLUMNS * (width + PAIR_GAP_PX) - PAIR_GAP_PX,
    )
    first, second = image[:, :side, :width], image[:, :side, width + PAIR_GAP_PX :][..., :width]
    assert first[:, 0, 0].tolist() == first[:, 0, side + GAP_PX].tolist() == list(INVALID)
    gap = first[:, :, side : side + GAP_PX]
    assert (gap == 255).all()
    plain = first[0, 20:, :side].astype(float)
    assert np.abs(plain - first[0, 20:, side + GAP_PX :].astype(float)).max() <= 16
    # 0.5 brighter in LR stays brighter.
    assert second[0, side // 2, 5] == 255
    assert second[0, side // 2, side + GAP_PX + 5] < 140


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_sheet_shows_three_bands_in_colour(tmp_path):
    hr = torch.rand(4, 160, 160, generator=torch.Generator().manual_seed(0))
    hr[3] = 0
    crop = Batch(degrade(hr[None], 2, "area")[0], hr, torch.ones(1, 160, 160))
    write_sheet(tmp_path / "a.png", [crop], (2, 1, 0))
    image = read_png(tmp_path / "a.png")
    assert image.shape == (3, 160, 2 * 160 + GAP_PX)
    shown = image[:, :, 160 + GAP_PX :].astype(float) / 255
    assert np.corrcoef(shown[0].ravel(), hr[2].numpy().ravel())[0, 1] > 0.99


def test_files_that_are_to_be_skipped_are_no_trouble(scene, config):
    good, bad = str(scene("good.tif")), scene("bad.tif")
    bad.write_bytes(bad.read_bytes()[:200])
    refused = survey(config(hr=[good, str(bad)]))
    assert any("bad.tif" in text for text in texts(refused))
    skipped = survey(config(hr=[good, str(bad)], on_bad_file="skip"))
    assert texts(skipped) == []
    assert any("skipped: " in text and "bad.tif" in text for text in skipped.warnings)
    nothing = survey(config(hr=[str(bad)], on_bad_file="skip"))
    assert texts(nothing) == ["no file of the training set can be read"]
