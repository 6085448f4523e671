"""SIGINT, SIGTERM and SIGUSR1 end an inference between two runs of the network."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from srgan_cli.errors import StoppedError

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)


class Stop:
    """Which signal asked for the end, if any."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def check(self) -> None:
        """Raise StoppedError when a signal has come."""
        if self.signal_number is not None:
            name = signal.Signals(self.signal_number).name
            raise StoppedError(
                self.signal_number,
                f"stopped by {name}; the unfinished output was removed",
                "run the same command to start again",
            )

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is not None:
            # A second signal does not wait for the network.
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that listens while the block runs; outside the main thread it never stops."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop._handle) for number in _SIGNALS}
    try:
        yield stop
    except KeyboardInterrupt:
        stop.check()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
