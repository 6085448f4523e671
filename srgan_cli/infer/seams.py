"""Are tiles visible: the gradient across their borders against the gradient beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.infer.geometry import Box

_SAMPLES = 1024
"""Along every border, whatever the scene's size."""
_BESIDE_PX = 16
"""LR pixels between a border and the lines that it is compared with: near, and in the same phase of
JPEG's blocks, whose own edges borders would else be blamed for."""
_FRACTION_BITS = 40

Array = NDArray[np.float32]


@dataclass
class _Seen:
    """What one tile shows of borders along one side."""

    lines: list[tuple[int, int, int, Array]] = field(default_factory=list)
    """Side of the border, border, first sample, and the line."""
    beside: int = 0
    num_beside: int = 0


Lines = tuple[_Seen, _Seen]
"""What one tile shows of horizontal and vertical borders."""


class Seams:
    """Gathers gradients across borders of tiles and beside them; tiles may come in any order.

    Both are taken between LR pixels, where upsampling makes its own steps, so that the index is 1
    for a network with a visible pixel grid too.
    """

    def __init__(self, num_bands: int, scale: int, size: tuple[int, int]) -> None:
        """Begin with nothing; `size` is the number of rows and columns of the LR area."""
        self._scale = scale
        height, width = size
        self._axes = (
            _Borders(num_bands, scale, height, width),
            _Borders(num_bands, scale, width, height),
        )

    def look(self, core: Box, sr: Array, valid: NDArray[np.bool_]) -> Lines:
        """What the SR (C, h * scale, w * scale) of a tile's core and its valid LR pixels (h, w) add."""
        return (
            self._axes[0].look(core.row, core.col, sr, valid),
            self._axes[1].look(core.col, core.row, sr.transpose(0, 2, 1), valid.T),
        )

    def note(self, lines: Lines) -> None:
        """Take in what was seen of a tile."""
        for axis, seen in zip(self._axes, lines, strict=True):
            axis.note(seen)

    def index(self) -> float | None:
        """Mean gradient across borders over mean gradient beside them; None without borders."""
        borders = [axis.gradients() for axis in self._axes]
        across, num_across = (sum(each[i] for each in borders) for i in (0, 1))
        beside = sum(axis.beside for axis in self._axes)
        num_beside = sum(axis.num_beside for axis in self._axes)
        if not num_across or not num_beside or not beside:
            return None
        return float(across / num_across / (beside / 2**_FRACTION_BITS / num_beside))

    def as_dict(self) -> dict[str, Any]:
        """Everything gathered so far, in plain numbers for JSON."""
        rows, columns = (axis.as_dict() for axis in self._axes)
        return {"rows": rows, "columns": columns}

    def merge(self, other: Mapping[str, Any]) -> None:
        """Add what another instance for the same scene gathered."""
        for axis, name in zip(self._axes, ("rows", "columns"), strict=True):
            axis.merge(other[name])


class _Borders:
    """Horizontal borders, in rows; vertical ones are seen transposed."""

    def __init__(self, num_bands: int, scale: int, length: int, width: int) -> None:
        self._num_bands, self._scale, self._length = num_bands, scale, length
        self._step = max(width * scale // _SAMPLES, 1)
        self._num = math.ceil(width * scale / self._step)
        self._sides: tuple[dict[int, Array], dict[int, Array]] = ({}, {})
        """Border -> the lines above and below it (C, samples), NaN where nothing was seen."""
        self.beside, self.num_beside = 0, 0

    def look(self, row: int, col: int, sr: Array, valid: NDArray[np.bool_]) -> _Seen:
        seen = _Seen()
        height = valid.shape[0]
        beside = min(_BESIDE_PX, height // 2)
        # The first sample at or after the tile's first column.
        first = math.ceil(col * self._scale / self._step)
        taken = slice(first * self._step - col * self._scale, None, self._step)
        if row > 0:
            seen.lines.append((1, row, first, self._line(sr, valid, 0, taken)))
            self._compare(seen, sr, valid, beside, taken)
        if row + height < self._length:
            last = self._line(sr, valid, height * self._scale - 1, taken)
            seen.lines.append((0, row + height, first, last))
            self._compare(seen, sr, valid, height - beside, taken)
        return seen

    def note(self, seen: _Seen) -> None:
        for side, border, first, line in seen.lines:
            self._keep(side, border, first, line)
        self.beside += seen.beside
        self.num_beside += seen.num_beside

    def _line(self, sr: Array, valid: NDArray[np.bool_], row: int, taken: slice) -> Array:
        line = np.array(sr[:, row, taken], dtype=np.float32)
        seen = valid[row // self._scale].repeat(self._scale)[taken]
        line[:, ~seen] = np.nan
        return line

    def _keep(self, side: int, border: int, first: int, line: Array) -> None:
        lines = self._sides[side]
        if border not in lines:
            lines[border] = np.full((self._num_bands, self._num), np.nan, dtype=np.float32)
        lines[border][:, first : first + line.shape[1]] = line

    def _compare(
        self, seen: _Seen, sr: Array, valid: NDArray[np.bool_], at: int, taken: slice
    ) -> None:
        """The gradient across the LR row that begins at `at`."""
        if not 0 < at < valid.shape[0]:
            return
        below = at * self._scale
        upper = self._line(sr, valid, below - 1, taken)
        total, count = _gradient(upper, self._line(sr, valid, below, taken))
        seen.beside += math.floor(math.ldexp(total, _FRACTION_BITS))
        seen.num_beside += count

    def gradients(self) -> tuple[float, int]:
        """Sum and number of the gradients across borders of which both sides were seen."""
        above, below = self._sides
        both = [
            _gradient(above[border], below[border])
            for border in sorted(above.keys() & below.keys())
        ]
        return sum(total for total, _ in both), sum(count for _, count in both)

    def as_dict(self) -> dict[str, Any]:
        return {
            "beside": self.beside,
            "num_beside": self.num_beside,
            "sides": [_packed(lines) for lines in self._sides],
        }

    def merge(self, other: Mapping[str, Any]) -> None:
        self.beside += other["beside"]
        self.num_beside += other["num_beside"]
        for side, packed in enumerate(other["sides"]):
            for border, first, bits in packed:
                line = np.array(bits, dtype=np.uint32).view(np.float32)
                line = line.reshape(self._num_bands, -1)
                lines = self._sides[side]
                if border not in lines:
                    self._keep(side, border, first, line)
                    continue
                old = lines[border][:, first : first + line.shape[1]]
                old[~np.isnan(line)] = line[~np.isnan(line)]


def _packed(lines: Mapping[int, Array]) -> list[Any]:
    """Border, first sample, and the bits of the samples that were seen, as integers."""
    packed = []
    for border in sorted(lines):
        seen = np.flatnonzero(~np.isnan(lines[border]).all(axis=0))
        if seen.size:
            part = lines[border][:, seen[0] : seen[-1] + 1]
            bits = np.ascontiguousarray(part).view(np.uint32).ravel().tolist()
            packed.append([border, int(seen[0]), bits])
    return packed


def _gradient(upper: Array, lower: Array) -> tuple[float, int]:
    difference = np.abs(upper.astype(np.float64) - lower)
    seen = ~np.isnan(difference)
    return float(difference[seen].sum()), int(seen.sum())
