import numpy as np
import pytest
import rasterio
import torch
import typer
from typer.testing import CliRunner

from srgan_cli.cli.synth import synth
from srgan_cli.data.degradation import degrade
from srgan_cli.data.landscape import draw_landscape
from srgan_cli.data.synthetic import BAND_NAMES, write_scenes
from srgan_cli.errors import RefusedError, SrganError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(synth)


@pytest.fixture(scope="module")
def landscape():
    return draw_landscape(512, np.random.default_rng(4))


def test_files_are_what_the_reader_of_sentinel_2_expects(tmp_path):
    paths = write_scenes(tmp_path / "new", 2, 300, 0)
    bounds = []
    for path in paths:
        with rasterio.open(path) as dataset:
            assert (dataset.count, dataset.shape, dataset.dtypes[0]) == (4, (300, 300), "uint16")
            assert dataset.descriptions == BAND_NAMES
            assert dataset.crs.to_epsg() == 32631
            assert dataset.res == (2.5, 2.5)
            assert dataset.block_shapes[0] == (256, 256)
            assert dataset.compression.value == "DEFLATE"
            bounds.append(dataset.bounds)
    assert bounds[0].right < bounds[1].left
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "scene_00.tif",
        "scene_01.tif",
    ]


def test_pixels_follow_the_seed(tmp_path):
    def pixels(folder, seed):
        return [
            rasterio.open(path).read() for path in write_scenes(tmp_path / folder, 2, 128, seed)
        ]

    first, again, other = pixels("a", 5), pixels("b", 5), pixels("c", 6)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_reflectances_are_those_of_a_landscape(landscape):
    red, green, blue, nir = landscape.astype(float)
    index = (nir - red) / (nir + red)
    assert 0.15 < (index > 0.6).mean() < 0.95
    water = index < 0
    assert water.mean() > 0.005
    assert nir[water].mean() < 600 < red[~water].mean()
    assert np.percentile(landscape, 99.9) < 6000
    assert np.median(green) > np.median(blue)


def test_there_is_detail_to_learn_above_the_noise(landscape):
    hr = torch.from_numpy(landscape.astype(np.float32))[None] / 10000
    lr = degrade(hr, 4)
    sr = torch.nn.functional.interpolate(lr, scale_factor=4, mode="bicubic")
    psnr = -10 * torch.log10(((sr - hr) ** 2).mean())
    assert 26 < float(psnr) < 38
    # The sensor's noise alone would allow far more.
    flat = hr[0, 3, :, :].unfold(0, 4, 4).unfold(1, 4, 4).std(dim=(2, 3))
    assert float(flat.quantile(0.02)) < 0.004


def test_small_and_odd_sizes_work():
    for size in (64, 97, 333):
        assert draw_landscape(size, np.random.default_rng(0)).shape == (4, size, size)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_prints_the_paths(tmp_path):
    result = run(tmp_path / "scenes", "--count", 2, "--size", 64, "--seed", 3)
    assert result.exit_code == 0
    assert result.stdout.split() == [str(tmp_path / "scenes" / f"scene_0{i}.tif") for i in range(2)]


def test_a_folder_in_use_is_refused_without_overwrite(tmp_path):
    (tmp_path / "notes.txt").touch()
    result = run(tmp_path, "--count", 1, "--size", 64)
    assert isinstance(result.exception, RefusedError)
    assert result.exception.exit_code == 2
    assert "is not empty" in result.exception.message
    assert "--overwrite" in result.exception.hint
    assert run(tmp_path, "--count", 1, "--size", 64, "--overwrite").exit_code == 0
    assert (tmp_path / "notes.txt").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "scenes").touch()
    assert "is a file" in run(tmp_path / "scenes").exception.message


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SrganError, match=r"cannot write .*scene_00.tif"):
        write_scenes(tmp_path / "file" / "scenes", 1, 64, 0)
