import itertools

import numpy as np
import pytest
import torch

from srgan_cli.config import RunConfig
from srgan_cli.models import (
    GENERATORS,
    Generator,
    GeneratorSpec,
    build_discriminator,
    build_generator,
    generator_spec,
    registry_name,
    upsample,
)
from srgan_cli.models.init import icnr_


def spec(name="SRResNet/res", **changes):
    model_type, _, block_type = name.partition("/")
    values = {
        "model_type": model_type,
        "block_type": block_type or "res",
        "in_bands": 3,
        "out_bands": 3,
        "scale": 4,
        "n_channels": 16,
        "n_blocks": 2,
        "growth_channels": 8,
        "noise_dim": 6,
    }
    return GeneratorSpec(**(values | changes))


@pytest.mark.parametrize(("name", "scale"), list(itertools.product(GENERATORS, (2, 4, 8))))
def test_output_is_scale_times_the_input(name, scale):
    generator = build_generator(spec(name, scale=scale)).eval()
    with torch.no_grad():
        assert generator(torch.rand(2, 3, 7, 5)).shape == (2, 3, 7 * scale, 5 * scale)


def test_esrgan_at_scale_1_has_no_upsampler():
    generator = build_generator(spec("esrgan", scale=1)).eval()
    assert generator(torch.rand(1, 3, 6, 6)).shape == (1, 3, 6, 6)
    assert not any(key.startswith("upsampler") for key in generator.state_dict())


@pytest.mark.parametrize(
    ("name", "skip"), list(itertools.product(GENERATORS, ("nearest", "bicubic")))
)
def test_with_a_global_skip_the_first_output_is_the_skip(name, skip):
    generator = build_generator(spec(name, global_skip=skip)).eval()
    lr = torch.rand(2, 3, 9, 6)
    with torch.no_grad():
        assert torch.equal(generator(lr), upsample(lr, 4, skip))


@pytest.mark.parametrize("name", GENERATORS)
def test_the_zeroed_last_layer_still_learns(name):
    generator = build_generator(spec(name, global_skip="bicubic"))
    (generator(torch.rand(2, 3, 8, 8)) - 1).abs().mean().backward()
    assert generator.last_layer().weight.grad.abs().sum() > 0


def phase_imbalance(generator, lr):
    """Energy at the sub-pixel grid frequencies, relative to the whole, of the inner output."""
    with torch.no_grad():
        sr = generator.residual(lr)[..., 16:-16, 16:-16].double()
    phases = sr.unfold(-2, 4, 4).unfold(-2, 4, 4).mean(dim=(0, 2, 3))
    spread = (phases - phases.mean(dim=(-1, -2), keepdim=True)).square().mean()
    return (spread / sr.var()).item()


@pytest.mark.parametrize("name", GENERATORS)
def test_icnr_leaves_no_energy_at_the_sub_pixel_grid(name):
    # A wide smooth field: what varies from phase to phase is the upsampler's own doing.
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    lr = (0.5 + 0.3 * torch.sin(x / 9) * torch.cos(y / 7)).expand(1, 3, 32, 32)
    with_icnr, without = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        with_icnr.append(phase_imbalance(build_generator(spec(name)).eval(), lr))
        torch.manual_seed(seed)
        without.append(phase_imbalance(build_generator(spec(name, use_icnr=False)).eval(), lr))
    assert np.median(with_icnr) < 0.02 * np.median(without)


def test_icnr_makes_a_shuffle_a_nearest_upsampling():
    conv = torch.nn.Conv2d(5, 12, 3, padding=1, bias=False)
    icnr_(conv.weight)
    out = torch.nn.functional.pixel_shuffle(conv(torch.rand(1, 5, 6, 6)), 2)
    assert torch.equal(out[..., ::2, ::2], out[..., 1::2, 1::2])
    assert out.std() > 0


def test_evaluation_of_the_stochastic_generator_is_repeatable_and_training_is_not():
    generator = build_generator(spec("stochastic_gan"))
    lr = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        assert not torch.equal(generator(lr), generator(lr))
        generator.eval()
        first = generator(lr)
        assert torch.equal(first, generator(lr))
        generator.noise_seed = 1
        assert not torch.equal(first, generator(lr))


def test_adding_a_generator_takes_one_class_and_one_entry(monkeypatch):
    class Toy(Generator):
        def __init__(self, spec):
            super().__init__(spec)
            self.conv = torch.nn.Conv2d(spec.in_bands, spec.out_bands, 1)

        def residual(self, lr):
            return self.conv(upsample(lr, self.spec.scale, "nearest"))

        def last_layer(self):
            return self.conv

    monkeypatch.setitem(GENERATORS, "toy", Toy)
    generator = build_generator(spec("toy", global_skip="bicubic"))
    assert generator(torch.rand(1, 3, 4, 4)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_spec_survives_json(name):
    assert GeneratorSpec.from_dict(spec(name).as_dict()) == spec(name)


def test_defaults_of_the_configuration():
    found = generator_spec(RunConfig.model_validate({"Generator": {"model_type": "esrgan"}}))
    assert (found.n_blocks, found.in_bands, found.out_bands) == (23, 4, 4)
    assert registry_name(generator_spec(RunConfig())) == "SRResNet/res"


@pytest.mark.parametrize(
    ("section", "shape"),
    [
        ({"model_type": "standard", "n_blocks": 4}, (2, 1)),
        ({"model_type": "standard", "n_blocks": 4, "use_spectral_norm": False}, (2, 1)),
        ({"model_type": "patchgan"}, (2, 1, 6, 6)),
        ({"model_type": "patchgan", "n_blocks": 2}, (2, 1, 14, 14)),
        ({"model_type": "esrgan", "base_channels": 8, "linear_size": 16}, (2, 1)),
    ],
)
def test_discriminators_give_logits(section, shape):
    config = RunConfig.model_validate({"Discriminator": section})
    assert build_discriminator(config)(torch.rand(2, 4, 64, 64)).shape == shape
