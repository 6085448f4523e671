"""Reading the scene: which bands, which pixels are valid, and the network's input for any box."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from srgan_cli.data.rasters import fill_nearest, image_bands, open_raster, read_pixels, valid_mask
from srgan_cli.errors import RefusedError
from srgan_cli.infer.geometry import Box

Mask = NDArray[np.bool_]
Values = NDArray[np.float32]


@contextmanager
def quiet_rasterio() -> Iterator[None]:
    """No warnings about rasters without georeferencing, and with both nodata and alpha.

    Both are handled. Warning filters belong to the process: enter it before threads start.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.simplefilter("ignore", NodataShadowWarning)
        yield


class Source:
    """A raster open for reading, in one thread at a time, within a `gdal_env`.

    Raises:
        RefusedError: The file is missing, cannot be opened, or holds no measurements.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.dataset = _open(path)
        self.bands: tuple[int, ...] = ()
        self.nodata: float | None = None
        self._given_nodata: float | None = None
        try:
            _refuse_unusable(path, self.dataset)
        except RefusedError:
            self.dataset.close()
            raise
        self.choose(image_bands(self.dataset), None)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dataset.close()

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.dataset.height)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.dataset.width)

    @property
    def dtype(self) -> str:
        """The dtype that holds all chosen bands."""
        return str(np.result_type(*(self.dataset.dtypes[band - 1] for band in self.bands)))

    @property
    def is_float(self) -> bool:
        """Whether values are floating point."""
        return np.dtype(self.dtype).kind == "f"

    def choose(self, bands: Sequence[int], nodata: float | None) -> None:
        """Settle the bands to read, and a nodata value beside what the raster itself says."""
        self.bands = tuple(bands)
        self._given_nodata = nodata
        self.nodata = self._own_nodata() if nodata is None else nodata

    @property
    def has_mask(self) -> bool:
        """Whether validity comes from a mask or an alpha band and not from a value."""
        return self.nodata is None and (self._alpha > 0 or MaskFlags.per_dataset in self._flags)

    @property
    def may_be_invalid(self) -> bool:
        """Whether any pixel can be invalid."""
        return (
            self.nodata is not None
            or self.is_float
            or self._alpha > 0
            or self._flags != {MaskFlags.all_valid}
        )

    @property
    def _flags(self) -> set[MaskFlags]:
        return {flag for band in self.bands for flag in self.dataset.mask_flag_enums[band - 1]}

    @property
    def _alpha(self) -> int:
        """Number of the alpha band that masks the chosen ones, or 0."""
        kinds = self.dataset.colorinterp
        number = kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else 0
        return 0 if number in self.bands else number

    def _own_nodata(self) -> float | None:
        """The first chosen band's nodata value, unless its dtype cannot hold it."""
        band = self.bands[0]
        value = self.dataset.nodatavals[band - 1]
        if value is None or not holds(np.dtype(self.dataset.dtypes[band - 1]), value):
            return None
        return float(value)

    def read(self, box: Box) -> tuple[Values, Mask]:
        """Stored values (bands, rows, cols) as float32 and valid pixels (rows, cols) of a box.

        A pixel is valid when every chosen band is: by its mask, alpha or nodata, and finite.

        Raises:
            RefusedError: The file cannot be decoded there.
        """
        window = Window(box.col, box.row, box.width, box.height)
        values, valid = read_pixels(self.dataset, window, self.bands, self._given_nodata)
        # A nodata value hides the alpha band from GDAL's masks.
        if self._alpha and MaskFlags.alpha not in self._flags:
            valid &= read_pixels(self.dataset, window, [self._alpha])[0][0] != 0
        return values, valid

    def masked_out(self, box: Box) -> bool:
        """Whether a mask tells that no pixel of a box is valid; cheaper than reading them.

        False where only the values could tell.
        """
        if not self.has_mask:
            return False
        window = Window(box.col, box.row, box.width, box.height)
        return not valid_mask(self.dataset, window, self.bands).any()

    def read_filled(self, box: Box, fill_px: int) -> tuple[Values, Mask]:
        """As `read`, with invalid pixels taken from the nearest valid one.

        Valid pixels are looked for up to `fill_px` around the box: with the diagonal of the halo
        as radius every pixel that a valid output pixel depends on is filled the same way however
        the scene is cut.
        """
        wide = box.grown(fill_px if self.may_be_invalid else 0, self.height, self.width)
        values, valid = self.read(wide)
        rows, cols = box.within(wide)
        return fill_nearest(values, valid)[:, rows, cols], valid[rows, cols]


def fill_radius(halo_px: int) -> int:
    """How far `Source.read_filled` must look for a halo: its diagonal."""
    return math.ceil(halo_px * math.sqrt(2))


def holds(kind: np.dtype[Any], value: float) -> bool:
    """Whether a dtype can hold the value."""
    if kind.kind == "f":
        return not math.isfinite(value) or abs(value) <= float(np.finfo(kind).max)
    info = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and info.min <= value <= info.max


def _open(path: str) -> DatasetReader:
    plain = not path.startswith("/vsi") and ":" not in path
    if plain and not Path(path).exists():
        raise RefusedError(f"{path}: no such file", "check the path of INPUT")
    if plain and Path(path).is_dir():
        raise RefusedError(
            f"{path}: a folder, not a raster", "give a file that `gdalinfo` can read"
        )
    return open_raster(path)


def _refuse_unusable(path: str, dataset: DatasetReader) -> None:
    if dataset.count == 0:
        parts = "\n  ".join(dataset.subdatasets) or "(none)"
        raise RefusedError(
            f"{path}: holds no raster itself, only subdatasets:\n  {parts}",
            "give one of them as INPUT",
        )
    # GDAL gives 1-bit images a palette.
    if dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        raise RefusedError(
            f"{path}: a 1-bit image: there is nothing between its two values",
            "give the imagery it was made from",
        )
    if ColorInterp.palette in dataset.colorinterp:
        raise RefusedError(
            f"{path}: a palette image: its values are colour numbers, not measurements",
            "expand it first: gdal_translate -expand rgb INPUT rgb.tif",
        )
    odd = [kind for kind in dataset.dtypes if "complex" in kind]
    if odd:
        raise RefusedError(
            f"{path}: dtype {odd[0]}: the networks work on real numbers",
            "convert it to amplitude or intensity first",
        )
    if not image_bands(dataset):
        raise RefusedError(f"{path}: an alpha band alone", "give a raster with image bands")
