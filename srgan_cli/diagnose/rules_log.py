"""LOG01, LOG02: whether there is enough log to judge, without holes."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import TRAIN_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


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


def log02(log: RunLog) -> Finding | NotChecked | None:
    """Rows are missing in the middle of the log, so that nothing is known of those steps.

    A file that was cut, a disk that was full, or parts of several runs in one log.
    """
    content = max((log.get(TRAIN_L1), log.get(names.G_CONTENT)), key=len)
    if len(content) < limit.MIN_ADVERSARIAL_ROWS:
        return NotChecked(
            "LOG02", f"{len(content)} rows of training; needs {limit.MIN_ADVERSARIAL_ROWS}"
        )
    gaps = np.diff(content.steps)
    widest = int(np.argmax(gaps))
    if gaps[widest] <= limit.LOG_GAP * content.interval:
        return None
    start, end = int(content.steps[widest]), int(content.steps[widest + 1])
    return Finding(
        "LOG02",
        "info",
        "Rows are missing in the log",
        f"between steps {start} and {end} no row of training is in the log, which has one every {content.interval} steps",
        (start, end),
        "run",
        {"gap_steps": int(gaps[widest]), "interval": content.interval},
    )
