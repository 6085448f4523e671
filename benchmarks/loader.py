"""Crops per second of the training loader, against rasterio alone reading the same windows.

    python benchmarks/loader.py                      scenes made for it, tiled and striped
    python benchmarks/loader.py --hr SCENES --bands 4

Both read the same windows in the same order, in the same run, and are repeated in turn; the
median counts. `bare` is one process that only calls `dataset.read`; `bare x N` are N such
processes, each with its share of the windows. The loader makes batches of LR, HR and masks of
what it reads. Crops per second of wall time are what a training sees; on a machine that others
use too, milliseconds of CPU per crop tell more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import torch
from numpy.random import PCG64, Generator, SeedSequence
from rasterio.transform import Affine

from srgan_cli.config import RunConfig
from srgan_cli.data.images import build_reading
from srgan_cli.data.landscape import draw_landscape
from srgan_cli.data.pool import ImagePool
from srgan_cli.data.rasters import gdal_env
from srgan_cli.data.training import TrainingData, open_training_data

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled, deflate": {
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "predictor": 2,
    },
    "striped, deflate": {"tiled": False, "compress": "deflate", "predictor": 2},
    "tiled, raw": {"tiled": True, "blockxsize": 256, "blockysize": 256},
    "striped, raw": {"tiled": False},
}

Windows = list[tuple[str, Any, tuple[int, ...]]]


def main() -> None:
    """Measure and print a table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        sets = (
            {"given": [str(path) for path in options.hr]}
            if options.hr
            else _make_sets(Path(folder), options.scenes, options.side, options.layouts)
        )
        print(f"{torch.__version__=} {rasterio.__version__=} {multiprocessing.cpu_count()} cores")
        print(
            f"crops of {options.crop} px, scale {options.scale}, batches of {options.batch}, "
            f"{options.batches} batches, {options.repeat} times, {options.workers} workers"
        )
        for name, paths in sets.items():
            _measure(name, paths, options)


def _measure(name: str, paths: Sequence[str], options: argparse.Namespace) -> None:
    config = _config(paths, options)
    data = open_training_data(config)
    crops = data.train_crops()
    count = options.batches * options.batch
    with gdal_env():
        windows = [window for number in range(count) for window in crops.windows(number)]
    crops.close()
    reading = build_reading(config)
    spent: dict[str, list[Spent]] = {"bare": [], "many": [], "loader": []}
    for _ in range(options.repeat):
        spent["bare"].append(_bare(windows, reading))
        spent["many"].append(_bare_processes(windows, reading, options.workers))
        spent["loader"].append(_loader(data, options.batches))
    bare, many, loader = (
        Spent(*(statistics.median(values) / count for values in zip(*runs, strict=True)))
        for runs in spent.values()
    )
    print(
        f"{name:17} crops/s: bare {1 / bare.wall:5.0f}, bare x {options.workers} {1 / many.wall:5.0f}, "
        f"loader {1 / loader.wall:5.0f}; loader/bare {bare.wall / loader.wall:.2f}, "
        f"loader/(bare x {options.workers}) {many.wall / loader.wall:.2f} | CPU ms/crop: bare "
        f"{1e3 * bare.cpu:.2f}, bare x {options.workers} {1e3 * many.cpu:.2f}, loader {1e3 * loader.cpu:.2f}",
        flush=True,
    )


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def _bare(windows: Windows, reading: Any) -> Spent:
    pool = ImagePool(reading)
    with gdal_env():
        for path in {path for path, _, _ in windows}:
            pool.get(path)
        wall, cpu = time.perf_counter(), time.process_time()
        for path, window, bands in windows:
            pool.get(path).read(list(bands), window=window)
        spent = Spent(time.perf_counter() - wall, time.process_time() - cpu)
    pool.close()
    return spent


def _bare_processes(windows: Windows, reading: Any, number: int) -> Spent:
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(number), context.Queue()
    processes = [
        context.Process(target=_one_of, args=(windows[i::number], reading, barrier, queue))
        for i in range(number)
    ]
    for process in processes:
        process.start()
    parts = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return Spent(max(part.wall for part in parts), sum(part.cpu for part in parts))


def _one_of(windows: Windows, reading: Any, barrier: Any, queue: Any) -> None:
    barrier.wait()
    queue.put(_bare(windows, reading))


def _loader(data: TrainingData, batches: int) -> Spent:
    read = data.train_batches(0, 10**9)
    # The first batch waits for the processes to start.
    next(read)
    wall, cpu = time.perf_counter(), _cpu_of_all()
    for _ in range(batches):
        next(read)
    spent = Spent(time.perf_counter() - wall, _cpu_of_all() - cpu)
    read.close()
    return spent


def _cpu_of_all() -> float:
    """CPU seconds of this process and its loader processes so far."""
    ticks = 0
    for process in multiprocessing.active_children():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _config(paths: Sequence[str], options: argparse.Namespace) -> RunConfig:
    return RunConfig.model_validate(
        {
            "Data": {
                "hr": list(paths),
                "hr_crop_px": options.crop,
                "train_batch_size": options.batch,
                "num_workers": options.workers,
                "cache": options.cache,
                "normalization": options.normalization,
                "val_crops": 4,
            },
            "Model": {"in_bands": options.bands},
            "Generator": {"scaling_factor": options.scale},
        }
    )


def _make_sets(
    folder: Path, scenes: int, side: int, layouts: Sequence[str]
) -> dict[str, list[str]]:
    images = [draw_landscape(side, Generator(PCG64(SeedSequence([0, i])))) for i in range(3)]
    return {
        layout: [
            _write(folder / f"{layout}_{index}.tif", images[index % 3], index, profile)
            for index in range(scenes)
        ]
        for layout, profile in LAYOUTS.items()
        if not layouts or layout in layouts
    }


def _write(path: Path, image: np.ndarray, index: int, profile: dict[str, Any]) -> str:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=image.shape[0],
        height=image.shape[1],
        width=image.shape[2],
        dtype=image.dtype.name,
        crs="EPSG:32631",
        transform=Affine(2.5, 0, 400_000 + 100_000 * index, 0, -2.5, 5_000_000),
        photometric="minisblack",
        **profile,
    ) as dataset:
        dataset.write(image)
    return str(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hr", nargs="*", default=[], type=Path, help="scenes to read instead")
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--normalization", default="sen2_stretch_10k")
    parser.add_argument("--layouts", nargs="*", choices=list(LAYOUTS), help="default: all")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=250)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cache", default="none", choices=["none", "ram"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
