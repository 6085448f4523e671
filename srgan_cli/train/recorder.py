"""Everything a run writes beside its checkpoints: run.json, metrics, events, panels, trackers."""

from __future__ import annotations

import json
import platform
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio
import torch

from srgan_cli import __version__
from srgan_cli.config import RunConfig
from srgan_cli.files import write_text
from srgan_cli.runfolder import MetricsWriter, RunFolder
from srgan_cli.train.trackers import SafeTracker, open_trackers


def _nobody_listens(_: str) -> None:
    """Before the log is open."""


class Recorder:
    """The run's log, mirrored to its trackers."""

    def __init__(self, config: RunConfig, folder: RunFolder) -> None:
        self._config = config
        self._folder = folder
        self._trackers: list[SafeTracker] = []
        self.warn: Callable[[str], None] = _nobody_listens
        self.ended = False
        """Whether the log says how the run ended."""

    def open(self, step: int, warn: Callable[[str], None]) -> None:
        """Open the log and the trackers of a run that begins at `step`; run.json must be there."""
        self.warn = warn
        self._writer = MetricsWriter(self._folder.metrics)
        identity = run_id(self._folder)
        self._trackers = open_trackers(self._config, self._folder.path, identity, step, warn)

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Means of a log interval that ends with the step of this index."""
        self._row("train", step, values)

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of the state after `step` steps."""
        self._row("val", step, values)

    def _row(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        self._writer.write(kind, step, values)
        self.mirror(step, values)

    def event(self, event: str, step: int, **facts: Any) -> None:
        """Something that happened once."""
        self._writer.write("event", step, {"event": event, **facts})
        self.ended = event in ("stop", "end")

    def failure(self, step: int, error: BaseException) -> None:
        """The exit record of a run that ended by an error; a full disk takes none."""
        if self.ended:
            return
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        told = str(error).partition("\n")[0]
        with suppress(OSError):
            self.event("stop", step, reason=reason, error=f"{type(error).__name__}: {told}")

    def mirror(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers for the trackers alone, such as an event's."""
        for tracker in self._trackers:
            tracker.log(step, values)

    def take_warnings(self) -> list[str]:
        """None: they are told at once."""
        return []

    def sync(self) -> None:
        """Put the log on the disk."""
        self._writer.sync()

    def panel(self, step: int, path: Path) -> None:
        """A picture that was written."""
        for tracker in self._trackers:
            tracker.image(step, path)

    def close(self) -> None:
        """The run is over."""
        self._writer.close()
        for tracker in self._trackers:
            tracker.close()


class SilentRecorder(Recorder):
    """Of a process that leaves the log to another one, and its warnings until they are asked for."""

    def open(self, step: int, warn: Callable[[str], None]) -> None:  # noqa: ARG002
        """Keep warnings."""
        self._warnings: list[str] = []
        self.warn = self._warnings.append

    def take_warnings(self) -> list[str]:
        """What rank 0 should tell the user."""
        taken = self._warnings.copy()
        self._warnings.clear()
        return taken

    def _row(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        pass

    def event(self, event: str, step: int, **facts: Any) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def write_run_json(
    folder: RunFolder, config: RunConfig, device: torch.device, processes: int = 1
) -> None:
    """Record what made this run: versions, command line, seed, device, git commit, start time."""
    on_cuda = device.type == "cuda"
    facts = {
        "srgan": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gdal": rasterio.__gdal_version__,
        "packages": {name: version(name) for name in ("numpy", "rasterio", "safetensors")},
        "command": sys.argv,
        "seed": config.training.seed,
        "device": torch.cuda.get_device_name(device) if on_cuda else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "processes": processes,
        "git_commit": _git_commit(),
        "run_id": secrets.token_hex(4),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    write_text(folder.run_json, json.dumps(facts, indent=2) + "\n")


def run_id(folder: RunFolder) -> str:
    """The id under which trackers know the run, the same after a resume."""
    try:
        return str(json.loads(folder.run_json.read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return secrets.token_hex(4)


def _git_commit() -> str | None:
    """The commit of the current folder's checkout, where it is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
