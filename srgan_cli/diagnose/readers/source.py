"""What every kind of log has in common: it is read once, or followed while it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from srgan_cli.diagnose.log import RunLog


class LogSource(Protocol):
    """A log that may still grow."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read; another answer of the detection means another log."""

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""

    def log(self) -> RunLog:
        """All that was read so far."""
