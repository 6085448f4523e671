"""The errors a user can get, and the exit code of each.

    0      done
    1      ran, but failed or found problems
    2      refused to start: usage, configuration, input
    70     a bug of ours
    128+N  stopped by signal N after saving

SrganError            1
  RefusedError        2   something given to us cannot be used
    ConfigError       2   all problems of one configuration at once
  StoppedError    128+N   a signal asked for the end; the state is saved
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_BUG = 70


class SrganError(Exception):
    """An expected failure: one message with the fact and the value seen, one hint with the fix."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RefusedError(SrganError):
    """What was given (a file, an option, a folder) cannot be used; nothing was changed."""

    exit_code = EXIT_REFUSED


@dataclass(frozen=True, order=True)
class Problem:
    """One finding about a configuration file, clickable in editors as `origin:line:column`."""

    line: int
    """1-based; 0 when the problem has no place in the file."""
    column: int
    key: str
    """Dotted path, for example `Training.Losses.l1_weight`; may be empty."""
    text: str
    origin: str = ""
    """File name, or `--set`."""

    def __str__(self) -> str:
        place = f"{self.origin}:{self.line}:{self.column}" if self.line else self.origin
        return ": ".join(part for part in (place, self.key, self.text) if part)


class ConfigError(RefusedError):
    """A configuration with problems, all of them."""

    def __init__(self, problems: Sequence[Problem], hint: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems), hint)
        self.problems = tuple(problems)


class StoppedError(SrganError):
    """Stopped by a signal after the state was saved."""

    def __init__(self, signal_number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number
