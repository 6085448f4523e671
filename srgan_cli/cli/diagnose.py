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
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Run folder, metrics.jsonl, or a Lightning metrics.csv."
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit 1 when a finding is at least this severe.")
    ] = FailOn.WARN,
) -> None:
    """Say whether a training is healthy, what is wrong, and which key to change.

    Reads finished and running runs; needs neither a GPU nor torch.

    \b
    Examples:
      srgan diagnose runs/exp1
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose lightning_logs/version_3/metrics.csv --fail-on error
    """  # \b is typer's mark for a paragraph that keeps its lines
    from json import dumps

    from srgan_cli.diagnose import diagnose_run, report_text, to_json

    report = diagnose_run(run)
    for note in report.notes:
        console.detail(note)
    console.answer(dumps(to_json(report), indent=2) if json else report_text(report))
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)
