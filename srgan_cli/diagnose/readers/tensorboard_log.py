"""TensorBoard event files, without TensorFlow and torch.

Events are decoded by tensorboard's own protobuf classes. Its reader of files is not used: it
computes checksums of whole images in Python, and takes TensorFlow where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from srgan_cli.diagnose.log import RunLog, build_log
from srgan_cli.diagnose.readers.columns import Measured, NothingYetError, measure
from srgan_cli.diagnose.readers.naming import check_columns
from srgan_cli.diagnose.readers.record_files import NotThisFormatError, TensorBoardRecords
from srgan_cli.diagnose.readers.table import Table
from srgan_cli.diagnose.readers.tail import Tail
from srgan_cli.diagnose.reading import reading_notes
from srgan_cli.diagnose.series import Series
from srgan_cli.errors import RefusedError

_FILES: Final = "*tfevents*"
_FLOAT_TYPES: Final[Mapping[int, str]] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""TensorFlow's numbers of types -> numpy's names."""


def event_files(folder: Path) -> list[Path]:
    """Event files of one writer in the order in which they were begun: the time is in their names."""
    return sorted(path for path in folder.glob(_FILES) if path.is_file())


def writer_folders(folder: Path) -> list[Path]:
    """The folder of a run with those below it in which `add_scalars` writes."""
    below = {path.parent for path in folder.rglob(_FILES) if path.is_file()}
    return sorted(below - {folder})


class TensorBoardSource:
    """The event files of one run.

    Args:
        folder: Of the run's own writer, or of a single file.
        files: All its event files.
        notes: About the choice of the folder.
    """

    def __init__(
        self, folder: Path, files: Sequence[Path], mapping: Mapping[str, str], notes: Sequence[str]
    ) -> None:
        self.files = tuple(files)
        self._folder = folder
        self._mapping = mapping
        self._notes = tuple(notes)
        self._event, self._checksum = _tensorboard()
        self._start_over()

    def _start_over(self) -> None:
        self._parts = [_EventFile(path, self._event, self._checksum) for path in self.files]

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""
        replaced = [part.tail.replaced() for part in self._parts]
        if any(replaced):
            self._start_over()
        return bool(sum(part.refresh() for part in self._parts) or any(replaced))

    def log(self) -> RunLog:
        """All that was read so far."""
        series: dict[str, Series] = {}
        measured: list[Measured] = []
        columns = [name for part in self._parts for name in part.table.names if name != "step"]
        if columns:
            check_columns(self._mapping, list(dict.fromkeys(columns)), str(self._folder))
        for folder in dict.fromkeys(part.tail.path.parent for part in self._parts):
            table = self._joined(folder)
            mapping = {m: c for m, c in self._mapping.items() if c in table.names}
            try:
                measured.append(measure(table, mapping, str(folder)))
            except NothingYetError:
                continue
            series = measured[-1].series | series
        if not measured:
            raise NothingYetError(
                f"{self._folder} holds event files without scalars: there is nothing to judge yet",
                "wait for the first log interval, or give the folder of the run's own writer",
            )
        reading = max((each.reading for each in measured), key=lambda one: one.num_rows)
        damaged = [part.tail.path.name for part in self._parts if part.records.damaged]
        notes = [f"{name} is damaged: read up to there" for name in damaged]
        return build_log(
            series,
            source=str(self._folder),
            form="TensorBoard log",
            config_trouble="TensorBoard files come without a configuration that srgan can read",
            reading=reading,
            notes=(*self._notes, *notes, *reading_notes(reading)),
        )

    def _joined(self, folder: Path) -> Table:
        """All events of one writer: its files were begun one after the other."""
        joined = Table()
        for part in self._parts:
            if part.tail.path.parent == folder:
                joined.extend(part.table)
                joined.num_unusable += part.records.damaged
        return joined


class _EventFile:
    """One event file: scalars as rows of a table."""

    def __init__(self, path: Path, event: Any, checksum: Callable[[bytes], int]) -> None:
        self.tail = Tail(path)
        self.records = TensorBoardRecords(checksum)
        self.table = Table()
        self._event = event

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""
        rows: list[dict[str, float]] = []
        changed = False
        try:
            for block in self.tail.blocks(1 << 20):
                changed = True
                for data in self.records.feed(block):
                    self._take(data, rows)
        except NotThisFormatError:
            raise RefusedError(
                f"{self.tail.path} is not a TensorBoard event file",
                "give the folder that the SummaryWriter wrote to",
            ) from None
        self.table.add_rows(rows)
        return changed

    def _take(self, data: bytes, rows: list[dict[str, float]]) -> None:
        from google.protobuf.message import DecodeError

        event = self._event()
        try:
            event.ParseFromString(data)
        except DecodeError:
            self.table.num_unusable += 1
            return
        for value in event.summary.value:
            number = _scalar(value)
            if number is None:
                continue
            name = _full_name(value.tag, self.tail.path.parent.name)
            # Events of a step stand one after the other: they make one row.
            if not rows or rows[-1]["step"] != event.step or name in rows[-1]:
                rows.append({"step": event.step})
            rows[-1][name] = number


def _full_name(tag: str, folder: str) -> str:
    """`add_scalars(tag, {key: ...})` writes into a folder `tag_key`, with slashes made underscores."""
    prefix = tag.replace("/", "_") + "_"
    return f"{tag}/{folder.removeprefix(prefix)}" if folder.startswith(prefix) else tag


def _scalar(value: Any) -> float | None:
    """The number of a summary value; None for images, histograms and texts."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    numbers = _numbers(value.tensor) if kind == "tensor" else []
    return float(numbers[0]) if len(numbers) == 1 else None


def _numbers(tensor: Any) -> Any:
    """The numbers of a tensor, wherever they are kept; none for texts."""
    if tensor.tensor_content and tensor.dtype in _FLOAT_TYPES:
        return np.frombuffer(tensor.tensor_content, _FLOAT_TYPES[tensor.dtype])
    if tensor.half_val:  # the bits of half-precision numbers
        return np.array(tensor.half_val, np.uint16).view(np.float16)
    return tensor.float_val or tensor.double_val or tensor.int_val or tensor.int64_val


def _tensorboard() -> tuple[Any, Callable[[bytes], int]]:
    """The class of an event, and the checksum."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
    except ImportError as err:
        raise RefusedError(
            "event files of TensorBoard are decoded by tensorboard, which is not installed",
            "pip install 'srgan-cli[tensorboard]'",
        ) from err
    return Event, masked_crc32c
