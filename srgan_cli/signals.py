"""Signals: the first asks for an orderly end, the second stops at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from srgan_cli.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""SIGUSR1 is what SLURM sends ahead of its time limit."""


class StopRequest:
    """Which signal asked for the end, if any; true when one did."""

    def __init__(self, echo_s: float = 0.0) -> None:
        self.signal_number: int | None = None
        self._echo_s = echo_s
        self._since = 0.0
        self._deaf = False

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def ignore_more(self) -> None:
        """Everything is saved: whoever ends the process from here on finds it ending."""
        self._deaf = True

    def stopped(self, what: str, hint: str) -> StoppedError:
        """The error that ends the work; `what` tells what became of it."""
        number = self.signal_number or 0
        name = signal.Signals(number).name if number else "no signal"
        return StoppedError(number, f"stopped by {name}; {what}", hint)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._deaf or (self and time.monotonic() - self._since < self._echo_s):
            return
        if self:
            raise KeyboardInterrupt
        self.signal_number, self._since = number, time.monotonic()


@contextmanager
def stop_request(at_once: str, hint: str, echo_s: float = 0.0) -> Iterator[StopRequest]:
    """A request that listens while the block runs; outside the main thread nothing sets it.

    Args:
        at_once: What a second signal, which does not wait, leaves behind.
        hint: How to go on after that.
        echo_s: A signal so soon after the first is the same one: schedulers reach a process both
            directly and through its launcher.

    Raises:
        StoppedError: A second signal came.
    """
    request = StopRequest(echo_s)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request._handle) for number in SIGNALS}
    # A request around this one hears nothing meanwhile: what one heard the other must know.
    outer = getattr(before[signal.SIGTERM], "__self__", None)
    if isinstance(outer, StopRequest):
        request.signal_number = outer.signal_number
    try:
        yield request
    except KeyboardInterrupt:
        if request:
            raise request.stopped(at_once, hint) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if isinstance(outer, StopRequest):
            outer.signal_number = outer.signal_number or request.signal_number
