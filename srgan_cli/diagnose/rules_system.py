"""SYS01, SYS02, SYS04, LOG01: the machine, and whether there is enough log to judge."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog, on_common_steps
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


def sys01(log: RunLog) -> Finding | NotChecked | None:
    """Training waits for data.

    More than 30 % of the step time (a note) or 50 % (a warning) goes by before a batch is there. More loader processes,
    faster storage, or tiled rasters instead of stripped ones.
    """
    wait, step = on_common_steps(log.get(names.DATA_SECONDS), log.get(names.STEP_SECONDS))
    steps = wait.steps
    if len(steps) < limit.MIN_TREND_ROWS:
        return NotChecked(
            "SYS01", f"{len(steps)} rows with data and step times; needs {limit.MIN_TREND_ROWS}"
        )
    seconds = np.maximum(step.values, 1e-9)
    share = float(np.median(wait.values / seconds))
    if share <= limit.DATA_WAIT_INFO:
        return None
    workers = log.config.data.num_workers if log.config else None
    return Finding(
        "SYS01",
        "warn" if share > limit.DATA_WAIT_WARN else "info",
        "Training waits for data",
        f"{share:.0%} of the step time ({float(np.median(seconds)):.3g} s) is waiting for the next batch",
        (int(steps[0]), int(steps[-1])),
        "run",
        {"share": share, "step_seconds": float(np.median(seconds))},
        (
            Remedy(
                "Data.num_workers",
                workers,
                None if workers is None else max(4, 2 * workers),
                "reads batches ahead; tiled GeoTIFFs help too",
            ),
        ),
    )


def sys02(log: RunLog) -> Finding | NotChecked | None:
    """Steps have become much slower: the last fifth of a phase takes twice as long as its first half."""
    step = log.adv(names.STEP_SECONDS) if log.t_adv is not None else log.get(names.STEP_SECONDS)
    step = step.where(np.arange(len(step)) >= 0.05 * len(step))
    if len(step) < 2 * limit.MIN_TREND_ROWS:
        return NotChecked(
            "SYS02",
            f"{len(step)} rows with step times in this phase; needs {2 * limit.MIN_TREND_ROWS}",
        )
    first = float(np.median(step.values[: len(step) // 2]))
    last = float(np.median(stats.tail(step.values, 0.2)))
    if first <= 0 or last <= limit.SLOWDOWN * first:  # 0: coarser clocks than steps
        return None
    start = int(step.steps[-max(1, len(step) // 5)])
    return Finding(
        "SYS02",
        "warn",
        "Steps have become slower",
        f"a step takes {last:.3g} s since about step {start}, {last / first:.1f} times as long as before ({first:.3g} s)",
        (start, int(step.steps[-1])),
        "run",
        {"before": first, "now": last},
        (
            Remedy(
                "the machine",
                None,
                None,
                "look for another job, thermal throttling, swapping or slow storage",
            ),
        ),
    )


def sys04(log: RunLog) -> Finding | NotChecked | None:
    """The log ends without an end record and has not grown for a long time: the run was killed or hangs."""
    if log.ended is None:
        return NotChecked("SYS04", "this log format has no end record")
    if log.ended or log.silent_seconds is None:
        return None
    step = log.get(names.STEP_SECONDS)
    interval = float(np.median(step.values)) * step.interval if len(step) else 0.0
    patience = max(limit.STALLED_SECONDS, limit.STALLED_INTERVALS * interval)
    if log.silent_seconds <= patience:
        return NotChecked(
            "SYS04",
            f"the run seems to be going on (last row {log.silent_seconds / 60:.0f} min ago)",
        )
    planned = f" of {log.max_steps}" if log.max_steps else ""
    return Finding(
        "SYS04",
        "warn",
        "The run stopped without saying so",
        f"the last row is step {log.last_step}{planned}, {_ago(log.silent_seconds)} old, and there is no end record: killed, crashed or hanging",
        (log.last_step, log.last_step),
        "run",
        {"silent_seconds": log.silent_seconds},
        (Remedy("srgan train --resume auto", None, None, "goes on from the last checkpoint"),),
    )


def _ago(seconds: float) -> str:
    for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"


def log01(log: RunLog) -> Finding | NotChecked | None:
    """The log has too few rows for most checks.

    Checks that need more say so. In a finished run the remedy is a smaller `log_every`; in a running one, patience.
    """
    rows = log.most_train_rows
    if rows >= limit.MIN_ADVERSARIAL_ROWS:
        return None
    if log.ended is not True:
        return NotChecked(
            "LOG01",
            f"too early: {rows} rows so far, most checks need {limit.MIN_ADVERSARIAL_ROWS} or more",
        )
    every = log.config.logging.log_every if log.config else None
    new = max(1, log.last_step // 100)
    return Finding(
        "LOG01",
        "info",
        "Too few rows to judge by",
        f"the finished run left {rows} rows in {log.last_step} steps; most checks need {limit.MIN_ADVERSARIAL_ROWS} or more",
        (log.first_step, log.last_step),
        "run",
        {"rows": rows},
        (Remedy("Logging.log_every", every, new, "about a hundred rows"),)
        if every is None or new < every
        else (),
    )
