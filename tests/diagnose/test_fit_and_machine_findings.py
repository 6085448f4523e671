"""Memorising, generalising, waiting, slowing down, memory, validation time, failures and holes in the log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run, constant, write_folder
from test_findings import Values, both, keys, only
from test_schedule_findings import codes, folder

from srgan_cli import runfolder as names
from srgan_cli.diagnose import diagnose_run


def validated(real: float, fake: float) -> object:
    """Adds what D says of the validation images."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "val" and step > 500:
            values |= {names.VAL_D_REAL: real, names.VAL_D_FAKE: fake}
        return values

    return edit


def test_discriminator_that_memorises(tmp_path: Path) -> None:
    run = Run(q=constant(0.8), edit=validated(0.35, 0.2))
    for report, severity in zip(both(run, tmp_path), ("warn", "info"), strict=True):
        found = only(report, "GAN05")
        assert found.severity == severity
        assert "on those it knows and 0.35 on others" in found.message
        assert "Training.Losses.r1_gamma" in keys(found)


@pytest.mark.parametrize(
    ("q", "real", "fake"),
    [
        (0.8, 0.78, 0.25),  # a little less sure
        (0.8, 0.80, 0.55),  # the average generator fools D better; real images are known alike
        (0.4, 0.45, 0.40),  # not sure in training either
    ],
)
def test_discriminator_that_generalises(q: float, real: float, fake: float, tmp_path: Path) -> None:
    report = folder(Run(q=constant(q), edit=validated(real, fake)), tmp_path)
    assert "GAN05" in report.checked
    assert "GAN05" not in codes(report)


def test_batch_norm_answers_differently_in_validation(tmp_path: Path) -> None:
    config = {"Discriminator": {"model_type": "standard"}}
    run = Run(q=constant(0.8), edit=validated(0.35, 0.2), config=config)
    report = folder(run, tmp_path)
    reasons = {skipped.code: skipped.reason for skipped in report.not_checked}
    assert "batch norm of standard answers differently" in reasons["GAN05"]


def test_augmentation_that_is_off_is_the_first_remedy(tmp_path: Path) -> None:
    run = Run(q=constant(0.8), edit=validated(0.35, 0.2), config={"Data.augment": False})
    assert keys(only(folder(run, tmp_path), "GAN05"))[0] == "Data.augment"


@pytest.mark.parametrize(("factor", "told"), [(1.9, True), (1.3, False)])
def test_generalisation_gap(factor: float, told: bool, tmp_path: Path) -> None:
    def harder(kind: str, step: int, values: Values) -> Values:
        if "val_metrics/l1" in values:
            values["val_metrics/l1"] *= factor
        return values

    for report in both(Run(edit=harder), tmp_path):
        assert ("FIT02" in codes(report)) == told
        if told:
            assert only(report, "FIT02").severity == "info"
            assert (
                "times the training L1 at the end (usual: 0.85 to 1.2)"
                in only(report, "FIT02").message
            )


def memory(growing: float, jump: float = 0.0) -> object:
    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values[names.PEAK_MEMORY] = 1000 + growing * step + jump * (step > 1500)
        return values

    return edit


def test_memory_that_grows(tmp_path: Path) -> None:
    found = only(folder(Run(edit=memory(0.5)), tmp_path), "SYS03")
    assert found.severity == "warn"
    assert "by 500 MB in 1000 steps" in found.message


@pytest.mark.parametrize(("growing", "jump"), [(0.0, 0.0), (0.0, 500.0), (0.05, 0.0)])
def test_memory_that_does_not_leak(growing: float, jump: float, tmp_path: Path) -> None:
    report = folder(Run(edit=memory(growing, jump)), tmp_path)
    assert "SYS03" in report.checked
    assert "SYS03" not in codes(report)


def test_memory_of_a_resumed_process_starts_anew(tmp_path: Path) -> None:
    def resumed(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values[names.PEAK_MEMORY] = 1500.0 if step < 1200 else 900.0
        return values

    assert "SYS03" not in codes(folder(Run(edit=resumed), tmp_path))


@pytest.mark.parametrize(("seconds", "told"), [(9.0, True), (3.0, False)])
def test_time_of_validation(seconds: float, told: bool, tmp_path: Path) -> None:
    def timed(kind: str, step: int, values: Values) -> Values:
        return values | {names.VAL_SECONDS: seconds} if kind == "val" else values

    report = folder(Run(edit=timed), tmp_path)
    assert ("SYS05" in codes(report)) == told
    if told:
        found = only(report, "SYS05")
        assert "47% of the time goes into validation: 9 s every 100 steps" in found.message
        assert found.remedy[0].new == 500


def test_a_failure_is_told(tmp_path: Path) -> None:
    error = "OutOfMemoryError: CUDA out of memory"
    path = write_folder(
        Run(stop_at=900), tmp_path / "run", end="stop", reason="failed", error=error
    )
    found = only(diagnose_run(path), "SYS06")
    assert found.severity == "error"
    assert f"by {error}" in found.message
    stopped = write_folder(Run(stop_at=900), tmp_path / "b", end="stop", reason="signal")
    assert "SYS06" not in codes(diagnose_run(stopped))


def test_holes_in_the_log(tmp_path: Path) -> None:
    run = Run(steps=3000)
    rows = run.rows()
    hole = [row for row in rows if not 1200 < row[1] < 1800]
    run.rows = lambda: hole  # type: ignore[method-assign]
    for report in both(run, tmp_path):
        found = only(report, "LOG06")
        assert found.severity == "info"
        assert found.window == (1200, 1800)
    few = [row for row in rows if not 1200 < row[1] < 1290]
    run.rows = lambda: few  # type: ignore[method-assign]
    for report in both(run, tmp_path / "b"):
        assert "LOG06" not in codes(report)


def test_noise_of_memory_statistics_never_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def noisy(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values[names.PEAK_MEMORY] = float(rng.uniform(900, 1100))
        return values

    assert "SYS03" not in codes(folder(Run(edit=noisy), tmp_path))


@pytest.mark.parametrize(
    ("norm", "share", "told"), [(1.5, 1.0, False), (6.0, 0.95, True), (6.0, 0.5, False)]
)
def test_clipped_steps_are_counted(norm: float, share: float, told: bool, tmp_path: Path) -> None:
    def clipped(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values |= {names.G_NORM: norm, names.G_CLIPPED: share}
        return values

    report = folder(Run(edit=clipped), tmp_path)
    assert ("NUM06" in codes(report)) == told
    if told:
        assert "above gradient_clip_val 1 in 95% of the steps" in only(report, "NUM06").message


@pytest.mark.parametrize(("share", "severity"), [(0.4, "info"), (0.7, "warn")])
def test_waiting_for_data(share: float, severity: str, tmp_path: Path) -> None:
    found = only(diagnose_run(write_folder(Run(wait=share), tmp_path / "run")), "SYS01")
    assert found.severity == severity
    assert "is waiting for the next batch" in found.message
    assert found.remedy[0].new == 4


def slower(compute: float, wait: float) -> Callable[[str, int, Values], Values]:
    """So many times as long from step 1600 on, computing and waiting, which is a tenth of the step."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if names.STEP_SECONDS in values:
            seconds = values[names.STEP_SECONDS]
            late = step > 1600
            waiting = 0.1 * seconds * (wait if late else 1)
            values[names.DATA_SECONDS] = waiting
            values[names.STEP_SECONDS] = waiting + 0.9 * seconds * (compute if late else 1)
        return values

    return edit


def test_a_slower_machine_is_a_note(tmp_path: Path) -> None:
    report = diagnose_run(write_folder(Run(edit=slower(5, 5)), tmp_path / "run"))
    found = only(report, "SYS02")
    assert found.severity == "info"
    assert "5.0 times as long as before" in found.message
    assert "not because of the data" in found.message
    assert keys(found) == ["the machine"]
    assert not report.reaches("warn")


def test_data_that_come_slower_are_a_warning(tmp_path: Path) -> None:
    report = diagnose_run(write_folder(Run(edit=slower(1, 31)), tmp_path / "run"))
    found = only(report, "SYS02")
    assert found.severity == "warn"
    assert "of what was added is waiting for data" in found.message
    assert found.evidence["waiting_share"] == pytest.approx(1.0, abs=0.05)
    assert (keys(found), found.remedy[0].new) == (["Data.num_workers"], 4)


@pytest.mark.parametrize(("wait", "severity"), [(14, "info"), (17, "warn")])
def test_the_larger_part_decides_why_steps_are_slower(
    wait: float, severity: str, tmp_path: Path
) -> None:
    report = diagnose_run(write_folder(Run(edit=slower(2.6, wait)), tmp_path / "run"))
    assert only(report, "SYS02").severity == severity


def test_without_the_time_of_data_a_slowdown_is_a_note(tmp_path: Path) -> None:
    def edit(kind: str, step: int, values: Values) -> Values:
        values = slower(5, 5)(kind, step, values)
        values.pop(names.DATA_SECONDS, None)
        return values

    found = only(diagnose_run(write_folder(Run(edit=edit), tmp_path / "run")), "SYS02")
    assert found.severity == "info"
    assert found.message.endswith("s)")


def test_steps_that_are_hardly_slower_say_nothing(tmp_path: Path) -> None:
    report = diagnose_run(write_folder(Run(edit=slower(1.8, 1.8)), tmp_path / "run"))
    assert "SYS02" in report.checked
    assert "SYS02" not in {found.code for found in report.findings}
