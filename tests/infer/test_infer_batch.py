"""Many scenes: lists, shards, statuses, and what a second run does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.errors import RefusedError, StoppedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.batch import run_batch
from srgan_cli.infer.model import no_progress
from srgan_cli.infer.scene_list import read_scenes
from srgan_cli.infer.shards import Shard, find_shard
from srgan_cli.infer.status import SUFFIX, collect, status_path


@given(st.integers(0, 50), st.integers(1, 12))
def test_shards_share_a_list_without_gaps_or_overlap(length: int, count: int) -> None:
    items = list(range(length))
    parts = [Shard(index, count, "").of(items) for index in range(count)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def slurm(task: int, first: int, last: int, count: int) -> dict[str, str]:
    names = ("ID", "MIN", "MAX", "COUNT")
    values = (task, first, last, count)
    return {f"SLURM_ARRAY_TASK_{n}": str(v) for n, v in zip(names, values, strict=True)}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "0/1"),
        (slurm(5, 0, 63, 64), "5/64"),
        (slurm(64, 1, 64, 64), "63/64"),
        (slurm(6, 2, 10, 5), "2/5"),
        (slurm(7, 7, 7, 1), "0/1"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, "3/10"),
        ({"RANK": "1", "WORLD_SIZE": "4"}, "1/4"),
        ({"RANK": "1"}, "0/1"),
        ({"RANK": "1", "WORLD_SIZE": "4", "JOB_COMPLETION_INDEX": "0"}, "1/4"),
        (slurm(3, 0, 7, 8) | {"RANK": "1", "WORLD_SIZE": "2"}, "7/16"),
    ],
)
def test_what_clusters_say(environ: dict[str, str], expected: str) -> None:
    assert str(find_shard(None, environ)) == expected
    assert str(find_shard("2/3", environ)) == "2/3"


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        ("3/3", {}, "--shard 3/3: not I/N"),
        ("1", {}, "--shard 1: not I/N"),
        (None, {"JOB_COMPLETION_INDEX": "2"}, "Kubernetes does not say of how many"),
        (None, slurm(5, 1, 9, 4), "array of 4 tasks from 1 to 9, which are not evenly spaced"),
        (None, {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN is '', not a number"),
        (None, {"RANK": "4", "WORLD_SIZE": "4"}, "RANK is 4, WORLD_SIZE is 4"),
    ],
)
def test_shards_that_make_no_sense(text: str, environ: dict[str, str], words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        find_shard(text, environ)
    assert caught.value.hint


def listed(tmp_path: Path, text: str, name: str = "scenes.csv") -> list:
    path = tmp_path / name
    path.write_text(text)
    return read_scenes(str(path), tmp_path / "sr", InferOptions(nodata=7.0, aoi="all.geojson"))


def test_lists_with_options(tmp_path: Path) -> None:
    scenes = listed(
        tmp_path,
        "# a comment\nINPUT,output,window,bidx,nodata,bbox-crs\n"
        'a.tif,x/one.tif,"0,0,5,6","2,1",0,\n\n/data/b.tif,,,,,EPSG:4326\ns3://bucket/c.tif\n',
    )
    assert [scene.input for scene in scenes] == [
        str(tmp_path / "a.tif"), "/data/b.tif", "s3://bucket/c.tif",
    ]  # fmt: skip
    assert [str(scene.output.relative_to(tmp_path / "sr")) for scene in scenes] == [
        "x/one.tif", "b.tif", "c.tif",
    ]  # fmt: skip
    first, second, _ = (scene.options for scene in scenes)
    assert (first.window, first.bidx, first.nodata, first.aoi) == ((0, 0, 5, 6), (2, 1), 0, None)
    assert (second.window, second.nodata, second.aoi) == (None, 7, "all.geojson")
    assert second.bbox_crs == "EPSG:4326"
    assert scenes[1].origin.endswith("scenes.csv:5")


def test_plain_lists_folders_and_patterns(tmp_path: Path, make_raster: Callable[..., Path]) -> None:
    make_raster("a.tif")
    make_raster("b, c.tif")
    plain = listed(tmp_path, "a.tif\nb, c.tif\n", "scenes.txt")
    assert [scene.output.name for scene in plain] == ["a.tif", "b, c.tif"]
    for given_as in (tmp_path, tmp_path / "*.tif"):
        found = read_scenes(str(given_as), tmp_path / "sr", InferOptions())
        assert [scene.output.name for scene in found] == ["a.tif", "b, c.tif"]
    product = tmp_path / "S2A_X.SAFE"
    product.mkdir()
    (product / "MTD_MSIL2A.xml").touch()
    assert listed(tmp_path, "S2A_X.SAFE\n", "s.txt")[0].output.name == "S2A_X.tif"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists nothing"),
        ("input,output\n", "lists nothing"),
        ("input,windw\na.tif,1\n", r"scenes.csv:1: unknown column 'windw'"),
        ("input,input\na.tif,1\n", "column 'input' twice"),
        ("file,output\na.tif,b.tif\n", "no column `input` among file, output"),
        ("input,window\na.tif,0,0,5,5\n", r"scenes.csv:2: 5 fields under 2 columns"),
        ("input,window\na.tif,5\n", r"scenes.csv:2: --window 5: not COL,ROW,WIDTH,HEIGHT"),
        ("input,bbox\na.tif,5\n", r"scenes.csv:2: --bbox 5: not WEST,SOUTH,EAST,NORTH"),
        ("input,nodata\na.tif,x\n", r"scenes.csv:2: nodata 'x': not a number"),
        ("input,aoi_box\na.tif,x\n", "aoi_box 'x': neither yes nor no"),
        ("input,output\n,b.tif\n", "scenes.csv:2: no input"),
        ("input,output\na.tif,../b.tif\n", r"output ../b.tif lies outside of"),
        ("input\nx/a.tif\ny/A.tif\n", "scenes.csv:2 and .*scenes.csv:3: both would write"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        listed(tmp_path, text)
    assert caught.value.hint


def test_manifests_that_are_not_there(tmp_path: Path) -> None:
    for name in ("none.csv", "none/*.tif"):
        with pytest.raises(RefusedError, match="--manifest: there is no") as caught:
            read_scenes(str(tmp_path / name), tmp_path, InferOptions())
        assert "Data." not in caught.value.hint


@pytest.fixture
def three(tmp_path: Path, make_raster: Callable[..., Path]) -> Callable[..., list]:
    """A good scene, a damaged one, and another good one."""
    make_raster("a.tif", height=20, width=20)
    (tmp_path / "b.tif").write_text("damaged")
    make_raster("c.tif", height=20, width=24)

    def scenes(**options: object) -> list:
        path = tmp_path / "scenes.csv"
        path.write_text("input\na.tif\nb.tif\nc.tif\n")
        return read_scenes(str(path), tmp_path / "sr", InferOptions(**options))

    return scenes


def states(model: Model, scenes: list) -> list[str]:
    return [status.state for status in run_batch(model, scenes, no_progress)]


def test_one_bad_scene_stops_no_other_and_what_is_done_is_skipped(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    model, told = make_model(), []
    found = run_batch(model, three(), no_progress, told.append)
    assert [status.state for status in found] == ["done", "failed", "done"]
    assert told == found
    assert "cannot open" in found[1].message
    assert found[0].result["width"] == 40
    assert sorted(path.name for path in (tmp_path / "sr").iterdir()) == [
        "a.tif", "a.tif.status.json", "b.tif.status.json", "c.tif", "c.tif.status.json",
    ]  # fmt: skip
    before = (tmp_path / "sr" / "a.tif").stat().st_mtime_ns
    assert states(model, three()) == ["skipped", "failed", "skipped"]
    assert (tmp_path / "sr" / "a.tif").stat().st_mtime_ns == before
    # Options that do not change the output do not matter.
    assert states(model, three(tile_px=8, force=True)) == ["skipped", "failed", "skipped"]
    assert [status.state for status in collect(tmp_path / "sr")] == ["done", "failed", "done"]


def test_what_was_made_of_something_else_is_refused_or_remade(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    model = make_model()
    run_batch(model, three(), no_progress)
    other = run_batch(model, three(dtype="float32"), no_progress)
    assert [status.state for status in other] == ["failed"] * 3
    assert (
        "a.tif: was made with another options: {} then, {'dtype': 'float32'} now"
        in other[0].message
    )
    assert "--overwrite" in other[0].hint
    # The refusal changes nothing: the first run's output is still complete.
    assert states(model, three()) == ["skipped", "failed", "skipped"]
    os.utime(tmp_path / "a.tif")
    changed = run_batch(model, three(), no_progress)
    assert "was made with another input_state" in changed[0].message
    assert states(model, three(overwrite=True)) == ["done", "failed", "skipped"]
    assert states(model, three(overwrite=True)) == ["skipped", "failed", "skipped"]
    assert states(model, three(overwrite=True, resume=False)) == ["done", "failed", "done"]
    place = status_path(tmp_path / "sr" / "c.tif")
    old = json.loads(place.read_text())
    old["result"]["version"] = "0.0.1"
    place.write_text(json.dumps(old))
    assert states(model, three(overwrite=True)) == ["skipped", "failed", "done"]
    model.sha256 = "1" * 64
    assert "another weights" in run_batch(model, three(), no_progress)[0].message


def test_outputs_of_nobody_and_torn_ones_are_not_trusted(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    model, out = make_model(), tmp_path / "sr"
    out.mkdir()
    (out / "a.tif").write_bytes(b"mine")
    found = run_batch(model, three(), no_progress)
    assert "exists already and has no status file" in found[0].message
    assert (out / "a.tif").read_bytes() == b"mine"
    (out / "c.tif").write_bytes(b"torn")
    assert (
        "is not what c.tif.status.json tells of"
        in run_batch(model, three(), no_progress)[2].message
    )
    status_path(out / "c.tif").write_text("{")
    assert "damaged status file" in run_batch(model, three(), no_progress)[2].message
    assert states(model, three(overwrite=True)) == ["done", "failed", "done"]


def test_a_bug_in_one_scene_stops_no_other(
    make_model: Callable[..., Model],
    three: Callable[..., list],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infer_file = Model.infer_file

    def broken(self: Model, src: str, *rest: object) -> object:
        if "c.tif" in src:
            raise ZeroDivisionError("division by zero")
        return infer_file(self, src, *rest)

    monkeypatch.setattr(Model, "infer_file", broken)
    found = run_batch(make_model(), three(), no_progress)
    assert "a bug in srgan: ZeroDivisionError" in found[2].message
    assert (
        "division by zero"
        in json.loads(status_path(tmp_path / "sr" / "c.tif").read_text())["traceback"]
    )


def test_a_signal_ends_the_batch_and_the_next_run_goes_on(
    make_model: Callable[..., Model],
    three: Callable[..., list],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infer_file = Model.infer_file

    def signalled(self: Model, src: str, *rest: object) -> object:
        result = infer_file(self, src, *rest)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(Model, "infer_file", signalled)
    model = make_model()
    with pytest.raises(StoppedError, match="what is finished is kept") as caught:
        run_batch(model, three(), no_progress)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert states(model, three()) == ["skipped", "failed", "done"]


def test_a_killed_scene_is_told_from_one_in_work(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    run_batch(make_model(), three(), no_progress)
    place = status_path(tmp_path / "sr" / "c.tif")
    values = json.loads(place.read_text())
    with subprocess.Popen(["sleep", "0"]) as process:
        process.wait()
    for pid, host, state in (
        (os.getpid(), values["host"], "running"),
        (process.pid, values["host"], "stopped"),
        (process.pid, "elsewhere", "running"),
    ):
        place.write_text(json.dumps(values | {"state": "running", "pid": pid, "host": host}))
        found = collect(tmp_path / "sr")[2]
        assert found.state == state
        assert found.problem == (state == "stopped")
    place.unlink()


def test_problems_of_quality_are_kept_and_counted(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    model = make_model()
    found = run_batch(model, three(qa_max_bias=0.5), no_progress)
    assert [status.problem for status in found] == [True, True, True]
    assert "more than --qa-max-bias 0.5" in found[0].message
    again = run_batch(model, three(qa_max_bias=0.5), no_progress)
    assert (again[0].state, again[0].problem) == ("skipped", True)


def test_collect_finds_what_went_wrong(
    make_model: Callable[..., Model], three: Callable[..., list], tmp_path: Path
) -> None:
    out = tmp_path / "sr"
    for words, folder in (("no such folder", out), ("no status file", tmp_path)):
        with pytest.raises(RefusedError, match=words):
            collect(folder)
    run_batch(make_model(), three(), no_progress)
    (out / "a.tif").write_bytes(b"torn")
    assert "is not what was written" in collect(out)[0].message
    (out / "a.tif").unlink()
    status_path(out / "c.tif").write_text("[]")
    gone, failed, damaged = collect(out)
    assert (gone.state, failed.state, damaged.state) == ("failed", "failed", "failed")
    assert "is gone" in gone.message
    assert "damaged status file" in damaged.message
    assert SUFFIX not in damaged.output
