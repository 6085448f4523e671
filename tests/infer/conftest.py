from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.infer import Model
from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.weights import WeightsInfo, save_weights

SPEC = {
    "model_type": "SRResNet",
    "block_type": "res",
    "n_channels": 8,
    "n_blocks": 2,
    "large_kernel_size": 5,
    "small_kernel_size": 3,
    "growth_channels": 4,
}


@pytest.fixture
def make_model() -> Callable[..., Model]:
    """A small network with random weights, strong enough that every pixel of its field counts."""

    def make(
        bands: int = 2,
        scale: int = 2,
        radiometry: str = "sen2_stretch_10k",
        names: tuple[str, ...] = (),
        window: int | None = None,
        **spec: Any,
    ) -> Model:
        torch.manual_seed(1)
        values = {**SPEC, "in_bands": bands, "out_bands": bands, "scale": scale, **spec}
        whole = GeneratorSpec(**values)
        generator = build_generator(whole)
        for parameter in generator.parameters():
            if parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter, a=0.5)
            parameter.requires_grad_(False)
        generator.pool_locally_(window)
        info = WeightsInfo(whole, RADIOMETRIES[radiometry], names, 32, None, 1, True)
        return Model(generator.eval(), info, "0" * 64)

    return make


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    """The usual one; files that need another have their own."""
    return make_model()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs of several blocks from scenes of a few dozen pixels."""
    monkeypatch.setattr("srgan_cli.infer.layout.BLOCK_PX", 32)


@pytest.fixture
def native_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which bf16 is worth it, whatever this machine has."""
    monkeypatch.setattr("srgan_cli.bfloat16.computes_bf16", lambda _: True)


@pytest.fixture
def save_model(tmp_path: Path) -> Callable[[Model], Path]:
    def save(model: Model) -> Path:
        path = tmp_path / "w.safetensors"
        save_weights(path, model.generator.state_dict(), model.info)
        return path

    return save


def landscape(bands: int, height: int, width: int, top: float = 4000.0) -> np.ndarray:
    """Smooth ground with sharp edges and texture, in 0..top."""
    rng = np.random.default_rng(height * 10007 + width)
    rows, cols = np.mgrid[:height, :width]
    ground = np.stack(
        [np.sin(rows / (7 + band)) + np.cos(cols / (5 + band)) for band in range(bands)]
    )
    ground = ground / 4 + 0.5 + 0.1 * rng.standard_normal((bands, height, width))
    return np.clip(ground, 0.02, 1.0) * top


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str = "in.tif",
        bands: int = 2,
        height: int = 40,
        width: int = 50,
        dtype: str = "uint16",
        data: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        if data is None:
            data = landscape(bands, height, width).astype(dtype)
        bands, height, width = data.shape
        settings = {
            "driver": "GTiff",
            "crs": "EPSG:32631",
            "transform": Affine(10, 0, 500_000, 0, -10, 4_000_000),
            **profile,
        }
        if settings["transform"] is None:
            del settings["transform"], settings["crs"]
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path,
                "w",
                count=bands,
                height=height,
                width=width,
                dtype=data.dtype,
                **settings,
            ) as out,
        ):
            out.write(data)
            if mask is not None:
                out.write_mask(mask)
        return path

    return make


@pytest.fixture
def ground() -> Callable[..., np.ndarray]:
    return landscape


SLOW = """
import os, sys, time
from srgan_cli.infer import layout
from srgan_cli.infer.network import Network
layout.BLOCK_PX = 32
start = Network.start
def slow(*args):
    time.sleep(0.02)
    return start(*args)
Network.start = slow
print("up", flush=True)
sys.argv[0] = "srgan"
from srgan_cli.cli.app import main
main()
"""


@pytest.fixture
def slow_srgan() -> Callable[..., subprocess.Popen[str]]:
    """Starts `srgan infer` in a process of its own that takes its time over every tile."""

    def start(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SLOW, "-q", "infer", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return start
