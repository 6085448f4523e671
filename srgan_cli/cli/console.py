"""The terminal. The only file that imports rich.

stdout carries the answer (`answer`); everything else goes to stderr.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from srgan_cli.errors import SrganError

_err = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
_verbosity = 0
_PAIRS_IN_ROW = 4
_ANSWER_WIDTH = 100


def set_verbosity(level: int) -> None:
    """-1 = errors only, 0 = progress and warnings, 1 = more, 2 = debug."""
    global _verbosity
    _verbosity = level


def verbosity() -> int:
    """The level that `set_verbosity` set."""
    return _verbosity


def answer(text: str) -> None:
    """The command's answer, on stdout, unwrapped and uncoloured."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer_json(value: Any) -> None:
    """The command's answer as JSON, which has no infinity and no NaN: null stands for them."""
    answer(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def answer_width() -> int:
    """Characters a line of the answer should have: a terminal's, but 100 at most and elsewhere."""
    if not sys.stdout.isatty():
        return _ANSWER_WIDTH
    return min(shutil.get_terminal_size().columns, _ANSWER_WIDTH)


def note(text: str, style: str = "") -> None:
    """Progress and facts, unless quiet."""
    if _verbosity >= 0:
        _err.print(Text(text, style=style))


def detail(text: str) -> None:
    """Facts for `-v`."""
    if _verbosity >= 1:
        _err.print(Text(text, style="dim"))


def warn(text: str) -> None:
    """A warning, unless quiet."""
    if _verbosity >= 0:
        _err.print(Text.assemble(("warning: ", "yellow"), text))


def error(err: SrganError) -> None:
    """An expected error: message, then the fix."""
    _err.print(Text.assemble(("error: ", "bold red"), err.message))
    if err.hint:
        _err.print(Text.assemble(("  fix: ", "cyan"), err.hint))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stderr, unless quiet; where it is too wide the first column is folded."""
    if _verbosity < 0:
        return
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        grid.add_column(column, overflow="fold", no_wrap=index > 0)
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    _err.print(grid)


@contextmanager
def live_answer() -> Iterator[Callable[[str], None] | None]:
    """A function that shows a text in place of the one before; None where stdout is no terminal.

    What does not fit on the screen is cut, and nothing stays: the last text is for `answer`.
    """
    screen = Console(markup=False, highlight=False, emoji=False)
    if not screen.is_terminal:
        yield None
        return
    with Live(console=screen, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        yield lambda text: live.update(Text(text), refresh=True)


class Bar(Protocol):
    """A progress bar in work."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """Move on by `count`; `text` replaces the words beside the bar when not empty."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""


class LiveView(Bar, Protocol):
    """A progress bar with numbers beside it."""

    def show(self, numbers: Sequence[tuple[str, str]]) -> None:
        """Replace the (label, value) pairs that are shown."""


class _RichBar:
    def __init__(self, progress: Progress, total: int, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, text="")

    def advance(self, count: int = 1, text: str = "") -> None:
        if text:
            self._progress.update(self._task, advance=count, text=text)
        else:
            self._progress.update(self._task, advance=count)

    def say(self, text: str) -> None:
        self._progress.console.print(Text(text))


class _RichView(_RichBar):
    """A bar above a grid of numbers."""

    def __init__(self, progress: Progress, live: Live, total: int, title: str) -> None:
        super().__init__(progress, total, title)
        self._live = live

    def show(self, numbers: Sequence[tuple[str, str]]) -> None:
        self._live.update(Group(self._progress, _grid(numbers)))


def _grid(numbers: Sequence[tuple[str, str]]) -> Table:
    """Four pairs a row; fixed widths, so that nothing jumps while the numbers change."""
    grid = Table.grid(padding=(0, 1))
    for _ in range(_PAIRS_IN_ROW):
        grid.add_column(style="dim", min_width=8)
        grid.add_column(min_width=10)
    cells = [Text(cell) for pair in numbers for cell in pair]
    for start in range(0, len(cells), 2 * _PAIRS_IN_ROW):
        grid.add_row(*cells[start : start + 2 * _PAIRS_IN_ROW])
    return grid


class _PlainBar:
    """Lines for logs and pipes: one at every tenth of the way, at most one every 10 s in between."""

    def __init__(self, total: int, title: str, done: int) -> None:
        self._total, self._title, self._done = max(total, 1), title, done
        self._tenths = done * 10 // self._total
        self._start = self._last = time.monotonic()
        self._first = done
        self._text = ""

    def advance(self, count: int = 1, text: str = "") -> None:
        self._done += count
        self._text = text or self._text
        now = time.monotonic()
        tenths = self._done * 10 // self._total
        if tenths > self._tenths or now - self._last >= 10:
            self._tenths, self._last = tenths, now
            rate = (now - self._start) / max(self._done - self._first, 1)
            left = rate * (self._total - self._done)
            note(
                f"{self._title} {self._done}/{self._total}  {left:.0f} s left  {self._text}".rstrip()
            )

    def show(self, numbers: Sequence[tuple[str, str]]) -> None:
        self._text = "  ".join(f"{label} {value}" for label, value in numbers)

    def say(self, text: str) -> None:
        note(text)


class _SilentBar:
    def advance(self, count: int = 1, text: str = "") -> None:
        pass

    def show(self, numbers: Sequence[tuple[str, str]]) -> None:
        pass

    def say(self, text: str) -> None:
        pass


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A bar with ETA on a terminal, plain lines elsewhere, nothing when quiet."""
    if _verbosity < 0:
        yield _SilentBar()
    elif _err.is_terminal:
        with Progress(*_columns(), console=_err, transient=True) as bars:
            bar = _RichBar(bars, total, title)
            bar.advance(done)
            yield bar
    else:
        yield _PlainBar(total, title, done)


@contextmanager
def live_view(title: str, total: int, done: int = 0) -> Iterator[LiveView]:
    """As `progress`, with room for numbers: a grid under the bar, or at the end of the plain lines."""
    if _verbosity < 0:
        yield _SilentBar()
    elif _err.is_terminal:
        bars = Progress(*_columns(), console=_err)
        with Live(bars, console=_err, transient=True, refresh_per_second=4) as live:
            view = _RichView(bars, live, total, title)
            view.advance(done)
            yield view
    else:
        yield _PlainBar(total, title, done)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
