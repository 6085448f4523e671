"""Every kind of file that holds weights, and every way in which one can be useless."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from srgan_cli.errors import RefusedError
from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.models.discriminators import SRGANDiscriminator
from srgan_cli.peers.containers import open_checkpoint


@pytest.fixture
def state():
    torch.manual_seed(0)
    return build_generator(GeneratorSpec("SRResNet", "res", 2, 2, 2, 8, 1)).state_dict()


@pytest.fixture
def save(tmp_path):
    def write(content, name="x.ckpt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


def lightning(state, **more):
    """As Lightning writes OpenSR-SRGAN's module."""
    judge = SRGANDiscriminator(2, 2, use_spectral_norm=False).state_dict()
    whole = {f"generator.{name}": value for name, value in state.items()}
    whole |= {f"discriminator.{name}": value for name, value in judge.items()}
    whole["content_loss_criterion.perceptual_model.truncated_vgg19.0.bias"] = torch.zeros(64)
    adam_d = {"state": {0: {"step": torch.tensor(7.0)}}}
    adam_g = {"state": {0: {"step": torch.tensor(9.0)}, 1: {"step": torch.tensor(9.0)}}}
    return {
        "pytorch-lightning_version": "2.6",
        "global_step": 16,
        "state_dict": whole,
        "optimizer_states": [adam_d, adam_g],
        "lr_schedulers": [{}],
        "loops": {},
        "callbacks": {},
    } | more


def shadow(state, num_updates, **more):
    average = {name: value + 1 for name, value in state.items()}
    return {
        "decay": 0.999,
        "num_updates": num_updates,
        "device": "cuda:0",
        "shadow_params": average,
        "shadow_buffers": {},
    } | more


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_lightning_checkpoint_falls_into_its_parts(save, state):
    found = open_checkpoint(save(lightning(state)))
    assert found.kind == "Lightning checkpoint"
    assert same(found.raw, state)
    assert not found.ema
    assert found.step == 9, "Adam's count of the generator, not Lightning's of both"
    assert len(found.discriminator) == len(SRGANDiscriminator(2, 2, False).state_dict())
    assert found.left_out[0] == "1 tensors of content_loss_criterion"
    assert "optimizers" in found.left_out
    assert found.generator() == (found.raw, False)


def test_the_average_is_preferred(save, state):
    found = open_checkpoint(save(lightning(state, ema_state=shadow(state, 9))))
    tensors, ema = found.generator()
    assert ema
    assert torch.equal(tensors["tail.bias"], state["tail.bias"] + 1)
    assert found.generator(raw=True)[1] is False


@pytest.mark.parametrize("num_updates", [None, 3])
def test_an_average_without_a_count_is_believed(save, state, num_updates):
    assert open_checkpoint(save(lightning(state, ema_state=shadow(state, num_updates)))).ema


def test_an_average_that_was_never_updated_is_not(save, state):
    """The peer seeds it with random weights and validates with them."""
    found = open_checkpoint(save(lightning(state, ema_state=shadow(state, 0))))
    assert found.generator() == (found.raw, False)
    assert "never updated" in found.notes[0]


def test_statistics_that_the_average_leaves_out_are_those_of_the_network(save):
    net = build_generator(GeneratorSpec("SRResNet", "standard", 2, 2, 2, 8, 1))
    state, parameters = net.state_dict(), dict(net.named_parameters())
    ema = shadow(parameters, 5)
    found = open_checkpoint(save(lightning(state, ema_state=ema)))
    assert found.ema.keys() == state.keys()
    name = "net.conv_block2.conv_block.1.running_var"
    assert torch.equal(found.ema[name], state[name])


@pytest.mark.parametrize(
    ("key", "average"), [("params_ema", True), ("params", False), ("state_dict", False)]
)
def test_wrapped_state_dicts(save, state, key, average):
    tensors, ema = open_checkpoint(save({key: state}, "x.pth")).generator()
    assert same(tensors, state)
    assert ema is average


def test_raw_weights_are_refused_where_there_are_none(save, state):
    with pytest.raises(RefusedError, match="average alone"):
        open_checkpoint(save({"params_ema": state})).generator(raw=True)


@pytest.mark.parametrize("prefix", ["", "module.", "generator.", "module.generator._orig_mod."])
def test_plain_state_dicts_with_every_wrapper(save, state, prefix):
    found = open_checkpoint(save({prefix + name: value for name, value in state.items()}))
    assert same(found.raw, state)


def test_safetensors_of_other_tools(tmp_path, state):
    save_file(state, tmp_path / "x.safetensors")
    assert same(open_checkpoint(tmp_path / "x.safetensors").raw, state)


def test_checkpoints_of_a_run(save, state):
    content = {
        "format_version": 1,
        "step": 5,
        "generator": state,
        "discriminator": {},
        "ema": {"num_updates": 4, "model": {k: v + 1 for k, v in state.items()}},
        "optimizer_g": {"state": {}},
        "info": {"step": 0},
    }
    found = open_checkpoint(save(content))
    assert (found.kind, found.step, found.info) == ("checkpoint of srgan train", 5, {"step": 0})
    assert found.generator()[1] is True
    content["ema"] = {"num_updates": 0, "model": state}
    assert open_checkpoint(save(content)).generator()[1] is False


def refused(path, part):
    with pytest.raises(RefusedError, match=part) as caught:
        open_checkpoint(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "evil.ckpt"
    marker = tmp_path / "ran"

    class Runs:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"state_dict": {}, "x": Runs()}, path)
    found = refused(path, "holds Python objects beside tensors")
    assert "open" in found.message
    assert not marker.exists()


def test_an_old_pickle_is_refused_too(tmp_path):
    path = tmp_path / "old.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    refused(path, "damaged or not a checkpoint")


@pytest.mark.parametrize("size", [0, 5, 100, 2000])
def test_truncated_files(save, state, size):
    path = save({"params": state})
    path.write_bytes(path.read_bytes()[:size])
    refused(path, "damaged or not a checkpoint")


def test_a_truncated_safetensors_file(tmp_path, state):
    path = tmp_path / "x.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-10])
    refused(path, "damaged safetensors")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (torch.zeros(3), "holds a Tensor"),
        ({"epoch": 3, "loss": 0.1}, "no weights under any name known here; it holds epoch, loss"),
        ({}, "it holds nothing"),
        ({"discriminator.a": torch.zeros(1)}, "without a generator"),
    ],
)
def test_files_without_weights(save, content, part):
    refused(save(content), part)


def test_paths_that_are_no_files(tmp_path):
    refused(tmp_path / "no.ckpt", "no such file")
    refused(tmp_path, "a folder")
