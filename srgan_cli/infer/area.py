"""The part of a scene that is asked for: a window, a bounding box, or polygons."""

from __future__ import annotations

import itertools
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.features import rasterize
from rasterio.io import DatasetReader
from rasterio.warp import transform_geom

from srgan_cli.data.facts import transform_of
from srgan_cli.data.rasters import name_of
from srgan_cli.errors import RefusedError
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.options import InferOptions

_LONLAT = "OGC:CRS84"
"""The CRS of GeoJSON: RFC 7946, section 4."""
_SNAP_PX = 1e-6
"""Coordinates that near to a pixel's edge lie on it."""
_CHECKED_PX = 4_000_000
_EDGE_PARTS = 32

Ring = list[tuple[float, float]]


class Polygons:
    """Polygons in pixels of the scene, columns and rows from its outer corner."""

    def __init__(self, polygons: Sequence[list[Ring]]) -> None:
        self._shapes = [{"type": "Polygon", "coordinates": rings} for rings in polygons]
        points = np.array([point for rings in polygons for ring in rings for point in ring])
        self.bounds = (*points.min(axis=0), *points.max(axis=0))
        """left, top, right, bottom."""
        # With the rings that they form: a hole is not a polygon of its own.
        self.checksum = zlib.crc32(json.dumps(self._shapes).encode())

    def mask(self, box: Box) -> NDArray[np.bool_]:
        """Pixels (rows, cols) of a box of the scene whose centre lies inside."""
        inside = rasterize(
            self._shapes,
            out_shape=(box.height, box.width),
            transform=Affine.translation(box.col, box.row),
            dtype="uint8",
        )
        mask: NDArray[np.bool_] = inside != 0
        return mask


def chosen_area(dataset: DatasetReader, options: InferOptions) -> tuple[Box, Polygons | None]:
    """The pixels to process, whole scene by default, and the polygons outside of which none counts.

    Bounds snap outwards to whole pixels.

    Raises:
        RefusedError: The area lies outside of the scene, or the scene lies nowhere.
    """
    given = [
        name
        for name, value in (
            ("--window", options.window),
            ("--bbox", options.bbox),
            ("--aoi", options.aoi),
        )
        if value
    ]
    if len(given) > 1:
        raise RefusedError(f"{' and '.join(given)}: two areas", "give one of them")
    whole = Box(0, 0, dataset.height, dataset.width)
    if options.window:
        return _window(dataset, options.window), None
    if options.bbox:
        return _bbox(dataset, options.bbox, options.bbox_crs), None
    if options.aoi:
        return _aoi(dataset, options.aoi, options.aoi_box)
    return whole, None


def _window(dataset: DatasetReader, window: tuple[int, int, int, int]) -> Box:
    col, row, width, height = window
    text = ",".join(map(str, window))
    inside = col >= 0 and row >= 0 and col + width <= dataset.width
    if width < 1 or height < 1 or not inside or row + height > dataset.height:
        raise RefusedError(
            f"--window {text}: {name_of(dataset)} has columns 0 to {dataset.width - 1} "
            f"and rows 0 to {dataset.height - 1}",
            "give COL,ROW,WIDTH,HEIGHT inside of it, in pixels, WIDTH and HEIGHT at least 1",
        )
    return Box(row, col, height, width)


def _bbox(dataset: DatasetReader, bbox: tuple[float, float, float, float], crs_name: str) -> Box:
    west, south, east, north = bbox
    text = ",".join(f"{value:g}" for value in bbox)
    if not all(map(math.isfinite, bbox)) or west >= east or south >= north:
        raise RefusedError(
            f"--bbox {text}: not WEST,SOUTH,EAST,NORTH", "west < east, south < north"
        )
    crs = _crs(crs_name) if crs_name else dataset.crs
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    points = _in_pixels(dataset, [[ring]], crs, f"--bbox {text}")[0][0]
    polygon = Polygons([[points]])
    hint = "coordinates are in the raster's CRS" if not crs_name else "check --bbox-crs"
    if not crs_name:
        hint += "; for longitude and latitude add --bbox-crs EPSG:4326"
    return _snapped(dataset, polygon, f"--bbox {text}", hint)


def _aoi(dataset: DatasetReader, path: str, box_only: bool) -> tuple[Box, Polygons | None]:
    polygons, crs = _read_geojson(path)
    areas = Polygons(_in_pixels(dataset, polygons, crs, f"--aoi {path}"))
    hint = "GeoJSON is in longitude and latitude; check that it is the right file"
    box = _snapped(dataset, areas, f"--aoi {path}", hint)
    if box_only:
        return box, None
    if box.height * box.width <= _CHECKED_PX and not areas.mask(box).any():
        raise RefusedError(
            f"--aoi {path}: no centre of a pixel of {name_of(dataset)} lies inside",
            "draw it larger, or add --aoi-box for all pixels of its bounding box",
        )
    return box, areas


def _snapped(dataset: DatasetReader, polygons: Polygons, what: str, hint: str) -> Box:
    """The pixels that the bounds touch, cut at the scene."""
    left, top, right, bottom = polygons.bounds
    col = max(math.floor(left + _SNAP_PX), 0)
    row = max(math.floor(top + _SNAP_PX), 0)
    col_stop = min(math.ceil(right - _SNAP_PX), dataset.width)
    row_stop = min(math.ceil(bottom - _SNAP_PX), dataset.height)
    if col >= col_stop or row >= row_stop:
        own = ", ".join(f"{value:.10g}" for value in dataset.bounds)
        theirs = _extent(dataset, polygons.bounds)
        raise RefusedError(
            f"{what}: lies outside of {name_of(dataset)}, which covers {own} "
            f"({_short(dataset.crs)}); the area there is {theirs}",
            hint,
        )
    return Box(row, col, row_stop - row, col_stop - col)


def _extent(dataset: DatasetReader, bounds: tuple[float, ...]) -> str:
    left, top, right, bottom = bounds
    corners = [(left, top), (right, top), (left, bottom), (right, bottom)]
    xs, ys = zip(*(_times(transform_of(dataset), corner) for corner in corners), strict=True)
    return ", ".join(f"{value:.10g}" for value in (min(xs), min(ys), max(xs), max(ys)))


def _times(transform: Affine, point: tuple[float, float]) -> tuple[float, float]:
    """Written out: affine 2 and 3 disagree on the operator."""
    t, (x, y) = transform, point
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _in_pixels(
    dataset: DatasetReader, polygons: Sequence[list[Ring]], crs: CRS | None, what: str
) -> list[list[Ring]]:
    name = name_of(dataset)
    if transform_of(dataset) == Affine.identity():
        placed = (
            "ground control points or RPCs alone" if dataset.gcps[0] or dataset.rpcs else "none"
        )
        raise RefusedError(
            f"{what}: {name} has no georeferencing to find it by ({placed})",
            "give --window COL,ROW,WIDTH,HEIGHT in pixels",
        )
    if crs is not None and dataset.crs is None:
        raise RefusedError(
            f"{what}: {name} has no CRS to bring it into",
            "give --bbox in the raster's own coordinates, or --window in pixels",
        )
    if crs is not None and crs != dataset.crs:
        polygons = _reprojected(polygons, crs, dataset.crs, what)
    inverse = ~transform_of(dataset)
    return [[[_times(inverse, point) for point in ring] for ring in rings] for rings in polygons]


def _reprojected(
    polygons: Sequence[list[Ring]], crs: CRS, target: CRS, what: str
) -> list[list[Ring]]:
    """Edges are straight in their own CRS: they are divided first."""
    divided = [[list(_divided(ring)) for ring in rings] for rings in polygons]
    shape = {"type": "MultiPolygon", "coordinates": divided}
    try:
        moved = transform_geom(crs, target, shape)["coordinates"]
    except RasterioError as err:
        raise RefusedError(
            f"{what}: cannot be brought from {_short(crs)} to {_short(target)}", "check its CRS"
        ) from err
    points = np.array([point[:2] for rings in moved for ring in rings for point in ring])
    if not np.isfinite(points).all():
        raise RefusedError(
            f"{what}: lies outside of the area of {_short(target)}", "check its CRS and coordinates"
        )
    return [[[(point[0], point[1]) for point in ring] for ring in rings] for rings in moved]


def _divided(ring: Ring) -> Iterator[tuple[float, float]]:
    for (x, y), (next_x, next_y) in itertools.pairwise(ring):
        for part in range(_EDGE_PARTS):
            along = part / _EDGE_PARTS
            yield x + (next_x - x) * along, y + (next_y - y) * along
    yield ring[-1]


def _read_geojson(path: str) -> tuple[list[list[Ring]], CRS]:
    hint = "give a GeoJSON file of polygons; ogr2ogr -f GeoJSON makes one of other formats"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as err:
        raise RefusedError(f"--aoi {path}: cannot be read: {err.strerror}", hint) from err
    except ValueError as err:
        raise RefusedError(f"--aoi {path}: not GeoJSON ({err})", hint) from err
    try:
        polygons = list(_polygons(document))
        # Not in RFC 7946, but written by GDAL and QGIS before it.
        named = (document.get("crs") or {}).get("properties", {}).get("name", _LONLAT)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise RefusedError(f"--aoi {path}: not GeoJSON ({err!r})", hint) from err
    if not polygons:
        raise RefusedError(f"--aoi {path}: no polygon in it", hint)
    crs = _crs(str(named))
    points = np.array([point for rings in polygons for ring in rings for point in ring])
    if crs.is_geographic and (np.abs(points) > (540, 90)).any():
        largest = points[np.abs(points).max(axis=1).argmax()]
        raise RefusedError(
            f"--aoi {path}: {largest[0]:g}, {largest[1]:g} is no longitude and latitude",
            "GeoJSON is in longitude and latitude: ogr2ogr -t_srs OGC:CRS84",
        )
    return polygons, crs


def _polygons(node: dict[str, Any]) -> Iterator[list[Ring]]:
    kind = node["type"]
    if kind == "FeatureCollection":
        for feature in node["features"]:
            yield from _polygons(feature)
    elif kind == "Feature":
        if node["geometry"] is not None:
            yield from _polygons(node["geometry"])
    elif kind == "GeometryCollection":
        for part in node["geometries"]:
            yield from _polygons(part)
    elif kind in ("Polygon", "MultiPolygon"):
        parts = [node["coordinates"]] if kind == "Polygon" else node["coordinates"]
        for rings in parts:
            yield [_ring(ring) for ring in rings]


def _ring(points: Any) -> Ring:
    ring = [(float(point[0]), float(point[1])) for point in points]
    if len(ring) < 4 or not all(math.isfinite(value) for point in ring for value in point):
        raise ValueError("a ring with fewer than four points, or numbers that are not finite")
    return ring


def _crs(name: str) -> CRS:
    try:
        return CRS.from_user_input(name)
    except CRSError as err:
        raise RefusedError(f"CRS {name}: unknown", "write it as EPSG:4326, WKT or PROJ") from err


def _short(crs: CRS | None) -> str:
    return "no CRS" if crs is None else str(crs.to_string())[:60]
