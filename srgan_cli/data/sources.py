"""From `Data` to pairs of files; nothing is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srgan_cli.data.arrays import SUFFIXES as ARRAY_SUFFIXES
from srgan_cli.data.finding import SUFFIXES, find_files, is_address, join
from srgan_cli.data.pair_list import read_pair_list
from srgan_cli.data.taco import taco_pairs
from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config.data import DataConfig

EXAMPLE_FOLDER = "example_dataset"
"""Where OpenSR-SRGAN's download puts its example set."""

EXAMPLE_VAL = 20
"""Files of the example set that are for validation, the last ones."""


@dataclass(frozen=True)
class Pair:
    """Files of one scene; without `lr` it is made from `hr`."""

    hr: str
    lr: str | None = None
    hr_key: str = "Data.hr"
    """Key of the configuration that led to `hr`."""
    lr_key: str = "Data.lr"


@dataclass(frozen=True)
class Sources:
    """What a configuration points to."""

    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    """Empty: hold back from `train`."""
    warnings: tuple[str, ...] = ()


def find_sources(data: DataConfig) -> Sources:
    """The pairs of files of a configuration, in a stable order.

    Raises:
        RefusedError: nothing is found, LR and HR do not pair up, or the data set's type cannot be
            read; the message names the key.
    """
    if data.dataset_type == "LRHRFolderDataset":
        return _folders(data)
    if data.dataset_type == "ExampleDataset":
        return _example(data)
    if data.dataset_type == "SEN2NAIP":
        return _taco(data)
    return _pair_list(data, data.pairs) if data.pairs else _listed_files(data)


def _listed_files(data: DataConfig) -> Sources:
    if not data.hr:
        raise RefusedError(
            "Data.hr: no imagery given",
            "list GeoTIFFs or folders, for example Data.hr: [scenes]; `srgan synth scenes` makes some",
        )
    base = data.root_dir
    train, warnings = _pairs(base, data.hr, data.lr, "Data.hr", "Data.lr")
    if not data.val_hr:
        return Sources(train, (), warnings)
    if data.lr and not data.val_lr:
        raise RefusedError(
            "Data.val_lr: not given, though Data.lr is; validation would use LR of another kind",
            "give Data.val_lr, or leave Data.val_hr out so that whole pairs are held back",
        )
    val, more = _pairs(base, data.val_hr, data.val_lr, "Data.val_hr", "Data.val_lr")
    return Sources(train, val, (*warnings, *more, *_shared(train, val)))


def _pair_list(data: DataConfig, path: str) -> Sources:
    rows = read_pair_list(join(data.root_dir, path), data.root_dir)
    files = dict.fromkeys(file for row in rows for file in (row.hr, row.lr) if file)
    missing = [file for file in files if not is_address(file) and not Path(file).exists()]
    if missing:
        raise RefusedError(
            f"Data.pairs: {len(missing)} of the {len(files)} files in {path} do not exist: {_some(missing)}",
            "relative paths start from Data.root_dir, or from the folder of the list without it",
        )
    train, val = (
        tuple(
            Pair(row.hr, row.lr, "Data.pairs", "Data.pairs") for row in rows if row.split == split
        )
        for split in ("train", "val")
    )
    return Sources(train, val, _shared(train, val))


def _example(data: DataConfig) -> Sources:
    """The last files are for validation, as in OpenSR-SRGAN; LR is made by `Data.degradation`."""
    folder = Path(join(None, data.root_dir or EXAMPLE_FOLDER))
    if not folder.is_dir():
        raise RefusedError(
            f"Data.root_dir: there is no folder {folder}",
            "unpack OpenSR-SRGAN's example_dataset.zip there, or set Data.root_dir to where it lies",
        )
    files = sorted(folder.glob("hr_*.npz")) or sorted(folder.glob("*.npz"))
    if not files:
        raise RefusedError(
            f"Data.root_dir: {folder} holds no npz file", "ExampleDataset reads hr_*.npz"
        )
    pairs = tuple(Pair(str(file), None, "Data.root_dir") for file in files)
    if len(pairs) > EXAMPLE_VAL:
        return Sources(pairs[:-EXAMPLE_VAL], pairs[-EXAMPLE_VAL:])
    return Sources(pairs, ())


def _taco(data: DataConfig) -> Sources:
    """The last samples are for validation, as in OpenSR-SRGAN."""
    key = "Data.sen2naip_taco_file"
    if not data.sen2naip_taco_file:
        raise RefusedError(f"{key}: SEN2NAIP needs it", f"set {key} to the taco file")
    path = join(data.root_dir, data.sen2naip_taco_file)
    pairs = tuple(Pair(hr, lr, key, key) for hr, lr in taco_pairs(path))
    if len(pairs) < 2:
        raise RefusedError(
            f"{key}: {path} holds {len(pairs)} pairs; training and validation need one each",
            "give a larger file",
        )
    first_val = min(max(round(len(pairs) * (1 - data.sen2naip_val_fraction)), 1), len(pairs) - 1)
    return Sources(pairs[:first_val], pairs[first_val:])


def _folders(data: DataConfig) -> Sources:
    if not data.root_dir:
        raise RefusedError(
            "Data.root_dir: LRHRFolderDataset needs the folder that holds train/LR and train/HR",
            "set Data.root_dir",
        )
    root = Path(join(None, data.root_dir))
    train, warnings = _split(root, "train")
    if (root / "val").is_dir():
        val, more = _split(root, "val")
    elif data.val_hr:
        val, more = _pairs(str(root), data.val_hr, data.val_lr, "Data.val_hr", "Data.val_lr")
    else:
        return Sources(train, (), warnings)
    return Sources(train, val, (*warnings, *more, *_shared(train, val)))


def _split(root: Path, name: str) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    for side in ("LR", "HR"):
        if not (root / name / side).is_dir():
            raise RefusedError(
                f"Data.root_dir: there is no folder {root / name / side}",
                f"LRHRFolderDataset needs {root}/train/LR and {root}/train/HR, and the same under val",
            )
    key = "Data.root_dir"
    return _pairs(
        str(root), (f"{name}/HR",), (f"{name}/LR",), key, key, (*SUFFIXES, *ARRAY_SUFFIXES)
    )


def _pairs(
    base: str | None,
    hr: Sequence[str],
    lr: Sequence[str],
    hr_key: str,
    lr_key: str,
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    hr_files = find_files(base, hr, hr_key, suffixes)
    if not lr:
        return tuple(Pair(path, None, hr_key) for path in hr_files), ()
    pairs, warnings = pair_up(hr_files, find_files(base, lr, lr_key, suffixes), lr_key)
    return tuple(replace(pair, hr_key=hr_key, lr_key=lr_key) for pair in pairs), warnings


def pair_up(
    hr: Sequence[str], lr: Sequence[str], key: str
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pairs by equal file stem; where no stem is shared, by order if the numbers agree.

    Returns:
        The pairs in the order of `hr`, and warnings.

    Raises:
        RefusedError: some stems are shared and others not, stems repeat, or the numbers differ.
    """
    by_stem = {Path(path).stem: path for path in lr}
    shared = by_stem.keys() & {Path(path).stem for path in hr}
    if len(shared) == len(hr) == len(lr):
        return tuple(Pair(path, by_stem[Path(path).stem]) for path in hr), ()
    if shared:
        raise _unpaired(hr, lr, shared, key)
    if len(hr) != len(lr):
        raise RefusedError(
            f"{key}: {len(hr)} HR files but {len(lr)} LR files, and no two have the same name",
            "give LR and HR of a scene the same file name",
        )
    pairs = tuple(Pair(a, b) for a, b in zip(hr, lr, strict=True))
    if len(pairs) == 1:
        return pairs, ()
    example = f"{Path(hr[0]).name} with {Path(lr[0]).name}"
    return pairs, (f"{key}: no file names are equal; LR and HR are paired by order, {example}",)


def _unpaired(hr: Sequence[str], lr: Sequence[str], shared: set[str], key: str) -> RefusedError:
    sides = []
    for side, files in (("HR", hr), ("LR", lr)):
        alone = sorted(path for path in files if Path(path).stem not in shared)
        if alone:
            sides.append(f"{len(alone)} {side} without partner: {_some(alone)}")
    return RefusedError(
        f"{key}: {len(hr)} HR and {len(lr)} LR files, {len(shared)} of them paired by name; "
        f"{'; '.join(sides) or 'files of the same name in several folders'}",
        "give LR and HR of a scene the same file name, one file of that name on each side",
    )


def _shared(train: Sequence[Pair], val: Sequence[Pair]) -> tuple[str, ...]:
    seen = {_one_name(pair.hr) for pair in train}
    both = [pair.hr for pair in val if _one_name(pair.hr) in seen]
    if not both:
        return ()
    return (f"{_some(both)} serves both training and validation: the metrics will be too good",)


def _one_name(path: str) -> str:
    return path if is_address(path) else str(Path(path).resolve())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
