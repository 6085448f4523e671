import json
from typing import NamedTuple

import pytest
import torch

from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.weights import load_generator


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def srgan(srgan):  # the one of all tests, with names for what it returns
    return lambda *arguments: Done(*srgan(*arguments))


SPEC = GeneratorSpec("SRResNet", "rcab", 3, 3, 2, 16, 1)


@pytest.fixture
def checkpoint(tmp_path):
    state = build_generator(SPEC).state_dict()
    whole = {f"generator.{name}": value for name, value in state.items()}
    whole["discriminator.fc1.bias"] = torch.zeros(3)
    torch.save({"state_dict": whole, "pytorch-lightning_version": "2"}, tmp_path / "m.ckpt")
    return tmp_path / "m.ckpt"


def test_import_answers_with_the_path_and_tells_the_rest(srgan, checkpoint, tmp_path):
    output = tmp_path / "w.safetensors"
    done = srgan("import", checkpoint, output, "--normalization", "uint8", "--train-lr-px", 24)
    assert (done.code, done.out) == (0, f"{output}\n")
    for part in ("Lightning checkpoint", "SRResNet rcab, x2, 3 -> 3 bands", "discriminator: 1"):
        assert part in done.err
    assert "assumed" not in done.err
    info = load_generator(output)[1]
    assert (info.radiometry.name, info.train_lr_px) == ("uint8", 24)


def test_import_warns_of_what_it_assumes(srgan, checkpoint, tmp_path):
    done = srgan("import", checkpoint, tmp_path / "w.safetensors", "--json")
    assert "warning: assumed: radiometry normalise_10k" in done.err
    found = json.loads(done.out)
    assert found["generator"]["block_type"] == "rcab"
    assert found["discriminator_tensors"] == 1


def test_import_takes_band_names(srgan, checkpoint, tmp_path):
    output = tmp_path / "w.safetensors"
    srgan("import", checkpoint, output, "--band-names", "red, green,blue")
    assert load_generator(output)[1].band_names == ("red", "green", "blue")


@pytest.mark.parametrize(
    ("name", "part"), [("w.pth", "end in .safetensors"), ("w.safetensors", "exists")]
)
def test_import_refuses_an_output(srgan, checkpoint, tmp_path, name, part):
    (tmp_path / "w.safetensors").write_text("mine")
    done = srgan("import", checkpoint, tmp_path / name)
    assert done.code == 2
    assert part in done.err
    assert (tmp_path / "w.safetensors").read_text() == "mine"


def test_import_never_writes_over_its_source(srgan, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_text("x")
    done = srgan("import", path, path, "--overwrite")
    assert done.code == 2
    assert "is the checkpoint itself" in done.err


def test_weights_describes_both_kinds(srgan, checkpoint, tmp_path):
    output = tmp_path / "w.safetensors"
    srgan("import", checkpoint, output)
    for file, kind in ((checkpoint, "Lightning checkpoint"), (output, "weights file of srgan")):
        done = srgan("weights", file)
        assert done.code == 0
        assert kind in done.out
        assert "SRResNet/rcab" in done.out
        assert json.loads(srgan("weights", file, "--json").out)["scale"] == 2


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_weights_refuses_rubbish(srgan, tmp_path, content):
    for name in ("x.ckpt", "x.safetensors"):
        (tmp_path / name).write_bytes(content)
        done = srgan("weights", tmp_path / name)
        assert done.code == 2
        assert name in done.err
        assert "fix:" in done.err


def test_infer_points_to_import(srgan, checkpoint, tmp_path):
    done = srgan("infer", tmp_path / "in.tif", tmp_path / "out.tif", "--weights", checkpoint)
    assert done.code == 2
    assert "srgan import" in done.err
