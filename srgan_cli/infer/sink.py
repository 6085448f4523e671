"""The file that is written first: a GeoTIFF with everything in it, filled from top to bottom, verified."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from srgan_cli.data.rasters import reason
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.layout import Layout
from srgan_cli.infer.metadata import copy_metadata, georeferencing, photometric
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.source import Source

_CACHE_BYTES = 64 * 2**20
_SAMPLES = 16
_SAMPLE_PX = 512


def writing_env() -> Any:
    """The GDAL settings for writing; rasterio counts the cache in bytes."""
    return rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK=True)


@dataclass(frozen=True)
class OutputShape:
    """Size and type of the output."""

    bands: int
    height: int
    width: int
    dtype: str
    mask: bool

    @property
    def raw_bytes(self) -> int:
        """Uncompressed."""
        return self.bands * self.height * self.width * int(np.dtype(self.dtype).itemsize)


class Samples:
    """Checksums of the corners of up to 16 windows, evenly spread however many there will be."""

    def __init__(self) -> None:
        self._crcs: list[tuple[Box, int]] = []
        self._every = 1
        self._seen = 0

    def remember(self, box: Box, values: NDArray[Any]) -> None:
        """Note a window that was written."""
        if self._seen % self._every == 0:
            corner = Box(box.row, box.col, min(box.height, _SAMPLE_PX), min(box.width, _SAMPLE_PX))
            rows, cols = corner.within(box)
            self._crcs.append((corner, _crc(values[:, rows, cols])))
            if len(self._crcs) > _SAMPLES:
                self._crcs = self._crcs[::2]
                self._every *= 2
        self._seen += 1

    def compare(self, written: Any, path: Path) -> None:
        """Read the windows from an open dataset again.

        Raises:
            SrganError: They are not what was written.
        """
        for box, crc in self._crcs:
            values = written.read(window=Window(box.col, box.row, box.width, box.height))
            if _crc(values) != crc:
                raise SrganError(
                    f"{path}: verification found other pixels than were written at "
                    f"row {box.row}, column {box.col}",
                    "check the disk; the output was removed",
                )


class Sink:
    """The file, open for writing."""

    def __init__(
        self,
        path: Path,
        source: Source,
        shape: OutputShape,
        layout: Layout,
        quantiser: Quantiser,
        provenance: Mapping[str, str],
    ) -> None:
        self.path, self._shape, self._layout, self._quantise = path, shape, layout, quantiser
        self.samples = Samples()
        self._masked = False
        colours = [source.dataset.colorinterp[band - 1] for band in source.bands]
        profile = {
            "driver": "GTiff",
            "count": shape.bands,
            "height": shape.height,
            "width": shape.width,
            "dtype": shape.dtype,
            **georeferencing(source.dataset, quantiser.scale, source.origin),
            **layout.first_profile(shape.dtype, (shape.bands, shape.height, shape.width)),
        }
        same_bands = shape.bands == len(source.bands)
        profile.setdefault(
            "PHOTOMETRIC", photometric(colours if same_bands else [ColorInterp.gray])
        )
        if quantiser.nodata is not None and not shape.mask:
            profile["nodata"] = quantiser.nodata
        try:
            self._dataset = rasterio.open(str(path), "w", **profile)
        except (RasterioError, ValueError, TypeError) as err:
            raise RefusedError(f"the output cannot be made: {reason(err)}", _CHECK) from err
        self._expected = dict(profile)
        copy_metadata(
            source.dataset,
            source.bands,
            self._dataset,
            quantiser.scale,
            provenance,
            source.origin,
        )

    @property
    def fills_gaps(self) -> bool:
        """Whether windows that are never written read as invalid pixels, as GDAL fills them."""
        if self._shape.mask and not self._masked:
            # The mask is made when it is first written.
            return False
        fill = self._quantise.fill
        return self._expected.get("nodata") is not None or bool(fill == 0)

    def write(self, box: Box, values: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        """Store a window of the output: stored values (bands, rows, columns), valid pixels if kept."""
        window = Window(box.col, box.row, box.width, box.height)
        try:
            self._dataset.write(values, window=window)
            if valid is not None:
                self._dataset.write_mask(valid, window=window)
                self._masked = True
        except RasterioError as err:
            raise SrganError(f"cannot write {self.path}: {reason(err)}", _ROOM) from err
        self.samples.remember(box, values)

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Record what is known only now that every tile is made."""
        self._dataset.update_tags(**tags)

    def close(self) -> None:
        """Write what GDAL still holds.

        Raises:
            SrganError: The file cannot be completed, for example on a full disk.
        """
        try:
            self._dataset.close()
        except RasterioError as err:
            raise SrganError(f"cannot write {self.path}: {reason(err)}", _ROOM) from err

    def abandon(self) -> None:
        """Close the file after an error, which is what the user hears about; else do nothing."""
        with suppress(RasterioError):
            self._dataset.close()

    def verify(self) -> None:
        """Read the closed file again: size, type, place and the pixels of sampled windows.

        Raises:
            SrganError: It is not what was written.
        """
        self.compare(self.path)

    def compare(self, path: Path) -> None:
        """As `verify`, for a file that was made of this one."""
        shape = self._shape
        try:
            with rasterio.open(str(path)) as written:
                found = (written.count, written.height, written.width, written.dtypes[0])
                if found != (shape.bands, shape.height, shape.width, shape.dtype):
                    raise SrganError(f"{path}: verification found {found}")
                wanted = self._expected.get("transform")
                if wanted is not None and not written.transform.almost_equals(wanted, 1e-9):
                    raise SrganError(f"{path}: verification found {written.transform}")
                if self._layout.lossless:
                    self.samples.compare(written, path)
        except RasterioError as err:
            raise SrganError(f"{path}: verification failed: {reason(err)}", _ROOM) from err


def try_out(sink: Sink, shape: OutputShape) -> None:
    """Write one value everywhere, close, and see whether it comes back.

    Raises:
        RefusedError: It does not: the file can be opened, but not be written in that way.
    """
    values = np.full((shape.bands, shape.height, shape.width), 7, dtype=shape.dtype)
    try:
        with writing_env():
            sink.write(Box(0, 0, shape.height, shape.width), values, None)
            sink.close()
    except SrganError as err:
        raise RefusedError(f"the output cannot be made: {err.message}", _CHECK) from err
    finally:
        sink.abandon()
    refuse_lost_pixels(sink.path)


def refuse_lost_pixels(path: Path) -> None:
    """Refuse when nothing comes back from a file: GDAL's threads do not tell what went wrong."""
    try:
        with rasterio.open(str(path)) as written:
            if written.read().any():
                return
            reasons = f"{written.dtypes[0]} pixels do not come back with these options"
    except RasterioError as err:
        reasons = reason(err)
    raise RefusedError(f"the output cannot be made: {reasons}", _CHECK)


_CHECK = "check --co, --compress and --dtype"
_ROOM = "free some space, or choose another OUTPUT"


def _crc(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).tobytes())
