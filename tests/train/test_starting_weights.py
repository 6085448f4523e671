"""`Model.load_checkpoint`: weights to start from, whoever made them."""

import pytest
import torch

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError
from srgan_cli.models import build_discriminator, build_generator, generator_spec
from srgan_cli.train.networks import build_networks
from srgan_cli.weights import WeightsInfo, save_weights

CPU = torch.device("cpu")


def other_weights(config):
    torch.manual_seed(99)
    return build_generator(generator_spec(config)).state_dict(), build_discriminator(config)


def start(config, path, warn=lambda text: None):
    model = config.model.model_copy(update={"load_checkpoint": str(path)})
    return build_networks(config.model_copy(update={"model": model}), CPU, 0.0, warn).step


def same(network, state):
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_weights_file(tiny, tmp_path):
    config = tiny()
    state, _ = other_weights(config)
    info = WeightsInfo(
        generator_spec(config), RADIOMETRIES["uint8"], ("a", "b"), 16, None, step=0, ema=False
    )
    save_weights(tmp_path / "w.safetensors", state, info)
    assert same(start(config, tmp_path / "w.safetensors").generator, state)


def test_another_tools_checkpoint_brings_its_discriminator(tiny, tmp_path):
    config = tiny(Discriminator={"model_type": "standard", "n_blocks": 2})
    state, judge = other_weights(config)
    spelled = {
        name.replace("parametrizations.weight.original", "weight_orig").replace(
            "parametrizations.weight.0._", "weight_"
        ): value
        for name, value in judge.state_dict().items()
    }
    assert any(name.endswith("weight_orig") for name in spelled)
    whole = {f"generator.{name}": value for name, value in state.items()}
    whole |= {f"discriminator.{name}": value for name, value in spelled.items()}
    torch.save({"state_dict": whole}, tmp_path / "m.ckpt")
    step = start(config, tmp_path / "m.ckpt")
    assert same(step.generator, state)
    assert same(step.discriminator, judge.state_dict())


def test_another_discriminator_starts_anew_and_is_mentioned(tiny, tmp_path):
    config, heard = tiny(), []
    state, _ = other_weights(config)
    whole = {f"generator.{name}": value for name, value in state.items()}
    whole["discriminator.fc1.weight"] = torch.zeros(3, 3)
    torch.save({"state_dict": whole}, tmp_path / "m.ckpt")
    assert same(start(config, tmp_path / "m.ckpt", heard.append).generator, state)
    assert "its discriminator is another one" in heard[0]


def test_the_average_is_preferred(tiny, tmp_path):
    config = tiny()
    state, _ = other_weights(config)
    average = {name: value + 1 for name, value in state.items()}
    torch.save({"params": state, "params_ema": average}, tmp_path / "m.pth")
    assert same(start(config, tmp_path / "m.pth").generator, average)


def test_another_network_is_refused_with_the_way_to_find_out(tiny, tmp_path):
    state, _ = other_weights(tiny(Generator={"n_blocks": 3}))
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(RefusedError, match="do not fit the network: .*unexpected") as caught:
        start(tiny(), tmp_path / "m.pth")
    assert "srgan weights FILE" in caught.value.hint
