"""From `Data` to pairs of files; nothing is opened here."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from srgan_cli.config.data import DataConfig

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")


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
    if data.dataset_type == "GeoTIFF":
        return _listed_files(data)
    if data.dataset_type == "LRHRFolderDataset":
        return _folders(data)
    raise RefusedError(
        f"Data.dataset_type: this version does not read {data.dataset_type}",
        "export its pairs as GeoTIFFs to ROOT/train/LR, ROOT/train/HR, ROOT/val/LR and ROOT/val/HR, "
        "then set Data.dataset_type: LRHRFolderDataset and Data.root_dir: ROOT",
    )


def _listed_files(data: DataConfig) -> Sources:
    if not data.hr:
        raise RefusedError(
            "Data.hr: no imagery given",
            "list GeoTIFFs or folders, for example Data.hr: [scenes]; `srgan synth scenes` makes some",
        )
    base = Path(data.root_dir) if data.root_dir else Path()
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


def _folders(data: DataConfig) -> Sources:
    if not data.root_dir:
        raise RefusedError(
            "Data.root_dir: LRHRFolderDataset needs the folder that holds train/LR and train/HR",
            "set Data.root_dir",
        )
    root = Path(data.root_dir)
    train, warnings = _split(root, "train")
    if (root / "val").is_dir():
        val, more = _split(root, "val")
    elif data.val_hr:
        val, more = _pairs(root, data.val_hr, data.val_lr, "Data.val_hr", "Data.val_lr")
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
    return _pairs(root, (f"{name}/HR",), (f"{name}/LR",), "Data.root_dir", "Data.root_dir")


def _pairs(
    base: Path, hr: Sequence[str], lr: Sequence[str], hr_key: str, lr_key: str
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    hr_files = find_files(base, hr, hr_key)
    if not lr:
        return tuple(Pair(str(path), None, hr_key) for path in hr_files), ()
    pairs, warnings = pair_up(hr_files, find_files(base, lr, lr_key), lr_key)
    return tuple(replace(pair, hr_key=hr_key, lr_key=lr_key) for pair in pairs), warnings


def pair_up(
    hr: Sequence[Path], lr: Sequence[Path], key: str
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pairs by equal file stem; where no stem is shared, by order if the numbers agree.

    Returns:
        The pairs in the order of `hr`, and warnings.

    Raises:
        RefusedError: some stems are shared and others not, stems repeat, or the numbers differ.
    """
    by_stem = {path.stem: path for path in lr}
    shared = by_stem.keys() & {path.stem for path in hr}
    if len(shared) == len(hr) == len(lr):
        return tuple(Pair(str(path), str(by_stem[path.stem])) for path in hr), ()
    if shared:
        others = by_stem if len(lr) > len(hr) else {path.stem: path for path in hr}
        alone = [str(path) for stem, path in sorted(others.items()) if stem not in shared]
        raise RefusedError(
            f"{key}: {len(hr)} HR and {len(lr)} LR files, {len(shared)} of them paired by name; "
            f"without partner: {_some(alone) or 'files of the same name in several folders'}",
            "give LR and HR of a scene the same file name, one file of that name on each side",
        )
    if len(hr) != len(lr):
        raise RefusedError(
            f"{key}: {len(hr)} HR files but {len(lr)} LR files, and no two have the same name",
            "give LR and HR of a scene the same file name",
        )
    pairs = tuple(Pair(str(a), str(b)) for a, b in zip(hr, lr, strict=True))
    if len(pairs) == 1:
        return pairs, ()
    example = f"{hr[0].name} with {lr[0].name}"
    return pairs, (f"{key}: no file names are equal; LR and HR are paired by order, {example}",)


def find_files(base: Path, given: Sequence[str], key: str) -> list[Path]:
    """Rasters that files, folders and glob patterns stand for, without repetitions.

    A folder is searched for the suffixes of `SUFFIXES` in either case, its subfolders only where
    it holds none itself. Each entry's files are sorted; entries keep their order.

    Raises:
        RefusedError: an entry stands for nothing.
    """
    found: dict[Path, Path] = {}
    for entry in given:
        for path in _expand(base / Path(entry).expanduser(), key):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _expand(path: Path, key: str) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        return _search(path, key)
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    rasters = [match for match in matches if match.is_file() and _is_raster(match)]
    if rasters:
        return rasters
    if matches:
        raise RefusedError(f"{key}: {path} matches {_kinds(matches)}", _readable())
    raise RefusedError(
        f"{key}: there is no {path}"
        if path.is_absolute()
        else f"{key}: there is no {path} in {Path.cwd()}",
        "relative paths start from Data.root_dir, or from the current folder without it",
    )


def _search(folder: Path, key: str) -> list[Path]:
    for pattern in ("*", "**/*"):
        rasters = sorted(path for path in folder.glob(pattern) if _is_raster(path))
        if rasters:
            return rasters
    files = [path for path in folder.rglob("*") if path.is_file()]
    raise RefusedError(f"{key}: {folder} holds {_kinds(files)}", _readable())


def _is_raster(path: Path) -> bool:
    # Names with a leading dot are files being written, or what macOS leaves on foreign disks.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _kinds(files: Sequence[Path]) -> str:
    counts = Counter(path.suffix.lower() or path.name for path in files)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(4))
    return f"no raster that this version reads, only {listed}" if listed else "no files"


def _readable() -> str:
    return (
        f"this version reads {', '.join(SUFFIXES)}; gdal_translate makes GeoTIFFs of other formats"
    )


def _shared(train: Sequence[Pair], val: Sequence[Pair]) -> tuple[str, ...]:
    seen = {Path(pair.hr).resolve() for pair in train}
    both = [pair.hr for pair in val if Path(pair.hr).resolve() in seen]
    if not both:
        return ()
    return (f"{_some(both)} serves both training and validation: the metrics will be too good",)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
