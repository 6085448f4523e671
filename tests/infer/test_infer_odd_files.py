"""Files that readers stumble over: a correct output, or a refusal that says why."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from srgan_cli.data.rasters import gdal_env
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.source import Source, quiet_rasterio

ODD = Path(__file__).parents[3] / "shared" / "data" / "odd"
REFUSED = {
    "gdal__corrupted_deflate_singlestrip.tif": "a 1-bit image",
    "gdal__oddsize1bit.tif": "a 1-bit image",
    "gdal__unknown_compression.tif": "cannot open .*unknown_compression.tif",
    "georust__test_color_table.tif": "a palette image",
    "rasterio__corrupt.tif": r"cannot read .*corrupt\.tif at rows",
}


@pytest.fixture
def smooth(make_model: Callable[..., Model]) -> Callable[[int], Model]:
    """Bicubic upsampling by 2, whatever the values."""

    @cache
    def make(bands: int) -> Model:
        model = make_model(bands, global_skip="bicubic", radiometry="identity")
        for parameter in model.generator.last_layer().parameters():
            parameter.zero_()
        return model

    return make


def check(smooth: Callable[[int], Model], source: str, out: Path, side: int = 32) -> None:
    """The middle of a raster comes out with its validity and its values."""
    with quiet_rasterio(), gdal_env():
        with Source(source) as whole:
            bands = len(whole.bands)
            width, height = min(side, whole.width), min(side, whole.height)
            window = ((whole.width - width) // 2, (whole.height - height) // 2, width, height)
        options = InferOptions(window=window, overwrite=True)
        result = smooth(bands).infer_file(source, out, options)
        with Source(source, None, options) as lr, Source(str(out)) as sr:
            values, valid = lr.read(Box(0, 0, height, width))
            finer, finer_valid = sr.read(sr.area)
            assert sr.dataset.crs == lr.dataset.crs
            assert sr.dtype == lr.dtype
    np.testing.assert_array_equal(finer_valid, valid.repeat(2, axis=0).repeat(2, axis=1))
    if not valid.any():
        assert result.qa is not None
        assert result.qa.bands == ()
        return
    means = finer.reshape(bands, height, 2, width, 2).mean(axis=(2, 4))
    span = np.ptp(values[:, valid]) + 1e-6
    assert (np.abs((means - values)[:, valid]) <= 0.35 * span + 1).all()
    assert abs((means - values)[:, valid].mean()) < 0.02 * span + 0.5


@pytest.mark.skipif(not ODD.is_dir(), reason="no ../shared/data/odd beside the checkout")
def test_every_odd_file(smooth: Callable[[int], Model], tmp_path: Path) -> None:
    refused = {}
    for path in sorted(ODD.glob("*.tif")):
        try:
            check(smooth, str(path), tmp_path / "out.tif")
        except RefusedError as err:
            refused[path.name] = err
        left = [each.name for each in tmp_path.iterdir() if each.name != "out.tif"]
        assert left == [], path.name
    assert sorted(refused) == sorted(REFUSED)
    for name, words in REFUSED.items():
        assert re.search(words, refused[name].message)
        assert refused[name].hint


@pytest.mark.parametrize("dtype", ["int8", "uint32", "int32", "uint64", "int64", "float64"])
def test_every_dtype(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable, dtype: str
) -> None:
    source = make_raster(data=ground(2, 30, 20, 120).astype(dtype))
    check(smooth, str(source), source.with_name("out.tif"))


def test_each_band_has_a_nodata_value_of_its_own(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    data = ground(2, 30, 20).astype("uint16")
    data[0, :10], data[1, :, :5] = 0, 77
    source = make_raster(data=data)
    vrt = source.with_name("in.vrt")
    rasterio.shutil.copy(source, vrt, driver="VRT")
    first, second, rest = vrt.read_text().split("</VRTRasterBand>")
    first += "<NoDataValue>0</NoDataValue>"
    second += "<NoDataValue>77</NoDataValue>"
    vrt.write_text("</VRTRasterBand>".join((first, second, rest)))
    check(smooth, str(vrt), source.with_name("out.tif"))
    with rasterio.open(source.with_name("out.tif")) as out:
        assert out.nodata == 0
        assert (out.read()[:, :20] == 0).all()
        assert (out.read()[:, :, :10] == 0).all()
        assert (out.read()[:, 20:, 10:] > 0).all()


def test_variables_of_a_netcdf_file(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    several = tmp_path / "in.nc"
    rasterio.shutil.copy(make_raster(bands=3), several, driver="netCDF")
    with pytest.raises(RefusedError, match="holds no raster itself, only subdatasets") as caught:
        smooth(1).infer_file(several, tmp_path / "out.tif")
    name = caught.value.message.split("\n")[1].strip()
    assert name.endswith("in.nc:Band1")
    check(smooth, name, tmp_path / "out.tif")


def test_empty_and_torn_files(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    empty, torn = tmp_path / "empty.tif", tmp_path / "torn.tif"
    empty.touch()
    torn.write_bytes(make_raster().read_bytes()[:100])
    for path in (empty, torn):
        with pytest.raises(RefusedError, match=f"cannot open .*{path.name}"):
            smooth(1).infer_file(path, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


VRT = (
    '<VRTDataset rasterXSize="50" rasterYSize="40">{head}'
    '<VRTRasterBand dataType="{kinds[0]}" band="1">{source}{bands[0]}</VRTRasterBand>'
    '<VRTRasterBand dataType="{kinds[1]}" band="2">{source}{bands[1]}</VRTRasterBand></VRTDataset>'
)
SOURCE = (
    '<SimpleSource><SourceFilename relativeToVRT="1">in.tif</SourceFilename>'
    "<SourceBand>{band}</SourceBand></SimpleSource>"
)


def vrt_of(
    source: Path,
    kinds: tuple[str, str] = ("UInt16", "UInt16"),
    bands: tuple[str, str] = ("", ""),
    head: str = "",
) -> Path:
    """A VRT of the two bands of `in.tif`, in other types, with further elements."""
    vrt = source.with_suffix(".vrt")
    text = VRT.format(kinds=kinds, head=head, source=SOURCE.format(band=1), bands=bands)
    vrt.write_text(text)
    return vrt


@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [
        (("UInt16", "Float32"), "float32"),
        (("UInt16", "Int16"), "int32"),
        (("UInt64", "Int64"), "float64"),
    ],
)
def test_bands_of_several_dtypes_get_the_one_that_holds_all(
    smooth: Callable[[int], Model],
    make_raster: Callable[..., Path],
    kinds: tuple[str, str],
    dtype: str,
) -> None:
    vrt = vrt_of(make_raster(), kinds)
    check(smooth, str(vrt), vrt.with_name("out.tif"))
    with rasterio.open(vrt.with_name("out.tif")) as out:
        assert set(out.dtypes) == {dtype}


@pytest.mark.parametrize(
    "values", [(None, 0), (-5, 0)], ids=["first has none", "first cannot hold its own"]
)
def test_a_nodata_value_of_a_later_band_counts(
    smooth: Callable[[int], Model],
    make_raster: Callable[..., Path],
    ground: Callable,
    values: tuple[int | None, int],
) -> None:
    data = ground(2, 40, 50).astype("uint16")
    data[:, :10] = 0
    bands = ["" if value is None else f"<NoDataValue>{value}</NoDataValue>" for value in values]
    vrt = vrt_of(make_raster(data=data), bands=(bands[0], bands[1]))
    check(smooth, str(vrt), vrt.with_name("out.tif"))
    with rasterio.open(vrt.with_name("out.tif")) as out:
        assert out.nodata == 0
        # Of LR the rows 4 to 35.
        assert (out.read()[:, :12] == 0).all()
        assert (out.read()[:, 12:] > 0).all()


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63)])
def test_a_nodata_value_that_no_float64_equals_becomes_a_mask(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable, value: int
) -> None:
    kind = "uint64" if value > 0 else "int64"
    data = ground(2, 40, 50).astype(kind)
    data[:, :10] = value
    nodata = f"<NoDataValue>{value}</NoDataValue>"
    name = "UInt64" if value > 0 else "Int64"
    vrt = vrt_of(make_raster(data=data), (name, name), (nodata, nodata))
    out = vrt.with_name("out.tif")
    result = smooth(2).infer_file(vrt, out)
    assert (result.nodata, result.mask, result.dtype) == (None, True, kind)
    with rasterio.open(out) as written:
        valid = written.dataset_mask() != 0
        assert not valid[:20].any()
        assert valid[20:].all()
        assert written.read()[:, 20:].max() < 5000


def test_masks_of_single_bands_become_one(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    source = make_raster()
    flags = np.ones((1, 40, 50), "uint8") * 255
    flags[0, :10] = 0
    make_raster("flags.tif", data=flags)
    mask = (
        '<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource><SourceFilename '
        'relativeToVRT="1">flags.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></MaskBand>"
    )
    vrt = vrt_of(source, bands=("", mask))
    check(smooth, str(vrt), source.with_name("out.tif"))
    with rasterio.open(source.with_name("out.tif")) as out:
        assert out.nodata is None
        assert (out.dataset_mask()[:12] == 0).all()
        assert (out.dataset_mask()[12:] == 255).all()


def test_control_points_stay_where_they_are_without_a_crs_and_with_pixels_as_points(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path]
) -> None:
    places = [(0, 0), (0, 40), (50, 0), (50, 40)]
    points = "".join(
        f'<GCP Id="{x},{y}" Pixel="{x}" Line="{y}" X="{x}" Y="{-y}"/>' for x, y in places
    )
    point = '<Metadata><MDI key="AREA_OR_POINT">Point</MDI></Metadata>'
    for projection in ("", 'Projection="EPSG:4326"'):
        vrt = vrt_of(make_raster(), head=f"<GCPList {projection}>{points}</GCPList>{point}")
        out = vrt.with_name("out.tif")
        smooth(2).infer_file(vrt, out, InferOptions(overwrite=True))
        with quiet_rasterio(), rasterio.open(out) as written:
            found, crs = written.gcps
            assert [(point.col, point.row) for point in found] == [
                (2 * x, 2 * y) for x, y in places
            ]
            assert bool(crs) == bool(projection)


def test_an_archive_is_not_written_beside(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    packed = tmp_path / "in.tif.gz"
    packed.write_bytes(gzip.compress(make_raster().read_bytes()))
    check(smooth, f"/vsigzip/{packed}", tmp_path / "out.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "in.tif.gz", "out.tif"]


def test_a_damaged_jpeg_is_told_of(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    data = ground(3, 200, 200, 200).astype("uint8")
    source = make_raster(data=data, compress="jpeg", tiled=True, blockxsize=64, blockysize=64)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = b"\x55" * 500
    source.write_bytes(content)
    result = smooth(3).infer_file(source, source.with_name("out.tif"))
    (warning,) = result.warnings
    assert re.search(r"in\.tif: GDAL found it damaged and went on: .*Corrupt JPEG data", warning)


def test_a_nodata_value_that_nobody_declared_is_told_of(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    model = make_model()
    for value, dtype in ((-9999, "int16"), (-3.4028235e38, "float32")):
        data = ground(2, 40, 50).astype(dtype)
        data[1, :10] = value
        source = make_raster(data=data)
        out = source.with_name("out.tif")
        with pytest.raises(RefusedError, match=r"25 % of band 2 is -[\d.e+]+, as if") as caught:
            model.infer_file(source, out, InferOptions(overwrite=True))
        told = float(re.search(r"--nodata (\S+);", caught.value.hint)[1])
        result = model.infer_file(source, out, InferOptions(nodata=told, overwrite=True))
        assert result.warnings == ()
        with rasterio.open(out) as written:
            assert (written.read()[:, :20] == written.nodata).all()
            assert (np.abs(written.read()[:, 20:]) < 1e6).all()
        options = InferOptions(force=True, overwrite=True, qa=False)
        forced = model.infer_file(source, out, options)
        assert "as if that were a nodata value" in forced.warnings[0]


def test_figures_bear_values_near_the_end_of_float32(
    smooth: Callable[[int], Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    data = ground(2, 40, 50).astype("float32")
    data[0, 5, 5], data[1, 20, 20] = 3e38, -3e38
    source = make_raster(data=data)
    result = smooth(2).infer_file(source, source.with_name("out.tif"), InferOptions(force=True))
    assert result.qa is not None
    assert all(np.isfinite((band.bias, band.rmse)).all() for band in result.qa.bands)
