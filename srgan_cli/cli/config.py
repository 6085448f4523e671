"""`srgan config`: configurations to start from, checked, resolved and described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console
from srgan_cli.errors import EXIT_REFUSED, ConfigError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srgan_cli.errors import Problem

app = typer.Typer(help="Write, check and describe configuration files.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="YAML configuration.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, as Section.key=value; repeatable."
    ),
]


@app.command()
def init(
    preset: Annotated[str | None, typer.Argument(help="Preset; see --list.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File; default: stdout.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the presets and exit.")] = False,
) -> None:
    """Write a complete configuration in which every key is explained.

    \b
    srgan config init --list
    srgan config init quickstart --output quickstart.yaml
    """
    from srgan_cli.config import names, presets
    from srgan_cli.files import write_text

    if list_:
        width = max(map(len, presets.PRESETS))
        for name, known in presets.PRESETS.items():
            console.answer(f"{name:{width}}  {known.description}")
        return
    chosen = preset or presets.DEFAULT_PRESET
    if chosen not in presets.PRESETS:
        match = names.nearest(chosen, presets.PRESETS)
        guess = f"did you mean {match}? " if match else ""
        raise RefusedError(
            f"no preset '{chosen}'", guess + "there are " + ", ".join(presets.PRESETS)
        )
    text = presets.render_preset(chosen)
    if output is None:
        console.answer(text.rstrip("\n"))
        return
    if output.exists() and not overwrite:
        raise RefusedError(f"{output} exists", "add --overwrite, or choose another --output")
    try:
        write_text(output, text)
    except OSError as err:
        raise RefusedError(f"{output} cannot be written: {err.strerror}") from err
    console.answer(str(output))


@app.command()
def check(
    file: File,
    set_: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON on stdout.")] = False,
) -> None:
    """Check a configuration: all problems at once, each with line and column.

    Exit 0 when it can be used, with or without warnings; 2 when it cannot.

    \b
    srgan config check cfg.yaml
    srgan config check cfg.yaml --set Optimizers.optim_g_lr=1e-4 --json
    """
    from srgan_cli.config import load_config

    try:
        warnings: Sequence[Problem] = load_config(file, set_ or ()).warnings
    except ConfigError as err:
        if not as_json:
            raise
        console.answer(_as_json(file, "error", err.problems))
        raise typer.Exit(EXIT_REFUSED) from None
    if as_json:
        console.answer(_as_json(file, "warning", warnings))
        return
    _warn(warnings)
    count = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    console.answer(f"{file}: OK{count}")


@app.command()
def show(file: File, set_: Overrides = None) -> None:
    """Print the resolved configuration: every key with an effect, defaults and overrides included.

    \b
    srgan config show cfg.yaml --set Training.max_steps=2000
    """
    from srgan_cli.config import dump_config, load_config

    loaded = load_config(file, set_ or ())
    _warn(loaded.warnings)
    console.answer(dump_config(loaded.config).rstrip("\n"))


@app.command()
def schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The reference in docs/configuration.md instead.")
    ] = False,
) -> None:
    """Print the JSON schema of configurations, for editors.

    \b
    srgan config schema > srgan.schema.json
    and as the first line of a configuration:
    # yaml-language-server: $schema=srgan.schema.json
    """
    if markdown:
        from srgan_cli.config.reference import render_reference
        from srgan_cli.data.radiometry import RADIOMETRIES

        console.answer(render_reference(RADIOMETRIES.values()).rstrip("\n"))
        return
    from srgan_cli.config.render import json_schema

    console.answer(json.dumps(json_schema(), indent=2))


def _warn(warnings: Sequence[Problem]) -> None:
    for warning in warnings:
        console.warn(str(warning))


def _as_json(file: Path, severity: str, problems: Sequence[Problem]) -> str:
    from dataclasses import asdict

    found = [{"severity": severity, **asdict(problem)} for problem in problems]
    return json.dumps({"file": str(file), "ok": severity != "error", "problems": found}, indent=2)
