"""Several processes from the command line: who starts them, what ends them, what a user reads."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch

from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.signals import stop_request
from srgan_cli.train import launch, processes
from srgan_cli.train.checkpoint import load_checkpoint
from srgan_cli.train.device import choose_device
from srgan_cli.train.distributed import Ranks
from srgan_cli.train.dry_run import dry_run
from srgan_cli.train.processes import together
from srgan_cli.train.run import _seen, _shared

PATIENCE_S = 120
ENDLESS = ("--set", "Training.max_steps=100000", "--set", "Training.guard=off")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")


@pytest.fixture
def start(tmp_path):
    """Starts srgan in the background; stderr and stdout go to files."""
    started = []

    def run(*command):
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
            process = subprocess.Popen(
                [str(part) for part in command], stdout=out, stderr=err, env=environment
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_S)


def wait_for(path, process):
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def workers(process):
    """Process ids of the ranks, in order of their start."""
    listed = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()[1:]]
    return [
        int(pid) for pid, parent, args in rows if int(parent) == process.pid and "srgan" in args
    ]


def errors(tmp_path):
    return [line for line in (tmp_path / "err").read_text().splitlines() if "error: " in line]


def test_gpus_of_the_configuration_start_processes_that_a_signal_stops(
    start, srgan, tiny_yaml, tmp_path
):
    folder = RunFolder(tmp_path / "run")
    command = (sys.executable, "-m", "srgan_cli", "train", tiny_yaml(), "--run-dir", folder.path)
    processes = ("--set", "Training.num_processes=2")
    process = start(*command, *processes, *ENDLESS)
    wait_for(folder.last, process)
    code, _, err = srgan(
        "train", tmp_path / "tiny.yaml", "--run-dir", folder.path, "--resume", "auto"
    )
    assert code == 2
    assert "another srgan train is writing to" in err
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143
    (told,) = errors(tmp_path)
    step = int(re.search(r"stopped by SIGTERM; everything up to step (\d+) is saved", told)[1])
    assert load_checkpoint(folder.last)["step"] == step
    assert "processes 2, each with 1 of the 2 crops of a step" in (tmp_path / "err").read_text()
    assert (tmp_path / "out").read_text() == ""


def test_torchrun_starts_a_run_again_that_goes_on_by_itself(start, tiny_yaml, tmp_path):
    folder = RunFolder(tmp_path / "run")
    longer = ("--set", "Training.max_steps=40", "--set", "Training.val_check_interval=20")
    process = start(
        *TORCHRUN, "--max-restarts", "1", "-m", "srgan_cli", "train", tiny_yaml(), "--run-dir",
        folder.path, *longer,
    )  # fmt: skip
    wait_for(folder.checkpoint(5), process)
    os.kill(workers(process)[1], signal.SIGKILL)
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "err").read_text()
    events = [row["event"] for row in read_metrics(folder.metrics) if row["kind"] == "event"]
    # Rank 0 may be ended by the launcher before it has written that the run failed.
    assert [event for event in events if event != "stop"] == ["start", "resume", "end"]
    assert (tmp_path / "out").read_text().strip() == str(folder.ema)
    (told,) = errors(tmp_path)
    assert "another process of this run has ended without a word" in told


def test_what_torchrun_starts_and_the_configuration_refuses_is_told_once(
    start, tiny_yaml, tmp_path
):
    process = start(
        *TORCHRUN, "-m", "srgan_cli", "train", tiny_yaml(), "--set", "Training.max_stepss=3"
    )
    assert process.wait(PATIENCE_S) == 1  # torchrun's own
    assert len([line for line in errors(tmp_path) if "max_stepss: unknown key" in line]) == 1
    assert "exitcode  : 2" in (tmp_path / "err").read_text()


def test_one_gpu_starts_no_launcher(srgan, tiny_yaml, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "launch", None)
    short = ("--set", "Training.max_steps=1", "--set", "Training.gpus=[0]")
    code, out, _ = srgan("train", tiny_yaml(), "--run-dir", tmp_path / "run", *short)
    assert code == 0
    assert out.strip().endswith("ema.safetensors")


def test_more_gpus_than_there_are_are_refused_before_anything_starts(srgan, tiny_yaml, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given = ("--set", "Training.device=auto", "--set", "Training.gpus=[0,2]")
    code, _, err = srgan("train", tiny_yaml(), *given)
    assert code == 2
    assert "CUDA device 2 does not exist; this machine has 2" in err


def test_each_process_takes_its_own_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [choose_device("auto", (3, 1), rank, 2).index for rank in (0, 1)] == [3, 1]
    assert [choose_device("cuda", (), rank, 2).index for rank in (0, 1)] == [0, 1]
    assert choose_device("cuda:2").index == 2
    assert choose_device("cpu", (0, 1), 1, 2).type == "cpu"
    with pytest.raises(RefusedError, match="names 3 devices, but this machine has 2 processes"):
        choose_device("auto", (0, 1, 2), 0, 2)


def test_several_gpus_on_a_machine_without_any_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        RefusedError, match="gpus names 2 devices, but this machine has no"
    ) as caught:
        choose_device("auto", (0, 1), 0, 2)
    assert "Training.device: cpu" in caught.value.hint
    assert choose_device("auto", (3,)).type == "cpu"


def failure(code, when=0):
    return SimpleNamespace(exitcode=code, timestamp=when)


def failed(**by_rank):
    failures = {int(name[1:]): each for name, each in by_rank.items()}
    first = min(failures.items(), key=lambda item: item[1].timestamp)
    return SimpleNamespace(failures=failures, get_first_failure=lambda: first)


def test_the_exit_code_is_that_of_the_process_that_failed(tmp_path, monkeypatch):
    assert launch._exit_code(failed(r0=failure(1, 5), r1=failure(70, 4)), tmp_path) == 70
    with pytest.raises(SrganError, match="process 1 of this run was killed by SIGSEGV") as caught:
        launch._exit_code(failed(r0=failure(-15, 4), r1=failure(-11, 4)), tmp_path)
    assert caught.value.exit_code == 139
    assert launch._exit_code(failed(r0=failure(-15)), tmp_path) == 143
    (tmp_path / "1").mkdir()
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "1" / "error.json"))
    launch.tell_launcher(RefusedError("no such file"), 2)
    told = json.loads((tmp_path / "1" / "error.json").read_text())
    assert told["message"]["message"] == "no such file"
    assert launch._exit_code(failed(r0=failure(1), r1=failure(-9)), tmp_path) == 2


def test_a_launcher_environment_that_makes_no_sense_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "one")
    with (
        pytest.raises(RefusedError, match="RANK is 'one', not a number, beside WORLD_SIZE=2"),
        together(),
    ):
        pass


@pytest.fixture
def keeps_signals(monkeypatch):
    """A process that has failed ignores signals while it ends; this one goes on."""
    monkeypatch.setattr(processes, "SIGNALS", ())


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch, keeps_signals):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "no port")
    with pytest.raises(RefusedError, match="MASTER_PORT is 'no port'"), together():
        pass
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        monkeypatch.setattr(processes, "_JOIN_WAIT", timedelta(seconds=1))
        reason = f"process 1 of 2 .*cannot reach the other processes by 127.0.0.1:{port}"
        with pytest.raises(RefusedError, match=reason) as caught, together():
            pass
    assert "GLOO_SOCKET_IFNAME" in caught.value.hint


class Second(Ranks):
    """Rank 1, told by rank 0 what stands in a list."""

    def __init__(self, *told):
        super().__init__(1, 2)
        self.told = list(told)

    def share(self, value):
        return self.told.pop(0)


def test_a_process_that_sees_other_imagery_is_refused(tiny):
    values = tiny().model_dump(mode="json", by_alias=True)
    data = open_training_data(tiny())
    assert _shared(None, Second((values, None), _seen(data)))[0] == tiny()
    theirs = _seen(data).replace("scene1.tif", "scene9.tif", 1)
    with pytest.raises(
        RefusedError, match=r"scene1.tif .* where process 0 sees .*scene9.tif"
    ) as caught:
        _shared(None, Second((values, None), theirs))
    assert "the same files under the same paths" in caught.value.hint


def test_the_echo_of_a_signal_is_no_second_one(monkeypatch):
    with stop_request("lost", "go on", echo_s=60.0) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal_number == signal.SIGUSR1
    with stop_request("lost", "go on") as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        stop.ignore_more()
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_dry_run_tells_the_processes_and_the_batch(srgan, tiny_yaml, tiny):
    code, out, _ = srgan("train", tiny_yaml(), "--dry-run", "--set", "Training.num_processes=2")
    assert code == 0
    assert "processes      2, each with 1 of the 2 crops of a step" in out
    assert "batch          2 crops a step" in out
    assert dry_run(tiny()).processes == 1


def test_a_dry_run_of_one_process_speaks_of_no_other(srgan, tiny_yaml):
    _, out, _ = srgan("train", tiny_yaml(), "--dry-run")
    assert "processes" not in out
