import copy

import pytest
import torch

from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.models import DISCRIMINATORS, GENERATORS
from srgan_cli.schedule import Plan
from srgan_cli.train.networks import build_networks

CPU = torch.device("cpu")


def make(**losses):
    config = RunConfig.model_validate(
        {
            "Model": {"in_bands": 3},
            "Generator": {
                "n_channels": 8,
                "n_blocks": 1,
                "scaling_factor": 2,
                "large_kernel_size": 3,
                "global_skip": "bicubic",
            },
            "Discriminator": {"n_blocks": 2},
            "Training": {
                "precision": "fp32",
                "Losses": {"l1_weight": 1.0, "sam_weight": 0.0, **losses},
            },
        }
    )
    networks = build_networks(config, CPU, offset=0.0)
    # Off the exact start, where SR is the skip itself and some gradients vanish by symmetry.
    with torch.no_grad():
        for parameter in networks.step.generator.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return networks.step


@pytest.fixture
def batch():
    torch.manual_seed(1)
    hr = torch.rand(2, 3, 32, 32) + 0.1
    lr = torch.nn.functional.avg_pool2d(hr, 2)
    return Batch(lr, hr, torch.ones(2, 1, 32, 32))


def plan(pretrain=False, adv_weight=0.0, step=1):
    return Plan(step, pretrain, adv_weight, 1.0, ema_active=False)


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


def equal(before, network):
    return all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def gradient(step, batch, plan):
    """The generator's gradient of one step, the step itself undone."""
    copied = copy.deepcopy(step.generator), copy.deepcopy(step.discriminator)
    step.optimizer_g.param_groups[0]["lr"] = step.optimizer_g.param_groups[1]["lr"] = 0.0
    step.optimizer_d.param_groups[0]["lr"] = step.optimizer_d.param_groups[1]["lr"] = 0.0
    step.clip = 0.0
    step(batch, plan)
    found = torch.cat([p.grad.flatten() for p in step.generator.parameters()])
    step.generator.load_state_dict(copied[0].state_dict())
    step.discriminator.load_state_dict(copied[1].state_dict())
    return found


@pytest.mark.parametrize(
    "term",
    [{"l1_weight": 1.0}, {"sam_weight": 1.0}, {"tv_weight": 1.0}, {"adversarial": 1.0}],
    ids=lambda term: next(iter(term)),
)
def test_each_term_alone_moves_the_generator(batch, term):
    adv_weight = term.get("adversarial", 0.0)
    losses = {"l1_weight": 0.0, **{k: v for k, v in term.items() if k != "adversarial"}}
    step = make()
    step.losses = step.losses.model_copy(update=losses)
    alone = gradient(step, batch, plan(adv_weight=adv_weight))
    assert alone.abs().sum() > 0
    step.losses = step.losses.model_copy(update=dict.fromkeys(losses, 0.0))
    assert gradient(step, batch, plan()).abs().sum() == 0


def test_terms_add_up_with_their_weights(batch):
    step = make()

    def of(adv=0.0, **losses):
        weights = {"l1_weight": 0.0, "sam_weight": 0.0, "tv_weight": 0.0} | losses
        step.losses = step.losses.model_copy(update=weights)
        return gradient(step, batch, plan(adv_weight=adv))

    together = of(adv=0.3, l1_weight=2.0, sam_weight=0.5, tv_weight=0.25)
    apart = 0.3 * of(adv=1.0) + 2.0 * of(l1_weight=1.0)
    apart += 0.5 * of(sam_weight=1.0) + 0.25 * of(tv_weight=1.0)
    assert torch.allclose(together, apart, atol=1e-5)


def test_pretraining_is_plain_l1_and_leaves_the_discriminator_alone(batch):
    step = make(sam_weight=5.0, tv_weight=5.0)
    before = weights(step.discriminator)
    values = step(batch, plan(pretrain=True))
    assert equal(before, step.discriminator)
    assert not step.optimizer_d.state
    assert all(p.grad is None for p in step.discriminator.parameters())
    assert values["generator/total_loss"] == values["train_metrics/l1"]
    assert not any(name.startswith("discriminator/") for name in values)


def test_the_generator_update_leaves_no_trace_in_the_discriminator(batch, monkeypatch):
    step = make()
    seen = {}
    original = type(step)._update_generator

    def spy(self, *args):
        seen["weights"] = weights(self.discriminator)
        seen["grads"] = [p.grad.clone() for p in self.discriminator.parameters()]
        return original(self, *args)

    monkeypatch.setattr(type(step), "_update_generator", spy)
    step(batch, plan(adv_weight=1.0))
    assert equal(seen["weights"], step.discriminator)
    for before, parameter in zip(seen["grads"], step.discriminator.parameters(), strict=True):
        assert torch.equal(before, parameter.grad)


def test_the_discriminator_update_leaves_no_trace_in_the_generator(batch, monkeypatch):
    step = make()
    seen = {}
    original = type(step)._update_discriminator

    def spy(self, *args):
        before = weights(self.generator)
        found = original(self, *args)
        seen["untouched"] = equal(before, self.generator)
        seen["grads"] = [p.grad for p in self.generator.parameters()]
        return found

    monkeypatch.setattr(type(step), "_update_discriminator", spy)
    step(batch, plan(adv_weight=1.0))
    assert seen["untouched"]
    assert all(g is None for g in seen["grads"])


def test_one_generator_forward_serves_both_updates(batch):
    step = make()
    calls = []
    step.generator.register_forward_hook(lambda *_: calls.append(1))
    step(batch, plan(adv_weight=1.0))
    assert len(calls) == 1


@pytest.mark.parametrize("pretrain", [True, False])
@pytest.mark.parametrize("where", ["hr", "lr"])
def test_a_nan_never_reaches_weights_or_moments(batch, pretrain, where):
    step = make()
    step(batch, plan(pretrain, adv_weight=1.0))
    before = weights(step.generator), weights(step.discriminator)
    moments = copy.deepcopy(step.optimizer_g.state_dict()["state"])
    spoiled = batch._replace(**{where: getattr(batch, where).clone()})
    getattr(spoiled, where)[0, 0, 3, 3] = torch.nan
    values = step(spoiled, plan(pretrain, adv_weight=1.0))
    assert max(values["skipped"].item(), values.get("skipped_g", values["skipped"]).item()) == 1
    assert equal(before[0], step.generator)
    assert equal(before[1], step.discriminator)
    after = step.optimizer_g.state_dict()["state"]
    for index, state in moments.items():
        for name, value in state.items():
            assert torch.equal(value, after[index][name])
    assert step(batch, plan(pretrain, adv_weight=1.0))["skipped"].item() == 0
    assert not equal(before[0], step.generator)


def test_the_discriminator_gets_no_clue_from_nodata(batch):
    step = make()
    step.optimizer_d.param_groups[0]["lr"] = step.optimizer_d.param_groups[1]["lr"] = 0.0
    hidden = batch._replace(valid=0 * batch.valid)
    values = step(hidden, plan(adv_weight=1.0))
    assert values["discriminator/D(y)_prob"] == values["discriminator/D(G(x))_prob"]


def test_r1_is_computed_at_its_interval_and_weighted_for_it(batch):
    step = make(r1_gamma=2.0, r1_interval=4)
    found = ["discriminator/r1_penalty" in step(batch, plan(step=n)) for n in range(1, 9)]
    assert found == [False, False, False, True] * 2


def test_gradient_ratio_is_that_of_the_last_layer(batch):
    step = make()
    found = step(batch, plan(adv_weight=0.5), True)["adv/grad_ratio"].item()
    assert found > 0
    again = make()
    doubled = again(batch, plan(adv_weight=1.0), True)["adv/grad_ratio"].item()
    assert doubled == pytest.approx(2 * found, rel=0.2)


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("judge", DISCRIMINATORS)
def test_every_pair_of_networks_learns_from_one_batch(name, judge):
    model_type, _, block_type = name.partition("/")
    config = RunConfig.model_validate(
        {
            "Model": {"in_bands": 3},
            "Data": {"hr_crop_px": 32},
            "Generator": {
                "model_type": model_type,
                "block_type": block_type or "res",
                "n_channels": 16,
                "n_blocks": 1,
                "growth_channels": 4,
                "scaling_factor": 2,
            },
            "Discriminator": {"model_type": judge, "n_blocks": 2, "base_channels": 8},
        }
    )
    step = build_networks(config, CPU, offset=0.0).step
    torch.manual_seed(0)
    hr = torch.rand(2, 3, 32, 32) + 0.1
    data = Batch(torch.nn.functional.avg_pool2d(hr, 2), hr, torch.ones(2, 1, 32, 32))
    before = weights(step.generator), weights(step.discriminator)
    values = step(data, plan(adv_weight=1e-3))
    assert all(value.isfinite() for value in values.values())
    assert float(values["skipped"]) == float(values["skipped_g"]) == 0
    assert not equal(before[0], step.generator)
    assert not equal(before[1], step.discriminator)


def test_spectral_angles_are_measured_from_a_stored_zero_of_each_band(batch):
    config = RunConfig.model_validate(
        {
            "Model": {"in_bands": 3},
            "Generator": {"n_channels": 8, "n_blocks": 1, "scaling_factor": 2},
            "Training": {"precision": "fp32", "Losses": {"sam_weight": 1.0}},
        }
    )
    offset = (0.1, -0.5, 0.3)
    plain, moved = (build_networks(config, CPU, each).step for each in (0.0, offset))
    shift = torch.tensor(offset).reshape(3, 1, 1)
    sr = batch.hr.flip(1)
    found = plain._content_parts(sr, batch)["sam"][1]
    there = moved._content_parts(sr + shift, batch._replace(hr=batch.hr + shift))["sam"][1]
    assert float(found) > 0.1
    assert float(there) == pytest.approx(float(found), rel=1e-4)
