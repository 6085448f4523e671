"""What the output keeps of the input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.metadata import scaled_rpc


@pytest.fixture
def infer(tmp_path: Path) -> Callable:
    def run(model: Model, source: Path, **options: object) -> rasterio.DatasetReader:
        out = tmp_path / "out.tif"
        model.infer_file(source, out, InferOptions(overwrite=True, **options))
        left = {path.name for path in tmp_path.iterdir()} - {source.name, "out.tif"}
        assert not {name for name in left if "out" in name}, "a file was left behind"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return rasterio.open(out)

    return run


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 499_980, 0, -10, 4_200_000),
        Affine(8.98315e-05, 0, -122.3, 0, -8.98315e-05, 37.7),
        Affine(1.5, -5, 440_720, -5, -1.5, 3_751_320),
        Affine(0.5, 0, -180, 0, 0.5, -90),
    ],
    ids=["utm", "degrees", "rotated", "south-up"],
)
def test_the_ground_is_the_same_to_the_last_bit(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    transform: Affine,
    scale: int,
) -> None:
    source = make_raster(height=13, width=17, transform=transform)
    with infer(make_model(scale=scale), source) as out, rasterio.open(source) as opened:
        if not transform.b:
            assert out.bounds == opened.bounds
        assert out.crs == opened.crs
        assert out.transform == Affine(
            transform.a / scale, transform.b / scale, transform.c,
            transform.d / scale, transform.e / scale, transform.f,
        )  # fmt: skip
        assert (out.height, out.width) == (13 * scale, 17 * scale)


def test_without_georeferencing_the_input_pixels_are_the_coordinates(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = make_raster(transform=None)
    with infer(make_model(), source) as out:
        assert out.crs is None
        assert out.transform == Affine.scale(0.5)
        assert (out.bounds.right, out.bounds.bottom) == (out.width / 2, out.height / 2)


def test_gcps_are_scaled(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=100 + c, y=50 - r, z=3.0, id=f"{r}{c}")
        for r in (0, 40)
        for c in (0.5, 50)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = make_raster(transform=None)
        with rasterio.open(source, "r+") as opened:
            opened.gcps = (points, rasterio.CRS.from_epsg(4326))
    with infer(make_model(), source) as out:
        found, crs = out.gcps
        assert crs.to_epsg() == 4326
        assert [(p.row, p.col, p.x, p.y) for p in found] == [
            (2 * p.row, 2 * p.col, p.x, p.y) for p in points
        ]


def test_rpcs_are_scaled_about_the_outer_corner() -> None:
    coefficients = [0.0] * 20
    rpc = RPC(1, 2, 3, 4, coefficients, coefficients, 99.5, 100, 5, 6,
              coefficients, coefficients, 199.5, 200)  # fmt: skip
    scaled = scaled_rpc(rpc, 4)
    assert (scaled.line_off, scaled.line_scale) == (399.5, 400)
    assert (scaled.samp_off, scaled.samp_scale) == (799.5, 800)
    assert scaled.lat_off == rpc.lat_off


def test_metadata_is_kept_and_stale_tags_are_not(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    source = make_raster()
    with rasterio.open(source, "r+") as opened:
        opened.descriptions = ("B04", "B08")
        opened.scales, opened.offsets = (0.0001, 0.0001), (-0.1, -0.1)
        opened.units = ("reflectance", "reflectance")
        opened.update_tags(AREA_OR_POINT="Point", SENSOR="MSI", STATISTICS_MEAN="1")
        opened.update_tags(ns="MINE", KEY="a=b")
        opened.update_tags(ns="xml:XMP", **{"<x a": '"1"><y/></x>'})
        opened.update_tags(2, WAVELENGTH="842", STATISTICS_MAXIMUM="9")
    with infer(make_model(), source) as out:
        assert out.descriptions == ("B04", "B08")
        assert (out.scales, out.offsets) == ((0.0001, 0.0001), (-0.1, -0.1))
        assert out.units == ("reflectance", "reflectance")
        tags = out.tags()
        assert (tags["AREA_OR_POINT"], tags["SENSOR"]) == ("Point", "MSI")
        assert "STATISTICS_MEAN" not in tags
        assert out.tags(ns="MINE") == {"KEY": "a=b"}
        assert out.tags(ns="xml:XMP")["xml:XMP"] == '<x a="1"><y/></x>'
        assert out.tags(2) == {"WAVELENGTH": "842"}
        assert tags["SRGAN_SCALE"] == "2"
        assert tags["SRGAN_WEIGHTS_SHA256"] == "0" * 64


def test_the_file_is_tiled_and_compressed(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    model = make_model(scale=8)
    with infer(model, make_raster(height=70, width=80)) as out:
        assert out.block_shapes[0] == (512, 512)
        assert out.compression.name == "deflate"
        assert out.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
    with infer(model, make_raster(dtype="float32"), compress="zstd") as out:
        assert out.compression.name == "zstd"
        assert out.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
    with infer(model, make_raster(), creation_options={"COMPRESS": "LZW"}) as out:
        assert out.compression.name == "lzw"


@pytest.mark.parametrize(
    ("dtype", "radiometry", "top"),
    [
        ("uint8", "uint8", 255),
        ("int16", "normalise_10k", 4000),
        ("uint32", "normalise_10k", 4000),
        ("int64", "normalise_10k", 4000),
        ("float32", "zero_one", 1),
        ("float64", "zero_one", 1),
    ],
)
def test_the_dtype_is_kept(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
    dtype: str,
    radiometry: str,
    top: float,
) -> None:
    data = ground(2, 20, 20, top).astype(dtype)
    model = make_model(radiometry=radiometry, global_skip="nearest")
    _silence(model)
    with infer(model, make_raster(data=data)) as out:
        assert out.dtypes == (dtype, dtype)
        np.testing.assert_allclose(
            out.read(), data.repeat(2, 1).repeat(2, 2), rtol=2e-7 if "float" in dtype else 0
        )


def _silence(model: Model) -> None:
    """The output is the skip alone."""
    model.generator.last_layer().weight.zero_()
    bias = model.generator.last_layer().bias
    assert bias is not None
    bias.zero_()


def test_values_are_clipped_to_the_dtype_not_to_the_training_range(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    model = make_model(global_skip="bicubic")
    _silence(model)
    data = np.zeros((2, 16, 16), dtype="uint16")
    data[:, 4:12, 4:12] = 65535
    with infer(model, make_raster(data=data)) as out:
        values = out.read()
        assert (values.min(), values.max()) == (0, 65535), "overshoot is cut, not wrapped"


@pytest.mark.parametrize("nodata", [0, 65535, 777])
def test_nodata_is_kept_and_never_predicted(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    nodata: int,
) -> None:
    model = make_model(global_skip="nearest")
    _silence(model)
    data = np.full((2, 24, 24), 777, dtype="uint16")
    data[:, :, 12:] = nodata
    data[0, 0, 0] = 65534
    data[0, 1, 1] = 1
    with infer(model, make_raster(data=data, nodata=nodata)) as out:
        assert out.nodata == nodata
        invalid = out.read_masks(1) == 0
        expected = (data != nodata).all(axis=0).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(~invalid, expected)
        assert out.mask_flag_enums[0] == [MaskFlags.nodata]


def test_valid_predictions_equal_to_nodata_are_nudged(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    model = make_model(global_skip="bicubic")
    _silence(model)
    data = np.full((2, 24, 24), 10, dtype="uint16")
    data[:, 8:16, 8:16] = 4000
    data[:, :4] = 0
    with infer(model, make_raster(data=data, nodata=0)) as out:
        values = out.read()[:, 8:]
        assert values.min() == 1, "the undershoot beside the bright square clips to 0 = nodata"


def test_float_nan(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
) -> None:
    data = ground(2, 20, 20).astype("float32")
    data[0, 3:6, 4:9] = np.nan
    holes = np.isnan(data[0]).repeat(2, 0).repeat(2, 1)
    for extra in ({}, {"nodata": float("nan")}):
        with infer(make_model(), make_raster(data=data, **extra)) as out:
            np.testing.assert_array_equal(np.isnan(out.read(1)), holes)
            assert (out.nodata is None) == (not extra)
    with infer(make_model(), make_raster(data=data), dtype="uint16") as out:
        np.testing.assert_array_equal(out.dataset_mask() == 0, holes)


def test_an_internal_mask_stays_an_internal_mask(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    mask = np.full((40, 50), 255, dtype="uint8")
    mask[:, :13] = 0
    with infer(make_model(), make_raster(mask=mask)) as out:
        assert out.nodata is None
        assert out.mask_flag_enums[0] == [MaskFlags.per_dataset]
        np.testing.assert_array_equal(out.dataset_mask(), mask.repeat(2, 0).repeat(2, 1))


def test_a_scene_without_valid_pixels(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], infer: Callable
) -> None:
    empty = np.zeros((2, 20, 20), dtype="uint16")
    with infer(make_model(), make_raster(data=empty, nodata=0)) as out:
        assert not out.read().any()
    with infer(make_model(), make_raster(mask=np.zeros((40, 50), dtype="uint8"))) as out:
        assert not out.dataset_mask().any()


@pytest.mark.parametrize("kind", ["nodata", "mask", "nan"])
def test_blocks_that_are_never_written_read_as_invalid(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr("srgan_cli.infer.layout.BLOCK_PX", 32)
    monkeypatch.setattr("srgan_cli.infer.assembly._CHUNK_BYTES", 1)
    valid = np.zeros((90, 100), dtype=bool)
    valid[60:70, 50:80] = True
    data = ground(2, 90, 100).astype("float32" if kind == "nan" else "uint16")
    data[:, ~valid] = {"nodata": 9, "mask": 5, "nan": np.nan}[kind]
    keys = {"nodata": {"nodata": 9}, "mask": {"mask": valid}, "nan": {}}[kind]
    with infer(make_model(), make_raster(data=data, **keys), tile_px=16) as out:
        seen = ~np.isnan(out.read(1)) if kind == "nan" else out.dataset_mask() != 0
        np.testing.assert_array_equal(seen, valid.repeat(2, 0).repeat(2, 1))


def test_alpha_masks_and_is_not_an_image_band(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
) -> None:
    data = ground(4, 30, 30, 255).astype("uint8")
    data[3] = 255
    data[3, :9] = 0
    source = make_raster(data=data, photometric="RGB", alpha="YES")
    with infer(make_model(bands=3, radiometry="uint8"), source) as out:
        assert out.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        np.testing.assert_array_equal(out.dataset_mask()[:, 0] == 0, np.arange(60) < 18)


def test_four_uint8_bands_do_not_become_rgba(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
) -> None:
    data = ground(4, 30, 30, 255).astype("uint8")
    source = make_raster(data=data, photometric="RGB", alpha="NO")
    with infer(make_model(bands=4, radiometry="uint8"), source) as out:
        assert out.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert out.colorinterp[3] != ColorInterp.alpha


def test_nodata_that_does_not_fit_the_new_dtype_is_refused(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
) -> None:
    source = make_raster(data=ground(2, 20, 20).astype("int16"), nodata=-9999)
    with pytest.raises(RefusedError, match="nodata -9999 does not fit dtype uint16"):
        infer(make_model(), source, dtype="uint16")
    with infer(make_model(), source, dtype="uint16", nodata=0) as out:
        assert (out.nodata, out.dtypes[0]) == (0, "uint16")


def test_of_a_mask_and_a_nodata_value_both_count(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    infer: Callable,
    ground: Callable,
) -> None:
    data = ground(2, 20, 30).astype("uint16")
    data[:, 10:] = 0
    mask = np.full((20, 30), 255, dtype="uint8")
    mask[:, :5] = 0
    with infer(make_model(), make_raster(data=data, mask=mask, nodata=0)) as out:
        sr, valid = out.read(), out.dataset_mask() != 0
    assert (sr[:, :, :10] == 0).all()
    assert (sr[:, 20:] == 0).all()
    assert valid[:20, 10:].all()
    assert not valid[20:].any()
    assert not valid[:, :10].any()
