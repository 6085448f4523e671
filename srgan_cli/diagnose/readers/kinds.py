"""Which kind of log a path is: one table, asked from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srgan_cli.diagnose.readers.columns import NothingYetError
from srgan_cli.diagnose.readers.source import LogSource
from srgan_cli.diagnose.readers.tail import unreadable
from srgan_cli.diagnose.readers.tensorboard_log import (
    TensorBoardSource,
    event_files,
    writer_folders,
)
from srgan_cli.diagnose.readers.text_logs import (
    DelimitedSource,
    JsonSource,
    lightning_versions,
    stitched,
)
from srgan_cli.diagnose.readers.trainer_state import HISTORY, TrainerStateSource, newest_state
from srgan_cli.diagnose.readers.wandb_run import WandbSource
from srgan_cli.errors import RefusedError
from srgan_cli.runfolder import RunFolder

_HEAD_BYTES: Final = 4096
_SUFFIXES_JSON: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_SUFFIXES_TABLE: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

Opener = Callable[[Path, Mapping[str, str]], LogSource]


@dataclass(frozen=True)
class Kind:
    """One kind of log."""

    words: str
    """What can be given, for messages and documentation."""
    recognises: Callable[[Path], bool]
    open: Opener


def open_source(path: Path, mapping: Mapping[str, str]) -> LogSource:
    """The log at a path, not read yet.

    Raises:
        NothingYetError: Nothing is there yet, or a run folder without a log.
        RefusedError: It is no log, or it is not clear which one is meant.
    """
    try:
        if not path.exists():
            raise NothingYetError(
                f"{path} does not exist", "give a run folder, for example runs/exp1"
            )
        if not os.access(path, os.R_OK):
            raise RefusedError(
                f"cannot read {path}: permission denied",
                "give yourself the right to read it, or copy it",
            )
        if not path.is_dir() and not path.is_file():
            raise RefusedError(
                f"{path} is neither a file nor a folder",
                "save what comes from there, and give that",
            )
        kind = next((kind for kind in KINDS if kind.recognises(path)), None)
    except OSError as err:
        raise unreadable(path, err) from err
    if kind is None:
        raise _not_recognised(path)
    return kind.open(path, mapping)


def _not_recognised(path: Path) -> RefusedError:
    accepted = "; ".join(kind.words for kind in KINDS)
    if not path.is_dir():
        return RefusedError(
            f"{path} is no log of a training: {_what_it_is(path)}", f"give {accepted}"
        )
    if RunFolder(path).config.is_file():
        return NothingYetError(
            f"{path} holds a config.yaml but no metrics.jsonl: the run has not logged anything yet",
            "wait for the first log interval, or start it with `srgan train`",
        )
    below = sorted(str(found.relative_to(path)) for found in path.glob("*/metrics.*"))[:3]
    seen = sorted({child.suffix or child.name for child in path.iterdir()})[:6]
    holds = f"it holds {', '.join(seen)}" if seen else "it is empty"
    return RefusedError(
        f"{path} is not a run folder: no log of a training in it ({holds})",
        f"did you mean {path / below[0]}?" if below else f"give {accepted}",
    )


def _what_it_is(path: Path) -> str:
    head = _head(path)
    if not head:
        return "the file is empty"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is UTF-16 text; save it as UTF-8"
    if b"\x00" in head:
        return "it is a binary file"
    first = head.decode("utf-8", "replace").splitlines()[0][:40]
    return f"it begins with {first!r}"


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_run_folder(path: Path) -> bool:
    return path.is_dir() and RunFolder(path).metrics.is_file()


def _open_run_folder(path: Path, mapping: Mapping[str, str]) -> LogSource:
    return JsonSource(RunFolder(path).metrics, mapping)


def _is_json_lines(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.name.lower().endswith(_SUFFIXES_JSON):
        return not _is_binary(path)
    return not _is_table(path) and _head(path).lstrip(b"\xef\xbb\xbf \r\n").startswith(b'{"')


def _is_table(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(_SUFFIXES_TABLE) and not _is_binary(path)


def _is_binary(path: Path) -> bool:
    return not path.name.lower().endswith(".gz") and b"\x00" in _head(path)


def _open_table(path: Path, mapping: Mapping[str, str]) -> LogSource:
    return DelimitedSource((path,), mapping)


def _lightning_logs(path: Path) -> list[Path]:
    """metrics.csv of the versions in a folder, or of those in its `lightning_logs`."""
    return lightning_versions(path) or lightning_versions(path / "lightning_logs")


def _is_lightning(path: Path) -> bool:
    return path.is_dir() and ((path / "metrics.csv").is_file() or bool(_lightning_logs(path)))


def _open_lightning(path: Path, mapping: Mapping[str, str]) -> LogSource:
    if (path / "metrics.csv").is_file():
        return DelimitedSource((path / "metrics.csv",), mapping)
    return stitched(_lightning_logs(path), mapping)


def _wandb_files(path: Path) -> list[Path]:
    """The files of runs at a path, oldest first: the names of their folders begin with the time."""
    for pattern in ("run-*.wandb", "*run-*/run-*.wandb", "wandb/*run-*/run-*.wandb"):
        # `latest-run` is a link to one of the others.
        found = [
            file
            for file in path.glob(pattern)
            if file.is_file() and (file.parent == path or not file.parent.is_symlink())
        ]
        if found:
            return sorted(found, key=_begun)
    return []


def _begun(file: Path) -> tuple[str, float]:
    name = file.parent.name
    return name[name.find("run-") :], file.stat().st_mtime


def _is_wandb(path: Path) -> bool:
    if path.is_dir():
        return bool(_wandb_files(path))
    return path.suffix == ".wandb" or _head(path).startswith(b":W&B")


def _open_wandb(path: Path, mapping: Mapping[str, str]) -> LogSource:
    if path.is_file():
        return WandbSource((path,), mapping)
    files = _wandb_files(path)
    # A resumed run keeps its id, after which the file is named, and gets a folder of its own.
    parts = [file for file in files if file.name == files[-1].name]
    others = [file.parent for file in files if file.name != files[-1].name]
    return WandbSource(parts, mapping, _left_out(others))


def _left_out(others: Sequence[Path]) -> tuple[str, ...]:
    """The note on what else could have been read."""
    if not others:
        return ()
    shown = ", ".join(other.name for other in others[-5:]) + (", ..." if len(others) > 5 else "")
    return (f"the newest of {len(others) + 1} runs was read; name another one to read it: {shown}",)


def _is_tensorboard(path: Path) -> bool:
    if path.is_dir():
        return bool(event_files(path) or writer_folders(path))
    return "tfevents" in path.name


def _open_tensorboard(path: Path, mapping: Mapping[str, str]) -> LogSource:
    if path.is_file():
        return TensorBoardSource(path.parent, (path,), mapping, ())
    own = event_files(path)
    if own:
        nested = [file for folder in writer_folders(path) for file in event_files(folder)]
        return TensorBoardSource(path, (*own, *nested), mapping, ())
    # Several runs side by side: the one written to last; `add_scalars` writers lie below a run.
    runs = [
        f
        for f in writer_folders(path)
        if not any(event_files(above) for above in _between(path, f))
    ]
    runs.sort(key=lambda folder: max(file.stat().st_mtime for file in event_files(folder)))
    *older, newest = runs
    nested = [file for folder in writer_folders(newest) for file in event_files(folder)]
    return TensorBoardSource(newest, (*event_files(newest), *nested), mapping, _left_out(older))


def _between(top: Path, folder: Path) -> list[Path]:
    """The folders above `folder` up to `top`, without it."""
    return [above for above in folder.parents if top in above.parents]


def _is_trainer_state(path: Path) -> bool:
    if path.is_dir():
        return newest_state(path) is not None
    return path.suffix.lower() == ".json" and f'"{HISTORY}"'.encode() in _head(path)


def _open_trainer_state(path: Path, mapping: Mapping[str, str]) -> LogSource:
    return TrainerStateSource((newest_state(path) if path.is_dir() else None) or path, mapping)


def _single_logs(path: Path) -> list[Path]:
    return sorted(
        child
        for child in path.iterdir()
        if _is_table(child) or child.name.lower().endswith(_SUFFIXES_JSON)
    )


def _holds_single_log(path: Path) -> bool:
    return path.is_dir() and bool(_single_logs(path))


def _open_single_log(path: Path, mapping: Mapping[str, str]) -> LogSource:
    logs = _single_logs(path)
    if len(logs) > 1:
        raise RefusedError(
            f"{path} holds {len(logs)} logs: {', '.join(log.name for log in logs[:6])}",
            f"name one of them, for example {logs[-1]}",
        )
    return open_source(logs[0], mapping)


KINDS: Final[tuple[Kind, ...]] = (
    Kind("a run folder of `srgan train`", _is_run_folder, _open_run_folder),
    Kind("Lightning's metrics.csv or its folder", _is_lightning, _open_lightning),
    Kind("a W&B offline run (run-*.wandb, or its folder)", _is_wandb, _open_wandb),
    Kind("TensorBoard event files or their folder", _is_tensorboard, _open_tensorboard),
    Kind(
        "trainer_state.json of Hugging Face's Trainer, or its folder",
        _is_trainer_state,
        _open_trainer_state,
    ),
    Kind("a .csv or .tsv table, also .gz", _is_table, _open_table),
    Kind("a .jsonl file, also .gz", _is_json_lines, JsonSource),
    Kind("a folder with one such file", _holds_single_log, _open_single_log),
)
