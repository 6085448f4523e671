"""Lengths, watched metrics and settings: planted faults found, borderline and healthy runs left alone."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run, write_csv, write_folder
from test_findings import Values, both, falling, keys, only

from srgan_cli import runfolder as names
from srgan_cli.diagnose import Finding, NotChecked, Report, diagnose_run, examine, read_run
from srgan_cli.diagnose.log import RunLog, build_log
from srgan_cli.diagnose.rules_ema import ema03, ema04
from srgan_cli.diagnose.rules_monitor import sch12, sch14
from srgan_cli.diagnose.rules_plan import sch16
from srgan_cli.diagnose.series import Series


def folder(run: Run, tmp_path: Path) -> Report:
    return diagnose_run(write_folder(run, tmp_path / "run"))


def codes(report: Report) -> list[str]:
    return [found.code for found in report.findings]


def foreign(run: Run, tmp_path: Path) -> RunLog:
    """The run as another tool's log that came with a configuration."""
    log = read_run(write_folder(run, tmp_path / "foreign"))
    return dataclasses.replace(log, form="CSV log", _cache={})


def flat_pretraining(kind: str, step: int, values: Values) -> Values:
    rng = np.random.default_rng(step)
    if "train_metrics/l1" in values:
        values["train_metrics/l1"] = 0.05 * math.exp(rng.normal(0, 0.02)) + 0.2 * math.exp(
            -step / 50
        )
    if "val_metrics/l1" in values:
        values["val_metrics/l1"] = 0.05 * math.exp(rng.normal(0, 0.003))
    return values


def test_long_pretraining(tmp_path: Path) -> None:
    run = Run(steps=6000, pretrain=4000, edit=flat_pretraining)
    for report in both(run, tmp_path):
        found = only(report, "SCH03")
        assert found.severity == "info"
        assert (
            "over the second half of pretraining (steps 2000 to 4000), without a trend"
            in found.message
        )
        assert found.remedy[0].key == "Training.g_pretrain_steps"
        assert found.remedy[0].new == 2000


def test_a_pretraining_that_still_gains_is_not_too_long(tmp_path: Path) -> None:
    def gaining(kind: str, step: int, values: Values) -> Values:
        values = flat_pretraining(kind, step, values)
        for name in ("train_metrics/l1", "val_metrics/l1"):
            if name in values:
                values[name] *= 1 - 0.03 * step / 4000
        return values

    report = folder(Run(steps=6000, pretrain=4000, edit=gaining), tmp_path)
    assert "SCH03" in report.checked
    assert "SCH03" not in codes(report)


def test_noise_that_hides_small_gains_is_said(tmp_path: Path) -> None:
    report = folder(Run(pretrain=1000, l1_noise=0.3, steps=3000), tmp_path)
    reasons = {skipped.code: skipped.reason for skipped in report.not_checked}
    assert "SCH03" not in codes(report)
    assert "SCH03" not in reasons or "hides changes below" in reasons["SCH03"]


@pytest.mark.parametrize(("rise", "severity"), [(1.0, "info"), (3.0, "warn")])
def test_high_rate_without_warm_up(rise: float, severity: str, tmp_path: Path) -> None:
    def early(kind: str, step: int, values: Values) -> Values:
        if step == 20 and "train_metrics/l1" in values:
            values["train_metrics/l1"] = rise * 0.25
        return values

    for report in both(Run(warmup=0, g_rate=2e-3, d_rate=1e-3, edit=early), tmp_path):
        found = only(report, "SCH06")
        assert found.severity == severity
        assert "lr_generator is 0.002 from the first step on" in found.message
        assert found.remedy[0].key == "Schedulers.g_warmup_steps"
        assert found.remedy[0].new == 100


def test_a_moderate_rate_needs_no_warm_up(tmp_path: Path) -> None:
    for report in both(Run(warmup=0, g_rate=9e-4), tmp_path):
        assert "SCH06" in report.checked
        assert "SCH06" not in codes(report)


def test_warm_up_longer_than_half_of_pretraining(tmp_path: Path) -> None:
    for report in both(Run(warmup=300), tmp_path):
        found = only(report, "SCH07")
        assert found.severity == "info"
        assert "steps, pretraining lasts 500" in found.message
        assert keys(found) == ["Schedulers.g_warmup_steps"]
        assert found.remedy[0].new == 50
    for report in both(dataclasses.replace(Run(), warmup=240), tmp_path / "b"):
        assert "SCH07" not in codes(report)


def unfair(kind: str, step: int, values: Values) -> Values:
    if names.G_RATE in values and step >= 900:
        values[names.G_RATE] *= 0.5 if step < 1700 else 0.25
    if "val_metrics/l1" in values and step > 500:
        values["val_metrics/l1"] *= 1.5
    return values


def test_rate_cut_for_not_beating_pretraining(tmp_path: Path) -> None:
    report = diagnose_run(write_csv(Run(edit=unfair), tmp_path / "metrics.csv"))
    found = only(report, "SCH10")
    assert found.severity == "warn"
    assert "was cut 2 times after the adversarial phase began at step 500" in found.message
    assert keys(found) == ["Schedulers.metric_g", "Schedulers.patience_g"]
    assert found.remedy[0].new == "val_metrics/perceptual"
    # The trainer of this package compares within a phase, so such cuts are earned.
    assert "SCH10" not in codes(folder(Run(edit=unfair), tmp_path))


def test_cuts_after_progress_are_fair(tmp_path: Path) -> None:
    def fair(kind: str, step: int, values: Values) -> Values:
        values = unfair(kind, step, values)
        if "val_metrics/l1" in values and step > 500:
            values["val_metrics/l1"] *= 0.4
        return values

    report = diagnose_run(write_csv(Run(edit=fair), tmp_path / "metrics.csv"))
    assert "SCH10" in report.checked
    assert "SCH10" not in codes(report)


def test_scheduler_without_its_metric(tmp_path: Path) -> None:
    run = Run(config={"Schedulers.metric_g": "val_metrics/ssim"})
    found = sch12(read_run(write_folder(run, tmp_path / "run")))
    assert isinstance(found, Finding)
    assert found.severity == "warn"
    assert (
        "Schedulers.metric_g is val_metrics/ssim, which none of the 15 validations holds"
        in found.message
    )
    assert found.remedy[0].new == "val_metrics/l1"


def test_scheduler_that_sleeps_on_a_plateau(tmp_path: Path) -> None:
    def flat(kind: str, step: int, values: Values) -> Values:
        if "val_metrics/l1" in values:
            values["val_metrics/l1"] = 0.05 * math.exp(np.random.default_rng(step).normal(0, 0.01))
        return values

    run = Run(steps=4000, edit=flat, config={"Schedulers.patience_g": 5})
    found = only(folder(run, tmp_path), "SCH12")
    assert found.severity == "info"
    assert (
        "over the last 18 validations, without a trend, and lr_generator was not cut"
        in found.message
    )
    assert keys(found) == ["Schedulers.threshold"]


def test_settings_that_usually_go_wrong(tmp_path: Path) -> None:
    config = {
        "Generator.use_icnr": False,
        "Optimizers.gradient_clip_val": 0.0,
        "Training.Losses.adv_loss_type": "wasserstein",
    }
    found = only(folder(Run(d_rate=2e-4, config=config), tmp_path), "SCH13")
    assert found.severity == "info"
    changes = {remedy.key: (remedy.old, remedy.new) for remedy in found.remedy}
    assert changes == {
        "Generator.use_icnr": (False, True),
        "Optimizers.gradient_clip_val": (0.0, 1.0),
        "Optimizers.optim_d_lr": (2e-4, 1e-4),
        "Training.Losses.r1_gamma": (0.0, 10.0),
    }
    assert "0.0002 is more than half of optim_g_lr 0.0002" in found.message


def test_usual_settings_are_not_mentioned(tmp_path: Path) -> None:
    report = folder(Run(), tmp_path)
    assert "SCH13" in report.checked
    assert "SCH13" not in codes(report)
    rrdbnet = {"Generator": {"model_type": "rrdbnet", "use_icnr": False}}
    assert "SCH13" not in codes(diagnose_run(write_folder(Run(config=rrdbnet), tmp_path / "r")))


@pytest.mark.parametrize(("rising", "told"), [(True, True), (False, False)])
def test_success_of_the_generator_is_no_plateau_of_d(
    rising: bool, told: bool, tmp_path: Path
) -> None:
    cut = falling(names.D_RATE, 1500, 10**6, 0.5)

    def rises(kind: str, step: int, values: Values) -> Values:
        values = cut(kind, step, values)
        if kind == "val" and step > 500:
            values[names.VAL_D_LOSS] = 0.4 + (0.2 * (step - 500) / 1500 if rising else 0.0)
        return values

    report = folder(Run(edit=rises), tmp_path)
    assert ("SCH13" in codes(report)) == told
    if told:
        found = only(report, "SCH13")
        assert "takes the generator's success for D's plateau" in found.message
        assert keys(found) == ["Schedulers.patience_d"]


def test_best_checkpoint_from_before_the_gan(tmp_path: Path) -> None:
    found = sch14(foreign(Run(edit=unfair), tmp_path))
    assert isinstance(found, Finding)
    assert found.severity == "info"
    assert "before the adversarial phase (from 500)" in found.message
    assert keys(found) == ["ModelCheckpoint.monitor"]
    assert sch14(read_run(tmp_path / "foreign")) is None, "best_gan is kept by itself"
    without = read_run(write_csv(Run(edit=unfair), tmp_path / "m.csv"))
    assert isinstance(sch14(without), NotChecked)


def test_ema_that_averages_nothing(tmp_path: Path) -> None:
    found = only(folder(Run(config={"Training.EMA": {"decay": 0.5}}), tmp_path), "EMA03")
    assert found.severity == "info"
    assert "decay 0.5 spans about 2.0 steps" in found.message
    assert found.remedy[0].new == pytest.approx(0.5 ** (1 / 100), rel=1e-3)
    log = read_run(write_folder(Run(config={"Training.EMA": {"decay": 0.9}}), tmp_path / "b"))
    assert ema03(log) is None


@pytest.mark.parametrize(("decay", "severity"), [(0.999, "warn"), (0.99, "info")])
def test_ema_of_random_weights(decay: float, severity: str, tmp_path: Path) -> None:
    config = {
        "Training.EMA": {"decay": decay, "use_num_updates": False},
        "Model.load_checkpoint": "start.ckpt",
    }
    found = ema04(foreign(Run(config=config), tmp_path))
    assert isinstance(found, Finding)
    assert found.severity == severity
    assert "after the average had been made of random ones" in found.message
    assert found.remedy[0].key == "Training.EMA.use_num_updates"
    assert ema04(read_run(tmp_path / "foreign")) is None, "this trainer copies the loaded generator"


def test_a_short_adversarial_phase_does_not_make_an_average_slow(tmp_path: Path) -> None:
    """Half-life of 69 steps in 200 adversarial ones; validation does not lag."""
    run = Run(pretrain=1800, ramp=50)
    report = folder(run, tmp_path)
    assert "EMA02" in report.checked
    assert "EMA02" not in codes(report)
    slow = Run(config={"Training.EMA": {"decay": 0.9999, "use_num_updates": False}})
    found = only(diagnose_run(write_folder(slow, tmp_path / "slow")), "EMA02")
    assert found.severity == "info", "half-life longer than all steps, but no lag measured"


def test_every_rule_says_why_it_was_not_checked(tmp_path: Path) -> None:
    """On a log of one row no rule fails, and each is accounted for."""
    run = Run(stop_at=1)
    for log in (
        read_run(write_folder(run, tmp_path / "run", end=None)),
        read_run(write_csv(run, tmp_path / "m.csv")),
    ):
        report = examine(log)
        assert all(skipped.reason for skipped in report.not_checked)
        assert not report.reaches("info")


def test_validation_that_stays_the_same_while_the_rate_is_alive(tmp_path: Path) -> None:
    def frozen(kind: str, step: int, values: Values) -> Values:
        if "val_metrics/l1" in values:
            values["val_metrics/l1"] = 0.041
        if "train_metrics/l1" in values:
            values["train_metrics/l1"] = 0.04 * math.exp(
                np.random.default_rng(step).normal(0, 0.01)
            )
        return values

    found = only(folder(Run(edit=frozen), tmp_path), "EMA01")
    assert "while training goes on: other weights are validated than trained" in found.message

    def used_up(kind: str, step: int, values: Values) -> Values:
        values = frozen(kind, step, values)
        if names.G_RATE in values and step > 900:
            values[names.G_RATE] = 1e-9
        return values

    report = diagnose_run(write_folder(Run(edit=used_up), tmp_path / "b"))
    assert "EMA01" not in codes(report), "a generator that stands still is validated alike"


def test_a_descent_that_a_sparse_log_shows_once_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def sparse(kind: str, step: int, values: Values) -> Values:
        if "train_metrics/l1" in values:
            values["train_metrics/l1"] = 0.3 if step == 0 else 0.05 * math.exp(rng.normal(0, 0.1))
        return values

    run = Run(steps=20000, pretrain=10000, log_every=200, val_every=1000, edit=sparse)
    report = diagnose_run(write_csv(run, tmp_path / "m.csv"))
    assert "FIT03" in report.checked
    assert "FIT03" not in codes(report)


def test_a_ramp_that_flattens_at_the_end_is_finished(tmp_path: Path) -> None:
    rising = diagnose_run(write_csv(Run(ramp=1600), tmp_path / "rising.csv"))
    assert only(rising, "SCH05").severity == "info"
    done = diagnose_run(write_csv(Run(ramp=1450), tmp_path / "done.csv"))
    assert "SCH05" not in codes(done)


def test_spikes_under_clipping_ask_for_more_of_it(tmp_path: Path) -> None:
    def spiked(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step in (1000, 1700):
            values["train_metrics/l1"] *= 8
        return values

    found = only(folder(Run(edit=spiked), tmp_path), "NUM03")
    assert (found.remedy[0].key, found.remedy[0].old, found.remedy[0].new) == (
        "Optimizers.gradient_clip_val",
        1.0,
        0.5,
    )


def test_a_single_small_spike_is_a_note(tmp_path: Path) -> None:
    def once(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step == 1000:
            values["train_metrics/l1"] = 3 * 0.042
        return values

    found = only(folder(Run(edit=once, l1_noise=0.05), tmp_path), "NUM03")
    assert found.severity == "info"
    assert "one spike of train_metrics/l1" in found.message
    assert "at step 1000" in found.message


def test_a_long_ramp_in_every_step_follows_its_plan(tmp_path: Path) -> None:
    def weights(shape: str) -> RunLog:
        run = Run(steps=30_000, pretrain=500, ramp=25_000, plan={"ramp_shape": shape})
        schedule, steps = run.schedule, np.arange(run.steps)
        weight = np.array([schedule.at(int(step)).adv_weight for step in steps])
        config = read_run(
            write_folder(dataclasses.replace(run, stop_at=100), tmp_path / shape)
        ).config
        columns = {names.ADV_WEIGHT: Series(steps, weight)}
        return build_log(columns, source=shape, form="run folder", config=config)

    assert sch16(weights("cosine")) is None
    found = sch16(weights("linear"))
    assert isinstance(found, Finding)
    assert "adv_loss_weight at step" in found.message
