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
            help="Run folder or its metrics.jsonl; Lightning's metrics.csv or lightning_logs; a W&B offline run; "
            "TensorBoard event files; Hugging Face's trainer_state.json; any CSV, TSV or JSON lines (also .gz); several are compared. "
            "Or an SR GeoTIFF, a weights file, or a checkpoint that `srgan import` takes.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html with plots into the run folder.")
    ] = False,
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html-file", metavar="FILE", help="Write the HTML report, or comparison, to FILE."
        ),
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
        typer.Option(
            "--config",
            metavar="CFG",
            help="Configuration of the run; default: its own. Of a checkpoint: what it was trained with.",
        ),
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
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="METRIC=COLUMN",
            help="Column of a metric in a log with other names, or of the step; repeatable.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Follow a run that is going on, to its end or Ctrl-C; then report."
        ),
    ] = False,
    every: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --watch looks."),
    ] = 5.0,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale",
            min=1,
            help="SR GeoTIFF: SR px per LR px; default: its SRGAN_SCALE tag. Checkpoint: where its shapes leave it open.",
        ),
    ] = None,
    lr: Annotated[
        Path | None,
        typer.Option("--lr", help="SR GeoTIFF: the raster it was made of, to compare with."),
    ] = None,
) -> None:
    """Say whether a training is healthy, what is wrong, and which key to change.

    Reads finished and running runs; needs neither a GPU nor torch. Of an SR GeoTIFF it says whether
    the upsampling grid shows, of a weights file whether it will.

    Exits with 1 when a finding is as severe as --fail-on (of several runs, of the last one).

    \b
    Examples:
      srgan diagnose runs/exp1
      srgan diagnose runs/exp1 --watch
      srgan diagnose runs/exp1 --html
      srgan diagnose runs/exp1 --fix cfg2.yaml
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose runs/exp1 runs/exp2 --html-file comparison.html
      srgan diagnose lightning_logs --fail-on error
      srgan diagnose wandb/offline-run-20250101_120000-abcd1234
      srgan diagnose log.csv --map step=iteration --map train_metrics/l1=loss_pix
      srgan diagnose out.tif --lr in.tif
      srgan diagnose runs/exp1/weights/ema.safetensors
      srgan diagnose RealESRGAN_x4plus.pth
    """  # \b is typer's mark for a paragraph that keeps its lines
    from srgan_cli.cli.diagnose_inputs import Inputs, is_picture
    from srgan_cli.cli.diagnose_outputs import Outputs, show_comparison
    from srgan_cli.diagnose import examine, report_text, to_json

    inputs = Inputs(columns or (), watch, every, scale, lr, config)
    outputs = Outputs(html, html_file, sarif, fix, config, overwrite)
    inputs.check(runs)
    outputs.check(runs, of_training=not is_picture(runs[0]))
    logs = [] if is_picture(runs[0]) else inputs.logs(runs)
    reports = [examine(log) for log in logs] or [inputs.picture(runs[0])]
    report = reports[-1]
    for note in (note for each in reports for note in each.notes):
        console.detail(note)
    if len(runs) > 1:
        show_comparison(logs, reports, html_file, as_json=json)
    elif json:
        console.answer_json(to_json(report))
    else:
        console.answer(report_text(report, console.answer_width()))
    if len(runs) == 1:
        outputs.write(logs[-1] if logs else None, report, runs[-1], fail_on.value)
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)
