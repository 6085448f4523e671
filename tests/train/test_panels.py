"""Panels: LR | bicubic | SR | HR | error, one stretch for all."""

import numpy as np
import pytest
import rasterio
import torch

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.train.panels import shown_bands, write_panel

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 32
GAP = 4


def config(bands=3, fixed_idx=None, num=4):
    return RunConfig.model_validate(
        {
            "Data": {"hr_crop_px": SIDE},
            "Model": {"in_bands": bands},
            "Generator": {"scaling_factor": 2},
            "Training": {"Losses": {"fixed_idx": fixed_idx}},
            "Logging": {"num_val_images": num},
        }
    )


def crops(count=2, bands=3):
    rng = torch.Generator().manual_seed(0)
    hr = torch.rand(count, bands, SIDE, SIDE, generator=rng)
    lr = torch.nn.functional.avg_pool2d(hr, 2)
    return Batch(lr, hr, torch.ones(count, 1, SIDE, SIDE))


def panel(tmp_path, batch, sr, run):
    path = tmp_path / "panel.png"
    assert write_panel(path, batch, sr, run)
    with rasterio.open(path) as dataset:
        pixels = dataset.read()
    return [
        pixels[:, :SIDE, left : left + SIDE].astype(int)
        for left in range(0, pixels.shape[2], SIDE + GAP)
    ], pixels.shape


def test_five_pictures_a_row_with_the_stretch_of_hr(tmp_path):
    batch = crops()
    shown, shape = panel(tmp_path, batch, batch.hr + 0.1, config())
    assert shape == (3, 2 * (SIDE + GAP) - GAP, 5 * (SIDE + GAP) - GAP)
    _, _, sr, hr, error = shown
    low, high = np.percentile(batch.hr[0].numpy(), (2, 98), axis=(1, 2))[:, :, None, None]
    expected = ((batch.hr[0].numpy() - low) / (high - low)).clip(0, 1) * 255
    assert np.abs(hr - expected).max() <= 1
    # The same stretch for SR: 0.1 brighter is seen as such, and the error is twice that.
    shift = 255 * 0.1 / (high - low)
    inside = (hr > 0) & (sr < 255)
    assert np.abs((sr - hr) - shift)[inside].max() <= 2
    assert np.abs(error - 2 * shift).max() <= 1


def test_invalid_pixels_neither_stretch_nor_err(tmp_path):
    batch = crops()
    expected, _ = panel(tmp_path, batch, batch.hr, config())
    batch.hr[0, :, :4] = 50.0
    batch.valid[0, :, :4] = 0
    sr = batch.hr.clone()
    sr[0, :, :4] = 0
    shown, _ = panel(tmp_path, batch, sr, config())
    assert np.abs(shown[3][:, 4:] - expected[3][:, 4:]).max() < 25
    assert shown[4].max() == 0


def test_which_bands_are_shown():
    assert shown_bands(config(4)) == (0, 1, 2)
    assert shown_bands(config(4, (2, 1, 0))) == (2, 1, 0)
    assert shown_bands(config(2)) == (0,)
    assert shown_bands(config(1)) == (0,)


def test_none_wanted_none_written(tmp_path):
    batch = crops()
    assert not write_panel(tmp_path / "panel.png", batch, batch.hr, config(num=0))
    assert not list(tmp_path.iterdir())


def test_a_generator_that_broke_down_is_still_drawn(tmp_path):
    batch = crops()
    sr = batch.hr.clone()
    sr[0, 0] = torch.nan
    sr[0, 1] = torch.inf
    sr[0, 2] = -1e30
    shown, _ = panel(tmp_path, batch, sr, config())
    assert shown[2].max() <= 255
