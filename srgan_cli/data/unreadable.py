"""`Data.on_bad_file`: telling about files that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from srgan_cli.data.batch import Batch
from srgan_cli.data.rasters import UnreadableError

NAMED = 5
"""Files that one message names."""


Asked = TypeVar("Asked")
Read = TypeVar("Read")


def readable(
    items: Sequence[Asked],
    read: Callable[[Asked], Read],
    skip: bool,
    warn: Callable[[str], None],
    what: str,
) -> list[Read]:
    """What `read` makes of each item, which messages call `what`; all are tried before anything is told.

    Raises:
        UnreadableError: Some cannot be read, unless `skip`: then they are left out with a warning,
            as long as there is another one.
    """
    done: list[Read] = []
    failures: list[UnreadableError] = []
    for item in items:
        try:
            done.append(read(item))
        except UnreadableError as err:
            failures.append(err)
    if failures:
        if not skip or not done:
            raise refusal(failures, f"{len(failures)} of {len(items)} {what}")
        listed = f"{len(failures)} of {len(items)} {what} that cannot be read:{_listed(failures)}"
        warn(f"Data.on_bad_file: skipped {listed}")
    return done


def refusal(failures: Sequence[UnreadableError], count: str) -> UnreadableError:
    """One error for everything that cannot be read; `count` says of it how much there is."""
    first = failures[0]
    hint = f"{first.hint}. Data.on_bad_file: skip leaves out what cannot be read"
    if len(failures) == 1:
        return UnreadableError(first.path, first.message, hint)
    return UnreadableError(first.path, f"{count} cannot be read:{_listed(failures)}", hint)


class UnreadableFiles:
    """Files that turned out unreadable while training."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._counts: Counter[str] = Counter()

    def add(self, failure: UnreadableError) -> None:
        """Count a crop that was replaced; the first one of each file is told."""
        self._counts[failure.path] += 1
        if self._counts[failure.path] == 1:
            self._warn(f"Data.on_bad_file: other crops are drawn, because {failure.message}")

    def told_at_the_end(
        self, batches: Generator[Batch, None, None]
    ) -> Generator[Batch, None, None]:
        """The batches; when they end or are closed, how many crops were replaced."""
        try:
            yield from batches
        finally:
            batches.close()
            if self._counts:
                files = ", ".join(f"{path} ({count})" for path, count in self._most())
                self._warn(
                    f"Data.on_bad_file: {self._counts.total()} crops of {len(self._counts)} "
                    f"files were replaced: {files}"
                )

    def _most(self) -> list[tuple[str, int]]:
        return self._counts.most_common(NAMED)


def _listed(failures: Sequence[UnreadableError]) -> str:
    lines = [f"\n  {failure.message}" for failure in failures[:NAMED]]
    if len(failures) > NAMED:
        lines.append(f"\n  and {len(failures) - NAMED} more")
    return "".join(lines)
