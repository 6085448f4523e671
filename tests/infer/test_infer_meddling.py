"""What others do to the files of an inference while it is at work."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from interrupting import after

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.workshop import folder_of

pytestmark = pytest.mark.usefixtures("small_blocks")

TILES = InferOptions(tile_px=16)


@pytest.fixture
def source(make_raster: Callable[..., Path]) -> Path:
    return make_raster(height=100, width=90)


@pytest.mark.parametrize("change", [os.utime, Path.unlink, lambda path: os.truncate(path, 999)])
def test_an_input_that_changes_meanwhile_is_no_input(
    model: Model,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    out, content = tmp_path / "out.tif", source.read_bytes()
    once = iter([change])

    def act() -> None:
        for each in once:
            each(source)

    with after(monkeypatch, 12, act), pytest.raises(SrganError) as caught:
        model.infer_file(source, out, TILES)
    assert re.search(r"in\.tif: changed while it was read|cannot read", caught.value.message)
    assert not out.exists()
    source.write_bytes(content)
    with pytest.raises(RefusedError, match=r"files: \["):
        model.infer_file(source, out, TILES)
    again = replace(TILES, resume=False)
    assert model.infer_file(source, out, again).resumed_tiles == 0


@pytest.mark.parametrize("which", ["the output's folder", "that of the parts"])
@pytest.mark.parametrize("runs", [0, 12])
def test_a_folder_that_is_removed_meanwhile_is_told_of(
    model: Model,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    runs: int,
) -> None:
    out = tmp_path / "deep" / "out.tif"
    out.parent.mkdir()
    removed = out.parent if "output" in which else folder_of(out)

    def remove() -> None:
        shutil.rmtree(removed, ignore_errors=True)

    with after(monkeypatch, runs, remove), pytest.raises(SrganError) as caught:
        model.infer_file(source, out, TILES)
    assert re.search(r"cannot write .*out\.tif.*: No such file", caught.value.message)
    assert caught.value.exit_code == 1
    assert "kept" not in caught.value.hint
    out.parent.mkdir(exist_ok=True)
    assert model.infer_file(source, out, TILES).resumed_tiles == 0
