"""Mirrors of metrics.jsonl: Weights & Biases, TensorBoard.

A tracker works in a thread of its own behind a queue, so one that waits for a server never makes a
step wait; one that fails is dropped with a warning; training goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from srgan_cli.config import RunConfig
from srgan_cli.config.tracking import WandbConfig
from srgan_cli.errors import RefusedError

QUEUE_LENGTH: Final = 10_000
"""Rows that wait for a slow server; further ones are dropped (metrics.jsonl has them all)."""
CLOSE_SECONDS: Final = 30.0
"""How long the end of a run waits for its trackers."""


class Tracker(Protocol):
    """Somewhere that metrics and panels are shown."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""

    def close(self) -> None:
        """The run is over."""

    def abandon(self) -> None:
        """Do not wait for it any longer."""


class TrackerFailedError(Exception):
    """A tracker ended by itself."""


class WandbTracker:
    """Weights & Biases, in a process of its own (`wandb_process`).

    Args:
        section: `Logging.wandb`.
        config: The run's configuration, shown there.
        folder: The run folder; offline runs lie in its `wandb/`.
        run_id: A resumed run goes on under the same id.
    """

    def __init__(
        self, section: WandbConfig, config: Mapping[str, Any], folder: Path, run_id: str
    ) -> None:
        self._abandoned = False
        # A session of its own: Ctrl-C is for the training, which tells the tracker when it ends.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "srgan_cli.train.wandb_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._send(
            do="open",
            entity=section.entity,
            project=section.project,
            mode=section.mode,
            name=folder.absolute().name,
            id=run_id,
            folder=str(folder),
            config=config,
        )

    def _send(self, **message: Any) -> None:
        assert self._process.stdin is not None  # it is a pipe
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as err:  # ValueError: given up by the training meanwhile
            words = "given up" if self._abandoned else self._last_words()
            raise TrackerFailedError(words) from err

    def _last_words(self) -> str:
        assert self._process.stdout is not None  # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            return f"its process ended with exit {self._process.wait()}"
        return str(json.loads(line)["error"] or "")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""
        self._send(do="log", step=step, values=dict(values))

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""
        self._send(do="image", step=step, path=str(path))

    def close(self) -> None:
        """The run is over; waits until it is uploaded."""
        self._send(do="close")
        words = self._last_words()
        self.abandon()
        if words:
            raise TrackerFailedError(words)

    def abandon(self) -> None:
        """End it at once, its own helpers too."""
        if self._abandoned:
            return
        self._abandoned = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


class TensorBoardTracker:
    """TensorBoard event files in `tensorboard/` of the run folder."""

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Steps that a resumed run repeats replace those that were written before; the validation
        # at its first step is not repeated.
        purge = first_step + 1 if first_step else 0
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""
        self._writer.add_image("panels", _read_png(path), step)

    def close(self) -> None:
        """The run is over."""
        self._writer.close()

    def abandon(self) -> None:
        """Nothing but the disk is waited for."""


def _read_png(path: Path) -> Any:
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return dataset.read()


class SafeTracker:
    """Passes calls on to a tracker in another thread, until it fails; then warns once.

    Args:
        name: For the warning.
        open_tracker: Makes the tracker; called in the other thread.
        warn: Takes the warning.
    """

    def __init__(
        self, name: str, open_tracker: Callable[[], Tracker], warn: Callable[[str], None]
    ) -> None:
        self._name = name
        self._warn = warn
        self._tracker: Tracker | None = None
        self._failure: str | None = None
        self._dropped = 0
        self._queue: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(QUEUE_LENGTH)
        # A daemon: a tracker that hangs does not keep the process from ending.
        self._thread = threading.Thread(
            target=self._work, args=(open_tracker,), name=f"tracker {name}", daemon=True
        )
        self._thread.start()

    def _work(self, open_tracker: Callable[[], Tracker]) -> None:
        try:
            self._tracker = tracker = open_tracker()
            while (action := self._queue.get()) is not None:
                action(tracker)
            tracker.close()
        except BaseException as err:  # SystemExit too: the training is worth more
            first = str(err).partition("\n")[0]
            known = isinstance(err, TrackerFailedError)
            self._failure = first if known else f"{type(err).__name__}: {first}"
            self._abandon()

    def _abandon(self) -> None:
        if self._tracker is not None:
            with contextlib.suppress(Exception):
                self._tracker.abandon()

    def _put(self, action: Callable[[Tracker], None]) -> None:
        self._tell_failure()
        if not self._thread.is_alive():
            return
        try:
            self._queue.put_nowait(action)
        except queue.Full:
            self._dropped += 1

    def _tell_failure(self) -> None:
        # Said from the caller's thread, which owns the terminal.
        failure, self._failure = self._failure, None
        if failure is not None:
            self._warn(f"{self._name}: tracking switched off: {failure}")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers; those that are not finite are in metrics.jsonl only."""
        shown = {name: value for name, value in values.items() if math.isfinite(value)}
        self._put(lambda tracker: tracker.log(step, shown))

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""
        self._put(lambda tracker: tracker.image(step, path))

    def close(self) -> None:
        """The run is over; waits for what is still to be sent, but not for ever."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._dropped += 1
        self._thread.join(CLOSE_SECONDS)
        self._tell_failure()
        if self._thread.is_alive():
            self._abandon()
            self._warn(
                f"{self._name}: not finished after {CLOSE_SECONDS:.0f} s, given up; "
                "metrics.jsonl has every row"
            )
        elif self._dropped:
            self._warn(
                f"{self._name}: {self._dropped} rows were dropped; metrics.jsonl has every row"
            )


def open_trackers(
    config: RunConfig, folder: Path, run_id: str, first_step: int, warn: Callable[[str], None]
) -> list[SafeTracker]:
    """The trackers that a configuration switches on."""
    section = config.logging.wandb
    values = config.model_dump(mode="json", by_alias=True)
    found = []
    if section.enabled:
        found.append(
            SafeTracker("wandb", lambda: WandbTracker(section, values, folder, run_id), warn)
        )
    if config.logging.tensorboard:
        found.append(
            SafeTracker("TensorBoard", lambda: TensorBoardTracker(folder, first_step), warn)
        )
    return found


def check_trackers(config: RunConfig) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        RefusedError: It says how to install it.
    """
    if not config.logging.tensorboard:
        return
    try:
        import torch.utils.tensorboard  # noqa: F401  # the import is the question
    except ImportError as err:
        raise RefusedError(
            "Logging.tensorboard is true, but tensorboard is not installed",
            "pip install 'srgan-cli[tensorboard]'",
        ) from err
