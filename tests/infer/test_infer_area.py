"""Parts of a scene: a window, a bounding box or polygons give the same bits as the whole scene."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.warp import transform_bounds, transform_geom

from srgan_cli.data.rasters import gdal_env
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.area import Polygons
from srgan_cli.infer.geometry import Box, Grid
from srgan_cli.infer.source import Source

pytestmark = pytest.mark.usefixtures("small_blocks")

WINDOWS = [(13, 7, 31, 45), (0, 0, 20, 20), (70, 60, 29, 37), (33, 41, 1, 1), (0, 50, 99, 5)]
UTM = Affine(10, 0, 500_000, 0, -10, 4_000_000)


def run(
    model: Model, source: Path, name: str, **options: object
) -> tuple[np.ndarray, rasterio.io.DatasetReader]:
    out = source.with_name(name)
    model.infer_file(source, out, InferOptions(overwrite=True, **options))
    opened = rasterio.open(out)
    return opened.read(), opened


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """A part of a scene, and how it is cut."""
    multiple = draw(st.sampled_from([1, 2, 4]))
    sides = [draw(st.integers(1, 200)) for _ in range(2)]
    before = [draw(st.integers(0, 90)) for _ in range(2)]
    after = [draw(st.integers(0, 90)) for _ in range(2)]
    total = [sum(parts) for parts in zip(sides, before, after, strict=True)]
    core = draw(st.integers(1, 12)) * multiple
    halo = draw(st.integers(0, 9)) * multiple
    scene = Box(-before[0], -before[1], total[0], total[1])
    return Grid(sides[0], sides[1], core, halo, multiple, scene)


@given(grids())
def test_every_tile_sees_its_halo_and_windows_lie_in_the_scene(grid: Grid) -> None:
    scene = grid.scene
    assert scene is not None
    covered = np.zeros((grid.height, grid.width), dtype=int)
    tiles = [t for i in range(grid.num_strips) for s in grid.strip(i) for t in s.tiles]
    assert len(tiles) == grid.num_tiles
    for tile in tiles:
        core, window = tile.core, tile.window
        covered[core.row : core.row_stop, core.col : core.col_stop] += 1
        assert (window.height, window.width) == (grid.window_height, grid.window_width)
        for low, high, start, stop, first, last in (
            (core.row, core.row_stop, window.row, window.row_stop, scene.row, scene.row_stop),
            (core.col, core.col_stop, window.col, window.col_stop, scene.col, scene.col_stop),
        ):
            assert first <= start
            assert stop <= last
            assert start <= max(low - grid.halo_px, first)
            assert stop >= min(high + grid.halo_px, last)
            assert start == first or (start - first) % grid.multiple_px == 0
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"block_type": "rcab", "n_channels": 16, "n_blocks": 1, "window": 9},
        {"model_type": "rrdbnet", "n_blocks": 1, "fold": 2},
    ],
    ids=["res", "rcab", "folded"],
)
def test_a_window_equals_the_same_window_of_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], network: dict[str, object]
) -> None:
    model = make_model(**network)
    source = make_raster(height=97, width=99, dtype="float32")
    whole, opened = run(model, source, "whole.tif", tile_px=16, halo="exact")
    for col, row, width, height in WINDOWS:
        rows, cols = (2 * row, 2 * (row + height)), (2 * col, 2 * (col + width))
        for tile in (16, 400):
            part, cut = run(
                model, source, "part.tif",
                tile_px=tile, halo="exact", window=(col, row, width, height),
            )  # fmt: skip
            np.testing.assert_array_equal(part, whole[:, slice(*rows), slice(*cols)])
            assert tuple(cut.transform) == tuple(opened.window_transform((rows, cols)))


def test_a_window_gets_the_measured_halo_of_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model = make_model(1, model_type="esrgan", n_blocks=5)
    source = make_raster(bands=1, height=230, width=240)
    results = []
    for name, window in (("whole.tif", None), ("part.tif", (90, 100, 40, 30))):
        options = InferOptions(tile_px=64, tolerance=20.0, window=window)
        results.append(model.infer_file(source, source.with_name(name), options))
    whole, part = results
    assert whole.halo_mode == "measured"
    assert (part.halo_px, part.residual) == (whole.halo_px, whole.residual)
    with rasterio.open(whole.output) as left, rasterio.open(part.output) as right:
        same = left.read(window=((200, 260), (180, 260))).astype(int)
        difference = np.abs(same - right.read())
    assert np.quantile(difference, 0.99) <= 2 * whole.residual + 1


def test_a_window_of_floats_gets_the_tolerance_of_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    data = ground(1, 230, 240).astype("float32")
    data[:, :60] *= 50
    source, results = make_raster(data=data), []
    model = make_model(1, model_type="esrgan", n_blocks=5)
    for name, window in (("whole.tif", None), ("part.tif", (90, 100, 40, 30))):
        options = InferOptions(tile_px=64, window=window, force=True)
        results.append(model.infer_file(source, source.with_name(name), options))
    whole, part = results
    assert whole.halo_mode == "measured"
    assert (part.halo_px, part.residual) == (whole.halo_px, whole.residual)


def test_a_network_that_sees_everything_makes_a_window_of_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model = make_model(block_type="rcab", n_channels=16, n_blocks=1)
    source = make_raster(height=50, width=60, dtype="float32")
    whole, _ = run(model, source, "whole.tif")
    part, _ = run(model, source, "part.tif", window=(20, 10, 15, 12))
    np.testing.assert_array_equal(part, whole[:, 20:44, 40:70])
    err = refused(
        model, source, "tiles of a scene of 60 x 50 pixels", tile_px=16, window=(0, 0, 5, 5)
    )
    assert "--tile 60" in err.hint


def test_nodata_around_a_window_is_filled_as_in_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    data = ground(2, 90, 80).astype("uint16")
    data[:, 20:55, 28:33] = 0
    data[:, 60:, 50:] = 0
    source = make_raster(data=data, nodata=0)
    model = make_model()
    whole, _ = run(model, source, "whole.tif", tile_px=16)
    part, cut = run(model, source, "part.tif", tile_px=32, window=(30, 25, 30, 50))
    np.testing.assert_array_equal(part, whole[:, 50:150, 60:120])
    assert cut.nodata == 0
    assert (part == 0).any()


def test_bbox_snaps_outwards_in_the_crs_of_the_raster_or_another(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    source, model = make_raster(height=60, width=70), make_model()
    west, south, east, north = 500_101.0, 3_999_599.0, 500_300.0, 3_999_800.0
    _, cut = run(model, source, "box.tif", bbox=(west, south, east, north))
    assert tuple(cut.bounds) == (500_100, 3_999_590, 500_300, 3_999_800)
    lonlat = transform_bounds("EPSG:32631", "EPSG:4326", *cut.bounds)
    _, again = run(model, source, "lonlat.tif", bbox=lonlat, bbox_crs="EPSG:4326")
    assert again.bounds.left <= cut.bounds.left
    assert again.bounds.right >= cut.bounds.right
    assert again.width - cut.width <= 8
    _, edge = run(model, source, "edge.tif", bbox=(0, 0, 500_020, 9e6))
    assert edge.bounds.left == 500_000
    assert (edge.width, edge.height) == (4, 120)


def test_rotated_rasters_have_parts_too(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    rotated = UTM @ Affine.rotation(30) if hasattr(UTM, "__matmul__") else UTM * Affine.rotation(30)
    source, model = make_raster(height=50, width=60, transform=rotated), make_model()
    with rasterio.open(source) as opened:
        xs, ys = zip(*(opened.xy(r, c) for r, c in ((10, 20), (10, 30), (20, 20))), strict=True)
    _, cut = run(model, source, "box.tif", bbox=(min(xs), min(ys), max(xs), max(ys)))
    inverse = ~cut.transform
    for x, y in zip(xs, ys, strict=True):
        col = inverse.a * x + inverse.b * y + inverse.c
        row = inverse.d * x + inverse.e * y + inverse.f
        assert 0 <= col <= cut.width
        assert 0 <= row <= cut.height
    assert cut.width < 120


def write_aoi(path: Path, points: list[tuple[float, float]], **members: object) -> Path:
    ring = [*points, points[0]]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], **members}))
    return path


def triangle(tmp_path: Path) -> Path:
    """In longitude and latitude: from pixel (10, 8) right to 40 and down to 44."""
    corners = [(500_100, 3_999_920), (500_400, 3_999_920), (500_100, 3_999_560)]
    shape = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    moved = transform_geom("EPSG:32631", "OGC:CRS84", shape)["coordinates"][0]
    return write_aoi(tmp_path / "aoi.geojson", [tuple(p[:2]) for p in moved[:3]])


@pytest.mark.parametrize(("nodata", "dtype"), [(None, "uint16"), (0, "uint16"), (None, "float32")])
def test_pixels_outside_of_the_polygons_are_invalid(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    nodata: float | None,
    dtype: str,
) -> None:
    source, model = make_raster(height=60, width=70, dtype=dtype, nodata=nodata), make_model()
    aoi = str(triangle(tmp_path))
    whole, _ = run(model, source, "whole.tif", tile_px=16)
    part, cut = run(model, source, "part.tif", tile_px=16, aoi=aoi)
    window = ((16, 88), (20, 80))
    assert abs(cut.width - 60) <= 2
    assert abs(cut.height - 72) <= 2
    shift = round((cut.bounds.left - 500_100) / 5), round((3_999_920 - cut.bounds.top) / 5)
    rows = slice(window[0][0] + shift[1], window[0][0] + shift[1] + cut.height)
    cols = slice(window[1][0] + shift[0], window[1][0] + shift[0] + cut.width)
    inside = np.isfinite(part).all(axis=0) & (cut.dataset_mask() != 0)
    assert 0.45 < inside.mean() < 0.55
    assert inside[10, 5]
    assert not inside[-4, -4]
    np.testing.assert_array_equal(part[:, inside], whole[:, rows, cols][:, inside])
    if dtype == "float32":
        assert np.isnan(part[:, ~inside]).all()
    elif nodata is None:
        assert cut.nodata is None
        assert cut.mask_flag_enums[0] == [rasterio.enums.MaskFlags.per_dataset]
    box, boxed = run(model, source, "box.tif", aoi=aoi, aoi_box=True)
    np.testing.assert_array_equal(box, whole[:, rows, cols])
    assert (boxed.dataset_mask() != 0).all()


def test_the_mask_of_polygons_does_not_depend_on_the_box() -> None:
    rng = np.random.default_rng(3)
    hole = [(20.0, 20.0), (30.5, 21.0), (25.0, 33.0), (20.0, 20.0)]
    outer = [(float(x), float(y)) for x, y in rng.uniform(0, 60, (9, 2)).round(1)]
    polygons = Polygons([[[*outer, outer[0]], hole]])
    whole = polygons.mask(Box(0, 0, 60, 60))
    assert whole.any()
    assert not whole.all()
    for row in range(0, 60, 13):
        for col in range(0, 60, 7):
            box = Box(row, col, min(13, 60 - row), min(7, 60 - col))
            rows, cols = box.within(Box(0, 0, 60, 60))
            np.testing.assert_array_equal(polygons.mask(box), whole[rows, cols])


def test_parts_can_be_told_apart(make_raster: Callable[..., Path], tmp_path: Path) -> None:
    source, aoi = str(make_raster(height=60, width=70)), str(triangle(tmp_path))
    parts = []
    for options in (
        InferOptions(),
        InferOptions(window=(0, 0, 5, 5)),
        InferOptions(aoi=aoi),
        InferOptions(aoi=aoi, aoi_box=True),
    ):
        with gdal_env(), Source(source, None, options) as opened:
            parts.append(json.dumps(opened.part))
            assert opened.whole().part == {"window": [0, 0, 70, 60], "polygons": None}
    assert len(set(parts)) == 4


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gcps_and_rpcs_follow_a_window(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    source = make_raster(transform=None)
    points = [GroundControlPoint(r, c, 5.0 + c, 45.0 - r) for r, c in ((0, 0), (0, 50), (40, 50))]
    with rasterio.open(source, "r+") as opened:
        opened.gcps = (points, CRS.from_epsg(4326))
    _, cut = run(make_model(), source, "part.tif", window=(10, 5, 20, 20))
    placed = [(point.row, point.col, point.x, point.y) for point in cut.gcps[0]]
    assert placed == [(-10, -20, 5, 45), (-10, 80, 55, 45), (70, 80, 55, 5)]


def refused(model: Model, source: Path, words: str, **options: object) -> RefusedError:
    with pytest.raises(RefusedError, match=words) as caught:
        model.infer_file(source, source.with_name("out.tif"), InferOptions(**options))
    assert caught.value.hint
    assert not source.with_name("out.tif").exists()
    return caught.value


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_areas_that_cannot_be_used(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, source = make_model(), make_raster()
    for window in ((-1, 0, 5, 5), (0, 0, 51, 5), (0, 0, 5, 41), (0, 0, 0, 5)):
        refused(model, source, r"--window .*: .*in\.tif has columns 0 to 49", window=window)
    refused(model, source, "--bbox .*: not WEST,SOUTH,EAST,NORTH", bbox=(5, 1, 4, 2))
    err = refused(
        model, source, r"--bbox .* outside of .*covers 500000, 3999600", bbox=(4, 45, 5, 46)
    )
    assert "--bbox-crs EPSG:4326" in err.hint
    assert "the area there is 4, 45, 5, 46" in err.message
    refused(model, source, "CRS EPSG:0: unknown", bbox=(4, 45, 5, 46), bbox_crs="EPSG:0")
    refused(
        model, source, "--window and --bbox: two areas", window=(0, 0, 5, 5), bbox=(4, 45, 5, 46)
    )
    plain = make_raster("plain.tif", transform=None)
    refused(model, plain, "no georeferencing to find it by", bbox=(4, 45, 5, 46))
    bare = make_raster("bare.tif", crs=None)
    refused(model, bare, "has no CRS to bring it into", aoi=str(triangle(tmp_path)))


def test_aois_that_cannot_be_used(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, source = make_model(), make_raster()
    aoi = tmp_path / "bad.geojson"
    refused(
        model,
        source,
        "--aoi .*nowhere.geojson: cannot be read",
        aoi=str(tmp_path / "nowhere.geojson"),
    )
    for text, words in (
        ("not json", "not GeoJSON"),
        ("[]", "not GeoJSON"),
        ('{"type": "Feature", "geometry": null}', "no polygon in it"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no polygon in it"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}', "fewer than four"),
        ('{"type": "Polygon", "coordinates": [[[1, "x"], [3, 4], [1, 2], [1, 2]]]}', "not GeoJSON"),
    ):
        aoi.write_text(text)
        refused(model, source, words, aoi=str(aoi))
    write_aoi(aoi, [(10, 10), (11, 10), (11, 11)])
    refused(model, source, r"--aoi .*outside of .*in\.tif, which covers", aoi=str(aoi))
    utm = [(500_100, 3_999_920), (500_400, 3_999_920), (500_100, 3_999_700)]
    write_aoi(aoi, utm)
    refused(model, source, "500100, 3.99992e.06 is no longitude and latitude", aoi=str(aoi))
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    write_aoi(aoi, utm, crs=crs)
    assert run(model, source, "old.tif", aoi=str(aoi))[1].bounds.left == 500_100
    write_aoi(aoi, [(500_101, 3_999_919), (500_104, 3_999_919), (500_104, 3_999_916)], crs=crs)
    refused(model, source, "no centre of a pixel of .*in.tif lies inside", aoi=str(aoi))
    content = aoi.read_text()
    options = InferOptions(aoi=str(aoi), aoi_box=True, overwrite=True)
    with pytest.raises(RefusedError, match="the input itself, or a part of it"):
        model.infer_file(source, aoi, options)
    assert aoi.read_text() == content
