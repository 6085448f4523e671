"""Checkpoints that are damaged, kept, gone back from; folders that others use; disks that are full."""

import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from running import Watcher, log_values, same_state, same_weights, train

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train.checkpoint import (
    SUPERSEDED,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    step_of,
)

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "finished"


@pytest.fixture
def run(finished, tiny):
    if not finished.exists():
        train(tiny(), finished)
    return RunFolder(finished)


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the finished run; hard links stay such."""
    subprocess.run(["cp", "-a", run.path, tmp_path / "run"], check=True)
    return RunFolder(tmp_path / "run")


def die():
    raise KeyboardInterrupt  # nothing is saved, as with kill -9


def test_killed_at_random_moments_and_resumed_it_equals_the_uninterrupted_run():
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--kills", "6", "--per-run", "6", "--steps", "60",
         "--longest", "0.7", "--seed", str(os.getpid())],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kills, differ = re.search(r"(\d+) kills in \d+ runs, (\d+) runs differ", done.stdout).groups()
    assert int(kills) >= 6
    assert int(differ) == 0


def test_the_benchmark_sees_a_single_changed_bit(run, copy):
    spec = importlib.util.spec_from_file_location("kill_and_resume", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.differences(run, copy) == []
    state = load_checkpoint(copy.last)
    state["optimizer_d"]["state"][0]["exp_avg"].view(torch.int32)[0, 0, 0, 0] ^= 1
    state.pop("format_version")
    save_checkpoint(copy, 12, state, 3, None)
    assert module.differences(run, copy) == ["last.pt.optimizer_d.state.0.exp_avg"]


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_is_used(run, copy):
    flip_a_bit(copy.last)  # and the numbered one, which is the same file
    warnings = []
    path, state = newest_checkpoint(copy, warnings.append)
    assert (path, state["step"]) == (copy.checkpoint(10), 10)
    (text,) = warnings
    assert "damaged" in text
    assert "trying the one before" in text


def test_after_a_fall_back_the_damaged_one_is_in_nobodys_way(run, copy, tiny):
    flip_a_bit(copy.last)
    train(tiny(), copy.path, resume="auto", watcher=Watcher(), warnings=[])
    assert same_state(load_checkpoint(run.last), load_checkpoint(copy.last))
    assert log_values(run) == log_values(copy)
    assert not list(copy.checkpoints.glob(f"*{SUPERSEDED}"))


def test_going_back_sets_the_abandoned_checkpoints_aside(run, copy, tiny):
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), copy.path, resume=str(copy.checkpoint(5)), watcher=Watcher(2, die))
    aside = {path.name for path in copy.checkpoints.glob(f"*{SUPERSEDED}")}
    assert aside == {f"step_{step:08d}.pt{SUPERSEDED}" for step in (10, 12)}
    # last.pt is still the one of the abandoned end; the run does not jump there.
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), copy.path, resume=str(copy.checkpoint(5)), watcher=Watcher(6, die))
    assert newest_checkpoint(copy, pytest.fail)[1]["step"] == 10
    train(tiny(), copy.path, resume="auto")
    assert not list(copy.checkpoints.glob(f"*{SUPERSEDED}"))
    assert same_state(load_checkpoint(run.last), load_checkpoint(copy.last))
    assert log_values(run) == log_values(copy)


def test_a_kill_between_a_checkpoint_and_last_pt_loses_nothing(copy):
    copy.last.unlink()
    shutil.copy(copy.checkpoint(10), copy.last)
    path, state = newest_checkpoint(copy, pytest.fail)
    assert (path, state["step"]) == (copy.checkpoint(12), 12)


def test_last_pt_alone_is_enough(copy):
    for path in copy.checkpoints.glob("step_*.pt"):
        path.unlink()
    path, state = newest_checkpoint(copy, pytest.fail)
    assert (path, state["step"]) == (copy.last, 12)


def test_checkpoints_at_multiples_are_kept_for_ever(tiny, tmp_path):
    config = tiny(
        Training={"max_steps": 17, "checkpoint_every": 2, "keep_last": 2, "keep_every": 5}
    )
    folder = RunFolder(tmp_path / "run")
    train(config, folder.path)
    kept = sorted(step_of(path) for path in folder.checkpoints.glob("step_*.pt"))
    assert kept == [5, 10, 15, 16, 17]


def test_a_start_killed_before_its_first_checkpoint_starts_again(run, tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), folder.path, watcher=Watcher(4, die))
    assert not list(folder.checkpoints.iterdir())
    (folder.checkpoints / ".step_00000005.4711.tmp.pt").write_bytes(b"half")
    train(tiny(), folder.path, resume="auto")
    assert log_values(run) == log_values(folder)
    assert same_weights(run, folder)
    assert not list(folder.path.rglob(".*.tmp*"))


def test_a_start_killed_in_its_first_file_leaves_no_run(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.make()
    (folder.path / ".config.4711.tmp.yaml").write_text("Data:")
    assert not folder.used
    train(tiny(Training={"max_steps": 1}), folder.path, resume="auto")
    assert not list(folder.path.glob(".config*"))


def test_a_checkpoint_of_another_run_is_refused_where_a_run_lies(run, copy, tiny):
    with pytest.raises(RefusedError, match="already holds a run, and .* of another one"):
        train(tiny(), copy.path, resume=str(run.last))


def test_continue_training_goes_on_in_a_new_folder_and_never_throws_it_back(run, tiny, tmp_path):
    config = tiny(Model={"in_bands": 2, "continue_training": str(run.checkpoint(5))})
    folder = RunFolder(tmp_path / "on")
    with pytest.raises(KeyboardInterrupt):
        train(config, folder.path, watcher=Watcher(2, die))
    # Killed before its first checkpoint: it begins where the run began, not at 0.
    with pytest.raises(KeyboardInterrupt):
        train(config, folder.path, resume="auto", watcher=Watcher(6, die))
    assert load_checkpoint(folder.last)["step"] == 10
    with pytest.raises(RefusedError, match="already holds a run"):
        train(config, folder.path)
    train(config, folder.path, resume="auto")
    assert same_state(load_checkpoint(run.last), load_checkpoint(folder.last))
    rows = [row["step"] for row in read_metrics(folder.metrics) if row["kind"] == "train"]
    assert rows == [6, 9]


def test_a_checkpoint_beyond_the_end_is_refused(run, tiny, tmp_path):
    with pytest.raises(RefusedError, match="is at step 12, but the run has 8 steps") as caught:
        train(tiny(Training={"max_steps": 8}), tmp_path / "run", resume=str(run.last))
    assert "Training.max_steps above 12" in caught.value.hint


def test_a_finished_run_that_is_resumed_stays_as_it_is(run, copy, tiny):
    train(tiny(), copy.path, resume="auto")
    assert same_state(load_checkpoint(run.last), load_checkpoint(copy.last))
    assert log_values(run) == log_values(copy)


def test_a_resume_with_loader_processes_is_exact_too(run, tiny, tmp_path):
    config = tiny(Data={**tiny().data.model_dump(), "num_workers": 1})
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(config, folder.path, watcher=Watcher(7, die))
    train(config, folder.path, resume="auto")
    assert same_state(load_checkpoint(run.last), load_checkpoint(folder.last))


def test_a_rate_that_is_changed_on_resume_is_changed_and_cuts_stay(run, copy, tiny):
    state = load_checkpoint(copy.checkpoint(10))
    for network in ("optimizer_g", "optimizer_d"):
        for group in state[network]["param_groups"]:
            group["lr"] *= 0.5  # as a plateau would
    state.pop("format_version")
    save_checkpoint(copy, 10, state, 3, None)
    config = tiny(Optimizers={"optim_g_lr": 2e-5, "optim_d_lr": 2e-5, "betas": (0.5, 0.9)})
    train(config, copy.path, resume=str(copy.checkpoint(10)), warnings=(warnings := []))
    assert "Optimizers.optim_g_lr differs from the run that is resumed" in warnings
    after = load_checkpoint(copy.last)
    for network, rate in (("optimizer_g", 1e-5), ("optimizer_d", 1e-5)):
        for group in after[network]["param_groups"]:
            assert group["lr"] == pytest.approx(rate)
            assert tuple(group["betas"]) == (0.5, 0.9)


def children_of(process):
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()[1:]]
    found = {process}
    while more := {pid for pid, parent in pairs if parent in found} - found:
        found |= more
    return found - {process}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_kill_9_leaves_no_loader_process_behind(tiny_yaml, tiny, tmp_path):
    config = tiny_yaml(Data={**tiny().data.model_dump(), "num_workers": 1})
    folder = RunFolder(tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "srgan_cli", "-q", "train", config, "--run-dir", folder.path,
         "--set", "Training.max_steps=100000"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not folder.last.exists() and time.monotonic() < until:
            time.sleep(0.1)
        children = children_of(process.pid)
        assert len(children) >= 2  # the fork server and the loader
    finally:
        process.kill()
        process.wait()
    until = time.monotonic() + 20
    while any(alive(pid) for pid in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in children if alive(pid)]


@pytest.fixture
def file_limit():
    """Limits the size of files, which the system answers like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "where"), [(1000, "/run "), (20_000, "/run "), (60_000, "step_00000005.pt")]
)
def test_a_disk_that_is_full_ends_in_words_and_the_run_can_go_on(
    run, tiny, tmp_path, file_limit, size, where
):
    folder = RunFolder(tmp_path / "run")
    file_limit(size)
    with pytest.raises(
        SrganError, match=f"cannot write.*{where}.*File too large.*MB are free"
    ) as caught:
        train(tiny(), folder.path)
    assert caught.value.exit_code == 1
    assert "--resume auto" in caught.value.hint
    assert not list(folder.path.rglob(".*.tmp*"))
    file_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    train(tiny(), folder.path, resume="auto")
    assert same_state(load_checkpoint(run.last), load_checkpoint(folder.last))
    assert log_values(run) == log_values(folder)


@pytest.mark.parametrize("kind", ["weights", "tiles", "images"])
def test_a_full_disk_at_a_validation(run, copy, tiny, monkeypatch, kind, tmp_path):
    folder = RunFolder(tmp_path / "new")
    full = OSError(28, "No space left on device")
    target = {
        "weights": "srgan_cli.weights.save_file",
        "tiles": "srgan_cli.train.validation.np.savez_compressed",
        "images": "srgan_cli.train.panels.write_png",
    }[kind]

    def fails(*args, **kwargs):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(target, fails)
        with pytest.raises(SrganError, match="cannot write to .*No space left on device"):
            train(tiny(), folder.path)
    train(tiny(), folder.path, resume="auto")
    assert same_weights(run, folder)


def test_a_folder_that_cannot_be_written_is_refused(copy, tiny):
    (copy.path / ".lock").unlink()
    (copy.path / ".lock").mkdir()  # also refused to the superuser, whom no permission stops
    with pytest.raises(RefusedError, match="cannot write to .*Is a directory") as caught:
        train(tiny(), copy.path, resume="auto")
    assert "make the folder writable" in caught.value.hint


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_another_one_began_meanwhile_is_not_overwritten(
    run, tiny, tmp_path, monkeypatch, there
):
    folder = RunFolder(tmp_path / "run")
    if there:
        folder.make()
    from srgan_cli.train import run as module

    build = module.build_networks

    def slowly(*args):
        shutil.copytree(run.path, folder.path, dirs_exist_ok=True)
        return build(*args)

    monkeypatch.setattr(module, "build_networks", slowly)
    with pytest.raises(RefusedError, match="another srgan train has just written to"):
        train(tiny(), folder.path)
    assert folder.metrics.read_bytes() == run.metrics.read_bytes()


def test_a_broken_read_of_the_imagery_is_not_put_on_the_run_folder(tiny, tmp_path, monkeypatch):
    def fails(*args):
        raise PermissionError(13, "Permission denied", "/data/scene.tif")

    monkeypatch.setattr("srgan_cli.train.trainer.Trainer._one_step", fails)
    with pytest.raises(PermissionError):
        train(tiny(), tmp_path / "run")
