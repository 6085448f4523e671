"""The picture and the QGIS style beside an output."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import quicklook as quicklook_module
from srgan_cli.infer.quicklook import look_at, shown_bands

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B02", "B03", "B04", "B08"), [3, 2, 1]),
        (("nir", "Red", "green", "blue"), [2, 3, 4]),
        (("B4, central wavelength 665 nm", "B3, x", "B2", "B8"), [1, 2, 3]),
        ((None, "B04", "B03", None), [1, 2, 3]),
    ],
)
def test_red_green_and_blue_are_found_by_name(
    make_raster: Callable[..., Path], names: tuple[str | None, ...], expected: list[int]
) -> None:
    with rasterio.open(make_raster(bands=4), "r+") as opened:
        opened.descriptions = names
        assert shown_bands(opened) == expected


def test_or_by_colour_or_one_band_is_grey(make_raster: Callable[..., Path]) -> None:
    with rasterio.open(make_raster(bands=4), "r+") as opened:
        kinds = rasterio.enums.ColorInterp
        opened.colorinterp = (kinds.undefined, kinds.blue, kinds.green, kinds.red)
        assert shown_bands(opened) == [4, 3, 2]
    with rasterio.open(make_raster("two.tif", bands=2)) as opened:
        assert shown_bands(opened) == [1]


def test_the_quicklook_is_stretched_and_transparent_without_data(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    ground: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quicklook_module, "MAX_SIDE_PX", 50)
    data = ground(3, 60, 90).astype("uint16")
    data[:, :30, :45] = 0
    source, out = make_raster(data=data, nodata=0), tmp_path / "out.tif"
    result = make_model(3).infer_file(source, out, InferOptions(quicklook=True, qgis_style=True))
    assert result.quicklook == str(tmp_path / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.tif", "out.png", "out.qml", "out.tif"]
    with rasterio.open(tmp_path / "out.png") as picture:
        assert (picture.width, picture.height, picture.count) == (50, 33, 4)
        pixels = picture.read()
    assert (pixels[3, :16, :24] == 0).all()
    assert (pixels[3, 18:, 27:] == 255).all()
    seen = pixels[0][pixels[3] == 255]
    assert seen.min() == 0
    assert seen.max() == 255
    assert 0.01 < (seen == 0).mean() < 0.04
    root = ElementTree.fromstring((tmp_path / "out.qml").read_text().split("\n", 1)[1])
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "multibandcolor"
    assert [renderer.get(f"{c}Band") for c in ("red", "green", "blue")] == ["1", "2", "3"]
    look = look_at(out)
    for colour, (low, high) in zip(("red", "green", "blue"), look.limits, strict=True):
        assert float(renderer.findtext(f"{colour}ContrastEnhancement/minValue")) == low
        assert float(renderer.findtext(f"{colour}ContrastEnhancement/maxValue")) == high


def test_one_band_is_grey_in_both(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    picture = tmp_path / "look.png"
    options = InferOptions(quicklook_path=str(picture), qgis_style=True)
    make_model(1).infer_file(make_raster(bands=1, dtype="float32"), tmp_path / "out.tif", options)
    with rasterio.open(picture) as opened:
        assert (opened.count, opened.width) == (2, 100)
    text = (tmp_path / "out.qml").read_text()
    root = ElementTree.fromstring(text.split("\n", 1)[1])
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("grayBand")) == ("singlebandgray", "1")
    assert renderer.findtext("contrastEnhancement/algorithm") == "StretchToMinimumMaximum"


@pytest.mark.parametrize("value", [0, 1000])
def test_pictures_of_nothing_and_of_one_value(make_raster: Callable[..., Path], value: int) -> None:
    source = make_raster(data=np.full((3, 20, 20), value, "uint16"), nodata=0)
    look = look_at(source)
    assert look.valid.all() == (value > 0)
    assert all(low < high for low, high in look.limits)
    quicklook_module.write_quicklook(source.with_name("look.png"), look)
    with rasterio.open(source.with_name("look.png")) as opened:
        assert (opened.read(4) == (255 if value else 0)).all()


def test_companions_are_refused_before_anything_is_written(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, source, out = make_model(), make_raster(), tmp_path / "out.tif"
    (tmp_path / "out.png").write_bytes(b"mine")
    for options, words in (
        ({"quicklook": True}, r"out\.png: exists already"),
        ({"quicklook_path": "look.jpg"}, r"look\.jpg: not a PNG"),
        ({"quicklook_path": str(tmp_path / "no" / "a.png")}, "no such folder"),
    ):
        with pytest.raises(RefusedError, match=words):
            model.infer_file(source, out, InferOptions(**options))
        assert not out.exists()
    with pytest.raises(RefusedError, match="name of its quicklook"):
        model.infer_file(source, tmp_path / "o.png", InferOptions(quicklook=True))
    assert (tmp_path / "out.png").read_bytes() == b"mine"


def test_a_process_killed_over_the_quicklook_goes_on_with_it(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class KilledError(BaseException):
        pass

    def die(path: Path, _: object) -> None:
        path.write_bytes(b"half")
        raise KilledError

    model, source, out = make_model(), make_raster(), tmp_path / "out.tif"
    options = InferOptions(quicklook=True, qgis_style=True, tile_px=16)
    with monkeypatch.context() as patched:
        patched.setattr(quicklook_module, "write_quicklook", die)
        with pytest.raises(KilledError):
            model.infer_file(source, out, options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "out.tif.srgan"]
    result = model.infer_file(source, out, options)
    assert result.resumed_tiles == result.num_tiles
    names = ["in.tif", "out.png", "out.qml", "out.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_quicklook_may_lie_on_another_disk(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace = Path.replace

    def across(path: Path, to: Path) -> Path:
        if ".srgan" in str(path) and to.parent.name == "looks":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", across)
    look = tmp_path / "looks" / "a.png"
    look.parent.mkdir()
    options = InferOptions(quicklook_path=str(look))
    make_model().infer_file(make_raster(), tmp_path / "out.tif", options)
    assert [path.name for path in look.parent.iterdir()] == ["a.png"]
    with rasterio.open(look) as opened:
        assert opened.shape == (80, 100)


def test_an_output_stays_when_its_quicklook_fails(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quicklook_module, "write_quicklook", full)
    with pytest.raises(SrganError, match="is written; its quicklook .*No space") as caught:
        make_model().infer_file(make_raster(), tmp_path / "out.tif", InferOptions(quicklook=True))
    assert caught.value.exit_code == 1
    assert (tmp_path / "out.tif").exists()
