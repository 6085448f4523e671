"""`srgan train --dry-run`: what a run would be."""

import pytest
from running import train

from srgan_cli.schedule import build_schedule
from srgan_cli.train.dry_run import dry_run


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def found(kept, tiny):
    if not kept:
        kept["found"] = dry_run(tiny())
    return kept["found"]


def test_facts_of_the_networks(found):
    assert found.device == "cpu"
    assert found.generator_parameters > 1000
    assert found.discriminator_parameters > 1000
    assert found.receptive_field_px > 0


def test_the_schedule_has_a_row_per_milestone(found, tiny):
    schedule = build_schedule(tiny())
    assert [row.step for row in found.schedule] == [0, 2, 6, 9, 12]
    for row in found.schedule[:-1]:
        plan = schedule.at(row.step)
        assert row.adv_weight == plan.adv_weight
        assert row.g_rate == pytest.approx(1e-4 * plan.g_rate_factor)
        assert row.d_rate == (0.0 if plan.pretrain else 5e-5)
    seconds = [row.seconds for row in found.schedule]
    assert seconds == sorted(seconds)


def test_the_total_is_steps_and_validations(found):
    expected = (
        6 * found.pretrain_seconds_per_step
        + 6 * found.adversarial_seconds_per_step
        + 3 * found.validation_seconds
    )
    assert found.total_seconds == pytest.approx(expected)


def test_memory_is_estimated_and_measured(found):
    weights = 4 * (found.generator_parameters + found.discriminator_parameters) / 1e6
    assert found.lasting_mb > 4 * weights
    assert 0 < found.activations_mb < 100
    assert found.peak_memory_mb > found.lasting_mb + found.activations_mb


def test_activations_grow_with_the_batch(found, tiny):
    larger = dry_run(tiny(Data={**tiny().data.model_dump(), "train_batch_size": 4}))
    assert larger.activations_mb == pytest.approx(2 * found.activations_mb, rel=0.1)
    assert larger.lasting_mb == found.lasting_mb


def test_a_run_of_one_phase(tiny):
    pretrain = dry_run(tiny(Training={"g_pretrain_steps": -1}))
    assert pretrain.adversarial_seconds_per_step is None
    assert {row.d_rate for row in pretrain.schedule} == {0.0}
    gan = dry_run(tiny(Training={"pretrain_g_only": False}))
    assert gan.pretrain_seconds_per_step is None
    assert gan.total_seconds > 0


@pytest.mark.parametrize("native", [False, True])
def test_bf16_that_costs_time_is_pointed_out(tiny, tmp_path, monkeypatch, native):
    monkeypatch.setattr("srgan_cli.bfloat16.computes_bf16", lambda _: native)
    config = tiny(Training={"precision": "bf16", "max_steps": 2, "g_pretrain_steps": 1})
    told = []
    train(config, tmp_path / "run", warnings=told)
    for warnings in (dry_run(config).warnings, told):
        texts = [text for text in warnings if "Training.precision is bf16" in text]
        assert len(texts) == (not native)
        assert all("this CPU has no bfloat16 arithmetic" in text for text in texts)
