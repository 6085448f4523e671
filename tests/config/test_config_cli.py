"""`srgan config`: streams, exit codes and what is imported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srgan_cli.cli import console
from srgan_cli.cli.config import app
from srgan_cli.config.presets import PRESETS
from srgan_cli.errors import SrganError

ROOT = Path(__file__).parents[2]
BAD = "Data:\n  hr_crop_px: 130\n  foo: 1\n"
RISKY = "Data:\n  hr: [a]\nOptimizers:\n  optim_d_lr: 1\n"


@pytest.fixture
def run(monkeypatch):
    def run(*args):
        """A result with the exit code that the boundary gives expected errors."""
        result = CliRunner().invoke(app, list(map(str, args)))
        if isinstance(result.exception, SrganError):
            return result, result.exception.exit_code, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result, result.exit_code, result.stderr

    monkeypatch.setattr(console, "warn", lambda text: sys.stderr.write(f"warning: {text}\n"))
    return run


def test_init_lists_the_presets(run):
    result, code, _ = run("init", "--list")
    assert code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(PRESETS)


def test_init_writes_what_check_accepts(run, tmp_path):
    path = tmp_path / "cfg.yaml"
    result, code, _ = run("init", "quickstart", "--output", path)
    assert (code, result.stdout) == (0, f"{path}\n")
    result, code, stderr = run("check", path)
    assert (code, result.stdout, stderr) == (0, f"{path}: OK\n", "")
    assert run("init", "quickstart")[0].stdout == path.read_text()


def test_init_overwrites_only_when_told(run, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text("mine")
    _, code, message = run("init", "-o", path)
    assert code == 2
    assert message == f"{path} exists"
    assert path.read_text() == "mine"
    assert run("init", "-o", path, "--overwrite")[1] == 0
    assert path.read_text().startswith("# sentinel2-10m")


def test_init_refuses_what_it_cannot_do(run, tmp_path):
    result, code, message = run("init", "quikstart")
    assert (code, message) == (2, "no preset 'quikstart'")
    assert "did you mean quickstart?" in result.exception.hint
    _, code, message = run("init", "-o", tmp_path / "none" / "cfg.yaml")
    assert code == 2
    assert "cannot be written: No such file or directory" in message


def test_check_reports_every_problem(run, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(BAD)
    result, code, message = run("check", path, "--set", "Training.seed=x")
    assert (code, result.stdout) == (2, "")
    lines = message.splitlines()
    assert lines[0].startswith(f"{path}:2:3: Data.hr_crop_px: 130 is not a multiple")
    assert lines[1] == f"{path}:3:3: Data.foo: unknown key"
    assert lines[2] == "--set: Training.seed: should be a whole number, not 'x'"


def test_check_warns_on_stderr_and_says_ok_on_stdout(run, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(RISKY)
    result, code, stderr = run("check", path)
    assert (code, result.stdout) == (0, f"{path}: OK, 1 warning\n")
    assert stderr.startswith(f"warning: {path}:4:3: Optimizers.optim_d_lr: 1 is more than half")


def test_check_as_json(run, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(BAD)
    result, code, _ = run("check", path, "--json")
    answer = json.loads(result.stdout)
    assert (code, answer["ok"], answer["file"]) == (2, False, str(path))
    assert answer["problems"][1] == {
        "severity": "error",
        "line": 3,
        "column": 3,
        "key": "Data.foo",
        "text": "unknown key",
        "origin": str(path),
    }
    path.write_text(RISKY)
    result, code, stderr = run("check", path, "--json")
    answer = json.loads(result.stdout)
    assert (code, stderr, answer["ok"]) == (0, "", True)
    assert [problem["severity"] for problem in answer["problems"]] == ["warning"]


def test_show_prints_a_configuration_that_loads(run, tmp_path):
    path, shown = tmp_path / "cfg.yaml", tmp_path / "shown.yaml"
    path.write_text(RISKY)
    result, code, stderr = run("show", path, "--set", "Optimizers.optim_d_lr=1e-5")
    assert (code, stderr) == (0, "")
    assert "  optim_d_lr: 1e-05\n" in result.stdout
    shown.write_text(result.stdout)
    assert run("show", shown)[0].stdout == result.stdout


def test_schema(run):
    result, code, _ = run("schema")
    assert code == 0
    assert "Training" in json.loads(result.stdout)["properties"]
    assert run("schema", "--markdown")[0].stdout.startswith("# Configuration\n")


def test_the_commands_import_nothing_heavy(tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(RISKY)
    program = f"""
import sys
from typer.testing import CliRunner
from srgan_cli.cli.config import app
assert "pydantic" not in sys.modules
for args in (["init"], ["check", {str(path)!r}], ["show", {str(path)!r}], ["schema"]):
    assert CliRunner().invoke(app, args).exit_code == 0, args
heavy = {{"torch", "torchvision", "rasterio", "wandb", "numpy"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
