"""Lists of scenes: a CSV with options, a plain list of paths, a folder, or a pattern."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srgan_cli.data.finding import find_files, is_address, join
from srgan_cli.errors import RefusedError
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.parsing import SCENE_OPTIONS, with_scene_options

_COLUMNS = ("input", "output", *SCENE_OPTIONS)
_LISTS = (".csv", ".txt", ".lst", ".tsv")
_EXAMPLE = "a first line `input,output`, then for example `scenes/a.tif,a_sr.tif`"


@dataclass(frozen=True)
class Scene:
    """One input, where its output goes, and how it is made."""

    origin: str
    """Where it was listed, for messages."""
    input: str
    output: Path
    options: InferOptions


def read_scenes(manifest: str, out_dir: Path, options: InferOptions) -> list[Scene]:
    """The scenes of a list, a folder or a pattern, in order.

    Args:
        manifest: A `.csv`, `.tsv`, `.txt` or `.lst` file whose first line names the columns (`input`,
            maybe `output` and options), or with a path on every line; or a folder or pattern.
            Relative paths start from the folder of the list.
        out_dir: Where outputs go, by default under the name of their input with `.tif`.
        options: Those of all scenes; columns win over them.

    Raises:
        RefusedError: It cannot be read as such a list, or two scenes have the same output.
    """
    path = Path(manifest)
    if path.is_file() and path.suffix.lower() in _LISTS:
        scenes = _read_list(path, out_dir, options)
    else:
        found = _found(manifest)
        scenes = [_scene(each, each, {}, out_dir, options) for each in found]
    _refuse_shared_outputs(scenes)
    return scenes


def _found(manifest: str) -> list[str]:
    try:
        return find_files(None, [manifest], "--manifest")
    except RefusedError as err:
        hint = "give a list (.csv, .txt), a folder of rasters, or a pattern in quotes"
        raise RefusedError(err.message, hint) from err


def _read_list(path: Path, out_dir: Path, options: InferOptions) -> list[Scene]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "it is no UTF-8 text"
        raise RefusedError(
            f"--manifest {path}: cannot be read: {why}", f"write {_EXAMPLE}"
        ) from err
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise RefusedError(f"--manifest {path}: lists nothing", f"write {_EXAMPLE}")
    delimiter = next((mark for mark in "\t;," if mark in lines[0][1]), ",")
    columns = [field.strip().lower().replace("-", "_") for field in lines[0][1].split(delimiter)]
    if "input" not in columns:
        if len(columns) > 1 and not Path(join(str(path.parent), lines[0][1].strip())).exists():
            raise RefusedError(
                f"{path}:{lines[0][0]}: no column `input` among {', '.join(columns)}",
                f"write {_EXAMPLE}",
            )
        rows = [(number, {"input": line.strip()}) for number, line in lines]
    else:
        _check_columns(path, lines[0][0], columns)
        rows = _rows(path, lines[1:], columns, delimiter)
    scenes = []
    for number, fields in rows:
        origin = f"{path}:{number}"
        if not fields.get("input"):
            raise RefusedError(f"{origin}: no input", f"write {_EXAMPLE}")
        given = fields | {"input": join(str(path.parent), fields["input"])}
        if given.get("aoi"):
            given["aoi"] = join(str(path.parent), given["aoi"])
        scenes.append(_scene(origin, given["input"], given, out_dir, options))
    return scenes


def _check_columns(path: Path, number: int, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in _COLUMNS:
            near = difflib.get_close_matches(column, _COLUMNS, 1)
            known = f"did you mean {near[0]}?" if near else f"columns are {', '.join(_COLUMNS)}"
            raise RefusedError(f"{path}:{number}: unknown column {column!r}", known)
        if columns.count(column) > 1:
            raise RefusedError(f"{path}:{number}: column {column!r} twice", "keep one of them")


def _rows(
    path: Path, lines: Sequence[tuple[int, str]], columns: Sequence[str], delimiter: str
) -> list[tuple[int, dict[str, str]]]:
    rows = []
    for number, line in lines:
        try:
            fields = next(
                csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
            )
        except csv.Error as err:
            raise RefusedError(f"{path}:{number}: {err}", "quote fields that hold commas") from err
        if len(fields) > len(columns):
            raise RefusedError(
                f"{path}:{number}: {len(fields)} fields under {len(columns)} columns",
                'quote fields that hold commas: "0,0,512,512"',
            )
        stripped = (field.strip() for field in fields)
        rows.append((number, dict(zip(columns, stripped, strict=False))))
    if not rows:
        raise RefusedError(f"--manifest {path}: lists nothing", f"write {_EXAMPLE}")
    return rows


def _scene(
    origin: str, place: str, fields: dict[str, str], out_dir: Path, options: InferOptions
) -> Scene:
    own = {name: text for name, text in fields.items() if name in SCENE_OPTIONS}
    try:
        options = with_scene_options(options, own)
    except RefusedError as err:
        raise RefusedError(f"{origin}: {err.message}", err.hint) from err
    name = fields.get("output") or f"{_stem(place)}.tif"
    output = Path(os.path.normpath(out_dir / name))
    if not output.is_relative_to(Path(os.path.normpath(out_dir))):
        raise RefusedError(
            f"{origin}: output {name} lies outside of {out_dir}",
            "outputs are named from --out-dir on",
        )
    return Scene(origin, place, output, options)


def _stem(place: str) -> str:
    """The file's name, or a subdataset's as a file can be called."""
    name = place.rstrip("/").rpartition("/")[2]
    if is_address(place) and ":" in name:
        name = name.replace(":", "_").replace('"', "") + ".x"
    return Path(name).stem


def _refuse_shared_outputs(scenes: Sequence[Scene]) -> None:
    """Also on file systems that do not tell cases apart."""
    first: dict[str, Scene] = {}
    for scene in scenes:
        before = first.setdefault(str(scene.output).casefold(), scene)
        if before is not scene:
            raise RefusedError(
                f"{before.origin} and {scene.origin}: both would write {scene.output}",
                "give them names of their own in a column `output`",
            )
