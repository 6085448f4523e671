"""`srgan diagnose` as a person and as a program use it, and its documentation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from synthetic_runs import Run, constant, write_csv, write_folder
from typer.testing import CliRunner

from srgan_cli.cli.diagnose import diagnose
from srgan_cli.diagnose.pages import diagnosis_page
from srgan_cli.diagnose.report import CAUSES, SCHEMA_VERSION, SEVERITIES
from srgan_cli.diagnose.rules import RULES
from srgan_cli.errors import RefusedError

ROOT = Path(__file__).parents[2]
RUNS = ROOT.parent / "shared" / "data" / "runs"

app = typer.Typer()
app.command()(diagnose)


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    return write_folder(Run(), tmp_path / "healthy")


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    return write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "faulty")


def test_report_for_a_person(healthy: Path, faulty: Path) -> None:
    code, text = call(healthy)
    assert code == 0
    lines = text.splitlines()
    labels = ["run", "verdict", "schedule", "balance", "plan", "images"]
    starts = [line.split(" ")[0] for line in lines if not line.startswith(" ")]
    assert starts[:6] == labels
    assert "healthy: nothing needs to change" in text
    assert "checked    LOG01 LOG06 NUM01" in text
    assert "not checked\n" in text
    assert "  GAN04: 150 adversarial rows; needs 200\n" in text
    assert max(map(len, lines)) <= 130
    code, text = call(faulty)
    assert code == 1
    assert "WARN  GAN01  The discriminator overpowers the generator (steps " in text
    assert "  -> Optimizers.optim_d_lr: 0.002 -> 0.0001 (" in text
    assert "this training needs attention: 1 warning" in text


@pytest.mark.parametrize(("level", "code"), [("info", 1), ("warn", 1), ("error", 0)])
def test_fail_on(level: str, code: int, faulty: Path) -> None:
    assert call(faulty, "--fail-on", level)[0] == code


def test_a_note_fails_only_when_asked(tmp_path: Path) -> None:
    noted = write_folder(Run(q=constant(0.85)), tmp_path / "noted")
    assert [call(noted, "--fail-on", level)[0] for level in ("info", "warn")] == [1, 0]


def test_json(faulty: Path) -> None:
    code, text = call(faulty, "--json")
    report = json.loads(text)
    assert code == 1
    assert report["schema_version"] == SCHEMA_VERSION == 1
    assert report["summary"] == {
        "worst": "warn",
        "counts": {"ok": 0, "info": 0, "warn": 1, "error": 0},
    }
    assert report["steps"]["planned"] == 2000
    assert report["phase"] == "adversarial training"
    (finding,) = report["findings"]
    assert finding["code"] == "GAN01"
    assert finding["window"][0] < finding["window"][1] <= 2000
    assert finding["remedy"][0] == {
        "key": "Optimizers.optim_d_lr",
        "from": 0.002,
        "to": 0.0001,
        "why": "a slower discriminator leaves the generator time to follow",
    }
    assert {"code", "reason"} == set(report["not_checked"][0])
    codes = {skipped["code"] for skipped in report["not_checked"]} | set(report["checked"])
    assert codes == {rule.code for rule in RULES}, "a check is neither done nor listed as skipped"


@pytest.mark.parametrize("fault", ["nan", "few"])
def test_json_is_strict_json(fault: str, tmp_path: Path) -> None:
    def broken(kind: str, step: int, values: dict[str, float]) -> dict[str, float]:
        return {key: float("nan") for key in values} if step > 900 else values

    run = Run(edit=broken) if fault == "nan" else Run(stop_at=12)
    text = call(write_folder(run, tmp_path / "run", end=None), "--json")[1]
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_nothing_to_judge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not exist"):
        call(tmp_path / "missing")
    assert call(tmp_path, "--fail-on", "sometimes")[0] == 2


def test_csv_logs_work(tmp_path: Path) -> None:
    code, text = call(write_csv(Run(), tmp_path / "metrics.csv"))
    assert code == 0
    assert "(CSV log, " in text
    assert "a CSV log comes without a configuration" in text


def test_neither_torch_nor_rasterio_is_imported(healthy: Path) -> None:
    program = (
        "import sys, pathlib, srgan_cli.cli.diagnose as c\n"
        "heavy = {'torch', 'rasterio', 'pydantic', 'numpy', 'wandb', 'scipy', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "c.diagnose(pathlib.Path(sys.argv[1]))\n"
        "heavy -= {'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(healthy)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "healthy" in done.stdout


def test_the_page_is_that_of_the_rules() -> None:
    written = (ROOT / "docs" / "diagnosis.md").read_text(encoding="utf-8")
    assert written == diagnosis_page(), "write diagnosis_page() to docs/diagnosis.md again"
    for rule in RULES:
        assert f"### {rule.code}: {rule.title}\n" in written
        assert len(rule.documentation) > 60


def test_codes_are_unique_and_causes_are_codes() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    for cause, effects in CAUSES.items():
        assert {cause, *effects} <= set(codes)


FITTING = {
    "F01": {"GAN02"}, "F02": {"GAN02"}, "F03": {"GAN01", "GAN07"}, "F04": {"GAN02", "GAN03", "GAN10"},
    "F05": {"GAN04", "GAN10", "NUM04"}, "F06": {"NUM01"}, "F08": {"NUM03"}, "F09": {"GAN06"},
    "F10": {"GAN07", "GAN10"}, "F11": {"SCH04", "GAN10"}, "F12": {"SCH02"}, "F13": {"SCH01"},
    "F14": {"SCH11"}, "F15": {"GAN08"}, "F16": {"EMA01"}, "F17": {"EMA02"}, "F18": {"FIT01", "GAN02"},
    "F19": {"NUM03", "NUM04", "NUM05"},
}  # fmt: skip
"""Findings that fit the planted fault or what became of it; F20 (no ICNR) shows in tiles only."""


@pytest.mark.skipif(not RUNS.is_dir(), reason="no ../shared/data/runs beside the checkout")
def test_logs_of_real_trainings() -> None:
    from srgan_cli.diagnose import diagnose_run

    alarms, missed, fitting = [], [], 0
    for folder in sorted(path for path in RUNS.iterdir() if path.is_dir()):
        report = diagnose_run(folder)
        assert "SYS04" in {skipped.code for skipped in report.not_checked}
        codes = {f.code for f in report.findings if SEVERITIES.index(f.severity) >= 2}
        if folder.name.startswith("H"):
            alarms += [(folder.name, codes)] if codes else []
        elif folder.name[:3] in FITTING:
            wanted = FITTING[folder.name[:3]]
            fitting += bool(wanted & codes)
            missed += [] if wanted & codes else [(folder.name, codes)]
    assert alarms == []
    assert missed == []
    assert fitting == 30
