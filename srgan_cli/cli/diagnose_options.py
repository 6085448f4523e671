"""What `srgan diagnose` can be told: the options, by subject.

Every name is a type for a parameter of the command, whose default stands in the command.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Severity(str, Enum):
    """What `--fail-on` takes."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


# What is judged, and how it is read.

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        help="Run folder or its metrics.jsonl; Lightning's metrics.csv or lightning_logs; a W&B offline run; "
        "TensorBoard event files; Hugging Face's trainer_state.json; any CSV, TSV or JSON lines (also .gz); several are compared. "
        "Or an SR GeoTIFF, a weights file, or a checkpoint that `srgan import` takes.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="CFG",
        help="Configuration of the run; default: its own. Of a checkpoint: what it was trained with.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="METRIC=COLUMN",
        help="Column of a metric in a log with other names, or of the step; repeatable.",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Follow a run that is going on, to its end or Ctrl-C; then report."
    ),
]
Every = Annotated[
    float,
    typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --watch looks."),
]
Scale = Annotated[
    int | None,
    typer.Option(
        "--scale",
        min=1,
        help="SR GeoTIFF: SR px per LR px; default: its SRGAN_SCALE tag. Checkpoint: where its shapes leave it open.",
    ),
]
Lr = Annotated[
    Path | None,
    typer.Option("--lr", help="SR GeoTIFF: the raster it was made of, to compare with."),
]

# What is written, and when the command fails.

Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Html = Annotated[
    bool, typer.Option("--html", help="Write report.html with plots into the run folder.")
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html-file", metavar="FILE", help="Write the HTML report, or comparison, to FILE."
    ),
]
Sarif = Annotated[
    Path | None,
    typer.Option("--sarif", metavar="FILE", help="Write the findings as SARIF 2.1.0."),
]
Fix = Annotated[
    Path | None,
    typer.Option(
        "--fix", metavar="NEW.yaml", help="Write the configuration with the changes advised."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --fix, --sarif or --html-file name.")
]
FailOn = Annotated[
    Severity,
    typer.Option(
        "--fail-on", help="Exit 1 when a finding is at least this severe; --fix acts on those."
    ),
]
