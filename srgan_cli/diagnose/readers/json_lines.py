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
    # One call for the whole block is many times faster than one a line.
    rows = _parsed(b"[" + block.strip().replace(b"\n", b",") + b"]")
    plain = b"null" not in block and b": {" not in block and b":{" not in block
    if not isinstance(rows, list) or not all(map(_is_object, rows)):
        rows = []
        for line in filter(None, map(bytes.strip, block.splitlines())):
            row = _parsed(line)
            if isinstance(row, dict):
                rows.append(row)
            else:
                table.num_unusable += 1
    table.add_rows(rows, plain=plain)


def _is_object(row: Any) -> bool:
    return type(row) is dict


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
