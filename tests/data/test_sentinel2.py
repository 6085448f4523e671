import re
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from products import TEN_METRES, make_product, write_jp2, zip_product
from rasterio.windows import Window

from srgan_cli.data.finding import find_files
from srgan_cli.data.images import Reading, open_image
from srgan_cli.data.rasters import UnreadableError, gdal_env, read_pixels
from srgan_cli.data.sentinel2 import NODATA, normal_name, read_product
from srgan_cli.data.sentinel2_files import is_product
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError

RGBN = ("B04", "B03", "B02", "B08")
WHOLE = Window(0, 0, 96, 96)


def reading(names):
    return Reading(len(names), band_names=tuple(names))


def read(path, names, window=WHOLE):
    with gdal_env(), open_image(str(path), reading(names)) as dataset:
        assert dataset.descriptions == tuple(map(normal_name, names))
        return read_pixels(dataset, window, range(1, len(names) + 1))


def refused(path, names):
    with gdal_env(), pytest.raises(RefusedError) as caught:
        open_image(str(path), reading(names))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("jp2", [True, False])
def test_bands_come_by_name_with_the_offset_and_their_georeferencing(tmp_path, level, jp2):
    root, numbers = make_product(tmp_path, level, jp2=jp2)
    values, valid = read(root, RGBN)
    expected = np.stack([numbers[band].astype(np.int64) - 1000 for band in RGBN])
    np.testing.assert_array_equal(values[:, valid], expected[:, valid])
    assert [tuple(at) for at in np.argwhere(~valid)] == [(0, 0)]
    with gdal_env(), open_image(str(root), reading(RGBN)) as dataset:
        assert dataset.crs.to_epsg() == 32631
        assert dataset.transform[:6] == (10, 0, 600_000, 0, -10, 5_000_000)
        assert dataset.dtypes == ("int32",) * 4
        assert dataset.nodata == NODATA


def test_before_baseline_4_there_is_no_offset(tmp_path):
    root, numbers = make_product(tmp_path, offset=None)
    values, valid = read(root, ["B02"])
    np.testing.assert_array_equal(values[0][valid], numbers["B02"][valid])


def test_each_band_has_its_own_offset(tmp_path):
    changed = ('<BOA_ADD_OFFSET band_id="3">-1000', '<BOA_ADD_OFFSET band_id="3">-1234')
    root, numbers = make_product(tmp_path, changes=[changed])
    values, _ = read(root, ["B04", "B08"])
    assert values[0, 5, 5] == int(numbers["B04"][5, 5]) - 1234
    assert values[1, 5, 5] == int(numbers["B08"][5, 5]) - 1000


def test_dark_pixels_below_the_offset_stay_negative_and_valid(tmp_path):
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    file = next(root.rglob("*B02_10m.jp2"))
    pixels = np.full((1, 96, 96), 900, np.uint16)
    pixels[0, 1, 1] = 1000
    write_jp2(file, pixels, 10)
    values, valid = read(root, ["B02"])
    assert valid.all()
    assert values[0, 0, 0] == -100
    assert values[0, 1, 1] == 0


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_a_zip_gives_what_the_folder_gives(tmp_path, level, compression):
    root, _ = make_product(tmp_path, level)
    archive = zip_product(root, compression)
    assert is_product(str(archive))
    for left, right in zip(read(root, RGBN), read(archive, RGBN), strict=True):
        np.testing.assert_array_equal(left, right)


def test_20_m_bands_are_read_at_their_native_size(tmp_path):
    root, numbers = make_product(tmp_path)
    values, valid = read(root, ["B8a", "B5"], Window(0, 0, 48, 48))
    expected = np.stack([numbers[band].astype(np.int64) - 1000 for band in ("B8A", "B05")])
    np.testing.assert_array_equal(values[:, valid], expected[:, valid])


def test_mixed_pixel_sizes_are_refused_with_the_reason(tmp_path):
    root, _ = make_product(tmp_path)
    err = refused(root, ["B04", "B05"])
    assert "the bands of Data.band_names differ in pixel size (B04 10 m, B05 20 m)" in err.message
    assert "B02, B03, B04, B08 at 10 m" in err.hint
    assert "B05, B06, B07, B8A, B11, B12 at 20 m" in err.hint


def test_bands_must_be_named_known_and_there(tmp_path):
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    assert "Data.band_names does not say which" in refused(root, []).message
    assert "Sentinel-2 has no band red" in refused(root, ["red"]).message
    assert re.search("has no B12 at 20 m, only B0", refused(root, ["B12"]).message)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((">10000<", ">1000<"), "has a BOA_QUANTIFICATION_VALUE of 1000; Sentinel-2 has 10000"),
        ((">10000<", ">many<"), "BOA_QUANTIFICATION_VALUE is 'many', not a number"),
        (("-1000<", "none<"), "BOA_ADD_OFFSET is 'none', not a number"),
        (('band_id="12"', 'band_id="13"'), "BOA_ADD_OFFSET has the unknown band_id '13'"),
        (("</n1:General_Info>", ""), "its metadata are no XML"),
        (("IMAGE_FILE", "IMAGE_NAME"), "its metadata name no image"),
    ],
)
def test_metadata_that_are_not_understood_are_never_guessed_around(tmp_path, change, text):
    root, _ = make_product(tmp_path, bands=TEN_METRES, changes=[change])
    err = refused(root, RGBN)
    assert text in err.message
    assert str(root) in err.message


def test_incomplete_products_are_unreadable_and_named(tmp_path):
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    next(root.rglob("*B03_10m.jp2")).unlink()
    err = refused(root, RGBN)
    assert isinstance(err, UnreadableError)
    assert f"cannot open {root}: cannot open " in err.message
    (root / "MTD_MSIL2A.xml").unlink()
    assert "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing" in refused(root, RGBN).message
    archive = tmp_path / "S2A_MSIL2A_20220301T103031_N0400_R108_T31TFJ_20220301T140000.zip"
    archive.write_bytes(b"PK cut short")
    assert isinstance(refused(archive, RGBN), UnreadableError)


def test_a_pixel_that_cannot_be_decoded_names_the_product(tmp_path):
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    file = next(root.rglob("*B08_10m.jp2"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with (
        gdal_env(),
        open_image(str(root), reading(RGBN)) as dataset,
        pytest.raises(UnreadableError) as caught,
    ):
        read_pixels(dataset, WHOLE, (1, 2, 3, 4))
    assert str(root) in caught.value.message
    assert "VRTDataset" not in caught.value.message


def test_training_on_folders_and_zips_of_products(tmp_path, config):
    roots = [make_product(tmp_path, "L1C", bands=TEN_METRES, seed=seed)[0] for seed in range(3)]
    zip_product(roots[2])
    for file in sorted(roots[2].rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    roots[2].rmdir()
    data = open_training_data(config(hr=str(tmp_path), band_names=["B4", "B3", "B2", "B8"]))
    rows = data.describe()
    assert len(rows) == 3
    assert sorted(row[0].rpartition(".")[2] for row in rows) == ["SAFE", "SAFE", "zip"]
    assert data.band_names == ("B4", "B3", "B2", "B8")
    assert data.gsd_m == 10
    named = find_files(str(tmp_path), [f"{roots[0].name}/MTD_MSIL1C.xml"], "Data.hr")
    assert named == [str(roots[0])]
    batch = next(data.train_batches(0, 1))
    assert float(batch.hr.min()) >= 100 / 3000 - 1e-6
    assert torch.isfinite(batch.lr).all()


def test_band_numbers_are_for_other_files_than_products(tmp_path, config, scene):
    root, numbers = make_product(tmp_path / "s2", bands=TEN_METRES)
    other = str(scene("a.tif"))
    data = open_training_data(
        config(hr=[str(root), other], band_names=list(RGBN), bands=[4, 3, 2, 1], val_hr=str(root))
    )
    assert [row[3] for row in data.describe()[:2]] == ["1,2,3,4", "4,3,2,1"]
    stored = data.radiometry.to_stored(data.validation().hr[0, 0])
    assert np.isin(stored.round().numpy().astype(int) + 1000, numbers["B04"]).mean() > 0.99


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_no_damaged_metadata_end_in_a_traceback(products, zipped, changes, share):
    root, archive = products
    path = archive if zipped else root / "MTD_MSIL2A.xml"
    whole = path.read_bytes()
    content = bytearray(whole[: int(share * len(whole))] if share < 0.5 else whole)
    for place, value in changes:
        if content:
            content[-1 - place % min(len(content), 3000)] = value
    path.write_bytes(content)
    product = str(archive if zipped else root)
    message = product
    try:
        read_product(product)
    except RefusedError as err:
        message = err.message
    finally:
        path.write_bytes(whole)
    assert product in message


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    root, _ = make_product(tmp_path_factory.mktemp("s2"), bands=(("B02", 10),))
    return root, zip_product(root, zipfile.ZIP_DEFLATED)
