"""Native SR tiles with what they can be compared with, from a run folder or from a raster."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.images import Floats, Tiles, value_range
from srgan_cli.diagnose.log import RunLog

Found = TypeVar("Found")
KEPT: Final = limit.GRID_VALIDATIONS


@dataclass(frozen=True, eq=False)
class Pictures:
    """SR tiles (N, C, H, W), cut at the same places of LR, SR and HR, without invalid pixels."""

    kind: Literal["validations", "raster", "probe"]
    """`probe`: what a generator makes of smooth fields."""
    scale: int
    sr: tuple[Tiles, ...]
    """Of the last validations, oldest first; of a raster the one set."""
    band_range: Floats
    """(C,) ordinary range of the values: 98th minus 2nd percentile of LR, else of SR."""
    lr: Tiles | None = None
    hr: Tiles | None = None
    steps: tuple[int, ...] = ()
    """Of the validations in `sr`."""
    log: RunLog | None = None
    """The run that the tiles are from."""
    history: tuple[Path, ...] = ()
    """Files of all validations, oldest first."""
    chosen: NDArray[np.bool_] | None = None
    """Which tiles of those files these are."""
    places: NDArray[np.intp] | None = None
    """(N, 2) row and column of each tile, where all are from one image."""
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def last(self) -> Tiles:
        """The newest SR tiles."""
        return self.sr[-1]

    @property
    def phase(self) -> Literal["run", "image"]:
        """For findings."""
        return "run" if self.kind == "validations" else "image"

    @property
    def window(self) -> tuple[int, int]:
        """First and last step of the validations."""
        return (self.steps[0], self.steps[-1]) if self.steps else (0, 0)

    def remember(self, key: str, compute: Callable[[Pictures], Found]) -> Found:
        """The result of `compute(self)`, computed once."""
        if key not in self._cache:
            self._cache[key] = compute(self)
        found: Found = self._cache[key]
        return found


def pictures_of(log: RunLog) -> Pictures | str:
    """The validation tiles of a run, or the reason why there are none."""
    result: Pictures | str = log.remember("pictures", _load_run)
    return result


def _load_run(log: RunLog) -> Pictures | str:
    if log.tiles is None:
        return "the run has no tiles/ folder with native validation tiles"
    files = sorted(log.tiles.glob("step_*.npz"), key=step_of)
    if not files:
        return "no validation tiles have been written yet"
    try:
        lr, hr, usable = _reference(log.tiles / "reference.npz")
        stacks = [load_tiles(file) for file in files[-KEPT:]]
    except UnusableError as err:
        return str(err)
    if any(stack.shape != hr.shape for stack in stacks):
        return f"the SR tiles {stacks[-1].shape} do not match the HR tiles {hr.shape}"
    for stack in (*stacks, hr):
        usable = usable & np.isfinite(stack).all(axis=(1, 2, 3))
    if not usable.any():
        return "every tile holds invalid pixels"
    return Pictures(
        kind="validations",
        scale=hr.shape[2] // lr.shape[2],
        sr=tuple(stack[usable] for stack in stacks),
        band_range=value_range(lr[usable]),
        lr=lr[usable],
        hr=hr[usable],
        steps=tuple(step_of(file) for file in files[-KEPT:]),
        log=log,
        history=tuple(files),
        chosen=usable,
    )


class UnusableError(Exception):
    """Why tiles cannot be read."""


def step_of(path: Path) -> int:
    """The step in the name of a file of tiles; -1 without one."""
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdigit() else -1


def load_tiles(path: Path, key: str = "sr") -> Tiles:
    """(N, C, H, W) of one array in a file of tiles.

    Raises:
        UnusableError: It cannot be read, or is no such array.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            array = np.asarray(archive[key])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as err:
        raise UnusableError(f"tiles/{path.name} cannot be read: {err}") from err
    if array.ndim != 4 or not len(array):
        raise UnusableError(
            f"tiles/{path.name}: {key} has the shape {array.shape}, not (N, C, H, W)"
        )
    return array


def _reference(path: Path) -> tuple[Tiles, Tiles, NDArray[np.bool_]]:
    """LR, HR and which tiles are valid throughout."""
    if not path.is_file():
        raise UnusableError("tiles/reference.npz (LR and HR of the tiles) is missing")
    lr, hr, valid = load_tiles(path, "lr"), load_tiles(path, "hr"), load_tiles(path, "valid")
    return lr, hr, np.asarray(valid.astype(bool).all(axis=(1, 2, 3)))
