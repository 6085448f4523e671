"""Logs with one JSON object a line: metrics.jsonl of a run folder, and other tools' JSONL."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from srgan_cli.diagnose.readers.table import Table

_NOT_JSON: Final = ((b"NaN", b'"nan"'), (b"-Infinity", b'"-inf"'), (b"Infinity", b'"inf"'))
"""What Python's json writes, and JSON does not know."""


def add_json_lines(table: Table, block: bytes) -> None:
    """Append a block of whole lines; lines that are no JSON objects are counted and left out."""
    rows = _all_at_once(block)
    if rows is None:
        rows = [_parsed(line) for line in block.split(b"\n") if not line.isspace() and line]
    if not set(map(type, rows)) <= {dict}:
        objects = [row for row in rows if isinstance(row, dict)]
        table.num_unusable += len(rows) - len(objects)
        rows = objects
    table.add_rows(rows)


def _all_at_once(block: bytes) -> list[Any] | None:
    """The values of all lines; None where one is no JSON, or takes several lines."""
    text = block.removesuffix(b"\n")
    joined = text.replace(b"\n", b",\n")
    try:
        rows: list[Any] = orjson.loads(b"[" + joined + b"]")
    except orjson.JSONDecodeError:
        return None
    return rows if len(rows) == len(joined) - len(text) + 1 else None


def _parsed(text: bytes) -> Any:
    """The value, or None when it is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    for word, replacement in _NOT_JSON:
        text = text.replace(b": " + word, b": " + replacement).replace(
            b":" + word, b":" + replacement
        )
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # Slow, but takes NaN inside of a list, and half a letter of UTF-8.
        return json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
