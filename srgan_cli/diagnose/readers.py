"""Readers: a run folder, or a Lightning-style CSV, becomes a RunLog."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose.log import GRAD_RATIO, RunLog, Series, build_log
from srgan_cli.errors import ConfigError, RefusedError, SrganError
from srgan_cli.runfolder import D_NORM, G_NORM, RunFolder, read_metrics

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

STEP_COLUMNS: Final = ("step", "global_step", "trainer/global_step", "_step")

ALIASES: Final[Mapping[str, str]] = {
    "generator/grad_norm": G_NORM,
    "discriminator/grad_norm": D_NORM,
    "generator/grad_ratio_adv": GRAD_RATIO,
}
"""Other tools' names -> ours."""

_NOT_METRICS: Final = frozenset({"kind", "step", "event", "epoch", "time", *STEP_COLUMNS})


def read_run(path: Path) -> RunLog:
    """The log of a run: a run folder, its metrics.jsonl, a metrics.csv or a folder with one.

    Raises:
        RefusedError: there is nothing that could be judged.
    """
    if not path.exists():
        raise RefusedError(f"{path} does not exist", "give a run folder, for example runs/exp1")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix == ".jsonl":
        return _read_jsonl(RunFolder(path.parent), path)
    if path.suffix == ".csv":
        return _read_csv(path)
    raise RefusedError(
        f"{path} is neither a run folder nor a .jsonl or .csv log",
        "give the folder that `srgan train` wrote, or a Lightning metrics.csv",
    )


def _read_folder(path: Path) -> RunLog:
    folder = RunFolder(path)
    if folder.metrics.is_file():
        return _read_jsonl(folder, folder.metrics)
    if (path / "metrics.csv").is_file():
        return _read_csv(path / "metrics.csv")
    if folder.config.is_file():
        raise RefusedError(
            f"{path} holds a config.yaml but no metrics.jsonl: the run has not logged anything yet",
            "wait for the first log interval, or start it with `srgan train`",
        )
    below = sorted(str(found.relative_to(path)) for found in path.glob("*/metrics.*"))[:3]
    hint = (
        f"did you mean {path / below[0]}?" if below else "give the folder that `srgan train` wrote"
    )
    raise RefusedError(f"{path} is not a run folder: no metrics.jsonl or metrics.csv in it", hint)


def _read_jsonl(folder: RunFolder, path: Path) -> RunLog:
    try:
        rows = read_metrics(path)
        modified = path.stat().st_mtime
    except OSError as err:
        raise RefusedError(f"cannot read {path}: {err.strerror}") from err
    measured = [row for row in rows if row.get("kind") != "event"]
    if not measured:
        raise RefusedError(
            f"{path} holds no metrics rows: there is nothing to judge yet",
            "wait for the first log interval (Logging.log_every steps)",
        )
    config, trouble = _config_of(folder.config)
    events = [row for row in rows if row.get("kind") == "event"]
    resumed = [str(row["step"]) for row in events if row.get("event") == "resume"]
    notes = [f"resumed at step {', '.join(resumed)}: repeated steps count once"] if resumed else []
    return build_log(
        _columns_of_rows(measured),
        source=str(folder.path),
        form="run folder",
        events=events,
        config=config,
        config_trouble=trouble,
        silent_seconds=max(0.0, time.time() - _last_sign(rows, modified)),
        tiles=folder.tiles if folder.tiles.is_dir() else None,
        notes=notes,
    )


def _last_sign(rows: Sequence[Mapping[str, Any]], modified: float) -> float:
    """When the last row was written; a copied file is newer than its rows."""
    written = rows[-1].get("time")
    return float(written) if isinstance(written, (int, float)) else modified


def _config_of(path: Path) -> tuple[RunConfig | None, str]:
    """The configuration, or why there is none; a damaged one never stops the diagnosis."""
    from srgan_cli.config import load_config

    if not path.is_file():
        return None, "there is no config.yaml beside the log"
    try:
        return load_config(path).config, ""
    except ConfigError as err:
        return None, f"config.yaml cannot be used: {err.problems[0] if err.problems else err}"
    except SrganError as err:
        return None, f"config.yaml cannot be used: {err.message}"


def _columns_of_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    steps: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if isinstance(value, (int, float)) and key not in _NOT_METRICS:
                steps.setdefault(key, []).append(row["step"])
                values.setdefault(key, []).append(float(value))
    return {
        name: _series(np.array(steps[name], np.int64), np.array(values[name])) for name in steps
    }


def _series(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Series:
    """Sorted by step; of several values at one step the last one written."""
    if len(steps) > 1 and not np.all(np.diff(steps) > 0):
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
        last = np.append(np.diff(steps) > 0, True)
        steps, values = steps[last], values[last]
    return Series(steps, values.astype(np.float64))


def _read_csv(path: Path) -> RunLog:
    header, table = _csv_table(path)
    step_name = next((name for name in STEP_COLUMNS if name in header), None)
    if step_name is None:
        raise RefusedError(
            f"{path} has no step column (columns: {', '.join(header[:6])}, ...)",
            f"one column must be named {', '.join(STEP_COLUMNS)}",
        )
    columns = {name: _numbers(table[i]) for i, name in enumerate(header) if name not in ("", None)}
    steps = columns.pop(step_name)
    columns = _canonical(columns)
    keep, notes = _without_repeats(steps, _is_train_row(columns))
    series = {}
    for name, values in columns.items():
        filled = keep & ~_empty(values)
        if filled.any():
            series[name] = _series(steps[filled].astype(np.int64), values[filled])
    if not series:
        raise RefusedError(f"{path} holds no metrics rows: there is nothing to judge")
    return build_log(
        series,
        source=str(path),
        form="CSV log",
        config_trouble="a CSV log comes without a configuration that srgan can read",
        notes=notes,
    )


def _csv_table(path: Path) -> tuple[list[str], list[Sequence[str]]]:
    """Header and columns; torn or overlong lines are left out."""
    try:
        with path.open(encoding="utf-8", newline="", errors="replace") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if len(row) == len(header)]
    except (OSError, csv.Error) as err:
        raise RefusedError(f"cannot read {path}: {err}") from err
    if not header or not rows:
        raise RefusedError(f"{path} holds no metrics rows: there is nothing to judge")
    return header, list(zip(*rows, strict=True))


_EMPTY_CELL: Final = -1.2345678901234567e300
"""Stands for "no value" while NaN means a logged NaN."""


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(cell) if cell else _EMPTY_CELL for cell in cells])
    except ValueError:
        return np.array([_number(cell) for cell in cells])


def _number(cell: str) -> float:
    try:
        return float(cell) if cell else _EMPTY_CELL
    except ValueError:
        return _EMPTY_CELL


def _empty(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(values == _EMPTY_CELL)


def _canonical(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Our names. Lightning forks a name into `_step` and `_epoch`; an epoch mean mixes phases."""
    chosen: dict[str, tuple[int, NDArray[np.float64]]] = {}
    for name, values in columns.items():
        stem, rank = name, 1
        if name.endswith("_step"):
            stem, rank = name.removesuffix("_step"), 2
        elif name.endswith("_epoch"):
            stem, rank = name.removesuffix("_epoch"), 0
        stem = ALIASES.get(stem, stem)
        if stem in _NOT_METRICS or (stem in chosen and chosen[stem][0] >= rank):
            continue
        chosen[stem] = (rank, values)
    return {name: values for name, (_, values) in chosen.items()}


def _is_train_row(columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    rows = [~_empty(values) for name, values in columns.items() if not name.startswith("val")]
    every = [~_empty(values) for values in columns.values()]
    return np.asarray(np.any(rows or every, axis=0))


def _without_repeats(
    steps: NDArray[np.float64], train: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], list[str]]:
    """A resumed run repeats steps: where a training row steps back, what was read from there on goes."""
    # Above 2^53 a float is no step number any more.
    keep = np.abs(steps) < 2.0**53
    rows = np.flatnonzero(train & keep)
    back = rows[1:][np.diff(steps[rows]) < 0]
    if len(back) > max(8, 0.05 * len(rows)):
        return keep, [f"steps go back {len(back)} times (several processes?): rows sorted by step"]
    for row in back:
        keep[:row] &= steps[:row] < steps[row]
    notes = [f"resumed at step {int(steps[row])}: repeated steps count once" for row in back]
    return keep, notes
