"""`--format cog`: valid for its validator, and nothing of what a GeoTIFF keeps is lost."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC
from rio_cogeo.cogeo import cog_validate

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, InferResult, Model
from srgan_cli.infer import finishing as finishing_module

COG = InferOptions(format="cog")


def made(model: Model, source: Path, options: InferOptions = COG) -> Path:
    """The COG of a raster, beside the plain GeoTIFF, validated."""
    cog, plain = source.with_name("cog.tif"), source.with_name("plain.tif")
    for path in (cog, plain):
        path.unlink(missing_ok=True)
    result: InferResult = model.infer_file(source, cog, options)
    assert result.format == "cog"
    model.infer_file(source, plain, InferOptions(nodata=options.nodata))
    valid, errors, warnings = cog_validate(cog, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    same(cog, plain)
    left = {path.name for path in source.parent.iterdir()}
    assert not {name for name in left if name.startswith("cog.tif.")}, "a file was left behind"
    return cog


def same(cog: Path, plain: Path) -> None:
    with rasterio.open(cog) as one, rasterio.open(plain) as other:
        assert one.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(one.read(), other.read())
        np.testing.assert_array_equal(one.dataset_mask(), other.dataset_mask())
        for name in (
            "crs", "transform", "nodata", "dtypes", "descriptions", "scales", "offsets", "units",
            "colorinterp", "mask_flag_enums", "rpcs",
        ):  # fmt: skip
            assert getattr(one, name) == getattr(other, name), name
        assert [p.asdict() for p in one.gcps[0]] == [p.asdict() for p in other.gcps[0]]
        banded = any(other.tags(band) for band in other.indexes)
        for namespace in (None, "xml:XMP", *([] if banded else ["MINE"])):
            assert one.tags(ns=namespace).items() >= ignoring(other.tags(ns=namespace)).items()
        for band in one.indexes:
            assert one.tags(band) == other.tags(band)


def ignoring(tags: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name != "INTERLEAVE"}


def test_everything_survives(make_model: Callable[..., Model], make_raster: Callable) -> None:
    source = make_raster(height=300, width=350)
    with rasterio.open(source, "r+") as opened:
        opened.descriptions = ("B04", "B08")
        opened.scales, opened.offsets = (0.0001, 0.0001), (-0.1, -0.1)
        opened.units = ("reflectance", "reflectance")
        opened.update_tags(AREA_OR_POINT="Point", SENSOR="MSI")
        opened.update_tags(ns="MINE", KEY="a=b")
        opened.update_tags(ns="xml:XMP", **{"<x a": '"1"><y/></x>'})
        coefficients = [1.0] * 20
        opened.rpcs = RPC(1, 2, 3, 4, coefficients, coefficients, 99.5, 100, 5, 6,
                          coefficients, coefficients, 199.5, 200)  # fmt: skip
    with rasterio.open(made(make_model(), source)) as out:
        assert out.overviews(1) == [2]
        assert out.descriptions == ("B04", "B08")
        assert out.block_shapes[0] == (512, 512)
        assert out.compression.name == "deflate"
        assert out.tags()["SRGAN_SCALE"] == "2"
        assert out.rpcs is not None
        assert out.rpcs.line_off == 199.5


def test_tags_that_gdal_cannot_keep_both_are_named(
    make_model: Callable[..., Model], make_raster: Callable
) -> None:
    source = make_raster()
    with rasterio.open(source, "r+") as opened:
        opened.update_tags(2, WAVELENGTH="842")
    with rasterio.open(made(make_model(), source)) as out:
        assert out.tags(2) == {"WAVELENGTH": "842"}
    with rasterio.open(source, "r+") as opened:
        opened.update_tags(ns="MINE", KEY="a=b")
    result = make_model().infer_file(source, source.with_name("o.tif"), COG)
    assert "left out the tags of MINE" in result.warnings[0]
    with rasterio.open(source.with_name("o.tif")) as out:
        assert out.tags(2) == {"WAVELENGTH": "842"}


def test_nodata_masks_and_their_overviews(
    make_model: Callable[..., Model], make_raster: Callable, ground: Callable
) -> None:
    data = ground(2, 300, 300).astype("uint16")
    data[:, :, 150:] = 0
    with rasterio.open(made(make_model(), make_raster(data=data, nodata=0))) as out:
        assert out.nodata == 0
        small = out.read(1, out_shape=(300, 300))
        assert small[:, :149].min() > 0, "averages look at valid pixels alone"
        assert not small[:, 151:].any()
    mask = np.full((300, 300), 255, dtype="uint8")
    mask[:100] = 0
    with rasterio.open(made(make_model(), make_raster("m.tif", data=data, mask=mask))) as out:
        assert out.mask_flag_enums[0] == [MaskFlags.per_dataset]
    floats = ground(2, 40, 40).astype("float32")
    floats[:, 3:5] = np.nan
    made(make_model(), make_raster("f.tif", data=floats))


def test_colours_and_gcps(
    make_model: Callable[..., Model], make_raster: Callable, ground: Callable
) -> None:
    data = ground(3, 60, 60, 255).astype("uint8")
    source = make_raster(data=data, photometric="RGB")
    with rasterio.open(made(make_model(3, radiometry="uint8"), source)) as out:
        assert out.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    points = [
        GroundControlPoint(row=r, col=c, x=100 + c, y=50 - r, z=0.0, id=f"{r}{c}", info="")
        for r in (0, 40)
        for c in (0, 50)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        placed = make_raster("g.tif", transform=None)
        with rasterio.open(placed, "r+") as opened:
            opened.gcps = (points, rasterio.CRS.from_epsg(4326))
        with rasterio.open(made(make_model(), placed)) as out:
            assert [(p.row, p.col) for p in out.gcps[0]] == [(0, 0), (0, 100), (80, 0), (80, 100)]


@pytest.mark.parametrize("compress", ["zstd", "lzw", "lerc", "none"])
def test_compressions(
    make_model: Callable[..., Model], make_raster: Callable, compress: str
) -> None:
    cog = made(make_model(), make_raster(), InferOptions(format="cog", compress=compress))
    with rasterio.open(cog) as out:
        found = None if out.compression is None else out.compression.name
        assert found == (None if compress == "none" else compress)


def test_options_that_a_cog_does_not_have(
    make_model: Callable[..., Model], make_raster: Callable, tmp_path: Path
) -> None:
    def refused(words: str, **options: object) -> None:
        with pytest.raises(RefusedError, match=words):
            make_model().infer_file(make_raster(), tmp_path / "o.tif", InferOptions(**options))

    refused("--format jpeg2000: unknown", format="jpeg2000")
    refused("--compress packbits: GDAL's COG cannot", format="cog", compress="packbits")
    refused(
        "BLOCKXSIZE: a COG has no such option", format="cog", creation_options={"BLOCKXSIZE": "64"}
    )
    refused("BLOCKSIZE=100: TIFF blocks", format="cog", creation_options={"BLOCKSIZE": "100"})
    blocks = InferOptions(format="cog", creation_options={"BLOCKSIZE": "256"}, overwrite=True)
    make_model().infer_file(make_raster(height=200, width=200), tmp_path / "o.tif", blocks)
    with rasterio.open(tmp_path / "o.tif") as out:
        assert out.block_shapes[0] == (256, 256)


def test_a_cog_that_cannot_be_made_loses_nothing(
    make_model: Callable[..., Model],
    make_raster: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, out, model = make_raster(height=60, width=60), tmp_path / "o.tif", make_model()
    tiles = InferOptions(format="cog", tile_px=16)
    make_cog = finishing_module.make_cog

    def fail(source: Path, target: Path, layout: object) -> str:
        if target.name == "writing.tif":
            source = source.with_name("nowhere.tif")
        return make_cog(source, target, layout)

    with monkeypatch.context() as patched:
        patched.setattr(finishing_module, "make_cog", fail)
        with pytest.raises(SrganError, match="the COG cannot be made: .*nowhere") as caught:
            model.infer_file(source, out, tiles)
    assert "16 of 16 tiles are kept" in caught.value.hint
    assert caught.value.exit_code == 1
    monkeypatch.setattr(type(model.generator), "features", None)
    assert model.infer_file(source, out, tiles).num_tiles == 16


@pytest.mark.parametrize("format_", ["cog", "gtiff"])
def test_what_gdal_does_not_take_is_refused_before_the_first_tile(
    make_model: Callable[..., Model],
    make_raster: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
) -> None:
    model = make_model()
    monkeypatch.setattr(type(model.generator), "features", None)
    for words, given in {
        "--co COMPRESS=GUESSED: 'GUESSED' is an unexpected value": {"COMPRESS": "GUESSED"},
        "--co BLOKSIZE=LZW: .* does not support creation option BLOKSIZE": {"BLOKSIZE": "LZW"},
        "the .* cannot be made: .*(come back|JPEG|JpegSet|Read failed|IReadBlock)": {
            "COMPRESS": "JPEG"
        },
    }.items():
        options = InferOptions(format=format_, creation_options=given)
        with pytest.raises(RefusedError, match=words):
            model.infer_file(make_raster(), tmp_path / "o.tif", options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_other_pixels_in_the_cog_are_noticed(
    make_model: Callable[..., Model],
    make_raster: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_cog = finishing_module.make_cog

    def damaged(source: Path, target: Path, layout: object) -> str:
        with rasterio.open(source, "r+") as opened:
            pixels = opened.read()
            opened.write(pixels + 1)
        warning = make_cog(source, target, layout)
        with rasterio.open(source, "r+") as opened:
            opened.write(pixels)
        return warning

    monkeypatch.setattr(finishing_module, "make_cog", damaged)
    with pytest.raises(SrganError, match="other pixels than were written"):
        make_model().infer_file(make_raster(), tmp_path / "o.tif", COG)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_json_names_the_format(make_model: Callable[..., Model], make_raster: Callable) -> None:
    result = make_model().infer_file(make_raster(), make_raster().with_name("o.tif"), COG)
    assert json.loads(json.dumps(result.as_dict()))["format"] == "cog"
