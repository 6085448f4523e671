import math

import pytest
import torch
from torch import nn

from srgan_cli.config import RunConfig
from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.train.ema import EMA
from srgan_cli.train.meter import Meter, merged
from srgan_cli.train.optim import Plateau, apply_gradients, build_adam, get_rate


def test_decay_reaches_kernels_only():
    network = build_generator(GeneratorSpec("SRResNet", "standard", 2, 2, 2, 8, 1))
    optimizer = build_adam(network, 1e-3, (0.0, 0.99), 1e-7, 0.1)
    decayed = {
        id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]
    }
    for name, parameter in network.named_parameters():
        assert (id(parameter) in decayed) == (parameter.dim() >= 2), name
    kept = [n for n, p in network.named_parameters() if id(p) not in decayed]
    assert any("prelu" in name for name in kept)
    assert any(name.endswith("bias") for name in kept)


def test_first_adam_step_is_the_rate():
    layer = nn.Linear(2, 1, bias=False)
    optimizer = build_adam(layer, 0.1, (0.0, 0.99), 1e-7, 0.0)
    before = layer.weight.detach().clone()
    loss = layer(torch.ones(1, 2)).sum()
    loss.backward()
    norm, skipped = apply_gradients(optimizer, loss, 0.0)
    assert torch.allclose(before - layer.weight, torch.full((1, 2), 0.1), atol=1e-5)
    assert (norm.item(), skipped.item()) == (pytest.approx(math.sqrt(2)), 0.0)


def test_clipping_is_by_global_norm_and_the_norm_is_the_one_before():
    layer = nn.Linear(2, 1, bias=False)
    optimizer = build_adam(layer, 0.1, (0.0, 0.99), 1e-7, 0.0)
    loss = 10 * layer(torch.ones(1, 2)).sum()
    loss.backward()
    norm, _ = apply_gradients(optimizer, loss, 0.5)
    assert norm.item() == pytest.approx(10 * math.sqrt(2))
    assert layer.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_ema_starts_as_a_copy_and_follows_by_the_formula():
    layer = nn.Linear(1, 1)
    ema = EMA(layer, 0.9, use_num_updates=False)
    assert not ema.active
    values = [3.0, 5.0, -2.0]
    expected = values[0]
    for value in values:
        with torch.no_grad():
            layer.weight.fill_(value)
        ema.update(layer)
        expected = value if value == values[0] else 0.9 * expected + 0.1 * value
        assert ema.model.weight.item() == pytest.approx(expected)
    assert ema.active
    assert not ema.model.weight.requires_grad


def test_ema_decay_warms_up_with_the_number_of_updates():
    layer = nn.Linear(1, 1)
    ema = EMA(layer, 0.5, use_num_updates=True)
    found = []
    for _ in range(12):
        ema.update(layer)
        found.append(ema.beta())
    assert found[:3] == pytest.approx([2 / 11, 3 / 12, 4 / 13])
    assert found[-1] == 0.5


def test_ema_copies_buffers():
    norm = nn.BatchNorm2d(1)
    ema = EMA(norm, 0.9, use_num_updates=False)
    norm(torch.rand(4, 1, 3, 3) + 2)
    ema.update(norm)
    assert torch.equal(ema.model.running_mean, norm.running_mean)
    assert ema.model.num_batches_tracked.item() == 1


def plateau(network="d", **schedulers):
    config = RunConfig.model_validate(
        {"Schedulers": {"patience_g": 1, "patience_d": 1, "min_lr_d": 0.2, **schedulers}}
    )
    layer = nn.Linear(1, 1)
    optimizer = build_adam(layer, 1.0, (0.0, 0.99), 1e-7, 0.0)
    return Plateau(optimizer, config, network), optimizer


def rates(plateau, optimizer, metric, values):
    found = []
    for value in values:
        plateau.step({metric: value})
        found.append(get_rate(optimizer))
    return found


def test_plateau_cuts_after_patience_cools_down_and_stops_at_the_floor():
    scheduler, optimizer = plateau(cooldown_d=2)
    found = rates(scheduler, optimizer, "validation/DISC_adversarial_loss", [1.0] * 12)
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2]


def test_plateau_of_psnr_goes_up():
    scheduler, optimizer = plateau("g", metric_g="val_metrics/psnr")
    assert rates(scheduler, optimizer, "val_metrics/psnr", [20, 21, 22, 23]) == [1.0] * 4


def test_plateau_ignores_what_is_missing_or_not_finite():
    scheduler, optimizer = plateau("g")
    assert (
        rates(scheduler, optimizer, "val_metrics/l1", [0.1, math.nan, math.inf, math.nan])
        == [1.0] * 4
    )
    assert rates(scheduler, optimizer, "other", [1.0] * 5) == [1.0] * 5


def test_plateau_of_a_negative_critic_loss_that_gets_worse():
    config = RunConfig.model_validate(
        {
            "Schedulers": {"patience_d": 1},
            "Training": {"Losses": {"adv_loss_type": "wasserstein"}},
        }
    )
    layer = nn.Linear(1, 1)
    optimizer = build_adam(layer, 1.0, (0.0, 0.99), 1e-7, 0.0)
    scheduler = Plateau(optimizer, config, "d")
    worse = [-10.0, -9.9, -9.8, -9.7]
    assert rates(scheduler, optimizer, "validation/DISC_adversarial_loss", worse)[-1] == 0.5


def test_forgetting_the_best_of_another_phase():
    scheduler, optimizer = plateau("g")
    rates(scheduler, optimizer, "val_metrics/l1", [0.1])
    scheduler.forget_best()
    assert rates(scheduler, optimizer, "val_metrics/l1", [0.5, 0.4, 0.3, 0.2]) == [1.0] * 4


def values(loss, skipped=0.0):
    return {"loss": torch.tensor(loss), "skipped": torch.tensor(skipped)}


def test_meter_averages_and_leaves_skipped_steps_out():
    meter = Meter()
    meter.add(values(1.0))
    meter.add(values(3.0))
    meter.add(values(math.nan, 1.0))
    meter.add({**values(5.0), "rare": torch.tensor(7.0)})
    means, skipped, in_a_row = meter.read()
    assert means == {"loss": 3.0, "rare": 7.0}
    assert (skipped, in_a_row) == (1, 1)


def test_meter_counts_series_across_intervals():
    meter = Meter()
    for _ in range(3):
        meter.add(values(math.nan, 1.0))
    means, skipped, in_a_row = meter.read()
    assert math.isnan(means["loss"])
    assert (skipped, in_a_row) == (3, 3)
    meter.add(values(math.nan, 1.0))
    meter.add(values(1.0))
    assert meter.read()[1:] == (4, 4)
    meter.add(values(1.0))
    assert meter.read()[1:] == (4, 0)


def test_meter_state_goes_on_where_it_was():
    one, other = Meter(), Meter()
    one.add(values(1.0))
    one.add(values(math.nan, 1.0))
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    for meter in (one, other):
        meter.add(values(2.0))
    assert one.read() == other.read()


def test_meters_of_several_processes_become_one():
    one, other = Meter(), Meter()
    one.add(values(1.0))
    other.add(values(3.0))
    alone = Meter()
    alone.load_state_dict(merged([one.state_dict(), other.state_dict()]), torch.device("cpu"))
    means, skipped, _ = alone.read()
    assert set(means.values()) == {2.0}
    assert skipped == 0
