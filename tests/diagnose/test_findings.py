"""Each planted fault gets its code, its words and its key, from the run folder and from the CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run, constant, write_csv, write_folder

from srgan_cli import runfolder as names
from srgan_cli.diagnose import Finding, Report, diagnose_run

Values = dict[str, float]


def both(run: Run, tmp_path: Path) -> list[Report]:
    return [
        diagnose_run(write_folder(run, tmp_path / "run")),
        diagnose_run(write_csv(run, tmp_path / "metrics.csv")),
    ]


def only(report: Report, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert found, f"{code} is not among {[f.code for f in report.findings]}"
    return found[0]


def keys(finding: Finding) -> list[str]:
    return [remedy.key for remedy in finding.remedy]


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_run_is_called_healthy(seed: int, tmp_path: Path) -> None:
    for report in both(Run(seed=seed), tmp_path):
        assert not report.reaches("warn"), report.findings
        assert report.verdict.startswith("healthy: nothing needs to change")
        assert report.overview.balance.startswith("balanced: the discriminator is ahead by 0.3")


def test_a_healthy_folder_agrees_with_its_plan(tmp_path: Path) -> None:
    report = diagnose_run(write_folder(Run(), tmp_path / "run"))
    assert report.overview.plan == "phase, adversarial weight, warm-up as config.yaml plans"
    assert "step 2000 of 2000 (100%), finished: adversarial training" in report.overview.schedule
    assert "pretraining until 500; adversarial weight 0.005, full since" in report.overview.schedule


@pytest.mark.parametrize("unit", [1.0, 2.0])
def test_dead_discriminator(unit: float, tmp_path: Path) -> None:
    run = Run(q=constant(0.0), q_noise=0.005, d_rate=1e-7, ratio=1e-5, unit=unit)
    for report in both(run, tmp_path):
        found = only(report, "GAN02")
        assert found.severity == "error"
        assert "is not equilibrium: D was never ahead" in found.message
        assert "so its weights cannot have moved" in found.message
        assert found.explains == ("GAN06",)
        assert keys(found) == ["Optimizers.optim_d_lr"]
        assert found.remedy[0].old == pytest.approx(1e-7)
        assert found.remedy[0].new == pytest.approx(1e-4)
        assert report.overview.balance.startswith("no game")


def test_without_gradients_and_detail_death_is_less_certain(tmp_path: Path) -> None:
    def without(kind: str, step: int, values: Values) -> Values:
        return {k: v for k, v in values.items() if not k.startswith(("adv/", "val_metrics/hf"))}

    run = Run(q=constant(0.0), q_noise=0.005, d_rate=1e-7, ratio=1e-5, edit=without)
    for report in both(run, tmp_path):
        assert only(report, "GAN02").confidence == "medium"


def test_collapsed_discriminator_gets_a_lower_rate(tmp_path: Path) -> None:
    run = Run(steps=4000, q=constant(0.0), q_noise=0.005, d_rate=1e-3, ratio=1e-3)
    for report in both(run, tmp_path):
        found = only(report, "GAN02")
        assert "it collapsed to a constant answer" in found.message
        assert found.remedy[0].new < 1e-3


def test_a_discriminator_that_has_just_started_is_not_dead(tmp_path: Path) -> None:
    run = Run(q=constant(0.0), q_noise=0.005, d_rate=1e-4, ratio=1e-3, stop_at=720)
    report = diagnose_run(write_folder(run, tmp_path / "run", end=None))
    assert only(report, "GAN02").severity == "info"
    assert only(report, "GAN02").title == "The discriminator has not learned yet"
    assert not report.reaches("warn")


def test_out_paced_discriminator(tmp_path: Path) -> None:
    run = Run(q=constant(0.0), q_noise=0.005, ratio=0.2, hf=0.5)
    for report in both(run, tmp_path):
        found = only(report, "GAN10")
        assert found.severity == "warn"
        assert "since the first adversarial step, while the images changed" in found.message
        assert "high-frequency energy +50%" in found.message
        assert keys(found)[0] == "Training.Losses.adv_loss_beta"


def test_overpowering_discriminator(tmp_path: Path) -> None:
    run = Run(q=constant(0.9), d_rate=2e-3)
    for report in both(run, tmp_path):
        found = only(report, "GAN01")
        assert found.severity == "warn"
        assert (
            "and the gap is not closing; its rate 0.002 is above the generator's" in found.message
        )
        assert found.remedy[0].new <= 1e-4
        assert report.overview.balance.startswith("the discriminator is far ahead")


def test_a_winning_discriminator_alone_is_a_note(tmp_path: Path) -> None:
    for report in both(Run(q=constant(0.85)), tmp_path):
        assert only(report, "GAN01").severity == "info"
        assert not report.reaches("warn")


@pytest.mark.parametrize(("stop_at", "severity"), [(720, "info"), (2000, "warn")])
def test_a_nearly_perfect_discriminator_counts_at_full_weight(
    stop_at: int, severity: str, tmp_path: Path
) -> None:
    run = Run(q=constant(0.96), q_noise=0.005, stop_at=stop_at)
    assert only(diagnose_run(write_folder(run, tmp_path / "run")), "GAN01").severity == severity


def test_a_winning_discriminator_with_worse_validation_is_an_error(tmp_path: Path) -> None:
    def worse(kind: str, step: int, values: Values) -> Values:
        if kind == "val" and step > 900:
            values["val_metrics/l1"] *= 1.6
        return values

    for report in both(Run(q=constant(0.85), edit=worse), tmp_path):
        assert only(report, "GAN01").severity == "error"
        assert "against" in only(report, "GAN01").message


def test_beaten_discriminator(tmp_path: Path) -> None:
    for report in both(Run(q=constant(-0.4)), tmp_path):
        found = only(report, "GAN03")
        assert found.severity == "error"
        assert "generated images look more real to D than real ones" in found.message
        assert report.overview.balance.startswith("the generator is ahead")


def test_oscillation(tmp_path: Path) -> None:
    run = Run(steps=4500, q=lambda x: 0.45 + 0.4 * math.sin(2 * math.pi * 5 * x))
    for report in both(run, tmp_path):
        found = only(report, "GAN04")
        assert found.severity == "warn"
        assert "times between above 0.65 and below 0.25" in found.message
        assert 600 < int(found.message.split("about every ")[1].split()[0]) < 1000


@pytest.mark.parametrize("noise", [0.1, 0.18])
def test_noise_is_no_oscillation(noise: float, tmp_path: Path) -> None:
    for seed in range(5):
        run = Run(steps=4500, seed=seed, q=constant(0.45), q_noise=noise)
        report = diagnose_run(write_csv(run, tmp_path / f"{seed}.csv"))
        assert "GAN04" not in [finding.code for finding in report.findings]
        assert "GAN04" in report.checked


def test_equilibrium(tmp_path: Path) -> None:
    run = Run(q=lambda x: 0.5 * math.exp(-6 * x) if x > 0.02 else 20 * x)
    for report in both(run, tmp_path):
        found = only(report, "GAN09")
        assert found.severity == "ok"
        assert "the generator has caught up" in found.message
        assert not report.reaches("info")
        assert report.overview.balance.startswith("at equilibrium")


def test_adversarial_term_without_influence(tmp_path: Path) -> None:
    for report in both(Run(ratio=2e-5, beta=1e-5), tmp_path):
        found = only(report, "GAN06")
        assert found.severity == "warn"
        assert "its gradient at the last layer is 2e-05 times the content term's" in found.message
        assert "changed by +5%" in found.message
        assert found.remedy[0].new == pytest.approx(0.02)


def test_without_gradients_the_losses_stand_in(tmp_path: Path) -> None:
    def without(kind: str, step: int, values: Values) -> Values:
        return {k: v for k, v in values.items() if not k.startswith(("adv/", "val_metrics/hf"))}

    found = only(both(Run(beta=1e-6, edit=without), tmp_path)[0], "GAN06")
    assert "weighted, it is" in found.message
    assert found.confidence == "medium"


def test_dominating_adversarial_term(tmp_path: Path) -> None:
    for report in both(Run(ratio=4.0, beta=0.5, hf=0.6), tmp_path):
        found = only(report, "GAN07")
        assert "times the content term's" in found.message
        assert found.remedy[0].old == 0.5
        assert found.remedy[0].new <= 0.02


def test_unbounded_critic(tmp_path: Path) -> None:
    def critic(kind: str, step: int, values: Values) -> Values:
        if names.D_LOSS in values:
            level = 0.1 * math.exp((step - 500) / 200)
            values |= {names.D_LOSS: -level, names.G_ADVERSARIAL: 3 * level}
        return values

    run = Run(edit=critic, config={"Training.Losses.adv_loss_type": "wasserstein"})
    for report in both(run, tmp_path):
        found = only(report, "GAN08")
        assert found.severity == "error"
        assert "has grown" in found.message
        assert "Training.Losses.r1_gamma" in keys(found)
        reasons = {skipped.code: skipped.reason for skipped in report.not_checked}
        assert "a Wasserstein critic gives no probability" in reasons["GAN01"]


def test_nan_ends_the_window(tmp_path: Path) -> None:
    def broken(kind: str, step: int, values: Values) -> Values:
        return (
            {k: math.nan if "loss" in k or "l1" in k else v for k, v in values.items()}
            if step >= 1500
            else values
        )

    for report in both(Run(edit=broken), tmp_path):
        found = only(report, "NUM01")
        assert found.severity == "error"
        assert "first nan at step 1" in found.message
        assert found.window[0] in (1499, 1500)
        assert [f.code for f in report.findings] == ["NUM01"]
        assert "Optimizers.optim_g_lr" in keys(found)


def test_single_nan_is_a_warning_and_the_rest_is_judged(tmp_path: Path) -> None:
    def once(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step == 800:
            values[names.G_TOTAL] = math.inf
        return values

    for report in both(Run(edit=once), tmp_path):
        assert only(report, "NUM01").severity == "warn"
        assert "first inf at step 800" in only(report, "NUM01").message
        assert only(report, "NUM01").window == (800, report.last_step)
        assert "GAN01" in report.checked


def test_skipped_steps_are_counted(tmp_path: Path) -> None:
    def skipped(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step >= 1200:
            values[names.SKIPPED_STEPS] = 7.0
        return values

    report = diagnose_run(write_folder(Run(edit=skipped), tmp_path / "warn"))
    found = only(report, "NUM01")
    assert found.severity == "warn"
    assert (
        "7 steps with a non-finite loss or gradient were skipped (from step 1200)" in found.message
    )
    report = diagnose_run(
        write_folder(
            Run(edit=skipped, stop_at=1300), tmp_path / "e", end="stop", reason="nonfinite"
        )
    )
    assert only(report, "NUM01").severity == "error"
    assert "the run stopped because of it" in only(report, "NUM01").message


@pytest.mark.parametrize("value", [1e-12, 1e12, 0.0])
def test_masked_nan(value: float, tmp_path: Path) -> None:
    def masked(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step >= 1500:
            values |= {names.G_CONTENT: value, names.G_TOTAL: value, "train_metrics/l1": value}
        return values

    for report in both(Run(edit=masked), tmp_path):
        found = only(report, "NUM02")
        assert found.severity == "error"
        assert "from step 1500 on: a replaced NaN or infinity, not a loss" in found.message


def test_spikes(tmp_path: Path) -> None:
    def spiked(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step in (300, 1000, 1700):
            values["train_metrics/l1"] *= 8
        return values

    for report in both(Run(edit=spiked), tmp_path):
        found = only(report, "NUM03")
        assert "3 spikes of train_metrics/l1" in found.message
        assert "at steps 300, 1000, 1700" in found.message
        assert found.severity == "warn"


def test_divergence(tmp_path: Path) -> None:
    def diverges(kind: str, step: int, values: Values) -> Values:
        if kind == "val" and step > 1500:
            values["val_metrics/l1"] *= 4
        return values

    for report in both(Run(edit=diverges), tmp_path):
        found = only(report, "NUM04")
        assert found.severity == "error"
        assert "over the last three validations, 4." in found.message


def test_unstable_validation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def jumps(kind: str, step: int, values: Values) -> Values:
        if kind == "val":
            values["val_metrics/l1"] *= math.exp(rng.normal(0, 0.6))
        return values

    for report in both(Run(steps=3000, edit=jumps), tmp_path):
        assert "from one validation to the next" in only(report, "NUM05").message


def test_clipping_at_every_step(tmp_path: Path) -> None:
    def large(kind: str, step: int, values: Values) -> Values:
        if names.G_NORM in values:
            values[names.G_NORM] *= 40
        return values

    found = only(diagnose_run(write_folder(Run(edit=large), tmp_path / "run")), "NUM06")
    assert found.severity == "info"
    assert "above gradient_clip_val 1 in 100% of the steps" in found.message


def test_huge_gradients(tmp_path: Path) -> None:
    def huge(kind: str, step: int, values: Values) -> Values:
        if names.G_NORM in values:
            values[names.G_NORM] *= 1000
        return values

    for report in both(Run(edit=huge, config={"Optimizers.gradient_clip_val": 0.0}), tmp_path):
        assert only(report, "NUM06").severity == "warn"
        assert "generator's gradient norm is usually" in only(report, "NUM06").message


def test_never_left_pretraining(tmp_path: Path) -> None:
    run = Run(pretrain=5000)
    folder, log = both(run, tmp_path)
    assert "g_pretrain_steps is 5000, the run has 2000 steps" in only(folder, "SCH01").message
    assert only(folder, "SCH01").remedy[0].new == 500
    assert "no row has an adversarial step" in only(log, "SCH01").message
    assert folder.worst == log.worst == "warn"
    assert "pretraining, the discriminator starts at 5000" in folder.overview.schedule


def test_pretraining_for_ever_on_request_is_a_note(tmp_path: Path) -> None:
    run = Run(pretrain=10**9, config={"Training.g_pretrain_steps": -1})
    report = diagnose_run(write_folder(run, tmp_path / "run"))
    assert only(report, "SCH01").severity == "info"
    assert "as g_pretrain_steps -1 asks for" in only(report, "SCH01").message


def test_short_pretraining(tmp_path: Path) -> None:
    for report in both(Run(pretrain=40), tmp_path):
        found = only(report, "SCH02")
        assert found.severity == "warn"
        assert "pretraining was 2.0% of the run (40 of " in found.message
        assert keys(found) == ["Training.g_pretrain_steps"]


def test_pretraining_that_ends_in_full_descent(tmp_path: Path) -> None:
    def steep(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values["train_metrics/l1"] = 0.3 * math.exp(-step / 150) + 1e-3
        return values

    for report in both(Run(edit=steep, pretrain=400, l1_noise=0.0), tmp_path):
        assert "half as much again would gain about" in only(report, "SCH02").message
        assert only(report, "SCH02").severity == "warn"


def test_abrupt_ramp(tmp_path: Path) -> None:
    def jump(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step >= 500:
            values["train_metrics/l1"] *= 2.0
        return values

    for report in both(Run(ramp=0, edit=jump), tmp_path):
        found = only(report, "SCH04")
        assert "within 0 steps of step 500: the content loss rose 1." in found.message
        assert found.remedy[0].new >= 500


def test_a_jump_to_a_small_weight_is_harmless(tmp_path: Path) -> None:
    for report in both(Run(ramp=0), tmp_path):
        assert not report.reaches("info")


def test_unfinished_ramp(tmp_path: Path) -> None:
    for report in both(Run(ramp=4000), tmp_path):
        assert only(report, "SCH05").severity == "info"
        assert "at the last step" in only(report, "SCH05").message


def falling(
    name: str, start: int, every: int, factor: float
) -> Callable[[str, int, Values], Values]:
    def edit(kind: str, step: int, values: Values) -> Values:
        if name in values and step >= start:
            values[name] *= factor ** (1 + (step - start) // every)
        return values

    return edit


def test_used_up_rate(tmp_path: Path) -> None:
    def cut(kind: str, step: int, values: Values) -> Values:
        if names.G_RATE in values and step >= 900:
            values[names.G_RATE] *= 1e-3
        return values

    run = Run(edit=cut, config={"Schedulers.patience_g": 4})
    for report in both(run, tmp_path):
        found = only(report, "SCH08")
        assert "of the run (from step 900) nothing more is learned" in found.message
        assert keys(found) == ["Schedulers.patience_g", "Schedulers.min_lr_g"]
        assert found.remedy[0].new == (10 if report.form == "run folder" else None)


def test_cuts_like_clockwork(tmp_path: Path) -> None:
    run = Run(edit=falling(names.G_RATE, 700, 300, 0.5))
    for report in both(run, tmp_path):
        found = only(report, "SCH09")
        assert "lr_generator was cut 5 times, every 300 steps from step 700 on" in found.message
        assert found.remedy[0].key == "Schedulers.patience_g"


def test_rate_of_d_cut_in_pretraining(tmp_path: Path) -> None:
    run = Run(edit=falling(names.D_RATE, 150, 150, 0.5), q=constant(0.0), q_noise=0.005, ratio=1e-3)
    for report in both(run, tmp_path):
        found = only(report, "SCH11")
        assert found.severity == "error"
        assert "cut 3 times before the first adversarial step" in found.message
        assert "GAN02" in found.explains
        assert "GAN02" not in [f.code for f in report.findings]


def test_steps_counted_twice(tmp_path: Path) -> None:
    run = Run(ramp=400, plan={"ramp_steps": 200})
    report = diagnose_run(write_folder(run, tmp_path / "run"))
    assert "half of the configured 400" in only(report, "SCH15").message
    assert [f.code for f in report.findings] == ["SCH15"]
    assert report.overview.plan.endswith("(SCH15)")


@pytest.mark.parametrize(
    ("plan", "words", "key"),
    [
        ({"ramp_steps": 900}, "adv_loss_weight at step", "Training.adv_loss_ramp_steps"),
        ({"adv_weight": 0.02}, "adv_loss_weight at step", "Training.adv_loss_ramp_steps"),
        (
            {"pretrain_steps": 300},
            "pretrain_phase at step 300 is 0, the plan says 1",
            "Training.g_pretrain_steps",
        ),
        ({"warmup_steps": 400}, "lr_generator at step", "Schedulers.g_warmup_steps"),
        ({"warmup_steps": 0}, "lr_generator at step", "Schedulers.g_warmup_steps"),
        ({"ramp_shape": "linear"}, "adv_loss_weight at step", "Training.adv_loss_ramp_steps"),
    ],
)
def test_log_that_differs_from_its_plan(
    plan: dict[str, object], words: str, key: str, tmp_path: Path
) -> None:
    report = diagnose_run(write_folder(Run(plan=plan), tmp_path / "run"))
    found = only(report, "SCH16")
    assert found.severity == "warn"
    assert words in found.message
    assert key in keys(found)
    assert report.overview.plan.endswith("(SCH16)")


def test_the_plan_of_a_resume_speaks_of_the_steps_since(tmp_path: Path) -> None:
    folder = write_folder(Run(plan={"pretrain_steps": 300}), tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if json.loads(line)["step"] > 1000)
    resume = {"kind": "event", "event": "resume", "step": 1000}
    for facts, told in (({}, True), ({"changed": ["Training.g_pretrain_steps"]}, False)):
        edited = [*lines[:place], json.dumps(resume | facts), *lines[place:]]
        (folder / "metrics.jsonl").write_text("\n".join(edited) + "\n")
        found = [each.code for each in diagnose_run(folder).findings]
        assert ("SCH16" in found) == told


def test_plateau_cuts_are_no_difference_from_the_plan(tmp_path: Path) -> None:
    run = Run(warmup=20, edit=falling(names.G_RATE, 50, 10**6, 0.5))
    assert "SCH16" not in [
        f.code for f in diagnose_run(write_folder(run, tmp_path / "run")).findings
    ]


def test_frozen_validation(tmp_path: Path) -> None:
    def frozen(kind: str, step: int, values: Values) -> Values:
        return values | {"val_metrics/l1": 0.41} if kind == "val" else values

    for report in both(Run(edit=frozen), tmp_path):
        found = only(report, "EMA01")
        assert found.severity == "error"
        assert "other weights are validated than trained" in found.message
        assert keys(found) == ["Training.EMA.update_after_step"]


def test_slow_ema(tmp_path: Path) -> None:
    def late(kind: str, step: int, values: Values) -> Values:
        return (
            values | {"val_metrics/l1": values["val_metrics/l1"] * 4} if kind == "val" else values
        )

    config = {"Training.EMA": {"decay": 0.9999, "use_num_updates": False}}
    folder, log = both(Run(edit=late, config=config), tmp_path)
    assert "half-life 6931 steps (decay 0.9999) against 1500 steps" in only(folder, "EMA02").message
    assert only(folder, "EMA02").severity == only(log, "EMA02").severity == "warn"
    assert only(folder, "EMA02").remedy[0].new == pytest.approx(0.5 ** (1 / 75), rel=1e-3)
    assert only(log, "EMA02").confidence == "medium"


def test_overfitting(tmp_path: Path) -> None:
    def overfits(kind: str, step: int, values: Values) -> Values:
        if step > 800:
            factor = 1 + 0.0002 * (step - 800) if kind == "val" else 1 - 0.00015 * (step - 800)
            for name in ("val_metrics/l1", "train_metrics/l1"):
                if name in values:
                    values[name] *= factor
        return values

    for report in both(Run(steps=3000, edit=overfits), tmp_path):
        found = only(report, "FIT01")
        assert "while training L1 fell" in found.message
        assert "Data.augment" in keys(found)


def test_a_long_converged_pretraining_has_learned(tmp_path: Path) -> None:
    for report in both(Run(steps=30000, pretrain=20000, ramp=2000, val_every=1000), tmp_path):
        assert "FIT03" in report.checked
        assert not report.reaches("warn")


def test_nothing_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def flat(kind: str, step: int, values: Values) -> Values:
        for name in ("val_metrics/l1", "train_metrics/l1"):
            if name in values:
                values[name] = 0.2 * math.exp(rng.normal(0, 0.05))
        return values

    for report in both(Run(edit=flat, g_rate=1e-8, d_rate=5e-9), tmp_path):
        assert "without a trend" in only(report, "FIT03").message
        assert only(report, "FIT03").remedy[0].new == 1e-4
