"""Files that readers stumble over: a correct output, or a refusal that says why."""

from __future__ import annotations

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
