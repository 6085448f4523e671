import numpy as np
import pytest
import torch

from srgan_cli.data.crops import fixed_places
from srgan_cli.data.cutter import Cutter
from srgan_cli.data.images import build_reading
from srgan_cli.data.rasters import UnreadableError, gdal_env
from srgan_cli.data.training import open_training_data
from srgan_cli.data.unreadable import readable
from srgan_cli.errors import RefusedError


@pytest.fixture
def tiled(write_raster):
    """Scenes of one tile each row of 64: a damaged tile leaves the others readable."""

    def write(name, side=256):
        pixels = np.random.default_rng(sum(name.encode())).integers(300, 4000, (2, side, side))
        options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        return write_raster(name, pixels.astype(np.uint16), **options)

    return write


def damage(path, share=0.4):
    """Overwrite the compressed pixels behind a place; header and directory stay."""
    content = bytearray(path.read_bytes())
    start, end = int(len(content) * share), int(len(content) * 0.95)
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def settings(paths, **more):
    return {"hr": [str(path) for path in paths], "in_bands": 2} | more


def test_every_unreadable_file_is_named_by_default(tiled, config):
    paths = [tiled(f"{name}.tif") for name in "abcd"]
    cut(paths[1])
    cut(paths[3])
    with pytest.raises(RefusedError) as caught:
        open_training_data(config(**settings(paths)))
    assert "2 of 4 scenes cannot be read:" in caught.value.message
    assert "b.tif" in caught.value.message
    assert "d.tif" in caught.value.message
    assert "a.tif" not in caught.value.message
    assert "Data.on_bad_file: skip" in caught.value.hint
    assert caught.value.exit_code == 2


def test_unreadable_files_are_skipped_with_their_names_and_count(tiled, config):
    paths = [tiled(f"{name}.tif") for name in "abcd"]
    cut(paths[1])
    data = open_training_data(config(**settings(paths, on_bad_file="skip")))
    warning = next(text for text in data.warnings if "on_bad_file" in text)
    assert "skipped 1 of 4 scenes that cannot be read:" in warning
    assert f"Data.hr: cannot read {paths[1]}" in warning or str(paths[1]) in warning
    assert {row[0] for row in data.describe()} == {str(paths[i]) for i in (0, 2, 3)}


def test_nothing_left_to_read_is_refused_also_with_skip(tiled, config):
    path = tiled("a.tif")
    cut(path)
    with pytest.raises(RefusedError, match=r"a.tif"):
        open_training_data(config(**settings([path], on_bad_file="skip")))


def test_what_is_wrong_otherwise_is_refused_also_with_skip(tiled, config):
    paths = [tiled("a.tif"), tiled("b.tif")]
    wrong = config(**settings(paths, on_bad_file="skip", in_bands=3))
    with pytest.raises(RefusedError, match="has 2 bands, but Model.in_bands is 3"):
        open_training_data(wrong)


def many_names(count):
    def read(index):
        raise UnreadableError(f"{index}.tif", f"cannot open {index}.tif: gone", "look for it")

    return count, read


def test_long_lists_are_cut_and_counted():
    count, read = many_names(40)
    with pytest.raises(UnreadableError) as caught:
        readable(range(count), read, False, print, "scenes")
    assert "40 of 40 scenes cannot be read" in caught.value.message
    assert "4.tif" in caught.value.message
    assert "5.tif" not in caught.value.message
    assert "and 35 more" in caught.value.message


@pytest.fixture
def damaged_later(tiled, config):
    """Data opened while all files were good; one of them is damaged now."""

    def make(**more):
        paths = [tiled("a.tif"), tiled("b.tif")]
        common = settings(paths, val_hr=str(paths[0]), **more)
        data, with_workers = (
            open_training_data(config(**common, num_workers=number)) for number in (0, 2)
        )
        damage(paths[1])
        return data, with_workers, paths

    return make


def test_a_file_damaged_in_the_middle_stops_the_training_by_default(damaged_later):
    data, _, paths = damaged_later()
    with pytest.raises(RefusedError, match=f"cannot read {paths[1]}"):
        list(data.train_batches(0, 40))


def same(left, right):
    return all(
        torch.equal(a, b)
        for x, y in zip(left, right, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_skipping_in_the_middle_is_deterministic_and_told(damaged_later):
    data, _, paths = damaged_later(on_bad_file="skip")
    told = []
    batches = list(data.train_batches(0, 20, warn=told.append))
    assert same(batches, data.train_batches(0, 20))
    assert same(batches[12:], data.train_batches(12, 20))
    ranks = [list(data.train_batches(0, 10, rank, 3)) for rank in range(3)]
    shares = zip(*ranks, strict=True)
    together = [[torch.cat(parts) for parts in zip(*step, strict=True)] for step in shares]
    assert same(batches[:10], together)
    assert f"because cannot read {paths[1]}" in told[0]
    assert len(told) == 2
    replaced = int(told[1].split()[1])
    assert f"{replaced} crops of 1 files were replaced: {paths[1]} ({replaced})" in told[1]
    assert 5 < replaced < 60


def test_skipping_does_not_depend_on_the_number_of_workers(damaged_later):
    data, with_workers, _ = damaged_later(on_bad_file="skip")
    told, told_by_workers = [], []
    alone = list(data.train_batches(0, 12, warn=told.append))
    assert same(alone, with_workers.train_batches(0, 12, warn=told_by_workers.append))
    assert told_by_workers == told


def test_crops_of_good_files_stay_the_same_when_another_file_fails(tiled, config):
    paths = [tiled("a.tif"), tiled("b.tif")]
    data = open_training_data(
        config(**settings(paths, val_hr=str(paths[0]), on_bad_file="skip", augment=False))
    )
    before = torch.cat([batch.hr for batch in data.train_batches(0, 20)])
    damage(paths[1])
    after = torch.cat([batch.hr for batch in data.train_batches(0, 20)])
    kept = (before == after).flatten(1).all(dim=1).float().mean()
    assert 0.4 < float(kept) < 1


def test_when_everything_fails_training_stops_with_advice(damaged_later):
    data, _, paths = damaged_later(on_bad_file="skip")
    for path in paths:
        path.unlink()
    with pytest.raises(RefusedError, match="100 crops in a row could not be read") as caught:
        list(data.train_batches(0, 1))
    assert "cannot open" in caught.value.message
    assert "check the disk" in caught.value.hint


def test_validation_crops_that_fail_are_left_out(tiled, config):
    paths = [tiled("a.tif"), tiled("b.tif"), tiled("c.tif")]
    val = {"val_hr": [str(paths[1]), str(paths[2])], "val_crops": 100}
    data = open_training_data(config(**settings(paths[:1], on_bad_file="skip", **val)))
    before = data.validation()
    damage(paths[2])
    told = []
    after = data.validation(told.append)
    left_out = before.hr.shape[0] - after.hr.shape[0]
    assert f"skipped {left_out} of 100 validation crops that cannot be read" in told[0]
    assert 50 < after.hr.shape[0] < before.hr.shape[0] == 100
    assert torch.equal(after.hr, data.validation().hr)
    strict = open_training_data(config(**settings(paths[:1], **val | {"val_hr": str(paths[1])})))
    damage(paths[1])
    with pytest.raises(RefusedError, match="cannot read"):
        strict.validation()


def test_places_for_validation_that_cannot_be_judged_are_left_out(write_raster, config):
    pixels = np.random.default_rng(0).integers(300, 4000, (2, 256, 256)).astype(np.uint16)
    pixels[:, :20, :30] = 0
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    path = write_raster("a.tif", pixels, nodata=0, **options)
    chosen = config(**settings([path], val_hr=str(path), val_crops=100))
    data = open_training_data(chosen)
    damage(path)
    scene = data._train[0]
    cutter = Cutter(32, data.radiometry, data.degradation, build_reading(chosen))
    with gdal_env():
        with pytest.raises(UnreadableError, match="cannot read"):
            fixed_places([scene], cutter, 100, 0, 0.5)
        found = fixed_places([scene], cutter, 100, 0, 0.5, skip_unreadable=True)
    assert 5 < len(found) < len(data._val)
