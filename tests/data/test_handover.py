import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from srgan_cli.data import handover
from srgan_cli.data.batch import Batch
from srgan_cli.data.handover import Packer, Unpacker
from srgan_cli.errors import RefusedError

ROOT = Path(__file__).parents[2]


def crops(value, count=3, side=8):
    return [
        Batch(
            torch.full((2, side // 2, side // 2), value + i),
            torch.full((2, side, side), -value - i),
            torch.ones(1, side, side),
        )
        for i in range(count)
    ]


def same(batch, value, count=3):
    return all(
        torch.equal(batch.lr[i], crop.lr) and torch.equal(batch.hr[i], crop.hr)
        for i, crop in enumerate(crops(value, count))
    )


def test_batches_keep_their_values_while_places_are_filled_again():
    packer, unpacker = Packer(2), Unpacker(pin=False)
    packed = [packer.pack(crops(float(value)), ()) for value in (10, 20)]
    batches = [unpacker.unpack(message) for message in packed]
    for value in (30, 40, 50):
        message = packer.pack(crops(float(value)), ())
        assert message.memory is None
        batches.append(unpacker.unpack(message))
    for value, batch in zip((10, 20, 30, 40, 50), batches, strict=True):
        assert same(batch, float(value))
        assert all(image.is_contiguous() for image in batch)


def test_batches_of_another_size_get_a_place_of_their_size():
    packer, unpacker = Packer(1), Unpacker(pin=False)
    for value, count in ((1.0, 3), (2.0, 3), (3.0, 2), (4.0, 3)):
        message = packer.pack(crops(value, count), ())
        assert same(unpacker.unpack(message), value, count)


def test_loader_processes_lose_no_batch_of_many(scene, config):
    from srgan_cli.data.training import open_training_data

    paths = [str(scene("a.tif")), str(scene("b.tif"))]
    alone = open_training_data(config(hr=paths)).train_batches(0, 60)
    data = open_training_data(config(hr=paths, num_workers=3, prefetch_factor=1))
    kept = list(data.train_batches(0, 60))
    for left, right in zip(alone, kept, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_shared_memory_that_is_too_small_is_refused_before_it_kills(
    scene, config, monkeypatch, tmp_path
):
    from srgan_cli.data.training import open_training_data

    path = str(scene("a.tif"))
    monkeypatch.setattr(handover, "SHARED_FOLDER", str(tmp_path))
    usage = SimpleNamespace(free=2**20)
    monkeypatch.setattr(handover.shutil, "disk_usage", lambda _: usage)
    # 32 crops of 4 bands: 0.7 MB for each of the 2 * 3 places.
    large = config(hr=path, val_hr=path, train_batch_size=32, num_workers=2)
    with pytest.raises(
        RefusedError, match=r"Data.num_workers: 2 loader .* need 4 MiB, but 1 MiB"
    ) as caught:
        open_training_data(large)
    assert "--shm-size" in caught.value.hint
    open_training_data(config(hr=path, val_hr=path, train_batch_size=32, num_workers=0))
    usage.free = 2**23
    open_training_data(large)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux' account of processes")
@pytest.mark.parametrize(("workers", "kind"), [(0, "tif"), (1, "npy")])
def test_neither_files_nor_memory_grow(tmp_path, workers, kind):
    spec = importlib.util.spec_from_file_location("leaks", ROOT / "benchmarks" / "leaks.py")
    leaks = importlib.util.module_from_spec(spec)
    sys.modules["leaks"] = leaks
    spec.loader.exec_module(leaks)
    files, megabytes = leaks.growth(leaks.measure(tmp_path, 3000, workers, scenes=140, kind=kind))
    assert files <= leaks.ALLOWANCE_FILES
    # A file left open for each crop, or a crop kept, would be ten times as much.
    assert megabytes < leaks.ALLOWANCE_MB


def test_the_room_of_a_crop_is_that_of_its_images(scene, config):
    from srgan_cli.data.training import open_training_data

    path = str(scene("a.tif"))
    for scale in (2, 4):
        data = open_training_data(config(scale=scale, hr=path, val_hr=path))
        crop = data.train_crops()[0]
        assert handover.crop_floats(32, 4, scale) == sum(image.numel() for image in crop)
