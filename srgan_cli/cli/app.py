"""The `srgan` command: one thin function per subcommand, one boundary for errors."""

from __future__ import annotations

import sys
import tempfile
import traceback
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from srgan_cli import __version__
from srgan_cli.cli import config, console, data, diagnose, evaluate, infer, synth, train, weights
from srgan_cli.errors import EXIT_BUG, SrganError

EXIT_CODES = (
    "Exit codes: 0 done; 1 ran, but failed or found problems; 2 refused to start "
    "(usage, config, input); 70 a bug of ours; 128+N stopped by signal N after saving."
)

app = typer.Typer(
    name="srgan",
    help="Train, apply and diagnose super-resolution GANs on satellite imagery.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(data.data)
app.command()(train.train)
app.command()(infer.infer)
app.command()(diagnose.diagnose)
app.command()(evaluate.evaluate)
app.command()(weights.weights)
app.command("import")(weights.import_weights)
app.command()(synth.synth)
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        console.answer(f"srgan {__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    quiet: Annotated[int, typer.Option("-q", "--quiet", count=True, help="Errors only.")] = 0,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="More detail.")] = 0,
    version: Annotated[  # noqa: ARG001  # its callback has printed it
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Version and exit."),
    ] = False,
) -> None:
    console.set_verbosity(verbose - quiet)


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    try:
        app()
    except SrganError as err:
        console.error(err)
        raise SystemExit(err.exit_code) from None
    except Exception as err:
        place = _write_crash_report()
        console.error(
            SrganError(
                f"a bug in srgan: {type(err).__name__}: {err}",
                f"the traceback is in {place}; please report it with the command you ran",
            )
        )
        if console.verbosity() >= 1:
            traceback.print_exc()
        raise SystemExit(EXIT_BUG) from None


def _write_crash_report() -> Path:
    name = f"srgan-crash-{datetime.now():%Y%m%d-%H%M%S}.txt"
    text = f"srgan {__version__}\n{sys.argv}\n\n{traceback.format_exc()}"
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return Path("-")
