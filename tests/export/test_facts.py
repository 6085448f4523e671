import json
from dataclasses import replace

import pytest
import torch

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError
from srgan_cli.export.facts import facts_text, file_facts, refuse_directory, why_not_spandrel
from srgan_cli.models import GENERATORS, GeneratorSpec, build_generator
from srgan_cli.weights import WeightsInfo, save_weights


@pytest.fixture
def save(tmp_path):
    def write(spec, train_lr_px=32, names=()):
        torch.manual_seed(0)
        generator = build_generator(spec)
        for parameter in generator.parameters():
            if parameter.ndim > 1:  # far from the start, where every block still does little
                torch.nn.init.kaiming_normal_(parameter, a=0.5)
        path = tmp_path / "w.safetensors"
        info = WeightsInfo(spec, RADIOMETRIES["uint8"], names, train_lr_px, 2.5, 7, True)
        save_weights(path, generator.state_dict(), info)
        return path, generator.eval(), info

    return write


@pytest.mark.parametrize("name", GENERATORS)
def test_every_network_has_its_facts(save, name):
    model_type, _, block_type = name.partition("/")
    path, generator, _ = save(GeneratorSpec(model_type, block_type or "res", 3, 3, 2, 16, 1))
    facts = file_facts(path)
    generator.pool_locally_(32)
    assert facts["network"] == name
    assert facts["receptive_field_px"] == generator.receptive_field_px()
    assert facts["parameters"] == sum(p.numel() for p in generator.parameters())
    assert (facts["scale"], facts["step"], facts["ema"], facts["gsd_m"]) == (2, 7, True, 2.5)
    assert facts["attention_window_px"] == (32 if name.endswith("rcab") else None)
    assert json.loads(json.dumps(facts)) == facts
    text = facts_text(facts)
    for part in (name, "x2", "uint8", f"{facts['receptive_field_px']} LR pixels", "7 steps"):
        assert part in text


def test_the_text_tells_what_channel_attention_does(save):
    spec = GeneratorSpec("SRResNet", "rcab", 3, 3, 2, 16, 1)
    assert "averages over 32 x 32 LR pixels" in facts_text(file_facts(save(spec)[0]))
    unknown = facts_text(file_facts(save(spec, train_lr_px=None)[0]))
    assert "--attention-window" in unknown
    assert "LR crops of unknown size" in unknown


def test_a_checkpoint_has_facts_as_well(tmp_path):
    spec = GeneratorSpec("rrdbnet", "res", 3, 3, 4, 8, 1)
    state = build_generator(spec).state_dict()
    torch.save({"params": state, "params_ema": state}, tmp_path / "x.pth")
    facts = file_facts(tmp_path / "x.pth")
    assert facts["kind"] == "checkpoint with params_ema, params"
    assert "assumed    radiometry uint8" in facts_text(facts)
    assert "both the weights as trained and their moving average" in facts_text(facts)


def test_a_run_folder_is_answered_with_its_files(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "ema.safetensors").touch()
    with pytest.raises(RefusedError, match="a folder") as caught:
        refuse_directory(tmp_path)
    assert "ema.safetensors" in caught.value.hint
    with pytest.raises(RefusedError) as caught:
        refuse_directory(tmp_path / "weights")
    assert "give a .safetensors file" in caught.value.hint


RRDB = {"growth_channels": 32, "n_channels": 16, "n_blocks": 1}


def rrdbnet(bands=3, scale=4, **more):
    values = {"fold": max(4 // scale, 1), **RRDB, **more}
    return GeneratorSpec("rrdbnet", "res", bands, values.pop("out_bands", bands), scale, **values)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_spandrel_opens_our_rrdbnet_and_agrees(save, scale, bands):
    spandrel = pytest.importorskip("spandrel")
    path, generator, info = save(rrdbnet(bands, scale))
    assert why_not_spandrel(info) is None
    opened = spandrel.ModelLoader().load_from_file(path)
    assert (opened.architecture.id, opened.scale) == ("ESRGAN", scale)
    assert (opened.input_channels, opened.output_channels) == (bands, bands)
    lr = torch.rand(1, bands, 12, 21)
    with torch.no_grad():
        torch.testing.assert_close(opened.model(lr), generator(lr), rtol=1e-4, atol=1e-5)
    assert file_facts(path)["spandrel"] is True
    assert "opens it" in facts_text(file_facts(path))


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (rrdbnet(global_skip="bicubic"), "global_skip bicubic is unknown to them"),
        (rrdbnet(growth_channels=16), "growth_channels 32 for granted, this is 16"),
        (rrdbnet(bands=12, out_bands=3), "12 input channels for 3 bands folded by 2"),
        (GeneratorSpec("esrgan", "res", 3, 3, 4, 16, 1), "they know RRDBNet"),
    ],
)
def test_what_spandrel_would_get_wrong_is_said(save, spec, part):
    spandrel = pytest.importorskip("spandrel")
    path, generator, _ = save(spec)
    facts = file_facts(path)
    assert part in facts["why_not_spandrel"]
    assert "cannot open it" in facts_text(facts)
    lr = torch.rand(1, spec.in_bands, 8, 8)
    try:
        with torch.no_grad():
            theirs = spandrel.ModelLoader().load_from_file(path).model(lr)
    except (RuntimeError, spandrel.UnsupportedModelError):
        return
    with torch.no_grad():
        ours = generator(lr)
    assert theirs.shape != ours.shape or not torch.allclose(theirs, ours, rtol=1e-2)


def test_a_radiometry_per_band_is_shown(tmp_path):
    spec = GeneratorSpec("SRResNet", "res", 2, 2, 2, 8, 1)
    radiometry = replace(RADIOMETRIES["uint8"], scale=(0.5, 0.25), offset=(-1.0, 0.0))
    info = WeightsInfo(spec, radiometry, ("a", "b"), 16, None, 0, False)
    save_weights(tmp_path / "w.safetensors", build_generator(spec).state_dict(), info)
    text = facts_text(file_facts(tmp_path / "w.safetensors"))
    assert "stored * [0.5, 0.25] + [-1, 0]" in text
