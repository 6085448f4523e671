"""`srgan data` from the command line."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

GAP = "\n\n"


@pytest.fixture
def config_file(tiny, tmp_path):
    from srgan_cli.config import dump_config

    path = tmp_path / "cfg.yaml"
    path.write_text(dump_config(tiny()))
    return path


def write(path, pixels):
    profile = {
        "driver": "GTiff", "count": len(pixels), "height": pixels.shape[1],
        "width": pixels.shape[2], "dtype": pixels.dtype.name, "crs": "EPSG:32631",
        "transform": from_origin(700000, 4000000, 10, 10),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_imagery_that_is_in_order(srgan, config_file, tmp_path):
    sheet = tmp_path / "pairs.png"
    code, out, err = srgan("data", config_file, "--sheet", sheet)
    assert code == 0
    tables = out.split(GAP)
    files, bands, facts, legend, verdict = tables
    assert files.splitlines()[0].split()[:4] == ["file", "role", "size", "bands"]
    assert len(files.splitlines()) == 4
    assert "scene0.tif" in files
    assert "9 of 9" in files
    assert bands.splitlines()[1].startswith("band 1")
    assert "normalization sen2_stretch_10k: scale 0.0003333, offset 0" in facts
    assert "LR is made by degradation bicubic" in facts
    assert "see the training imagery once" in facts
    assert "row 1, column 1: scene0.tif from row" in legend
    assert verdict.strip() == f"{config_file}: OK"
    assert "data 6/6" in err
    with rasterio.open(sheet) as dataset:
        assert dataset.count == 3
    code, _, err = srgan("data", config_file, "--sheet", sheet)
    assert code == 2
    assert "pairs.png exists" in err
    assert "--overwrite" in err
    assert srgan("-q", "data", config_file, "--sheet", sheet, "--overwrite")[0] == 0


def test_a_sheet_that_cannot_be_written_is_refused(srgan, config_file, tmp_path):
    code, out, err = srgan("data", config_file, "--sheet", tmp_path / "none" / "a.png")
    assert (code, out) == (2, "")
    assert "there is no folder" in err
    empty = ("--set", "Data.min_texture=100", "--sheet", tmp_path / "a.png")
    code, out, err = srgan("data", config_file, *empty)
    assert code == 0
    assert "a.png is not written: there is no usable crop" in err
    assert not (tmp_path / "a.png").exists()


def test_all_problems_are_numbered_with_their_fix(srgan, config_file, tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    folder = tmp_path / "bad"
    folder.mkdir()
    write(folder / "photo.tif", photo)
    write(folder / "narrow.tif", (photo[:, :, :16] * 10).astype(np.uint16))
    (folder / "text.tif").write_text("hello")
    code, out, err = srgan("data", config_file, "--set", f"Data.hr={folder}")
    assert code == 1
    assert "Traceback" not in err
    verdict = out.split(GAP)[-1].splitlines()
    assert verdict[0] == f"{config_file}: 3 problems"
    problems, fixes = verdict[1::2], verdict[2::2]
    assert [line[:3] for line in problems] == ["1. ", "2. ", "3. "]
    assert all(line.startswith("   fix: ") for line in fixes)
    assert "narrow.tif is 16x64 pixels, smaller than one crop" in problems[0]
    assert "photo.tif holds uint8 values" in problems[1]
    assert "set Data.normalization: uint8" in fixes[1]
    assert "cannot open" in problems[2]


def test_json_holds_everything_and_is_strict(srgan, config_file, tmp_path):
    code, out, _ = srgan("data", config_file, "--json", "--set", "Data.normalization=mean_std")
    assert code == 0
    told = json.loads(out, parse_constant=pytest.fail)
    assert told["ok"] is True
    assert told["problems"] == []
    assert len(told["files"]) == 3
    assert told["files"][0]["pixel_m"] == 10
    assert len(told["radiometry"]["scale"]) == 2
    code, out, _ = srgan("data", config_file, "--json", "--set", f"Data.hr={tmp_path}/none")
    assert code == 1
    told = json.loads(out)
    assert told["ok"] is False
    assert "there is no" in told["problems"][0]["text"]
    assert told["problems"][0]["hint"]


def test_a_configuration_that_cannot_be_read_is_refused_as_ever(srgan, tmp_path):
    code, out, err = srgan("data", tmp_path / "none.yaml")
    assert (code, out) == (2, "")
    assert "no such file" in err


def test_given_pairs_are_tabled(srgan, config_file, tmp_path):
    rng = np.random.default_rng(0)
    lr = rng.integers(300, 4000, (2, 64, 64)).astype(np.uint16)
    for folder, pixels in (("hr", lr.repeat(2, 1).repeat(2, 2)), ("lr", lr)):
        (tmp_path / folder).mkdir()
        for name, turned in (("a", pixels), ("b", pixels[:, ::-1])):
            path = tmp_path / folder / f"{name}.tif"
            size = 10 if folder == "lr" else 5
            with rasterio.open(
                path, "w", driver="GTiff", count=2, height=turned.shape[1], width=turned.shape[2],
                dtype="uint16", crs="EPSG:32631", transform=from_origin(7e5, 4e6, size, size),
            ) as dataset:  # fmt: skip
                dataset.write(turned)
    overrides = ["--set", f"Data.hr={tmp_path}/hr", "--set", f"Data.lr={tmp_path}/lr"]
    code, out, err = srgan("data", config_file, *overrides)
    assert code == 0, out + err
    (table,) = (part for part in out.split(GAP) if part.startswith("LR "))
    assert "0.00 down, 0.00 right" in table
    assert "1.000" in table
    assert "degradation" not in out
