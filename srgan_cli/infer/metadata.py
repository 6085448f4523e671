"""What the output takes over from the input, made true for smaller pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.rpc import RPC

from srgan_cli.data.facts import transform_of

_STALE_NAMESPACES = {
    "IMAGE_STRUCTURE",
    "SUBDATASETS",
    "DERIVED_SUBDATASETS",
    "GEOLOCATION",
    "RPC",
    "EXIF",
    "TIFF",
    "IMD",
    "rio_creation_kwds",
}
"""About the file's layout or its pixel grid; RPC is scaled separately. GDAL writes IMD to a file beside."""
_STALE_PREFIXES = ("STATISTICS_", "OVR_", "LAYOUT", "NODATA_VALUES", "SRGAN_")


def georeferencing(
    dataset: DatasetReader, scale: int, origin: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Profile entries for the same ground on a grid with `scale` times smaller pixels.

    The transform is T * translation(column, row) * scale(1 / s), so all six terms stay right;
    powers of two divide floats exactly and the bounds are equal to the last bit. Of a raster that
    lies nowhere on Earth the pixels of the input are the coordinates, so that input and output
    still cover each other. `origin` is the row and column where the part of it begins.
    """
    entries: dict[str, Any] = {}
    points, points_crs = dataset.gcps
    if _lies_by_points(dataset):
        entries["gcps"] = [scaled_gcp(point, scale, origin) for point in points]
    elif transform_of(dataset) != Affine.identity() or not dataset.rpcs:
        entries["transform"] = scaled_transform(transform_of(dataset), scale, origin)
    crs = dataset.crs if "gcps" not in entries else points_crs
    # rasterio cannot write points without one.
    if crs or "gcps" in entries:
        entries["crs"] = crs or CRS()
    return entries


def _lies_by_points(dataset: DatasetReader) -> bool:
    """Whether ground control points alone say where it lies."""
    return bool(dataset.gcps[0]) and transform_of(dataset) == Affine.identity()


def scaled_transform(transform: Affine, scale: int, origin: tuple[int, int] = (0, 0)) -> Affine:
    """T * translation(column, row) * scale(1 / s), written out: affine 2 and 3 disagree on the operator."""
    t, (row, col) = transform, origin
    left, top = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    return Affine(t.a / scale, t.b / scale, left, t.d / scale, t.e / scale, top)


def scaled_gcp(
    point: GroundControlPoint, scale: int, origin: tuple[int, int] = (0, 0)
) -> GroundControlPoint:
    """GDAL counts rows and columns from the outer corner of the first pixel."""
    return GroundControlPoint(
        row=(point.row - origin[0]) * scale,
        col=(point.col - origin[1]) * scale,
        x=point.x,
        y=point.y,
        z=point.z,
        id=point.id,
        info=point.info,
    )


def scaled_rpc(rpc: RPC, scale: int, origin: tuple[int, int] = (0, 0)) -> RPC:
    """RPCs count lines and samples from the centre of the first pixel, half a pixel further in."""
    values = rpc.to_dict()
    for axis, first in zip(("line", "samp"), origin, strict=True):
        values[f"{axis}_off"] = (values[f"{axis}_off"] - first + 0.5) * scale - 0.5
        values[f"{axis}_scale"] *= scale
    return RPC(**values)


def photometric(colours: Sequence[ColorInterp]) -> str:
    """GTiff's PHOTOMETRIC for bands of these colours."""
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return "RGB" if tuple(colours[:3]) == rgb else "MINISBLACK"


def copy_metadata(
    source: DatasetReader,
    bands: Sequence[int],
    output: DatasetWriter,
    scale: int,
    provenance: Mapping[str, str],
    origin: tuple[int, int] = (0, 0),
) -> None:
    """Give `output` the tags, RPCs and band properties of `bands` of `source`, and `provenance`.

    Band properties are left out when the network changes the number of bands.
    """
    for namespace in [None, *source.tag_namespaces()]:
        if namespace not in _STALE_NAMESPACES:
            _copy_tags(source, output, namespace)
    if _lies_by_points(source) or not source.crs:
        # Where it says Point, GDAL moves control points by half a pixel when it writes them, and
        # once more when it reads them; and it reads a CRS out of a file that has none.
        output.update_tags(AREA_OR_POINT="Area")
    output.update_tags(**provenance)
    if source.rpcs is not None:
        output.rpcs = scaled_rpc(source.rpcs, scale, origin)
    if len(bands) == output.count:
        _copy_band_properties(source, bands, output)


def _copy_tags(
    source: DatasetReader, output: DatasetWriter, namespace: str | None, band: int = 0, to: int = 0
) -> None:
    tags = _true_tags(source.tags(band, ns=namespace))
    if namespace and namespace.startswith("xml:"):
        # Such a namespace is one document. rasterio can only write name=value, so the document
        # is cut at its first equals sign, where GDAL puts one again.
        name, _, value = tags.get(namespace, "").partition("=")
        tags = {name: value} if value else {}
    if tags:
        output.update_tags(to, ns=namespace, **tags)


def _true_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith(_STALE_PREFIXES)}


def _copy_band_properties(
    source: DatasetReader, bands: Sequence[int], output: DatasetWriter
) -> None:
    output.colorinterp = [source.colorinterp[band - 1] for band in bands]
    output.scales = [source.scales[band - 1] for band in bands]
    output.offsets = [source.offsets[band - 1] for band in bands]
    units = [source.units[band - 1] for band in bands]
    if any(units):
        output.units = [unit or "" for unit in units]
    for to, band in enumerate(bands, start=1):
        name = source.descriptions[band - 1]
        if name:
            output.set_band_description(to, name)
        for namespace in [None, *source.tag_namespaces(band)]:
            if namespace not in _STALE_NAMESPACES:
                _copy_tags(source, output, namespace, band, to)
