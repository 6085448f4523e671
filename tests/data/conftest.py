"""Rasters for the tests of the data layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from srgan_cli.config import RunConfig

WriteRaster = Callable[..., Path]
MakeConfig = Callable[..., RunConfig]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """Writes an array (bands, rows, cols) as a georeferenced GeoTIFF under tmp_path."""

    def write(
        name: str, pixels: np.ndarray, mask: np.ndarray | None = None, **options: Any
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptions = options.pop("descriptions", None)
        profile = {
            "driver": "GTiff",
            "count": pixels.shape[0],
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            "dtype": pixels.dtype.name,
            "crs": "EPSG:32631",
            "transform": Affine(2.5, 0, 500_000, 0, -2.5, 5_000_000),
            "photometric": "minisblack",
        }
        chosen = {key: value for key, value in (profile | options).items() if value is not None}
        with rasterio.open(path, "w", **chosen) as dataset:
            dataset.write(pixels)
            if mask is not None:
                dataset.write_mask(mask)
            if descriptions:
                dataset.descriptions = descriptions
        return path

    return write


@pytest.fixture
def scene(write_raster: WriteRaster) -> Callable[..., Path]:
    """Writes a scene of reflectance x 10000 with a value for every place."""

    def write(name: str, bands: int = 4, rows: int = 96, cols: int = 112, **options: Any) -> Path:
        rng = np.random.default_rng(len(name) + sum(name.encode()))
        pixels = rng.integers(300, 4000, (bands, rows, cols)).astype(np.uint16)
        return write_raster(name, pixels, **options)

    return write


@pytest.fixture
def config() -> MakeConfig:
    """A RunConfig with small crops; keyword arguments go to `Data`."""

    def make(scale: int = 4, in_bands: int = 4, seed: int = 0, **data: Any) -> RunConfig:
        small = {"hr_crop_px": 32, "train_batch_size": 3, "num_workers": 0, "val_crops": 4}
        return RunConfig.model_validate(
            {
                "Data": small | data,
                "Model": {"in_bands": in_bands},
                "Generator": {"scaling_factor": scale},
                "Training": {"seed": seed},
            }
        )

    return make
