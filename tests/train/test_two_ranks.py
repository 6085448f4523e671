"""Two processes train as one would: the same samples, the same weights, one voice, one end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from running import Watcher, log_values, same_state, train
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from two_ranks import one_step

from srgan_cli.config import RunConfig
from srgan_cli.errors import StoppedError
from srgan_cli.models import build_discriminator
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train.checkpoint import load_checkpoint
from srgan_cli.train.distributed import ALONE
from srgan_cli.train.networks import _with_synchronised_norms

WORKER = Path(__file__).parent / "two_ranks.py"

STEPS = {
    "patchgan": ("res", "patchgan", {"tv_weight": 0.3, "r1_gamma": 1.0}, {}),
    "relativistic": ("rrdb", "unet", {"relativistic_average_d": True}, {}),
    "hinge": ("lka", "patchgan", {"adv_loss_type": "hinge"}, {}),
    "parts": ("rcab", "unet", {"tv_weight": 0.3}, {"accumulate_steps": 2}),
    "recomputed": ("res", "patchgan", {}, {"checkpoint_blocks": True, "accumulate_steps": 2}),
    "compiled": ("res", "patchgan", {}, {"compile": True, "accumulate_steps": 2}),
    "standard": ("standard", "standard", {}, {}),
    "esrgan": ("res", "esrgan", {}, {}),
}
BEFORE_A_NORM = "model.model.2.bias"
"""Its gradient is zero but for rounding, and Adam makes steps of the usual size of that."""
WITH_BATCH_STATISTICS = ("standard", "esrgan")


def config_of(name):
    block, judge, losses, training = STEPS[name]
    return {
        "Model": {"in_bands": 3},
        "Data": {"hr_crop_px": 32, "train_batch_size": 4},
        "Generator": {
            "block_type": block,
            "n_channels": 16,
            "n_blocks": 1,
            "growth_channels": 4,
            "scaling_factor": 2,
            "large_kernel_size": 5,
        },
        "Discriminator": {"model_type": judge, "n_blocks": 2, "base_channels": 8},
        "Optimizers": {"gradient_clip_val": 0.1},
        "Training": {"precision": "fp32", "Losses": {"sam_weight": 0.3, **losses}, **training},
    }


def environment(rank=None, port=None):
    paths = os.pathsep.join(path for path in sys.path if path)
    found = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    if rank is not None:
        # As examples/slurm/several-nodes.sh starts them.
        found |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        found |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Everything that two processes are needed for happens in one pair of them."""
    return tmp_path_factory.mktemp("pair")


@pytest.fixture
def pair(kept, tiny):
    done = kept / "done"
    if not done.exists():
        _work(kept, tiny)
        done.touch()
    return kept


def small(tiny, **sections):
    data = {**tiny().data.model_dump(mode="json"), "train_batch_size": 4, "val_batch_size": 2}
    return tiny(Data=data | sections.pop("Data", {}), **sections)


def _work(folder, tiny):
    config = small(tiny)
    train(config, folder / "alone")
    stopping = Watcher(7, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError):
        train(config, folder / "onwards", watcher=stopping)
    values = config.model_dump(mode="json", by_alias=True)
    fitted = small(tiny, Data={"normalization": "percentile"}, Training={"max_steps": 2})
    other = {**values, "Data": {**values["Data"], "train_batch_size": 5}}
    jobs = [{"name": name, "config": config_of(name)} for name in STEPS]
    jobs += [
        {"name": "spoiled", "config": config_of("patchgan"), "spoiled": True},
        {"name": "whole", "config": values, "folder": str(folder / "whole")},
        {"name": "first", "config": values, "folder": str(folder / "halves"), "signal_after": 6},
        {"name": "second", "config": values, "folder": str(folder / "halves"), "resume": "auto"},
        {"name": "back", "config": values, "folder": str(folder / "back"), "signal_after": 7},
        {"name": "onwards", "config": values, "folder": str(folder / "onwards"), "resume": "auto"},
        {"name": "uneven", "config": other, "folder": str(folder / "uneven")},
        {
            "name": "fitted",
            "config": fitted.model_dump(mode="json", by_alias=True),
            "folder": str(folder / "fitted"),
        },
    ]
    # It ends both.
    jobs.append({"fails": True, "config": values, "folder": str(folder / "fails")})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(folder / "jobs.json"), str(folder)],
            env=environment(rank, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for rank, error in enumerate(errors):
        (folder / f"errors.{rank}").write_text(error)
    (folder / "codes").write_text(json.dumps([process.returncode for process in processes]))
    for name in STEPS:
        torch.save(
            one_step(RunConfig.model_validate(config_of(name)), ALONE), folder / f"{name}.pt"
        )


def found(pair, name, rank=0):
    path = pair / (f"{name}.pt" if rank is None else f"{name}.{rank}.pt")
    assert path.exists(), [(pair / f"errors.{each}").read_text()[-3000:] for each in (0, 1)]
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("phase", ["pretrain", "gan"])
@pytest.mark.parametrize("name", [name for name in STEPS if name not in WITH_BATCH_STATISTICS])
def test_a_step_of_two_ranks_has_the_gradients_of_one(pair, name, phase):
    """Though all that is invalid lies in the share of rank 1."""
    alone, *both = (found(pair, name, rank)[phase] for rank in (None, 0, 1))
    assert len(alone["gradients"]) > 4
    largest = max(float(gradient.abs().max()) for gradient in alone["gradients"].values())
    for together in both:
        assert set(together["gradients"]) == set(alone["gradients"])
        for key, gradient in alone["gradients"].items():
            if (name, key) == ("relativistic", "d.conv9.bias"):
                continue  # shifts all logits alike: zero but for rounding
            # As are those that instance norm takes away again.
            size = max(float(gradient.abs().max()), 0.01 * largest)
            difference = float((together["gradients"][key] - gradient).abs().max())
            assert difference < 2e-4 * size, key
        means, skipped, in_a_row = together["values"]
        assert (skipped, in_a_row) == (0, 0)
        assert set(means) == set(alone["values"][0])
        for key, value in alone["values"][0].items():
            assert means[key] == pytest.approx(value, rel=2e-4, abs=1e-7), key


@pytest.mark.parametrize("name", STEPS)
def test_both_ranks_hold_the_same_networks(pair, name):
    one, other = found(pair, name, 0), found(pair, name, 1)
    assert same_state(one["state"], other["state"])
    assert same_state(one["gan"]["values"], other["gan"]["values"])


def test_batch_norms_of_the_cpu_are_pointed_out(pair):
    warnings = found(pair, "standard")["warnings"]
    assert len(warnings) == 2
    assert "Training.sync_batch_norm: torch has none for the CPU" in warnings[0]
    assert found(pair, "patchgan")["warnings"] == []
    running = found(pair, "standard")["state"]["g"]
    assert any(
        "running_mean" in key and float(value.abs().max()) > 0 for key, value in running.items()
    )


def test_batch_norms_are_synchronised_on_gpus_under_the_same_names():
    config = RunConfig.model_validate(config_of("standard"))
    network = build_discriminator(config)
    names = list(network.state_dict())
    found = _with_synchronised_norms(network, config, torch.device("cuda"), pytest.fail)
    assert list(found.state_dict()) == names
    kinds = {type(module) for module in found.modules() if isinstance(module, _BatchNorm)}
    assert kinds == {nn.SyncBatchNorm}
    off = RunConfig.model_validate({"Training": {"sync_batch_norm": False}})
    network = build_discriminator(config)
    assert _with_synchronised_norms(network, off, torch.device("cuda"), pytest.fail) is network
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())


def test_a_nan_on_one_rank_makes_both_skip_and_counts_once(pair):
    one, other = found(pair, "spoiled", 0), found(pair, "spoiled", 1)
    for phase in ("pretrain", "gan"):
        assert one[phase]["values"][1:] == other[phase]["values"][1:] == (1, 1)
    # D's own batch was spoilt too, so nothing has moved anywhere.
    before = found(pair, "patchgan", None)
    assert set(one["state"]["g"]) == set(before["state"]["g"])
    assert same_state(one["state"], other["state"])
    assert all(torch.isfinite(value).all() for value in one["state"]["g"].values())


def close(one, other):
    first, second = load_checkpoint(one.last), load_checkpoint(other.last)
    assert first["step"] == second["step"]
    for network in ("generator", "discriminator"):
        for key, value in first[network].items():
            if key != BEFORE_A_NORM:
                assert torch.allclose(value, second[network][key], rtol=0, atol=2e-5), key
    for key, value in first["ema"]["model"].items():
        assert torch.allclose(value, second["ema"]["model"][key], rtol=0, atol=2e-5), key
    ours, theirs = log_values(one), log_values(other)
    assert [(row["kind"], row["step"]) for row in ours] == [
        (row["kind"], row["step"]) for row in theirs
    ]
    for row, again in zip(ours, theirs, strict=True):
        assert set(row) == set(again)
        for key, value in row.items():
            assert again[key] == (
                pytest.approx(value, rel=2e-3, abs=1e-6) if isinstance(value, float) else value
            ), key


def test_the_same_batches_on_two_ranks_give_the_weights_and_the_log_of_one(pair):
    assert [found(pair, "whole", rank)["code"] for rank in (0, 1)] == [0, 0]
    close(RunFolder(pair / "alone"), RunFolder(pair / "whole"))
    facts = json.loads(RunFolder(pair / "whole").run_json.read_text())
    assert facts["processes"] == 2


def test_rank_0_alone_writes(pair):
    whole, alone = RunFolder(pair / "whole"), RunFolder(pair / "alone")
    names = [
        sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*"))
        for run in (whole, alone)
    ]
    assert names[0] == names[1]
    events = [row["event"] for row in read_metrics(whole.metrics) if row["kind"] == "event"]
    assert events == ["start", "end"]


def test_warnings_of_another_rank_reach_the_user_by_rank_0(pair):
    texts = [found(pair, "whole", rank)["warnings"] for rank in (0, 1)]
    assert [sum("only rank 1 has met" in text for text in each) for each in texts] == [1, 0]


def test_a_signal_to_one_rank_stops_both_after_the_same_step(pair):
    first, second = found(pair, "first", 0), found(pair, "first", 1)
    assert (first["code"], second["code"]) == (138, 138)
    assert (
        first["steps"] == second["steps"] == 7
    )  # the signal came during the seventh at the latest
    assert "stopped by SIGUSR1; everything up to step 7 is saved" in first["message"]
    assert second["message"] == ""


def test_two_ranks_that_are_resumed_equal_two_that_were_not_bit_for_bit(pair):
    assert found(pair, "second")["code"] == 0
    whole, halves = RunFolder(pair / "whole"), RunFolder(pair / "halves")
    assert same_state(load_checkpoint(whole.last), load_checkpoint(halves.last))
    assert log_values(whole) == log_values(halves)


def test_a_run_of_one_process_goes_on_in_two(pair):
    assert found(pair, "onwards")["code"] == 0
    close(RunFolder(pair / "alone"), RunFolder(pair / "onwards"))


def test_a_run_of_two_processes_goes_on_in_one(pair, tiny):
    back = RunFolder(pair / "back")
    state = load_checkpoint(back.last)
    assert state["step"] == 8
    assert len(state["other_ranks"]) == 1
    train(small(tiny), back.path, resume="auto")
    close(RunFolder(pair / "alone"), back)


def test_a_normalization_is_fitted_by_rank_0_for_both(pair):
    assert [found(pair, "fitted", rank)["code"] for rank in (0, 1)] == [0, 0]
    assert "percentile" in RunFolder(pair / "fitted").config.read_text()


def test_a_batch_that_does_not_divide_is_refused_once(pair):
    first, second = found(pair, "uneven", 0), found(pair, "uneven", 1)
    assert (first["code"], second["code"]) == (2, 2)
    text = "Data.train_batch_size: 5 crops cannot be shared equally by 2 processes; use 4 or 6"
    assert text in first["message"]
    assert second["message"] == ""
    assert not (pair / "uneven").exists()


def test_what_one_rank_fails_of_is_told_by_it_alone_and_ends_both(pair):
    assert json.loads((pair / "codes").read_text()) == [1, 1]
    first, second = ((pair / f"errors.{rank}").read_text() for rank in (0, 1))
    assert f"process 1 of 2 ({socket.gethostname()}): the disk of this machine is gone" in second
    assert first == ""
