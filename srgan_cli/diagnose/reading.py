"""What was found and done while the rows of a log were read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """The facts of one reading."""

    num_rows: int = 0
    """Rows that were read, also those that do not count."""
    num_unusable: int = 0
    """Lines or records that are no rows."""
    num_stepless: int = 0
    """Rows without a step."""
    resumed_at: tuple[int, ...] = ()
    """Steps at which the rows go back; what they repeat counts once."""
    announced_resumes: tuple[int, ...] = ()
    """Steps of resumes that the run itself has recorded."""
    num_processes: int = 1
    """Processes that say so in the log; only the rows of the first one count."""
    num_steps_back: int = 0
    """How often the steps go back where that is too often for resumes."""
    repeated_share: float = 0.0
    """Largest share of a training metric's rows that repeat the step of another one."""
    num_masked: int = 0
    """NaN that stood for values that were not measured."""


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
    if reading.num_masked:
        yield f"{_counted(reading.num_masked, 'NaN')} taken for missing values: this log writes NaN where nothing was measured"
    if reading.num_unusable:
        yield f"left out: {_counted(reading.num_unusable, 'line')} that no row can be read from"
    if reading.num_stepless:
        yield f"left out: {_counted(reading.num_stepless, 'row')} without a step"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 or word == 'NaN' else 's'}"
