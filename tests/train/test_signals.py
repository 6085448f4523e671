"""What the trainer logs for the diagnosis beside losses and metrics."""

import pytest
import torch
from running import Watcher, train

from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train.optim import Plateau, build_adam
from srgan_cli.train.step import logit_statistics


def rows_of(folder, kind):
    return [row for row in read_metrics(RunFolder(folder).metrics) if row["kind"] == kind]


def test_the_log_holds_what_verdicts_need(tiny, tmp_path):
    train(tiny(Logging={"log_every": 1, "num_val_images": 2}), tmp_path / "run")
    rows = rows_of(tmp_path / "run", "train")
    pretraining, adversarial = rows[:6], rows[6:]
    assert len(adversarial) == 6
    for row in adversarial:
        for of in ("real", "fake"):
            mean, spread = (row[f"discriminator/logits_{of}_{what}"] for what in ("mean", "std"))
            probability = row[f"discriminator/{'D(y)' if of == 'real' else 'D(G(x))'}_prob"]
            assert (mean > 0) == (probability > 0.5) or abs(mean) < 0.1
            assert spread >= 0
        assert row["grad_norm/discriminator_clipped"] in (0.0, 1.0)
    assert not any("discriminator/logits_real_mean" in row for row in pretraining)
    travelled = 0.0
    for row in rows:
        travelled += row["lr_generator"]
        assert row["travel/generator"] == pytest.approx(travelled)
        assert (row["grad_norm/generator"] > 1) == bool(row["grad_norm/generator_clipped"])
    assert {row["travel/discriminator"] for row in pretraining} == {0.0}
    assert rows[-1]["travel/discriminator"] == pytest.approx(6 * rows[-1]["lr_discriminator"])


def test_a_validation_knows_bicubic_and_the_schedulers(tiny, tmp_path):
    train(tiny(), tmp_path / "run")
    rows = rows_of(tmp_path / "run", "val")
    bicubic = {row["val_metrics/hf_ratio_bicubic"] for row in rows}
    assert len(bicubic) == 1
    assert 0 < bicubic.pop() < 1
    best = [row["plateau/generator_best"] for row in rows]
    assert best[0] == rows[0]["val_metrics/l1"]
    assert rows[-1]["plateau/discriminator_num_bad"] >= 0
    assert "plateau/discriminator_best" not in rows[0]


def test_clipping_that_is_off_is_not_counted(tiny, tmp_path):
    train(tiny(Optimizers={"gradient_clip_val": 0.0}), tmp_path / "run")
    assert not any(
        name.endswith("_clipped") for row in rows_of(tmp_path / "run", "train") for name in row
    )


def test_a_plateau_tells_its_state(tiny):
    config = tiny(Schedulers={"patience_g": 3, "g_warmup_steps": 0})
    plateau = Plateau(build_adam(torch.nn.Linear(1, 1), 1e-4, (0.0, 0.9), 1e-8, 0.0), config, "g")
    assert plateau.values("generator") == {}
    for value in (0.5, 0.4, 0.6, 0.7):
        plateau.step({"val_metrics/l1": value})
    assert plateau.values("generator") == {
        "plateau/generator_best": 0.4,
        "plateau/generator_num_bad": 2.0,
    }


def test_logit_statistics():
    found = logit_statistics(torch.tensor([1.0, 3.0]), torch.tensor([[[-2.0]]]))
    assert {name: float(value) for name, value in found.items()} == {
        "discriminator/logits_real_mean": 2.0,
        "discriminator/logits_real_std": 1.0,
        "discriminator/logits_fake_mean": -2.0,
        "discriminator/logits_fake_std": 0.0,
    }


def ended_by(error, tiny, folder):
    def fail():
        raise error

    with pytest.raises((ValueError, KeyboardInterrupt, SystemExit, Exception)):
        train(tiny(), folder, watcher=Watcher(5, fail))
    return [row for row in rows_of(folder, "event") if row["event"] == "stop"]


def test_a_failure_leaves_an_exit_record(tiny, tmp_path):
    (stop,) = ended_by(ValueError("something\nwith details"), tiny, tmp_path / "run")
    assert (stop["reason"], stop["error"], stop["step"]) == ("failed", "ValueError: something", 5)


def test_an_interruption_is_no_failure(tiny, tmp_path):
    (stop,) = ended_by(KeyboardInterrupt(), tiny, tmp_path / "run")
    assert stop["reason"] == "interrupted"
