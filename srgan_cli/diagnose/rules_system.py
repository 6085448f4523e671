"""SYS01-06: the machine: waiting, slowing down, growing, ending."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series, on_common_steps


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
    return Finding(
        "SYS01",
        "warn" if share > limit.DATA_WAIT_WARN else "info",
        "Training waits for data",
        f"{share:.0%} of the step time ({float(np.median(seconds)):.3g} s) is waiting for the next batch",
        (int(steps[0]), int(steps[-1])),
        "run",
        {"share": share, "step_seconds": float(np.median(seconds))},
        _faster_data(log),
    )


def sys02(log: RunLog) -> Finding | NotChecked | None:
    """Steps have become much slower: the last fifth of a phase takes twice as long as its first half.

    A note, since a machine that others use, or that throttles, is no fault of the run. A warning where at least half of the time
    that was added is waiting for the next batch: the reading of data has become slower, and that can be changed.
    """
    step = log.adv(names.STEP_SECONDS) if log.t_adv is not None else log.get(names.STEP_SECONDS)
    step = step.where(np.arange(len(step)) >= 0.05 * len(step))
    if len(step) < 2 * limit.MIN_TREND_ROWS:
        return NotChecked(
            "SYS02",
            f"{len(step)} rows with step times in this phase; needs {2 * limit.MIN_TREND_ROWS}",
        )
    first, last = _before_and_now(step)
    if first <= 0 or last <= limit.SLOWDOWN * first:  # 0: coarser clocks than steps
        return None
    start = int(step.steps[-max(1, len(step) // 5)])
    _, wait = on_common_steps(step, log.get(names.DATA_SECONDS))
    waited = _waited_longer(wait) / (last - first) if len(wait) == len(step) else math.nan
    data = waited > limit.SLOWDOWN_WAIT  # False where it is not known
    message = f"a step takes {last:.3g} s since about step {start}, {last / first:.1f} times as long as before ({first:.3g} s)"
    if data:
        message += f"; {min(waited, 1.0):.0%} of what was added is waiting for data"
    elif not math.isnan(waited):
        message += "; not because of the data"
    return Finding(
        "SYS02",
        "warn" if data else "info",
        "Steps have become slower",
        message,
        (start, int(step.steps[-1])),
        "run",
        {"before": first, "now": last, "waiting_share": waited},
        _faster_data(log) if data else (_OTHER_JOBS,),
    )


def _before_and_now(series: Series) -> tuple[float, float]:
    """Medians of the first half and of the last fifth."""
    return float(np.median(series.values[: len(series) // 2])), float(
        np.median(stats.tail(series.values, 0.2))
    )


def _waited_longer(wait: Series) -> float:
    """Seconds by which the wait for a batch has grown."""
    before, now = _before_and_now(wait)
    return now - before


_OTHER_JOBS: Final = Remedy(
    "the machine", None, None, "look for another job, thermal throttling or swapping"
)


def _faster_data(log: RunLog) -> tuple[Remedy, ...]:
    workers = log.config.data.num_workers if log.config else None
    more = None if workers is None else max(4, 2 * workers)
    return (
        Remedy("Data.num_workers", workers, more, "reads batches ahead; tiled GeoTIFFs help too"),
    )


def sys03(log: RunLog) -> Finding | NotChecked | None:
    """Memory grows from validation to validation: something is kept that should be let go.

    Judged in the second half of the last phase, when all sizes have been seen: more than a tenth higher, in many small
    rises. A single rise is a larger batch or validation, not a leak.
    """
    memory = log.get(names.PEAK_MEMORY)
    if log.t_adv is not None:
        memory = memory.between(log.t_adv, float("inf"))
    # A resumed run is another process, whose peak starts anew.
    fell = np.flatnonzero(np.diff(memory.values) < 0)
    memory = memory.where(np.arange(len(memory)) > (int(fell[-1]) if len(fell) else -1))
    memory = memory.where(np.arange(len(memory)) >= len(memory) // 2)
    if len(memory) < limit.MIN_TREND_ROWS:
        return NotChecked(
            "SYS03",
            f"{len(memory)} rows with memory in the second half; needs {limit.MIN_TREND_ROWS}",
        )
    first, last = float(memory.values[0]), float(memory.values[-1])
    rises = np.flatnonzero(np.diff(memory.values) > 0)
    if last <= (1 + limit.MEMORY_GROWTH) * first or len(rises) < limit.MEMORY_RISES:
        return None
    if float(np.diff(memory.values).max()) > 0.5 * (last - first):
        return None
    start, end = memory.window
    per_step = (last - first) / max(end - start, 1)
    return Finding(
        "SYS03",
        "warn",
        "Memory grows all the time",
        f"peak memory grew from {first:.0f} to {last:.0f} MB between steps {start} and {end}, in {len(rises)} rises, by {1000 * per_step:.3g} MB in 1000 steps",
        (start, end),
        "run",
        {"before_mb": first, "now_mb": last},
        (
            Remedy(
                "Data.cache",
                log.config.data.cache if log.config else None,
                "none",
                "and look for values that are kept from step to step",
            ),
        ),
    )


def sys05(log: RunLog) -> Finding | NotChecked | None:
    """Validation takes a large part of the time: more than 30 % of it (a note)."""
    validation, step = log.get(names.VAL_SECONDS), log.get(names.STEP_SECONDS)
    if len(validation) < limit.MIN_LAG_VALIDATIONS or len(step) < limit.MIN_ROWS:
        return NotChecked("SYS05", "too few rows with the times of validations and steps")
    each = float(np.median(validation.values))
    between = float(np.median(step.values)) * validation.interval
    share = each / (each + between)
    if share <= limit.VALIDATION_SHARE:
        return None
    config = log.config
    return Finding(
        "SYS05",
        "info",
        "Validation takes much of the time",
        f"{share:.0%} of the time goes into validation: {each:.3g} s every {validation.interval} steps of {float(np.median(step.values)):.3g} s",
        validation.window,
        "run",
        {"share": share, "seconds": each},
        (
            Remedy(
                "Training.val_check_interval",
                config.training.val_check_interval if config else validation.interval,
                int(stats.round_nicely(validation.interval * share / 0.1)),
                "about 10 % of the time",
            ),
            Remedy("Data.val_crops", config.data.val_crops if config else None, None, "or fewer"),
        ),
    )


def sys06(log: RunLog) -> Finding | NotChecked | None:
    """The run ended by an error that was none of the numbers: memory, disk, data or a bug."""
    if log.ended is None:
        return NotChecked("SYS06", "this log format has no end record")
    ends = [event for event in log.events if event.get("event") in ("stop", "end")]
    if not log.ended or not ends or ends[-1].get("reason") != "failed":
        return None
    error = str(ends[-1].get("error") or "an error that was not recorded")
    return Finding(
        "SYS06",
        "error",
        "The run failed",
        f"it ended at step {log.last_step} by {error}",
        (log.last_step, log.last_step),
        "run",
        {"error": error},
        (Remedy("srgan train --resume auto", None, None, "goes on once the cause is gone"),),
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
