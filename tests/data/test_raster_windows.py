import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from srgan_cli.data.images import Reading
from srgan_cli.data.pool import ImagePool
from srgan_cli.data.rasters import (
    gdal_env,
    image_bands,
    open_raster,
    read_window,
    valid_mask,
)
from srgan_cli.errors import RefusedError

WHOLE = Window(0, 0, 8, 6)


def pixels(bands=2, dtype=np.uint16):
    return np.arange(1, bands * 48 + 1).reshape(bands, 6, 8).astype(dtype)


def read(path, bands=(1, 2), nodata=None, window=WHOLE):
    with gdal_env(), open_raster(str(path)) as dataset:
        values, valid = read_window(dataset, window, bands, nodata)
        np.testing.assert_array_equal(valid, valid_mask(dataset, window, bands, nodata))
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    return values, valid


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32", "float64"]
)
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
def test_values_of_every_type_arrive(write_raster, dtype, endianness):
    stored = pixels(dtype=dtype)
    if stored.dtype.kind == "i":
        stored = stored - 50
    values, valid = read(write_raster("a.tif", stored, endianness=endianness))
    np.testing.assert_array_equal(values, stored.astype(np.float32))
    assert valid.all()


def test_bands_come_in_the_order_asked_for_and_windows_where_they_lie(write_raster):
    stored = pixels(3)
    values, valid = read(write_raster("a.tif", stored), (3, 1), window=Window(2, 1, 5, 4))
    np.testing.assert_array_equal(values, stored[[2, 0], 1:5, 2:7])
    assert valid.shape == (4, 5)


def test_nodata_in_any_requested_band_invalidates(write_raster):
    stored = pixels()
    stored[0, 0, 0] = stored[1, 5, 7] = 9999
    path = write_raster("a.tif", stored, nodata=9999)
    values, valid = read(path)
    assert [tuple(at) for at in np.argwhere(~valid)] == [(0, 0), (5, 7)]
    assert 9999 not in values
    assert read(path, (1,))[1].sum() == 47


def test_nodata_of_the_configuration_adds_to_that_of_the_file(write_raster):
    stored = pixels()
    path = write_raster("a.tif", stored, nodata=1)
    assert read(path)[1].sum() == 47
    assert read(path, nodata=2.0)[1].sum() == 46
    assert read(path, nodata=-9999.0)[1].sum() == 47


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_invalid(write_raster, value):
    stored = pixels(dtype=np.float32)
    stored[1, 2, 3] = value
    assert [tuple(at) for at in np.argwhere(~read(write_raster("a.tif", stored))[1])] == [(2, 3)]


def test_doubles_beyond_float32_are_invalid(write_raster):
    stored = pixels(dtype=np.float64)
    stored[0, 2, 3] = -1.797e308
    assert read(write_raster("a.tif", stored))[1].sum() == 47


def test_mask_band_and_msk_file(write_raster):
    mask = np.full((6, 8), 255, np.uint8)
    mask[3, 4:] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        inside = write_raster("inside.tif", pixels(), mask)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        beside = write_raster("beside.tif", pixels(), mask)
    assert beside.with_name("beside.tif.msk").exists()
    for path in (inside, beside):
        np.testing.assert_array_equal(read(path)[1], mask > 0)


def with_alpha(write_raster, **options):
    stored = pixels(4, np.uint8)
    stored[3] = 255
    stored[3, 0, :2] = 0
    path = write_raster("alpha.tif", stored, **options)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [*[ColorInterp.gray] * 3, ColorInterp.alpha]
    return path


def test_alpha_masks_and_is_no_image_band(write_raster):
    path = with_alpha(write_raster)
    with rasterio.open(path) as dataset:
        assert image_bands(dataset) == (1, 2, 3)
    assert read(path, (1, 2, 3))[1].sum() == 46


def test_an_alpha_band_asked_for_is_imagery(write_raster):
    values, valid = read(with_alpha(write_raster), (1, 2, 3, 4))
    assert valid.all()
    assert values[3, 0, 0] == 0


def test_alpha_counts_beside_nodata(write_raster):
    valid = read(with_alpha(write_raster, nodata=5), (1,))[1]
    assert [tuple(at) for at in np.argwhere(~valid)] == [(0, 0), (0, 1), (0, 4)]


def test_different_nodata_per_band_in_a_vrt(write_raster, tmp_path):
    write_raster("a.tif", pixels())
    band = (
        '<VRTRasterBand dataType="UInt16" band="{n}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{n}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
    )
    bands = band.format(n=1, nodata=1) + band.format(n=2, nodata=50)
    vrt = tmp_path / "a.vrt"
    vrt.write_text(f'<VRTDataset rasterXSize="8" rasterYSize="6">{bands}</VRTDataset>')
    assert [tuple(at) for at in np.argwhere(~read(vrt)[1])] == [(0, 0), (0, 1)]


def test_a_file_that_is_none_is_named_with_gdals_reason(tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("not a raster")
    with pytest.raises(RefusedError, match=r"cannot open .*notes.tif: .*not recognized"):
        open_raster(str(path))


def test_nothing_of_gdal_reaches_the_terminal(write_raster, tmp_path):
    path = write_raster(
        "a.tif", np.random.default_rng(0).integers(0, 9999, (2, 300, 300)), compress="deflate"
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:3000] + bytes(2000) + whole[5000:])
    code = (
        "import sys\nfrom rasterio.windows import Window\n"
        "from srgan_cli.data.rasters import gdal_env, open_raster, read_window\n"
        "from srgan_cli.errors import RefusedError\n"
        "with gdal_env(), open_raster(sys.argv[1]) as dataset:\n"
        "    try:\n        read_window(dataset, Window(0, 0, 300, 300), (1, 2))\n"
        "    except RefusedError as err:\n        print(err)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert f"cannot read {path} at rows 0..299" in run.stdout


def test_files_without_georeferencing_open_in_silence(tmp_path):
    path = tmp_path / "plain.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8"
        ) as dataset:
            dataset.write(np.ones((1, 4, 4), np.uint8))
    open_raster(str(path)).close()


def test_the_pool_bounds_open_files_and_travels_empty(write_raster):
    paths = [str(write_raster(f"{i}.tif", pixels())) for i in range(5)]
    pool = ImagePool(Reading(2), limit=2)
    first = pool.get(paths[0])
    assert pool.get(paths[0]) is first
    for path in paths:
        pool.get(path)
    assert first.closed
    travelled = pickle.loads(pickle.dumps(pool))
    assert travelled.get(paths[0]).shape == (6, 8)
    for each in (pool, travelled):
        each.close()
