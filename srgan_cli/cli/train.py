"""`srgan train`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console

if TYPE_CHECKING:
    from srgan_cli.train.dry_run import DryRun


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the run.")],
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the run.", show_default="runs/<name of the YAML file>"),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="auto|PATH",
            help="Go on: `auto` from the newest checkpoint of the run, if any; PATH from that one.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would happen; write nothing.")
    ] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the YAML; repeatable."),
    ] = None,
) -> None:
    """Train a super-resolution GAN; prints the path of the exported weights.

    \b
    srgan train cfg.yaml
    srgan train cfg.yaml --run-dir runs/exp2 --set Training.max_steps=20000
    srgan train cfg.yaml --resume auto
    """
    from srgan_cli.config import load_config

    loaded = load_config(config, set_ or [])
    for problem in loaded.warnings:
        console.warn(str(problem))
    console.detail("loading torch")
    if dry_run:
        from srgan_cli.train.dry_run import dry_run as explore

        _show(explore(loaded.config))
        return
    from srgan_cli.runfolder import RunFolder
    from srgan_cli.train.run import run_training

    parent = Path(loaded.config.logging.output_dir or "runs")
    folder = RunFolder(run_dir if run_dir is not None else parent / config.stem)

    def progress(total: int, done: int) -> AbstractContextManager[console.LiveView]:
        console.note(f"run folder {folder.path}, {total} steps")
        return console.live_view("training", total, done)

    console.answer(str(run_training(loaded.config, folder, resume, progress, console.warn)))


def _show(found: DryRun) -> None:
    for warning in found.warnings:
        console.warn(warning)
    columns = ("file", "role", "size", "bands", "dtype", "CRS", "pixel", "range")
    console.table("scenes", columns, found.scenes)
    lines = [
        f"device      {found.device}, {found.precision}",
        f"generator   {found.generator_parameters:,} parameters",
        f"discriminator {found.discriminator_parameters:,} parameters",
        f"memory      {found.peak_memory_mb:.0f} MB at its peak so far",
        f"steps       {found.max_steps} ({found.steps_per_epoch} a pass over the imagery), "
        f"validation every {found.validation_every}",
    ]
    lines += [f"{step:>10}  {text}" for step, text in found.milestones]
    for phase, seconds in (
        ("pretraining", found.pretrain_seconds_per_step),
        ("adversarial", found.adversarial_seconds_per_step),
    ):
        if seconds is not None:
            lines.append(f"{phase} {seconds:.3f} s a step")
    lines.append(f"about {found.total_seconds / 60:.1f} min for all steps")
    console.answer("\n".join(lines))
