import os
import signal
import subprocess
import sys
import time

import pytest

from srgan_cli import __version__
from srgan_cli.errors import EXIT_BUG, EXIT_FAILED, SrganError
from srgan_cli.runfolder import RunFolder, read_metrics

HEAVY = {"torch", "torchvision", "rasterio", "pydantic", "wandb", "numpy"}
COMMANDS = (
    "data", "train", "infer", "diagnose", "evaluate", "weights", "import", "synth", "config",
)  # fmt: skip


def python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_nothing_heavy(command):
    # typer itself imports pydantic for a command that has parameters.
    heavy = sorted(HEAVY - {"pydantic"} if command else HEAVY)
    code = f"""
import sys
sys.argv = ["srgan", *sys.argv[1:]]
from srgan_cli.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print([name for name in {heavy} if name in sys.modules])
"""
    done = python(code, *([command] if command else []), "--help")
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert "Usage" in done.stdout


def test_help_lists_every_command_and_the_exit_codes(srgan):
    code, out, err = srgan("--help")
    assert (code, err) == (0, "")
    for name in COMMANDS:
        assert name in out
    for part in ("0 done", "1 ran, but failed", "2 refused to start", "70 a bug", "128+N"):
        assert part in " ".join(out.split()), part


@pytest.mark.parametrize(
    "command", [*(name for name in COMMANDS if name != "config"), "config init", "config check"]
)
def test_every_command_says_what_it_does_with_examples(srgan, command):
    _, out, _ = srgan(*command.split(), "--help")
    usage, *examples = [line for line in out.splitlines() if f"srgan {command}" in line]
    assert usage.strip().startswith("Usage:")
    assert examples
    assert "\\b" not in out


def test_version(srgan):
    assert srgan("--version") == (0, f"srgan {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian"], "No such command 'trian'"),
        (["train"], "Missing argument"),
        (["train", "x.yaml", "--dryrun"], "No such option"),
    ],
)
def test_usage_errors_exit_2_on_stderr(srgan, arguments, part):
    code, out, err = srgan(*arguments)
    assert (code, out) == (2, "")
    assert part in err


def test_a_missing_configuration_exits_2(srgan, tmp_path):
    code, out, err = srgan("train", tmp_path / "no.yaml")
    assert (code, out) == (2, "")
    assert "no.yaml" in err
    assert "Traceback" not in err


def test_a_bug_exits_70_and_leaves_its_traceback_in_a_file(srgan, tmp_path, monkeypatch, tiny_yaml):
    path = tiny_yaml()
    monkeypatch.chdir(tmp_path)

    def broken(*args):
        raise ZeroDivisionError("that was not meant to happen")

    monkeypatch.setattr("srgan_cli.config.load_config", broken)
    code, out, err = srgan("train", path)
    assert (code, out) == (EXIT_BUG, "")
    assert "a bug in srgan: ZeroDivisionError" in err
    assert "Traceback" not in err
    (report,) = tmp_path.glob("srgan-crash-*.txt")
    assert report.name in err
    assert "that was not meant to happen" in report.read_text()


def test_a_failure_exits_1(srgan, monkeypatch, tiny_yaml, tmp_path):
    def fails(*args):
        raise SrganError("it went wrong at step 3", "try again")

    monkeypatch.setattr("srgan_cli.train.run.run_training", fails)
    code, out, err = srgan("train", tiny_yaml(), "--run-dir", tmp_path / "run")
    assert (code, out) == (EXIT_FAILED, "")
    assert "error: it went wrong at step 3" in err
    assert "fix: try again" in err


def test_stdout_of_train_is_the_weights_and_nothing_else(srgan, tiny_yaml, tmp_path):
    folder = RunFolder(tmp_path / "run")
    code, out, err = srgan("train", tiny_yaml(), "--run-dir", folder.path)
    assert (code, out) == (0, f"{folder.ema}\n")
    assert "training 12/12" in err
    assert "PSNR" in err
    assert "\x1b" not in err


def test_quiet_says_nothing(srgan, tiny_yaml, tmp_path):
    code, out, err = srgan(
        "-q", "train", tiny_yaml(Training={"max_steps": 2}), "--run-dir", tmp_path / "run"
    )
    assert (code, err) == (0, "")
    assert out.endswith("ema.safetensors\n")


def test_the_run_folder_is_named_after_the_yaml(srgan, tiny_yaml, tmp_path, monkeypatch):
    path = tiny_yaml(Training={"max_steps": 1})
    monkeypatch.chdir(tmp_path)
    assert srgan("train", path)[1] == "runs/tiny/weights/ema.safetensors\n"
    code, out, err = srgan("train", path)
    assert (code, out) == (2, "")
    assert "runs/tiny already holds a run" in err
    assert "--resume auto" in err


def test_overrides_reach_the_run(srgan, tiny_yaml, tmp_path):
    folder = RunFolder(tmp_path / "run")
    srgan("train", tiny_yaml(), "--run-dir", folder.path, "--set", "Training.max_steps=3")
    steps = [row["step"] for row in read_metrics(folder.metrics) if row["kind"] == "val"]
    assert steps == [3]


def test_a_dry_run_tells_the_plan_and_writes_nothing(srgan, tiny_yaml, tmp_path, monkeypatch):
    path = tiny_yaml()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, _ = srgan("train", path, "--dry-run")
    assert code == 0
    for part in (
        "generator", "receptive field", "for weights, gradients, moments and average",
        "MB measured at the peak", "discriminator starts", "adversarial weight at 0.001",
        "s a step", "validation", "total        about",
    ):  # fmt: skip
        assert part in out, part
    assert sorted(tmp_path.iterdir()) == before


def test_a_closed_pipe_ends_quietly():
    code = """
import sys
sys.argv = ["srgan", "config", "schema"]
from srgan_cli.cli.app import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_exits_with_128_plus_its_number(tiny_yaml, tmp_path, number):
    path = tiny_yaml(Training={"max_steps": 100000, "val_check_interval": 50000})
    folder = RunFolder(tmp_path / "run")
    process = subprocess.Popen(
        [sys.executable, "-m", "srgan_cli", "train", str(path), "--run-dir", str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not folder.last.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert f"stopped by {number.name}" in err
    assert "--resume auto" in err
    assert folder.ema.exists()
    events = [row for row in read_metrics(folder.metrics) if row["kind"] == "event"]
    assert (events[-1]["event"], events[-1]["signal"]) == ("stop", int(number))
