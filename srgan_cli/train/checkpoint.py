"""Checkpoints: everything that a bit-exact resume needs, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import whole_file
from srgan_cli.runfolder import RunFolder

FORMAT_VERSION = 1
SUPERSEDED = ".superseded"
"""Ending of checkpoints from which the run went back; they go when it has come as far again."""


def save_checkpoint(
    folder: RunFolder, step: int, state: dict[str, Any], keep_last: int, keep_every: int | None
) -> Path:
    """Write a numbered checkpoint, make it `last.pt`, and remove old ones.

    Args:
        folder: The run.
        step: Steps done.
        state: What is saved; plain values and tensors.
        keep_last: So many of the newest stay.
        keep_every: Those of multiples of so many steps stay for ever; None = of none.

    Raises:
        SrganError: The disk is full or the folder cannot be written; older checkpoints stay.
    """
    path = folder.checkpoint(step)
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            torch.save({"format_version": FORMAT_VERSION, **state}, file)
        with whole_file(folder.last) as temporary:
            _link(path, temporary)
    except (OSError, RuntimeError) as err:  # torch's writer turns some OSErrors into RuntimeError
        raise SrganError(
            f"cannot write {path} ({_reason(err)}); {free_mb(folder.path):.0f} MB are free",
            f"make room, then go on from the checkpoint before with --resume auto; it is in "
            f"{folder.checkpoints}",
        ) from err
    _remove_old(folder, step, keep_last, keep_every)
    return path


def free_mb(path: Path) -> float:
    """Room on the disk of `path`."""
    return shutil.disk_usage(path).free / 1e6


def _reason(err: Exception) -> str:
    """The system's own words, where torch's writer has wrapped them."""
    inner: BaseException | None = err
    while inner is not None and not isinstance(inner, OSError):
        inner = inner.__cause__ or inner.__context__
    return str(inner or err).partition("\n")[0]


def _link(path: Path, link: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no hard links."""
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _remove_old(folder: RunFolder, step: int, keep_last: int, keep_every: int | None) -> None:
    for old in _numbered(folder)[:-keep_last]:
        if not keep_every or step_of(old) % keep_every:
            old.unlink(missing_ok=True)
    for old in folder.checkpoints.glob(f"step_*.pt{SUPERSEDED}"):
        if step_of(old) <= step:
            old.unlink(missing_ok=True)


def _numbered(folder: RunFolder) -> list[Path]:
    """Rising."""
    found = [path for path in folder.checkpoints.glob("step_*.pt") if step_of(path) >= 0]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The step in a numbered checkpoint's name; -1 for another name."""
    digits = path.name.removeprefix("step_").partition(".")[0]
    return int(digits) if digits.isdecimal() else -1


def set_aside_after(folder: RunFolder, step: int) -> None:
    """Rename the checkpoints beyond `step`, from which a run goes back; they are not its future.

    Otherwise they would count as its newest: the new ones would be the first to be removed, and
    `--resume auto` would jump to them.
    """
    for path in _numbered(folder):
        if step_of(path) > step:
            path.replace(path.with_name(path.name + SUPERSEDED))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU.

    Raises:
        RefusedError: The file is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise RefusedError(f"{path}: no such checkpoint", "see checkpoints/ in the run folder")
    try:
        _check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch.load raises many kinds for a damaged file
        raise RefusedError(
            f"{path}: damaged or not a checkpoint of srgan ({type(err).__name__})",
            "use another file of checkpoints/",
        ) from err
    if not isinstance(state, dict) or state.get("format_version") != FORMAT_VERSION:
        raise RefusedError(
            f"{path}: not a checkpoint of this srgan",
            "weights of other tools go to Model.load_checkpoint",
        )
    return state


def _check_sums(path: Path) -> None:
    """Raise for a flipped bit: torch writes checksums and never compares them."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(broken)


def newest_checkpoint(
    folder: RunFolder, warn: Callable[[str], None]
) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that loads, damaged ones passed over with a warning; None without any.

    A numbered one is newer than `last.pt` where the run was killed between the two.

    Raises:
        RefusedError: There are checkpoints, and none of them loads.
    """
    numbered = _numbered(folder)[::-1]
    last = folder.last if folder.last.is_file() else None
    if last is not None and any(path.samefile(last) for path in numbered):
        last = None
    broken = 0
    state = None
    if last is not None:
        state = _try_load(last, warn)
        broken += state is None
    for path in numbered:
        if last is not None and state is not None and step_of(path) <= int(state["step"]):
            return last, state
        newer = _try_load(path, warn)
        if newer is not None:
            return path, newer
        broken += 1
    if last is not None and state is not None:
        return last, state
    if broken:
        raise RefusedError(
            f"{folder.checkpoints}: none of {broken} checkpoints loads",
            "start anew with another --run-dir",
        )
    return None


def _try_load(path: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    try:
        return load_checkpoint(path)
    except RefusedError as err:
        warn(f"{err.message}; trying the one before")
        return None
