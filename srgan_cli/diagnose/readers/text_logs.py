"""Logs that are text: run folders, JSON lines, CSV, and Lightning's `version_*` folders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from srgan_cli.diagnose.log import Form, RunLog, build_log
from srgan_cli.diagnose.readers.columns import Measured, measure
from srgan_cli.diagnose.readers.delimited import DelimitedParser
from srgan_cli.diagnose.readers.json_lines import add_json_lines
from srgan_cli.diagnose.readers.table import Table
from srgan_cli.diagnose.readers.tail import LineTail, unreadable
from srgan_cli.diagnose.reading import reading_notes
from srgan_cli.errors import ConfigError, RefusedError, SrganError
from srgan_cli.runfolder import RunFolder

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig


class _Parser(Protocol):
    def add(self, table: Table, block: bytes) -> None: ...
    def add_torn(self, table: Table, line: bytes) -> None: ...


class _JsonParser:
    def add(self, table: Table, block: bytes) -> None:
        add_json_lines(table, block)

    def add_torn(self, table: Table, line: bytes) -> None:
        """Append a last line whose end is missing, where it is a whole object all the same."""
        before = table.num_unusable
        add_json_lines(table, line)
        table.num_unusable = before  # half a line is normal at the end of a log


class _TextSource:
    """Text files, in the order in which they were written, as one table."""

    def __init__(self, files: Sequence[Path], mapping: Mapping[str, str]) -> None:
        self.files = tuple(files)
        self._mapping = mapping
        self._start_over()

    def _parser(self) -> _Parser:
        raise NotImplementedError

    def _start_over(self) -> None:
        self._parts = [(LineTail(path), self._parser()) for path in self.files]
        self._table = Table()

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""
        replaced = [tail.replaced() for tail, _ in self._parts]
        if any(replaced):
            self._start_over()
        changed = any(replaced)
        for tail, parser in self._parts:
            before = tail.rest
            for block in tail.blocks():
                parser.add(self._table, block)
                changed = True
            changed |= tail.rest != before
        return changed

    def _measure(self, source: str) -> Measured:
        table = self._table.copy()
        for tail, parser in self._parts:
            if tail.rest.strip():
                parser.add_torn(table, tail.rest)
            table.num_unusable += tail.num_overlong + tail.has_overlong_end
        return measure(table, self._mapping, source)


class JsonSource(_TextSource):
    """metrics.jsonl of a run folder with what lies beside it, or another tool's JSON lines."""

    def __init__(self, path: Path, mapping: Mapping[str, str]) -> None:
        super().__init__((path,), mapping)

    def _parser(self) -> _Parser:
        return _JsonParser()

    def log(self) -> RunLog:
        """All that was read so far."""
        path = self.files[0]
        folder = RunFolder(path.parent)
        ours = any(block.train is not None for block in self._table.blocks)
        measured = self._measure(str(path))
        if not ours:
            return build_log(
                measured.series,
                source=str(path),
                form="JSON lines log",
                config_trouble=_without_config("JSON lines"),
                reading=measured.reading,
                notes=tuple(reading_notes(measured.reading)),
            )
        config, trouble = _config_of(folder.config)
        return build_log(
            measured.series,
            source=str(folder.path),
            form="run folder",
            events=measured.events,
            config=config,
            config_trouble=trouble,
            silent_seconds=max(0.0, time.time() - self._last_sign()),
            tiles=folder.tiles if folder.tiles.is_dir() else None,
            reading=measured.reading,
            notes=tuple(reading_notes(measured.reading)),
        )

    def _last_sign(self) -> float:
        """When the last row was written; a copied file is newer than its rows."""
        if self._table.last_time is not None:
            return self._table.last_time
        try:
            return self.files[0].stat().st_mtime
        except OSError as err:
            raise unreadable(self.files[0], err) from err


class DelimitedSource(_TextSource):
    """A CSV or TSV log, or the metrics.csv of several Lightning versions of one training."""

    def __init__(
        self, files: Sequence[Path], mapping: Mapping[str, str], notes: Sequence[str] = ()
    ) -> None:
        super().__init__(files, mapping)
        self._notes = tuple(notes)

    def _parser(self) -> _Parser:
        return DelimitedParser()

    def log(self) -> RunLog:
        """All that was read so far."""
        source = str(self.files[-1])
        measured = self._measure(source)
        form: Form = "CSV log"
        return build_log(
            measured.series,
            source=source,
            form=form,
            config_trouble=_without_config("CSV"),
            reading=measured.reading,
            notes=(*self._notes, *reading_notes(measured.reading)),
        )


def _without_config(kind: str) -> str:
    return f"a {kind} log comes without a configuration that srgan can read"


def _config_of(path: Path) -> tuple[RunConfig | None, str]:
    """The configuration, or why there is none; a damaged one never stops the diagnosis."""
    from srgan_cli.config import load_config

    if not path.is_file():
        return None, "there is no config.yaml beside the log"
    try:
        return load_config(path).config, ""
    except ConfigError as err:
        return None, f"config.yaml cannot be used: {err.problems[0] if err.problems else err}"
    except SrganError as err:
        return None, f"config.yaml cannot be used: {err.message}"


def lightning_versions(folder: Path) -> list[Path]:
    """metrics.csv of the `version_*` folders in the order of their numbers."""
    found = [path for path in folder.glob("version_*/metrics.csv") if path.is_file()]
    return sorted(found, key=_version)


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("version_")
    return (int(number) if number.isdigit() else -1, number)


def stitched(versions: Sequence[Path], mapping: Mapping[str, str]) -> DelimitedSource:
    """The newest training of several versions, with the versions that it was resumed from.

    A version that does not begin at the first steps goes on from the one before it.
    """
    spans = {path: _span(path, mapping) for path in versions}
    logged = [path for path in versions if spans[path] is not None]
    if not logged:
        return DelimitedSource(versions[-1:], mapping)
    chain = [logged[-1]]
    for path in reversed(logged[:-1]):
        first, interval = spans[chain[0]] or (0, 1)
        start, _ = spans[path] or (0, 1)
        if first <= 2 * interval or start >= first:
            break
        chain.insert(0, path)
    names = [path.parent.name for path in chain]
    left_out = [path.parent.name for path in versions if path not in chain]
    notes = [f"read {' and '.join(names)}: one training, resumed"] if len(chain) > 1 else []
    if left_out:
        words = ", ".join(left_out[:6]) + (", ..." if len(left_out) > 6 else "")
        notes.append(f"read {', '.join(names)}, the newest training; left out {words}")
    return DelimitedSource(chain, mapping, notes[-1:] if left_out else notes)


def _span(path: Path, mapping: Mapping[str, str]) -> tuple[int, int] | None:
    """First step of a version and its usual distance between rows, by its first rows; None without rows."""
    table, parser = Table(), DelimitedParser()
    for block in LineTail(path).blocks():
        parser.add(table, block)
        if table.num_rows:
            break
    try:
        series = measure(table, mapping, str(path)).series
    except RefusedError:
        return None
    return min(int(s.steps[0]) for s in series.values()), max(series.values(), key=len).interval
