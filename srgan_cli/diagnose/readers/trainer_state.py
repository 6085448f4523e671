"""trainer_state.json of Hugging Face's Trainer, and of those that write its `log_history`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from srgan_cli.diagnose.log import RunLog, build_log
from srgan_cli.diagnose.readers.columns import NothingYetError, measure
from srgan_cli.diagnose.readers.table import Table
from srgan_cli.diagnose.readers.tail import unreadable
from srgan_cli.diagnose.reading import reading_notes
from srgan_cli.errors import RefusedError

NAME: Final = "trainer_state.json"
HISTORY: Final = "log_history"


class TrainerStateSource:
    """A list of rows in one JSON file, which is written anew with every checkpoint."""

    def __init__(self, path: Path, mapping: Mapping[str, str]) -> None:
        self.files = (path,)
        self._mapping = mapping
        self._table = Table()
        self._max_steps: Any = None
        self._seen: tuple[int, ...] = ()

    def refresh(self) -> bool:
        """Read the file where it has changed; whether it has."""
        path = self.files[0]
        try:
            status = path.stat()
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return False
            text = path.read_bytes()
        except OSError as err:
            raise unreadable(path, err) from err
        self._table, self._max_steps = _parsed(path, text)
        self._seen = seen
        return True

    def log(self) -> RunLog:
        """All that was read so far."""
        source = str(self.files[0])
        measured = measure(self._table, self._mapping, source)
        return build_log(
            measured.series,
            source=source,
            form="Hugging Face log",
            events=[{"event": "start", "step": 0, "max_steps": self._max_steps}],
            config_trouble="a Hugging Face log comes without a configuration that srgan can read",
            reading=measured.reading,
            notes=tuple(reading_notes(measured.reading)),
        )


def _parsed(path: Path, text: bytes) -> tuple[Table, Any]:
    """The rows, and the planned length in steps.

    Raises:
        NothingYetError: It is cut.
        RefusedError: It holds no list of rows.
    """
    try:
        state = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as err:
        # It may be being written: one that is followed is looked at again.
        raise NothingYetError(
            f"{path} is no whole JSON file: {err}", "copy it again, or wait for the next checkpoint"
        ) from err
    history = state.get(HISTORY) if isinstance(state, dict) else None
    if not isinstance(history, list):
        raise RefusedError(f"{path} holds no list {HISTORY!r}", f"give a {NAME} of a checkpoint")
    table = Table()
    rows = [row for row in history if isinstance(row, dict)]
    table.add_rows(rows)
    table.num_unusable += len(history) - len(rows)
    return table, state.get("max_steps")


def newest_state(folder: Path) -> Path | None:
    """trainer_state.json in a folder, else that of its checkpoint with the most steps; None without one."""
    own = folder / NAME
    if own.is_file():
        return own
    found = [path for path in folder.glob(f"checkpoint-*/{NAME}") if path.is_file()]
    return max(found, key=_step, default=None)


def _step(path: Path) -> int:
    number = path.parent.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
