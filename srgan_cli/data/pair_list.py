"""Pairs of images listed in a CSV or text file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from srgan_cli.data.finding import join
from srgan_cli.errors import RefusedError

SPLITS = ("train", "val", "test")
_COLUMNS = ("hr", "lr", "split")
_EXAMPLE = "a first line `hr,lr,split`, then for example `hr/a.tif,lr/a.tif,train`"


class Row(NamedTuple):
    """One line of a list."""

    hr: str
    lr: str | None
    split: str


def read_pair_list(path: str, base: str | None) -> list[Row]:
    """The lines of a list, in order.

    Columns are named by the first line (`hr`, and if wanted `lr` and `split`, in any order; others
    are ignored) or, without such a line, are hr, lr, split. They are separated by commas,
    semicolons, tabs, or else by blanks; empty lines and lines that start with # do not count.
    Without a split a line is for training; without `lr` on every line, LR is made of HR.

    Args:
        path: The file, in UTF-8.
        base: Where relative paths start; None: the folder of the list.

    Raises:
        RefusedError: It cannot be read as such a list; the message names the line.
    """
    lines = _lines(path)
    delimiter = next((mark for mark in "\t;," if mark in lines[0][1]), " ")
    # Blanks may align columns; other separators stand for empty fields when repeated.
    reader = csv.reader(
        (text for _, text in lines), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    rows: list[Row] = []
    columns: Sequence[str] = _COLUMNS
    folder = base if base is not None else str(Path(path).parent)
    for number, _ in lines:
        try:
            fields = [field.strip() for field in next(reader)]
        except csv.Error as err:
            raise _wrong(path, number, str(err)) from err
        if delimiter == " ":
            fields = [field for field in fields if field]
        header = [field.lower() for field in fields]
        if not rows and columns is _COLUMNS and "hr" in header:
            columns = header
            continue
        rows.append(_row(path, number, dict(zip(columns, fields, strict=False)), folder))
    _check_whole(path, rows)
    return rows


def _lines(path: str) -> list[tuple[int, str]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is no UTF-8 text"
        raise RefusedError(f"Data.pairs: cannot read {path}: {reason}", _EXAMPLE) from err
    if "\0" in text:
        raise RefusedError(f"Data.pairs: cannot read {path}: it holds zero bytes", _EXAMPLE)
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise RefusedError(f"Data.pairs: {path} lists nothing", _EXAMPLE)
    return lines


def _row(path: str, number: int, fields: dict[str, str], folder: str) -> Row:
    hr, lr = fields.get("hr", ""), fields.get("lr", "")
    split = fields.get("split", "").lower() or "train"
    if not hr:
        raise _wrong(path, number, "no HR file")
    if split not in SPLITS:
        raise _wrong(path, number, f"split is '{split}', not one of {', '.join(SPLITS)}")
    return Row(join(folder, hr), join(folder, lr) if lr else None, split)


def _check_whole(path: str, rows: Sequence[Row]) -> None:
    with_lr = sum(row.lr is not None for row in rows)
    if 0 < with_lr < len(rows):
        raise RefusedError(
            f"Data.pairs: {path} gives LR for {with_lr} of {len(rows)} lines; LR of two kinds do not mix",
            "give LR on every line or on none",
        )
    if not any(row.split == "train" for row in rows):
        raise RefusedError(f"Data.pairs: {path} has no line for training", "set split to train")


def _wrong(path: str, number: int, what: str) -> RefusedError:
    return RefusedError(f"Data.pairs: {path}:{number}: {what}", f"write {_EXAMPLE}")
