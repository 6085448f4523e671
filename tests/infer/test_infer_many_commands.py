"""`srgan infer` with parts, quality and many scenes, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srgan_cli.infer import Model


@pytest.fixture
def weights(make_model: Callable[..., Model], save_model: Callable[[Model], Path]) -> Path:
    return save_model(make_model())


def test_parts_quality_and_pictures(
    srgan: Callable, weights: Path, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = make_raster(), tmp_path / "out.tif"
    code, stdout, err = srgan(
        "infer", source, out, "-w", weights, "--window", "10 5 20 12", "--quicklook", "--qgis-style"
    )
    assert (code, stdout) == (0, f"{out}\n")
    assert "SR - LR  bias" in err
    assert f"look     {tmp_path / 'out.png'}, {tmp_path / 'out.qml'}" in err
    code, stdout, _ = srgan(
        "infer", source, tmp_path / "b.tif", "-w", weights, "--json",
        "--bbox", "500100,3999830,500300,3999950",
    )  # fmt: skip
    found = json.loads(stdout)
    assert (code, found["width"], found["height"]) == (0, 40, 24)
    assert len(found["qa"]["bands"]) == 2
    with rasterio.open(out) as left, rasterio.open(found["output"]) as right:
        np.testing.assert_array_equal(left.read(), right.read())
    code, stdout, _ = srgan(
        "infer", source, tmp_path / "c.tif", "-w", weights, "--json", "--no-qa",
        "--quicklook-path", tmp_path / "look.png",
    )  # fmt: skip
    assert json.loads(stdout)["qa"] is None
    assert (tmp_path / "look.png").exists()


def test_too_much_bias_exits_1_after_the_output_is_whole(
    srgan: Callable, weights: Path, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    code, stdout, err = srgan("infer", make_raster(), out, "-w", weights, "--qa-max-bias", 1)
    assert (code, stdout) == (1, f"{out}\n")
    assert "more than --qa-max-bias 1" in err
    assert "is written whole" in err
    with rasterio.open(out) as written:
        assert written.read().any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.tif"], "INPUT and OUTPUT: missing"),
        ([], "INPUT and OUTPUT: missing"),
        (["in.tif", "out.tif", "--window", "1,2,3"], "--window 1,2,3: not COL,ROW,WIDTH,HEIGHT"),
        (["in.tif", "out.tif", "--bbox", "1,2,3,x"], "--bbox 1,2,3,x: not WEST,SOUTH,EAST,NORTH"),
        (["in.tif", "out.tif", "--shard", "0/2"], "--shard without --manifest"),
        (["in.tif", "out.tif", "--out-dir", "x"], "--out-dir without --manifest"),
        (["in.tif", "--manifest", "x"], "--manifest and INPUT: one excludes the other"),
        (["--manifest", "x"], "--manifest without --out-dir"),
        (["--manifest", "x", "--collect", "y"], "--collect and --manifest: one excludes the other"),
        (["--manifest", "x", "--out-dir", "y", "--quicklook-path", "a.png"], "one name for many"),
        (["--manifest", "x", "--out-dir", "y"], "--manifest: there is no x"),
    ],
)
def test_commands_that_make_no_sense(
    srgan: Callable, weights: Path, words: list[str], message: str
) -> None:
    code, stdout, err = srgan("infer", *words, "-w", weights)
    assert (code, stdout) == (2, "")
    assert message in err
    assert "fix: " in err


def test_warnings_of_a_scene_are_one_line_each(
    srgan: Callable, make_model: Callable[..., Model], save_model: Callable, make_raster: Callable,
    tmp_path: Path,
) -> None:  # fmt: skip
    weights = save_model(make_model(names=("B04", "B08")))
    source = make_raster("a.tif", height=20, width=20)
    with rasterio.open(source, "r+") as opened:
        opened.descriptions = ("one", "two")
    batch = ("infer", "--manifest", tmp_path / "list.txt", "--out-dir", tmp_path / "sr")
    (tmp_path / "list.txt").write_text("a.tif\n")
    code, stdout, err = srgan(*batch, "-w", weights)
    assert (code, stdout) == (0, f"{tmp_path / 'sr' / 'a.tif'}\n")
    (line,) = (line for line in err.splitlines() if line.startswith("warning"))
    assert f"{source}: bands are taken in their order: the raster names them one, two" in line
    _, _, err = srgan(*batch, "-w", weights)
    assert "warning" not in err


def test_weights_are_needed(srgan: Callable) -> None:
    code, _, err = srgan("infer", "in.tif", "out.tif")
    assert code == 2
    assert "--weights: missing" in err


def test_a_batch_by_shards_and_its_collection(
    srgan: Callable,
    weights: Path,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a", "b", "c"):
        make_raster(f"{name}.tif", height=20, width=20)
    (tmp_path / "b.tif").write_text("damaged")
    lines = ["input,window", "a.tif,", "b.tif,", 'c.tif,"0,0,5,5"']
    (tmp_path / "scenes.csv").write_text("\n".join(lines))
    out = tmp_path / "sr"
    batch = ("infer", "--manifest", tmp_path / "scenes.csv", "--out-dir", out, "-w", weights)
    code, stdout, err = srgan(*batch, "--dry-run", "--shard", "1/2")
    assert (code, stdout) == (0, f"{tmp_path / 'b.tif'} -> {out / 'b.tif'}\n")
    assert not out.exists()
    code, stdout, err = srgan(*batch, "--shard", "0/2")
    assert (code, stdout) == (0, f"{out / 'a.tif'}\n{out / 'c.tif'}\n")
    assert "shard 0/2 (--shard): 2 of 3 scenes" in err
    for key, value in (("ID", 2), ("MIN", 1), ("MAX", 2), ("COUNT", 2)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{key}", str(value))
    code, stdout, err = srgan(*batch)
    assert (code, stdout) == (1, "")
    assert "shard 1/2 (SLURM_ARRAY_TASK_ID): 1 of 3 scenes" in err
    assert "1 of 1 scenes have problems; the first: " in err
    code, stdout, err = srgan("infer", "--collect", out)
    lines = stdout.splitlines()
    assert code == 1
    assert [line.split()[1] for line in lines[:3]] == ["done", "failed", "done"]
    assert lines[3] == "3 scenes: 2 done, 1 failed"
    code, stdout, _ = srgan("infer", "--collect", out, "--json")
    found = json.loads(stdout)
    assert (code, found["counts"], found["problems"]) == (1, {"done": 2, "failed": 1}, 1)
    assert found["scenes"][2]["result"]["width"] == 10
    code, stdout, _ = srgan(*batch, "--shard", "0/1", "--json")
    found = json.loads(stdout)
    assert (code, found["shard"], found["counts"]) == (1, "0/1", {"skipped": 2, "failed": 1})
    with rasterio.open(out / "c.tif") as written:
        assert written.shape == (10, 10)
