"""Products of several granules, in the format before December 2016 and in later ones."""

import shutil

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from old_products import ORIGINS, granule_name, make_old_product
from products import TEN_METRES, make_product, zip_product
from rasterio.windows import Window

from srgan_cli.data.finding import find_files
from srgan_cli.data.images import Reading, open_image
from srgan_cli.data.rasters import UnreadableError, gdal_env, read_pixels
from srgan_cli.data.sentinel2 import read_product
from srgan_cli.data.sentinel2_files import (
    granule_path,
    is_product,
    product_and_granule,
    some_granules,
)
from srgan_cli.errors import RefusedError

RGBN = ("B04", "B03", "B02", "B08")
FIRST, SECOND = granule_name("T32TQM"), granule_name("T32TQN")


def read(path, names=RGBN):
    with gdal_env(), open_image(str(path), Reading(len(names), band_names=names)) as dataset:
        side = dataset.width
        pixels, valid = read_pixels(dataset, Window(0, 0, side, side), range(1, len(names) + 1))
        return pixels, valid, dataset.transform


def refused(path):
    with gdal_env(), pytest.raises(RefusedError) as caught:
        read_product(str(path))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_granule_is_read_by_its_name(tmp_path, level, zipped):
    root, numbers = make_old_product(tmp_path, level)
    place = zip_product(root) if zipped else root
    for tile, (x, y) in ORIGINS.items():
        name = granule_name(tile, level)
        for granule in (f"{place}/GRANULE/{name}", f"{place}/GRANULE/{name}/"):
            values, valid, transform = read(granule)
            expected = np.stack([numbers[tile][band] for band in RGBN])
            np.testing.assert_array_equal(values[:, valid], expected[:, valid])
            assert (~valid).sum() == 1
            assert tuple(transform)[:6] == (10, 0, x, 0, -10, y)
        values, _, transform = read(f"{place}/GRANULE/{name}", ("B8A",))
        np.testing.assert_array_equal(values[0, 1:], numbers[tile]["B8A"][1:])
        assert transform.a == 20


def test_gdal_reads_the_same_of_the_same_product(tmp_path):
    root, _ = make_old_product(tmp_path)
    for name in (FIRST, SECOND):
        metadata = next((root / "GRANULE" / name).glob("*.xml"))
        with rasterio.open(f"SENTINEL2_L1C_TILE:{metadata}:10m") as theirs:
            assert [text[:3] for text in theirs.descriptions] == ["B4,", "B3,", "B2,", "B8,"]
            pixels, transform = theirs.read(), theirs.transform
        values, valid, ours = read(metadata.parent)
        np.testing.assert_array_equal(values[:, valid], pixels[:, valid])
        assert ours == transform
        values, _, _ = read(metadata)
        np.testing.assert_array_equal(values[:, valid], pixels[:, valid])


def test_who_names_no_granule_is_told_of_them(tmp_path):
    tiles = [f"T32TQ{letter}" for letter in "MNPRS"]
    root, _ = make_old_product(tmp_path, tiles=tiles, bands=TEN_METRES[:1], side_10m=16)
    for place in (root, zip_product(root)):
        err = refused(place)
        assert not isinstance(err, UnreadableError)
        names = ", ".join(granule_name(tile) for tile in tiles[:3])
        assert f"{place} holds 5 granules, as products before December 2016 do" in err.message
        assert err.message.endswith(f"{names}, ... (5 in all)")
        assert err.hint == f"choose one of them: {place}/GRANULE/{FIRST}"
        err = refused(f"{place}/GRANULE/T32TQR")
        assert f"{place} has no granule T32TQR, only {names}, ... (5 in all)" in err.message
        assert f"{place}/GRANULE/{granule_name('T32TQR')}" in err.hint
        assert f"{place}/GRANULE/{FIRST}" in refused(f"{place}/GRANULE/T33").hint


def test_the_only_granule_that_is_there_need_not_be_named(tmp_path):
    root, numbers = make_old_product(tmp_path)
    shutil.rmtree(root / "GRANULE" / FIRST)
    for place in (root, zip_product(root)):
        values, valid, _ = read(place)
        np.testing.assert_array_equal(values[0][valid], numbers["T32TQN"]["B04"][valid])
    assert f"has no granule {FIRST}, only {SECOND}" in refused(root / "GRANULE" / FIRST).message
    shutil.rmtree(root / "GRANULE" / SECOND)
    assert "none of the 2 granules of its metadata is there" in refused(root).message


def test_granules_that_cannot_be_read(tmp_path):
    root, _ = make_old_product(tmp_path)
    next(root.rglob(f"*{FIRST[:-7]}_B03.jp2")).unlink()
    with pytest.raises(UnreadableError, match=r"cannot open .*_T32TQM_B03\.jp2"):
        read(root / "GRANULE" / FIRST)
    read(root / "GRANULE" / SECOND)
    stray = root / "GRANULE" / "S2A_OPER_MSI_L1C_TL_EPA__20160605T113933_A004979_T32TQP_N02.02"
    stray.mkdir()
    err = refused(stray)
    assert isinstance(err, UnreadableError)
    assert f"its metadata do not list the granule {stray.name}" in err.message
    (metadata,) = root.glob("*_MTD_SAFL1C_*.xml")
    metadata.write_text("<n1/>")
    assert "its metadata name no image" in refused(root / "GRANULE" / SECOND).message
    metadata.write_text("<n1")
    assert "its metadata are no XML" in refused(root).message
    metadata.unlink()
    assert "MTD_MSIL1C.xml or MTD_MSIL2A.xml is missing" in refused(root).message


def test_a_later_product_may_be_named_by_its_granule_too(tmp_path):
    root, numbers = make_product(tmp_path, bands=TEN_METRES)
    (granule,) = (root / "GRANULE").iterdir()
    for place in (granule, f"{zip_product(root)}/GRANULE/{granule.name}"):
        values, valid, _ = read(place)
        np.testing.assert_array_equal(values[0][valid], numbers["B04"][valid].astype(int) - 1000)
    assert "has no granule L2A_T31" in refused(root / "GRANULE" / "L2A_T31").message


def test_granules_are_found_as_training_images(tmp_path, monkeypatch):
    root, _ = make_old_product(tmp_path)
    archive = zip_product(root)
    for place in (root, archive):
        path = f"{place}/GRANULE/{FIRST}"
        assert is_product(path)
        assert find_files(None, [path], "Data.hr") == [path]
    (metadata,) = root.glob("*_MTD_SAFL1C_*.xml")
    assert find_files(None, [str(metadata)], "Data.hr") == [str(root)]
    monkeypatch.chdir(root)
    assert product_and_granule(f"GRANULE/{FIRST}") == (".", FIRST)
    read(f"GRANULE/{FIRST}")
    assert not is_product(f"{tmp_path}/GRANULE/{FIRST}")
    for path in ("/none/GRANULE/a", f"/{'a' * 300}/GRANULE/a"):
        assert product_and_granule(path) == (path, None)


def test_a_folder_that_may_not_be_listed_is_no_product(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    assert not is_product(str(tmp_path))


@given(st.text(st.characters(exclude_characters="/\n", codec="utf-8"), min_size=1, max_size=40))
def test_names_of_granules_survive_their_path(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "S2A.SAFE"
    root.mkdir(exist_ok=True)
    assert product_and_granule(granule_path(f"{root}/", name)) == (str(root), name)


def test_a_few_names_are_named_in_full():
    assert some_granules(["a", "b", "c"]) == "a, b, c"
    assert some_granules("abcde") == "a, b, c, ... (5 in all)"
