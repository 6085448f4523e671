"""Black-box comparison with OpenSR-SRGAN 0.5.1's networks, where its golden values are at hand."""

import json
import math
import zlib
from pathlib import Path

import pytest
import torch

from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.models.discriminators import ESRGANDiscriminator, PatchGAN, SRGANDiscriminator
from srgan_cli.models.stochastic import StochasticGenerator

GOLDEN = Path(__file__).parents[3] / "shared" / "reference" / "opensr_golden.json"
CASES = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


def fill(name, tensor):
    index = torch.arange(tensor.numel(), dtype=torch.float64)
    s = torch.sin(0.7 * index + (zlib.crc32(name.encode()) % 10007) / 1000).reshape(tensor.shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros_like(tensor)
    if name.endswith("running_var"):
        return 1 + 0.5 * s**2
    if name.endswith(("weight_u", "weight_v")):
        return s / s.norm()
    return 0.1 * s if tensor.ndim >= 2 else 0.2 + 0.05 * s


def legacy_name(name):
    for new, old in (
        ("parametrizations.weight.original", "weight_orig"),
        ("parametrizations.weight.0._u", "weight_u"),
        ("parametrizations.weight.0._v", "weight_v"),
    ):
        name = name.replace(new, old)
    return name


def network(case, golden):
    config = golden["config"]
    if case.startswith("G/"):
        model = config.get("model_type", "SRResNet")
        return build_generator(
            GeneratorSpec(
                model_type="SRResNet" if model.lower().startswith("srres") else model,
                block_type=config.get("block_type", "standard"),
                in_bands=config["in_bands"],
                out_bands=config.get("out_channels") or config["in_bands"],
                scale=config.get("scaling_factor", 4),
                n_channels=config.get("n_channels", 64),
                n_blocks=config.get("n_blocks", 16),
                large_kernel_size=config.get("large_kernel_size", 9),
                small_kernel_size=config.get("small_kernel_size", 3),
                growth_channels=config.get("growth_channels", 32),
                res_scale=config.get("res_scale", 0.2),
                noise_dim=config.get("noise_dim", 128),
            )
        )
    bands, case = golden["input"][1], case.removeprefix("D/")
    if case.startswith("standard"):
        return SRGANDiscriminator(bands, config["n_blocks"], config["use_spectral_norm"])
    if case.startswith("patchgan"):
        return PatchGAN(bands, int(case[-1]))
    return ESRGANDiscriminator(bands, config["base_channels"], config["linear_size"])


@pytest.mark.skipif(not CASES, reason="the golden values are not beside this checkout")
@pytest.mark.parametrize("case", CASES)
def test_reproduces_opensr(case):
    golden = CASES[case]
    net = network(case, golden).double().eval()
    state = net.state_dict()
    assert len(state) == golden["tensors"]
    if golden.get("keys"):
        assert sorted(map(legacy_name, state)) == sorted(golden["keys"])
    net.load_state_dict({name: fill(legacy_name(name), t) for name, t in state.items()})
    count = math.prod(golden["input"])
    lr = (0.5 + 0.4 * torch.sin(0.013 * torch.arange(count, dtype=torch.float64))).reshape(
        golden["input"]
    )
    with torch.no_grad():
        if isinstance(net, StochasticGenerator):
            noise = torch.sin(0.1 * torch.arange(net.spec.noise_dim, dtype=torch.float64))[None]
            out = net.enlarge(net.features(lr, noise))
        else:
            out = net(lr)
    expected = golden["out"]
    assert list(out.shape) == expected["shape"]
    assert float(out.sum()) == pytest.approx(expected["sum"], rel=1e-9, abs=1e-9)
    assert float(out.abs().sum()) == pytest.approx(expected["abs_sum"], rel=1e-9, abs=1e-9)
    first = out.flatten()[: len(expected["first"])].tolist()
    assert first == pytest.approx(expected["first"], rel=1e-9, abs=1e-9)
