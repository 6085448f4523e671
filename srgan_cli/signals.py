"""Signals: the first asks for an orderly end, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from srgan_cli.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""SIGUSR1 is what SLURM sends ahead of its time limit."""


class StopRequest:
    """Which signal asked for the end, if any; true when one did."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def stopped(self, what: str, hint: str) -> StoppedError:
        """The error that ends the work; `what` tells what became of it."""
        number = self.signal_number or 0
        name = signal.Signals(number).name if number else "no signal"
        return StoppedError(number, f"stopped by {name}; {what}", hint)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self:
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def stop_request(at_once: str, hint: str) -> Iterator[StopRequest]:
    """A request that listens while the block runs; outside the main thread nothing sets it.

    Args:
        at_once: What a second signal, which does not wait, leaves behind.
        hint: How to go on after that.

    Raises:
        StoppedError: A second signal came.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request._handle) for number in SIGNALS}
    try:
        yield request
    except KeyboardInterrupt:
        if request:
            raise request.stopped(at_once, hint) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
