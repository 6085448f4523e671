"""Arrays that answer like an open raster: npy and npz files, and images held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.transform import Affine
from rasterio.windows import Window

from srgan_cli.data.rasters import UnreadableError
from srgan_cli.errors import RefusedError

SUFFIXES = (".npy", ".npz")


class ArrayDataset:
    """The part of rasterio's DatasetReader that reading crops needs, over an array (bands, H, W)."""

    def __init__(
        self,
        name: str,
        pixels: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        scales: Sequence[float] = (),
        offsets: Sequence[float] = (),
        band_numbers: Sequence[int] = (),
    ) -> None:
        """`band_numbers`: what the bands of `pixels` are called; counted from 1 by default."""
        self.name = name
        num_bands, self.height, self.width = pixels.shape
        self._numbers = tuple(band_numbers) or tuple(range(1, num_bands + 1))
        self.count = max(self._numbers, default=0)
        self.shape = (self.height, self.width)
        self.dtypes = (pixels.dtype.name,) * self.count
        self.colorinterp = (ColorInterp.undefined,) * self.count
        flag = MaskFlags.all_valid if mask is None else MaskFlags.per_dataset
        self.mask_flag_enums = ([flag],) * self.count
        self.block_shapes = ((1, 1),) * self.count
        self.nodata = None
        self.nodatavals = (None,) * self.count
        self.crs = None
        self.transform = Affine.identity()
        self.scales = tuple(scales) or (1.0,) * self.count
        self.offsets = tuple(offsets) or (0.0,) * self.count
        self.descriptions = (None,) * self.count
        self.closed = False
        self._pixels = pixels
        self._mask = mask

    def read(
        self,
        indexes: Sequence[int] | int,
        window: Window | None = None,
        out_shape: Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Values of bands counted from 1, decimated by nearest neighbour to `out_shape`."""
        rows, cols = self._places(window, out_shape)
        if isinstance(indexes, int):
            return np.array(self._pixels[self._numbers.index(indexes)][rows][..., cols])
        first = [self._numbers.index(index) for index in indexes]
        # Adjacent bands are a view; a list of indices would read the rows of all bands twice.
        chosen = (
            self._pixels[first[0] : first[-1] + 1]
            if first == list(range(first[0], first[-1] + 1))
            else self._pixels[first]
        )
        return np.array(chosen[:, rows][..., cols])

    def read_masks(
        self,
        indexes: Sequence[int],
        window: Window | None = None,
        out_shape: Sequence[int] | None = None,
    ) -> NDArray[np.uint8]:
        """255 where valid, else 0; the same for each of the bands."""
        rows, cols = self._places(window, out_shape)
        if self._mask is None:
            height, width = len(range(self.height)[rows]), len(range(self.width)[cols])
            return np.full((len(indexes), height, width), 255, np.uint8)
        valid = self._mask[rows][..., cols].astype(np.uint8) * np.uint8(255)
        return np.repeat(valid[None], len(indexes), axis=0)

    def overviews(self, _: int) -> list[int]:
        """None."""
        return []

    def close(self) -> None:
        """Let go of the array, and with it of a mapped file."""
        self.closed = True
        # Not a slice, which would keep the map.
        self._pixels = np.empty((0, 0, 0), self._pixels.dtype)

    def __enter__(self) -> ArrayDataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _places(self, window: Window | None, out_shape: Sequence[int] | None) -> tuple[Any, Any]:
        """Row and column indices of a window: slices, or where decimated the sampled indices."""
        top, left, height, width = 0, 0, self.height, self.width
        if window is not None:
            top, left = int(window.row_off), int(window.col_off)
            height, width = int(window.height), int(window.width)
        if out_shape is None:
            return slice(top, top + height), slice(left, left + width)
        out_height, out_width = out_shape[-2:]
        rows = top + ((np.arange(out_height) + 0.5) * height / out_height).astype(np.int64)
        cols = left + ((np.arange(out_width) + 0.5) * width / out_width).astype(np.int64)
        return rows, cols


def open_array(path: str, num_bands: int, npz_key: str | None = None) -> ArrayDataset:
    """A npy file (mapped, not loaded) or one array of a npz file.

    Args:
        path: The file.
        num_bands: `Model.in_bands`; says which axis holds the bands.
        npz_key: Array of a npz file to prefer; where it is missing, and without it, the first one
            counts. That is OpenSR-SRGAN's rule: `hr` in its example set, the first elsewhere.

    Raises:
        UnreadableError: The file is damaged or is none.
        RefusedError: It holds something else than one image of `num_bands` bands.
    """
    try:
        array = _load(path, npz_key)
    except Exception as err:  # numpy trips over damage in a dozen ways, SyntaxError among them
        reason = " ".join(str(err).split()) or type(err).__name__
        if "pickle" in reason or "object" in reason.lower():
            reason = "it is no array of numbers"
        raise UnreadableError(
            path,
            f"cannot open {path}: {reason}",
            f"give a file that numpy.load reads, written by numpy.save{'z' if path.endswith('z') else ''}",
        ) from err
    if array.dtype.kind not in "buif":
        raise RefusedError(
            f"{path} holds {array.dtype}, not numbers of one band each",
            "save integers or floating-point numbers",
        )
    return ArrayDataset(path, bands_first(array, num_bands, path))


def bands_first(array: NDArray[Any], num_bands: int, path: str) -> NDArray[Any]:
    """A view (bands, H, W) of an image stored as HWC, CHW or, with one band, HW.

    The band axis is the one whose length is `num_bands`. Sizes are never guessed from.

    Raises:
        RefusedError: No axis fits, or both do.
    """
    shape = "x".join(map(str, array.shape))
    if array.ndim == 2:
        if num_bands == 1:
            return array[None]
        raise RefusedError(
            f"{path} is {shape}: a single band, but Model.in_bands is {num_bands}",
            "set Model.in_bands: 1",
        )
    if array.ndim != 3:
        raise RefusedError(
            f"{path} is {shape}: {array.ndim} axes, but an image has three",
            "save one image per file, as (rows, columns, bands) or (bands, rows, columns)",
        )
    first, last = array.shape[0] == num_bands, array.shape[2] == num_bands
    if first and last:
        raise RefusedError(
            f"{path} is {shape}: its first and its last axis both have Model.in_bands {num_bands}, "
            "so the bands could be either",
            "save it as a GeoTIFF, or with other rows and columns",
        )
    if not first and not last:
        raise RefusedError(
            f"{path} is {shape}: neither its first nor its last axis has Model.in_bands {num_bands}",
            f"set Model.in_bands: {min(array.shape[0], array.shape[2])} if it holds so many bands, "
            "or save the wanted bands alone",
        )
    return array if first else array.transpose(2, 0, 1)


def _load(path: str, npz_key: str | None) -> NDArray[Any]:
    if Path(path).suffix.lower() == ".npy":
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    # numpy leaves a file open that it finds damaged.
    with open(path, "rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it is no npz archive")  # noqa: TRY004  # told like any other damage
        if not arrays.files:
            raise ValueError("it holds no array")
        key = npz_key if npz_key in arrays.files else arrays.files[0]
        member = arrays[key]
        # Other members than arrays come as bytes.
        if not isinstance(member, np.ndarray):
            raise ValueError(f"{key} is no array")  # noqa: TRY004  # as above
        return member
