"""The band files of a Sentinel-2 product as one virtual raster, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from srgan_cli.data.rasters import UnreadableError, name_dataset, open_raster, reason

NODATA = -32768
"""Of a raster with the offset added: 0 in the product, which an offset would make -1000."""

REFLECTANCE = 1e-4
"""Of one digital number."""

_COLOURS = {"B04": "Red", "B03": "Green", "B02": "Blue"}


class BandFile(NamedTuple):
    """One band of a product."""

    name: str
    file: str
    """Path for GDAL."""
    offset: int
    """To be added to its digital numbers."""


def open_together(
    path: str,
    bands: Sequence[BandFile],
    with_offset: bool,
    tags: Mapping[str, str] | None = None,
) -> DatasetReader:
    """The bands as one dataset called `path`; call it inside a `gdal_env`.

    Args:
        path: Of the product.
        bands: In order; of one pixel size.
        with_offset: True: int32 with the offsets added, nodata -32768. False: digital numbers
            as they are stored, nodata 0, and scale and offset tags that give reflectance.
        tags: Of the dataset.

    Raises:
        UnreadableError: A file is missing, damaged, or of another size than the first.
    """
    text = _virtual_raster(path, bands, with_offset, tags or {})
    try:
        return name_dataset(rasterio.open(text), path)
    except RasterioError as err:
        raise damaged(path, reason(err)) from err


def damaged(path: str, why: str) -> UnreadableError:
    """The error for a product that is not as its metadata say."""
    return UnreadableError(
        path,
        f"cannot open {path}: {why}",
        "the product is damaged or incomplete; download it again or take it out of the list",
    )


def _virtual_raster(
    path: str, bands: Sequence[BandFile], with_offset: bool, tags: Mapping[str, str]
) -> str:
    with _open_band(path, bands[0].file) as first:
        height, width = first.shape
        block = first.block_shapes[0]
        crs = first.crs.to_wkt() if first.crs else ""
        transform = first.transform.to_gdal()
    items = "".join(f'<MDI key="{escape(k)}">{escape(v)}</MDI>' for k, v in tags.items())
    parts = [
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{escape(crs)}</SRS>',
        f"<GeoTransform>{', '.join(repr(float(value)) for value in transform)}</GeoTransform>",
        f"<Metadata>{items}</Metadata>",
    ]
    for number, band in enumerate(bands, start=1):
        with _open_band(path, band.file) as dataset:
            if dataset.shape != (height, width):
                raise damaged(
                    path, f"{band.name} is {dataset.width}x{dataset.height}, not {width}x{height}"
                )
        kind = "Int32" if with_offset else "UInt16"
        parts.append(
            f'<VRTRasterBand dataType="{kind}" band="{number}" '
            f'blockXSize="{block[1]}" blockYSize="{block[0]}">'
            f"<Description>{band.name}</Description>"
            f"{_measured(band) if with_offset else _stored(band)}</VRTRasterBand>"
        )
    return "".join((*parts, "</VRTDataset>"))


def _measured(band: BandFile) -> str:
    return (
        f"<NoDataValue>{NODATA}</NoDataValue><ComplexSource>{_file(band)}"
        f"<ScaleOffset>{band.offset}</ScaleOffset><ScaleRatio>1</ScaleRatio>"
        "<NODATA>0</NODATA></ComplexSource>"
    )


def _stored(band: BandFile) -> str:
    colour = _COLOURS.get(band.name)
    return (
        "<NoDataValue>0</NoDataValue>"
        + (f"<ColorInterp>{colour}</ColorInterp>" if colour else "")
        + f"<Offset>{band.offset / 10_000!r}</Offset><Scale>{REFLECTANCE!r}</Scale>"
        f"<SimpleSource>{_file(band)}</SimpleSource>"
    )


def _file(band: BandFile) -> str:
    return (
        f'<SourceFilename relativeToVRT="0">{escape(band.file)}</SourceFilename>'
        "<SourceBand>1</SourceBand>"
    )


def _open_band(path: str, file: str) -> DatasetReader:
    try:
        return open_raster(file)
    except UnreadableError as err:
        raise damaged(path, err.message) from err
