"""Readers: whatever a training logged to becomes a RunLog."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.readers.columns import NothingYetError
from srgan_cli.diagnose.readers.kinds import KINDS, open_source
from srgan_cli.diagnose.readers.naming import ALIASES, STEP_COLUMNS, parse_mapping
from srgan_cli.diagnose.readers.source import LogSource

__all__ = [
    "ALIASES",
    "KINDS",
    "NO_MAPPING",
    "STEP_COLUMNS",
    "LogSource",
    "NothingYetError",
    "open_source",
    "parse_mapping",
    "read_run",
]

NO_MAPPING: Final[Mapping[str, str]] = MappingProxyType({})
"""For logs with our names."""


def read_run(path: Path, mapping: Mapping[str, str] = NO_MAPPING) -> RunLog:
    """The log of a run, of any of the `KINDS`.

    Args:
        path: A file or a folder.
        mapping: {metric or "step": column} for logs with other names (`parse_mapping`).

    Raises:
        RefusedError: There is nothing that could be judged.
    """
    source = open_source(path, mapping)
    source.refresh()
    return source.log()
