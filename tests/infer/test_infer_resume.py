"""No work is lost: an interrupted inference goes on, and ends in the same bytes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from interrupting import after, fail

from srgan_cli.errors import RefusedError, SrganError, StoppedError
from srgan_cli.infer import InferOptions, InferResult, Model, load
from srgan_cli.infer import finishing as finishing_module
from srgan_cli.infer import job as job_module
from srgan_cli.infer import part_files as part_files_module
from srgan_cli.infer.workshop import folder_of
from srgan_cli.lock import locked

pytestmark = pytest.mark.usefixtures("small_blocks")

TILES = InferOptions(tile_px=16)


@pytest.fixture
def source(make_raster: Callable[..., Path], ground: Callable) -> Path:
    data = ground(2, 100, 90).astype("uint16")
    data[:, 20:60, 30:80] = 0
    return make_raster(data=data, nodata=0)


def interrupted(
    monkeypatch: pytest.MonkeyPatch,
    model: Model,
    source: Path,
    out: Path,
    runs: int = 12,
    options: InferOptions = TILES,
) -> Path:
    with (
        after(monkeypatch, runs, fail),
        pytest.raises(SrganError, match="played failure") as caught,
    ):
        model.infer_file(source, out, options)
    folder = folder_of(out)
    assert folder.is_dir()
    assert f"tiles are kept in {folder}: run the same command again to go on" in caught.value.hint
    assert not out.exists()
    return folder


def whole(model: Model, source: Path, out: Path, options: InferOptions = TILES) -> bytes:
    model.infer_file(source, out, options)
    return out.read_bytes()


@pytest.mark.parametrize("runs", [1, 12, 30])
@pytest.mark.parametrize("format_", ["gtiff", "cog"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_resumed_inference_ends_in_the_same_bytes(
    model: Model,
    source: Path,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    runs: int,
    format_: str,
    masked: bool,
) -> None:
    if masked:
        mask = np.full((100, 90), 255, dtype="uint8")
        mask[20:60, 30:80] = 0
        source = make_raster("masked.tif", height=100, width=90, mask=mask)
    options = InferOptions(tile_px=16, format=format_)
    expected = whole(model, source, tmp_path / "whole.tif", options)
    out = tmp_path / "out.tif"
    interrupted(monkeypatch, model, source, out, runs, options)
    result = model.infer_file(source, out, options)
    assert result.resumed_tiles >= runs
    assert result.skipped_tiles > 0
    assert out.read_bytes() == expected
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"in.tif", "masked.tif"} == {"whole.tif", "out.tif"}, "nothing is left behind"


@pytest.mark.parametrize("seconds", [-1.0, 1e9])
def test_what_took_long_is_put_on_the_disk(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    monkeypatch.setattr("srgan_cli.infer.store._SYNC_SECONDS", seconds)
    fsync, synced = os.fsync, []

    def noted(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    interrupted(monkeypatch, model, source, tmp_path / "out.tif")
    parts = [name for name in synced if "0000" in Path(name).name]
    assert bool(parts) == (seconds < 0)
    assert whole(model, source, tmp_path / "out.tif") == expected


def test_what_is_finished_is_not_made_again(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    interrupted(monkeypatch, model, source, out, 20)
    made: list[int] = []
    with after(monkeypatch, 0, lambda: made.append(1)):
        result = model.infer_file(source, out, TILES)
    full = result.num_tiles - result.skipped_tiles
    assert len(made) == full - 20
    interrupted(monkeypatch, model, source, tmp_path / "b.tif", 20)
    made.clear()
    with after(monkeypatch, 0, lambda: made.append(1)):
        fresh = model.infer_file(source, tmp_path / "b.tif", InferOptions(tile_px=16, resume=False))
    assert len(made) == full
    assert fresh.resumed_tiles == 0


def test_long_strips_are_saved_piece_by_piece(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    monkeypatch.setattr("srgan_cli.infer.store.SEAL_SECONDS", -1.0)
    folder = interrupted(monkeypatch, model, source, tmp_path / "out.tif", 9)
    assert len(list(folder.glob("*.bin"))) >= 9
    assert whole(model, source, tmp_path / "out.tif") == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_saving(
    model: Model,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    handler, out = signal.getsignal(number), tmp_path / "out.tif"
    stop = after(monkeypatch, 9, lambda: os.kill(os.getpid(), number))
    with stop, pytest.raises(StoppedError, match=f"stopped by {number.name}") as caught:
        model.infer_file(source, out, TILES)
    assert caught.value.exit_code == 128 + number
    assert "of 42 tiles are kept in" in caught.value.message
    assert "run the same command again to go on" in caught.value.hint
    assert signal.getsignal(number) == handler
    assert threading.active_count() < 20
    result = model.infer_file(source, out, TILES)
    assert result.resumed_tiles >= 9
    assert out.read_bytes() == expected


def test_a_signal_before_anything_is_finished_leaves_nothing(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    stop = after(monkeypatch, 0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with stop, pytest.raises(StoppedError, match="the unfinished output was removed") as caught:
        model.infer_file(source, out)
    assert "start again" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_signal_while_the_halo_is_measured_leaves_nothing(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_cut = job_module.find_cut

    def signalled(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return find_cut(*args)

    monkeypatch.setattr(job_module, "find_cut", signalled)
    with pytest.raises(StoppedError, match="stopped by SIGTERM; the unfinished output was removed"):
        model.infer_file(source, tmp_path / "out.tif", TILES)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_stop_while_writing_keeps_all_tiles(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    assemble = finishing_module.assemble

    def stopped(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assemble(*args)

    with monkeypatch.context() as patched:
        patched.setattr(finishing_module, "assemble", stopped)
        with pytest.raises(StoppedError, match="42 of 42 tiles are kept"):
            model.infer_file(source, tmp_path / "out.tif", TILES)
    left = sorted(path.suffix for path in folder_of(tmp_path / "out.tif").iterdir())
    assert set(left) <= {"", ".bin", ".json"}, "the unfinished file is gone"
    with after(monkeypatch, 0, fail):
        assert whole(model, source, tmp_path / "out.tif") == expected


DIFFERENT = {
    "tile: 16 there, 32 now": InferOptions(tile_px=32),
    "halo: auto there, 9 now": InferOptions(tile_px=16, halo=9),
    "dtype: uint16 there, float32 now": InferOptions(tile_px=16, dtype="float32"),
    "precision: fp32 there, bf16 now": InferOptions(tile_px=16, precision="bf16"),
    "nodata: 0.0 there, 7.0 now": InferOptions(tile_px=16, nodata=7.0),
    r"bands: \[1, 2\] there, \[2, 1\] now": InferOptions(tile_px=16, bidx=(2, 1)),
    "tolerance: None there, 3.0 now": InferOptions(tile_px=16, tolerance=3.0),
}


@pytest.mark.usefixtures("native_bf16")
def test_parts_of_another_inference_are_refused_by_name(
    model: Model,
    source: Path,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.tif"
    folder = interrupted(monkeypatch, model, source, out)
    before = sorted(folder.iterdir())

    def refused(words: str, who: Model, src: Path, options: InferOptions) -> None:
        with pytest.raises(RefusedError, match=words) as caught:
            who.infer_file(src, out, options)
        assert "finished parts of another inference" in caught.value.message
        assert "--restart" in caught.value.hint
        assert sorted(folder.iterdir()) == before, "nothing is lost"

    for words, options in DIFFERENT.items():
        refused(words, model, source, options)
    other = Model(model.generator, model.info, "1" * 64)
    refused("weights: 000000.* there, 111111.* now", other, source, TILES)
    refused("input: .*in.tif there, .*b.tif now", model, make_raster("b.tif"), TILES)
    facts = source.stat()
    os.utime(source, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))
    refused(r"files: \[.*changed .* there, \[.*changed .* now", model, source, TILES)
    with rasterio.open(source, "r+") as opened:
        opened.write(opened.read() // 2)
    refused("values: .* there, .* now", model, source, TILES)
    assert model.infer_file(source, out, InferOptions(tile_px=16, resume=False)).height == 200
    assert not folder.exists()


def test_compression_and_format_may_change(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = InferOptions(tile_px=16, compress="zstd", creation_options={"BLOCKXSIZE": "64"})
    expected = whole(model, source, tmp_path / "whole.tif", options)
    interrupted(monkeypatch, model, source, tmp_path / "out.tif")
    result = model.infer_file(source, tmp_path / "out.tif", options)
    assert result.resumed_tiles
    assert (tmp_path / "out.tif").read_bytes() == expected


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "json", "text"])
def test_a_damaged_part_is_made_again(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    out = tmp_path / "out.tif"
    folder = interrupted(monkeypatch, model, source, out, 20)
    part = sorted(folder.glob("*.bin"))[1]
    content = bytearray(part.read_bytes())
    note = part.with_suffix(".json")
    if damage == "cut":
        part.write_bytes(content[:-3])
    elif damage == "flip":
        content[100] ^= 4
        part.write_bytes(content)
    elif damage == "gone":
        part.unlink()
    elif damage == "json":
        note.write_text(json.dumps({"bytes": len(content)}))
    else:
        note.write_text("{")
    result = model.infer_file(source, out, TILES)
    assert result.resumed_tiles > 0
    assert f"part {part.stem} was damaged and is made again" in result.warnings
    assert out.read_bytes() == expected


def test_a_damaged_manifest_means_to_begin_anew(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    for content in ("", "[]", '{"facts": {}, "cut": {}}'):
        folder = interrupted(monkeypatch, model, source, out)
        (folder / "manifest.json").write_text(content)
        assert model.infer_file(source, out, InferOptions(tile_px=16, overwrite=True)).height == 200
        out.unlink()


def test_a_second_process_is_refused(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    folder = interrupted(monkeypatch, model, source, out)
    before = sorted(folder.iterdir())
    with (
        locked(folder / "lock", "srgan infer", "choose another OUTPUT"),
        pytest.raises(
            RefusedError, match="another srgan infer is writing to .*out.tif.srgan"
        ) as caught,
    ):
        model.infer_file(source, out, TILES)
    assert "choose another OUTPUT" in caught.value.hint
    assert sorted(folder.iterdir()) == before
    assert model.infer_file(source, out, TILES).resumed_tiles


def test_other_files_in_the_folder_stay(model: Model, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tif"
    folder = folder_of(out)
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    model.infer_file(source, out, TILES)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    other = tmp_path / "other.tif"
    folder_of(other).write_text("a file")
    with pytest.raises(RefusedError, match="a file where parts go"):
        model.infer_file(source, other, TILES)


def test_a_full_disk_loses_nothing(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(model, source, tmp_path / "whole.tif")
    out, count = tmp_path / "out.tif", 0
    append = part_files_module.PartWriter._append

    def full(part: Any, data: memoryview) -> None:
        nonlocal count
        count += 1
        if count > 25:
            # As much as still fits, as a disk does it.
            part._file.write(data.cast("B")[:100])
            with part_files_module._told(part._path):
                raise OSError(errno.ENOSPC, "No space left on device")
        append(part, data)

    with monkeypatch.context() as patched:
        patched.setattr(part_files_module.PartWriter, "_append", full)
        with pytest.raises(SrganError, match="cannot write .*No space left on device") as caught:
            model.infer_file(source, out, TILES)
    assert caught.value.exit_code == 1
    assert "free some space" in caught.value.hint
    assert "run the same command again" in caught.value.hint
    result = model.infer_file(source, out, TILES)
    assert result.resumed_tiles >= 25
    assert not result.warnings
    assert out.read_bytes() == expected


class Counter:
    """Sums that show whether every tile was seen once."""

    def __init__(self, plan: object) -> None:
        self.noted = {"tiles": 0, "valid": 0, "lr": 0.0, "sr": 0.0}

    def look(
        self, tile: Any, lr_core: np.ndarray, sr_core: np.ndarray, valid: np.ndarray
    ) -> dict[str, Any]:
        assert lr_core.shape[1:] == valid.shape == (tile.core.height, tile.core.width)
        assert sr_core.shape[1:] == (2 * tile.core.height, 2 * tile.core.width)
        return {
            "tiles": 1,
            "valid": int(valid.sum()),
            "lr": round(float(lr_core[:, valid].sum()), 2),
            "sr": round(float(sr_core.sum()), 2),
        }

    def note(self, seen: dict[str, Any]) -> None:
        self.merge(seen)

    def as_dict(self) -> dict[str, Any]:
        return dict(self.noted)

    def tags(self) -> dict[str, str]:
        return {"SRGAN_COUNTED": str(self.noted["tiles"])}

    def merge(self, noted: dict[str, Any]) -> None:
        for name, value in noted.items():
            self.noted[name] += value


@pytest.mark.parametrize("format_", ["gtiff", "cog"])
def test_an_observer_sees_every_tile_once_across_processes(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    options, out = InferOptions(tile_px=16, format=format_), tmp_path / "out.tif"

    def run() -> InferResult:
        return model.infer_file(source, out, options, observe=Counter)

    expected = run()
    assert expected.tally is not None
    assert expected.tally["tiles"] == expected.num_tiles - expected.skipped_tiles
    assert expected.tally["valid"] == 100 * 90 - 40 * 50
    out.unlink()
    with after(monkeypatch, 13, fail), pytest.raises(SrganError, match="played"):
        run()
    with pytest.raises(RefusedError, match="qa: another observer there, True now"):
        model.infer_file(source, out, options)
    if format_ == "cog":
        make_cog = finishing_module.make_cog

        def failing(source: Path, target: Path, layout: Any) -> str:
            return (
                fail() or "" if target.name == "writing.tif" else make_cog(source, target, layout)
            )

        with monkeypatch.context() as patched:
            patched.setattr(finishing_module, "make_cog", failing)
            with pytest.raises(SrganError, match="played"):
                run()
        assert not list(folder_of(out).glob("*.bin")), "the assembled file has taken their place"
    result = run()
    assert result.tally == pytest.approx(expected.tally)
    with rasterio.open(out) as written:
        assert written.tags()["SRGAN_COUNTED"] == str(expected.tally["tiles"])
    assert result.skipped_tiles == expected.skipped_tiles


def test_killed_processes_end_in_the_same_bytes(
    model: Model,
    source: Path,
    save_model: Callable[[Model], Path],
    slow_srgan: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    weights, out = save_model(model), tmp_path / "out.tif"
    words = (source, out, "-w", weights, "--tile", 16)
    rng, ends = np.random.default_rng(7), []
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = slow_srgan(*words)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        folder = folder_of(out)
        parts = len(list(folder.glob("*.json"))) if folder.exists() else 0
        while process.poll() is None and len(list(folder.glob("*.json"))) <= parts:
            threading.Event().wait(0.01)
        threading.Event().wait(rng.random() * 0.2)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        ends.append(process.returncode)
        assert not out.exists()
        if number == signal.SIGTERM:
            assert "tiles are kept in" in stderr
            assert f"go on: srgan -q infer {source} {out}" in stderr
    assert ends == [-9, 143]
    loaded = load(weights)
    assert loaded.infer_file(source, out, TILES).resumed_tiles > 0
    assert out.read_bytes() == whole(loaded, source, tmp_path / "whole.tif")
    assert not folder_of(out).exists()


def test_two_processes_on_one_output(
    model: Model,
    source: Path,
    save_model: Callable[[Model], Path],
    slow_srgan: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    weights, out = save_model(model), tmp_path / "out.tif"
    first = slow_srgan(source, out, "-w", weights, "--tile", 16)
    while first.poll() is None and not (folder_of(out) / "lock").exists():
        threading.Event().wait(0.01)
    with pytest.raises(RefusedError, match="another srgan infer is writing"):
        model.infer_file(source, out, TILES)
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert out.exists()
