import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from srgan_cli.data.arrays import ArrayDataset, bands_first, open_array
from srgan_cli.data.rasters import UnreadableError, read_pixels, valid_mask
from srgan_cli.errors import RefusedError


def image(bands=4, rows=12, cols=10, dtype=np.uint16):
    return np.arange(bands * rows * cols).reshape(bands, rows, cols).astype(dtype)


@settings(deadline=None)
@given(st.integers(1, 13), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["HWC", "CHW"]))
def test_the_band_axis_is_the_one_of_the_right_length_or_nothing(bands, rows, cols, layout):
    stored = image(bands, rows, cols)
    given_array = stored.transpose(1, 2, 0) if layout == "HWC" else stored
    other_end = rows if layout == "HWC" else cols
    if other_end == bands:
        with pytest.raises(RefusedError, match="so the bands could be either"):
            bands_first(given_array, bands, "a.npy")
    else:
        np.testing.assert_array_equal(bands_first(given_array, bands, "a.npy"), stored)


@pytest.mark.parametrize(
    ("shape", "num_bands", "text", "fix"),
    [
        ((4, 30, 4), 4, "a.npy is 4x30x4: its first and its last axis both have", "GeoTIFF"),
        ((64, 64, 3), 4, "neither its first nor its last axis has Model.in_bands 4", "in_bands: 3"),
        ((3, 64, 64), 4, "neither its first nor its last axis", "in_bands: 3"),
        ((64, 64), 4, "a.npy is 64x64: a single band, but Model.in_bands is 4", "in_bands: 1"),
        ((2, 4, 64, 64), 4, "4 axes, but an image has three", "one image per file"),
        ((7,), 1, "1 axes", "one image per file"),
    ],
)
def test_shapes_that_are_no_image_say_what_to_do(shape, num_bands, text, fix):
    with pytest.raises(RefusedError) as caught:
        bands_first(np.zeros(shape), num_bands, "a.npy")
    assert text in caught.value.message
    assert fix in caught.value.hint


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">u2", "float32", "float16", "f8"])
def test_windows_of_a_npy_file_are_read_as_they_lie(tmp_path, dtype, order):
    stored = image(dtype=dtype)
    np.save(tmp_path / "a.npy", np.asarray(stored.transpose(1, 2, 0), order=order))
    with open_array(str(tmp_path / "a.npy"), 4) as dataset:
        window = Window(2, 3, 5, 4)
        values, valid = read_pixels(dataset, window, (4, 1))
        np.testing.assert_array_equal(values, stored[[3, 0], 3:7, 2:7].astype(np.float32))
        assert valid.all()
        in_row, _ = read_pixels(dataset, window, (2, 3))
        np.testing.assert_array_equal(in_row, stored[1:3, 3:7, 2:7].astype(np.float32))
        few, _ = read_pixels(dataset, Window(0, 0, 10, 12), (1,), shape=(6, 5))
        np.testing.assert_array_equal(few[0], stored[0, 1::2, 1::2].astype(np.float32))


def test_nan_and_nodata_are_invalid(tmp_path):
    stored = image(1, dtype=np.float32)
    stored[0, 0, 1] = np.nan
    np.save(tmp_path / "a.npy", stored)
    with open_array(str(tmp_path / "a.npy"), 1) as dataset:
        valid = valid_mask(dataset, Window(0, 0, 10, 12), (1,), nodata=5.0)
    assert [tuple(at) for at in np.argwhere(~valid)] == [(0, 1), (0, 5)]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_array_of_a_npz_file(tmp_path, save):
    path = str(tmp_path / "a.npz")
    save(path, other=image() + 1, hr=image())
    first, named = open_array(path, 4), open_array(path, 4, "hr")
    np.testing.assert_array_equal(first.read([1, 2, 3, 4]), image() + 1)
    np.testing.assert_array_equal(named.read([1, 2, 3, 4]), image())
    save(path, data=image())
    np.testing.assert_array_equal(open_array(path, 4, "hr").read([1]), image()[:1])


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-300])


def not_numpy(path):
    path.write_bytes(b"hello, world")


def empty(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    for index in range(200, 260):
        content[index] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("damage", [cut_short, not_numpy, empty])
def test_damaged_files_are_named(tmp_path, suffix, damage):
    path = tmp_path / f"a.{suffix}"
    np.save(path, image()) if suffix == "npy" else np.savez_compressed(path, image())
    damage(path)
    with pytest.raises(UnreadableError, match=f"cannot open {path}: ") as caught:
        open_array(str(path), 4)
    assert "numpy.load" in caught.value.hint
    assert caught.value.path == str(path)


def test_a_npz_file_with_flipped_bits_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, np.random.default_rng(0).integers(0, 9999, (4, 40, 40)))
    flipped(path)
    with pytest.raises(UnreadableError, match="cannot open"):
        open_array(str(path), 4)


def test_what_is_no_array_of_numbers_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(RefusedError, match="it is no array of numbers"):
        open_array(str(tmp_path / "objects.npy"), 1)
    np.save(tmp_path / "complex.npy", np.zeros((4, 8, 8), np.complex64))
    with pytest.raises(RefusedError, match="holds complex64, not numbers of one band each"):
        open_array(str(tmp_path / "complex.npy"), 4)
    np.savez(tmp_path / "none.npz")
    with pytest.raises(RefusedError, match="it holds no array"):
        open_array(str(tmp_path / "none.npz"), 4)
    buffer = io.BytesIO()
    np.save(buffer, image())
    (tmp_path / "in_truth_a_npy.npz").write_bytes(buffer.getvalue())
    with pytest.raises(RefusedError, match="it is no npz archive"):
        open_array(str(tmp_path / "in_truth_a_npy.npz"), 4)
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(RefusedError, match="cannot open"):
        open_array(str(tmp_path / "text.npz"), 4)


def test_masks_and_band_numbers_of_an_image_in_memory():
    mask = np.ones((12, 10), bool)
    mask[2, 3] = False
    dataset = ArrayDataset("a", image(2), mask, band_numbers=(5, 2))
    values, valid = read_pixels(dataset, Window(3, 2, 4, 4), (2, 5))
    np.testing.assert_array_equal(values, image(2)[[1, 0], 2:6, 3:7])
    assert [tuple(at) for at in np.argwhere(~valid)] == [(0, 0)]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["npy", "npz"]),
    st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 3000),
)
def test_no_damage_ends_in_a_traceback(tmp_path_factory, suffix, changes, length):
    path = tmp_path_factory.mktemp("damaged") / f"a.{suffix}"
    np.save(path, image()) if suffix == "npy" else np.savez_compressed(path, image())
    content = bytearray(path.read_bytes()[:length] if length < 1500 else path.read_bytes())
    for place, value in changes:
        if content:
            content[place % len(content)] = value
    path.write_bytes(content)
    message = str(path)
    try:
        with open_array(str(path), 4) as dataset:
            dataset.read([1])
    except RefusedError as err:
        message = err.message
    assert str(path) in message
