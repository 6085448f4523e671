"""Sentinel-2 products, archives and addresses as INPUT."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.evaluate import evaluate_file
from srgan_cli.infer.products import remote_settings

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from products import TEN_METRES, make_product, zip_product

RGBN = ("B04", "B03", "B02", "B08")
TWENTY = (("B05", 20), ("B06", 20), ("B8A", 20))


def run(model: Model, source: object, tmp_path: Path, **options: object) -> rasterio.DatasetReader:
    out = tmp_path / "out.tif"
    model.infer_file(str(source), out, InferOptions(overwrite=True, **options))
    return rasterio.open(out)


def identity(model: Model) -> Model:
    """Nearest neighbour: what comes out shows what went in."""
    for parameter in model.generator.last_layer().parameters():
        parameter.zero_()
    return model


@pytest.fixture
def nearest(make_model: Callable[..., Model]) -> Callable[..., Model]:
    """SR is bicubic LR alone, so that the output tells which values went in."""

    def make(names: tuple[str, ...], **facts: object) -> Model:
        model = make_model(len(names), names=names, global_skip="bicubic", **facts)
        return identity(model)

    return make


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_stored_values_stay_and_tags_give_reflectance(
    nearest: Callable[..., Model], tmp_path: Path, level: str, zipped: bool
) -> None:
    root, numbers = make_product(tmp_path, level)
    source = zip_product(root) if zipped else root
    with run(nearest(RGBN), source, tmp_path) as out:
        sr = out.read()
        assert out.descriptions == RGBN
        assert out.dtypes == ("uint16",) * 4
        assert out.nodata == 0
        assert out.scales == (1e-4,) * 4
        assert out.offsets == (-0.1,) * 4
        assert tuple(out.transform)[:6] == (5, 0, 600_000, 0, -5, 5_000_000)
        assert out.tags()["PROCESSING_BASELINE"] == "04.00"
        assert [kind.name for kind in out.colorinterp[:3]] == ["red", "green", "blue"]
    assert (sr[:, :2, :2] == 0).all()
    assert (sr[:, 2:, 2:] > 0).all()
    for band, name in enumerate(RGBN):
        means = sr[band].reshape(96, 2, 48 * 2, 2).mean(axis=(1, 3))
        assert abs(np.corrcoef(means[2:, 2:].ravel(), numbers[name][2:, 2:].ravel())[0, 1]) > 0.8
        assert abs(means[2:, 2:].mean() - numbers[name][2:, 2:].mean()) < 30


def test_the_offset_reaches_the_network(make_model: Callable[..., Model], tmp_path: Path) -> None:
    """A product of baseline 04.00 gives what one before it, 1000 darker, gives."""
    model = make_model(4, names=RGBN)
    new, numbers = make_product(tmp_path / "new", bands=TEN_METRES, jp2=False)
    old, _ = make_product(tmp_path / "old", bands=TEN_METRES, jp2=False, offset=None)
    for file in old.rglob("*_10m.jp2"):
        with rasterio.open(file, "r+") as opened:
            pixels = numbers[file.name.split("_")[-2]].astype("int32") - 1000
            opened.write(pixels.clip(0)[None].astype("uint16"))
    with run(model, new, tmp_path, dtype="float32") as out:
        left = out.read()
    with run(model, old, tmp_path, dtype="float32") as out:
        right = out.read()
        assert out.offsets == (0,) * 4
    valid = (left != 0) & (right != 0)
    assert valid.mean() > 0.98
    np.testing.assert_allclose(left[valid] - 1000, right[valid], atol=0.05)


def test_weights_for_reflectance_from_0_to_1_get_it(
    nearest: Callable[..., Model], tmp_path: Path
) -> None:
    root, numbers = make_product(tmp_path, bands=TEN_METRES)
    with run(nearest(RGBN, radiometry="zero_one"), root, tmp_path) as out:
        sr = out.read()
    assert abs(sr[0, 8:, 8:].mean() - numbers["B04"][4:, 4:].mean()) < 30


def test_bands_of_20_m_by_name_and_by_the_pixel_size_of_the_weights(
    nearest: Callable[..., Model], tmp_path: Path
) -> None:
    root, numbers = make_product(tmp_path, bands=TEN_METRES + TWENTY)
    with run(nearest(("B8A", "B05", "B06")), root, tmp_path) as out:
        assert out.descriptions == ("B8A", "B05", "B06")
        assert out.res == (10, 10)
        assert out.width == 96
    # A network for both sizes was trained on ESA's 20 m versions.
    with run(nearest(("B04", "B8A")), root, tmp_path) as out:
        assert out.res == (10, 10)
    model = nearest(("band 1", "band 2"))
    model.info = replace(model.info, gsd_m=20.0)
    with run(model, root, tmp_path, bidx=(3, 1)) as out:
        assert out.descriptions == ("B8A", "B05")
    with run(nearest(("red", "nir")), root, tmp_path) as out:
        assert out.descriptions == ("B04", "B08")
    assert numbers


def test_gdals_own_names_of_a_product(nearest: Callable[..., Model], tmp_path: Path) -> None:
    root, _ = make_product(tmp_path, bands=TEN_METRES + TWENTY)
    archive = zip_product(root)
    inside = f"/vsizip/{archive}/{root.name}/MTD_MSIL2A.xml"
    for source in (
        root / "MTD_MSIL2A.xml",
        f"/vsizip/{archive}",
        f"/vsizip/{{{archive}}}/{root.name}",
        inside,
        f"SENTINEL2_L2A:{root}/MTD_MSIL2A.xml:10m:EPSG_32631",
        f"SENTINEL2_L2A:{inside}:10m:EPSG_32631",
    ):
        with run(nearest(RGBN), source, tmp_path) as out:
            assert (out.descriptions, out.nodata, out.offsets[0]) == (RGBN, 0, -0.1)
    size = f"SENTINEL2_L2A:{root}/MTD_MSIL2A.xml:20m:EPSG_32631"
    with run(nearest(("B04", "B03")), size, tmp_path) as out:
        assert out.res == (10, 10)


def refused(model: Model, source: object, tmp_path: Path, words: str) -> RefusedError:
    with pytest.raises(RefusedError, match=words) as caught:
        model.infer_file(str(source), tmp_path / "refused.tif")
    assert not (tmp_path / "refused.tif").exists()
    assert caught.value.hint
    return caught.value


def test_products_that_cannot_be_used(nearest: Callable[..., Model], tmp_path: Path) -> None:
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    err = refused(
        nearest(("band 1", "x")), root, tmp_path, "do not name Sentinel-2 bands .*1 B02, 2 B03"
    )
    assert "--bidx N,N" in err.hint
    refused(nearest(("B05", "B8A")), root, tmp_path, "has no B05, B8A at 20 m")
    file = next(root.rglob("*B03_10m.jp2"))
    file.unlink()
    refused(nearest(RGBN), root, tmp_path, r"cannot open .*SAFE.*B03_10m\.jp2")
    (root / "MTD_MSIL2A.xml").unlink()
    refused(nearest(RGBN), root, tmp_path, r"MTD_MSIL1C\.xml or MTD_MSIL2A\.xml is missing")
    far = "SENTINEL2_L2A:/vsicurl/https://a.example/S2A.SAFE/MTD_MSIL2A.xml:10m:EPSG_32631"
    refused(nearest(RGBN), far, tmp_path, "a Sentinel-2 product that is not on this machine")
    torn = tmp_path / "S2A_MSIL2A_20220301T103031.zip"
    torn.write_bytes(b"PK\3\4 torn")
    refused(nearest(RGBN), torn, tmp_path, r"cannot open .*\.zip")


def test_what_rotted_in_an_archive_is_not_taken_for_pixels(
    nearest: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    archive = tmp_path / "one.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(make_raster(), "a.tif")
    root, _ = make_product(tmp_path)
    product = zip_product(root)
    for place, name in ((archive, "a.tif"), (product, "B03_10m.jp2")):
        with zipfile.ZipFile(place) as file:
            (member,) = (each for each in file.infolist() if each.filename.endswith(name))
        content = bytearray(place.read_bytes())
        middle = member.header_offset + member.file_size // 2
        content[middle : middle + 40] = b"\x55" * 40
        place.write_bytes(content)
    for model, path in (
        (nearest(("a", "b")), archive),
        (nearest(("a", "b")), f"/vsizip/{archive}/a.tif"),
        (nearest(RGBN), product),
    ):
        err = refused(model, path, tmp_path, r"in it is damaged \(Bad CRC-32")
        assert "pack it again" in err.hint
    # The other bands are whole.
    run(nearest(("B04", "B02")), product, tmp_path).close()


def test_zips_with_one_raster_and_with_several(
    nearest: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, source = nearest(("a", "b")), make_raster()
    archive = tmp_path / "one.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(source, "a.tif")
    with run(model, archive, tmp_path) as out:
        assert out.width == 100
    with zipfile.ZipFile(archive, "a") as file:
        file.write(source, "b.tif")
    err = refused(model, archive, tmp_path, "holds no single raster")
    assert f"/vsizip/{archive}/NAME.tif" in err.hint
    with run(model, f"/vsizip/{archive}/b.tif", tmp_path) as out:
        assert out.width == 100


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server for the folder."""
    script = Path(__file__).with_name("web_server.py")
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.kill()


def test_addresses(
    nearest: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path, served: str
) -> None:
    make_raster()
    model = nearest(("a", "b"))
    for address in (f"/vsicurl/{served}/in.tif", f"{served}/in.tif"):
        with run(model, address, tmp_path, window=(0, 0, 10, 10)) as out:
            assert out.width == 20
    refused(model, f"/vsicurl/{served}/none.tif", tmp_path, "cannot open /vsicurl/.*none.tif")


def test_an_address_that_does_not_answer(
    nearest: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    model = nearest(("a", "b"))
    refused(model, "/vsicurl/http://127.0.0.1:9/in.tif", tmp_path, "cannot open /vsicurl")


def test_settings_for_addresses_alone_and_those_of_the_environment_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert remote_settings("in.tif") == {}
    assert remote_settings("/vsizip/a.zip/in.tif") == {}
    monkeypatch.setenv("VSI_CACHE", "FALSE")
    found = remote_settings("s3://bucket/in.tif")
    assert found["GDAL_DISABLE_READDIR_ON_OPEN"] == "TRUE"
    assert "VSI_CACHE" not in found


def test_radiometries_that_speak_of_reflectance() -> None:
    """The rule that tells them apart holds for every built-in radiometry."""
    kinds = {name: r.usual_max for name, r in RADIOMETRIES.items() if name != "uint8"}
    for name, usual in kinds.items():
        assert usual is None or (usual <= 10) == (not name.endswith(("10k", "10k_signed"))), name


def test_folders_that_are_rasters_and_those_that_are_not(
    nearest: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model = nearest(("a", "b"))
    folder = tmp_path / "cube.zarr"
    rasterio.shutil.copy(make_raster(), folder, driver="Zarr")
    with run(model, folder, tmp_path) as out:
        assert (out.width, out.count) == (100, 2)
    err = refused(model, tmp_path, tmp_path, "a folder, not a raster")
    assert "--manifest" in err.hint
    refused(model, "", tmp_path, "INPUT is an empty name")


def test_products_can_be_the_truth_of_an_evaluation(
    nearest: Callable[..., Model], tmp_path: Path
) -> None:
    root, _ = make_product(tmp_path, bands=TEN_METRES)
    found = evaluate_file(nearest(RGBN), str(root))
    assert found.gain == pytest.approx(0, abs=0.1)
    assert found.valid_pixels > 9000
