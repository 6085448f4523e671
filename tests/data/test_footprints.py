from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from srgan_cli.data.footprints import align, loose_pairs, scene_of
from srgan_cli.data.images import Reading
from srgan_cli.data.rasters import gdal_env
from srgan_cli.data.scenes import Raster, look_at
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError

REAL = Path(__file__).parents[3] / "shared" / "data" / "pairs"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real imagery in ../shared/data")


def raster(path, width, height, transform, crs="EPSG:32631"):
    return Raster(
        path=path,
        width=width,
        height=height,
        dtype="uint16",
        crs=crs,
        transform=transform,
        bands=(1,),
        descriptions=("",),
        gsd_m=None,
        scaled=False,
        low=0.0,
        high=1.0,
        valid_fraction=1.0,
        valid_spots=np.empty((0, 2), np.int32),
    )


def grid(pixel, x=500_000.0, y=5_000_000.0):
    return Affine(pixel, 0, x, 0, -pixel, y)


@settings(deadline=None, max_examples=300)
@given(
    scale=st.sampled_from([1, 2, 3, 4, 8]),
    hr_size=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    start=st.tuples(st.floats(-0.5, 4), st.floats(-0.5, 4)),
    pixel=st.sampled_from([0.5, 2.5, 10.0]),
)
def test_whatever_the_grids_pixels_show_the_same_ground(scale, hr_size, start, pixel):
    """LR starts `start` LR pixels right of and below HR, and ends where HR does or before."""
    lr_pixel = pixel * scale
    lr_size = [int(length / scale - begin) for length, begin in zip(hr_size, start, strict=True)]
    hr = raster("hr", *hr_size, grid(pixel))
    lr = raster(
        "lr",
        *lr_size,
        grid(lr_pixel, 500_000 + start[0] * lr_pixel, 5_000_000 - start[1] * lr_pixel),
    )
    at = align(hr, lr, scale)
    for hr_start, lr_start, count, length, lr_length, begin in (
        (at.hr_col, at.lr_col, at.lr_cols, hr_size[0], lr_size[0], start[0]),
        (at.hr_row, at.lr_row, at.lr_rows, hr_size[1], lr_size[1], start[1]),
    ):
        assert hr_start >= 0
        assert lr_start >= 0
        assert count > 0
        assert hr_start + count * scale <= length
        assert lr_start + count <= lr_length
        # At most half an LR pixel on each side is lost.
        assert count >= lr_length - 2
        # The ground of the corner, in HR pixels, by each of the two files.
        assert abs((begin + lr_start) * scale - hr_start) <= 0.5 + 1e-6
    assert at.apart_lr_px <= 0.5 / scale + 1e-6


@pytest.mark.parametrize("shift", [-2.0, -0.51, 0.51, 1.2, 7.0])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_equal_footprints_that_are_shifted_are_refused_with_the_distance(shift, axis):
    hr, at = raster("hr.tif", 64, 64, grid(2.5)), {"x": 500_000.0, "y": 5_000_000.0}
    at[axis] += shift * 10
    with pytest.raises(RefusedError) as caught:
        align(hr, raster("lr.tif", 16, 16, grid(10, **at)), 4)
    assert "hr.tif and lr.tif differ by" in caught.value.message
    assert f"{abs(shift):.2g} LR pixels" in caught.value.message


@pytest.mark.parametrize(
    ("lr", "text"),
    [
        (raster("lr", 16, 16, grid(10), "EPSG:32632"), "hr is in EPSG:32631, lr in EPSG:32632"),
        (raster("lr", 32, 32, grid(5)), "a ratio of 2, but Generator.scaling_factor is 4"),
        (raster("lr", 16, 8, Affine(10, 0, 5e5, 0, -20, 5e6)), "a ratio of 4 by 8, but"),
        (raster("lr", 16, 16, Affine(10, 0, 5e5, 0, 10, 5e6 - 160)), "a ratio of 4 by -4, but"),
        (raster("lr", 16, 16, Affine(10, 0.8, 5e5, 0.8, -10, 5e6)), "drift apart or are rotated"),
        (raster("lr", 40, 16, grid(10)), "LR shows ground that HR does not"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(lr, text):
    with pytest.raises(RefusedError) as caught:
        align(raster("hr", 64, 64, grid(2.5)), lr, 4)
    assert text in caught.value.message
    assert "lr" in caught.value.message
    assert caught.value.hint


def test_the_same_crs_in_other_words_is_the_same():
    from rasterio.crs import CRS

    wkt = CRS.from_epsg(32631).to_wkt()
    hr, lr = raster("hr", 64, 64, grid(2.5)), raster("lr", 16, 16, grid(10), wkt)
    assert align(hr, lr, 4)[:6] == (0, 0, 0, 0, 16, 16)


def test_without_georeferencing_sizes_must_fit_exactly():
    hr = raster("hr", 64, 64, Affine.identity(), "")
    assert align(hr, raster("lr", 16, 16, grid(10)), 4)[:6] == (0, 0, 0, 0, 16, 16)
    with pytest.raises(RefusedError, match="HR must be 68x64"):
        align(hr, raster("lr", 17, 16, Affine.identity(), ""), 4)


def test_rotated_pairs_align_along_their_axes():
    turn = Affine(2.0, 1.5, 500_000, 1.5, -2.0, 5_000_000)
    coarse = Affine(8.0, 6.0, 500_000, 6.0, -8.0, 5_000_000)
    assert align(raster("hr", 64, 64, turn), raster("lr", 16, 16, coarse), 4)[:6] == (
        (0, 0, 0, 0, 16, 16)
    )


def test_grids_that_fit_badly_are_warned_about():
    hr, lr = raster("hr", 64, 64, grid(2.5)), raster("lr", 16, 16, grid(10.12))
    assert not loose_pairs([(hr, None), (hr, replace(lr, transform=grid(10)))], 4)
    with pytest.raises(
        RefusedError, match=r"hr and lr differ by 1 LR pixels .the pixel grids drift"
    ):
        align(raster("hr", 260, 260, grid(2.5)), raster("lr", 60, 60, grid(10.3)), 4)
    wide = raster("hr", 68, 68, grid(2.5))
    texts = loose_pairs([(wide, replace(lr, transform=grid(10.4)))], 4)
    assert "pixels of hr and lr lie up to 0.39 LR pixels apart" in texts[0]


def test_crops_of_pairs_on_other_grids_show_the_same_ground(write_raster, config, tmp_path):
    # HR pixel values tell their place; LR is their mean, and starts 3 HR pixels inside HR.
    hr = (np.arange(131)[:, None] * 131 + np.arange(131)[None]).astype(np.float32)[None]
    inner = hr[:, 3:131, 3:131]
    lr = inner.reshape(1, 32, 4, 32, 4).mean(axis=(2, 4)).astype(np.float32)
    write_raster("hr/a.tif", hr, transform=grid(2.5))
    # 0.9 m beside the exact place: less than half an HR pixel.
    write_raster("lr/a.tif", lr, transform=grid(10, 500_000 + 7.5 + 0.9, 5_000_000 - 7.5 - 0.9))
    data = open_training_data(
        config(
            in_bands=1,
            root_dir=str(tmp_path),
            hr="hr",
            lr="lr",
            val_hr="hr",
            val_lr="lr",
            normalization="identity",
            train_batch_size=20,
        )
    )
    for batch in (next(data.train_batches(0, 1)), data.validation()):
        means = torch.nn.functional.avg_pool2d(batch.hr, 4)
        torch.testing.assert_close(means, batch.lr, atol=0.01, rtol=0)


def test_a_mosaic_of_hr_serves_chips_of_lr(write_raster, config, tmp_path):
    rng = np.random.default_rng(0)
    hr = rng.integers(300, 4000, (1, 200, 200)).astype(np.uint16)
    write_raster("mosaic.tif", hr, transform=grid(5))
    lr = hr[:, 20:120, 40:140].reshape(1, 50, 2, 50, 2).mean(axis=(2, 4)).astype(np.float32)
    write_raster("chip.tif", lr, transform=grid(10, 500_000 + 200, 5_000_000 - 100))
    (tmp_path / "pairs.csv").write_text("hr,lr\nmosaic.tif,chip.tif\n")
    data = open_training_data(
        config(scale=2, in_bands=1, pairs=str(tmp_path / "pairs.csv"), val_fraction=0.4)
    )
    batch = next(data.train_batches(0, 1))
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(batch.hr, 2), batch.lr)


def test_a_mosaic_is_judged_by_what_it_shows_of_each_chip(write_raster, config, tmp_path):
    hr = np.full((1, 900, 900), 1000, np.uint16)
    hr[:, :, 600:] = 0
    hr[:, 140:180, 10:100] = 0
    write_raster("mosaic.tif", hr, transform=grid(5), nodata=0)
    names = []
    for name, row, col in (("good", 100, 0), ("none", 400, 700)):
        chip = np.full((1, 50, 50), 1000, np.uint16)
        at = grid(10, 500_000 + 5 * col, 5_000_000 - 5 * row)
        names.append(str(write_raster(f"{name}.tif", chip, transform=at)))

    def opened(*chips):
        lines = [f"{tmp_path}/mosaic.tif,{chip},train" for chip in chips]
        lines.append(f"{tmp_path}/mosaic.tif,{names[0]},val")
        (tmp_path / "pairs.csv").write_text("\n".join(["hr,lr,split", *lines]))
        return open_training_data(
            config(scale=2, in_bands=1, pairs=str(tmp_path / "pairs.csv"), min_valid_fraction=0.6)
        )

    (scene,) = opened(names[0])._train
    share = 1 - 40 * 90 / 100**2
    assert scene.valid_fraction == pytest.approx(share, abs=0.02)
    assert scene.valid_spots.max() < 100
    with pytest.raises(RefusedError, match=r"mosaic.tif holds no valid pixel in bands 1"):
        opened(*names)


def test_common_ground_smaller_than_a_crop_is_refused(write_raster, config, tmp_path):
    write_raster("hr.tif", np.full((1, 96, 96), 1000, np.uint16), transform=grid(5))
    write_raster("lr.tif", np.full((1, 20, 20), 1000, np.uint16), transform=grid(10))
    with pytest.raises(RefusedError, match=r"the common ground of .*hr.tif and .*lr.tif is 40x40"):
        open_training_data(
            config(
                scale=2, in_bands=1, root_dir=str(tmp_path), hr="hr.tif", lr="lr.tif", hr_crop_px=64
            )
        )


@real
@pytest.mark.parametrize(
    ("hr", "lr", "apart"),
    [
        ("l8_elkton_pan15m.tif", "l8_elkton_ms30m_B4B3B2B5.tif", 0.5),
        ("spacenet_pan1_0p5m.tif", "spacenet_ms1_1m_float64.tif", 0.1),
    ],
)
def test_real_pairs_of_panchromatic_and_multispectral_bands(hr, lr, apart):
    with gdal_env():
        fine, coarse = (look_at(str(REAL / name), Reading(1)) for name in (hr, lr))
    at = align(fine, coarse, 2)
    assert at.apart_lr_px <= apart + 1e-6
    assert at.lr_rows >= coarse.height - 1
    assert at.lr_cols >= coarse.width - 1
    with pytest.raises(RefusedError, match="a ratio of"):
        align(fine, coarse, 4)


def test_valid_places_of_a_pair_are_those_of_its_common_ground():
    spots = np.array([[0, 0], [2, 3], [60, 60]], np.int32)
    hr = replace(raster("hr", 64, 64, grid(2.5)), valid_spots=spots, valid_fraction=0.5)
    lr = raster("lr", 12, 12, grid(10, 500_000 + 5, 5_000_000 - 5))
    scene = scene_of((hr, lr), 4)
    assert scene.hr_corner == (2, 2)
    assert (scene.height, scene.width) == (48, 48)
    assert scene.valid_spots.tolist() == [[0, 1]]
    few = replace(lr, valid_spots=np.array([[3, 4]], np.int32), valid_fraction=0.1)
    assert scene_of((hr, few), 4).valid_spots.tolist() == [[12, 16]]
    with pytest.raises(RefusedError, match="hr and lr have no valid pixel on their common ground"):
        scene_of((replace(hr, valid_spots=spots[2:]), lr), 4)
