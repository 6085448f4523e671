"""What `srgan diagnose` writes besides its report: HTML, SARIF, a changed configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srgan_cli.cli import console
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.diagnose import Report
    from srgan_cli.diagnose.log import RunLog
    from srgan_cli.diagnose.report import Severity


@dataclass(frozen=True)
class Outputs:
    """The files that were asked for."""

    html: bool
    """report.html in the run folder."""
    html_file: Path | None
    sarif: Path | None
    fix: Path | None
    config: Path | None
    """The run's configuration, where it is not its own."""
    overwrite: bool

    def check(self, runs: Sequence[Path], of_training: bool = True) -> None:
        """Refuse what cannot be done, before anything is read or written.

        Raises:
            RefusedError: A file exists, or is one that the diagnosis reads; several runs are to be
                put into one file that is about one; or what there is to write needs the log of a
                training.
        """
        if not of_training:
            self._check_without_log(runs[0])
        if len(runs) > 1:
            self._check_several(runs)
        if self.html and self.html_file:
            raise RefusedError(
                "--html and --html-file both say where the HTML report goes", "give one of them"
            )
        for option, path in (
            ("--html-file", self.html_file),
            ("--sarif", self.sarif),
            ("--fix", self.fix),
        ):
            if path is not None:
                self._check_file(option, path, runs)

    def _check_without_log(self, path: Path) -> None:
        given = {"--html": self.html, "--html-file": self.html_file, "--fix": self.fix}
        for option, value in given.items():
            if value:
                raise RefusedError(
                    f"{option} is for the log of a training, and {path} is none",
                    "use --json or --sarif for what was found in it",
                )

    def _check_several(self, runs: Sequence[Path]) -> None:
        if self.html:
            extra = next((run for run in runs[1:] if run.suffix in (".html", ".htm")), None)
            raise RefusedError(
                f"--html writes into the folder of a run, and a comparison of {len(runs)} has none",
                f"name the file: --html-file {extra or 'comparison.html'}",
            )
        given = {"--sarif": self.sarif, "--fix": self.fix, "--config": self.config}
        for option, value in given.items():
            if value:
                raise RefusedError(
                    f"{option} is for one run, not for {len(runs)}",
                    "call `srgan diagnose` for each run by itself",
                )

    def _check_file(self, option: str, path: Path, runs: Sequence[Path]) -> None:
        if path.is_dir():
            raise RefusedError(f"{option} {path} is a folder", "name a file")
        if not path.parent.is_dir():
            raise RefusedError(
                f"{option} {path}: there is no folder {path.parent}", "make it first"
            )
        parts = ("config.yaml", "metrics.jsonl", "metrics.csv")
        read = [*runs, *(run / part for run in runs for part in parts)]
        read += [self.config] if self.config else []
        if path.exists() and any(each.exists() and each.samefile(path) for each in read):
            raise RefusedError(f"{option} {path} is what the diagnosis reads", "name another file")
        if path.exists() and not self.overwrite:
            raise RefusedError(f"{path} exists", f"add --overwrite, or choose another {option}")

    def write(self, log: RunLog | None, report: Report, run: Path, level: Severity) -> None:
        """Write them, and say on stderr what was written.

        Raises:
            RefusedError: The configuration to change is missing or cannot be used, or a file
                cannot be written.
        """
        html = self.html_file
        if self.html:
            html = (run if run.is_dir() else run.parent) / "report.html"
        config = self.config or (_own_config(log) if log else None)
        if html is not None and log is not None:
            from srgan_cli.diagnose.html import report_html

            _write(html, report_html(report, log))
        if self.sarif is not None:
            from srgan_cli.diagnose.sarif import report_sarif

            sarif = report_sarif(report, config, Path.cwd())
            _write(self.sarif, json.dumps(sarif, indent=2, allow_nan=False) + "\n")
        if self.fix is not None and log is not None:
            self._fix(self.fix, log, report, config, level)

    def _fix(
        self, path: Path, log: RunLog, report: Report, config: Path | None, level: Severity
    ) -> None:
        from srgan_cli.config.load import read_text
        from srgan_cli.diagnose.fix import fix_config

        if log.config is None or config is None:
            raise RefusedError(
                f"--fix has no configuration to change: {log.config_trouble}",
                "name the run's configuration with --config CFG",
            )
        if any("SCH16" in (one.code, *one.explains) for one in report.findings):
            console.warn(
                f"the run was not made with {config} (SCH16): what {path} changes rests on other values"
            )
        fixed = fix_config(report, read_text(config), level)
        if fixed.changed:
            _write(path, fixed.text)
        for line in fixed.changed:
            console.note(f"  changed      {line}")
        for line in fixed.left:
            console.note(f"  left to you  {line}")
        for warning in fixed.warnings:
            console.warn(f"{path}: {warning}")
        if not fixed.changed:
            console.note(f"{path} was not written: no key needs to change")


def show_comparison(
    logs: Sequence[RunLog], reports: Sequence[Report], html_file: Path | None, *, as_json: bool
) -> None:
    """Print what differs between runs, and write it as HTML where that was asked for.

    Raises:
        RefusedError: The file cannot be written.
    """
    from srgan_cli.diagnose.compare import compare_runs
    from srgan_cli.diagnose.compare_json import comparison_json
    from srgan_cli.diagnose.compare_text import comparison_text

    comparison = compare_runs(logs, reports)
    if as_json:
        console.answer_json(comparison_json(comparison))
    else:
        console.answer(comparison_text(comparison, console.answer_width()))
    if html_file is not None:
        from srgan_cli.diagnose.compare_html import comparison_html

        _write(html_file, comparison_html(comparison, logs))


def _own_config(log: RunLog) -> Path | None:
    path = Path(log.source) / "config.yaml"
    return path if path.is_file() else None


def _write(path: Path, text: str) -> None:
    from srgan_cli.files import write_text

    try:
        write_text(path, text)
    except OSError as err:
        raise RefusedError(f"{path} cannot be written: {err.strerror}") from err
    console.note(f"wrote {path}")
