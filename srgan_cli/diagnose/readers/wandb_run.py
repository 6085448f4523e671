"""W&B offline runs: the `.wandb` file that `wandb sync` would upload. No login, no network.

wandb 0.31 has no reader in Python any more: the framing is ours (`record_files`), the records are
decoded by wandb's own protobuf classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from srgan_cli.diagnose.log import RunLog, build_log
from srgan_cli.diagnose.readers.columns import NothingYetError, measure
from srgan_cli.diagnose.readers.record_files import NotThisFormatError, WandbRecords
from srgan_cli.diagnose.readers.table import Table
from srgan_cli.diagnose.readers.tail import Tail
from srgan_cli.diagnose.reading import reading_notes
from srgan_cli.errors import RefusedError, SrganError

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

_ROWS_AT_ONCE: Final = 2000
_OUR_SECTIONS: Final = frozenset({"Model", "Data", "Training", "Logging"})
"""A configuration with all of them is what `srgan train` showed to W&B."""


class WandbSource:
    """The `.wandb` file of a run, or the files of a run that was resumed, oldest first."""

    def __init__(
        self, files: Sequence[Path], mapping: Mapping[str, str], notes: Sequence[str] = ()
    ) -> None:
        self.files = tuple(files)
        self._notes = tuple(notes)
        self._mapping = mapping
        self._record = _record_class()
        self._start_over()

    def _start_over(self) -> None:
        self._parts = [(Tail(path), WandbRecords()) for path in self.files]
        self._table = Table()
        self._rows: list[dict[str, Any]] = []
        self._config: dict[str, Any] = {}
        self._exit_code: int | None = None
        self._num_undecoded = 0

    def refresh(self) -> bool:
        """Read what was appended; whether there was anything."""
        replaced = [tail.replaced() for tail, _ in self._parts]
        changed = any(replaced)
        if changed:
            self._start_over()
        for tail, records in self._parts:
            try:
                for block in tail.blocks():
                    self._exit_code = None  # of the part before: this one goes on
                    changed = True
                    for data in records.feed(block):
                        self._take(data)
            except NotThisFormatError:
                raise RefusedError(
                    f"{tail.path} is not a W&B file: it does not begin with ':W&B'",
                    "give the run-*.wandb of an offline run",
                ) from None
        self._flush()
        return changed

    def _take(self, data: bytes) -> None:
        from google.protobuf.message import DecodeError

        record = self._record()
        try:
            record.ParseFromString(data)
        except DecodeError:
            self._num_undecoded += 1
            return
        kind = record.WhichOneof("record_type")
        if kind == "history":
            self._take_row(record.history)
        elif kind == "run":
            self._take_settings(record.run.config)
        elif kind == "config":
            self._take_settings(record.config)
        elif kind == "exit":
            self._exit_code = int(record.exit.exit_code)

    def _take_row(self, history: Any) -> None:
        row: dict[str, Any] = {
            "/".join(item.nested_key) or item.key: item.value_json for item in history.item
        }
        if history.HasField("step"):
            row["_step"] = history.step.num
        if "_timestamp" in row:
            self._table.last_time = float(row["_timestamp"])
        # wandb writes the items in any order; rows with the same columns are read together.
        self._rows.append(dict(sorted(row.items())))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        # The values are JSON texts: numbers, NaN and Infinity are what float() takes, the rest is no metric.
        self._table.add_rows(rows)

    def _take_settings(self, config: Any) -> None:
        for item in config.update:
            path = list(item.nested_key) or [item.key]
            section = self._config
            for name in path[:-1]:
                inner = section.setdefault(name, {})
                section = inner if isinstance(inner, dict) else {}
            try:
                section[path[-1]] = json.loads(item.value_json)
            except ValueError:
                continue
        for item in config.remove:
            self._config.pop(item.key, None)

    def log(self) -> RunLog:
        """All that was read so far."""
        path = self.files[-1]
        table = self._table.copy()
        damaged = sum(records.num_damaged for _, records in self._parts)
        table.num_unusable += damaged + self._num_undecoded
        if not table.num_rows and self._exit_code is None:
            raise NothingYetError(
                f"{path} holds no metrics rows: there is nothing to judge yet",
                "wandb writes them in pieces of 32 KiB and at the end of the run: wait for more steps",
            )
        measured = measure(table, self._mapping, str(path))
        config, trouble = self._run_config()
        return build_log(
            measured.series,
            source=str(path),
            form="W&B run",
            events=self._events(config, measured.series),
            config=config,
            config_trouble=trouble,
            silent_seconds=self._silence(),
            reading=measured.reading,
            notes=(*self._notes, *reading_notes(measured.reading)),
        )

    def _silence(self) -> float | None:
        import time

        last = self._table.last_time
        return None if last is None else max(0.0, time.time() - last)

    def _events(
        self, config: RunConfig | None, series: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], ...]:
        """The exit record as the event of a run folder; without one the run was killed or goes on."""
        if self._exit_code is None:
            return ()
        last = max(int(each.steps[-1]) for each in series.values())
        planned = config.training.max_steps if config else None
        whole = self._exit_code == 0 and (not planned or last + 1 >= planned)
        return ({"event": "end" if whole else "stop", "step": last, "exit_code": self._exit_code},)

    def _run_config(self) -> tuple[RunConfig | None, str]:
        """What `srgan train` was configured with; other tools' settings mean other things by the same names."""
        if not set(self._config) >= _OUR_SECTIONS:
            return None, "the W&B run was not configured by srgan, so that there is no plan"
        from srgan_cli.config import RunConfig
        from srgan_cli.config.load import load_text

        # Others may have added to it: a sweep, or `wandb.config.update` in a notebook.
        sections = {field.alias or name for name, field in RunConfig.model_fields.items()}
        own = {name: value for name, value in self._config.items() if name in sections}
        try:
            return load_text(json.dumps(own, indent=1), "the W&B configuration").config, ""
        except SrganError as err:
            return None, f"the W&B configuration cannot be used: {err.message.splitlines()[0]}"


def _record_class() -> Any:
    try:
        from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made at import
    except ImportError as err:
        raise RefusedError(
            f"W&B files are decoded by wandb, which cannot be imported: {err}",
            "pip install --upgrade wandb",
        ) from err
    return Record
