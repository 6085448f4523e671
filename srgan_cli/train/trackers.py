"""Mirrors of metrics.jsonl: Weights & Biases, TensorBoard.

A tracker works in a thread of its own behind a queue, so one that waits for a server never makes a
step wait; one that fails is dropped with a warning; training goes on.
"""

from __future__ import annotations

import math
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from srgan_cli.config import RunConfig
from srgan_cli.config.tracking import WandbConfig
from srgan_cli.errors import RefusedError

QUEUE_LENGTH: Final = 10_000
"""Rows that wait for a slow server; further ones are dropped (metrics.jsonl has them all)."""
INIT_SECONDS: Final = 60
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


class WandbTracker:
    """Weights & Biases.

    Args:
        section: `Logging.wandb`.
        config: The run's configuration, shown there.
        folder: The run folder; offline runs lie in its `wandb/`.
        run_id: A resumed run goes on under the same id.
    """

    def __init__(
        self, section: WandbConfig, config: Mapping[str, Any], folder: Path, run_id: str
    ) -> None:
        import wandb

        # Without a key wandb would ask for one on the terminal.
        known = wandb.api.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
        if section.mode == "online" and not known:
            raise RuntimeError(
                "no API key; run `wandb login`, or set Logging.wandb.mode to offline"
            )
        self._wandb = wandb
        self._run = wandb.init(
            entity=section.entity,
            project=section.project,
            name=folder.absolute().name,
            id=run_id,
            # An offline run cannot ask the server; `wandb sync` appends it to the id it names.
            resume="allow" if section.mode == "online" else None,
            dir=str(folder),
            mode=section.mode,
            config=dict(config),
            # Its console capture would wrap stderr, on which the live view is drawn.
            settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""
        self._run.log(dict(values), step=step)

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""
        self._run.log({"panels": self._wandb.Image(str(path))}, step=step)

    def close(self) -> None:
        """The run is over."""
        self._run.finish()


class TensorBoardTracker:
    """TensorBoard event files in `tensorboard/` of the run folder."""

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Steps that a resumed run repeats replace those that were written before.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

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
            tracker = open_tracker()
            while (action := self._queue.get()) is not None:
                action(tracker)
            tracker.close()
        except BaseException as err:  # SystemExit too: the training is worth more
            first = str(err).partition("\n")[0]
            self._failure = f"{type(err).__name__}: {first}"

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
