"""Names that file systems, GDAL and shells stumble over: of inputs and outputs."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.batch import run_batch
from srgan_cli.infer.scene_list import read_scenes

NAMES = (
    "with space.tif", "ünï_数据.tif", "a:b.tif", "a?b.tif", "a%20b.tif", "a#b.tif", "[x].tif",
    "a'b\"c.tif", "new\nline.tif", "a!b.tif", ".hidden.tif", "*.tif", "C:x.tif", "s3:.tif",
    "NETCDF:x.tif", "GTIFF_DIR:1:x.tif", "x.tif.zip", "noext", "x" * 226 + ".tif",
)  # fmt: skip
LATIN = os.fsdecode(b"lat\xe9n.tif")


def test_outputs_of_any_name_lie_under_it(
    model: Model,
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_raster(height=8, width=9)
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in NAMES:
        model.infer_file(source, name)
        assert os.listdir(folder) == [name]
        with rasterio.open(folder / name) as out:
            assert out.shape == (16, 18)
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x" * 300, "File name too long"),
        (LATIN, r"lat\\xe9n.tif: its name is not UTF-8"),
        ("pipe", "a pipe or device"),
        ("loop", "Too many levels of symbolic links"),
        ("in.tif/x", "Not a directory"),
        ("nul\0", "embedded null"),
    ],
)
def test_inputs_that_are_no_files_are_refused(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path, name: str, words: str
) -> None:
    source = make_raster()
    os.link(source, tmp_path / LATIN)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RefusedError, match=words) as caught:
        model.infer_file(f"{tmp_path}/{name}", tmp_path / "out.tif")
    assert caught.value.hint
    assert not (tmp_path / "out.tif.srgan").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("x" * 240 + ".tif", "a name of 244 bytes, at most 230"), (LATIN, "lat.*not UTF-8")],
)
def test_outputs_that_have_no_room_for_their_name_are_refused(
    model: Model, make_raster: Callable[..., Path], name: str, words: str
) -> None:
    source = make_raster()
    with pytest.raises(RefusedError, match=words):
        model.infer_file(source, source.with_name(name))
    assert os.listdir(source.parent) == ["in.tif"]


def test_a_folder_that_may_not_be_entered_is_told_of(
    model: Model, make_raster: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_raster()
    out = source.with_name("out.tif")

    def denied(path: Path, **_: object) -> os.stat_result:
        if path == out:
            raise PermissionError(13, "Permission denied")
        return os.stat(path)

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(RefusedError, match=r"out\.tif: Permission denied"):
        model.infer_file(source, out)


def test_pipes_and_devices_are_not_overwritten(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source, pipe, link = make_raster(), tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(RefusedError, match="a pipe or device, not a file"):
            model.infer_file(source, path, InferOptions(overwrite=True))
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert link.is_symlink()


def test_a_scene_whose_output_has_too_long_a_name_stops_no_other(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    make_raster("x" * 240 + ".tif", height=8, width=9)
    make_raster("y.tif", height=8, width=9)
    scenes = read_scenes(str(tmp_path), tmp_path / "out", InferOptions())
    first, second = run_batch(model, scenes)
    assert (first.state, second.state) == ("failed", "done")
    assert "at most 230" in first.message


def test_a_link_is_written_through(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster(height=8, width=9)
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    link, picture = near / "out.tif", near / "out.png"
    link.symlink_to("../far/target.tif")
    picture.symlink_to(far / "look.png")
    for options in (InferOptions(quicklook=True), InferOptions(quicklook=True, overwrite=True)):
        result = model.infer_file(source, link, options)
        assert result.output == str(link)
        assert link.is_symlink()
        assert picture.is_symlink()
        assert sorted(os.listdir(near)) == ["out.png", "out.tif"]
        assert sorted(os.listdir(far)) == ["look.png", "target.tif"]
        with rasterio.open(far / "target.tif") as out:
            assert out.shape == (16, 18)
    with pytest.raises(RefusedError, match="exists already"):
        model.infer_file(source, link)


def test_a_link_that_leads_nowhere_good_is_told_of(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster(height=8, width=9)
    before = source.read_bytes()
    leads = {
        "loop": ("loop", "leads back to itself"),
        "lost": ("gone/x.tif", "gone: no such folder"),
        "self": ("in.tif", "the input itself"),
        "folder": (".", "a folder"),
        "long": ("x" * 240 + ".tif", "a name of 244 bytes"),
    }
    for name, (target, words) in leads.items():
        link = tmp_path / name
        link.symlink_to(target)
        with pytest.raises(RefusedError, match=words):
            model.infer_file(source, link, InferOptions(overwrite=True))
        assert link.is_symlink()
    assert source.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == sorted([*leads, "in.tif"])


def test_outputs_of_a_batch_may_be_links(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    make_raster("y.tif", height=8, width=9)
    folder = tmp_path / "out"
    folder.mkdir()
    scenes = read_scenes(str(tmp_path / "y.tif"), folder, InferOptions())
    scenes[0].output.symlink_to(tmp_path / "target.tif")
    assert [status.state for status in run_batch(model, scenes)] == ["done"]
    assert [status.state for status in run_batch(model, scenes)] == ["skipped"]
    assert scenes[0].output.is_symlink()
    with rasterio.open(tmp_path / "target.tif") as out:
        assert out.shape == (16, 18)


@pytest.mark.parametrize(
    "name", ["/vsizip/{0}/a/in.tif", "/vsizip/{{{0}}}/a/in.tif", "zip://{0}!a/in.tif", "{0}"]
)
def test_an_archive_is_not_overwritten_by_what_is_made_of_it(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(make_raster(height=8, width=9), "a/in.tif")
    before = archive.read_bytes()
    with pytest.raises(RefusedError, match="the input itself, or a part of it"):
        model.infer_file(name.format(archive), archive, InferOptions(overwrite=True))
    assert archive.read_bytes() == before
    assert model.infer_file(name.format(archive), tmp_path / "out.tif").height == 16


@pytest.mark.parametrize("kind", ["gz", "tar", "subfile"])
def test_other_containers_are_not_overwritten_either(
    model: Model, make_raster: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    raster, holder = make_raster(height=8, width=9), tmp_path / f"holder.{kind}"
    if kind == "gz":
        holder.write_bytes(gzip.compress(raster.read_bytes()))
        name = f"/vsigzip/{holder}"
    elif kind == "tar":
        with tarfile.open(holder, "w") as file:
            file.add(raster, "in.tif")
        name = f"/vsitar/{holder}/in.tif"
    else:
        holder.write_bytes(b"head" + raster.read_bytes())
        name = f"/vsisubfile/4_{raster.stat().st_size},{holder}"
    before = holder.read_bytes()
    with pytest.raises(RefusedError, match="the input itself, or a part of it"):
        model.infer_file(name, holder, InferOptions(overwrite=True))
    assert holder.read_bytes() == before
