"""`srgan diagnose`: what is wrong with a training, and what to change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console
from srgan_cli.errors import EXIT_FAILED

if TYPE_CHECKING:
    from srgan_cli.diagnose import Report
    from srgan_cli.signals import StopRequest


class FailOn(str, Enum):
    """Severities that `--fail-on` takes."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


def diagnose(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Run folder or its metrics.jsonl; Lightning's metrics.csv or lightning_logs; a W&B offline run; "
            "TensorBoard event files; any CSV, TSV or JSON lines (also .gz); an SR GeoTIFF; a weights file.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit 1 when a finding is at least this severe.")
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
            "--scale", min=1, help="SR GeoTIFF: SR px per LR px; default: its SRGAN_SCALE tag."
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

    \b
    Examples:
      srgan diagnose runs/exp1
      srgan diagnose runs/exp1 --watch
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose lightning_logs --fail-on error
      srgan diagnose wandb/offline-run-20250101_120000-abcd1234
      srgan diagnose log.csv --map step=iteration --map train_metrics/l1=loss_pix
      srgan diagnose out.tif --lr in.tif
      srgan diagnose runs/exp1/weights/ema.safetensors
    """  # \b is typer's mark for a paragraph that keeps its lines
    from srgan_cli.diagnose import parse_mapping, report_text, to_json

    mapping = parse_mapping(columns or ())
    report = _follow(run, mapping, every) if watch else _report(run, mapping, scale, lr)
    for note in report.notes:
        console.detail(note)
    if json:
        console.answer_json(to_json(report))
    else:
        console.answer(report_text(report))
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)


def _follow(run: Path, mapping: Mapping[str, str], every: float) -> Report:
    """The last report of a run that is followed; a line or, on a terminal, the whole report on the way.

    Ctrl-C (or SIGTERM) ends the watch, not the answer.
    """
    from srgan_cli.diagnose import Watch, report_text, summary_line
    from srgan_cli.signals import stop_request

    watched = Watch(run, mapping)
    told = ""
    with stop_request("nothing was reported", "look again") as stop, console.live_answer() as show:
        while not watched.ended and not stop:
            new = watched.look()
            report = watched.report
            if report is None and watched.waiting.message != told:
                told = watched.waiting.message
                console.note(f"waiting: {told}")
            elif report is not None and new:
                if show:
                    show(report_text(report))
                else:
                    console.note(f"{time.strftime('%H:%M:%S')}  {summary_line(report)}")
            _pause(0.0 if watched.ended else every, stop)
    if watched.report is None:
        raise watched.waiting
    return watched.report


def _pause(seconds: float, stop: StopRequest) -> None:
    """Waits, but not for long once a signal has come."""
    end = time.monotonic() + seconds
    while not stop and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))


def _report(path: Path, mapping: Mapping[str, str], scale: int | None, lr: Path | None) -> Report:
    """The diagnosis of whatever was given."""
    from srgan_cli.diagnose import diagnose_run
    from srgan_cli.diagnose.lossless import SUFFIXES
    from srgan_cli.errors import RefusedError

    if path.suffix.lower() in SUFFIXES:
        from srgan_cli.diagnose.raster import diagnose_raster

        return diagnose_raster(path, scale, lr)
    if scale is not None or lr is not None:
        raise RefusedError(
            f"{path} is no raster, so --scale and --lr say nothing", "leave them out"
        )
    if path.suffix == ".safetensors":
        from srgan_cli.diagnose.probe import diagnose_weights

        return diagnose_weights(path)
    return diagnose_run(path, mapping)
