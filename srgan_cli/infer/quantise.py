"""Network output -> stored values: rounded, clipped to the dtype, nodata put back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.data.radiometry import Radiometry

_CHUNK_NUMBERS = 2**16
"""So many at a time stay in the processor's cache through all steps of rounding."""


@dataclass(frozen=True)
class Quantiser:
    """How predictions are stored."""

    dtype: str
    radiometry: Radiometry
    scale: int
    nodata: float | None
    """Written to invalid pixels; without it they get NaN in floats and 0 in integers."""

    @property
    def is_integer(self) -> bool:
        """Whether values are rounded."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def fill(self) -> Any:
        """The value of invalid pixels, in the output's dtype."""
        if self.nodata is not None:
            # GDAL hands out nodata as float64; near the float32 limit the cast may overflow.
            return np.dtype(self.dtype).type(self.nodata)
        return np.dtype(self.dtype).type(0 if self.is_integer else math.nan)

    def stored(self, sr: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Values (C, h * scale, w * scale) as they are written.

        Args:
            sr: (C, h * scale, w * scale), network units.
            valid: (h, w), LR pixels; enlarged by nearest neighbour.
        """
        values = np.empty(sr.shape, dtype=self.dtype)
        rows = max(_CHUNK_NUMBERS // (sr.shape[0] * sr.shape[2]), 1)
        for row in range(0, sr.shape[1], rows):
            part = slice(row, row + rows)
            values[:, part] = self._in_dtype(sr[:, part])
        return self.marked(values, valid)

    def marked(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Rounded values (C, h * scale, w * scale), changed in place where they must tell the invalid ones.

        Afterwards all pixels that are not `valid` (h, w) have their value, and no other has it.
        """
        fill = self.fill
        if self.nodata is not None and not math.isnan(self.nodata):
            values[values == fill] = _neighbour(fill)
        if not valid.all():
            values[:, ~enlarged(valid, self.scale)] = fill
        return values

    def _in_dtype(self, sr: NDArray[np.float32]) -> NDArray[Any]:
        kind = np.dtype(self.dtype)
        # float32 counts to 2**24: enough for 16 bits, not for wider types.
        exact = np.float32 if kind.itemsize <= 2 or self.dtype == "float32" else np.float64
        with np.errstate(over="ignore"):
            values = np.asarray(self.radiometry.to_stored(sr.astype(exact)))
        if not self.is_integer:
            return values.astype(kind, copy=False)
        np.rint(values, out=values)
        info = np.iinfo(kind)
        # The limits of 64-bit types are no float64; their neighbours towards 0 are.
        low = exact(info.min)
        high = exact(info.max)
        if int(high) > info.max:
            high = np.nextafter(high, exact(0))
        clipped: NDArray[Any] = np.clip(values, low, high).astype(kind)
        return clipped


def enlarged(valid: NDArray[np.bool_], scale: int) -> NDArray[np.bool_]:
    """An LR mask on the output's grid."""
    return valid.repeat(scale, axis=0).repeat(scale, axis=1)


def _neighbour(value: Any) -> Any:
    """The next value of the same dtype: upwards, or downwards at the upper end."""
    kind = value.dtype
    if kind.kind == "f":
        return np.nextafter(value, kind.type(math.inf if value < np.finfo(kind).max else 0))
    return kind.type(int(value) + (1 if value < np.iinfo(kind).max else -1))
