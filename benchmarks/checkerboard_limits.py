"""Which planted patterns `srgan diagnose out.tif` finds, and on what it is silent.

    python benchmarks/checkerboard_limits.py SCENE.tif [SCENE.tif ...] [--seeds 3]

Into every scene, taken for an SR image, random patterns of zero mean are planted: periods 2, 4 and
8 px, root mean square 0.2 to 5 % of each band's range, rounded to the scene's data type. Beside
them stand images without a pattern: the scene itself, its nearest-neighbour and bicubic enlargement
from 1 / scale, and the scene covered by city grids: streets of any period, and districts of streets
whose period is exactly the scale, each district with its own offset. Printed is the share of images with IMG01,
by scene, and the median of the amplitude that was measured.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile

from srgan_cli.data.rasters import open_raster
from srgan_cli.diagnose.images import value_range
from srgan_cli.diagnose.raster import diagnose_raster

Image = NDArray[Any]
AMPLITUDES = (0.002, 0.005, 0.01, 0.02, 0.05)
CASES = ((2, 2), (4, 2), (4, 4), (8, 2), (8, 4), (8, 8))
"""(scale, period of the pattern)."""


def planted(scene: Image, period: int, amplitude: float, seed: int) -> Image:
    """The scene with a random pattern in every band."""
    rng = np.random.default_rng(seed)
    bands, height, width = scene.shape
    ranges = value_range(scene[None])
    found = scene.astype(np.float64)
    for band in range(bands):
        pattern = rng.normal(size=(period, period))
        pattern -= pattern.mean()
        pattern *= amplitude * ranges[band] / np.sqrt((pattern**2).mean())
        repeats = (height // period + 1, width // period + 1)
        found[band] += np.tile(pattern, repeats)[:height, :width]
    return like(found, scene)


def like(values: Image, scene: Image) -> Image:
    """Values as the scene's data type would hold them."""
    if scene.dtype.kind == "f":
        return values.astype(scene.dtype)
    limits = np.iinfo(scene.dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(scene.dtype)


def clean(scene: Image, scale: int, seed: int) -> Iterator[tuple[str, Image]]:
    """(kind, image) of everything on which a detector must be silent."""
    yield "scene", scene
    height, width = (side // scale * scale for side in scene.shape[1:])
    cells = scene[:, :height, :width].reshape(len(scene), height // scale, scale, -1, scale)
    lr = like(cells.astype(np.float64).mean(axis=(2, 4)), scene)
    yield "nearest", lr.repeat(scale, axis=1).repeat(scale, axis=2)
    yield "bicubic", enlarged(lr, scale)
    yield "city", streets(scene, float(np.random.default_rng(seed).uniform(12, 40)), seed)
    yield "districts", districts(scene, float(scale), seed)


def enlarged(lr: Image, scale: int) -> Image:
    """By GDAL's bicubic interpolation."""
    bands, height, width = lr.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width}
    with MemoryFile() as memory:
        with memory.open(
            **profile, dtype=lr.dtype, transform=rasterio.Affine(10, 0, 5, 0, -10, 5)
        ) as out:
            out.write(lr)
        with memory.open() as dataset:
            shape = (bands, height * scale, width * scale)
            found: Image = dataset.read(out_shape=shape, resampling=Resampling.cubic)
    return found


def streets(scene: Image, period: float, seed: int) -> Image:
    """Bright lines of one pixel at a period, over the whole scene."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.arange(side) + rng.uniform(0, period) for side in scene.shape[1:])
    lines = (rows % period < 1)[:, None] | (columns % period < 1)[None]
    high = 0.3 * value_range(scene[None])[:, None, None]
    return like(scene + high * lines, scene)


def districts(scene: Image, period: float, seed: int) -> Image:
    """Districts of 160 px with streets of exactly that period, each at its own offset."""
    found = scene.copy()
    places = [(y, x) for y in range(0, scene.shape[1], 160) for x in range(0, scene.shape[2], 160)]
    for index, (y, x) in enumerate(places):
        part = (slice(None), slice(y, y + 160), slice(x, x + 160))
        found[part] = streets(scene[part], period, seed + index) if index % 2 else scene[part]
    return found


def judged(image: Image, scale: int, folder: Path) -> tuple[bool, float]:
    """Whether IMG01 is found in an image, and the amplitude."""
    path = folder / "sr.tif"
    bands, height, width = image.shape
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "tiled": True,
        "photometric": "MINISBLACK",
        "alpha": "NO",
    }
    transform = rasterio.Affine(10, 0, 500000, 0, -10, 4000000)
    with rasterio.open(path, "w", **profile, dtype=image.dtype, transform=transform) as out:
        out.write(image)
    report = diagnose_raster(path, scale)
    found = [finding for finding in report.findings if finding.code == "IMG01"]
    return bool(found), float(found[0].evidence["amplitude"]) if found else 0.0


def read_scene(path: Path, most_px: int = 1024) -> Image:
    """(C, H, W), at most so many pixels a side."""
    with open_raster(str(path)) as dataset:
        image: Image = dataset.read()
    return image[:, :most_px, :most_px]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in options.scenes:
            scene = read_scene(path)
            print(f"{path.name} {scene.shape} {scene.dtype}")
            for scale, period in CASES:
                cells = []
                for amplitude in AMPLITUDES:
                    results = [
                        judged(planted(scene, period, amplitude, seed), scale, Path(folder))
                        for seed in range(options.seeds)
                    ]
                    share = np.mean([found for found, _ in results])
                    measured = np.median([size for _, size in results])
                    cells.append(f"{amplitude:.1%}: {share:.2f} ({measured:.2%})")
                print(
                    f"  planted, scale {scale}, period {period}   " + "   ".join(cells), flush=True
                )
            for scale in (2, 4, 8):
                alarms: dict[str, list[bool]] = {}
                for seed in range(options.seeds):
                    for kind, image in clean(scene, scale, seed):
                        alarms.setdefault(kind, []).append(judged(image, scale, Path(folder))[0])
                told = "   ".join(f"{kind}: {np.mean(each):.2f}" for kind, each in alarms.items())
                print(f"  clean, scale {scale}   {told}", flush=True)


if __name__ == "__main__":
    main()
