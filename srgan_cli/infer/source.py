"""Reading the scene: which bands, which pixels are valid, and the network's input for any box."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

from srgan_cli.data.facts import BandFacts, band_facts
from srgan_cli.data.rasters import fill_nearest, image_bands, read_pixels, valid_mask
from srgan_cli.errors import RefusedError
from srgan_cli.infer.area import chosen_area
from srgan_cli.infer.checksums import BlockChecksums
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.products import Wanted, open_input

_FLOAT64_EXACT = 2**53
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
    """A raster, or a part of it, open for reading, in one thread at a time, within a `gdal_env`.

    Rows and columns count from the corner of the part. What lies around it can be seen too: boxes
    may reach out of the part as far as `scene` does.

    Raises:
        RefusedError: The file is missing, cannot be opened, or holds no measurements, or the part
            that the options ask for is not in it.
    """

    def __init__(
        self, path: str, wanted: Wanted | None = None, options: InferOptions | None = None
    ) -> None:
        self.path = path
        self.dataset, self.product_offsets = open_input(path, wanted or Wanted())
        self.bands: tuple[int, ...] = ()
        self.nodata: float | None = None
        self._given_nodata: float | None = None
        try:
            _refuse_unusable(path, self.dataset)
            self.area, self._polygons = chosen_area(self.dataset, options or InferOptions())
        except RefusedError:
            self.dataset.close()
            raise
        self._checksums = BlockChecksums(self.dataset)
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
        """Rows of the part."""
        return self.area.height

    @property
    def width(self) -> int:
        """Columns of the part."""
        return self.area.width

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the scene where the part begins."""
        return self.area.row, self.area.col

    @property
    def part(self) -> dict[str, Any]:
        """Which part it is, in plain values: what an output of another part must not be taken for."""
        area = self.area
        outline = None if self._polygons is None else self._polygons.checksum
        return {"window": [area.col, area.row, area.width, area.height], "polygons": outline}

    @property
    def scene(self) -> Box:
        """All that can be seen, from the corner of the part."""
        whole = Box(0, 0, int(self.dataset.height), int(self.dataset.width))
        return whole.moved(-self.area.row, -self.area.col)

    @property
    def is_whole(self) -> bool:
        """Whether the part has all rows and columns of the scene."""
        return self.area == Box(0, 0, int(self.dataset.height), int(self.dataset.width))

    def whole(self) -> Source:
        """All of the scene, on the same dataset."""
        other = copy.copy(self)
        other.area = Box(0, 0, int(self.dataset.height), int(self.dataset.width))
        other._polygons = None
        return other

    @property
    def dtype(self) -> str:
        """The dtype that holds all chosen bands."""
        return str(np.result_type(*{self._facts.dtypes[band - 1] for band in self.bands}))

    @property
    def is_float(self) -> bool:
        """Whether values are floating point."""
        return np.dtype(self.dtype).kind == "f"

    def choose(self, bands: Sequence[int], nodata: float | None) -> None:
        """Settle the bands to read, and a nodata value beside what the raster itself says."""
        self.bands = tuple(bands)
        if nodata is not None and self.dtype == "float32" and holds(np.dtype("float32"), nodata):
            # As the pixels have it: 0.1, or -3.4028235e38, is another number in float64.
            nodata = float(np.float32(nodata))
        self.nodata = self._own_nodata() if nodata is None else nodata
        # Of a mask and a nodata value GDAL looks at the mask alone.
        both = nodata is None and MaskFlags.per_dataset in self._flags and not self._alpha
        self._given_nodata = self.nodata if both else nodata

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
            or self._has_own_masks
            or self._flags != {MaskFlags.all_valid}
        )

    @property
    def marks_without_value(self) -> bool:
        """Whether the raster has a way to mark pixels that gives no nodata value.

        Masks of single bands, or a value of 64 bits that no float64 is equal to.
        """
        wide = any(np.dtype(self._facts.dtypes[band - 1]).itemsize == 8 for band in self.bands)
        hidden = MaskFlags.nodata in self._flags and wide
        return self.nodata is None and (hidden or self._has_own_masks)

    @property
    def is_cut_out(self) -> bool:
        """Whether polygons make pixels invalid that the raster itself calls valid."""
        return self._polygons is not None

    @property
    def _facts(self) -> BandFacts:
        return band_facts(self.dataset)

    @property
    def _flags(self) -> set[MaskFlags]:
        return {flag for band in self.bands for flag in self._facts.mask_flags[band - 1]}

    @property
    def _has_own_masks(self) -> bool:
        """Whether a band has a mask that the others do not share, for which GDAL has no flag."""
        return any(not self._facts.mask_flags[band - 1] for band in self.bands)

    @property
    def _alpha(self) -> int:
        """Number of the alpha band that masks the chosen ones, or 0."""
        kinds = self._facts.colours
        number = kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else 0
        return 0 if number in self.bands else number

    @property
    def _marks_by_all_bands(self) -> bool:
        """Whether a pixel is invalid only where every band has its nodata value (`NODATA_VALUES`).

        GDAL makes a mask of that; no nodata value of a band says it.
        """
        together = {MaskFlags.per_dataset, MaskFlags.nodata}
        return any(together <= set(self._facts.mask_flags[band - 1]) for band in self.bands)

    def _own_nodata(self) -> float | None:
        """The nodata value of the first chosen band that has one which its dtype can hold."""
        if self._marks_by_all_bands:
            return None
        for band in self.bands:
            value = self._facts.nodata[band - 1]
            if value is not None and holds(np.dtype(self._facts.dtypes[band - 1]), value):
                return float(value)
        return None

    def read(self, box: Box) -> tuple[Values, Mask]:
        """Stored values (bands, rows, cols) as float32 and valid pixels (rows, cols) of a box.

        A pixel is valid when every chosen band is: by its mask, alpha or nodata, and finite.
        Polygons do not count here: the network sees what lies around them.

        Raises:
            RefusedError: The file cannot be decoded there.
        """
        window = self._window(box)
        self._checksums.refuse_damage(window, self.bands)
        values, valid = read_pixels(self.dataset, window, self.bands, self._given_nodata)
        # A nodata value hides the alpha band from GDAL's masks.
        if self._alpha and MaskFlags.alpha not in self._flags:
            valid &= read_pixels(self.dataset, window, [self._alpha])[0][0] != 0
        return values, valid

    def masked_out(self, box: Box) -> bool:
        """Whether a mask or polygons tell that no pixel of a box is valid; cheaper than reading them.

        False where only the values could tell.
        """
        if not self.cut_out(np.ones((box.height, box.width), dtype=bool), box).any():
            return True
        return self.has_mask and not valid_mask(self.dataset, self._window(box), self.bands).any()

    def _window(self, box: Box) -> Window:
        """Of the dataset, for a box that counts from the corner of the part."""
        return Window(box.col + self.area.col, box.row + self.area.row, box.width, box.height)

    def cut_out(self, valid: Mask, box: Box) -> Mask:
        """Of the valid pixels (rows, cols) of a box, those inside of the polygons if there are any."""
        if self._polygons is None:
            return valid
        return valid & self._polygons.mask(box.moved(*self.origin))

    def read_filled(self, box: Box, fill_px: int) -> tuple[Values, Mask]:
        """As `read`, with invalid pixels taken from the nearest valid one, and polygons cut out.

        Valid pixels are looked for up to `fill_px` around the box: with the diagonal of the halo
        as radius every pixel that a valid output pixel depends on is filled the same way however
        the scene is cut.
        """
        wide = box.grown_within(fill_px if self.may_be_invalid else 0, self.scene)
        values, valid = self.read(wide)
        rows, cols = box.within(wide)
        filled: Values = fill_nearest(values, valid)[:, rows, cols]
        return filled, self.cut_out(valid[rows, cols], box)


def fill_radius(halo_px: int) -> int:
    """How far `Source.read_filled` must look for a halo: its diagonal."""
    return math.ceil(halo_px * math.sqrt(2))


def holds(kind: np.dtype[Any], value: float) -> bool:
    """Whether a dtype can hold the value; of integers no more than float64, in which GDAL has it."""
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return not math.isfinite(value) or bool(np.isfinite(kind.type(value)))
    info = np.iinfo(kind)
    low, high = max(info.min, -_FLOAT64_EXACT), min(info.max, _FLOAT64_EXACT)
    return math.isfinite(value) and value == int(value) and low <= value <= high


def _refuse_unusable(path: str, dataset: DatasetReader) -> None:
    if dataset.count == 0:
        parts = "\n  ".join(dataset.subdatasets) or "(none)"
        raise RefusedError(
            f"{path}: holds no raster itself, only subdatasets:\n  {parts}",
            "give one of them as INPUT",
        )
    if dataset.width < 1 or dataset.height < 1:
        raise RefusedError(
            f"{path}: {dataset.width} x {dataset.height} pixels: not a grid that GDAL can read",
            "convert it with the tools of its format, or give another file",
        )
    # GDAL gives 1-bit images a palette.
    if dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        raise RefusedError(
            f"{path}: a 1-bit image: there is nothing between its two values",
            "give the imagery it was made from",
        )
    if ColorInterp.palette in band_facts(dataset).colours:
        raise RefusedError(
            f"{path}: a palette image: its values are colour numbers, not measurements",
            "expand it first: gdal_translate -expand rgb INPUT rgb.tif",
        )
    odd = [kind for kind in band_facts(dataset).dtypes if "complex" in kind]
    if odd:
        raise RefusedError(
            f"{path}: dtype {odd[0]}: the networks work on real numbers",
            "convert it to amplitude or intensity first",
        )
    if not image_bands(dataset):
        raise RefusedError(f"{path}: an alpha band alone", "give a raster with image bands")
