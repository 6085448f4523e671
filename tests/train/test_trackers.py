"""Trackers mirror the log, and nothing that happens to them reaches the training."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from running import Watcher, log_values, same_weights, train

from srgan_cli.errors import RefusedError
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train import trackers

FAKE = """
import json, os, sys, time
from pathlib import Path

out = Path(os.environ["FAKE_WANDB"])

def note(*what):
    with out.open("a") as file:
        file.write(json.dumps(what) + "\\n")

class api:
    api_key = "x"

def login():
    return True

class Settings(dict):
    def __init__(self, **kwargs):
        super().__init__(kwargs)

def Image(path):
    return "image " + Path(path).name

class Run:
    def log(self, values, step):
        note("log", step, values)
        trouble("log", step)
    def finish(self, exit_code=0):
        trouble("finish", 9)
        note("finish", exit_code)

def trouble(where, step):
    what = os.environ.get("FAKE_TROUBLE", "")
    if what.partition(" ")[0] != where or step < 3:
        return
    print("wandb: noise on stdout")
    match what.partition(" ")[2]:
        case "raise": raise ConnectionError("no route to host\\nand more")
        case "exit": sys.exit("bye")
        case "abort": os.abort()
        case "hang": time.sleep(600)

def init(**kwargs):
    note("init", {k: kwargs[k] for k in ("id", "mode", "resume", "project", "name")})
    note("config", kwargs["config"]["Training"]["max_steps"])
    trouble("init", 9)
    return Run()
"""


@pytest.fixture
def fake_wandb(tmp_path, monkeypatch):
    """A wandb that writes down what it is told; rows of the file."""
    place = tmp_path / "fake"
    place.mkdir()
    (place / "wandb.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("FAKE_WANDB", str(place / "told.jsonl"))

    def told(*kinds):
        lines = (place / "told.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if row[0] in kinds]

    return told


WANDB = {"enabled": True, "mode": "offline", "project": "test"}


@pytest.fixture
def quick(tiny):
    return tiny(Logging={"log_every": 3, "num_val_images": 1, "wandb": WANDB})


def test_wandb_gets_config_rows_and_panels_under_our_names(quick, tmp_path, fake_wandb):
    folder = RunFolder(tmp_path / "run")
    train(quick, folder.path, warnings=(warnings := []))
    assert [text for text in warnings if "tracking" in text] == []
    ((_, opened),) = fake_wandb("init")
    run_id = json.loads(folder.run_json.read_text())["run_id"]
    assert opened == {
        "id": run_id, "mode": "offline", "resume": None, "project": "test", "name": "run",
    }  # fmt: skip
    assert fake_wandb("config") == [["config", 12]]
    rows = [row for row in read_metrics(folder.metrics) if row["kind"] != "event"]
    seen = [(step, values) for _, step, values in fake_wandb("log") if "panels" not in values]
    assert [step for step, _ in seen] == [row["step"] for row in rows]
    for row, (_, values) in zip(rows, seen, strict=True):
        assert values.items() <= row.items()
    assert any("grad_norm/generator" in values for _, values in seen)
    panels = [values["panels"] for _, _, values in fake_wandb("log") if "panels" in values]
    assert panels == [f"image step_{step:06d}.png" for step in (4, 8, 12)]
    assert fake_wandb("finish") == [["finish", 0]]


def test_a_resumed_run_goes_on_under_the_same_id(quick, tmp_path, fake_wandb):
    folder = RunFolder(tmp_path / "run")
    short = quick.model_copy(
        update={"training": quick.training.model_copy(update={"max_steps": 5})}
    )
    train(short, folder.path)
    train(quick, folder.path, resume="auto")
    first, second = (row[1]["id"] for row in fake_wandb("init"))
    assert first == second


@pytest.mark.parametrize("where", ["init", "log", "finish"])
@pytest.mark.parametrize("what", ["raise", "exit", "abort", "hang"])
def test_whatever_wandb_does_the_training_is_the_same(
    quick, tiny, tmp_path, fake_wandb, monkeypatch, where, what, alone
):
    monkeypatch.setenv("FAKE_TROUBLE", f"{where} {what}")
    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 1.5)
    folder = RunFolder(tmp_path / "run")
    started = time.monotonic()
    train(quick, folder.path, warnings=(warnings := []))
    assert time.monotonic() - started < 20
    assert same_weights(alone, folder)
    assert log_values(alone) == log_values(folder)
    (text,) = (text for text in warnings if text.startswith("wandb: "))
    expected = {
        "raise": "ConnectionError: no route to host",
        "exit": "SystemExit: bye",
        "abort": "its process ended with exit -6",
        "hang": "not finished after 2 s, given up",
    }
    assert expected[what] in text


@pytest.fixture(scope="module")
def alone_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("alone") / "run"


@pytest.fixture
def alone(alone_folder, tiny):
    if not alone_folder.exists():
        train(tiny(Logging={"log_every": 3, "num_val_images": 1}), alone_folder)
    return RunFolder(alone_folder)


def test_an_unreachable_server_costs_nothing_but_its_warning(tiny, tmp_path, monkeypatch, alone):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 3.0)
    folder = RunFolder(tmp_path / "run")
    config = tiny(Logging={"log_every": 3, "num_val_images": 1, "wandb": {"enabled": True}})
    started = time.monotonic()
    train(config, folder.path, warnings=(warnings := []))
    assert time.monotonic() - started < 30
    assert [text for text in warnings if text.startswith("wandb: ")]
    rows = read_metrics(folder.metrics)
    assert rows[-1]["time"] - rows[0]["time"] < 15
    assert same_weights(alone, folder)


def test_without_a_key_it_says_what_to_do_instead_of_asking(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    config = tiny(Logging={"wandb": {"enabled": True}}, Training={"max_steps": 2})
    train(config, tmp_path / "run", warnings=(warnings := []))
    (text,) = (text for text in warnings if text.startswith("wandb: "))
    assert "no API key" in text
    assert "wandb login" in text


def test_the_real_wandb_offline(tiny, tmp_path):
    folder = RunFolder(tmp_path / "run")
    config = tiny(Logging={"num_val_images": 1, "wandb": WANDB}, Training={"max_steps": 3})
    train(config, folder.path, warnings=(warnings := []))
    assert not [text for text in warnings if text.startswith("wandb: ")]
    run_id = json.loads(folder.run_json.read_text())["run_id"]
    (offline,) = (folder.path / "wandb").glob("offline-run-*")
    assert offline.name.endswith(run_id)
    assert list(offline.rglob("panels*.png"))


def test_tensorboard_shows_the_same_names(tiny, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path / "run")
    config = tiny(Logging={"log_every": 3, "num_val_images": 1, "tensorboard": True})
    train(config, folder.path, warnings=(warnings := []))
    assert not [text for text in warnings if "tracking" in text]
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard")).Reload()
    rows = [row for row in read_metrics(folder.metrics) if row["kind"] != "event"]
    names = {name for row in rows for name in row} - {"kind", "step", "time"}
    assert set(events.Tags()["scalars"]) == names
    losses = [row for row in rows if "generator/total_loss" in row]
    shown = events.Scalars("generator/total_loss")
    assert [one.step for one in shown] == [row["step"] for row in losses]
    expected = [row["generator/total_loss"] for row in losses]
    assert np.allclose([one.value for one in shown], expected, rtol=1e-6)
    assert [one.step for one in events.Images("panels")] == [4, 8, 12]


@pytest.mark.parametrize("killed_at", [3, 9])
def test_tensorboard_shows_repeated_steps_once(tiny, tmp_path, killed_at):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path / "run")
    config = tiny(
        Logging={"log_every": 2, "num_val_images": 0, "tensorboard": True},
        Training={"checkpoint_every": 4},
    )

    def die():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, folder.path, watcher=Watcher(killed_at, die))
    time.sleep(1.1)  # its files are named by the second
    train(config, folder.path, resume="auto")
    events = accumulator.EventAccumulator(str(folder.path / "tensorboard")).Reload()
    rows = [row for row in read_metrics(folder.metrics) if row["kind"] != "event"]
    for name in ("generator/total_loss", "val_metrics/l1"):
        expected = [row["step"] for row in rows if name in row]
        shown = [one.step for one in events.Scalars(name)]
        assert sorted(set(shown)) == expected
        # The row of the step it goes on with may be there twice, with the same value.
        assert len(shown) - len(expected) <= 1


def test_tensorboard_without_its_package_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    config = tiny(Logging={"tensorboard": True})
    with pytest.raises(RefusedError, match="tensorboard is not installed") as caught:
        train(config, tmp_path / "run")
    assert "srgan-cli[tensorboard]" in caught.value.hint
    assert not Path(tmp_path / "run").exists()


def test_rows_beyond_a_full_queue_are_dropped_and_counted(monkeypatch):
    import threading

    monkeypatch.setattr(trackers, "QUEUE_LENGTH", 2)
    gate = threading.Event()
    warnings = []

    class Slow:
        def __init__(self):
            self.steps = []

        def log(self, step, values):
            gate.wait(10)
            self.steps.append(step)

        def close(self):
            pass

        def abandon(self):
            pass

    slow = Slow()
    safe = trackers.SafeTracker("slow", lambda: slow, warnings.append)
    started = time.monotonic()
    for step in range(50):
        safe.log(step, {"a": 1.0, "b": float("nan")})
    assert time.monotonic() - started < 1
    gate.set()
    time.sleep(0.2)
    safe.close()
    assert len(slow.steps) < 10
    (text,) = warnings
    assert "rows were dropped; metrics.jsonl has every row" in text
