"""Faults planted in validation tiles, found with their code and key; clean ones left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run, write_folder
from test_findings import Values, keys, only
from test_grid_findings import SCALE, SIDE, folder_with_tiles, grid, scenes
from test_image_measurements import moved, wave

from srgan_cli.diagnose import Report, diagnose_run
from srgan_cli.runfolder import HF_RATIO

Edit = Callable[[np.ndarray, int], np.ndarray]


def edited(path: Path, edit: Edit, **options: object) -> Path:
    """A run folder whose SR tiles are made wrong; `edit` sees the tiles and the step."""
    folder = folder_with_tiles(path, **{"num": 16, **options})  # type: ignore[arg-type]
    for file in (folder / "tiles").glob("step_*.npz"):
        sr = np.load(file)["sr"].astype(np.float64)
        step = int(file.stem.removeprefix("step_"))
        np.savez_compressed(file, sr=edit(sr, step).astype(np.float16))
    return folder


def judged(tmp_path: Path, edit: Edit, **options: object) -> Report:
    return diagnose_run(edited(tmp_path / "run", edit, **options))


def codes(report: Report) -> list[str]:
    return [found.code for found in report.findings]


STEPS = tuple(range(1100, 2001, 100))


def test_clean_tiles_are_checked_and_left_alone(tmp_path: Path) -> None:
    report = judged(tmp_path, lambda sr, step: sr, steps=STEPS)
    images = [f"IMG{number:02d}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)]
    assert set(images) <= set(report.checked)
    assert not report.reaches("info")


@pytest.mark.parametrize(("top", "severity"), [(0.04, "warn"), (0.01, "info")])
def test_growing_grid(top: float, severity: str, tmp_path: Path) -> None:
    def grows(sr: np.ndarray, step: int) -> np.ndarray:
        return sr + grid(top * (step - 1000) / 1000, 4)

    found = only(judged(tmp_path, grows, steps=STEPS), "IMG02")
    assert found.severity == severity
    assert found.phase == "adversarial"
    assert "its amplitude rose from" in found.message
    assert found.evidence["now"] == pytest.approx(0.9 * top, rel=0.35)
    assert "Optimizers.optim_d_lr" in keys(found)


@pytest.mark.parametrize("course", ["falls", "stays", "noisy"])
def test_a_grid_that_does_not_grow(course: str, tmp_path: Path) -> None:
    def other(sr: np.ndarray, step: int) -> np.ndarray:
        size = {
            "falls": 0.02 * (2100 - step) / 1000,
            "stays": 0.01,
            "noisy": 0.01 * float(np.random.default_rng(step).uniform(0.4, 1.6)),
        }[course]
        return sr + grid(size, 4)

    report = judged(tmp_path, other, steps=STEPS)
    assert "IMG02" in report.checked
    assert "IMG02" not in codes(report)


def test_few_validations_say_nothing_of_growth(tmp_path: Path) -> None:
    reasons = {s.code: s.reason for s in judged(tmp_path, lambda sr, step: sr).not_checked}
    assert reasons["IMG02"] == "4 validations with tiles in this phase; needs 6"


def test_saturation(tmp_path: Path) -> None:
    report = judged(tmp_path, lambda sr, step: np.minimum(sr, np.quantile(sr, 0.97)))
    found = only(report, "IMG04")
    assert found.severity == "warn"
    assert "lie exactly at the least or largest value" in found.message
    assert keys(found) == ["Data.normalization"]
    assert found.remedy[0].old == "sen2_stretch_10k"
    report = diagnose_run(
        edited(tmp_path / "b", lambda sr, step: np.minimum(sr, np.quantile(sr, 0.999)))
    )
    assert "IMG04" not in codes(report), "0.1 % is no saturation"


def test_values_that_the_scene_does_not_have(tmp_path: Path) -> None:
    def overshoots(sr: np.ndarray, step: int) -> np.ndarray:
        return np.where(np.random.default_rng(0).random(sr.shape) < 0.05, sr + 3, sr)

    found = only(judged(tmp_path, overshoots), "IMG04")
    assert found.severity == "info"
    assert "lies outside of the reference's values" in found.message


@pytest.mark.parametrize(
    ("bias", "severity"), [(0.04, "info"), (-0.15, "warn"), (0.5, "error"), (0.01, None)]
)
def test_band_bias(bias: float, severity: str | None, tmp_path: Path) -> None:
    def tinted(sr: np.ndarray, step: int) -> np.ndarray:
        sr = sr.copy()
        sr[:, 1] += bias * 0.4
        return sr

    report = judged(tmp_path, tinted)
    assert "IMG05" in report.checked
    if severity is None:
        assert "IMG05" not in codes(report)
        return
    found = only(report, "IMG05")
    assert found.severity == severity
    assert found.title == f"A band is too {'bright' if bias > 0 else 'dark'}"
    assert "band 2 differs from HR by" in found.message
    assert keys(found)[0] == "Generator.global_skip"


def test_a_bias_of_a_few_tiles_is_none_of_the_band(tmp_path: Path) -> None:
    def some(sr: np.ndarray, step: int) -> np.ndarray:
        sr = sr.copy()
        sr[:6, 1] += 0.3
        return sr

    assert "IMG05" not in codes(judged(tmp_path, some))


@pytest.mark.parametrize(
    ("ratio", "severity", "words"),
    [
        (1.6, "warn", "1.60 times the power of HR"),
        (5.0, "error", "5.00 times the power of HR"),
        (0.1, "info", "no more than before the adversarial phase"),
        (0.5, None, ""),
        (1.2, None, ""),
    ],
)
def test_detail(ratio: float, severity: str | None, words: str, tmp_path: Path) -> None:
    def sharpness(kind: str, step: int, values: Values) -> Values:
        if HF_RATIO in values:
            values[HF_RATIO] = ratio if step > 500 else 0.3
        return values

    report = diagnose_run(write_folder(Run(edit=sharpness, ratio=0.06), tmp_path / "run"))
    assert "IMG06" in report.checked
    if severity is None:
        assert "IMG06" not in codes(report)
        return
    found = only(report, "IMG06")
    assert found.severity == severity
    assert words in found.message
    assert keys(found) == ["Training.Losses.adv_loss_beta"]


def test_detail_that_came_with_the_adversarial_phase_is_not_missing(tmp_path: Path) -> None:
    def sharpness(kind: str, step: int, values: Values) -> Values:
        if HF_RATIO in values:
            values[HF_RATIO] = 0.2 if step > 500 else 0.1
        return values

    report = diagnose_run(write_folder(Run(edit=sharpness), tmp_path / "run"))
    assert "IMG06" not in codes(report)


def test_blocks(tmp_path: Path) -> None:
    def blocky(sr: np.ndarray, step: int) -> np.ndarray:
        return sr[:, :, ::SCALE, ::SCALE].repeat(SCALE, axis=2).repeat(SCALE, axis=3)

    found = only(judged(tmp_path, blocky), "IMG07")
    assert found.severity == "warn"
    assert "across the edges of 4 px cells differ" in found.message
    assert keys(found) == ["Generator.global_skip"]


def test_repeated_texture(tmp_path: Path) -> None:
    report = judged(tmp_path, lambda sr, step: sr + 0.01 * wave(5.3))
    found = only(report, "IMG08")
    assert found.severity == "warn"
    assert "a texture with a period of 5." in found.message
    assert keys(found) == ["Training.Losses.adv_loss_beta"]
    reasons = {
        s.code: s.reason
        for s in diagnose_run(
            edited(tmp_path / "b", lambda sr, step: sr, steps=(2000,))
        ).not_checked
    }
    assert "fewer than three validations" in reasons["IMG08"]


def test_texture_in_one_validation_is_not_the_state(tmp_path: Path) -> None:
    once = lambda sr, step: sr + 0.01 * wave(5.3) * (step == 2000)  # noqa: E731
    assert "IMG08" not in codes(judged(tmp_path, once))


def test_border(tmp_path: Path) -> None:
    def framed(sr: np.ndarray, step: int) -> np.ndarray:
        sr = sr.copy()
        sr[:, :, :6] += 0.05
        sr[:, :, -6:] -= 0.05
        return sr

    found = only(judged(tmp_path, framed), "IMG09")
    assert found.severity == "info"
    assert "the outermost 8 px are" in found.message
    assert keys(found) == ["Data.hr_crop_px"]


@pytest.mark.parametrize(("pixels", "told"), [(1.6, True), (0.6, False)])
def test_shift(pixels: float, told: bool, tmp_path: Path) -> None:
    report = judged(tmp_path, lambda sr, step: moved(sr, pixels, 0))
    assert ("IMG10" in codes(report)) == told
    if told:
        found = only(report, "IMG10")
        assert found.severity == "warn"
        assert found.evidence["rows"] == pytest.approx(0.4, abs=0.1)
        assert "rows and" in found.message


def test_pairs_that_do_not_fit(tmp_path: Path) -> None:
    folder = edited(tmp_path / "run", lambda sr, step: moved(sr, 0, 2.0))
    reference = dict(np.load(folder / "tiles" / "reference.npz"))
    reference["hr"] = moved(reference["hr"].astype(float), 0, 2.0).astype(np.float16)
    np.savez(folder / "tiles" / "reference.npz", **reference)
    found = only(diagnose_run(folder), "IMG10")
    assert "the HR images are shifted alike" in found.message
    assert keys(found) == ["Data.lr"]


def test_blank(tmp_path: Path) -> None:
    found = only(judged(tmp_path, lambda sr, step: 0.3 + 0.001 * sr), "IMG11")
    assert found.severity == "error"
    assert "of the scene's contrast" in found.message
    assert keys(found) == ["Optimizers.optim_g_lr"]
    assert "IMG05" not in codes(judged(tmp_path / "b", lambda sr, step: 0.3 + 0.001 * sr))


def test_tiles_that_are_all_invalid(tmp_path: Path) -> None:
    report = diagnose_run(folder_with_tiles(tmp_path / "run", invalid=24))
    assert {s.reason for s in report.not_checked if s.code == "IMG05"} == {
        "every tile holds invalid pixels"
    }


def test_a_broken_older_file_stops_only_the_growth(tmp_path: Path) -> None:
    folder = edited(tmp_path / "run", lambda sr, step: sr, steps=STEPS)
    (folder / "tiles" / "step_001100.npz").write_bytes(b"torn")
    report = diagnose_run(folder)
    assert {s.reason for s in report.not_checked if s.code == "IMG02"} == {
        "tiles/step_001100.npz cannot be read"
    }
    assert "IMG01" in report.checked


def test_single_band_and_scale_two(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    (folder / "tiles").mkdir()
    hr = scenes(0, 12, 1)
    lr = hr.reshape(12, 1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(3, 5))
    reference = {"lr": lr, "hr": hr, "valid": np.ones((12, 1, SIDE, SIDE))}
    np.savez(folder / "tiles" / "reference.npz", **reference)
    for step in (1800, 1900, 2000):
        sr = hr + 0.002 * scenes(step, 12, 1)
        np.savez(folder / "tiles" / f"step_{step:06d}.npz", sr=sr)
    report = diagnose_run(folder)
    assert {"IMG01", "IMG05", "IMG10"} <= set(report.checked)
    assert not report.reaches("info")
