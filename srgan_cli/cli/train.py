"""`srgan train`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan_cli.cli import console

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig
    from srgan_cli.train.distributed import Ranks
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
    from srgan_cli.train.launch import launch, launched, restarted

    if launched() or restarted():
        _train_together(config, run_dir, resume, dry_run, set_ or [])
        return
    loaded = _load(config, set_ or [])
    if loaded.training.processes > 1 and not dry_run:
        raise typer.Exit(launch(loaded, sys.argv[1:]))
    _train(loaded, config.stem, run_dir, resume, dry_run)


def _load(path: Path, overrides: list[str]) -> RunConfig:
    from srgan_cli.config import load_config

    loaded = load_config(path, overrides)
    for problem in loaded.warnings:
        console.warn(str(problem))
    console.detail("loading torch")
    return loaded.config


def _train_together(
    path: Path, run_dir: Path | None, resume: str | None, dry_run: bool, overrides: list[str]
) -> None:
    """In one of the processes that a launcher has started."""
    from srgan_cli.config import RunConfig
    from srgan_cli.train.processes import together

    with together() as ranks:
        if ranks.is_main:
            config = _load(path, overrides)
            ranks.share(config.model_dump(mode="json", by_alias=True))
        else:
            # Rank 0 speaks for all; errors are told by whoever has them.
            console.set_verbosity(-1)
            config = RunConfig.model_validate(ranks.share({}))
        if ranks.is_main or not dry_run:
            _train(config, path.stem, run_dir, resume, dry_run, ranks)


def _train(
    config: RunConfig,
    name: str,
    run_dir: Path | None,
    resume: str | None,
    dry_run: bool,
    ranks: Ranks | None = None,
) -> None:
    from srgan_cli.train.distributed import ALONE

    ranks = ranks or ALONE
    if dry_run:
        from srgan_cli.train.dry_run import dry_run as explore

        _show(explore(config, ranks))
        return
    from srgan_cli.runfolder import RunFolder
    from srgan_cli.train.run import run_training

    folder = RunFolder(run_dir or Path(config.logging.output_dir or "runs") / name)

    def progress(total: int, done: int) -> AbstractContextManager[console.LiveView]:
        console.note(f"run folder {folder.path}, {total} steps")
        if ranks.world > 1:
            console.note(f"processes {_shares(ranks.world, config.data.train_batch_size)}")
        return console.live_view("training", total, done)

    weights = run_training(config, folder, resume, progress, console.warn, ranks)
    if ranks.is_main:
        console.answer(str(weights))


def _shares(processes: int, batch_size: int) -> str:
    return f"{processes}, each with {batch_size // processes} of the {batch_size} crops of a step"


def _show(found: DryRun) -> None:
    for warning in found.warnings:
        console.warn(warning)
    columns = ("file", "role", "size", "bands", "dtype", "CRS", "pixel", "range")
    # What comes before its name makes every row several lines long; `srgan data --json` has it all.
    rows = [(Path(path).name, *others) for path, *others in found.scenes]
    console.table("scenes", columns, rows)
    console.answer("\n".join([*_facts(found), "", *_schedule(found), "", *_times(found)]))


def _facts(found: DryRun) -> list[str]:
    field = found.receptive_field_px
    reach = "the whole input" if field is None else f"{field} LR pixels to every side"
    estimate = found.lasting_mb + found.activations_mb
    where = "allocated" if found.device.startswith("cuda") else "resident, the program included"
    shares = f"processes      {_shares(found.processes, found.batch_size)}; times are without what they exchange"
    return [
        f"device         {found.device}, {found.precision}",
        *([shares] if found.processes > 1 else []),
        f"batch          {found.batch_size} crops a step",
        f"generator      {found.generator_parameters:,} parameters, receptive field {reach}",
        f"discriminator  {found.discriminator_parameters:,} parameters",
        f"memory         about {estimate:,.0f} MB: {found.lasting_mb:,.0f} for weights, gradients, "
        f"moments and average, {found.activations_mb:,.0f} for a step",
        f"               {found.peak_memory_mb:,.0f} MB measured at the peak ({where})",
        f"steps          {found.max_steps:,} ({found.steps_per_epoch:,} a pass over the imagery), "
        f"validation every {found.validation_every:,}",
    ]


def _schedule(found: DryRun) -> list[str]:
    lines = [f"{'step':>9}  {'after':>9}  {'G rate':>8}  {'D rate':>8}  {'adv. weight':>11}"]
    for row in found.schedule:
        d_rate = f"{row.d_rate:.3g}" if row.d_rate else "-"
        lines.append(
            f"{row.step:>9,}  {_duration(row.seconds):>9}  {row.g_rate:>8.3g}  {d_rate:>8}  "
            f"{row.adv_weight:>11.3g}  {row.text}"
        )
    return lines


def _times(found: DryRun) -> list[str]:
    named = (
        ("pretraining", found.pretrain_seconds_per_step, "a step"),
        ("adversarial", found.adversarial_seconds_per_step, "a step"),
        ("validation", found.validation_seconds, "each"),
    )
    lines = [f"{name:<13}{value:.3g} s {each}" for name, value, each in named if value is not None]
    return [*lines, f"{'total':<13}about {_duration(found.total_seconds)}"]


def _duration(seconds: float) -> str:
    """In the unit that leaves two to three digits."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
