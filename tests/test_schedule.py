import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.config import RunConfig
from srgan_cli.schedule import Schedule, build_schedule, ramp


def plan(**changes):
    values = {
        "pretrain_steps": 10,
        "ramp_steps": 8,
        "ramp_shape": "linear",
        "adv_weight": 0.4,
        "warmup_steps": 4,
        "warmup_shape": "linear",
        "ema_start": 6,
    }
    return Schedule(**(values | changes))


@pytest.mark.parametrize(
    ("step", "pretrain", "adv_weight", "g_rate_factor", "ema_active"),
    [
        (0, True, 0.0, 0.0, False),
        (1, True, 0.0, 0.25, False),
        (4, True, 0.0, 1.0, False),
        (5, True, 0.0, 1.0, False),
        (6, True, 0.0, 1.0, True),
        (9, True, 0.0, 1.0, True),
        (10, False, 0.0, 1.0, True),
        (11, False, 0.05, 1.0, True),
        (14, False, 0.2, 1.0, True),
        (17, False, 0.35, 1.0, True),
        (18, False, 0.4, 1.0, True),
        (5000, False, 0.4, 1.0, True),
    ],
)
def test_plan_as_a_table(step, pretrain, adv_weight, g_rate_factor, ema_active):
    found = plan().at(step)
    assert found.step == step
    assert found.pretrain is pretrain
    assert found.adv_weight == pytest.approx(adv_weight)
    assert found.g_rate_factor == pytest.approx(g_rate_factor)
    assert found.ema_active is ema_active


def test_cosine_ramp_is_slow_at_both_ends():
    found = [
        plan(ramp_shape="cosine", adv_weight=1.0).at(step).adv_weight for step in range(10, 19)
    ]
    expected = [0.5 * (1 - math.cos(math.pi * k / 8)) for k in range(9)]
    assert found == pytest.approx(expected)


def test_without_ramp_the_first_adversarial_step_has_the_full_weight():
    assert plan(ramp_steps=0).at(10).adv_weight == 0.4


def test_pretraining_for_ever():
    forever = plan(pretrain_steps=None)
    assert forever.at(10**9).pretrain
    assert forever.at(10**9).adv_weight == 0
    assert forever.full_adversarial_step is None


def test_no_pretraining_starts_the_ramp_at_once():
    found = plan(pretrain_steps=0)
    assert [found.at(step).pretrain for step in (0, 1)] == [False, False]
    assert found.at(0).adv_weight == 0.0
    assert found.at(8).adv_weight == 0.4


@given(
    start=st.integers(0, 1000),
    length=st.integers(0, 1000),
    shape=st.sampled_from(["linear", "cosine"]),
    step=st.integers(0, 3000),
)
def test_a_ramp_rises_from_0_to_1(start, length, shape, step):
    now, later = ramp(step, start, length, shape), ramp(step + 1, start, length, shape)
    assert 0.0 <= now <= later <= 1.0
    assert now == 0.0 or step >= start
    assert now == 1.0 or step < start + max(length, 1)


def test_built_from_the_configuration():
    config = RunConfig.model_validate(
        {
            "Training": {
                "g_pretrain_steps": 7,
                "adv_loss_ramp_steps": 5,
                "Losses": {"adv_loss_beta": 0.5, "adv_loss_schedule": "linear"},
                "EMA": {"update_after_step": 3},
            },
            "Schedulers": {"g_warmup_steps": 2, "g_warmup_type": "linear"},
        }
    )
    assert build_schedule(config) == Schedule(7, 5, "linear", 0.5, 2, "linear", 3)


@pytest.mark.parametrize(
    ("training", "pretrain_steps", "ema_start"),
    [
        ({"pretrain_g_only": False, "g_pretrain_steps": 9}, 0, 0),
        ({"g_pretrain_steps": -1}, None, 0),
        ({"EMA": {"enabled": False}}, 5000, None),
    ],
)
def test_switches_of_the_configuration(training, pretrain_steps, ema_start):
    built = build_schedule(RunConfig.model_validate({"Training": training}))
    assert (built.pretrain_steps, built.ema_start) == (pretrain_steps, ema_start)


def test_milestones_tell_the_whole_plan_in_order():
    steps = [step for step, _ in plan().milestones(100)]
    assert steps == [0, 4, 6, 10, 18, 100]
    assert plan().milestones(12)[-1] == (12, "end")
