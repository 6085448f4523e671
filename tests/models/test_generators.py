import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

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
from srgan_cli.models.unet import UNetDiscriminator


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
    values |= changes
    fold = max(4 // values["scale"], 1) if name == "rrdbnet" else 1
    return GeneratorSpec(**({"fold": fold} | values))


@pytest.mark.parametrize(("name", "scale"), list(itertools.product(GENERATORS, (2, 4, 8))))
def test_output_is_scale_times_the_input(name, scale):
    generator = build_generator(spec(name, scale=scale)).eval()
    with torch.no_grad():
        assert generator(torch.rand(2, 3, 7, 5)).shape == (2, 3, 7 * scale, 5 * scale)


@pytest.mark.parametrize("name", ["esrgan", "rrdbnet"])
def test_scale_1_keeps_the_size(name):
    generator = build_generator(spec(name, scale=1)).eval()
    assert generator(torch.rand(1, 3, 6, 6)).shape == (1, 3, 6, 6)


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
    if name == "rrdbnet":  # its upsampling has no phases to balance
        assert np.median(with_icnr) < 1e-4
    else:
        assert np.median(with_icnr) < 0.02 * np.median(without)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", GENERATORS)
def test_flat_ground_stays_flat_at_initialisation(name, scale):
    """No energy at all, at the sub-pixel grid frequencies or any other, away from the border."""
    lr = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(1, 3, 64, 64).contiguous()

    def ripple(use_icnr):
        torch.manual_seed(0)
        generator = build_generator(spec(name, scale=scale, use_icnr=use_icnr)).eval()
        with torch.no_grad():
            sr = generator.residual(lr)[..., 30 * scale : 34 * scale, 30 * scale : 34 * scale]
        return float((sr - sr.mean(dim=(2, 3), keepdim=True)).abs().max() / sr.abs().max())

    assert ripple(use_icnr=True) < 2e-5
    if name != "rrdbnet":
        assert ripple(use_icnr=False) > 1e-3


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
        ({"model_type": "unet", "base_channels": 8}, (2, 1, 64, 64)),
    ],
)
def test_discriminators_give_logits(section, shape):
    config = RunConfig.model_validate({"Discriminator": section})
    assert build_discriminator(config)(torch.rand(2, 4, 64, 64)).shape == shape


@pytest.mark.parametrize(
    ("use_sn", "size"), [(True, (32, 32)), (False, (32, 32)), (True, (37, 50)), (True, (9, 8))]
)
def test_the_unet_gives_a_logit_per_pixel(use_sn, size):
    network = UNetDiscriminator(3, 4, use_sn)
    assert network(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_rrdbnet_is_a_residual_of_residuals_and_upsamples_without_phases():
    """One block written out by hand: Wang et al. 2018, figure 4."""
    net = build_generator(spec("rrdbnet", n_blocks=1, scale=2, in_bands=2, out_bands=2)).eval()
    lr = torch.rand(1, 2, 6, 8)
    s = net.state_dict()

    def conv(x, name):
        return F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], padding=1)

    def dense(x, name):
        grown = [x]
        for i in range(1, 5):
            grown.append(F.leaky_relu(conv(torch.cat(grown, 1), f"{name}.conv{i}"), 0.2))
        return x + 0.2 * conv(torch.cat(grown, 1), f"{name}.conv5")

    with torch.no_grad():
        first = conv(F.pixel_unshuffle(lr, 2), "conv_first")
        inner = first
        for i in (1, 2, 3):
            inner = dense(inner, f"body.0.rdb{i}")
        x = first + conv(first + 0.2 * inner, "conv_body")
        for i in (1, 2):
            x = F.leaky_relu(
                conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"conv_up{i}"), 0.2
            )
        expected = conv(F.leaky_relu(conv(x, "conv_hr"), 0.2), "conv_last")
        torch.testing.assert_close(net(lr), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_folded_input_may_have_any_size(scale):
    net = build_generator(spec("rrdbnet", n_blocks=1, scale=scale)).eval()
    for height, width in [(1, 1), (1, 5), (7, 3), (8, 6)]:
        sr = net(torch.rand(1, 3, height, width))
        assert sr.shape == (1, 3, height * scale, width * scale)
        assert sr.isfinite().all()
