"""How much of the disk an output takes while it is made."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model


@contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """The bytes in a folder, looked at all the time while the block runs."""
    sizes, ended = [0], threading.Event()

    def size(path: Path) -> int:
        try:
            return path.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def watch() -> None:
        while not ended.wait(0.001):
            # The folder of unfinished files may go while it is listed.
            with suppress(FileNotFoundError):
                sizes.append(sum(map(size, folder.rglob("*.*"))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("form", ["gtiff", "cog"])
@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("shape", [(150, 150), (400, 33)])
def test_the_disk_holds_what_was_announced_and_no_more(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    form: str,
    compress: str,
    shape: tuple[int, int],
) -> None:
    noise = np.random.default_rng(0).random((2, *shape)) * 10_000
    source = make_raster(data=noise.astype("float32"))
    folder = tmp_path / "out"
    folder.mkdir()
    options = InferOptions(format=form, compress=compress, tile_px=64, qa=False)
    with watched(folder) as sizes:
        result = make_model(scale=4).infer_file(source, folder / "out.tif", options)
    assert 0.5 * result.peak_bytes < max(sizes) < 1.05 * result.peak_bytes + 2**16


def test_blocks_of_uncompressed_files_count_whole(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An image of 514 px takes four blocks of 512."""
    source, out = make_raster(height=257, width=257), tmp_path / "out.tif"
    raw = 2 * 2 * 514**2
    free = int(2.5 * raw)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
    make_model().infer_file(source, out, InferOptions(dry_run=True))
    with pytest.raises(RefusedError, match=r"2\.6 MB free, making the output takes up to 5\.3 MB"):
        make_model().infer_file(source, out, InferOptions(compress="none"))
    assert not out.exists()
