"""`srgan diagnose out.tif`: planted grids found, clean images passed, useless ones refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from test_findings import keys, only
from test_grid_findings import scenes

from srgan_cli.diagnose.raster import diagnose_raster
from srgan_cli.errors import RefusedError

ROOT = Path(__file__).parents[2]
SCENES = ROOT.parent / "shared" / "data" / "scenes"


def load_benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "checkerboard_limits.py"
    spec = importlib.util.spec_from_file_location("checkerboard_limits", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = load_benchmark()


def scene(seed: int = 0, rows: int = 6, columns: int = 7, bands: int = 2) -> np.ndarray:
    """A uint16 image of texture, pasted of tiles."""
    tiles = scenes(seed, rows * columns, bands)
    image = tiles.reshape(rows, columns, bands, *tiles.shape[2:]).transpose(2, 0, 3, 1, 4)
    return (
        np.round(10000 * image.reshape(bands, rows * 96, columns * 96))
        .clip(1, 65535)
        .astype("uint16")
    )


def write(path: Path, image: np.ndarray, scale: int = 1, tags: Any = None, **profile: Any) -> Path:
    """A GeoTIFF with pixels of 10 m / scale."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(image), height=image.shape[1], width=image.shape[2],
        dtype=image.dtype,
        **{"crs": "EPSG:32631", "transform": from_origin(500000, 4000000, 10 / scale, 10 / scale), **profile},
    ) as out:  # fmt: skip
        out.write(image)
        out.update_tags(**(tags or {}))
    return path


def lr_of(image: np.ndarray, scale: int) -> np.ndarray:
    bands, height, width = image.shape
    cells = image.reshape(bands, height // scale, scale, width // scale, scale)
    return np.round(cells.mean(axis=(2, 4))).astype(image.dtype)


@pytest.mark.parametrize(("scale", "period"), [(2, 2), (4, 2), (4, 4), (8, 8)])
@pytest.mark.parametrize(
    ("amplitude", "severity"), [(0.003, "info"), (0.008, "warn"), (0.03, "error")]
)
def test_planted_grid(
    scale: int, period: int, amplitude: float, severity: str, tmp_path: Path
) -> None:
    sr = BENCHMARK.planted(scene(), period, amplitude, 3)
    report = diagnose_raster(write(tmp_path / "sr.tif", sr), scale)
    found = only(report, "IMG01")
    assert found.severity == severity
    assert found.evidence["amplitude"] == pytest.approx(amplitude, rel=0.4)
    assert f"is locked to the {scale} px grid (z " in found.message
    assert "validation" not in found.message
    assert keys(found)[0] == "Generator.use_icnr"
    assert report.form == "SR raster"
    assert report.verdict.startswith("clean" if severity == "info" else "this image")


@pytest.mark.parametrize("scale", [2, 4])
def test_images_without_an_artefact(scale: int, tmp_path: Path) -> None:
    for kind, image in BENCHMARK.clean(scene(1), scale, 0):
        report = diagnose_raster(write(tmp_path / f"{kind}.tif", image), scale)
        assert "IMG01" in report.checked
        assert [f.code for f in report.findings] == (["IMG07"] if kind == "nearest" else []), kind


@pytest.mark.skipif(not SCENES.is_dir(), reason="the scenes are not there")
@pytest.mark.parametrize(
    "name", ["s2_l1c_T49JGM_20171022_10m_B04B03B02B08_nocrs.tif", "naip_va_1m_rgbn.tif"]
)
def test_limits_on_real_scenes(name: str, tmp_path: Path) -> None:
    """The table of the benchmark in small: 0.2 % of the range is found, clean images are not."""
    image = BENCHMARK.read_scene(SCENES / name)
    for scale, period in ((4, 4), (4, 2)):
        for amplitude in (0.003, 0.05):
            found, size = BENCHMARK.judged(
                BENCHMARK.planted(image, period, amplitude, 1), scale, tmp_path
            )
            assert found, (scale, period, amplitude)
            assert size == pytest.approx(amplitude, rel=0.5)
    for kind, clean in BENCHMARK.clean(image, 4, 2):
        assert not BENCHMARK.judged(clean, 4, tmp_path)[0], kind


def test_with_lr_radiometry_and_position_are_checked(tmp_path: Path) -> None:
    image = scene(2, bands=3)
    lr = write(tmp_path / "lr.tif", lr_of(image, 4))
    report = diagnose_raster(write(tmp_path / "sr.tif", image, 4), 4, lr)
    assert {"IMG01", "IMG04", "IMG05", "IMG07", "IMG10", "IMG11"} <= set(report.checked)
    assert not report.findings
    biased = image.copy()
    biased[1] = biased[1] + 300
    found = only(diagnose_raster(write(tmp_path / "b.tif", biased, 4), 4, lr), "IMG05")
    assert found.severity == "warn"
    assert "band 2 differs from LR by" in found.message
    moved = np.roll(image, 2, axis=2)
    found = only(diagnose_raster(write(tmp_path / "m.tif", moved, 4), 4, lr), "IMG10")
    assert "compare the bounds of both files" in found.remedy[0].why
    blank = np.full_like(image, 3000) + (image > 3500)
    found = only(
        diagnose_raster(write(tmp_path / "f.tif", blank.astype("uint16"), 4), 4, lr), "IMG11"
    )
    assert found.severity == "error"


def test_scale_comes_from_the_tag(tmp_path: Path) -> None:
    sr = write(tmp_path / "sr.tif", scene(), tags={"SRGAN_SCALE": "4", "SRGAN_SIZE": "672 576"})
    assert "scale 4, " in diagnose_raster(sr).extent
    with pytest.raises(RefusedError, match="was made with scale 4, --scale says 2"):
        diagnose_raster(sr, 2)
    untagged = write(tmp_path / "u.tif", scene())
    with pytest.raises(RefusedError, match="does not say how many times it was enlarged"):
        diagnose_raster(untagged)
    with pytest.raises(RefusedError, match="scale 1 has no upsampling grid"):
        diagnose_raster(untagged, 1)


def test_the_scale_of_an_inferred_image_is_known(
    tmp_path: Path, scenes: Path, tiny_yaml: Any, srgan: Any
) -> None:
    """Through the command line, from a trained generator to the report of its image."""
    run, sr = tmp_path / "run", tmp_path / "sr.tif"
    assert srgan("train", tiny_yaml(), "--run-dir", run)[0] == 0
    lr = write(tmp_path / "lr.tif", scene(3, 3, 3))
    code, _, err = srgan("infer", lr, sr, "--weights", run / "weights" / "ema.safetensors")
    assert code == 0, err
    code, out, err = srgan("diagnose", sr, "--lr", lr, "--json")
    assert code in (0, 1), err
    report = json.loads(out)
    assert report["form"] == "SR raster"
    assert report["extent"].startswith("576 x 576 px, 2 bands, scale 2, ")
    assert "IMG01" in report["checked"]
    with (
        rasterio.open(sr) as dataset,
        WarpedVRT(dataset, crs="EPSG:3857", resampling=Resampling.bilinear) as warped,
    ):
        rasterio.shutil.copy(warped, tmp_path / "warped.tif", driver="GTiff")
        tags = dataset.tags()
    with rasterio.open(tmp_path / "warped.tif", "r+") as warped_file:
        warped_file.update_tags(**tags)  # as gdalwarp does
    code, out, err = srgan("diagnose", tmp_path / "warped.tif")
    assert code == 2
    assert "it was resampled, reprojected or cut since" in err
    assert "give the file as srgan infer wrote it" in err


def test_nodata_is_skipped(tmp_path: Path) -> None:
    sr = BENCHMARK.planted(scene(4), 4, 0.01, 0)
    sr[:, :200], sr[:, :, 500:] = 0, 0
    tagged = diagnose_raster(write(tmp_path / "a.tif", sr, nodata=0), 4)
    assert only(tagged, "IMG01").evidence["amplitude"] == pytest.approx(0.01, rel=0.4)
    untagged = diagnose_raster(write(tmp_path / "b.tif", sr), 4)
    assert only(untagged, "IMG01").evidence["amplitude"] == pytest.approx(0.01, rel=0.4)
    floats = sr.astype("float32")
    floats[:, :200] = np.nan
    report = diagnose_raster(write(tmp_path / "c.tif", floats), 4)
    assert only(report, "IMG01").evidence["amplitude"] == pytest.approx(0.01, rel=0.4)
    with pytest.raises(
        RefusedError, match="0 tiles of .* px without nodata or fill; scale 4 needs 4"
    ):
        diagnose_raster(write(tmp_path / "d.tif", np.zeros_like(sr), nodata=0), 4)


def refused(words: str, path: Path, scale: int = 4) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        diagnose_raster(path, scale)
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_no_longer_is_the_networks_output_is_refused(tmp_path: Path) -> None:
    rgb = (scene(0, bands=3) // 256 + 30).astype("uint8")
    refused("compressed with losses .*JPEG", write(tmp_path / "a.tif", rgb, compress="JPEG"))
    refused("compressed with losses", write(tmp_path / "b.tif", rgb, compress="WEBP"))
    lossless = write(tmp_path / "c.tif", rgb, compress="WEBP", WEBP_LOSSLESS=True)
    assert "IMG01" in diagnose_raster(lossless, 4).checked
    rgba = np.concatenate([rgb, np.full_like(rgb[:1], 255)])
    refused(
        "8-bit picture with an alpha band",
        write(tmp_path / "d.tif", rgba, photometric="RGB", alpha="YES"),
    )
    bands, height, width = rgb.shape
    for name, driver, message in (
        ("e.png", "PNG", "is a PNG, a picture for the screen"),
        ("e.jpg", "JPEG", "compressed with losses"),
    ):
        size = {"count": bands, "height": height, "width": width}
        with rasterio.open(tmp_path / name, "w", driver=driver, dtype="uint8", **size) as out:
            out.write(rgb)
        refused(message, tmp_path / name)
    with rasterio.open(write(tmp_path / "p.tif", rgb[:1])) as dataset:
        profile = dataset.profile
    with rasterio.open(tmp_path / "p.tif", "w", **profile) as out:
        out.write(rgb[:1])
        out.write_colormap(1, {value: (value, value, 0, 255) for value in range(256)})
    refused("has a colour table", tmp_path / "p.tif")
    sr = write(tmp_path / "sr.tif", scene())
    with rasterio.open(sr) as dataset, WarpedVRT(dataset, crs="EPSG:3857") as warped:
        rasterio.shutil.copy(warped, tmp_path / "w.vrt", driver="VRT")
    refused("is a warped VRT", tmp_path / "w.vrt")


def test_bad_files_are_told(tmp_path: Path) -> None:
    refused("does not exist", tmp_path / "none.tif")
    (tmp_path / "torn.tif").write_bytes(b"II*\0 torn")
    refused("cannot open", tmp_path / "torn.tif")
    good = write(tmp_path / "good.tif", scene(), compress="DEFLATE")
    shutil.copy(good, tmp_path / "cut.tif")
    with (tmp_path / "cut.tif").open("r+b") as file:
        file.truncate(good.stat().st_size // 2)
    refused("cannot (open|read)", tmp_path / "cut.tif")
    refused(
        "tiles of 32 px without nodata or fill; scale 4 needs 4",
        write(tmp_path / "s.tif", scene()[:, :36, :36]),
    )


def test_another_lr_is_refused(tmp_path: Path) -> None:
    image = scene()
    sr, lr = write(tmp_path / "sr.tif", image, 4), lr_of(image, 4)

    def with_lr(words: str, path: Path) -> None:
        with pytest.raises(RefusedError, match=words):
            diagnose_raster(sr, 4, path)

    beyond = "reaches beyond .*columns 0 to 167 and rows 0 to 143 of an image of 167 x 144 px"
    with_lr(beyond, write(tmp_path / "a.tif", lr[:, :, 1:]))
    with_lr("has 2 bands, .* has 1", write(tmp_path / "b.tif", lr[:1]))
    with_lr("does not lie on the pixel grid", write(tmp_path / "c.tif", lr, crs="EPSG:32632"))
    other = from_origin(500005, 4000000, 10, 10)
    off = r"off it by 2 px .*\[2.5, 0, 500000, .* and \[10, 0, 500005, "
    with_lr(
        f"does not lie on the pixel grid .*{off}", write(tmp_path / "d.tif", lr, transform=other)
    )
    with_lr("does not exist", tmp_path / "none.tif")


def test_a_part_of_the_lr_is_enough(tmp_path: Path) -> None:
    image = scene(5)
    whole = write(tmp_path / "lr.tif", lr_of(image, 4))
    part = image[:, 100:520, 60:640]
    corner = from_origin(500000 + 60 * 2.5, 4000000 - 100 * 2.5, 2.5, 2.5)
    sr = write(tmp_path / "sr.tif", part, 4, transform=corner)
    report = diagnose_raster(sr, 4, whole)
    assert {"IMG05", "IMG10"} <= set(report.checked)
    assert not report.findings
    assert "it was made of columns 15 to 159 and rows 25 to 129 of the LR raster" in report.notes
    # One LR pixel further on is another ground: the image seems shifted.
    moved = from_origin(500000 + 64 * 2.5, 4000000 - 100 * 2.5, 2.5, 2.5)
    wrong = write(tmp_path / "moved.tif", part, 4, transform=moved)
    assert "IMG10" in {f.code for f in diagnose_raster(wrong, 4, whole).findings}


def test_a_small_image_is_not_judged_by_its_grid(tmp_path: Path) -> None:
    report = diagnose_raster(write(tmp_path / "sr.tif", scene()[:, :150]), 8)
    assert report.verdict == "too small to judge its grid by: nothing else is wrong with it"
    reasons = {s.code: s.reason for s in report.not_checked}
    assert "too small to tell a street from an artefact" in reasons["IMG01"]


def test_a_pattern_that_few_tiles_cannot_confirm_is_not_called_absent(tmp_path: Path) -> None:
    """Five rows and columns of tiles have too few shifts by one pixel to exclude chance."""
    sr = BENCHMARK.planted(scene()[:, :300, :300], 2, 0.05, 0)
    report = diagnose_raster(write(tmp_path / "sr.tif", sr), 8)
    assert not report.findings
    words = report.overview.images
    assert words.startswith("no checkerboard beyond chance (4.8"), words
    assert ", 25 tiles, z 4." in words


def test_an_odd_size_is_noted(tmp_path: Path) -> None:
    report = diagnose_raster(write(tmp_path / "sr.tif", scene()[:, 1:, 2:]), 4)
    assert "its size is no multiple of the scale 4" in report.notes[0]


def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    large = tmp_path / "large.tif"
    tile = scene(0, 2, 2)
    with rasterio.open(
        large, "w", driver="GTiff", count=2, height=9600, width=9600, dtype="uint16", tiled=True,
        SPARSE_OK=True, transform=from_origin(500000, 4000000, 1, 1), crs="EPSG:32631",
    ) as out:  # fmt: skip
        for row in range(0, 9600, 1920):
            for column in range(0, 9600, 192):
                window = rasterio.windows.Window(column, row, 192, 192)
                out.write(tile, window=window)
    tracemalloc.start()
    report = diagnose_raster(large, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ", 64 tiles of " in report.extent
    assert peak < 200e6


def test_many_bands_are_sampled(tmp_path: Path) -> None:
    report = diagnose_raster(write(tmp_path / "sr.tif", scene(0, 5, 5, 1).repeat(20, axis=0)), 4)
    assert report.notes[-1].startswith("bands 1, 3, 4, ")
    assert "20 were judged" in report.notes[-1]


def test_options_belong_to_rasters(tmp_path: Path, srgan: Any) -> None:
    code, _, err = srgan("diagnose", tmp_path, "--scale", 4)
    assert code == 2
    assert "is no raster, so --scale and --lr say nothing" in err


def test_report_on_the_terminal(tmp_path: Path, srgan: Any) -> None:
    sr = write(tmp_path / "sr.tif", BENCHMARK.planted(scene(), 4, 0.03, 0))
    code, out, _ = srgan("diagnose", sr, "--scale", 4)
    assert code == 1
    assert out.splitlines()[0].startswith("image ")
    assert "this image has a problem: 1 error" in out
    assert "ERROR IMG01  The images show a grid-locked pattern\n" in out
    assert "schedule" not in out
    assert srgan("diagnose", write(tmp_path / "c.tif", scene()), "--scale", 4)[0] == 0
