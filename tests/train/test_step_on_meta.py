"""A step on the `meta` device: nothing is created on the wrong device, nothing needs the host.

Meta tensors have no values, so any `.item()`, `float(tensor)`, branch on a tensor or copy to the
CPU raises; that is what a GPU would have to wait for.
"""

from functools import partial

import pytest
import torch

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.schedule import build_schedule
from srgan_cli.train.ema import EMA
from srgan_cli.train.meter import Meter
from srgan_cli.train.networks import build_networks

META = torch.device("meta")
GENERATORS = [
    {"model_type": "esrgan", "n_blocks": 1, "growth_channels": 4},
    {"model_type": "rrdbnet", "n_blocks": 1, "growth_channels": 4},
    *({"block_type": block, "n_blocks": 1} for block in ("standard", "res", "rcab", "rrdb", "lka")),
    {"model_type": "stochastic_gan", "n_blocks": 1},
    {"n_blocks": 1, "global_skip": "bicubic"},
]
GAMES = [
    {"adv_loss_type": "bce"},
    {"adv_loss_type": "bce", "relativistic_average_d": True},
    {"adv_loss_type": "hinge", "r1_gamma": 1.0, "r1_interval": 1},
    {"adv_loss_type": "wasserstein", "tv_weight": 0.1},
]


def config_of(generator, discriminator, losses, **training):
    return RunConfig.model_validate(
        {
            "Model": {"in_bands": 3},
            "Data": {"train_batch_size": 2},
            "Generator": {"n_channels": 16, **generator},
            "Discriminator": {"model_type": discriminator},
            "Training": {
                "g_pretrain_steps": 1,
                "adv_loss_ramp_steps": 1,
                "Losses": {"sam_weight": 0.1, **losses},
                **training,
            },
        }
    )


def run_steps(config):
    with META:  # where initial weights cost nothing
        networks = build_networks(config, META, offset=0.0)
    schedule, meter = build_schedule(config), Meter()
    batch = networks.hand_over(
        Batch(
            lr=torch.empty(2, 3, 16, 16),
            hr=torch.empty(2, 3, 64, 64),
            valid=torch.empty(2, 1, 64, 64),
        )
    )
    for step in range(4):
        plan = schedule.at(step)
        meter.add(networks.step(batch, plan, measure=step == 2))
        assert isinstance(networks.ema, EMA)
        networks.ema.update(networks.step.generator)
    stacked = meter.stacked()
    assert stacked.device == META
    with pytest.raises((NotImplementedError, RuntimeError), match=r"(?i)meta"):
        stacked.cpu().tolist()
    return networks, meter


@pytest.mark.parametrize(
    ("generator", "discriminator"),
    [
        *((generator, "patchgan") for generator in GENERATORS),
        (GENERATORS[1], "standard"),
        (GENERATORS[1], "esrgan"),
        (GENERATORS[1], "unet"),
    ],
)
def test_a_step_runs_on_meta_for_every_network(generator, discriminator):
    networks, meter = run_steps(config_of(generator, discriminator, {}))
    for network in (networks.step.generator, networks.step.discriminator, networks.ema.model):
        tensors = [*network.parameters(), *network.buffers()]
        assert {tensor.device for tensor in tensors} == {META}
    for optimizer in (networks.step.optimizer_g, networks.step.optimizer_d):
        assert optimizer.state
    assert {
        "discriminator/D(y)_prob",
        "discriminator/logits_real_mean",
        "discriminator/logits_fake_std",
        "adv/grad_ratio",
        "train_metrics/sam",
        "grad_norm/generator_clipped",
        "grad_norm/discriminator_clipped",
    } <= set(meter.names)


@pytest.mark.parametrize("losses", GAMES)
def test_a_step_runs_on_meta_for_every_objective(losses):
    run_steps(config_of(GENERATORS[2], "patchgan", losses))


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(
    "training",
    [
        {"accumulate_steps": 2},
        {"checkpoint_blocks": True},
        {"accumulate_steps": 2, "checkpoint_blocks": True},
    ],
    ids="+".join,
)
def test_a_step_in_less_memory_runs_on_meta(generator, training):
    run_steps(config_of(generator, "unet", {"relativistic_average_d": True}, **training))


@pytest.mark.parametrize("generator", GENERATORS)
def test_a_compiled_generator_runs_on_meta(generator, monkeypatch):
    """Traced without a break: a host synchronisation would be one."""
    traced = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", traced)
    networks, _ = run_steps(config_of(generator, "patchgan", {}, compile=True))
    assert networks.step.generate is not networks.step.generator
    torch.compiler.reset()


def test_the_batch_is_handed_over_in_the_layouts_of_the_networks():
    with META:
        networks = build_networks(config_of(GENERATORS[0], "unet", {}), META, offset=0.0)
    crops = Batch(torch.empty(2, 3, 8, 8), torch.empty(2, 3, 32, 32), torch.empty(2, 1, 32, 32))
    batch = networks.hand_over(crops)
    assert {part.device for part in batch} == {META}
    assert batch.lr.is_contiguous(memory_format=torch.channels_last)
    assert batch.hr.is_contiguous(memory_format=torch.channels_last)
    wide = {"block_type": "lka", "small_kernel_size": 7, "n_blocks": 1}
    with META:
        networks = build_networks(config_of(wide, "unet", {}), META, offset=0.0)
    assert networks.hand_over(crops).lr.is_contiguous()


def test_the_proof_can_fail():
    """A host synchronisation in the step would be seen."""
    config = config_of(GENERATORS[2], "patchgan", {})
    with META:  # where initial weights cost nothing
        networks = build_networks(config, META, offset=0.0)
    with pytest.raises((NotImplementedError, RuntimeError), match=r"(?i)meta"):
        float(networks.step.generator(torch.empty(1, 3, 8, 8, device=META)).mean())
