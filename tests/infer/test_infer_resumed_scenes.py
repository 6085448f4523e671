"""Parts of scenes, figures and lists of scenes go on after an interruption as if there was none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from interrupting import after, fail

from srgan_cli.errors import RefusedError, SrganError, StoppedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import model as model_module
from srgan_cli.infer.batch import run_batch
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.scene_list import read_scenes
from srgan_cli.infer.seams import Seams
from srgan_cli.infer.source import Source
from srgan_cli.infer.status import collect, read_status, status_path
from srgan_cli.infer.workshop import folder_of
from srgan_cli.lock import locked
from srgan_cli.signals import stop_request

pytestmark = pytest.mark.usefixtures("small_blocks")

TILES = InferOptions(tile_px=16)


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(names=("red", "nir"))


@pytest.fixture
def source(make_raster: Callable[..., Path], ground: Callable) -> Path:
    data = ground(2, 100, 90).astype("uint16")
    data[:, 20:60, 30:80] = 0
    return make_raster(data=data, nodata=0)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def tags(path: Path) -> dict[str, str]:
    with rasterio.open(path) as written:
        return {name: text for name, text in written.tags().items() if "SRGAN_QA" in name}


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as written:
        return np.concatenate([written.read(), written.dataset_mask()[None]])


@pytest.mark.parametrize("act", [fail, terminate])
@pytest.mark.parametrize("format_", ["gtiff", "cog"])
def test_a_resumed_inference_has_the_figures_of_an_uninterrupted_one(
    model: Model,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[], None],
    format_: str,
) -> None:
    options, out = replace(TILES, format=format_), tmp_path / "out.tif"
    whole = model.infer_file(source, tmp_path / "whole.tif", options)
    for runs in (3, 11):
        with after(monkeypatch, runs, act), pytest.raises(SrganError):
            model.infer_file(source, out, options)
    result = model.infer_file(source, out, options)
    assert result.resumed_tiles >= 14
    assert result.qa is not None
    assert result.qa.seam_index is not None
    assert result.qa == whole.qa
    assert result.qa.pixels == 100 * 90 - 40 * 50
    assert len(tags(out)) == 6
    assert tags(out) == tags(tmp_path / "whole.tif")
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_several_devices_report_the_figures_of_one(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = model.infer_file(source, tmp_path / "one.tif", TILES)
    several = replace(TILES, device="cpu,cpu,cpu")
    three = model.infer_file(source, tmp_path / "three.tif", several)
    assert three.qa == one.qa
    assert tags(tmp_path / "three.tif") == tags(tmp_path / "one.tif")
    with after(monkeypatch, 17, fail), pytest.raises(SrganError, match="played failure"):
        model.infer_file(source, tmp_path / "out.tif", several)
    result = model.infer_file(source, tmp_path / "out.tif", TILES)
    assert result.resumed_tiles > 0
    assert result.qa == one.qa


@pytest.mark.parametrize(("who", "method"), [(Quality, "_sum_of_angles"), (Seams, "note")])
def test_figures_that_break_down_leave_no_half_noted_part(
    model: Model,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    who: type,
    method: str,
) -> None:
    whole, out = model.infer_file(source, tmp_path / "whole.tif", TILES), tmp_path / "out.tif"
    plain, count = getattr(who, method), 0

    def short(self: Any, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count == 9:
            raise MemoryError
        return plain(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(who, method, short)
        with suppress(MemoryError, SrganError):
            model.infer_file(source, out, TILES)
    assert count >= 9
    assert not out.exists()
    assert model.infer_file(source, out, TILES).qa == whole.qa


PARTS: list[dict[str, Any]] = [
    {"window": (13, 7, 61, 75)},
    {"bbox": (500_130, 3_999_180, 500_740, 3_999_930)},
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "network", [{}, {"model_type": "rrdbnet", "n_blocks": 1, "fold": 2}], ids=["res", "folded"]
)
def test_a_resumed_window_equals_that_of_the_whole_scene(
    make_model: Callable[..., Model],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: dict[str, Any],
    network: dict[str, Any],
) -> None:
    model, options = make_model(**network), replace(TILES, halo="exact", **part)
    model.infer_file(source, tmp_path / "whole.tif", replace(TILES, halo="exact"))
    model.infer_file(source, tmp_path / "part.tif", options)
    out = tmp_path / "out.tif"
    with after(monkeypatch, 3, fail), pytest.raises(SrganError, match="played failure"):
        model.infer_file(source, out, options)
    result = model.infer_file(source, out, options)
    assert result.resumed_tiles >= 3
    assert out.read_bytes() == (tmp_path / "part.tif").read_bytes()
    whole = pixels(tmp_path / "whole.tif")
    np.testing.assert_array_equal(pixels(out), whole[:, 14:164, 26:148])


def write_aoi(path: Path, *rings: list[tuple[int, int]]) -> str:
    """Polygons in pixels of the raster, as UTM; more rings are holes of the first."""
    place = [[(500_000 + 10 * c, 4_000_000 - 10 * r) for c, r in ring] for ring in rings]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    path.write_text(json.dumps({"type": "Polygon", "coordinates": place, "crs": crs}))
    return str(path)


OUTER = [(5, 5), (85, 5), (85, 95), (5, 95), (5, 5)]
INNER = [(40, 70), (60, 70), (60, 90), (40, 90), (40, 70)]


def test_parts_of_another_selection_are_refused_by_name(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aoi, out = tmp_path / "aoi.geojson", tmp_path / "out.tif"

    def interrupt(**options: Any) -> None:
        with after(monkeypatch, 5, fail), pytest.raises(SrganError, match="played failure"):
            model.infer_file(source, out, replace(TILES, resume=False, **options))

    def refused(words: str, **options: Any) -> None:
        with pytest.raises(RefusedError, match=words) as caught:
            model.infer_file(source, out, replace(TILES, **options))
        assert "--restart" in caught.value.hint

    interrupt(window=(0, 0, 80, 90))
    refused(r"window: \[0, 0, 80, 90\] there, \[0, 0, 80, 91\] now", window=(0, 0, 80, 91))
    refused(r"window: \[0, 0, 80, 90\] there, \[0, 0, 90, 100\] now")
    refused("qa: True there, False now", window=(0, 0, 80, 90), qa=False)
    interrupt(aoi=write_aoi(aoi, OUTER))
    refused(r"polygons: \d+ there, None now", aoi=str(aoi), aoi_box=True)
    refused(r"polygons: \d+ there, \d+ now", aoi=write_aoi(aoi, OUTER, INNER))
    interrupt(bidx=(2, 1))
    refused(r"bands: \[2, 1\] there, \[1, 2\] now", bidx=(1, 2))
    # The same pixels, however they were asked for.
    interrupt(window=(10, 20, 60, 70))
    bbox = (500_100, 3_999_100, 500_700, 3_999_800)
    assert model.infer_file(source, out, replace(TILES, bbox=bbox)).resumed_tiles >= 5


def test_what_lies_outside_of_polygons_is_neither_read_nor_made(
    model: Model,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_raster(height=200, width=96)
    whole = model.infer_file(source, tmp_path / "whole.tif", TILES)
    ring = [(0, 0), (96, 0), (96, 200), (0, 200), (0, 0)]
    hole = [(0, 40), (96, 40), (96, 160), (0, 160), (0, 40)]
    boxes, read, runs = [], Source.read, [0]

    def noted(opened: Source, box: Any) -> Any:
        boxes.append(box)
        return read(opened, box)

    def count() -> None:
        runs[0] += 1

    options = replace(TILES, aoi=write_aoi(tmp_path / "aoi.geojson", ring, hole))
    with monkeypatch.context() as patched, after(monkeypatch, 0, count):
        patched.setattr(Source, "read", noted)
        sample = np.full((2, 5), 3000.0, dtype=np.float32)
        patched.setattr("srgan_cli.infer.settle.sample_values", lambda _: sample)
        result = model.infer_file(source, tmp_path / "out.tif", options)
    assert result.skipped_tiles == 7 * 6
    assert runs[0] == result.num_tiles - result.skipped_tiles
    assert len(boxes) == 6, "strips"
    left, right = pixels(tmp_path / "out.tif"), pixels(Path(whole.output))
    inside = left[-1] != 0
    assert inside.sum() == 4 * 80 * 96
    np.testing.assert_array_equal(left[:, inside], right[:, inside])


@pytest.fixture
def listed(source: Path, tmp_path: Path, make_raster: Callable[..., Path]) -> Callable[..., list]:
    make_raster("b.tif", height=40, width=40)

    def scenes(**options: Any) -> list:
        path = tmp_path / "scenes.csv"
        path.write_text("input\nin.tif\nb.tif\n")
        return read_scenes(str(path), tmp_path / "sr", replace(TILES, **options))

    return scenes


def states(model: Model, scenes: list) -> list[str]:
    return [status.state for status in run_batch(model, scenes)]


def test_an_interrupted_list_goes_on_inside_the_scene(
    model: Model,
    source: Path,
    listed: Callable[..., list],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, out = model.infer_file(source, tmp_path / "whole.tif", TILES), tmp_path / "sr" / "in.tif"
    with after(monkeypatch, 12, terminate), pytest.raises(StoppedError) as caught:
        run_batch(model, listed())
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert "tiles are kept in" in caught.value.message
    assert "scenes that are done are skipped" in caught.value.hint
    assert [status.state for status in collect(tmp_path / "sr")] == ["stopped"]
    assert "tiles are kept in" in collect(tmp_path / "sr")[0].message
    found = run_batch(model, listed())
    assert [status.state for status in found] == ["done", "done"]
    assert found[0].result is not None
    assert found[0].result["resumed_tiles"] >= 12
    assert found[0].result["qa"] == whole.as_dict()["qa"]
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert states(model, listed(resume=False)) == ["skipped", "skipped"]
    assert not list((tmp_path / "sr").glob("*.srgan"))


def test_a_failed_scene_goes_on_and_options_that_it_does_not_agree_with_are_named(
    model: Model,
    listed: Callable[..., list],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with after(monkeypatch, 12, fail):
        assert states(model, listed()) == ["failed", "failed"]
    other = run_batch(model, listed(dtype="float32"))
    assert "dtype: uint16 there, float32 now" in other[0].message
    assert "--restart" in other[0].hint
    again = run_batch(model, listed())
    assert again[0].result is not None
    assert again[0].result["resumed_tiles"] >= 12


def test_a_scene_that_another_process_makes_is_one_failed_scene(
    model: Model, listed: Callable[..., list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with after(monkeypatch, 12, terminate), pytest.raises(StoppedError):
        run_batch(model, listed())
    out = tmp_path / "sr" / "in.tif"
    before = status_path(out).read_text()
    with locked(folder_of(out) / "lock", "srgan infer", "choose another OUTPUT"):
        found = run_batch(model, listed())
    assert [status.state for status in found] == ["failed", "done"]
    assert "another srgan infer is writing to" in found[0].message
    assert status_path(out).read_text() == before, "it is the other process's"
    assert states(model, listed()) == ["done", "skipped"]


def test_an_output_whose_process_died_before_it_said_so_is_made_again(
    model: Model, listed: Callable[..., list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object) -> None:
        raise KilledError

    out = tmp_path / "sr" / "in.tif"
    with monkeypatch.context() as patched:
        patched.setattr(model_module, "of_made", die)
        with pytest.raises(KilledError):
            run_batch(model, listed())
    assert out.exists()
    assert read_status(status_path(out)).state == "running"
    # Its process is still there: nobody knows whether it goes on.
    assert "is not what in.tif.status.json tells of" in run_batch(model, listed())[0].message
    values = json.loads(status_path(out).read_text())
    with subprocess.Popen(["sleep", "0"]) as process:
        process.wait()
    gone = json.dumps(values | {"pid": process.pid, "state": "running"})
    content = out.read_bytes()
    status_path(out).write_text(gone)
    os.utime(status_path(out), ns=(0, 0))
    assert states(model, listed()) == ["done", "skipped"]
    assert out.read_bytes() == content
    # An older output is not that of the scene in work.
    status_path(out).write_text(gone)
    os.utime(out, ns=(0, 0))
    assert "is not what" in run_batch(model, listed())[0].message


def test_a_killed_list_goes_on_by_the_command_that_it_names(
    model: Model,
    source: Path,
    listed: Callable[..., list],
    save_model: Callable[[Model], Path],
    slow_srgan: Callable[..., subprocess.Popen[str]],
    srgan: Callable,
    tmp_path: Path,
) -> None:
    weights, out = save_model(model), tmp_path / "sr" / "in.tif"
    listed()
    words = (
        "--manifest", tmp_path / "scenes.csv", "--out-dir", tmp_path / "sr", "-w", weights,
        "--tile", 16,
    )  # fmt: skip
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = slow_srgan(*words)
        known = len(list(folder_of(out).glob("*.bin")))
        while process.poll() is None and len(list(folder_of(out).glob("*.bin"))) <= known:
            threading.Event().wait(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 143), err
    assert f"go on: srgan -q infer --manifest {tmp_path / 'scenes.csv'}" in err
    assert srgan("infer", "--collect", tmp_path / "sr")[0] == 1
    code, stdout, _ = srgan("infer", *words, "--json")
    assert code == 0
    scenes = json.loads(stdout)["scenes"]
    assert [scene["state"] for scene in scenes] == ["done", "done"]
    assert scenes[0]["result"]["resumed_tiles"] > 0
    model.infer_file(source, tmp_path / "whole.tif", TILES)
    np.testing.assert_array_equal(pixels(out), pixels(tmp_path / "whole.tif"))


def test_folders_in_which_outputs_are_made_hold_no_scenes(
    model: Model, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "out.tif"
    out.parent.mkdir()
    with after(monkeypatch, 12, fail), pytest.raises(SrganError, match="played failure"):
        model.infer_file(source, out, TILES)
    (folder_of(out) / "assembled.tif").write_bytes(source.read_bytes())
    listed = out.with_name("scene.tif")
    listed.write_bytes(source.read_bytes())
    for place in (tmp_path / "deep", tmp_path / "deep" / "**" / "*.tif"):
        found = read_scenes(str(place), tmp_path / "sr", InferOptions())
        assert [scene.input for scene in found] == [str(listed)]
    source.unlink()
    found = read_scenes(str(tmp_path), tmp_path / "sr", InferOptions())
    assert [scene.input for scene in found] == [str(listed)]


def test_a_stop_within_or_before_a_scene_ends_the_list() -> None:
    with stop_request("lost", "go on") as outer:
        with stop_request("lost", "go on") as inner:
            terminate()
            assert inner
        assert outer.signal_number == signal.SIGTERM
        with stop_request("lost", "go on") as again:
            assert again.signal_number == signal.SIGTERM


def test_what_is_kept_of_the_figures_stays_out_of_the_answer(
    model: Model, source: Path, tmp_path: Path
) -> None:
    result = model.infer_file(source, tmp_path / "out.tif", TILES)
    assert result.tally is None
    assert json.loads(json.dumps(result.as_dict()))["qa"]["pixels"] == 7000
