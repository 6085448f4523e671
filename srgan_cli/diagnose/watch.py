"""A run that is still going on: its report again whenever its log has grown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from srgan_cli.diagnose.engine import examine
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.readers import NO_MAPPING, LogSource, NothingYetError, open_source
from srgan_cli.diagnose.report import Report

_STALE_SECONDS: Final = 60.0
"""A log that does not grow is looked at again after this time: silence is a finding too."""


class Watch:
    """Follows a log, reading only what was appended.

    The log may not be there yet, and may be rotated, cut or written anew.

    Args:
        path: As for `diagnose_run`.
        mapping: As for `diagnose_run`.
        prepare: What is done to the log before it is judged.
    """

    def __init__(
        self,
        path: Path,
        mapping: Mapping[str, str] = NO_MAPPING,
        prepare: Callable[[RunLog], RunLog] = lambda log: log,
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._mapping = mapping
        self._source: LogSource | None = None
        self._examined = -_STALE_SECONDS
        self.log: RunLog | None = None
        """What was read last."""
        self.report: Report | None = None
        """The newest report."""
        self.waiting = NothingYetError(f"{path} does not exist")
        """Why there is no report yet."""
        self.ended = False
        """Whether the run has recorded its end."""

    def look(self) -> bool:
        """Read what was appended; whether there is a new report.

        Raises:
            RefusedError: The path leads to something that is no log.
        """
        try:
            return self._look()
        except NothingYetError as err:
            # A log that was there before is being replaced: the last report stands meanwhile.
            self.waiting = err
            return False

    def _look(self) -> bool:
        source = open_source(self._path, self._mapping)
        new = self._source is None or source.files != self._source.files
        if self._source is None or new:
            self._source = source
        grown = self._source.refresh() or new
        if not grown and time.monotonic() - self._examined < _STALE_SECONDS:
            return False
        self.log = self._prepare(self._source.log())
        before, self.report = self.report, examine(self.log)
        self._examined = time.monotonic()
        self.ended = bool(self.log.ended)
        return self.report != before
