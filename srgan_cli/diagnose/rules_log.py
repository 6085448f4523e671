"""LOG02, LOG03, LOG04: damage, repeats and strangers among the rows of the log."""

from __future__ import annotations

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


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
