import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data import blocks
from srgan_cli.data.blocks import within_block
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


def windows(data):
    """What 400 crops read of the only file."""
    crops = data.train_crops()
    found = [window for number in range(400) for _, window, _ in crops.windows(number)]
    crops.close()
    return found


def spans(window):
    return (window.row_off, window.height), (window.col_off, window.width)


def test_crops_of_large_sets_touch_one_block_and_stay_inside(tiled, config, monkeypatch):
    monkeypatch.setattr(blocks, "CACHE_BYTES", 1000)
    found = windows(open_training_data(config(hr=str(tiled), val_hr=str(tiled), in_bands=2)))
    for window in found:
        for (start, length), end in zip(spans(window), (512, 400), strict=True):
            assert 0 <= start < start + length <= end
            assert start // 128 == (start + length - 1) // 128
            assert start % 4 == 0
    assert len(set(found)) > 300


def test_crops_of_small_sets_lie_anywhere(tiled, config):
    found = windows(open_training_data(config(hr=str(tiled), val_hr=str(tiled), in_bands=2)))
    starts = [spans(window)[0] for window in found]
    assert sum(start // 128 != (start + length - 1) // 128 for start, length in starts) > 40


def test_the_rows_kept_for_validation_stay_untouched(tiled, config, monkeypatch):
    ends = []
    for cache_bytes in (1000, 10**9):
        monkeypatch.setattr(blocks, "CACHE_BYTES", cache_bytes)
        found = windows(open_training_data(config(hr=str(tiled), in_bands=2)))
        ends.append(max(start + length for start, length in (spans(w)[0] for w in found)))
    assert ends[0] <= ends[1] < 450


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
