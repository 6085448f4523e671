"""Data sets of OpenSR-SRGAN's layouts, read without conversion."""

import sys

import numpy as np
import pytest
import torch
from products import write_taco

from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError


def pair(seed, bands=4, side=12, scale=4):
    """LR and HR (bands, rows, cols) that fit exactly: HR repeats LR."""
    lr = np.random.default_rng(seed).integers(300, 4000, (bands, side, side)).astype(np.uint16)
    return lr, lr.repeat(scale, 1).repeat(scale, 2)


def save(path, pixels, kind, write_raster):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "tif":
        write_raster(path.with_suffix(".tif"), pixels, crs=None, transform=None)
    elif kind == "npy-hwc":
        np.save(path.with_suffix(".npy"), pixels.transpose(1, 2, 0))
    elif kind == "npy-chw":
        np.save(path.with_suffix(".npy"), pixels)
    elif kind == "npz":
        np.savez_compressed(path.with_suffix(".npz"), image=pixels.transpose(1, 2, 0))


def fits(batch, scale=4):
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(batch.hr, scale), batch.lr)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", ["tif", "npy-hwc", "npy-chw", "npz"])
def test_folders_of_pairs_of_every_kind(tmp_path, config, write_raster, kind):
    for split, seeds in (("train", range(3)), ("val", [3]), ("test", [4])):
        for seed in seeds:
            lr, hr = pair(seed)
            save(tmp_path / split / "LR" / f"s{seed}", lr, kind, write_raster)
            save(tmp_path / split / "HR" / f"s{seed}", hr, kind, write_raster)
            (tmp_path / split / "LR" / f"s{seed}.tif.aux.xml").write_text("<PAMDataset/>")
            (tmp_path / split / "HR" / "Thumbs.db").touch()
    settings = {"dataset_type": "LRHRFolderDataset", "root_dir": str(tmp_path)}
    data = open_training_data(config(**settings))
    assert len(data.describe()) == 8
    batches = list(data.train_batches(0, 3))
    for batch in (*batches, data.validation()):
        fits(batch)
    assert max(float(batch.hr.max()) for batch in batches) <= 4000 / 3000
    with_workers = open_training_data(config(**settings, num_workers=2))
    for here, there in zip(batches, with_workers.train_batches(0, 3), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def test_an_array_too_small_to_tell_is_refused_at_the_start(tmp_path, config):
    for side, shape in (("LR", (4, 16, 4)), ("HR", (32, 32, 4))):
        (tmp_path / "train" / side).mkdir(parents=True)
        np.save(tmp_path / "train" / side / "a.npy", np.full(shape, 1000, np.uint16))
    with pytest.raises(RefusedError, match=r"a.npy is 4x16x4: .* the bands could be either"):
        open_training_data(config(dataset_type="LRHRFolderDataset", root_dir=str(tmp_path)))


def test_lr_and_hr_arrays_of_the_wrong_ratio_are_refused(tmp_path, config):
    for side, size in (("LR", 16), ("HR", 48)):
        (tmp_path / "train" / side).mkdir(parents=True)
        np.save(tmp_path / "train" / side / "a.npy", np.full((size, size, 4), 1000, np.uint16))
    with pytest.raises(RefusedError, match=r"a.npy is 48x48 and .*a.npy is 16x16; with .* 64x64"):
        open_training_data(config(dataset_type="LRHRFolderDataset", root_dir=str(tmp_path)))


def examples(folder, count, key="hr"):
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        _, hr = pair(seed)
        arrays = {"other": np.zeros(3), key: hr.transpose(1, 2, 0)}
        np.savez(folder / f"hr_{seed:04d}.npz", **arrays)


def test_the_example_set_takes_its_last_20_files_for_validation(tmp_path, config):
    examples(tmp_path, 23)
    np.savez(tmp_path / "statistics.npz", mean=np.zeros(4))
    data = open_training_data(
        config(dataset_type="ExampleDataset", root_dir=str(tmp_path), degradation="area")
    )
    roles = [row[1] for row in data.describe()]
    assert roles.count("train") == 3
    assert roles.count("val") == 20
    assert data.describe()[-1][0].endswith("hr_0022.npz")
    fits(next(data.train_batches(0, 1)))


def test_a_small_example_set_holds_back_as_any_other(tmp_path, config, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples(tmp_path / "example_dataset", 5)
    data = open_training_data(config(dataset_type="ExampleDataset", val_fraction=0.4))
    assert [row[1] for row in data.describe()].count("val") == 2


def test_an_example_set_that_is_not_there(tmp_path, config):
    missing = config(dataset_type="ExampleDataset", root_dir=str(tmp_path / "none"))
    with pytest.raises(RefusedError, match=r"Data.root_dir: there is no folder .*none"):
        open_training_data(missing)
    with pytest.raises(RefusedError, match="holds no npz file"):
        open_training_data(config(dataset_type="ExampleDataset", root_dir=str(tmp_path)))


def taco(tmp_path, config, count, **data):
    pytest.importorskip("tacoreader")
    path = write_taco(tmp_path / "pairs.taco", [pair(seed) for seed in range(count)])
    return config(dataset_type="SEN2NAIP", sen2naip_taco_file=str(path), **data)


def test_a_taco_file_is_read_in_place_and_split_as_the_peer_does(tmp_path, config):
    data = open_training_data(taco(tmp_path, config, 20, num_workers=1))
    rows = data.describe()
    assert len(rows) == 40
    assert [row[1] for row in rows].count("val") == 2
    assert all(row[0].startswith("/vsisubfile/") for row in rows)
    assert data.gsd_m == 2.5
    for batch in (*data.train_batches(0, 2), data.validation()):
        fits(batch)
    half = taco(tmp_path, config, 6, sen2naip_val_fraction=0.5)
    assert [row[1] for row in open_training_data(half).describe()].count("val") == 3


def test_taco_files_that_cannot_be_read(tmp_path, config):
    pytest.importorskip("tacoreader")
    with pytest.raises(RefusedError, match="Data.sen2naip_taco_file: SEN2NAIP needs it"):
        open_training_data(config(dataset_type="SEN2NAIP"))
    path = tmp_path / "a.taco"
    missing = config(dataset_type="SEN2NAIP", sen2naip_taco_file=str(path))
    with pytest.raises(RefusedError, match=r"Data.sen2naip_taco_file: there is no .*a.taco"):
        open_training_data(missing)
    path.write_bytes(b"PK\3\4 another format")
    with pytest.raises(RefusedError, match=r"cannot read .*a.taco: Invalid file type"):
        open_training_data(missing)
    with pytest.raises(RefusedError, match="holds 1 pairs"):
        open_training_data(taco(tmp_path, config, 1))


def test_without_tacoreader_the_command_that_installs_it_is_told(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "tacoreader", None)
    monkeypatch.setitem(sys.modules, "tacoreader.v1", None)
    with pytest.raises(RefusedError, match="SEN2NAIP needs tacoreader") as caught:
        open_training_data(config(dataset_type="SEN2NAIP", sen2naip_taco_file="a.taco"))
    assert 'pip install "srgan-cli[taco]"' in caught.value.hint


def test_scale_and_offset_tags_are_applied_where_asked_for(tmp_path, config, write_raster):
    import rasterio

    stored = np.random.default_rng(0).integers(9000, 20_000, (2, 96, 96)).astype(np.uint16)
    stored[:, :40, :40] = 0
    path = write_raster("landsat.tif", stored, nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (2.75e-5, 2.75e-5), (-0.2, -0.1)
    common = {"hr": str(path), "val_hr": str(path), "in_bands": 2, "normalization": "zero_one"}
    data = open_training_data(config(apply_scale_offset=True, **common))
    assert not any("scale or offset" in warning for warning in data.warnings)
    batch = data.validation()
    known = batch.hr[(batch.valid == 1).expand_as(batch.hr)]
    assert 0.04 < float(known.min()) < float(known.max()) < 0.46
    measured = stored * 2.75e-5 + np.array([-0.2, -0.1])[:, None, None]
    assert np.isclose(measured, float(known[0]), atol=1e-6).any()
    with pytest.raises(RefusedError, match="holds uint16 values of 9"):
        open_training_data(config(**common))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.0001, 0.0001), (0, 0)
    stored_units = common | {"normalization": "normalise_10k"}
    warnings = open_training_data(config(**stored_units)).warnings
    assert "(Data.apply_scale_offset: true applies them)" in " ".join(warnings)
