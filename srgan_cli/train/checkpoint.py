"""Checkpoints: everything that a bit-exact resume needs, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import whole_file
from srgan_cli.runfolder import RunFolder

FORMAT_VERSION = 1


def save_checkpoint(folder: RunFolder, step: int, state: dict[str, Any], keep_last: int) -> Path:
    """Write a numbered checkpoint, make it `last.pt`, and remove the oldest beyond `keep_last`.

    Raises:
        SrganError: The disk is full or the folder cannot be written; older checkpoints stay.
    """
    path = folder.checkpoint(step)
    try:
        with whole_file(path) as temporary:
            torch.save({"format_version": FORMAT_VERSION, **state}, temporary)
        with whole_file(folder.last) as temporary:
            _link(path, temporary)
    except (OSError, RuntimeError) as err:  # torch's writer reports a full disk as RuntimeError
        free = shutil.disk_usage(folder.path).free / 1e6
        raise SrganError(
            f"cannot write {path} ({err}); {free:.0f} MB are free",
            f"make room, then go on from the checkpoint before with --resume auto; it is in "
            f"{folder.checkpoints}",
        ) from err
    for old in _numbered(folder)[:-keep_last]:
        old.unlink(missing_ok=True)
    return path


def _link(path: Path, link: Path) -> None:
    """A second name for the same bytes; a copy where the file system has no hard links."""
    try:
        os.link(path, link)
    except OSError:
        shutil.copyfile(path, link)


def _numbered(folder: RunFolder) -> list[Path]:
    return sorted(folder.checkpoints.glob("step_*.pt"))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state, on the CPU.

    Raises:
        RefusedError: The file is missing, damaged, or not one of ours.
    """
    if not path.is_file():
        raise RefusedError(f"{path}: no such checkpoint", "see checkpoints/ in the run folder")
    try:
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


def newest_checkpoint(
    folder: RunFolder, warn: Callable[[str], None]
) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that loads, damaged ones passed over with a warning; None without any.

    Raises:
        RefusedError: There are checkpoints, and none of them loads.
    """
    candidates = [folder.last, *reversed(_numbered(folder))]
    existing = [path for path in candidates if path.is_file()]
    for path in existing:
        try:
            return path, load_checkpoint(path)
        except RefusedError as err:
            warn(f"{err.message}; trying the one before")
    if existing:
        raise RefusedError(
            f"{folder.checkpoints}: none of {len(existing)} checkpoints loads",
            "start anew with another --run-dir",
        )
    return None
