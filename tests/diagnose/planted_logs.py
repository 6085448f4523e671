"""Logs that were written, copied or trained by other tools in ways that a code tells of."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from ruamel.yaml import YAML
from synthetic_runs import Run, write_csv, write_folder

from srgan_cli import runfolder as names

Make = Callable[[Path], Path]
Table = list[list[str]]
Values = dict[str, float]


def _of_lightning(run: Run, path: Path, edit: Callable[[Table], Table] = list) -> Path:
    """metrics.csv as OpenSR-SRGAN's logger writes it, its rows edited, and the configuration beside it."""
    path.mkdir(parents=True)
    YAML().dump(run.settings(), path / "config.yaml")
    log = write_csv(run, path / "metrics.csv")
    with log.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    with log.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *edit(rows)])
    return path


def _torn(path: Path) -> Path:
    """Every sixth line has lost its end, and runs on into the next one."""
    log = write_folder(Run(), path) / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines()
    torn = [line[:90] if number % 6 == 5 else line + "\n" for number, line in enumerate(lines)]
    log.write_text("".join(torn), encoding="utf-8")
    return path


def _resumed(path: Path) -> Path:
    def edit(rows: Table) -> Table:
        before = [row for row in rows if int(row[0]) < 1400]
        return [*before, *(row for row in rows if int(row[0]) >= 1100)]

    return _of_lightning(Run(), path, edit)


def _by_four_processes(path: Path) -> Path:
    def edit(rows: Table) -> Table:
        rng = np.random.default_rng(0)
        return [list(_jittered(row, rng)) for row in rows for _ in range(4)]

    return _of_lightning(Run(), path, edit)


def _jittered(row: list[str], rng: np.random.Generator) -> Iterator[str]:
    """The row of another process, which saw another batch."""
    yield row[0]
    factor = math.exp(rng.normal(0, 0.02))
    for cell in row[1:]:
        # Flags, weights and rates are the same in all processes.
        same = not cell or float(cell) in (0.0, 1.0) or float(cell) < 0.01
        yield cell if same else repr(float(cell) * factor)


def _two_steps_a_batch(path: Path) -> Path:
    """Its ramp, too, is as long as configured in such steps: half as many batches."""

    def edit(rows: Table) -> Table:
        steps = [int(row[0]) for row in rows]
        return [
            [str(step if step < 500 else 500 + 2 * (step - 500)), *row[1:]]
            for step, row in zip(steps, rows, strict=True)
        ]

    return _of_lightning(Run(plan={"ramp_steps": 100}), path, edit)


def _with_a_hole(path: Path) -> Path:
    log = write_folder(Run(), path) / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(lines[:90] + lines[140:]), encoding="utf-8")
    return path


def _unfair(kind: str, step: int, values: Values) -> Values:
    """L1 as the adversarial term leaves it, and a scheduler that still asks for the best of the pretraining."""
    if "val_metrics/l1" in values and step > 600:
        values["val_metrics/l1"] *= 1.3
    if names.G_RATE in values and step >= 1000:
        values[names.G_RATE] *= 0.5 ** (1 + (step - 1000) // 400)
    return values


def _worse_by_l1(kind: str, step: int, values: Values) -> Values:
    if "val_metrics/l1" in values and step > 500:
        values["val_metrics/l1"] *= 1.2
    return values


def _from_loaded_weights(path: Path) -> Path:
    average = {"decay": 0.9995, "use_num_updates": False}
    settings = {"Model.load_checkpoint": "pretrained.ckpt", "Training.EMA": average}
    return _of_lightning(Run(config=settings), path)


LOGS: Final[Mapping[str, tuple[str, Make]]] = {
    "LOG02": ("every sixth line has lost its end", _torn),
    "LOG03": ("a Lightning log of a training that was resumed at step 1100 after 1400", _resumed),
    "LOG04": ("a Lightning log into which four processes wrote", _by_four_processes),
    "LOG05": (
        "a Lightning log whose steps count both optimizers from step 500 on",
        _two_steps_a_batch,
    ),
    "LOG06": ("no rows between steps 800 and 1270", _with_a_hole),
    "SCH10": (
        "a Lightning log in which the generator's rate is halved every 400 steps for an L1 above that of the pretraining",
        lambda path: _of_lightning(Run(steps=3000, edit=_unfair), path),
    ),
    "SCH14": (
        "a Lightning log in which L1 is a fifth higher with the GAN",
        lambda path: _of_lightning(Run(edit=_worse_by_l1), path),
    ),
    "EMA04": (
        "a Lightning log of a training that began with loaded weights, with a decay of 0.9995",
        _from_loaded_weights,
    ),
}
"""Code -> words for the caption, and what makes the folder."""
