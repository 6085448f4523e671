"""What docs and examples of inference say is true."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import typer

from srgan_cli.cli import infer as infer_command
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.parsing import SCENE_OPTIONS

ROOT = Path(__file__).parents[2]


def blocks(name: str) -> list[str]:
    text = (ROOT / "docs" / name).read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def parameters_of_the_command() -> list[Any]:
    app = typer.Typer()
    app.command()(infer_command.infer)
    return list(typer.main.get_command(app).params)


def options_of_the_command() -> set[str]:
    return {
        name
        for parameter in parameters_of_the_command()
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.fixture
def workplace(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with the files that the examples speak of."""
    save_model(make_model()).rename(tmp_path / "ema.safetensors")
    make_raster(height=280, width=260)
    (tmp_path / "scenes.csv").write_text('input,window\nin.tif,"0,0,20,20"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_examples_run(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, batch = blocks("inference.md")
    exec(first, {})
    assert capsys.readouterr().out.startswith("512 ")
    assert (workplace / "out.png").exists()
    exec(batch, {})
    assert capsys.readouterr().out == "['done']\n"


def test_every_option_exists_and_every_option_can_be_reached() -> None:
    known = options_of_the_command()
    for path in ("docs/inference.md", "docs/ray.md", "examples/slurm/infer_array.sbatch"):
        text = (ROOT / path).read_text()
        commands = re.findall(r"srgan infer(?:[^\n]*\\\n)*[^\n]*", text)
        named = [word for command in commands for word in re.findall(r"--[a-z-]+", command)]
        assert named
        assert set(named) <= known, path
    text = (ROOT / "docs/inference.md").read_text()
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known
    spelled = {"tile_px": "--tile", "creation_options": "--co"}
    for field in dataclasses.fields(InferOptions):
        assert spelled.get(field.name, f"--{field.name.replace('_', '-')}") in known
    assert set(SCENE_OPTIONS) <= {field.name for field in dataclasses.fields(InferOptions)}
    for name in SCENE_OPTIONS:
        assert name in text


def test_the_command_has_the_defaults_of_the_options() -> None:
    stated = {each.name: each.default for each in parameters_of_the_command()}
    spelled = {"tile_px": "tile", "creation_options": "co", "format": "format_"}
    for name, value in dataclasses.asdict(InferOptions()).items():
        # An option that may be repeated is None, and not an empty list, where it is not given.
        assert (stated[spelled.get(name, name)] or None) == (value or None), name


def test_the_slurm_script_is_a_script_and_hands_on_its_arguments(tmp_path: Path) -> None:
    script = ROOT / "examples" / "slurm" / "infer_array.sbatch"
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", script], check=True)
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s|" "$@"\n')
    srun.chmod(0o755)
    done = subprocess.run(
        [bash, script, "my scenes.csv", "sr", "w.safetensors"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    words = done.stdout.split("|")
    assert words[:4] == ["srgan", "infer", "--manifest", "my scenes.csv"]
    assert words[4:8] == ["--out-dir", "sr", "--weights", "w.safetensors"]
    failed = subprocess.run([bash, script], capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "usage: sbatch" in failed.stderr


def test_the_ray_recipe_makes_a_scene_per_row(workplace: Path) -> None:
    """Its class is plain Python: Ray only calls it."""
    [code] = blocks("ray.md")
    names: dict[str, Any] = {"__name__": "ray_infer"}
    exec(code, names)
    worker = names["SuperResolve"]("ema.safetensors", "sr", window=(0, 0, 10, 10))
    row = worker({"input": str(workplace / "in.tif")})
    assert row == {"output": "sr/in.tif", "state": "done", "message": ""}
    with rasterio.open(workplace / "sr" / "in.tif") as written:
        assert written.shape == (20, 20)
    assert worker({"input": str(workplace / "in.tif")})["state"] == "skipped"
    bad = worker({"input": "none.tif"})
    assert bad["state"] == "failed"
    assert "no such file" in bad["message"]
