"""Files as other tools leave them, whose oddities lie beside the pixels."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.windows import Window

from srgan_cli.data import facts
from srgan_cli.data.facts import transform_of
from srgan_cli.data.rasters import gdal_env, read_pixels
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.checksums import _is_damaged
from srgan_cli.infer.damage import heard_damage
from srgan_cli.infer.source import Source

SCALE = 2
_SHORT, _LONG = 3, 4


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(radiometry="identity")


def image_of(tags: list[tuple[int, int, int]]) -> bytes:
    """A little-endian image file directory of (tag, type, value), the last one of its file."""
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
    return struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", 0)


def with_second_image(path: Path, tags: list[tuple[int, int, int]]) -> None:
    """Append an image of (tag, type, value) to the images of a little-endian TIFF."""
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    data += b"\0" * (len(data) % 2)
    struct.pack_into("<I", data, start + 2 + 12 * count, len(data))
    path.write_bytes(bytes(data) + image_of(tags))


def test_a_damaged_second_image_does_not_stop_the_first(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_raster("whole.tif", height=8, width=9)
    source = make_raster(height=8, width=9)
    # A width without a length.
    with_second_image(source, [(254, _LONG, 4), (256, _SHORT, 9)])
    for path in (whole, source):
        model.infer_file(path, tmp_path / f"sr_{path.name}")
    with (
        rasterio.open(tmp_path / "sr_whole.tif") as expected,
        rasterio.open(tmp_path / "sr_in.tif") as out,
    ):
        np.testing.assert_array_equal(out.read(), expected.read())


def test_an_image_without_georeferencing_gets_none(
    make_model: Callable[..., Model], ground: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    lr = ground(3, 8, 9, top=255.0).astype("uint8")
    source, out = tmp_path / "in.ppm", tmp_path / "out.tif"
    source.write_bytes(b"P6\n9 8\n255\n" + lr.transpose(1, 2, 0).tobytes())
    result = make_model(3, radiometry="identity").infer_file(source, out)
    assert result.transform == (0.5, 0, 0, 0, 0.5, 0)
    with rasterio.open(out) as written:
        assert written.transform == Affine.scale(1 / SCALE)
        assert written.crs is None


_STEPS = st.floats(1e-12, 1e7) | st.floats(-1e7, -1e-12)
_MEMORY = st.sampled_from([5e-324, 6.93e-310, -4.6e-310])


@given(_STEPS, _STEPS, st.floats(-1e8, 1e8), st.sampled_from([0.0, 0.25, -3.0]))
def test_a_transform_is_kept_as_it_is(east: float, south: float, left: float, turn: float) -> None:
    own = Affine(east, turn, left, turn, south, left)
    assert transform_of(SimpleNamespace(transform=own)) is own  # type: ignore[arg-type]  # all it asks


@given(st.lists(st.just(0.0) | _MEMORY, min_size=6, max_size=6))
def test_what_lay_in_memory_is_no_transform(terms: list[float]) -> None:
    found = transform_of(SimpleNamespace(transform=Affine(*terms)))  # type: ignore[arg-type]  # as above
    assert found == Affine.identity()


def test_many_bands_are_asked_about_once(
    model: Model,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    ask = facts._asked

    def counted(dataset: Any) -> facts.BandFacts:
        asked.append(dataset.name)
        return ask(dataset)

    monkeypatch.setattr(facts, "_asked", counted)
    source = make_raster(bands=224, height=8, width=9, interleave="band")
    result = model.infer_file(source, tmp_path / "out.tif", InferOptions(bidx=(224, 7)))
    assert result.bands == (224, 7)
    assert asked.count(str(source)) == 1


def test_a_grid_of_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dataset = SimpleNamespace(count=1, width=-1, height=73, close=lambda: None)
    monkeypatch.setattr("srgan_cli.infer.source.open_input", lambda *_: (dataset, None))
    with pytest.raises(RefusedError, match=r"x\.grib2: -1 x 73 pixels"):
        Source(str(tmp_path / "x.grib2"))


def test_a_pixel_that_must_have_nodata_in_all_bands_is_valid_with_one(
    make_model: Callable[..., Model],
    ground: Callable[..., np.ndarray],
    tmp_path: Path,
    make_raster: Callable[..., Path],
) -> None:
    lr = ground(3, 12, 13, top=200.0).astype("uint8") + 1
    lr[:, :4, :5] = np.array([0, 255, 52])[:, None, None]
    lr[0, 8, 9] = 0
    lr[1:, 3, 11] = np.array([255, 52])
    source = make_raster(data=lr)
    with rasterio.open(source, "r+") as tagged:
        tagged.update_tags(NODATA_VALUES="0 255 52")
    with rasterio.open(source) as tagged:
        assert MaskFlags.per_dataset in tagged.mask_flag_enums[0]
    result = make_model(3, radiometry="identity").infer_file(source, tmp_path / "out.tif")
    assert (result.nodata, result.mask) == (None, True)
    valid = np.ones((12, 13), dtype=bool)
    valid[:4, :5] = False
    with rasterio.open(tmp_path / "out.tif") as out:
        for band in (1, 2, 3):
            np.testing.assert_array_equal(
                out.read_masks(band) != 0, valid.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
            )


def test_points_without_a_crs_do_not_become_one(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster("in.img", height=8, width=9, driver="HFA", crs=None)
    with rasterio.open(source, "r+") as tagged:
        tagged.update_tags(AREA_OR_POINT="Point")
    with rasterio.open(source) as tagged:
        assert (tagged.crs, tagged.tags()["AREA_OR_POINT"]) == (None, "Point")
    model.infer_file(source, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as out:
        assert out.crs is None
        assert out.transform == Affine(5, 0, 500_000, 0, -5, 4_000_000)


def test_metadata_that_gdal_keeps_in_files_leave_none_behind(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source, folder = make_raster(height=8, width=9), tmp_path / "out"
    folder.mkdir()
    with rasterio.open(source, "r+") as tagged:
        tagged.update_tags(ns="IMD", numColumns="9", satId="WV02")
        tagged.update_tags(ns="IMAGERY", SATELLITEID="WV02")
    assert source.with_suffix(".IMD").exists()
    model.infer_file(source, folder / "out.tif", InferOptions(creation_options={"TFW": "NO"}))
    assert os.listdir(folder) == ["out.tif"]
    with rasterio.open(folder / "out.tif") as out:
        # It speaks of the pixels of the input.
        assert out.tags(ns="IMD") == {}
        assert out.tags(ns="IMAGERY") == {"SATELLITEID": "WV02"}


class HugeBlocks:
    """A dataset whose blocks GDAL finds no memory for."""

    name, count, block_shapes = "in.tif", 400, [(40, 65_535)]
    dtypes, colorinterp, nodatavals = ("uint8",), (ColorInterp.gray,), (None,)
    mask_flag_enums = ([MaskFlags.all_valid],)

    def read(self, *_: object, **__: object) -> None:
        words = "gtiffdataset_read.cpp, 3339: cannot allocate 1x171793449000 bytes"
        raise RasterioIOError("Read failed") from RuntimeError(words)


def test_blocks_larger_than_the_memory_are_told_of() -> None:
    dataset: Any = HugeBlocks()
    with pytest.raises(RefusedError, match=r"rows 0\.\.7: .*cannot allocate") as caught:
        read_pixels(dataset, Window(0, 0, 8, 8), [1])
    assert (
        "blocks of 65535 x 40 pixels and 400 bands do not fit into the memory" in caught.value.hint
    )
    assert "gdal_translate -co TILED=YES" in caught.value.hint


def test_an_old_kind_of_jpeg_is_not_called_damaged() -> None:
    words = "OJPEGSetupDecode:%s"
    with heard_damage("in.tif") as heard:
        logger = logging.getLogger("rasterio._env")
        logger.warning("CPLE_AppDefined in x.tif: " + words, "Deprecated and troublesome old-style")
        assert heard == []
        logger.warning("CPLE_AppDefined in x.tif: " + words, "Inconsistent strip size")
        assert len(heard) == 1


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_flipped_bit_that_gdal_does_not_notice_is_refused(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path, interleave: str
) -> None:
    source = make_raster(
        height=64, width=64, compress="deflate", interleave=interleave, tiled=True,
        blockxsize=32, blockysize=32,
    )  # fmt: skip
    whole, bands = source.read_bytes(), 2
    with rasterio.open(source) as dataset:
        good = dataset.read()
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=bands))
        size = int(dataset.get_tag_item("BLOCK_SIZE_1_0", "TIFF", bidx=bands))
    for place in range(offset + 2, offset + size - 4):
        source.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with gdal_env(), rasterio.open(source) as dataset, suppress(RasterioError):
            if not np.array_equal(dataset.read(), good):
                break
    else:
        pytest.fail("GDAL noticed every flipped bit")
    words = r"cannot read .*in\.tif at rows 0\.\.31: a compressed block does not match its checksum"
    with pytest.raises(RefusedError, match=words):
        model.infer_file(source, tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]
    # What lies in other blocks can still be used.
    options = InferOptions(window=(0, 40, 20, 20), halo=4, tile_px=16)
    assert model.infer_file(source, tmp_path / "out.tif", options).height == 40


def test_blocks_without_an_end_are_left_to_gdal(ground: Callable[..., np.ndarray]) -> None:
    pixels = ground(1, 32, 32).astype("uint16").tobytes()
    stream = zlib.compressobj()
    unended = stream.compress(pixels) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert not _is_damaged(unended)
    assert not _is_damaged(unended + stream.flush() + b"padding")
    assert _is_damaged(zlib.compress(pixels)[:-4] + bytes(4))
