"""LOG01 to LOG06: whether there is enough log, whole and of one process, and what a step is in it."""

from __future__ import annotations

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import TRAIN_L1, RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy
from srgan_cli.diagnose.series import Series


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
    """Parts of the log cannot be read.

    More than one line or record in a hundred is no row (a note), or more than one in ten (a warning): what the report
    says rests on the rest. A torn last line is normal in a run that was killed or goes on, and does not count. Usual
    causes are two processes that write into one file, a full disk, and an incomplete copy.
    """
    lost = log.reading.num_unusable
    share = lost / max(lost + log.reading.num_rows, 1)
    if share <= limit.UNREADABLE_INFO:
        return None
    return Finding(
        "LOG02",
        "warn" if share > limit.UNREADABLE_WARN else "info",
        "Parts of the log cannot be read",
        f"{lost} of {lost + log.reading.num_rows} lines or records are no rows ({share:.0%}); the report rests on the rest",
        (log.first_step, log.last_step),
        "run",
        {"unusable": lost, "share": share},
        (Remedy("the log", None, None, "copy it again whole; let one process write one file"),),
    )


def log03(log: RunLog) -> Finding | NotChecked | None:
    """The log goes back in its steps: the training was resumed from an older checkpoint.

    What was logged from that step on was taken back and counts no more; the rows of the resumed training
    count instead, so that nothing needs to change. A run folder of `srgan train` records its resumes itself, which is no finding.
    """
    resumes = log.reading.resumed_at
    if not resumes:
        return None
    shown = ", ".join(map(str, resumes[:5])) + (", ..." if len(resumes) > 5 else "")
    return Finding(
        "LOG03",
        "ok",
        "Steps repeat: the training was resumed",
        f"the steps go back to {shown}; what had been logged from there on was left out",
        (min(resumes), log.last_step),
        "run",
        {"resumed_at": list(resumes[:50])},
    )


def log04(log: RunLog) -> Finding | NotChecked | None:
    """Several processes wrote into one log.

    Where the rows name their process only those of the first one count. Where they do not, they are sorted by step, and
    of several rows at a step the last one counts: noise is larger, and what one process alone suffers may be missed. Let
    rank 0 alone write the log.
    """
    reading = log.reading
    if reading.num_processes > 1:
        message = f"rows of {reading.num_processes} processes; only those of the first one count"
    elif reading.num_steps_back:
        message = f"the steps go back {reading.num_steps_back} times, too often for resumes: rows were sorted by step"
    elif reading.repeated_share > limit.REPEATED_SHARE:
        message = f"{reading.repeated_share:.0%} of the rows repeat the step of another one: the last of a step counts"
    else:
        return None
    return Finding(
        "LOG04",
        "info",
        "Several processes wrote one log",
        message,
        (log.first_step, log.last_step),
        "run",
        {
            "processes": reading.num_processes,
            "steps_back": reading.num_steps_back,
            "repeated_share": reading.repeated_share,
        },
        (Remedy("the logger", None, None, "let rank 0 alone log, as `srgan train` does"),),
        "high" if reading.num_processes > 1 else "medium",
    )


def log05(log: RunLog) -> Finding | NotChecked | None:
    """Steps advance twice as fast from the first adversarial step on: they count both optimizers.

    Lightning's `global_step` advances for every optimizer, so that from the first adversarial step on a batch is two
    steps. Nothing is wrong with the training, but lengths in the adversarial phase are half of what they seem, in batches, and so
    are a ramp and an EMA start that are configured in such steps. `srgan train` counts batches.
    """
    if log.t_adv is None:
        return NotChecked("LOG05", "the run has no adversarial step yet")
    name = TRAIN_L1 if len(log.get(TRAIN_L1)) else names.G_CONTENT
    before, after = _regular_interval(log.pre(name)), _regular_interval(log.adv(name))
    if before is None or after is None:
        return NotChecked("LOG05", "the rows are too few, or not evenly spaced in both phases")
    if after != 2 * before:
        return None
    return Finding(
        "LOG05",
        "info",
        "Steps count both optimizers",
        f"rows are {before} steps apart in pretraining and {after} from step {log.t_adv} on: a batch is two steps there",
        (log.t_adv, log.last_step),
        "adversarial",
        {"interval_before": before, "interval_after": after},
        (
            Remedy(
                "Training.adv_loss_ramp_steps",
                None,
                None,
                "halve the adversarial lengths of this log to compare them with a run of `srgan train`",
            ),
        ),
        "medium",
    )


def log06(log: RunLog) -> Finding | NotChecked | None:
    """Rows are missing in the middle of the log, so that nothing is known of those steps.

    A file that was cut, a disk that was full, or parts of several runs in one log.
    """
    content = max((log.get(TRAIN_L1), log.get(names.G_CONTENT)), key=len)
    if len(content) < limit.MIN_ADVERSARIAL_ROWS:
        return NotChecked(
            "LOG06", f"{len(content)} rows of training; needs {limit.MIN_ADVERSARIAL_ROWS}"
        )
    gaps = np.diff(content.steps)
    widest = int(np.argmax(gaps))
    if gaps[widest] <= limit.LOG_GAP * content.interval:
        return None
    start, end = int(content.steps[widest]), int(content.steps[widest + 1])
    return Finding(
        "LOG06",
        "info",
        "Rows are missing in the log",
        f"between steps {start} and {end} no row of training is in the log, which has one every {content.interval} steps",
        (start, end),
        "run",
        {"gap_steps": int(gaps[widest]), "interval": content.interval},
    )


def _regular_interval(series: Series) -> int | None:
    """Steps between rows, where nearly all are equally far apart."""
    if len(series) < limit.MIN_TREND_ROWS:
        return None
    apart = np.diff(series.steps)
    usual = int(np.median(apart))
    return usual if float((apart == usual).mean()) >= limit.EVEN_ROWS else None
