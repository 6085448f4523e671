"""Every message of an inference that does not start, and what a failed one leaves behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import sink as sink_module
from srgan_cli.infer.network import find_device


def refused(model: Model, source: object, out: Path, words: str, **options: object) -> RefusedError:
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else []
    with pytest.raises(RefusedError, match=words) as caught:
        model.infer_file(str(source), out, InferOptions(**options))
    assert caught.value.hint
    assert caught.value.exit_code == 2
    if out.parent.is_dir():
        assert sorted(out.parent.iterdir()) == before, "nothing is left behind"
    return caught.value


def test_inputs_that_cannot_be_used(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, out = make_model(), tmp_path / "out.tif"
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    refused(model, tmp_path / "nowhere.tif", out, "no such file")
    refused(model, tmp_path, out, "a folder, not a raster")
    refused(model, text, out, "cannot open .*text.tif")
    refused(model, "/vsizip/nowhere.zip/a.tif", out, "cannot open /vsizip")
    gray = make_raster(bands=1, dtype="uint8")
    with rasterio.open(gray, "r+") as opened:
        opened.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    refused(make_model(1), gray, out, "palette image")
    bits = make_raster("bits.tif", data=np.ones((1, 20, 20), dtype="uint8"), nbits=1)
    refused(make_model(1), bits, out, "1-bit image")
    waves = make_raster("waves.tif", data=np.ones((2, 20, 20), dtype="complex64"))
    refused(model, waves, out, "dtype complex64")


def test_a_truncated_file_names_the_rows(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make_raster(height=300, width=300)
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[:200_000])
    refused(make_model(), cut, tmp_path / "out.tif", r"cut\.tif at rows")


def test_bands(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    source = make_raster(bands=3)
    names = make_model(names=("B04", "B08"))
    err = refused(names, source, out, r"want 2 bands \(B04, B08\); .* has 3 \(1 gray")
    assert "--bidx" in err.hint
    refused(names, source, out, "--bidx 4: .* bands 1 to 3", bidx=(1, 4))
    refused(names, source, out, "--bidx names 1 bands", bidx=(1,))
    assert names.infer_file(source, out, InferOptions(bidx=(3, 1))).bands == (3, 1)


def test_bands_are_found_by_name_in_any_order(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster(bands=3)
    with rasterio.open(source, "r+") as opened:
        opened.descriptions = ("B8", "B03", "b4")
    model = make_model(names=("B04", "B08"))
    assert model.infer_file(source, tmp_path / "a.tif").bands == (3, 1)
    other = make_model(3, names=("red", "green", "blue"))
    result = other.infer_file(source, tmp_path / "b.tif")
    assert result.bands == (1, 2, 3)
    assert "taken in their order" in result.warnings[0]


@pytest.mark.parametrize(
    ("factor", "dtype"), [(1e-4, "float32"), (30, "float32"), (0.02, "uint16"), (0.02, "uint8")]
)
def test_values_in_another_unit(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    ground: Callable,
    factor: float,
    dtype: str,
) -> None:
    source = make_raster(data=(ground(2, 40, 40) * factor).astype(dtype))
    out = tmp_path / "out.tif"
    err = refused(make_model(), source, out, f"{dtype} values from .* do not fit the weights")
    assert "--force" in err.hint
    result = make_model().infer_file(source, out, InferOptions(force=True))
    assert "do not fit" in result.warnings[-1]


def test_eight_bit_imagery_for_reflectance_weights_is_pointed_out(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    ground: Callable,
) -> None:
    source = make_raster(data=ground(2, 40, 40, 255).astype("uint8"))
    result = make_model().infer_file(source, tmp_path / "out.tif")
    assert "uint8 values end at 255" in result.warnings[0]


def test_integers_beyond_float32(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster(data=np.full((2, 20, 20), 2**25 + 1, dtype="int64"))
    model = make_model(radiometry="identity")
    refused(model, source, tmp_path / "out.tif", "counts exactly up to 16777216")


def test_outputs_that_cannot_be_made(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, source, out = make_model(), make_raster(), tmp_path / "out.tif"
    refused(model, source, tmp_path / "no" / "out.tif", "no such folder")
    refused(model, source, tmp_path, "a folder")
    refused(model, source, out, "--compress jpeg: unknown", compress="jpeg")
    refused(model, source, out, "TILED=NO", creation_options={"TILED": "NO"})
    for name, value in {"TFW": "YES", "RPB": "ON", "RPCTXT": "yes", "PROFILE": "BASELINE"}.items():
        words = f"--co {name}={value}: puts into a file beside the output"
        refused(model, source, out, words, creation_options={name: value})
    refused(model, source, out, "multiples of 16", creation_options={"BLOCKXSIZE": "500"})
    refused(model, source, out, "dtype int12 cannot be written", dtype="int12")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    refused(model, source, out, r"0\.0 MB free, making the output takes up to")
    assert model.infer_file(source, out, InferOptions(force=True)).height == 80
    monkeypatch.undo()
    refused(model, source, out, "exists already")
    stale = out.with_name("out.tif.aux.xml")
    stale.write_text("<old/>")
    model.infer_file(source, out, InferOptions(overwrite=True))
    assert not stale.exists()


def test_the_input_is_never_overwritten(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    source = make_raster()
    before = source.read_bytes()
    link = tmp_path / "link.tif"
    os.link(source, link)
    vrt = tmp_path / "in.vrt"
    rasterio.shutil.copy(source, vrt, driver="VRT")
    for given, out in ((source, source), (source, link), (vrt, source)):
        refused(make_model(), given, out, "the input itself, or a part of it", overwrite=True)
    assert source.read_bytes() == before
    assert make_model().infer_file(vrt, tmp_path / "out.tif").height == 80


def test_devices() -> None:
    assert find_device("cpu").type == "cpu"
    for name, words in (("tpu", "unknown"), ("cuda:", "unknown"), ("cuda:99", "CUDA devices")):
        with pytest.raises(RefusedError, match=words):
            find_device(name)


def test_a_damaged_output_is_noticed_and_removed(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close = sink_module.Sink.close

    def close_and_damage(sink: sink_module.Sink) -> None:
        close(sink)
        with rasterio.open(sink.path, "r+") as written:
            written.write(written.read() + 1)

    monkeypatch.setattr(sink_module.Sink, "close", close_and_damage)
    source = make_raster()
    with pytest.raises(SrganError, match="other pixels than were written"):
        make_model().infer_file(source, tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_an_output_that_is_not_finite_fails(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model = make_model()
    model.generator.last_layer().weight.fill_(3e38)
    with pytest.raises(SrganError, match="not finite") as caught:
        model.infer_file(make_raster(), tmp_path / "out.tif")
    assert caught.value.exit_code == 1
    assert "weights are damaged" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("native_bf16")
def test_values_that_make_the_network_overflow_are_refused(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    precision: str,
) -> None:
    source = make_raster(dtype="float32", nodata=None)
    with rasterio.open(source, "r+") as opened:
        data = opened.read()
        data[0, 3:9, 3:9], data[1, 3:9, 3:9] = -3.3e38, 3.3e38
        opened.write(data)
    model, options = make_model(), InferOptions(precision=precision, force=True)
    model.generator.last_layer().weight.mul_(1e6)
    with pytest.raises(RefusedError, match="not finite: its input goes up to") as caught:
        model.infer_file(source, tmp_path / "out.tif", options)
    assert "--nodata" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]
