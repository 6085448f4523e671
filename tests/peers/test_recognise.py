"""The network must follow from the tensors alone."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from srgan_cli.errors import RefusedError
from srgan_cli.models import GENERATORS, GeneratorSpec, build_generator
from srgan_cli.peers.recognise import recognise
from srgan_cli.peers.renaming import modern_generator


def meta_state(spec):
    with torch.device("meta"):
        return build_generator(spec).state_dict()


@st.composite
def specs(draw):
    name = draw(st.sampled_from(sorted(GENERATORS)))
    model_type, _, block_type = name.partition("/")
    # Four bands from sixteen times as many channels would be another network with equal shapes.
    bands = draw(st.sampled_from([1, 2, 3, 4, 6, 13]))
    values = {
        "scale": draw(st.sampled_from([2, 4, 8])),
        "n_channels": draw(st.integers(16, 40)),
        "n_blocks": draw(st.integers(1, 12)),
    }
    if model_type in ("esrgan", "rrdbnet"):
        values["scale"] = draw(st.sampled_from([1, 2, 4, 8]))
        values["growth_channels"] = draw(st.integers(1, 40))
    else:
        values["large_kernel_size"] = draw(st.sampled_from([3, 5, 9]))
        values["small_kernel_size"] = draw(st.sampled_from([3, 5]))
    if model_type == "stochastic_gan":
        values["noise_dim"] = draw(st.integers(1, 64))
    if model_type == "rrdbnet":
        values["fold"] = max(4 // values["scale"], 1)
    return GeneratorSpec(model_type, block_type or "res", bands, bands, **values)


@given(specs())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_network_is_recognised_from_its_shapes(spec):
    assert recognise(meta_state(spec)).spec() == spec


def test_other_bands_out_than_in():
    spec = GeneratorSpec("rrdbnet", "res", 24, 3, 4, 64, 2)
    assert recognise(meta_state(spec)).spec() == spec


def test_what_leaves_no_trace_is_named():
    spec = GeneratorSpec("esrgan", "res", 4, 4, 4, 16, 1, res_scale=0.5)
    found = recognise(meta_state(spec))
    assert found.assumed == ("res_scale",)
    assert found.spec(res_scale=0.5) == spec


def test_the_scale_settles_what_the_shapes_leave_open():
    wide = GeneratorSpec("rrdbnet", "res", 12, 3, 4, 16, 1)
    folded = GeneratorSpec("rrdbnet", "res", 3, 3, 2, 16, 1, fold=2)
    assert recognise(meta_state(wide)).spec() == folded
    assert "--scale 4 reads it as 12 bands" in recognise(meta_state(wide)).notes[0]
    assert recognise(meta_state(wide), scale=4).spec() == wide
    assert recognise(meta_state(folded), scale=2).spec() == folded


OLD = {
    "conv_first": "conv_first",
    "body.0.rdb2.conv3": "RRDB_trunk.0.RDB2.conv3",
    "conv_body": "trunk_conv",
    "conv_up1": "upconv1",
    "conv_hr": "HRconv",
    "conv_last": "conv_last",
}
FIRST = {
    "conv_first": "model.0",
    "body.1.rdb1.conv1": "model.1.sub.1.RDB1.conv1.0",
    "conv_body": "model.1.sub.2",
    "conv_up1": "model.3",
    "conv_up2": "model.6",
    "conv_hr": "model.8",
    "conv_last": "model.10",
}


def old_name(name):
    name = name.replace("conv_body", "trunk_conv").replace("conv_hr", "HRconv")
    for new, old in (("body.", "RRDB_trunk."), ("rdb", "RDB"), ("conv_up", "upconv")):
        name = name.replace(new, old)
    return name


def first_name(name):
    layer, _, kind = name.rpartition(".")
    if layer in FIRST:
        return f"{FIRST[layer]}.{kind}"
    number, block, conv = layer.removeprefix("body.").split(".")
    return f"model.1.sub.{number}.{block.upper()}.{conv}.0.{kind}"


@pytest.mark.parametrize("rename", [old_name, first_name, str])
def test_older_names_of_esrgan(rename):
    state = meta_state(GeneratorSpec("rrdbnet", "res", 3, 3, 4, 16, 2))
    found = modern_generator({rename(name): value for name, value in state.items()})
    assert {name: t.shape for name, t in found.items()} == {n: t.shape for n, t in state.items()}


def test_the_older_names_are_those_that_spandrel_knows():
    for new, old in OLD.items():
        assert old_name(f"{new}.weight") == f"{old}.weight"


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"encoder.0.weight": torch.zeros(1)},
        {"head.0.weight": torch.zeros(4, 4, 3, 3)},
        {"conv_first.weight": torch.zeros(3), "body.0.rdb1.conv1.weight": torch.zeros(1)},
        {"net.conv_block1.conv_block.0.weight": torch.zeros(8, 2, 3, 3)},
    ],
)
def test_other_networks_are_refused(state):
    with pytest.raises(RefusedError, match="no generator known here") as caught:
        recognise(state)
    assert "RRDBNet" in caught.value.hint
