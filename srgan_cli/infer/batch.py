"""Many scenes, one after the other: what is done stays done, and one bad scene stops no other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from srgan_cli import __version__
from srgan_cli.data.finding import is_address
from srgan_cli.errors import RefusedError, SrganError, StoppedError
from srgan_cli.infer.model import Model
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.place import refuse_name, written_through
from srgan_cli.infer.progress import Bar, Progress, no_progress
from srgan_cli.infer.scene_list import Scene
from srgan_cli.infer.status import (
    GO_ON,
    Status,
    file_size,
    may_run,
    read_status,
    status_path,
    write_status,
)
from srgan_cli.infer.workshop import refuse_in_work
from srgan_cli.signals import stop_request

_SCENE_OPTIONS = (
    "overwrite", "resume", "force", "dry_run", "device", "batch", "tile_px", "qa_max_bias",
)  # fmt: skip
"""They do not change the output: what was made with others is as good."""


def run_batch(
    model: Model,
    scenes: Sequence[Scene],
    progress: Progress = no_progress,
    tell: Callable[[Status], None] = lambda _: None,
) -> list[Status]:
    """Make every scene that is not done yet, and say what became of each.

    A scene whose output is complete, of the same weights, input and options, is skipped; one that
    was made of others is refused, or remade with `overwrite`, and with `overwrite` but without
    `resume` all are remade. A scene that was interrupted goes on
    from the tiles that are finished.

    Args:
        model: Loaded once.
        scenes: As `read_scenes` gives them, or a shard of them.
        progress: Shows the scenes done.
        tell: Hears of every scene as soon as it is finished.

    Raises:
        StoppedError: A signal came.
    """
    statuses = []
    with (
        stop_request("what is finished is kept", GO_ON) as stop,
        progress("scenes", len(scenes)) as bar,
    ):
        for scene in scenes:
            if stop:
                raise stop.stopped("what is finished is kept", GO_ON)
            status = _run(model, scene, _InScene(bar, scene.output.name))
            statuses.append(status)
            tell(status)
            bar.advance(1, f"{scene.output.name} {status.state}")
    return statuses


class _InScene:
    """Tells of a scene's tiles in words beside the bar of all scenes."""

    def __init__(self, bar: Bar, name: str) -> None:
        self._bar, self._name, self._done, self._total = bar, name, 0, 1

    @contextmanager
    def progress(self, _title: str, total: int) -> Iterator[Bar]:
        self._done, self._total = 0, max(total, 1)
        yield self

    def advance(self, count: int = 1, text: str = "") -> None:  # noqa: ARG002  # the shape of Bar
        self._done += count
        self._bar.advance(0, f"{self._name} {100 * self._done // self._total} %")


def _run(model: Model, scene: Scene, inside: _InScene) -> Status:
    began = time.monotonic()
    status = Status(
        state="running",
        input=scene.input,
        output=str(scene.output),
        fingerprint=fingerprint(model, scene),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    place = status_path(scene.output)
    kept = False
    try:
        refuse_name(scene.output)
        # A refusal to remake an output leaves what is known of it.
        kept = place.exists()
        # Not asked later: what appears in the meantime is another process's.
        replaces = scene.options.overwrite or scene.output.exists()
        before = _done_before(scene, status.fingerprint)
        if before is not None:
            return dataclasses.replace(before, state="skipped")
        # Nor does one that comes while another process makes it.
        refuse_in_work(written_through(scene.output))
        kept = False
        scene.output.parent.mkdir(parents=True, exist_ok=True)
        write_status(place, status)
        options = dataclasses.replace(scene.options, overwrite=replaces)
        result = model.infer_file(scene.input, scene.output, options, inside.progress)
        status = dataclasses.replace(
            status,
            state="done",
            output_bytes=scene.output.stat().st_size,
            message="; ".join(result.problems),
            result=result.as_dict(),
        )
    except StoppedError as err:
        write_status(
            place, dataclasses.replace(status, state="stopped", message=err.message, hint=GO_ON)
        )
        raise StoppedError(err.exit_code - 128, err.message, GO_ON) from err
    except SrganError as err:
        status = dataclasses.replace(status, state="failed", message=err.message, hint=err.hint)
    except Exception as err:
        status = dataclasses.replace(
            status,
            state="failed",
            message=f"a bug in srgan: {type(err).__name__}: {err}",
            hint="please report the traceback in its status file",
            traceback=traceback.format_exc(),
        )
    status = dataclasses.replace(status, seconds=time.monotonic() - began)
    return status if kept else _recorded(place, status)


def _recorded(place: Path, status: Status) -> Status:
    """The status, written; a folder that does not take it makes this scene fail and no other."""
    try:
        write_status(place, status)
    except (SrganError, ValueError) as err:
        if status.state == "failed":
            return status
        hint = err.hint if isinstance(err, SrganError) else ""
        return dataclasses.replace(status, state="failed", message=str(err), hint=hint)
    return status


def _done_before(scene: Scene, wanted: dict[str, Any]) -> Status | None:
    """The status of a complete output; None where it is to be made.

    Raises:
        RefusedError: There is an output of something else.
    """
    if not scene.output.exists():
        return None
    if scene.options.overwrite:
        return _as_made_now(scene, wanted)
    place = status_path(scene.output)
    if not place.is_file():
        raise RefusedError(
            f"{scene.output}: exists already and has no status file",
            "move it away, or add --overwrite",
        )
    status = read_status(place)
    if _made_unsaid(scene.output, place, status, wanted):
        return None
    if status.state != "done" or status.output_bytes != file_size(scene.output):
        raise RefusedError(
            f"{scene.output}: is not what {place.name} tells of", "move it away, or add --overwrite"
        )
    for name, value in wanted.items():
        old = status.fingerprint.get(name)
        if old != value:
            raise RefusedError(
                f"{scene.output}: was made with another {name}: {old!r} then, {value!r} now",
                "add --overwrite to remake it, or choose another --out-dir",
            )
    return status


def _as_made_now(scene: Scene, wanted: dict[str, Any]) -> Status | None:
    """The status of an output that making it again would give once more; None without one.

    An interrupted batch that overwrites so goes on with what it has not made yet. `resume` being
    off, everything is made again.
    """
    try:
        status = read_status(status_path(scene.output))
    except RefusedError:
        return None
    whole = status.state == "done" and status.output_bytes == file_size(scene.output)
    ours = status.fingerprint == wanted and (status.result or {}).get("version") == __version__
    return status if scene.options.resume and whole and ours else None


def _made_unsaid(output: Path, place: Path, status: Status, wanted: dict[str, Any]) -> bool:
    """Whether a process was killed after the output got its name and before its status said so.

    Outputs appear whole: one that is younger than the status of a scene in work is that scene's.
    Pictures and figures may be missing, so that it is made again.
    """
    gone = status.state == "running" and not may_run(status)
    younger = output.stat().st_mtime_ns >= place.stat().st_mtime_ns
    return gone and younger and status.fingerprint == wanted


def fingerprint(model: Model, scene: Scene) -> dict[str, Any]:
    """What decides about an output: weights, input and options, in plain values."""
    options = dataclasses.asdict(scene.options)
    defaults = dataclasses.asdict(InferOptions())
    own = {
        name: value
        for name, value in options.items()
        if name not in _SCENE_OPTIONS and value != defaults[name]
    }
    if scene.options.aoi:
        own["aoi"] = _digest(Path(scene.options.aoi))
    found: dict[str, Any] = {
        "weights": model.sha256,
        "attention_window": model.generator.window_px if model.generator.pools_globally else None,
        "input": scene.input if is_address(scene.input) else str(Path(scene.input).resolve()),
        "input_state": None if is_address(scene.input) else _state(Path(scene.input)),
        "options": own,
    }
    # Tuples come back as lists.
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _state(path: Path) -> list[int] | None:
    """Size and time of the last change, of a folder over all its files."""
    try:
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        facts = [each.stat() for each in files]
    except OSError:
        return None
    if not facts:
        return None
    return [sum(fact.st_size for fact in facts), max(fact.st_mtime_ns for fact in facts)]


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
