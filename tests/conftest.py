"""Settings of every test, and the smallest scenes and runs."""

import os

# Small tensors on several threads spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_COLOR", "1")
os.environ.setdefault("TERMINAL_WIDTH", "100")

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, settings
from rasterio.transform import from_origin

from srgan_cli.config import RunConfig, dump_config

# How long an example takes says more about the machine than about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def write_scene(path, seed, bands=2, side=96):
    """A smooth random uint16 scene with edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = sum(
        rng.uniform(0.2, 1) * np.sin(rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y)
        for _ in range(6)
    )
    image = 1500 + 300 * waves + 500 * (waves > 0.5)
    pixels = np.stack([image + 100 * band for band in range(bands)]).clip(1, 9000)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=bands,
        dtype="uint16",
        crs="EPSG:32631",
        transform=from_origin(500000 + 10000 * seed, 4000000, 10, 10),
    ) as dataset:
        dataset.write(pixels.astype("uint16"))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(3):
        write_scene(folder / f"scene{seed}.tif", seed)
    return folder


@pytest.fixture
def tiny(scenes):
    """The smallest run that goes through every phase: 12 steps, 6 of them adversarial."""

    def make(**sections):
        values = {
            "Data": {
                "hr": str(scenes),
                "hr_crop_px": 32,
                "val_crops": 6,
                "train_batch_size": 2,
                "num_workers": 0,
            },
            "Model": {"in_bands": 2},
            "Generator": {
                "n_channels": 8,
                "n_blocks": 1,
                "scaling_factor": 2,
                "large_kernel_size": 3,
                "global_skip": "bicubic",
            },
            "Discriminator": {"n_blocks": 1},
            "Training": {
                "device": "cpu",
                "precision": "fp32",
                "max_steps": 12,
                "val_check_interval": 4,
                "g_pretrain_steps": 6,
                "adv_loss_ramp_steps": 3,
                "checkpoint_every": 5,
            },
            "Schedulers": {"g_warmup_steps": 2},
            "Logging": {"log_every": 3, "num_val_images": 2},
        }
        for section, changes in sections.items():
            values[section] = values.get(section, {}) | changes
        return RunConfig.model_validate(values)

    return make


@pytest.fixture
def tiny_yaml(tiny, tmp_path):
    """The tiny run as a YAML file."""

    def make(**sections):
        path = tmp_path / "tiny.yaml"
        path.write_text(dump_config(tiny(**sections)))
        return path

    return make


@pytest.fixture
def srgan(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""
    from srgan_cli.cli import console
    from srgan_cli.cli.app import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["srgan", *map(str, arguments)])
        console.set_verbosity(0)
        capsys.readouterr()
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        else:
            code = 0
        out, err = capsys.readouterr()
        return code, out, err

    return run
