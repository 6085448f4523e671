"""A picture of the output, and a QGIS style that shows the output in the same way."""

from __future__ import annotations

import errno
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from srgan_cli.data.rasters import reason
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import whole_file, write_text
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.place import written_through
from srgan_cli.infer.workshop import UNFINISHED

MAX_SIDE_PX = 1024
_CUT = (2, 98)
"""Percentiles that become black and white, QGIS's own choice."""
_RGB_NAMES = (("b4", "red", "r"), ("b3", "green", "g"), ("b2", "blue", "b"))
_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@dataclass(frozen=True)
class Companions:
    """The files beside an output that show what is in it."""

    quicklook: Path | None
    style: Path | None

    @staticmethod
    def of(output: Path, options: InferOptions) -> Companions:
        """Those that the options ask for.

        Raises:
            RefusedError: The quicklook would be no PNG, or lie in place of the output.
        """
        picture = Path(options.quicklook_path) if options.quicklook_path else None
        if picture is not None and picture.suffix.lower() != ".png":
            raise RefusedError(f"--quicklook-path {picture}: not a PNG", "let its name end in .png")
        if picture is None and options.quicklook:
            picture = output.with_suffix(".png")
        style = output.with_suffix(".qml") if options.qgis_style else None
        if output in (picture, style):
            raise RefusedError(f"{output}: the name of its quicklook or style too", "use .tif")
        return Companions(picture, style)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of the files."""
        return tuple(path for path in (self.quicklook, self.style) if path is not None)

    @contextmanager
    def beside(self, output: Path, finished: Path) -> Iterator[None]:
        """Make them of the finished file; the block gives it the output's name, and then they get theirs.

        So a process that is killed does not leave an output without them, which the same command
        would refuse to make again.

        Raises:
            SrganError: The file cannot be read, or they cannot be written; the output stays.
        """
        made: dict[Path, Path] = {}
        trouble: Exception | None = None
        try:
            made = self._made_of(finished)
        except (RasterioError, OSError) as err:
            trouble = err
        yield
        try:
            for temporary, path in made.items():
                _move(temporary, written_through(path))
        except OSError as err:
            trouble = err
        if trouble is not None:
            raise SrganError(
                f"{output} is written; its quicklook or style is not: {reason(trouble)}",
                "check the disk and the folder, then run again with --overwrite",
            ) from trouble

    def _made_of(self, finished: Path) -> dict[Path, Path]:
        """Files in the folder of the finished one, and what they will be called."""
        made: dict[Path, Path] = {}
        if not self.paths:
            return made
        look = look_at(finished)
        if self.quicklook is not None:
            temporary = finished.with_name(f"{UNFINISHED}.png")
            write_quicklook(temporary, look)
            made[temporary] = self.quicklook
        if self.style is not None:
            temporary = finished.with_name(f"{UNFINISHED}.qml")
            write_qgis_style(temporary, look)
            made[temporary] = self.style
        return made


def _move(made: Path, path: Path) -> None:
    try:
        made.replace(path)
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        with whole_file(path) as temporary:
            shutil.copyfile(made, temporary)


@dataclass(frozen=True)
class Look:
    """How a raster is shown."""

    bands: tuple[int, ...]
    """Red, green and blue, or one band in grey; counted from 1."""
    limits: tuple[tuple[float, float], ...]
    """Stored values that become black and white, per band."""
    values: NDArray[np.float64]
    """(bands, rows, cols), at most `MAX_SIDE_PX` a side."""
    valid: NDArray[np.bool_]
    """(rows, cols)."""


def look_at(path: Path) -> Look:
    """The stretch and the pixels of a raster, read at the size of the picture.

    Raises:
        RasterioError: It cannot be read.
    """
    with rasterio.open(path) as dataset:
        bands = shown_bands(dataset)
        factor = max(1.0, max(dataset.shape) / MAX_SIDE_PX)
        shape = tuple(max(1, round(side / factor)) for side in dataset.shape)
        values = dataset.read(
            bands, out_shape=(len(bands), *shape), resampling=Resampling.average, masked=True
        )
    masked = np.ma.masked_invalid(values.astype(np.float64))
    valid = np.asarray(~np.ma.getmaskarray(masked).any(axis=0))
    pixels = masked.filled(0.0)
    limits = tuple(_limits(band[valid]) for band in pixels)
    return Look(tuple(bands), limits, pixels, valid)


def shown_bands(dataset: DatasetReader) -> list[int]:
    """Red, green and blue by name or colour interpretation, else the first three bands, or one."""
    names = [_plain(name) for name in dataset.descriptions]
    named = [[names.index(n) + 1 for n in wanted if n in names][:1] for wanted in _RGB_NAMES]
    if all(named):
        return [found[0] for found in named]
    colours = list(dataset.colorinterp)
    if all(colour in colours for colour in _RGB):
        return [colours.index(colour) + 1 for colour in _RGB]
    return [1, 2, 3] if dataset.count >= 3 else [1]


def _plain(name: str | None) -> str:
    """`B04`, `b4` and `B4, central wavelength 665 nm` are one band."""
    return re.sub(r"^b0+(?=\d)", "b", re.split(r"[,\s]", (name or "").strip().casefold())[0])


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _CUT))
    return (low, high) if high > low else (low, math.nextafter(low, math.inf) + 1e-6)


def write_quicklook(path: Path, look: Look) -> None:
    """Write the picture as PNG, whole or not at all: RGB or grey, and transparent without data."""
    layers = []
    for band, (low, high) in zip(look.values, look.limits, strict=True):
        grey = np.clip((band - low) / (high - low), 0, 1) * 255
        layers.append(np.where(look.valid, np.rint(grey), 0).astype(np.uint8))
    layers.append(np.where(look.valid, 255, 0).astype(np.uint8))
    rows, cols = look.valid.shape
    profile = {"driver": "PNG", "dtype": "uint8", "height": rows, "width": cols}
    with whole_file(path) as temporary:
        with rasterio.open(temporary, "w", count=len(layers), **profile) as picture:
            picture.write(np.stack(layers))
        temporary.with_name(temporary.name + ".aux.xml").unlink(missing_ok=True)


def write_qgis_style(path: Path, look: Look) -> None:
    """Write a layer style that QGIS loads with a raster of the same name, whole or not at all."""
    write_text(path, qgis_style(look.bands, look.limits))


def qgis_style(bands: Sequence[int], limits: Sequence[tuple[float, float]]) -> str:
    """The layer style (.qml) of a multiband or grey renderer with this stretch.

    The elements are those that `QgsMultiBandColorRenderer::writeXml` and
    `QgsSingleBandGrayRenderer::writeXml` write.
    """
    root = ElementTree.Element(
        "qgis", version="3.28.0", styleCategories="Symbology", hasScaleBasedVisibilityFlag="0"
    )
    pipe = ElementTree.SubElement(root, "pipe")
    common = {"opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    if len(bands) == 3:
        colours = dict(zip(("redBand", "greenBand", "blueBand"), map(str, bands), strict=True))
        attributes = {"type": "multibandcolor", **colours, **common}
    else:
        attributes = {"type": "singlebandgray", "grayBand": str(bands[0]), **common}
        attributes["gradient"] = "BlackToWhite"
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", attributes)
    ElementTree.SubElement(renderer, "rasterTransparency")
    origin = ElementTree.SubElement(renderer, "minMaxOrigin")
    # None: the values below are taken as they are.
    for name, text in (
        ("limits", "None"),
        ("extent", "WholeRaster"),
        ("statAccuracy", "Estimated"),
    ):
        ElementTree.SubElement(origin, name).text = text
    kinds = ["red", "green", "blue"] if len(bands) == 3 else [""]
    for kind, (low, high) in zip(kinds, limits, strict=True):
        name = f"{kind}ContrastEnhancement" if kind else "contrastEnhancement"
        stretch = ElementTree.SubElement(renderer, name)
        ElementTree.SubElement(stretch, "minValue").text = repr(low)
        ElementTree.SubElement(stretch, "maxValue").text = repr(high)
        ElementTree.SubElement(stretch, "algorithm").text = "StretchToMinimumMaximum"
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n"
