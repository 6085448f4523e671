"""Which column of a log is which metric."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from srgan_cli import runfolder as names
from srgan_cli.diagnose.log import GRAD_RATIO, HF_RATIO
from srgan_cli.errors import RefusedError

STEP: Final = "step"
STEP_COLUMNS: Final = (STEP, "global_step", "trainer/global_step", "_step")
RANK_COLUMNS: Final = ("rank", "global_rank", "local_rank", "process_index")
"""In lower case; say which process wrote a row."""

NOT_METRICS: Final = frozenset(
    {"kind", "event", "epoch", "time", "_timestamp", "_runtime", "_wandb", *STEP_COLUMNS}
)

ALIASES: Final[Mapping[str, str]] = {
    "generator/grad_norm": names.G_NORM,
    "discriminator/grad_norm": names.D_NORM,
    "generator/grad_ratio_adv": GRAD_RATIO,
}
"""Other tools' names -> ours."""

METRICS: Final = (
    names.PRETRAIN_PHASE,
    names.ADV_WEIGHT,
    names.G_CONTENT,
    names.G_TOTAL,
    *names.ADVERSARIAL,
    names.G_RATE,
    names.D_RATE,
    names.G_NORM,
    names.D_NORM,
    names.EMA_DECAY,
    names.SKIPPED_STEPS,
    names.STEP_SECONDS,
    names.DATA_SECONDS,
    names.VAL_SECONDS,
    names.PEAK_MEMORY,
    GRAD_RATIO,
    HF_RATIO,
    *(f"train_metrics/{part}" for part in names.TRAIN_PARTS),
    *(f"val_metrics/{part}" for part in (*names.TRAIN_PARTS, "psnr", "ssim", "ergas")),
)
"""What a column can be mapped to."""


def parse_mapping(options: Sequence[str]) -> dict[str, str]:
    """`--map` options as {metric or "step": column}.

    Raises:
        RefusedError: One is not `METRIC=COLUMN`, or METRIC is not known.
    """
    mapping: dict[str, str] = {}
    for option in options:
        metric, equals, column = (part.strip() for part in option.partition("="))
        if not (metric and equals and column):
            raise RefusedError(
                f"--map {option}: not METRIC=COLUMN",
                "for example --map generator/content_loss=g_l1 --map step=iteration",
            )
        if metric not in (STEP, *METRICS):
            raise RefusedError(f"--map {option}: no metric is called {metric!r}", _near(metric))
        if mapping.setdefault(metric, column) != column:
            raise RefusedError(
                f"--map names two columns for {metric}: {mapping[metric]!r} and {column!r}",
                "give one",
            )
    return mapping


def _near(metric: str) -> str:
    """The hint for a metric that is not known."""
    near = _closest(metric, (STEP, *METRICS), 3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"metrics are {STEP}, {', '.join(METRICS)}"


def _closest(word: str, known: Iterable[str], count: int) -> list[str]:
    """Known names like `word`, also where only the last part of a name was given."""
    known = list(known)
    last = [name for name in known if name.rpartition("/")[2].lower() == word.lower()]
    by_lower = {name.lower(): name for name in known}
    alike = difflib.get_close_matches(word.lower(), by_lower, n=count, cutoff=0.6)
    return list(dict.fromkeys([*last, *(by_lower[name] for name in alike)]))[:count]


def check_columns(mapping: Mapping[str, str], columns: Sequence[str], source: str) -> None:
    """Refuses a mapping to a column that the log does not have.

    Raises:
        RefusedError: With the columns that may have been meant.
    """
    for metric, column in mapping.items():
        if column in columns:
            continue
        near = _closest(column, columns, 3)
        listed = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
        raise RefusedError(
            f"--map {metric}={column}: {source} has no column {column!r}",
            f"did you mean {' or '.join(near)}?" if near else f"its columns are {listed}",
        )


def step_column(columns: Sequence[str], mapping: Mapping[str, str], source: str) -> str:
    """The column that holds the steps.

    Raises:
        RefusedError: There is none.
    """
    if STEP in mapping:
        return mapping[STEP]
    found = next((name for name in STEP_COLUMNS if name in columns), None)
    if found is None:
        shown = ", ".join(columns[:6]) + (", ..." if len(columns) > 6 else "")
        raise RefusedError(
            f"{source} has no step column (columns: {shown})",
            f"one must be named {', '.join(STEP_COLUMNS)}, or say which one it is: --map step=COLUMN",
        )
    return found


def metric_columns(columns: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """{metric: column}. Lightning forks a name into `_step` and `_epoch`; an epoch mean mixes phases."""
    chosen: dict[str, tuple[int, str]] = {}
    taken = frozenset(mapping.values())
    for column in columns:
        metric, rank = column, 1
        if column.endswith("_step"):
            metric, rank = column.removesuffix("_step"), 2
        elif column.endswith("_epoch"):
            metric, rank = column.removesuffix("_epoch"), 0
        metric = ALIASES.get(metric, metric)
        if metric in NOT_METRICS or metric.lower() in RANK_COLUMNS or column in taken:
            continue
        if metric not in chosen or chosen[metric][0] < rank:
            chosen[metric] = (rank, column)
    own = {metric: column for metric, column in mapping.items() if metric != STEP}
    return {metric: column for metric, (_, column) in chosen.items()} | own
