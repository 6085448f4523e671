"""How a person follows an inference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """Something that shows progress."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """Move on by `count` tiles."""


Progress = Callable[[str, int], AbstractContextManager[Bar]]
"""title, number of tiles -> a bar while the block runs."""


class _NoBar:
    def advance(self, count: int = 1, text: str = "") -> None:
        pass


def no_progress(title: str, total: int) -> AbstractContextManager[Bar]:  # noqa: ARG001  # the shape of Progress
    """Progress that shows nothing."""
    return nullcontext(_NoBar())
