"""Checkerboards on the validation tiles of a run folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run, write_folder

from srgan_cli.diagnose import Report, diagnose_run

SCALE, SIDE = 4, 96


def scenes(seed: int, num: int, bands: int) -> np.ndarray:
    """Smooth tiles (N, C, H, W) with some texture."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    frequency[0, 0] = 1
    noise = rng.normal(size=(num, bands, SIDE, SIDE))
    tiles = np.fft.ifft2(np.fft.fft2(noise) / frequency**1.5).real
    return 0.3 + 0.1 * tiles / tiles.std(axis=(2, 3), keepdims=True)


def grid(amplitude: float, period: int) -> np.ndarray:
    """A pattern of the given root mean square, as a share of a range of about 0.4."""
    pattern = np.random.default_rng(1).normal(size=(period, period))
    pattern -= pattern.mean()
    pattern *= 0.4 * amplitude / np.sqrt((pattern**2).mean())
    return np.tile(pattern, (SIDE // period, SIDE // period))


def folder_with_tiles(
    path: Path,
    *,
    sr: float = 0.0,
    hr: float = 0.0,
    period: int = 4,
    num: int = 24,
    bands: int = 2,
    steps: tuple[int, ...] = (1700, 1800, 1900, 2000),
    invalid: int = 0,
) -> Path:
    folder = write_folder(Run(), path)
    (folder / "tiles").mkdir()
    truth = scenes(0, num, bands) + grid(hr, period)
    valid = np.ones((num, 1, SIDE, SIDE), np.float16)
    valid[:invalid, :, 10:20] = 0
    lr = truth.reshape(num, bands, SIDE // SCALE, SCALE, SIDE // SCALE, SCALE).mean(axis=(3, 5))
    np.savez_compressed(
        folder / "tiles" / "reference.npz",
        lr=lr.astype(np.float16),
        hr=truth.astype(np.float16),
        valid=valid,
    )
    for index, step in enumerate(steps):
        made = truth + 0.002 * scenes(10 + index, num, bands) + grid(sr, period)
        made[:invalid] = np.nan
        np.savez_compressed(folder / "tiles" / f"step_{step:06d}.npz", sr=made.astype(np.float16))
    return folder


def finding(report: Report, code: str) -> object:
    return next((found for found in report.findings if found.code == code), None)


def reason(report: Report) -> str:
    return next(skipped.reason for skipped in report.not_checked if skipped.code == "IMG01")


def test_clean_tiles(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run"))
    assert {"IMG01", "IMG03"} <= set(report.checked)
    assert not report.reaches("info")
    assert report.overview.images.startswith("no checkerboard (0.0")
    assert "24 tiles, last step 2000" not in report.overview.images, "16 tiles are enough"


@pytest.mark.parametrize(
    ("amplitude", "severity"), [(0.008, "info"), (0.035, "warn"), (0.08, "error")]
)
@pytest.mark.parametrize(("period", "stage"), [(2, "the last"), (4, "an earlier")])
def test_checkerboard(
    amplitude: float, severity: str, period: int, stage: str, tmp_path: Path
) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", sr=amplitude, period=period))
    found = finding(report, "IMG01")
    assert found.severity == severity
    assert (
        "of the value range is locked to the 4 px grid in the last 3 validations" in found.message
    )
    assert found.evidence["amplitude"] == pytest.approx(amplitude, rel=0.3)
    assert len(found.evidence["pattern"]) == SCALE
    if period == 2:
        assert f"made by {stage} upsampling stage" in found.message
    assert found.window == (1800, 2000)
    assert found.remedy[0].key == "Optimizers.optim_d_lr"
    assert report.overview.images.startswith("grid-locked pattern")


def test_without_icnr_the_key_is_named(tmp_path: Path) -> None:
    folder = folder_with_tiles(tmp_path / "run", sr=0.01)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text + "Generator: {use_icnr: false}\n")
    remedy = finding(diagnose_run(folder), "IMG01").remedy[0]
    assert (remedy.key, remedy.old, remedy.new) == ("Generator.use_icnr", False, True)


def test_a_grid_in_hr_is_the_cause(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", hr=0.01))
    found = finding(report, "IMG03")
    assert found.severity == "warn"
    assert found.explains == ("IMG01",)
    assert finding(report, "IMG01") is None
    assert "HR itself carries a pattern of" in found.message


def test_one_bad_validation_is_not_the_state(tmp_path: Path) -> None:
    folder = folder_with_tiles(tmp_path / "run")
    bad = np.load(folder / "tiles" / "step_001900.npz")["sr"] + grid(0.03, 4)
    np.savez_compressed(folder / "tiles" / "step_001900.npz", sr=bad.astype(np.float16))
    assert not diagnose_run(folder).reaches("info")


def test_few_tiles_stay_unconfirmed(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", sr=0.03, num=6))
    found = finding(report, "IMG01")
    assert found.severity == "info"
    assert "unconfirmed with 6 tiles: could be a periodic texture" in found.message


def test_a_single_validation_is_no_error(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", sr=0.03, steps=(2000,)))
    assert finding(report, "IMG01").severity == "warn"
    assert "in the last validation (" in finding(report, "IMG01").message


def test_tiles_with_invalid_pixels_are_left_out(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", invalid=10))
    assert "14 tiles" in report.overview.images
    report = diagnose_run(folder_with_tiles(tmp_path / "most", invalid=21))
    assert reason(report) == "3 tiles without invalid pixels; scale 4 needs 4"


def test_what_stops_the_image_checks_is_said(tmp_path: Path) -> None:
    folder = folder_with_tiles(tmp_path / "run")
    tiles = folder / "tiles"
    (tiles / "step_002100.npz").write_bytes(b"PK\x03\x04 torn")
    assert "tiles/step_002100.npz cannot be read" in reason(diagnose_run(folder))
    np.savez(tiles / "step_002100.npz", other=np.zeros(3))
    assert "step_002100.npz cannot be read" in reason(diagnose_run(folder))
    np.savez(tiles / "step_002100.npz", sr=np.zeros((24, 2, 48, 48)))
    assert "do not match the HR tiles" in reason(diagnose_run(folder))
    np.savez(tiles / "step_002100.npz", sr=np.zeros(4))
    assert "has the shape (4,)" in reason(diagnose_run(folder))
    (tiles / "step_002100.npz").unlink()
    (tiles / "reference.npz").unlink()
    assert "reference.npz (LR and HR of the tiles) is missing" in reason(diagnose_run(folder))
    for file in tiles.iterdir():
        file.unlink()
    assert reason(diagnose_run(folder)) == "no validation tiles have been written yet"
    tiles.rmdir()
    assert "no tiles/ folder" in reason(diagnose_run(folder))
