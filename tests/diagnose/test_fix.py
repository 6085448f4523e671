"""`--fix`: the configuration with the changes advised, and nothing that the schema would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from planted import PLANTED
from synthetic_runs import Run, constant, write_csv, write_folder

from srgan_cli.config import load_config, load_text
from srgan_cli.diagnose import Finding, diagnose_run
from srgan_cli.diagnose.fix import Fix, fix_config
from srgan_cli.diagnose.report import Remedy, Report
from srgan_cli.diagnose.rules import RULES

CONFIG = """\
# mine
Model: {in_bands: 1}
Data:
  hr: [scenes]
Optimizers:
  optim_g_lr: 2e-4
  optim_d_lr: 0.002  # too fast?
Training:
  max_steps: 2000
"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return diagnose_run(write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "faulty"))


def finding(code: str, severity: str, *remedies: Remedy) -> Finding:
    return Finding(code, severity, "A title", "a message", (0, 10), remedy=remedies)


def fixed(report: Report, *findings: Finding, text: str = CONFIG, level: str = "warn") -> Fix:
    return fix_config(replace(report, findings=findings), text, level)


def test_the_key_changes_with_its_reason_and_the_rest_stays(report: Report) -> None:
    change = Remedy("Optimizers.optim_d_lr", 0.002, 1e-4, "D leaves G no time")
    found = fixed(report, finding("GAN01", "warn", change))
    heading, _, body = found.text.partition("\n\n")
    assert body == CONFIG.replace(
        "  optim_d_lr: 0.002  # too fast?",
        "  # GAN01 (warn), was 0.002: D leaves G no time\n  optim_d_lr: 0.0001  # too fast?",
    )
    assert heading.splitlines() == [
        f"# `srgan diagnose --fix` after {report.source}, step 2000",
        "# this training needs attention: 1 warning",
        "# Changed:",
        "#   GAN01: Optimizers.optim_d_lr: 0.002 -> 0.0001 (D leaves G no time)",
    ]
    assert load_text(found.text, "text").config.optimizers.optim_d_lr == 1e-4


def test_of_two_findings_the_worse_decides_and_it_is_said(report: Report) -> None:
    found = fixed(
        report,
        finding("GAN03", "error", Remedy("Optimizers.optim_d_lr", 0.002, 0.006, "keep up")),
        finding("GAN01", "warn", Remedy("Optimizers.optim_d_lr", 0.002, 1e-4, "slow down")),
    )
    assert "optim_d_lr: 0.006" in found.text
    assert found.left == (
        "GAN01: Optimizers.optim_d_lr: 0.002 -> 0.0001 (slow down): GAN03 (error) decides this key: 0.006",
    )
    assert "#   GAN01: Optimizers.optim_d_lr: 0.002 -> 0.0001 (slow down): GAN03" in found.text


def test_the_same_change_twice_is_said_once(report: Report) -> None:
    change = Remedy("Optimizers.optim_d_lr", 0.002, 1e-4, "slow down")
    found = fixed(report, finding("GAN01", "error", change), finding("GAN04", "warn", change))
    assert len(found.changed) == 1
    assert found.left == ()


@pytest.mark.parametrize(
    ("remedy", "why"),
    [
        (Remedy("the machine", None, None, "look for other jobs"), "no key of the configuration"),
        (Remedy("Training.max_steps", 2000, None, "train longer"), "the value is yours to choose"),
        (Remedy("Data.hr", None, "native references", "grids"), "the value is yours to choose"),
        (Remedy("Training.max_steps", 2000, 900, "or stop early"), "another way to the same end"),
        (Remedy("Training.EMA.decay", 0.9, 7.0, "slower"), "out of range"),
        (Remedy("Training.max_steps", 2000, 2000, "long"), "has that value already"),
        (
            Remedy("Training.Losses.relativistic_average_d", False, True, "relative"),
            "has that value already",
        ),
    ],
)
def test_what_is_left_to_the_reader(remedy: Remedy, why: str, report: Report) -> None:
    text = CONFIG.replace(
        "  max_steps: 2000\n", "  max_steps: 2000\n  Losses: {relativistic_average_d: true}\n"
    )
    found = fixed(report, finding("GAN01", "error", remedy), text=text)
    assert found.changed == ()
    assert why in found.left[0]
    assert found.text.endswith(text)


def test_notes_change_nothing_unless_asked(report: Report) -> None:
    note = finding("GAN01", "info", Remedy("Optimizers.optim_d_lr", 0.002, 1e-4, "slower"))
    assert fixed(report, note).changed == ()
    assert "only info, below warn" in fixed(report, note).left[0]
    assert len(fixed(report, note, level="info").changed) == 1


def test_combinations_that_the_schema_refuses_are_never_written(report: Report) -> None:
    wasserstein = Remedy("Training.Losses.adv_loss_type", "bce", "wasserstein", "try")
    relative = Remedy("Training.Losses.relativistic_average_d", False, True, "try")
    found = fixed(report, finding("GAN08", "error", wasserstein, relative))
    load_text(found.text, "text")
    assert len(found.changed) == 1
    assert "relativistic_average_d" in found.left[0]


def test_new_warnings_are_told(report: Report) -> None:
    text = (
        CONFIG.replace("0.002", "0.0001") + "  g_pretrain_steps: 500\n  adv_loss_ramp_steps: 200\n"
    )
    found = fixed(
        report,
        finding("GAN03", "error", Remedy("Optimizers.optim_d_lr", 1e-4, 0.002, "keep up")),
        text=text,
    )
    (warning,) = found.warnings
    assert warning.startswith("Optimizers.optim_d_lr: ")


@pytest.mark.parametrize("code", [rule.code for rule in RULES if rule.code in PLANTED])
def test_the_fix_of_every_planted_fault_loads(code: str, diagnosed) -> None:
    folder, _, report = diagnosed(code)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    found = fix_config(report, text, "info")
    config = load_text(found.text, "text").config
    keys = {remedy.key for finding in report.findings for remedy in finding.remedy}
    said = " ".join((*found.changed, *found.left))
    assert all(key in said for key in keys)
    assert (config != load_text(text, "text").config) == bool(found.changed)


def test_command(srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    code, out, err = srgan("diagnose", "run", "--fix", "new.yaml")
    assert code == 1
    assert out.startswith("run        run (run folder")
    assert "wrote new.yaml" in err
    assert "changed      GAN01: Optimizers.optim_d_lr: 0.002 -> 0.0001" in err
    assert load_config(tmp_path / "new.yaml").config.optimizers.optim_d_lr == 1e-4
    before = (tmp_path / "new.yaml").read_bytes()
    code, out, err = srgan("diagnose", "run", "--fix", "new.yaml")
    assert (code, out) == (2, "")
    assert "new.yaml exists" in err
    assert "--overwrite" in err
    assert (tmp_path / "new.yaml").read_bytes() == before
    assert srgan("diagnose", "run", "--fix", "new.yaml", "--overwrite")[0] == 1


def test_the_runs_own_configuration_is_never_replaced(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    before = (run / "config.yaml").read_bytes()
    code, _, err = srgan("diagnose", run, "--fix", run / "config.yaml", "--overwrite")
    assert code == 2
    assert "is what the diagnosis reads" in err
    assert (run / "config.yaml").read_bytes() == before


def test_a_healthy_run_needs_no_new_configuration(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(), tmp_path / "run")
    code, _, err = srgan("diagnose", run, "--fix", tmp_path / "new.yaml")
    assert code == 0
    assert "was not written: no key needs to change" in err
    assert not (tmp_path / "new.yaml").exists()


def test_a_log_without_a_configuration_needs_one(srgan, tmp_path: Path) -> None:
    log = write_csv(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "metrics.csv")
    new = tmp_path / "new.yaml"
    code, _, err = srgan("diagnose", log, "--fix", new)
    assert code == 2
    assert "--fix has no configuration to change: a CSV log comes without" in err
    assert "--config CFG" in err
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text(
        CONFIG.replace("Training:", "Schedulers: {cooldown: 3}  # both\nTraining:"),
        encoding="utf-8",
    )
    code, out, _ = srgan("diagnose", log, "--fix", new, "--config", theirs)
    assert code == 1
    assert "cooldown: 3}  # both" in new.read_text(encoding="utf-8")
    assert load_config(new).config.optimizers.optim_d_lr == 1e-4
    assert "plan       not compared" not in out


def test_a_configuration_of_another_run_is_told(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    other = tmp_path / "other.yaml"
    other.write_text(CONFIG, encoding="utf-8")
    code, _, err = srgan("diagnose", run, "--config", other, "--fix", tmp_path / "new.yaml")
    assert code == 1
    assert f"the run was not made with {other} (SCH16)" in err


def test_a_configuration_with_problems_is_refused(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(), tmp_path / "run")
    bad = tmp_path / "bad.yaml"
    bad.write_text("Optimizers: {optim_g_lrr: 1e-4}\n", encoding="utf-8")
    code, out, err = srgan("diagnose", run, "--config", bad)
    assert (code, out) == (2, "")
    assert "bad.yaml:1:14: Optimizers.optim_g_lrr" in err
    assert "did you mean" in err


def test_a_damaged_configuration_is_named(srgan, tmp_path: Path) -> None:
    run = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    (run / "config.yaml").write_text("Optimizers: {optim_g_lr: fast}\n", encoding="utf-8")
    code, _, err = srgan("diagnose", run, "--fix", tmp_path / "new.yaml")
    assert code == 2
    assert "config.yaml cannot be used" in err


def test_a_training_accepts_it(srgan, tiny, scenes: Path, tmp_path: Path) -> None:
    from srgan_cli.config import dump_config

    run = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run")
    config = tiny(Optimizers={"optim_d_lr": 2e-3, "optim_g_lr": 2e-4})
    (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    new = tmp_path / "new.yaml"
    code, _, err = srgan("diagnose", run, "--fix", new)
    assert code == 1, err
    assert "# GAN01 (" in new.read_text(encoding="utf-8")
    code, _, err = srgan("train", new, "--dry-run")
    assert code == 0, err
