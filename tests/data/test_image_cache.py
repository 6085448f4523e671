import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from srgan_cli.data import cache
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError


@pytest.fixture
def sets(write_raster, scene, tmp_path):
    """Scenes of several kinds: plain, masked, with NaN, bands chosen, scale tags."""
    plain = [str(scene("a.tif")), str(scene("b.tif"))]
    pixels = np.random.default_rng(0).integers(300, 4000, (4, 96, 96))
    mask = np.full((96, 96), 255, np.uint8)
    mask[:30, :50] = 0
    masked = str(write_raster("masked.tif", pixels.astype(np.uint16), mask=mask))
    floats = pixels.astype(np.float32)
    floats[:, :40, :40] = np.nan
    nan = str(write_raster("nan.tif", floats))
    tagged = str(write_raster("tagged.tif", pixels.astype(np.int16)))
    import rasterio

    with rasterio.open(tagged, "r+") as dataset:
        dataset.scales = (2.0, 1.0, 0.5, 1.0)
    return {
        "plain": {"hr": plain},
        "masked": {"hr": [masked, *plain]},
        "nan": {"hr": [nan, nan.replace("nan", "masked")], "nodata": 1234.0},
        "bands": {"hr": plain, "bands": [4, 2], "in_bands": 2},
        "tagged": {"hr": [tagged, masked], "apply_scale_offset": True},
    }


def same(left, right):
    return all(
        torch.equal(a, b)
        for x, y in zip(left, right, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("kind", ["plain", "masked", "nan", "bands", "tagged"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_crops_from_memory_are_those_from_the_files(sets, config, kind, num_workers, monkeypatch):
    monkeypatch.setattr(cache, "PIECE_BYTES", 5000)
    common = sets[kind] | {"val_hr": sets["plain"]["hr"][0]}
    files = open_training_data(config(**common))
    memory = open_training_data(config(**common, cache="ram", num_workers=num_workers))
    assert same(files.train_batches(0, 6), memory.train_batches(0, 6))


def test_files_are_not_read_again(sets, config, tmp_path):
    data = open_training_data(config(**sets["plain"], cache="ram", num_workers=1))
    batches = list(data.train_batches(0, 4))
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    assert same(batches, data.train_batches(0, 4))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pairs_share_the_memory(write_raster, config, tmp_path):
    lr = np.random.default_rng(0).integers(300, 4000, (2, 40, 40)).astype(np.uint16)
    for name in "ab":
        write_raster(f"lr/{name}.tif", lr, crs=None, transform=None)
        write_raster(f"hr/{name}.tif", lr.repeat(2, 1).repeat(2, 2), crs=None, transform=None)
    base = {"root_dir": str(tmp_path), "hr": "hr", "lr": "lr", "in_bands": 2, "scale": 2}
    files = open_training_data(config(**base))
    memory = open_training_data(config(**base, cache="ram"))
    assert same(files.train_batches(0, 3), memory.train_batches(0, 3))


def test_a_set_that_does_not_fit_is_refused_with_the_numbers(sets, config, monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda: 50_000)
    with pytest.raises(RefusedError) as caught:
        open_training_data(config(**sets["plain"], val_hr=sets["plain"]["hr"], cache="ram"))
    assert "Data.cache: ram needs 0.00 GiB for 2 files" in caught.value.message
    assert "free in memory at most 80% may be taken" in caught.value.message
    assert "Data.cache: none" in caught.value.hint
    together = config(**sets["plain"], val_hr=sets["plain"]["hr"], cache="ram")
    training = together.training.model_copy(update={"num_processes": 2, "device": "cpu"})
    with pytest.raises(RefusedError, match="for 2 files in each of 2 processes, but"):
        open_training_data(together.model_copy(update={"training": training}))


def test_shared_memory_that_is_too_small_is_refused_with_the_way_on(
    sets, config, monkeypatch, tmp_path
):
    monkeypatch.setattr(cache, "SHARED_FOLDER", str(tmp_path))
    small_folder = SimpleNamespace(free=64 * 1024)
    elsewhere = shutil.disk_usage
    monkeypatch.setattr(
        cache.shutil,
        "disk_usage",
        lambda folder: small_folder if folder == str(tmp_path) else elsewhere(folder),
    )
    small = {**sets["plain"], "cache": "ram"}
    open_training_data(config(**small, num_workers=0))
    with pytest.raises(RefusedError, match=f"free in {tmp_path} at most 80%") as caught:
        open_training_data(config(**small, num_workers=2))
    assert "--shm-size" in caught.value.hint


def test_free_memory_is_a_sensible_number():
    assert 2**20 < cache.free_memory() < 2**50


def test_an_unreadable_file_is_left_to_skipping(sets, config, tmp_path):
    data = open_training_data(
        config(**sets["plain"], val_hr=sets["plain"]["hr"][0], cache="ram", on_bad_file="skip")
    )
    (tmp_path / "b.tif").unlink()
    told = []
    assert len(list(data.train_batches(0, 6, warn=told.append))) == 6
    assert "because cannot open" in told[0]
    strict = open_training_data(
        config(hr=str(tmp_path / "a.tif"), val_hr=str(tmp_path / "a.tif"), cache="ram")
    )
    (tmp_path / "a.tif").unlink()
    with pytest.raises(RefusedError, match="cannot open"):
        next(strict.train_batches(0, 1))
