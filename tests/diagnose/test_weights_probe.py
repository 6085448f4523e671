"""`srgan diagnose ema.safetensors`: the grid of a generator without any image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_findings import keys, only

from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry
from srgan_cli.diagnose.probe import diagnose_weights, gain_indices, smooth_fields
from srgan_cli.errors import RefusedError
from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.models.generator import Generator
from srgan_cli.weights import WeightsInfo, save_weights


def spec_of(model_type: str = "SRResNet", scale: int = 4, **options: Any) -> GeneratorSpec:
    values = {"n_channels": 16, "n_blocks": 1, "growth_channels": 8, "large_kernel_size": 5}
    return GeneratorSpec(model_type, "res", 2, 2, scale, **{**values, **options})


def info_of(spec: GeneratorSpec, radiometry: Radiometry | None = None) -> WeightsInfo:
    return WeightsInfo(
        spec=spec,
        radiometry=radiometry or Radiometry("sen2_10k", 1e-4, 0.0, 10000.0),
        band_names=("red", "nir"),
        train_lr_px=16,
        gsd_m=10.0,
        step=7,
        ema=True,
    )


def write(path: Path, generator: Generator, radiometry: Radiometry | None = None) -> Path:
    save_weights(path, generator.state_dict(), info_of(generator.spec, radiometry))
    return path


def generator_with_grid(amplitude: float, period: int, scale: int = 4) -> Generator:
    """Bicubic interpolation plus a pattern from the last bias: every phase its own offset."""
    torch.manual_seed(0)
    generator = build_generator(spec_of(scale=scale, use_icnr=True, global_skip="bicubic"))
    shuffles = [m for m in generator.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
        *_, stage, last = shuffles
        if period == scale and scale > 2:
            stage = shuffles[-3]
        stage.bias.view(-1, 4).copy_(torch.tensor([1.0, -1.0, -1.0, 1.0]))
        if stage is not shuffles[-2]:
            # The later stage hands on what it gets.
            middle = shuffles[-2]
            for phase in range(4):
                for channel in range(middle.in_channels):
                    middle.weight[4 * channel + phase, channel, 1, 1] = 1.0
        side = last.kernel_size[0] // 2
        last.weight[:, :, side, side] = amplitude / last.in_channels
    for module in generator.modules():
        if isinstance(module, torch.nn.PReLU):
            module.weight.data.fill_(1.0)
    return generator


@pytest.mark.parametrize(("period", "stage"), [(2, "the last"), (4, "an earlier")])
@pytest.mark.parametrize(("share", "severity"), [(0.003, "info"), (0.008, "warn"), (0.03, "error")])
def test_planted_grid(period: int, stage: str, share: float, severity: str, tmp_path: Path) -> None:
    fields = smooth_fields(info_of(spec_of()))
    low, high = np.percentile(fields, (2, 98))
    generator = generator_with_grid(share * float(high - low), period)
    report = diagnose_weights(write(tmp_path / "w.safetensors", generator))
    found = only(report, "IMG01")
    assert found.severity == severity
    assert found.evidence["amplitude"] == pytest.approx(share, rel=0.25)
    assert f"made by {stage} upsampling stage" in found.message
    assert "8 smooth fields" in found.message
    assert report.form == "weights"


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_interpolation_has_no_grid(scale: int, tmp_path: Path) -> None:
    generator = build_generator(spec_of(scale=scale, global_skip="bicubic"))
    report = diagnose_weights(write(tmp_path / "w.safetensors", generator))
    assert report.verdict == "clean: nothing is wrong with this generator"
    assert report.checked == ("IMG01",)
    assert report.overview.images.startswith("no checkerboard (0.00%")


@pytest.mark.parametrize("icnr", [True, False])
def test_the_index_tells_where_weights_come_from(icnr: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    generator = build_generator(spec_of(use_icnr=icnr))
    indices = gain_indices(generator)
    assert list(indices) == ["upsampler.0", "upsampler.3"]
    for value in indices.values():
        assert value == pytest.approx(0.0 if icnr else 0.87, abs=0.06)
    report = diagnose_weights(write(tmp_path / "w.safetensors", generator))
    assert "0 = as ICNR starts" in report.notes[0]
    if not icnr:
        found = only(report, "IMG01")
        assert keys(found)[0] == "Generator.use_icnr"
        assert found.evidence["gain_indices"] == pytest.approx(indices)


def test_icnr_is_not_proposed_to_weights_that_had_it(tmp_path: Path) -> None:
    torch.manual_seed(2)
    generator = build_generator(spec_of(use_icnr=True))
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.add_(0.08 * torch.randn_like(module.weight) * module.weight.std())
        generator.last_layer().weight.mul_(20)
    report = diagnose_weights(write(tmp_path / "w.safetensors", generator))
    assert "Generator.use_icnr" not in [key for found in report.findings for key in keys(found)]


def test_a_network_without_pixel_shuffle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = build_generator(spec_of("rrdbnet"))
    report = diagnose_weights(write(tmp_path / "w.safetensors", generator))
    assert report.notes == ()
    assert report.checked == ("IMG01",)


@pytest.mark.parametrize("model_type", ["esrgan", "stochastic_gan"])
def test_every_network_can_be_probed_twice_alike(model_type: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = write(tmp_path / "w.safetensors", build_generator(spec_of(model_type)))
    assert diagnose_weights(path) == diagnose_weights(path)


def test_fields_have_the_units_of_the_network() -> None:
    usual = info_of(spec_of())
    offset = info_of(spec_of(), Radiometry("own", (2e-4, 1e-4), (-1.0, 0.5), (10000.0, 2000.0)))
    assert 0 <= smooth_fields(usual).min() < smooth_fields(usual).max() < 1
    fields = smooth_fields(offset)
    assert fields[:, 0].min() >= -1
    assert fields[:, 0].max() <= 1
    assert fields[:, 1].min() >= 0.5
    assert fields[:, 1].max() <= 0.7
    unknown = info_of(spec_of(), Radiometry("none", 1.0, 0.0))
    assert 0 <= smooth_fields(unknown).min() < smooth_fields(unknown).max() < 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="does not exist"):
        diagnose_weights(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(RefusedError, match="not a safetensors file"):
        diagnose_weights(tmp_path / "torn.safetensors")
    same = build_generator(spec_of("rrdbnet", scale=1))
    with pytest.raises(RefusedError, match="scale 1 has no upsampling grid"):
        diagnose_weights(write(tmp_path / "x1.safetensors", same))


def test_through_the_command_line(tmp_path: Path, srgan: Any) -> None:
    path = write(tmp_path / "w.safetensors", generator_with_grid(0.05, 4))
    code, out, _ = srgan("diagnose", path)
    assert code == 1
    assert out.splitlines()[0].startswith("generator ")
    assert "this generator has a problem: 1 error" in out
    code, out, _ = srgan("diagnose", path, "--json")
    assert json.loads(out)["extent"] == "SRResNet, 2 bands, scale 4, step 7"


def checkpoints(folder: Path, generator: Generator) -> dict[str, Path]:
    """The weights as other tools save them: OpenSR-SRGAN, BasicSR, and tensors alone."""
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    wrapped = {f"generator.{name}": tensor for name, tensor in state.items()}
    torch.save(
        {"state_dict": wrapped, "pytorch-lightning_version": "2.4.0", "global_step": 14},
        folder / "peer.ckpt",
    )
    torch.save({"params_ema": state}, folder / "basicsr.pth")
    save_file(state, folder / "alone.safetensors")
    return {
        "Lightning": folder / "peer.ckpt",
        "params_ema": folder / "basicsr.pth",
        "state dict": folder / "alone.safetensors",
    }


def test_checkpoints_of_other_tools_are_judged_as_weights_files_are(
    tmp_path: Path, srgan: Any
) -> None:
    torch.manual_seed(3)
    generator = build_generator(spec_of(use_icnr=False))
    radiometry = RADIOMETRIES["normalise_10k"]
    wanted = only(
        diagnose_weights(write(tmp_path / "w.safetensors", generator, radiometry)), "IMG01"
    )
    for words, path in checkpoints(tmp_path, generator).items():
        code, out, err = srgan("diagnose", path, "--json")
        assert code == 1, err
        report = json.loads(out)
        found = next(one for one in report["findings"] if one["code"] == "IMG01")
        assert found["evidence"]["amplitude"] == pytest.approx(wanted.evidence["amplitude"])
        assert report["extent"].startswith("SRResNet, 2 bands, scale 4, step ")
        assert words in report["notes"][0]
        average = words == "params_ema"
        kept = "its moving average" if average else "its weights as trained"
        assert report["notes"][0].endswith(kept)
        assert any(
            note.startswith("assumed, as `srgan import` does: ")
            and "radiometry normalise_10k" in note
            for note in report["notes"]
        )


def test_the_configuration_of_a_checkpoint_is_taken(tmp_path: Path, srgan: Any) -> None:
    torch.manual_seed(3)
    path = checkpoints(tmp_path, build_generator(spec_of(use_icnr=False)))["Lightning"]
    config = tmp_path / "their.yaml"
    config.write_text("Model: {in_bands: 2}\nData: {normalization: sen2_stretch_10k}\n")
    code, out, err = srgan("diagnose", path, "--config", config, "--json")
    assert code == 1, err
    assert "radiometry" not in " ".join(json.loads(out)["notes"])
    config.write_text("Model: {in_bands: 5}\n")
    code, _, err = srgan("diagnose", path, "--config", config)
    assert code == 2
    assert "Model.in_bands is 5, the checkpoint has 2" in err


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, srgan: Any) -> None:
    def refused(words: str, *arguments: object) -> None:
        code, out, err = srgan("diagnose", *arguments)
        assert (code, out) == (2, "")
        assert words in " ".join(err.split())

    refused("no such file", tmp_path / "none.ckpt")
    (tmp_path / "torn.pth").write_bytes(b"torn")
    refused("damaged or not a checkpoint", tmp_path / "torn.pth")
    torch.save({"state_dict": {}, "hyper_parameters": Path("x")}, tmp_path / "objects.ckpt")
    refused("loading them can run code", tmp_path / "objects.ckpt")
    path = checkpoints(tmp_path, build_generator(spec_of()))["Lightning"]
    refused("is no raster, so --scale and --lr say nothing", path, "--lr", path)
    refused("is no log, so --watch says nothing", path, "--watch")
    refused("--html is for the log of a training", path, "--html")
    own = write(tmp_path / "w.safetensors", build_generator(spec_of()))
    refused("is no log, so --config says nothing", own, "--config", path)
    refused("is no raster, so --scale and --lr say nothing", own, "--scale", 4)


def test_a_run_is_diagnosed_without_torch_and_rasterio(tmp_path: Path) -> None:
    code = (
        "import sys; import srgan_cli.diagnose; import srgan_cli.cli.diagnose; "
        "assert not {'torch', 'rasterio'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
