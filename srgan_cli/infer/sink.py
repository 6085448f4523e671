"""Writing the output: aligned whole blocks, once, into a temporary file that is verified."""

from __future__ import annotations

import math
import os
import shutil
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
from srgan_cli.infer.geometry import Box, Tile
from srgan_cli.infer.metadata import copy_metadata, georeferencing, photometric
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.source import Source

BLOCK_PX = 512
_CACHE_BYTES = 64 * 2**20
_LEVELS = {
    "deflate": {"ZLEVEL": "1"},
    "zstd": {"ZSTD_LEVEL": "1"},
    "lzw": {},
    "lerc": {},
    "lerc_deflate": {"ZLEVEL": "1"},
    "lerc_zstd": {"ZSTD_LEVEL": "1"},
    "lzma": {"LZMA_PRESET": "1"},
    "packbits": {},
    "none": {},
}
"""Always explicit: GDAL's default levels cost many times the time for a few percent of size."""
_WITH_PREDICTOR = ("deflate", "zstd", "lzw")
_LOSSY = ("MAX_Z_ERROR", "DISCARD_LSB")
_SAMPLES = 16


def writing_env() -> Any:
    """The GDAL settings that every thread which writes needs; rasterio counts the cache in bytes."""
    return rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, GDAL_TIFF_INTERNAL_MASK=True)


@dataclass(frozen=True)
class Layout:
    """How the output file is laid out."""

    compress: str
    creation_options: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.compress not in _LEVELS:
            raise RefusedError(
                f"--compress {self.compress}: unknown",
                f"use {', '.join(_LEVELS)}; others through --co COMPRESS=...",
            )
        if self.creation_options.get("TILED", "YES").upper() in ("NO", "FALSE", "OFF", "0"):
            raise RefusedError("--co TILED=NO: the output is written in blocks", "leave it out")
        for name in ("BLOCKXSIZE", "BLOCKYSIZE"):
            value = self.creation_options.get(name, str(BLOCK_PX))
            if not value.isdecimal() or int(value) == 0 or int(value) % 16:
                raise RefusedError(
                    f"--co {name}={value}: TIFF blocks are multiples of 16", "use 256 or 512"
                )

    @property
    def block_px(self) -> int:
        """The side of the squares that are whole blocks."""
        sides = [int(self.creation_options.get(f"BLOCK{a}SIZE", BLOCK_PX)) for a in "XY"]
        return math.lcm(*sides)

    @property
    def lossless(self) -> bool:
        """Whether what is read back equals what was written."""
        own = self.creation_options.get("COMPRESS", self.compress).lower()
        return own in _LEVELS and not any(name in self.creation_options for name in _LOSSY)

    def profile(self, dtype: str, shape: tuple[int, int, int]) -> dict[str, Any]:
        """GTiff creation options for (bands, rows, columns)."""
        bands = shape[0]
        # A block must not be larger than the image: TIFF pads it.
        side = min(BLOCK_PX, max(16, math.ceil(max(shape[1:]) / 16) * 16))
        options = {
            "TILED": "YES",
            "BLOCKXSIZE": str(side),
            "BLOCKYSIZE": str(side),
            "COMPRESS": self.compress.upper(),
            **_LEVELS[self.compress],
            "BIGTIFF": "IF_SAFER",
            "INTERLEAVE": "PIXEL" if bands <= 8 else "BAND",
            "NUM_THREADS": "ALL_CPUS",
            "ALPHA": "NO",
        }
        if self.compress in _WITH_PREDICTOR:
            options["PREDICTOR"] = "3" if np.dtype(dtype).kind == "f" else "2"
        if "COMPRESS" in self.creation_options:
            for name in ("PREDICTOR", *_LEVELS[self.compress]):
                options.pop(name, None)
        return {**options, **self.creation_options}


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


class Sink:
    """The temporary output, open for writing."""

    def __init__(
        self,
        path: Path,
        source: Source,
        shape: OutputShape,
        layout: Layout,
        quantiser: Quantiser,
        provenance: Mapping[str, str],
    ) -> None:
        self._path, self._shape, self._layout, self._quantise = path, shape, layout, quantiser
        self._crcs: list[tuple[Box, int]] = []
        self._every = 1
        self._written = 0
        colours = [source.dataset.colorinterp[band - 1] for band in source.bands]
        profile = {
            "driver": "GTiff",
            "count": shape.bands,
            "height": shape.height,
            "width": shape.width,
            "dtype": shape.dtype,
            **georeferencing(source.dataset, quantiser.scale, source.origin),
            **layout.profile(shape.dtype, (shape.bands, shape.height, shape.width)),
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
            raise RefusedError(
                f"the output cannot be made: {reason(err)}", "check --co, --compress and --dtype"
            ) from err
        self._expected = dict(profile)
        copy_metadata(
            source.dataset,
            source.bands,
            self._dataset,
            quantiser.scale,
            provenance,
            source.origin,
        )

    def write(self, tile: Tile, sr: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Store the SR of a tile's core: sr (C, h * s, w * s) network units, valid (h, w)."""
        self._put(tile, self._quantise.stored(sr, valid), valid)

    def write_empty(self, tile: Tile) -> None:
        """Store a tile without a valid pixel."""
        scale = self._quantise.scale
        shape = (self._shape.bands, tile.core.height * scale, tile.core.width * scale)
        values = np.full(shape, self._quantise.fill, dtype=self._shape.dtype)
        self._put(tile, values, np.zeros((tile.core.height, tile.core.width), dtype=bool))

    def _put(self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        box = tile.core.scaled(self._quantise.scale)
        window = Window(box.col, box.row, box.width, box.height)
        with writing_env():
            try:
                self._dataset.write(values, window=window)
                if self._shape.mask:
                    self._dataset.write_mask(self._quantise.enlarged(valid), window=window)
            except RasterioError as err:
                raise SrganError(f"cannot write {self._path}: {reason(err)}") from err
        self._remember(box, values)

    def _remember(self, box: Box, values: NDArray[Any]) -> None:
        """Keep the checksums of up to 16 tiles, evenly spread however many there will be."""
        if self._written % self._every == 0:
            self._crcs.append((box, _crc(values)))
            if len(self._crcs) > _SAMPLES:
                self._crcs = self._crcs[::2]
                self._every *= 2
        self._written += 1

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Record what is known only now that every tile is written."""
        self._dataset.update_tags(**tags)

    def close(self) -> None:
        """Write what GDAL still holds.

        Raises:
            SrganError: The file cannot be completed, for example on a full disk.
        """
        try:
            self._dataset.close()
        except RasterioError as err:
            raise SrganError(f"cannot write {self._path}: {reason(err)}") from err

    def abandon(self) -> None:
        """Close the file after an error, which is what the user hears about; else do nothing."""
        with suppress(RasterioError):
            self._dataset.close()

    def verify(self) -> None:
        """Read the closed file again: size, type, place and the pixels of sampled tiles.

        Raises:
            SrganError: It is not what was written.
        """
        shape = self._shape
        try:
            with rasterio.open(str(self._path)) as written:
                found = (written.count, written.height, written.width, written.dtypes[0])
                if found != (shape.bands, shape.height, shape.width, shape.dtype):
                    raise SrganError(f"{self._path}: verification found {found}")
                wanted = self._expected.get("transform")
                if wanted is not None and not written.transform.almost_equals(wanted, 1e-9):
                    raise SrganError(f"{self._path}: verification found {written.transform}")
                self._verify_pixels(written)
        except RasterioError as err:
            raise SrganError(f"{self._path}: verification failed: {reason(err)}") from err

    def _verify_pixels(self, written: Any) -> None:
        if not self._layout.lossless:
            return
        for box, crc in self._crcs:
            values = written.read(window=Window(box.col, box.row, box.width, box.height))
            if _crc(values) != crc:
                raise SrganError(
                    f"{self._path}: verification found other pixels than were written at "
                    f"row {box.row}, column {box.col}",
                    "check the disk; the output was removed",
                )


def _crc(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def refuse_output(path: Path, overwrite: bool) -> None:
    """Refuse an output that exists, is a folder, or has no folder to lie in."""
    if path.is_dir():
        raise RefusedError(f"{path}: a folder", "give the name of the output file")
    if path.exists() and not overwrite:
        raise RefusedError(f"{path}: exists already", "choose another OUTPUT, or add --overwrite")
    if not path.parent.is_dir():
        raise RefusedError(f"{path.parent}: no such folder", f"make it: mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RefusedError(f"{path.parent}: not writable", "choose another OUTPUT")


def refuse_same_file(source: Source, path: Path, aoi: str | None = None) -> None:
    """Refuse to overwrite the input, a file that it (a VRT, say) is made of, or the polygons."""
    for name in [source.path, *source.dataset.files, *([aoi] if aoi else [])]:
        part = Path(name)
        if path.exists() and part.exists() and part.samefile(path):
            raise RefusedError(
                f"{path}: the input itself, or a part of it", "choose another OUTPUT"
            )


def refuse_full_disk(folder: Path, needed_bytes: int) -> None:
    """Refuse when the disk has less room than the uncompressed output takes."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise RefusedError(
            f"{folder}: {free / 1e9:.2f} GB free, the output takes up to {needed_bytes / 1e9:.2f} GB",
            "free some space; --force goes on, as compression may save half of it",
        )


def remove_sidecars(path: Path) -> None:
    """Remove what GDAL kept beside an older file of this name: it would not fit the new one."""
    for suffix in (".aux.xml", ".msk", ".ovr"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
