"""What every kind of log has in common: it is read once, or followed while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from srgan_cli.diagnose.log import Reading, RunLog


class LogSource(Protocol):
    """A log that may still grow."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read; another answer of the detection means another log."""

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""

    def log(self) -> RunLog:
        """All that was read so far."""


def reading_notes(reading: Reading) -> Iterator[str]:
    """What was done to the rows, in words."""
    resumes = reading.resumed_at or reading.announced_resumes
    if resumes:
        shown = ", ".join(map(str, resumes[:5])) + (", ..." if len(resumes) > 5 else "")
        yield f"resumed at step {shown}: repeated steps count once"
    if reading.num_processes > 1:
        yield f"rows of {reading.num_processes} processes: those of the first one count"
    if reading.num_steps_back:
        yield f"steps go back {reading.num_steps_back} times (several processes?): rows sorted by step"
    if reading.num_unusable:
        yield f"left out: {_counted(reading.num_unusable, 'line')} that no row can be read from"
    if reading.num_stepless:
        yield f"left out: {_counted(reading.num_stepless, 'row')} without a step"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
