import json
import os
import signal

import numpy as np
import pytest
import rasterio
import torch
from running import Watcher, log_values, same_state, same_weights, train

from srgan_cli.config import RunConfig, load_config
from srgan_cli.errors import RefusedError, SrganError, StoppedError
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.schedule import build_schedule
from srgan_cli.train.checkpoint import load_checkpoint
from srgan_cli.train.paths import absolute_paths
from srgan_cli.weights import load_generator


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenes):
    """One uninterrupted run, shared by the tests that only look at it."""
    return tmp_path_factory.mktemp("runs") / "finished"


@pytest.fixture
def run(finished, tiny):
    if not finished.exists():
        train(tiny(), finished)
    return RunFolder(finished)


def test_a_run_leaves_the_folder_of_the_design(run):
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        ".lock", "config.yaml", "run.json", "metrics.jsonl",
        "images", "tiles", "checkpoints", "weights",
    }  # fmt: skip
    assert [p.name for p in sorted(run.images.iterdir())] == [
        f"step_{step:06d}.png" for step in (4, 8, 12)
    ]
    assert {p.name for p in run.weights.iterdir()} == {
        "ema.safetensors", "best_pretrain.safetensors", "best_gan.safetensors",
    }  # fmt: skip
    facts = json.loads(run.run_json.read_text())
    assert facts["seed"] == 0
    assert facts["torch"] == torch.__version__
    assert facts["started"]


def test_the_log_tells_the_plan_as_it_was(run, tiny):
    schedule = build_schedule(tiny())
    rows = [row for row in read_metrics(run.metrics) if row["kind"] == "train"]
    assert [row["step"] for row in rows] == [0, 3, 6, 9]
    for row in rows:
        plan = schedule.at(row["step"])
        assert row["training/adv_loss_weight"] == plan.adv_weight
        assert row["training/pretrain_phase"] == float(plan.pretrain)
        assert row["lr_generator"] == pytest.approx(1e-4 * plan.g_rate_factor)
        assert ("discriminator/D(y)_prob" in row) == (row["step"] >= 6)


def test_validation_knows_the_discriminator_in_the_adversarial_phase_only(run):
    rows = {row["step"]: row for row in read_metrics(run.metrics) if row["kind"] == "val"}
    assert sorted(rows) == [4, 8, 12]
    assert "validation/DISC_adversarial_loss" not in rows[4]
    assert 0 < rows[8]["val_metrics/D(y)_prob"] < 1
    for metric in ("l1", "sam", "tv", "psnr", "ssim", "ergas", "hf_ratio", "checkerboard"):
        assert np.isfinite(rows[12][f"val_metrics/{metric}"]), metric


def test_the_exported_weights_are_the_average_and_self_sufficient(run):
    generator, info = load_generator(run.ema)
    assert (info.step, info.ema, info.scale, info.train_lr_px) == (12, True, 2, 16)
    assert info.gsd_m == 10.0
    state = load_checkpoint(run.last)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, state["ema"]["model"][name])
    assert load_generator(run.best_pretrain)[1].step == 4


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_panels_and_tiles_show_the_crops(run):
    with rasterio.open(run.image(12)) as dataset:
        assert (dataset.count, dataset.width, dataset.height) == (3, 5 * 36 - 4, 2 * 36 - 4)
    reference = np.load(run.reference_tiles)
    tiles = np.load(run.tile_file(12))["sr"]
    assert tiles.shape == reference["hr"].shape == (6, 2, 32, 32)
    assert tiles.dtype == np.float16
    assert np.abs(tiles.astype(float) - reference["hr"]).mean() < 0.1


def test_the_config_of_a_run_repeats_it(run, tmp_path):
    again = load_config(run.config)
    assert not again.warnings
    train(again.config, tmp_path / "again")
    assert same_weights(run, RunFolder(tmp_path / "again"))


@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 7, 11])
def test_a_stopped_and_resumed_run_equals_the_uninterrupted_one(run, tiny, tmp_path, stop_after):
    folder = RunFolder(tmp_path / "run")
    watcher = Watcher(stop_after, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(
        StoppedError, match=f"stopped by SIGTERM; everything up to step {stop_after} is saved"
    ) as stop:
        train(tiny(), folder.path, watcher=watcher)
    assert stop.value.exit_code == 143
    assert "--resume auto" in stop.value.hint
    train(tiny(), folder.path, resume="auto")
    assert same_state(load_checkpoint(run.last), load_checkpoint(folder.last))
    assert log_values(run) == log_values(folder)
    assert same_weights(run, folder)


def test_a_fitted_normalization_is_fitted_once(tiny, tmp_path, scenes, monkeypatch):
    data = {"hr": str(scenes), "hr_crop_px": 32, "val_crops": 6, "train_batch_size": 2,
            "num_workers": 0, "normalization": "percentile"}  # fmt: skip
    losses = {"Losses": {"sam_weight": 0.1}}
    training = {"device": "cpu", "precision": "fp32", "max_steps": 8, "val_check_interval": 4,
                "g_pretrain_steps": 2, "checkpoint_every": 4, **losses}  # fmt: skip
    config = tiny(Data=data, Training=training)
    whole, halves, repeat = (RunFolder(tmp_path / name) for name in ("whole", "halves", "repeat"))
    train(config, whole.path)
    written = load_config(whole.config).config
    numbers = written.data.normalization
    assert len(numbers.scale) == len(numbers.offset) == 2
    info = load_generator(whole.ema)[1]
    assert (info.radiometry.name, info.radiometry.scale) == ("percentile", numbers.scale)
    with pytest.raises(StoppedError):
        train(config, halves.path, watcher=Watcher(5, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    # From here on nothing can be fitted.
    monkeypatch.setattr("srgan_cli.data.fitting.fit_radiometry", None)
    warnings = []
    train(config, halves.path, resume="auto", warnings=warnings)
    assert not [text for text in warnings if "differs" in text]
    assert same_state(load_checkpoint(whole.last), load_checkpoint(halves.last))
    train(written, repeat.path)
    assert same_state(load_checkpoint(whole.last), load_checkpoint(repeat.last))
    elsewhere = RunFolder(tmp_path / "elsewhere")
    train(config, elsewhere.path, resume=str(whole.checkpoint(4)))
    assert load_config(elsewhere.config).config.data.normalization == numbers


def test_weights_of_another_radiometry_are_pointed_out(run, tiny, tmp_path):
    warnings = []
    start = {"in_bands": 2, "load_checkpoint": str(run.ema)}
    train(tiny(Model=start), tmp_path / "same", warnings=warnings)
    assert not [text for text in warnings if "load_checkpoint" in text]
    data = tiny().data.model_copy(update={"normalization": "normalise_10k"})
    config = tiny(Model=start).model_copy(update={"data": data})
    train(config, tmp_path / "other", warnings=warnings)
    (text,) = (text for text in warnings if "load_checkpoint" in text)
    assert "was trained with Data.normalization sen2_stretch_10k" in text
    assert "this run uses normalise_10k (scale 0.0001" in text


def test_a_resumed_run_draws_the_noise_that_was_due(tiny, tmp_path):
    config = tiny(
        Generator={
            "model_type": "stochastic_gan",
            "n_channels": 8,
            "n_blocks": 1,
            "scaling_factor": 2,
            "noise_dim": 4,
        }
    )
    whole, halves = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halves")
    train(config, whole.path)
    watcher = Watcher(7, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(StoppedError):
        train(config, halves.path, watcher=watcher)
    torch.manual_seed(99)
    train(config, halves.path, resume="auto")
    assert same_state(load_checkpoint(whole.last), load_checkpoint(halves.last))


def test_a_second_signal_stops_at_once(tiny, tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="steps since the last checkpoint are lost") as stop:
        train(tiny(), tmp_path / "run", watcher=Watcher(3, twice))
    assert stop.value.exit_code == 143


def test_a_killed_run_goes_on_from_its_last_checkpoint(run, tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")

    def die():
        raise KeyboardInterrupt  # nothing is saved, as with kill -9

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), folder.path, watcher=Watcher(9, die))
    with folder.metrics.open("a") as file:
        file.write('{"kind": "train", "step": 8, "torn')
    train(tiny(), folder.path, resume="auto")
    assert log_values(run) == log_values(folder)
    assert same_weights(run, folder)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(run, tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")

    def die():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), folder.path, watcher=Watcher(11, die))
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    folder.checkpoint(10).unlink(missing_ok=True)
    warnings = []
    train(tiny(), folder.path, resume="auto", warnings=warnings)
    assert any("damaged" in text and "trying the one before" in text for text in warnings)
    assert same_weights(run, folder)


def test_no_checkpoint_loads(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(tiny(), folder.path)
    for path in folder.checkpoints.iterdir():
        path.write_bytes(b"rubbish")
    with pytest.raises(RefusedError, match="none of 3 checkpoints loads"):
        train(tiny(), folder.path, resume="auto")


def test_a_used_folder_is_refused_with_the_two_ways_on(run, tiny):
    with pytest.raises(RefusedError, match="already holds a run") as caught:
        train(tiny(), run.path)
    assert "--resume auto" in caught.value.hint
    assert "--run-dir" in caught.value.hint


def test_a_folder_that_is_no_run_is_not_written_to(tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RefusedError, match="not empty and holds no run"):
        train(tiny(), tmp_path, resume="auto")


def test_resume_auto_without_a_run_starts_one(tiny, tmp_path):
    train(tiny(Training={"max_steps": 2}), tmp_path / "new", resume="auto")
    assert RunFolder(tmp_path / "new").ema.exists()


def test_resume_from_a_path_that_does_not_exist(tiny, tmp_path):
    with pytest.raises(RefusedError, match="no such checkpoint"):
        train(tiny(), tmp_path / "new", resume=str(tmp_path / "no.pt"))
    assert not (tmp_path / "new").exists()


def test_resume_with_another_network_names_the_tensors(run, tiny, tmp_path):
    other = tiny(Generator={"n_channels": 16})
    with pytest.raises(RefusedError, match="the checkpoint: the tensors do not fit.*wrong shape"):
        train(other, tmp_path / "new", resume=str(run.last))
    assert not (tmp_path / "new").exists()


def test_a_refused_start_is_no_run(tiny, tmp_path):
    lacking = tiny(
        Training={"Losses": {"perceptual_weight": 0.1, "fixed_idx": [0]}, "max_steps": 1},
        TruncatedVGG={"weights": str(tmp_path / "no.pth")},
    )
    with pytest.raises(RefusedError, match="no.pth does not exist"):
        train(lacking, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    RunFolder(tmp_path / "run").make()
    (tmp_path / "run" / ".lock").touch()
    train(tiny(Training={"max_steps": 1}), tmp_path / "run")


def test_a_longer_plan_goes_on_and_tells_what_differs(tiny, tmp_path):
    train(tiny(Training={"max_steps": 4}), tmp_path / "run")
    warnings = []
    longer = tiny(Training={"max_steps": 6})
    train(longer, tmp_path / "run", resume="auto", warnings=warnings)
    assert "Training.max_steps differs from the run that is resumed" in warnings
    folder = RunFolder(tmp_path / "run")
    assert load_checkpoint(folder.last)["step"] == 6
    # What is there describes the run as it is, and what it was.
    assert load_config(folder.config).config.training.max_steps == 6
    assert load_config(folder.config_until(4)).config.training.max_steps == 4
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [row["changed"] for row in rows if "changed" in row] == [["Training.max_steps"]]
    train(longer, folder.path, resume="auto", warnings=(warnings := []))
    assert not warnings
    assert len(list(folder.path.glob("config_until_*"))) == 1


def test_starting_from_weights(run, tiny, tmp_path):
    for source in (run.ema, run.last):
        folder = tmp_path / source.suffix[1:]
        frozen = tiny(
            Model={"in_bands": 2, "load_checkpoint": str(source)},
            Training={"max_steps": 1},
            Schedulers={"g_warmup_steps": 100},
        )
        train(frozen, folder)
        # The first step of a warm-up has rate 0: what is exported is what was loaded.
        assert same_weights(run, RunFolder(folder))


def test_two_trainings_never_share_a_folder(tiny, tmp_path):
    folder = tmp_path / "run"

    def second():
        with pytest.raises(RefusedError, match="another srgan train is writing"):
            train(tiny(), folder, resume="auto")

    watcher = Watcher(3, second)
    train(tiny(Training={"max_steps": 4}), folder, watcher=watcher)
    assert watcher.steps == 4


def test_too_many_non_finite_steps_stop_the_run_with_advice(tiny, tmp_path, monkeypatch):
    from srgan_cli.train import step as module

    def broken(*args):
        return sum(args[0].flatten()) * float("nan")

    monkeypatch.setattr(module.content, "l1", broken)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SrganError, match="4 steps in a row had a non-finite loss") as caught:
        train(tiny(Training={"max_nonfinite_steps": 4}), folder.path)
    assert caught.value.exit_code == 1
    assert "Data.normalization" in caught.value.hint
    events = [row for row in read_metrics(folder.metrics) if row["kind"] == "event"]
    assert events[-1]["reason"] == "nonfinite"
    state = load_checkpoint(folder.last)
    assert all(
        torch.isfinite(t).all() for t in state["generator"].values() if t.is_floating_point()
    )


def test_cuda_by_name_is_refused_where_there_is_none(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RefusedError, match="no usable CUDA device") as caught:
        train(tiny(Training={"device": "cuda"}), tmp_path / "run")
    assert "Training.device: auto" in caught.value.hint
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_the_older_checkpoints(tiny, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    save = torch.save

    def full(state, path):
        if state["step"] > 5:
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr("srgan_cli.train.checkpoint.torch.save", full)
    with pytest.raises(SrganError, match="No space left on device.*MB are free"):
        train(tiny(), folder.path)
    assert load_checkpoint(folder.last)["step"] == 5
    assert [p.name for p in folder.checkpoints.iterdir() if p.name.startswith(".")] == []


def test_out_of_memory_says_what_to_lower(tiny, tmp_path, monkeypatch):
    def hungry(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("srgan_cli.train.step.GanStep.__call__", hungry)
    with pytest.raises(SrganError, match="ran out of memory with 2 crops of 32 px") as caught:
        train(tiny(), tmp_path / "run")
    assert "Data.train_batch_size to 1" in caught.value.hint


def test_a_failing_tracker_never_stops_the_run(tiny, tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *args):
            pass

        def log(self, step, values):
            raise ConnectionError("no route to host")

        def abandon(self):
            raise RuntimeError("nor this")

    monkeypatch.setattr("srgan_cli.train.trackers.WandbTracker", Broken)
    warnings = []
    config = tiny(Logging={"wandb": {"enabled": True}}, Training={"max_steps": 3})
    train(config, tmp_path / "run", warnings=warnings)
    assert warnings.count("wandb: tracking switched off: ConnectionError: no route to host") == 1
    assert RunFolder(tmp_path / "run").ema.exists()


def test_nothing_but_pretraining(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    train(tiny(Training={"g_pretrain_steps": -1, "max_steps": 4}), folder.path)
    assert folder.best_pretrain.exists()
    assert not folder.best_gan.exists()


def test_without_pretraining_and_ema(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = tiny(Training={"pretrain_g_only": False, "max_steps": 4, "EMA": {"enabled": False}})
    train(config, folder.path)
    assert load_generator(folder.ema)[1].ema is False
    assert folder.best_gan.exists()


def test_paths_of_a_run_do_not_depend_on_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    data = {"hr": ["a.tif", "~/b.tif", "/vsizip/c.zip/d.tif", "s3://bucket/e.tif"]}
    found = absolute_paths(RunConfig.model_validate({"Data": data})).data
    assert found.hr == (
        f"{tmp_path}/a.tif",
        "/home/me/b.tif",
        "/vsizip/c.zip/d.tif",
        "s3://bucket/e.tif",
    )
    pairs = RunConfig.model_validate({"Data": {"pairs": "pairs.csv"}})
    assert absolute_paths(pairs).data.pairs == f"{tmp_path}/pairs.csv"
    taco = RunConfig.model_validate({"Data": {"sen2naip_taco_file": "a.taco", "root_dir": "set"}})
    assert absolute_paths(taco).data.root_dir == f"{tmp_path}/set"
    assert absolute_paths(taco).data.sen2naip_taco_file == "a.taco"
