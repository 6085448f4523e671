"""The examples are what the presets write, and what they promise."""

from pathlib import Path

import pytest

from srgan_cli.config import load_config
from srgan_cli.config.presets import PRESETS, render_preset
from srgan_cli.runfolder import RunFolder

EXAMPLES = Path(__file__).parents[1] / "examples" / "configs"


def test_every_preset_is_an_example_and_the_reverse():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_examples_are_up_to_date_and_without_warnings(name):
    path = EXAMPLES / f"{name}.yaml"
    assert path.read_text() == render_preset(name), "run `make docs`"
    assert load_config(path).warnings == ()


@pytest.mark.parametrize("name", ["quickstart", "sentinel2-cpu"])
def test_the_small_ones_run(name, srgan, tmp_path):
    scenes = tmp_path / "scenes"
    assert srgan("synth", scenes, "--count", 2, "--size", 256)[0] == 0
    folder = RunFolder(tmp_path / "run")
    settings = (f"Data.hr={scenes}", "Training.max_steps=3", "Training.g_pretrain_steps=2")
    few = ("Data.val_crops=4", "Training.adv_loss_ramp_steps=1", "Schedulers.g_warmup_steps=1")
    options = [part for value in (*settings, *few) for part in ("--set", value)]
    code, out, err = srgan("train", EXAMPLES / f"{name}.yaml", "--run-dir", folder.path, *options)
    assert (code, out) == (0, f"{folder.ema}\n"), err
