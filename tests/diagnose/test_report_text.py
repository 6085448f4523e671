"""The report in a terminal: every line fits, also a narrow one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from planted import PLANTED
from synthetic_runs import Run, write_folder

from srgan_cli.cli import console
from srgan_cli.diagnose import diagnose_run, report_text
from srgan_cli.diagnose.rules import RULES

RUNS = Path(__file__).parents[3] / "shared" / "data" / "runs"


@pytest.mark.parametrize("code", [rule.code for rule in RULES if rule.code in PLANTED])
def test_lines_fit(code: str, diagnosed) -> None:
    report = replace(diagnosed(code).report, source="run")
    for width in (60, 80, 100):
        lines = report_text(report, width).splitlines()
        assert max(map(len, lines)) <= width
    words = " ".join(report_text(report, 60).split())
    assert words == " ".join(report_text(report, 100).split()), "a width loses words"


@pytest.mark.skipif(not RUNS.is_dir(), reason="no ../shared/data/runs beside the checkout")
def test_real_logs_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RUNS)
    for folder in sorted(Path().iterdir())[::5]:
        if folder.is_dir():
            lines = report_text(diagnose_run(folder), 80).splitlines()
            assert max(map(len, lines)) <= 80, folder


def test_verdict_and_findings_come_before_what_was_checked(diagnosed) -> None:
    text = report_text(diagnosed("GAN02").report)
    places = [
        text.index(word)
        for word in ("\nverdict ", "\nERROR ", "  -> ", "\nchecked ", "\nnot checked")
    ]
    assert places == sorted(places)


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert console.answer_width() == 72
    monkeypatch.setenv("COLUMNS", "200")
    assert console.answer_width() == 100, "longer lines are hard to read"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    monkeypatch.setenv("COLUMNS", "72")
    assert console.answer_width() == 100, "a file looks the same whoever writes it"


def test_a_log_that_says_little_says_so(tmp_path: Path) -> None:
    text = report_text(diagnose_run(write_folder(Run(stop_at=12), tmp_path / "run", end=None)))
    assert "too little log to judge by" in text
