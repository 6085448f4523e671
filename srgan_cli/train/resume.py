"""Whether a run folder may be written to, and from which state its run goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from srgan_cli import lock
from srgan_cli.config import RunConfig, load_config
from srgan_cli.config.data import FIT_KEYS, NormalizationConfig, fit_section
from srgan_cli.data.radiometry import build_radiometry
from srgan_cli.errors import ConfigError, RefusedError
from srgan_cli.files import is_temporary
from srgan_cli.runfolder import RunFolder
from srgan_cli.train.checkpoint import load_checkpoint, newest_checkpoint


def check_folder(folder: RunFolder, resume: str | None) -> None:
    """Refuse a folder that holds something, unless the run in it is to go on.

    Args:
        folder: Where the run is written.
        resume: None, `auto`, or the path of a checkpoint.
    """
    if folder.path.exists() and not folder.path.is_dir():
        raise RefusedError(f"{folder.path} is a file", "choose another --run-dir")
    if not folder.used:
        return
    if resume is None:
        raise RefusedError(
            f"{folder.path} already holds a run",
            "go on with it by --resume auto, or choose another --run-dir",
        )
    if not folder.config.exists():
        raise RefusedError(
            f"{folder.path} is not empty and holds no run", "choose another --run-dir"
        )
    if resume != "auto" and folder.path.resolve() not in Path(resume).resolve().parents:
        raise RefusedError(
            f"{folder.path} already holds a run, and {resume} is a checkpoint of another one",
            "go on with the run there by --resume auto, or choose another --run-dir",
        )


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Keep a second training out of the folder; the lock dies with the process.

    Raises:
        RefusedError: Another process holds it, or the folder cannot be written.
    """
    with lock.locked(folder.path / ".lock", "srgan train", "choose another --run-dir"):
        yield


def remove_temporaries(folder: RunFolder) -> None:
    """Remove the unfinished files of a killed process; the folder must be locked."""
    places = (folder.path, folder.checkpoints, folder.weights, folder.images, folder.tiles)
    for place in places:
        for path in place.glob(".*.tmp*"):
            if is_temporary(path.name):
                path.unlink(missing_ok=True)


def state_to_resume(
    folder: RunFolder, resume: str | None, start: str | None, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The state that a run goes on from; None = it starts anew.

    Args:
        folder: The run.
        resume: None, `auto` or the path of a checkpoint.
        start: `Model.continue_training`: where the run itself began.
        warn: Takes warnings.

    Raises:
        RefusedError: The checkpoint is missing or damaged.
    """
    if resume == "auto":
        found = newest_checkpoint(folder, warn) if folder.checkpoints.is_dir() else None
        if found is not None:
            return found[1]
        # Killed before its first checkpoint.
        resume = start
    return None if resume is None else load_checkpoint(Path(resume))


def keep_fit(config: RunConfig, folder: RunFolder, resume: str | None) -> RunConfig:
    """The same run with the fitted normalization of the run that it goes on with.

    The scenes may have changed since; what the networks have learnt in has not.
    """
    if resume is None or build_radiometry(config.data.normalization) is not None:
        return config
    wanted = fit_section(config.data.normalization)
    found = [folder.config]
    start = config.model.continue_training if resume == "auto" else resume
    if start is not None:
        theirs = Path(start).absolute().parent.parent / folder.config.name
        found.insert(0 if resume != "auto" else 1, theirs)
    for path in found:
        try:
            before = load_config(path).config.data.normalization
        except ConfigError:
            continue
        # The numbers are all that may differ.
        if isinstance(before, NormalizationConfig) and wanted == before.model_copy(
            update={key: getattr(wanted, key) for key in FIT_KEYS}
        ):
            data = config.data.model_copy(update={"normalization": before})
            return config.model_copy(update={"data": data})
    return config


def changed_keys(old: Path, config: RunConfig) -> list[str]:
    """Dotted keys whose values differ between a run's config.yaml and `config`."""
    try:
        before = load_config(old).config.model_dump(mode="json", by_alias=True)
    except ConfigError:
        return [str(old)]
    return _differences(before, config.model_dump(mode="json", by_alias=True))


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in now.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            found += _differences(before[key], value, f"{name}.")
        elif before.get(key) != value:
            found.append(name)
    return found
