"""`srgan diagnose`: what is wrong with a training, and what to change."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from srgan_cli.cli import console
from srgan_cli.errors import EXIT_FAILED


class FailOn(str, Enum):
    """Severities that `--fail-on` takes."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def diagnose(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folder, metrics.jsonl, or a Lightning metrics.csv; several are compared.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html with plots into the run folder.")
    ] = False,
    html_file: Annotated[
        Path | None,
        typer.Option("--html-file", metavar="FILE", help="Write the HTML report to FILE."),
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option("--sarif", metavar="FILE", help="Write the findings as SARIF 2.1.0."),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix", metavar="NEW.yaml", help="Write the configuration with the changes advised."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="CFG", help="Configuration of the run; default: its own."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --fix, --sarif or --html-file name.")
    ] = False,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            "--fail-on", help="Exit 1 when a finding is at least this severe; --fix acts on those."
        ),
    ] = FailOn.WARN,
) -> None:
    """Say whether a training is healthy, what is wrong, and which key to change.

    Reads finished and running runs; needs neither a GPU nor torch.

    Exits with 1 when a finding is as severe as --fail-on (of several runs, of the last one).

    \b
    Examples:
      srgan diagnose runs/exp1
      srgan diagnose runs/exp1 --html
      srgan diagnose runs/exp1 --fix cfg2.yaml
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose runs/exp1 runs/exp2
      srgan diagnose lightning_logs/version_3/metrics.csv --fail-on error
    """  # \b is typer's mark for a paragraph that keeps its lines
    from srgan_cli.cli.diagnose_outputs import Outputs, show_comparison, with_config
    from srgan_cli.diagnose import examine, read_run, report_text, to_json

    outputs = Outputs(html, html_file, sarif, fix, config, overwrite)
    outputs.check(runs)
    logs = [with_config(read_run(run), config) for run in runs]
    reports = [examine(log) for log in logs]
    log, report = logs[-1], reports[-1]
    for note in (note for each in reports for note in each.notes):
        console.detail(note)
    if len(runs) > 1:
        show_comparison(logs, reports, as_json=json)
    elif json:
        console.answer_json(to_json(report))
    else:
        console.answer(report_text(report, console.answer_width()))
    outputs.write(log, report, runs[-1], fail_on.value)
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)
