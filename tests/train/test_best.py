"""Which validation is the best, and when waiting for a better one ends."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import Watcher, train

from srgan_cli.config import RunConfig
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.schedule import build_schedule
from srgan_cli.train.best import Best
from srgan_cli.weights import load_generator

L1 = "val_metrics/l1"


def make(patience=0, metric=L1, **losses):
    config = RunConfig.model_validate(
        {
            "Training": {
                "g_pretrain_steps": 10,
                "adv_loss_ramp_steps": 10,
                "early_stop_patience": patience,
                "Losses": losses,
            },
            "Schedulers": {"metric_g": metric},
        }
    )
    return Best(config, build_schedule(config), 1000), build_schedule(config)


def take(best, schedule, step, value, metric=L1):
    return best.take(step, schedule.at(step - 1), {metric: value})


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_only_finite_values_that_are_better_than_all_before_are_best(values):
    best, schedule = make()
    for index, value in enumerate(values):
        before = [v for v in values[:index] if math.isfinite(v)]
        expected = math.isfinite(value) and (not before or value < min(before))
        assert take(best, schedule, 20 + index, value) == expected


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=40), st.integers(1, 6))
def test_it_waits_for_so_many_validations_at_full_weight(values, patience):
    best, schedule = make(patience)
    waited, low = 0, math.inf
    for index, value in enumerate(values):
        take(best, schedule, 20 + index, value)
        waited = 0 if value < low else waited + 1
        low = min(low, value) if math.isfinite(value) else low
        assert best.waited_enough == (waited >= patience)
        copy, _ = make(patience)
        copy.load_state_dict(best.state_dict())
        assert (copy.waited, copy.waited_enough) == (best.waited, best.waited_enough)


def test_neither_pretraining_nor_the_ramp_counts():
    best, schedule = make(1)
    for step in (4, 8, 10):
        take(best, schedule, step, 0.1)
    for step in (12, 16, 19):
        assert not take(best, schedule, step, 0.5)
    assert best.waited == 0
    assert take(best, schedule, 20, 0.5)
    assert not take(best, schedule, 24, 0.6)
    assert best.waited_enough


def test_a_metric_that_rises():
    best, schedule = make(metric="val_metrics/psnr")
    assert take(best, schedule, 20, 30.0, "val_metrics/psnr")
    assert not take(best, schedule, 22, 29.0, "val_metrics/psnr")
    assert take(best, schedule, 24, 31.0, "val_metrics/psnr")


def test_off_by_default():
    best, schedule = make()
    for step in range(20, 200):
        take(best, schedule, step, 0.5)
    assert not best.waited_enough


@pytest.fixture
def stuck(tiny):
    """A run whose generator no longer moves: no validation is better than the first."""
    return tiny(
        Training={"max_steps": 40, "val_check_interval": 2, "early_stop_patience": 3,
                  "g_pretrain_steps": 0, "pretrain_g_only": False, "adv_loss_ramp_steps": 0,
                  "EMA": {"enabled": False}},
        Optimizers={"optim_g_lr": 1e-30},
        Schedulers={"g_warmup_steps": 0, "min_lr_g": 0.0},
    )  # fmt: skip


def test_a_run_stops_early_saves_and_says_so(stuck, tmp_path):
    folder, watcher = RunFolder(tmp_path / "run"), Watcher()
    train(stuck, folder.path, watcher=watcher)
    assert watcher.steps == 8
    (line,) = (line for line in watcher.lines if "stopped early" in line)
    assert "3 validations without a better val_metrics/l1" in line
    assert "Training.early_stop_patience" in line
    events = [row for row in read_metrics(folder.metrics) if row["kind"] == "event"]
    assert (events[-1]["event"], events[-1]["reason"]) == ("stop", "early_stop")
    assert load_generator(folder.ema)[1].step == 8
    assert folder.checkpoint(8).exists()


def test_a_stopped_run_only_goes_on_with_more_patience(stuck, tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(stuck, folder.path)
    train(stuck, folder.path, resume="auto", watcher=(again := Watcher()))
    assert again.steps == 0
    patient = stuck.training.model_copy(update={"early_stop_patience": 5})
    config = stuck.model_copy(update={"training": patient})
    train(config, folder.path, resume="auto", watcher=(on := Watcher()))
    assert on.steps == 4


def test_a_generator_that_is_broken_on_one_crop_is_never_best(tiny, tmp_path, monkeypatch):
    from srgan_cli.models.generator import Generator

    forward = Generator.__call__

    def broken(self, lr):
        sr = forward(self, lr)
        if not self.training:
            sr = sr.clone()
            sr[0, 0, 0, 0] = torch.nan
        return sr

    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Generator, "__call__", broken)
        train(tiny(), folder.path)
    rows = [row for row in read_metrics(folder.metrics) if row["kind"] == "val"]
    assert len(rows) == 3
    assert all(math.isnan(row["val_metrics/l1"]) for row in rows)
    assert not folder.best_pretrain.exists()
    assert not folder.best_gan.exists()
