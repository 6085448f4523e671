"""`srgan infer` and `srgan evaluate`: options, stdout, and the figures of evaluate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import typer
from typer.testing import CliRunner

from srgan_cli import metrics
from srgan_cli.cli import console
from srgan_cli.cli.evaluate import evaluate
from srgan_cli.cli.infer import infer
from srgan_cli.data.degradation import degrade
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model, load
from srgan_cli.infer.evaluate import evaluate_file
from srgan_cli.models import upsample

app = typer.Typer()
app.command()(infer)
app.command()(evaluate)


@pytest.fixture(autouse=True)
def _usual_verbosity() -> None:
    console.set_verbosity(0)


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_infer_prints_the_path_alone(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
) -> None:
    weights, out = save_model(make_model()), tmp_path / "out.tif"
    stdout = call("infer", make_raster(), out, "--weights", weights)
    assert stdout == f"{out}\n"
    with rasterio.open(out) as written:
        assert len(written.tags()["SRGAN_WEIGHTS_SHA256"]) == 64


def test_infer_options_and_json(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
) -> None:
    weights, out = save_model(make_model()), tmp_path / "out.tif"
    out.write_bytes(b"old")
    stdout = call(
        "infer", make_raster(bands=4), out, "-w", weights, "--bidx", "4,2", "--tile", 64,
        "--halo", "exact", "--dtype", "float32", "--compress", "zstd", "--co", "BIGTIFF=YES",
        "--nodata", -1, "--batch", 2, "--device", "cpu", "--overwrite", "--json",
    )  # fmt: skip
    found = json.loads(stdout)
    assert found["bands"] == [4, 2]
    assert (found["width"], found["height"], found["scale"]) == (100, 80, 2)
    assert (found["dtype"], found["nodata"], found["device"]) == ("float32", -1, "cpu")
    assert found["output"] == str(out)
    with rasterio.open(out) as written:
        assert (written.compression.name, written.nodata) == ("zstd", -1)


def test_the_attention_window_is_a_choice(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
) -> None:
    weights = save_model(make_model(block_type="rcab", n_channels=48))
    source, out = make_raster(), tmp_path / "out.tif"
    images = []
    for window in ("trained", "full", "8"):
        call(
            "infer", source, out, "-w", weights, "--attention-window", window, "--overwrite",
            "--dtype", "float32",
        )  # fmt: skip
        with rasterio.open(out) as written:
            images.append(written.read())
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    with pytest.raises(RefusedError, match="--attention-window 0: unknown"):
        call("infer", source, out, "-w", weights, "--attention-window", "0")


def test_bf16_is_refused_where_a_network_does_not_stand_it(
    make_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    monkeypatch.setattr(type(model.generator), "bf16", False)
    with pytest.raises(RefusedError, match="too far off in bfloat16"):
        model.network(InferOptions(precision="bf16"))


def test_bf16_gives_way_to_fp32_where_it_would_take_longer(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, source = make_model(), make_raster()
    monkeypatch.setattr("srgan_cli.bfloat16.computes_bf16", lambda _: False)
    plain = model.infer_file(source, tmp_path / "plain.tif")
    asked = InferOptions(precision="bf16")
    result = model.infer_file(source, tmp_path / "bf16.tif", asked)
    assert (tmp_path / "bf16.tif").read_bytes() == (tmp_path / "plain.tif").read_bytes()
    assert (plain.warnings, result.precision) == ((), "fp32")
    (warning,) = result.warnings
    assert "--precision bf16: this CPU has no bfloat16 arithmetic" in warning
    assert warning.endswith("made in fp32")
    with monkeypatch.context() as patched:
        patched.setattr(type(model.generator), "bf16", False)
        with pytest.raises(RefusedError, match="too far off in bfloat16"):
            model.infer_file(source, tmp_path / "no.tif", asked)
    monkeypatch.setattr("srgan_cli.bfloat16.computes_bf16", lambda _: True)
    half = model.infer_file(source, tmp_path / "half.tif", asked)
    assert (half.warnings, half.precision) == ((), "bf16")


def test_dry_run_writes_nothing(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
) -> None:
    weights, out = save_model(make_model()), tmp_path / "out.tif"
    source = make_raster()
    stdout = call("infer", source, out, "-w", weights, "--dry-run")
    assert "100 x 80 x 2 uint16" in stdout
    assert "estimated" in stdout
    assert not out.exists()
    found = json.loads(call("infer", source, out, "-w", weights, "--dry-run", "--json"))
    assert found["dry_run"]
    assert found["seconds"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bidx", "1,x"], "'x': not a band number"),
        (["--bidx", "0"], "'0': not a band number"),
        (["--halo", "wide"], "--halo wide: unknown"),
        (["--co", "TILED"], "--co TILED: not NAME=VALUE"),
    ],
)
def test_malformed_options(words: list[str], message: str) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        call("infer", "in.tif", "out.tif", "-w", "w.safetensors", *words)
    assert caught.value.hint


def test_missing_weights() -> None:
    with pytest.raises(RefusedError, match="no such weights file"):
        load("nowhere.safetensors")


@pytest.mark.parametrize("kind", ["bicubic", "area", "gaussian"])
def test_evaluate_in_windows_equals_the_whole_scene(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable, kind: str
) -> None:
    model = make_model(global_skip="bicubic")
    model.generator.last_layer().weight.mul_(0.01)
    data = ground(2, 203, 150).astype("uint16")
    data[:, :31, :17] = 0
    source = make_raster(data=data, nodata=0)
    whole = evaluate_file(model, str(source), kind, InferOptions(tile_px=500))
    tiled = evaluate_file(model, str(source), kind, InferOptions(tile_px=24))
    for left, right in ((whole.sr, tiled.sr), (whole.bicubic, tiled.bicubic)):
        assert left.psnr == pytest.approx(right.psnr, abs=1e-4)
        assert left.ssim == pytest.approx(right.ssim, abs=1e-5)
        assert left.sam == pytest.approx(right.sam, abs=1e-4)
    assert whole.valid_pixels == tiled.valid_pixels == 202 * 150 - 31 * 17


def test_evaluate_agrees_with_the_metrics(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    model = make_model(global_skip="bicubic")
    data = ground(2, 60, 80).astype("uint16")
    found = evaluate_file(model, str(make_raster(data=data)))
    hr = torch.from_numpy(data.astype(np.float32) / 3000)[None]
    lr = degrade(hr, 2, "bicubic")
    valid = torch.ones(1, 1, 60, 80)
    peak = 10000 / 3000
    bicubic = upsample(lr, 2, "bicubic")
    assert found.bicubic.psnr == pytest.approx(
        float(metrics.psnr(bicubic, hr, valid, peak)), abs=1e-3
    )
    assert found.bicubic.ssim == pytest.approx(
        float(metrics.ssim(bicubic, hr, valid, peak)), abs=1e-5
    )
    sr = model.generator(lr)
    assert found.sr.psnr == pytest.approx(float(metrics.psnr(sr, hr, valid, peak)), abs=1e-3)
    assert found.gain == pytest.approx(found.sr.psnr - found.bicubic.psnr)
    assert found.peak == 10000


def test_evaluate_prints_a_table_or_json(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
) -> None:
    weights = save_model(make_model())
    one, two = make_raster("one.tif"), make_raster("two.tif", height=30)
    lines = call("evaluate", one, two, "-w", weights).splitlines()
    assert [line.split()[0] for line in lines] == ["file", "one.tif", "two.tif", "mean", "SR"]
    assert re.fullmatch(r"SR .* bicubic: [+-]\d+\.\d\d dB PSNR on 2 scenes, on average", lines[-1])
    found = json.loads(call("evaluate", one, two, "-w", weights, "--json"))
    assert len(found["files"]) == 2
    gains = [each["gain"] for each in found["files"]]
    assert found["mean"]["gain"] == pytest.approx(sum(gains) / 2)
    with pytest.raises(RefusedError, match="less than the scale"):
        call("evaluate", make_raster("dot.tif", height=1, width=1), "-w", weights)


def test_a_network_may_make_other_bands_than_it_takes(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
) -> None:
    weights = save_model(make_model(bands=4, out_bands=3, model_type="rrdbnet", n_blocks=1))
    out = tmp_path / "out.tif"
    found = json.loads(call("infer", make_raster(bands=4), out, "-w", weights, "--json"))
    assert (found["bands"], found["num_bands"]) == ([1, 2, 3, 4], 3)
    with rasterio.open(out) as written:
        assert written.count == 3


def test_an_interruption_before_the_first_tile_names_the_command(
    srgan: Callable,
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, source, out = save_model(make_model()), make_raster(), tmp_path / "out.tif"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "source", interrupted)
    code, stdout, err = srgan("infer", source, out, "-w", weights, "--restart")
    assert (code, stdout) == (130, "")
    assert "stopped by SIGINT before the first tile" in err
    assert err.rstrip().endswith(f"again: srgan infer {source} {out} -w {weights}")
    assert not out.with_name("out.tif.srgan").exists()
