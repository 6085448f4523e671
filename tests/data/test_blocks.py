import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data import blocks
from srgan_cli.data.blocks import within_block
from srgan_cli.data.crops import Cutter, TrainCrops
from srgan_cli.data.images import build_reading
from srgan_cli.data.training import open_training_data


@given(st.integers(-300, 5000), st.integers(1, 300), st.integers(1, 600))
def test_a_moved_window_lies_in_the_block_where_it_started(start, length, block):
    moved = within_block(start, length, block)
    if block < length:
        assert moved == start
    else:
        assert moved // block == start // block == (moved + length - 1) // block
        assert moved <= start


def test_moved_windows_are_spread_evenly():
    moved = [within_block(start, 144, 256) for start in range(25600)]
    counts = np.bincount(np.array(moved) % 256)
    assert len(counts) == 256 - 144 + 1
    assert counts.max() <= 1.6 * counts.min()


@pytest.fixture
def tiled(write_raster):
    pixels = np.random.default_rng(0).integers(300, 4000, (2, 512, 400)).astype(np.uint16)
    return write_raster("tiled.tif", pixels, tiled=True, blockxsize=128, blockysize=128)


def places(data, config, scale):
    crops = TrainCrops(
        data._train,
        Cutter(config.data.hr_crop_px, scale, data.radiometry, build_reading(config)),
        seed=0,
        min_valid_fraction=0.5,
        augment=True,
    )
    return crops, [crops.place(number) for number in range(400)]


def test_crops_of_large_sets_touch_one_block_and_stay_inside(tiled, config, monkeypatch):
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1000)
    settings = config(hr=str(tiled), val_hr=str(tiled), in_bands=2)
    data = open_training_data(settings)
    crops, found = places(data, settings, 4)
    for place in found:
        ((_, window, _),) = crops._cutter.windows(place)
        assert 0 <= place.row <= 512 - 32
        assert 0 <= place.col <= 400 - 32
        assert place.row % 4 == place.col % 4 == 0
        for start, length in ((window.row_off, window.height), (window.col_off, window.width)):
            assert start // 128 == (start + length - 1) // 128
    assert len({(place.row, place.col) for place in found}) > 300


def test_crops_of_small_sets_lie_anywhere(tiled, config):
    settings = config(hr=str(tiled), val_hr=str(tiled), in_bands=2)
    data = open_training_data(settings)
    assert {scene.block for scene in data._train} == {None}
    _, found = places(data, settings, 4)
    crossing = [place for place in found if place.row // 128 != (place.row + 31) // 128]
    assert len(crossing) > 40


def test_the_rows_kept_for_validation_stay_untouched(tiled, config, monkeypatch):
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1000)
    settings = config(hr=str(tiled), in_bands=2)
    data = open_training_data(settings)
    (scene,) = data._train
    assert scene.end_row < 450
    _, found = places(data, settings, 4)
    assert max(place.row for place in found) + 32 <= scene.end_row


@pytest.mark.parametrize(
    ("layout", "dear"),
    [
        ({"tiled": True, "blockxsize": 512, "blockysize": 512}, True),
        ({"blockysize": 64}, True),
        ({"tiled": True, "blockxsize": 64, "blockysize": 64}, False),
    ],
)
def test_files_whose_blocks_make_crops_dear_are_warned_about(
    write_raster, config, monkeypatch, layout, dear
):
    pixels = np.random.default_rng(0).integers(300, 4000, (1, 512, 1024)).astype(np.uint16)
    path = str(write_raster("a.tif", pixels, **layout))
    settings = {"hr": path, "val_hr": path, "in_bands": 1}
    assert not any("decoded" in text for text in open_training_data(config(**settings)).warnings)
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1000)
    told = [text for text in open_training_data(config(**settings)).warnings if "decoded" in text]
    assert bool(told) == dear
    assert not told or "times its pixels are decoded; Data.cache: ram" in told[0]
    cached = open_training_data(config(**settings, cache="ram"))
    assert not any("decoded" in text for text in cached.warnings)
