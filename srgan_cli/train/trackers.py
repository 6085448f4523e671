"""Mirrors of metrics.jsonl. A tracker that fails is dropped with a warning; training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from srgan_cli.config import RunConfig
from srgan_cli.config.tracking import WandbConfig


class Tracker(Protocol):
    """Somewhere that metrics and panels are shown."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""

    def close(self) -> None:
        """The run is over."""


class WandbTracker:
    """Weights & Biases."""

    def __init__(self, section: WandbConfig, config: Mapping[str, Any], folder: Path) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            entity=section.entity,
            project=section.project,
            name=folder.name,
            dir=str(folder),
            mode=section.mode,
            config=dict(config),
            settings=wandb.Settings(silent=True, init_timeout=60),
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


class SafeTracker:
    """Passes calls on to a tracker until it fails; then warns once and stays silent."""

    def __init__(self, open_tracker: Callable[[], Tracker], warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._tracker: Tracker | None = None
        self._call(lambda: setattr(self, "_tracker", open_tracker()))

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as err:  # whatever a tracker does, the training is worth more
            self._tracker = None
            first = str(err).partition("\n")[0]
            self._warn(f"tracking switched off: {type(err).__name__}: {first}")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers."""
        if (tracker := self._tracker) is not None:
            self._call(lambda: tracker.log(step, values))

    def image(self, step: int, path: Path) -> None:
        """Show a panel."""
        if (tracker := self._tracker) is not None:
            self._call(lambda: tracker.image(step, path))

    def close(self) -> None:
        """The run is over."""
        if (tracker := self._tracker) is not None:
            self._call(tracker.close)


def open_trackers(
    config: RunConfig, folder: Path, warn: Callable[[str], None]
) -> list[SafeTracker]:
    """The trackers that a configuration switches on."""
    section = config.logging.wandb
    if not section.enabled:
        return []
    values = config.model_dump(mode="json", by_alias=True)
    return [SafeTracker(lambda: WandbTracker(section, values, folder), warn)]
