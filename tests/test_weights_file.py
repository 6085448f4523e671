import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from srgan_cli.config import RunConfig
from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError
from srgan_cli.models import GENERATORS, GeneratorSpec, build_generator, generator_spec
from srgan_cli.weights import WeightsInfo, load_generator, read_weights, save_weights


def make(name="SRResNet/res"):
    model_type, _, block_type = name.partition("/")
    torch.manual_seed(0)
    spec = GeneratorSpec(model_type, block_type or "res", 2, 2, 2, 16, 1, growth_channels=4)
    info = WeightsInfo(
        spec, RADIOMETRIES["sen2_stretch_10k"], ("B04", ""), 32, 10.0, step=7, ema=True
    )
    return build_generator(spec), info


@pytest.fixture
def saved(tmp_path):
    generator, info = make()
    path = tmp_path / "w.safetensors"
    save_weights(path, generator.state_dict(), info)
    return path, generator, info


@pytest.mark.parametrize("name", GENERATORS)
def test_save_load_save_is_byte_for_byte(tmp_path, name):
    generator, info = make(name)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(first, generator.state_dict(), info)
    loaded, read = load_generator(first)
    save_weights(second, loaded.state_dict(), read)
    assert read == info
    assert first.read_bytes() == second.read_bytes()
    lr = torch.rand(1, 2, 5, 4)
    assert torch.equal(loaded(lr), generator.eval()(lr))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize("padding", range(0, 264, 8))
def test_a_header_of_any_length_is_read(tmp_path, padding):
    """Its length stands first in the file; as bytes it can be any two, those of a pickle too."""
    generator, info = make()
    path = tmp_path / "w.safetensors"
    save_weights(path, generator.state_dict(), replace(info, version="1" + padding * "0"))
    assert load_generator(path)[1].step == 7


@st.composite
def configurations(draw):
    """Any generator that a configuration can describe, small."""
    kind = draw(st.sampled_from(["SRResNet", "rrdbnet", "esrgan", "stochastic_gan"]))
    scales = [1, 2, 4, 8] if kind in ("rrdbnet", "esrgan") else [2, 4, 8]
    generator = {
        "model_type": kind,
        "block_type": draw(st.sampled_from(["standard", "res", "rcab", "rrdb", "lka"])),
        "n_channels": draw(st.integers(16, 24)),
        "n_blocks": draw(st.integers(1, 2)),
        "large_kernel_size": draw(st.sampled_from([1, 3, 5])),
        "small_kernel_size": draw(st.sampled_from([1, 3, 5])),
        "growth_channels": draw(st.integers(1, 8)),
        "noise_dim": draw(st.integers(1, 8)),
        "res_scale": draw(st.floats(0.01, 1)),
        "scaling_factor": draw(st.sampled_from(scales)),
        "use_icnr": draw(st.booleans()),
        "global_skip": draw(st.sampled_from(["none", "nearest", "bicubic"])),
    }
    return {"Model": {"in_bands": draw(st.integers(1, 13))}, "Generator": generator}


@given(configurations(), st.one_of(st.none(), st.integers(1, 64)), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_random_network_survives_saving_byte_for_byte(tmp_path_factory, config, window, ema):
    folder = tmp_path_factory.mktemp("random")
    spec = generator_spec(RunConfig.model_validate(config))
    info = WeightsInfo(
        spec, RADIOMETRIES["identity"], ("x",) * spec.in_bands, window, None, step=3, ema=ema
    )
    first, second = folder / "a.safetensors", folder / "b.safetensors"
    generator = build_generator(spec)
    save_weights(first, generator.state_dict(), info)
    loaded, read = load_generator(first)
    save_weights(second, loaded.state_dict(), read)
    assert first.read_bytes() == second.read_bytes()
    assert read == info
    generator.eval().pool_locally_(window)
    lr = torch.rand(1, spec.in_bands, 6, 7)
    with torch.no_grad():
        assert torch.equal(loaded(lr), generator(lr))


def refused(path, part):
    with pytest.raises(RefusedError, match=part) as caught:
        load_generator(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_missing_file(tmp_path):
    refused(tmp_path / "no.safetensors", "no such weights file")


@pytest.mark.parametrize("size", [0, 5, 8, 100, 4000])
def test_truncated_file(saved, size):
    path = saved[0]
    path.write_bytes(path.read_bytes()[:size])
    refused(path, "truncated|damaged")


def test_a_pickle_in_disguise_is_never_unpickled(tmp_path):
    path = tmp_path / "evil.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    refused(path, "a pickle")
    path.write_bytes(b"\x80\x04K\x01.")
    refused(path, "a pickle")


def test_a_header_of_100_mb(tmp_path):
    path = tmp_path / "big.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100 * 2**20) + b"{")
        file.truncate(101 * 2**20)
    refused(path, "claims 100 MB")


def test_plain_safetensors_without_our_header(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    refused(path, "without a srgan header")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format_version": 99}, "weights format 99"),
        ({"generator": {"scale": 4}}, "damaged srgan header"),
        ({"radiometry": 3}, "damaged srgan header"),
    ],
)
def test_header_from_the_future_or_damaged(saved, change, part):
    path, generator, info = saved
    header = json.dumps(info.as_dict() | change)
    save_file(generator.state_dict(), path, metadata={"srgan": header})
    refused(path, part)


def test_unknown_network(saved):
    path, generator, info = saved
    values = info.as_dict()
    values["generator"]["model_type"] = "swin"
    save_file(generator.state_dict(), path, metadata={"srgan": json.dumps(values)})
    refused(path, "network 'swin' is unknown")


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda t: t.pop("tail.bias"), "1 missing: tail.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda t: t.update({"tail.bias": torch.zeros(9)}), "1 wrong shape: tail.bias"),
        (lambda t: t["tail.bias"].fill_(float("nan")), "1 not finite: tail.bias"),
    ],
)
def test_tensors_that_do_not_fit(saved, spoil, part):
    path, generator, info = saved
    tensors = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    spoil(tensors)
    save_weights(path, tensors, info)
    refused(path, part)


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    path, generator, info = saved
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srgan_cli.weights.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(path, generator.state_dict(), info)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_read_weights_gives_the_header(saved):
    assert read_weights(saved[0])[1] == saved[2]


def test_reading_networks_loads_no_compiler(tmp_path):
    """Building on `meta` can draw in sympy and PyTorch's compiler: 160 MB and two seconds."""
    paths = []
    for index, name in enumerate(GENERATORS):
        generator, info = make(name)
        paths.append(str(tmp_path / f"{index}.safetensors"))
        save_weights(Path(paths[-1]), generator.state_dict(), info)
    program = (
        "import sys\nfrom pathlib import Path\nfrom srgan_cli.weights import load_generator\n"
        f"for path in {paths!r}:\n    load_generator(Path(path))\n"
        "print([name for name in ('sympy', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
