"""`srgan diagnose`: what is wrong with a training, and what to change."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console
from srgan_cli.errors import EXIT_FAILED

if TYPE_CHECKING:
    from srgan_cli.diagnose import Report


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
            help="Run folder, metrics.jsonl, a Lightning metrics.csv; an SR GeoTIFF; or a "
            "weights file.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit 1 when a finding is at least this severe.")
    ] = FailOn.WARN,
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
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose lightning_logs/version_3/metrics.csv --fail-on error
      srgan diagnose out.tif --lr in.tif
      srgan diagnose runs/exp1/weights/ema.safetensors
    """  # \b is typer's mark for a paragraph that keeps its lines
    from json import dumps

    from srgan_cli.diagnose import report_text, to_json

    report = _report(run, scale, lr)
    for note in report.notes:
        console.detail(note)
    console.answer(dumps(to_json(report), indent=2) if json else report_text(report))
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)


def _report(path: Path, scale: int | None, lr: Path | None) -> Report:
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
    return diagnose_run(path)
