"""Memory and open files of the loader's processes over many crops.

    python benchmarks/leaks.py            50,000 crops of 160 scenes, more than a process keeps open

Prints a line every tenth and fails (exit 1) where, after the first fifth, open files or resident
memory grow by more than the allowance. `measure` is what the tests call with fewer crops.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.transform import Affine

from srgan_cli.config import RunConfig
from srgan_cli.data.training import open_training_data

ALLOWANCE_MB = 24
"""Growth of all processes together; caches and allocators settle within it."""

ALLOWANCE_FILES = 4
"""Ditto; the pools may not be full at the first look."""


class Use(NamedTuple):
    """Of this process and its loader processes together."""

    crops: int
    files: int
    megabytes: float


def measure(
    folder: Path, crops: int, workers: int, scenes: int = 160, kind: str = "tif"
) -> list[Use]:
    """Use after each tenth of the crops; the scenes are written to `folder`."""
    paths = [_scene(folder / f"{index:03d}.{kind}", index) for index in range(scenes)]
    config = RunConfig.model_validate(
        {
            "Data": {
                "hr": paths,
                "hr_crop_px": 64,
                "train_batch_size": 10,
                "num_workers": workers,
                "val_crops": 4,
            },
            "Model": {"in_bands": 2},
            "Generator": {"scaling_factor": 2},
        }
    )
    data = open_training_data(config)
    batches = data.train_batches(0, 10**9)
    uses = []
    for number in range(1, crops // 10 + 1):
        next(batches)
        if number % max(1, crops // 100) == 0:
            uses.append(_use(number * 10))
    batches.close()
    return uses


def growth(uses: list[Use]) -> tuple[int, float]:
    """(open files, megabytes) more at the end than after the first fifth."""
    settled = uses[max(0, len(uses) // 5 - 1)]
    return uses[-1].files - settled.files, uses[-1].megabytes - settled.megabytes


def _use(crops: int) -> Use:
    processes = ["self", *(str(process.pid) for process in multiprocessing.active_children())]
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in processes)
    kilobytes = 0
    for pid in processes:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                kilobytes += int(line.split()[1])
    return Use(crops, files, kilobytes / 1024)


def _scene(path: Path, seed: int) -> str:
    pixels = np.random.default_rng(seed).integers(300, 4000, (2, 192, 192)).astype(np.uint16)
    pixels[:, :20, :20] = 0
    if path.suffix == ".npy":
        np.save(path, pixels)
        return str(path)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=2,
        height=192,
        width=192,
        dtype="uint16",
        nodata=0,
        crs="EPSG:32631",
        transform=Affine(2.5, 0, 400_000 + 1000 * seed, 0, -2.5, 5_000_000),
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="deflate",
    ) as dataset:
        dataset.write(pixels)
    return str(path)


def main() -> None:
    """Measure, print, and fail where something grows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crops", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kind", default="tif", choices=["tif", "npy"])
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        uses = measure(Path(folder), options.crops, options.workers, kind=options.kind)
    for use in uses:
        print(f"{use.crops:6} crops: {use.files} open files, {use.megabytes:.1f} MB")
    files, megabytes = growth(uses)
    print(f"growth: {files} files, {megabytes:+.1f} MB; {time.perf_counter() - start:.0f} s")
    sys.exit(1 if files > ALLOWANCE_FILES or megabytes > ALLOWANCE_MB else 0)


if __name__ == "__main__":
    main()
