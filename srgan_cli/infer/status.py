"""What became of a scene: a JSON file beside its output, and all of those under a folder."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import write_text

SUFFIX = ".status.json"
GO_ON = "scenes that are done are skipped; run the same command again to go on"
_FORMAT = 1

State = Literal["done", "skipped", "failed", "running", "stopped"]


@dataclass(frozen=True)
class Status:
    """What became of a scene, as its status file has it."""

    state: State
    """`skipped` is never written: the file says what was done before."""
    input: str
    output: str
    fingerprint: dict[str, Any]
    """What decides about the output: weights, input and options."""
    started: str
    """UTC."""
    host: str
    pid: int
    seconds: float = 0.0
    output_bytes: int = 0
    message: str = ""
    """Why it failed, or what went beyond a limit."""
    hint: str = ""
    traceback: str = ""
    """Only of bugs."""
    result: dict[str, Any] | None = None
    """As `srgan infer --json` gives it."""

    @property
    def problem(self) -> bool:
        """Whether it needs a person: it failed, or its output goes beyond a limit."""
        return self.state == "failed" or bool(self.message)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def status_path(output: Path) -> Path:
    """The status file of an output, beside it."""
    return output.with_name(output.name + SUFFIX)


def write_status(place: Path, status: Status) -> None:
    """Write a status, whole or not at all.

    Raises:
        SrganError: The folder cannot be written to.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": _FORMAT, **status.as_dict()}, indent=2)
        write_text(place, text + "\n")
    except OSError as err:
        raise SrganError(f"{place}: cannot be written: {err.strerror}", "check --out-dir") from err


def read_status(place: Path) -> Status:
    """The status in a file.

    Raises:
        RefusedError: It is damaged, or of another version.
    """
    try:
        values = json.loads(place.read_text(encoding="utf-8"))
        version = values.pop("format")
        if version != _FORMAT:
            raise RefusedError(f"{place}: status format {version}", "update srgan, or remove it")
        return Status(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise RefusedError(
            f"{place}: damaged status file ({type(err).__name__})",
            "remove it together with its output",
        ) from err


def collect(out_dir: Path) -> list[Status]:
    """The status of every scene under a folder, by output.

    Raises:
        RefusedError: There is no such folder, or no status in it.
    """
    if not out_dir.is_dir():
        raise RefusedError(f"--collect {out_dir}: no such folder", "give the --out-dir of a batch")
    places = sorted(out_dir.rglob(f"*{SUFFIX}"))
    places = [place for place in places if not place.name.startswith(".")]
    if not places:
        raise RefusedError(
            f"--collect {out_dir}: no status file in it", "give the --out-dir of a batch"
        )
    return [_readable(place) for place in places]


def _readable(place: Path) -> Status:
    """A damaged status is a scene that failed."""
    try:
        status = read_status(place)
    except RefusedError as err:
        name = str(place)[: -len(SUFFIX)]
        return Status("failed", "", name, {}, "", "", 0, message=err.message, hint=err.hint)
    if status.state == "running" and not may_run(status):
        gone = f"process {status.pid} ended without a word"
        return dataclasses.replace(status, state="stopped", message=gone, hint=GO_ON)
    # Beside its status, since the folder may have moved.
    output = place.with_name(place.name[: -len(SUFFIX)])
    if status.state != "done" or file_size(output) == status.output_bytes:
        return status
    wrong = "is not what was written" if output.exists() else "is gone"
    hint = f"remove {output} and {place.name}, and run the batch again"
    return dataclasses.replace(status, state="failed", message=f"{output}: {wrong}", hint=hint)


def may_run(status: Status) -> bool:
    """Whether the process that began a scene may still be at it; of other machines nobody knows."""
    if status.host != socket.gethostname():
        return True
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def file_size(path: Path) -> int | None:
    """Bytes, or None where there is no such file."""
    return path.stat().st_size if path.exists() else None
