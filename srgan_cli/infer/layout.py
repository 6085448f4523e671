"""How the output file is laid out: format, blocks, compression, GDAL's creation options."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from srgan_cli.errors import RefusedError

BLOCK_PX = 512
FORMATS = ("gtiff", "cog")
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
_WITH_COG_LEVEL = ("deflate", "zstd", "lerc_deflate", "lerc_zstd")
_LOSSY = ("MAX_Z_ERROR", "DISCARD_LSB", "NBITS")
_NO = ("NO", "FALSE", "OFF", "0")
_BESIDE = {"PROFILE": ("GDALGEOTIFF",), "TFW": _NO, "RPB": _NO, "RPCTXT": _NO}
"""Creation options that make files beside a GeoTIFF, and their values that do not."""
_BLOCK_KEYS = ("BLOCKXSIZE", "BLOCKYSIZE")


@dataclass(frozen=True)
class Layout:
    """How the output file is laid out."""

    compress: str
    creation_options: Mapping[str, str]
    format: str = "gtiff"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise RefusedError(f"--format {self.format}: unknown", f"use {', '.join(FORMATS)}")
        if self.compress not in _LEVELS:
            raise RefusedError(
                f"--compress {self.compress}: unknown",
                f"use {', '.join(_LEVELS)}; others through --co COMPRESS=...",
            )
        if self.format == "cog":
            self._refuse_for_cog()
        if self.creation_options.get("TILED", "YES").upper() in _NO:
            raise RefusedError("--co TILED=NO: the output is written in blocks", "leave it out")
        self._refuse_beside()
        for name in (*_BLOCK_KEYS, "BLOCKSIZE"):
            value = self.creation_options.get(name, str(BLOCK_PX))
            if not value.isdecimal() or int(value) == 0 or int(value) % 16:
                raise RefusedError(
                    f"--co {name}={value}: TIFF blocks are multiples of 16", "use 256 or 512"
                )

    def _refuse_beside(self) -> None:
        """The output is one file, with everything in it."""
        for name, plain in _BESIDE.items():
            value = self.creation_options.get(name, plain[0])
            if value.upper() not in plain:
                raise RefusedError(
                    f"--co {name}={value}: puts into a file beside the output what belongs in it",
                    f"leave it out; a copy of that kind: gdal_translate -co {name}={value} OUTPUT copy.tif",
                )

    def _refuse_for_cog(self) -> None:
        if self.compress == "packbits":
            raise RefusedError("--compress packbits: GDAL's COG cannot", "use deflate or zstd")
        for name in (*_BLOCK_KEYS, "TILED"):
            if name in self.creation_options:
                raise RefusedError(
                    f"--co {name}: a COG has no such option", "use --co BLOCKSIZE=512"
                )

    @property
    def block_rows(self) -> int:
        """Rows of the strips in which the file is written: whole blocks."""
        return int(self.creation_options.get("BLOCKYSIZE", BLOCK_PX))

    @property
    def block_columns(self) -> int:
        """Columns of a block."""
        return int(self.creation_options.get("BLOCKXSIZE", BLOCK_PX))

    @property
    def lossless(self) -> bool:
        """Whether what is read back equals what was written."""
        own = self.creation_options.get("COMPRESS", self.compress).lower()
        return own in _LEVELS and not any(name in self.creation_options for name in _LOSSY)

    def first_profile(self, dtype: str, shape: tuple[int, int, int]) -> dict[str, Any]:
        """GTiff creation options for (bands, rows, columns) of the file that is written first.

        Of a COG that is a quick one, from which GDAL makes the COG.
        """
        if self.format == "cog":
            return Layout("zstd", {}).first_profile(dtype, shape)
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

    def cog_profile(self) -> dict[str, str]:
        """Options of GDAL's COG driver, which spells some of them otherwise."""
        options = {
            "COMPRESS": self.compress.upper(),
            "BLOCKSIZE": str(BLOCK_PX),
            "OVERVIEW_RESAMPLING": "AVERAGE",
            "BIGTIFF": "IF_SAFER",
            "NUM_THREADS": "ALL_CPUS",
        }
        if "COMPRESS" not in self.creation_options:
            if self.compress in _WITH_COG_LEVEL:
                options["LEVEL"] = "1"
            if self.compress in _WITH_PREDICTOR:
                options["PREDICTOR"] = "YES"
        return {**options, **self.creation_options}


@contextmanager
def ignored_options(creation_options: Mapping[str, str]) -> Iterator[None]:
    """Refuse after the block what GDAL has only warned of: an option that it does not know.

    Raises:
        RefusedError: GDAL ignored one of the options, or its value.
    """
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]  # one line
    logger = logging.getLogger("rasterio")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    for text in heard:
        named = [name for name in creation_options if name in text]
        if named and "creation option" in text:
            name = named[0]
            raise RefusedError(
                f"--co {name}={creation_options[name]}: {text.removeprefix('CPLE_NotSupported in ')}",
                "check its spelling against GDAL's documentation of the format",
            )
