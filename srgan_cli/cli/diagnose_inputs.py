"""What `srgan diagnose` is given: logs to read or to follow, SR rasters, weights files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from srgan_cli.cli import console
from srgan_cli.errors import RefusedError

_CHECKPOINTS: Final = (".ckpt", ".pt", ".pth")

if TYPE_CHECKING:
    from srgan_cli.diagnose import Report
    from srgan_cli.diagnose.log import RunLog
    from srgan_cli.signals import StopRequest


@dataclass(frozen=True)
class Inputs:
    """How the paths are read."""

    columns: Sequence[str]
    """METRIC=COLUMN, for logs with other names."""
    watch: bool
    every: float
    """Seconds between two looks at a run that is followed."""
    scale: int | None
    lr: Path | None
    config: Path | None

    def check(self, runs: Sequence[Path]) -> None:
        """Refuse what does not go together, before anything is read.

        Raises:
            RefusedError: An option does not belong to what was given.
        """
        pictures = [run for run in runs if is_picture(run)]
        if pictures and len(runs) > 1:
            raise RefusedError(
                f"{pictures[0]} is no log of a training, and only those are compared",
                "diagnose it by itself",
            )
        if self.watch and len(runs) > 1:
            raise RefusedError(f"--watch follows one run, not {len(runs)}", "name one of them")
        about_logs = {"--watch": self.watch, "--map": self.columns}
        if pictures and not _is_checkpoint(pictures[0]):
            about_logs["--config"] = self.config is not None
        for option, given in about_logs.items():
            if pictures and given:
                raise RefusedError(
                    f"{pictures[0]} is no log, so {option} says nothing", "leave it out"
                )
        if pictures and _is_raster(pictures[0]):
            return
        if self.lr or (self.scale is not None and not (pictures and _is_checkpoint(pictures[0]))):
            raise RefusedError(
                f"{runs[0]} is no raster, so --scale and --lr say nothing", "leave them out"
            )

    def picture(self, path: Path) -> Report:
        """The diagnosis of an SR raster, a weights file or a checkpoint."""
        if _is_raster(path):
            from srgan_cli.diagnose.raster import diagnose_raster

            return diagnose_raster(path, self.scale, self.lr)
        from srgan_cli.diagnose.probe import diagnose_weights

        return self._checkpoint(path) if _is_checkpoint(path) else diagnose_weights(path)

    def _checkpoint(self, path: Path) -> Report:
        """The diagnosis of the generator that `srgan import` would take from a checkpoint."""
        from srgan_cli.diagnose.probe import diagnose_generator
        from srgan_cli.export.importing import ImportOptions, read_checkpoint

        found = read_checkpoint(path, ImportOptions(config=self.config, scale=self.scale))
        kept = "its moving average" if found.info.ema else "its weights as trained"
        notes = [f"{found.checkpoint.kind}: {kept}", *found.checkpoint.notes]
        if found.assumed:
            notes.append(f"assumed, as `srgan import` does: {', '.join(found.assumed)}")
        return diagnose_generator(found.generator(), found.info, str(path), notes)

    def logs(self, runs: Sequence[Path]) -> list[RunLog]:
        """The logs, with the configuration that `--config` names; a followed one when it has ended.

        Raises:
            RefusedError: There is nothing to read.
            ConfigError: The configuration has problems.
        """
        from srgan_cli.diagnose import parse_mapping, read_run

        mapping = parse_mapping(self.columns)
        if self.watch:
            return [self._followed(runs[0], mapping)]
        return [self._with_config(read_run(run, mapping)) for run in runs]

    def _with_config(self, log: RunLog) -> RunLog:
        if self.config is None:
            return log
        from srgan_cli.config import load_config

        return replace(log, config=load_config(self.config).config, config_trouble="")

    def _followed(self, run: Path, mapping: dict[str, str]) -> RunLog:
        """The log of a run that is followed; a line or, on a terminal, the whole report on the way.

        Ctrl-C (or SIGTERM) ends the watch, not the answer.
        """
        from srgan_cli.diagnose import Watch, report_text, summary_line
        from srgan_cli.signals import stop_request

        watched = Watch(run, mapping, self._with_config)
        told = ""
        with (
            stop_request("nothing was reported", "look again") as stop,
            console.live_answer() as show,
        ):
            while not watched.ended and not stop:
                new = watched.look()
                report = watched.report
                if report is None and watched.waiting.message != told:
                    told = watched.waiting.message
                    console.note(f"waiting: {told}")
                elif report is not None and new:
                    if show:
                        show(report_text(report, console.answer_width()))
                    else:
                        console.note(f"{time.strftime('%H:%M:%S')}  {summary_line(report)}")
                _pause(0.0 if watched.ended else self.every, stop)
        if watched.log is None:
            raise watched.waiting
        return watched.log


def is_picture(path: Path) -> bool:
    """Whether the path is an SR raster, a weights file or a checkpoint, by its name."""
    if path.is_dir():
        return False
    return _is_raster(path) or path.suffix.lower() in (".safetensors", *_CHECKPOINTS)


def _is_checkpoint(path: Path) -> bool:
    """Whether it is something that `srgan import` makes a weights file of."""
    suffix = path.suffix.lower()
    if suffix != ".safetensors":
        return suffix in _CHECKPOINTS
    from srgan_cli.weights import is_weights_file

    return path.is_file() and not is_weights_file(path)


def _is_raster(path: Path) -> bool:
    from srgan_cli.diagnose.lossless import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _pause(seconds: float, stop: StopRequest) -> None:
    """Waits, but not for long once a signal has come."""
    end = time.monotonic() + seconds
    while not stop and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
