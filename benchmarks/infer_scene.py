"""What an inference costs beside its network, beside opensr-utils, in memory, and on sparse scenes.

    python benchmarks/infer_scene.py bare
    python benchmarks/infer_scene.py peer --peer /path/to/python
    python benchmarks/infer_scene.py memory --sides 2048 4096 8192 16384
    python benchmarks/infer_scene.py sparse

`bare` times whole scenes against the generator alone on as many windows of the same size, once as
it stands (all of every window is enlarged) and once as inference uses it. `peer` runs opensr-utils
in an interpreter that has it and opensr-srgan: same network, weights, scene, and margin around
every pixel. `memory` reads the peak (VmHWM) of a process of its own for scenes of several sizes.
`sparse` compares a scene of which nine tenths are nodata with a full one.

Candidates take turns within every round, so that a busy machine disturbs all alike; what counts
are the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine

from srgan_cli.bfloat16 import computes_bf16
from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.infer import InferOptions, InferResult, Model, load
from srgan_cli.infer.network import Network
from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.models.parting import Parting, parting
from srgan_cli.weights import WeightsInfo, save_weights

NETWORKS = {
    "rrdb": {"block_type": "rrdb", "n_channels": 32, "n_blocks": 4},
    "compact": {"block_type": "res", "n_channels": 16, "n_blocks": 2, "large_kernel_size": 3},
    "tiny": {"block_type": "res", "n_channels": 8, "n_blocks": 1, "large_kernel_size": 3},
    "default": {"block_type": "res", "n_channels": 64, "n_blocks": 16},
}
"""`rrdb`: what OpenSR-SRGAN's users have, made small. `compact`: reading and writing dominate."""
SCALE, BANDS = 4, 4


def make_weights(folder: Path, name: str, scale: int = SCALE) -> Path:
    """A weights file of a network with random weights; its skip keeps values in range."""
    torch.manual_seed(0)
    values = {
        "large_kernel_size": 9, "small_kernel_size": 3, "growth_channels": 32, "in_bands": BANDS,
        "out_bands": BANDS, "scale": scale, "model_type": "SRResNet", **NETWORKS[name],
    }  # fmt: skip
    spec = GeneratorSpec(**values)
    generator = build_generator(spec)
    path = folder / f"{name}.safetensors"
    info = WeightsInfo(spec, RADIOMETRIES["normalise_10k"], (), 32, 10.0, 1, True)
    save_weights(path, generator.state_dict(), info)
    torch.save(generator.state_dict(), path.with_suffix(".pt"))
    return path


def make_scene(path: Path, side: int, valid_share: float = 1.0) -> Path:
    """A uint16 scene with texture, written in strips; 0 = nodata beside a slanted swath."""
    profile = {
        "driver": "GTiff", "count": BANDS, "height": side, "width": side, "dtype": "uint16",
        "crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 4e6), "nodata": 0,
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    rng = np.random.default_rng(side)
    with rasterio.open(path, "w", **profile) as out:
        for row in range(0, side, 512):
            rows = min(512, side - row)
            y, x = np.mgrid[row : row + rows, :side].astype(np.float32)
            waves = 1500 + 900 * np.sin(x / 37) * np.cos(y / 53)
            data = np.stack([waves + 150 * band for band in range(BANDS)])
            data += rng.normal(0, 60, data.shape)
            data = np.clip(data, 1, 10000).astype("uint16")
            if valid_share < 1:
                data[:, (x + 0.2 * y) % (1.2 * side) > valid_share * side] = 0
            out.write(data, window=((row, row + rows), (0, side)))
    return path


def infer(model: Model, scene: Path, options: InferOptions) -> tuple[float, InferResult]:
    """Seconds of a whole inference, and its result."""
    out = scene.with_name("sr.tif")
    out.unlink(missing_ok=True)
    began = time.perf_counter()
    result = model.infer_file(scene, out, options)
    return time.perf_counter() - began, result


def timed(model: Model, scene: Path, options: InferOptions) -> Callable[[], float]:
    """What times a whole inference."""
    return lambda: infer(model, scene, options)[0]


def rounds(runs: dict[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Seconds of every candidate in every round, after one that sets things up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(count + 1):
        for name, run in runs.items():
            seconds = run()
            if index:
                found[name].append(seconds)
    return found


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"


def ratios(top: list[float], bottom: list[float]) -> str:
    """Of the rounds."""
    return spread([one / other for one, other in zip(top, bottom, strict=True)])


def generator_alone(
    network: Network,
    window: torch.Tensor,
    times: int,
    parts: Parting | None = None,
    starts: tuple[tuple[int, int], ...] = (),
) -> Callable[[], float]:
    """What times the generator on so many windows."""

    def run() -> float:
        began = time.perf_counter()
        for _ in range(times):
            network.start(window, parts, starts).result()
        return time.perf_counter() - began

    return run


def bare(arguments: argparse.Namespace, folder: Path) -> None:
    """Print scenes against their generator alone."""
    scene = make_scene(folder / "scene.tif", arguments.side)
    for name in arguments.networks:
        model = load(make_weights(folder, name))
        options = InferOptions(precision=arguments.precision, tile_px=arguments.tile)
        _, result = infer(model, scene, options)
        network = model.network(options)
        rows, cols = result.window_px
        window = torch.rand(1, BANDS, rows, cols)
        core = (min(result.tile_px, arguments.side),) * 2
        parts = parting(model.generator, (rows, cols), core)
        starts = (
            (
                parts.start(result.halo_px, parts.height, rows),
                parts.start(result.halo_px, parts.width, cols),
            ),
        )

        used = generator_alone(network, window, result.num_tiles, parts, starts)
        whole = generator_alone(network, window, result.num_tiles)
        found = rounds(
            {
                "scene": timed(model, scene, options),
                "generator": whole,
                "generator, parts": used,
            },
            arguments.rounds,
        )
        print(
            f"{name:8} {result.num_tiles} tiles of {result.tile_px} px, halo {result.halo_px}: "
            f"scene {spread(found['scene'])} s, "
            f"{ratios(found['scene'], found['generator'])} times the generator, "
            f"{ratios(found['scene'], found['generator, parts'])} times its part that is used",
            flush=True,
        )


def asked(process: subprocess.Popen[str]) -> Callable[[], float]:
    """What lets the peer make the scene once more."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise RuntimeError("the peer has no pipes")

    def run() -> float:
        print("go", file=stdin, flush=True)
        line = stdout.readline()
        if not line:
            raise SystemExit("the peer ended")
        return float(json.loads(line)["seconds"])

    return run


def peer(arguments: argparse.Namespace, folder: Path) -> None:
    """Print scenes against opensr-utils."""
    scene = make_scene(folder / "scene.tif", arguments.side)
    for name in arguments.networks:
        weights = make_weights(folder, name)
        model = load(weights)
        full = InferOptions(precision="fp32", tile_px=arguments.tile)
        half = InferOptions(precision="bf16", tile_px=arguments.tile)
        _, result = infer(model, scene, full)
        slow = "" if computes_bf16(torch.device("cpu")) else " (made in fp32: no bf16 here)"
        settings = {
            **NETWORKS[name],
            "scale": SCALE,
            "bands": BANDS,
            "weights": str(weights.with_suffix(".pt")),
            "scene": str(scene),
            "output": str(folder / "peer.tif"),
            "window": arguments.peer_window,
            "overlap": 2 * result.halo_px,
            "batch": arguments.peer_batch,
            "threads": torch.get_num_threads(),
        }
        process = subprocess.Popen(
            [arguments.peer, str(Path(__file__).with_name("peer_infer_scene.py")),
             json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

        try:
            found = rounds(
                {
                    "peer": asked(process),
                    "fp32": timed(model, scene, full),
                    "bf16": timed(model, scene, half),
                },
                arguments.rounds,
            )
        finally:
            process.kill()
            process.wait()
        print(
            f"{name:8} halo {result.halo_px}: opensr-utils {spread(found['peer'])} s; "
            f"fp32 {ratios(found['peer'], found['fp32'])} times, "
            f"bf16{slow} {ratios(found['peer'], found['bf16'])} times as fast",
            flush=True,
        )


def memory(arguments: argparse.Namespace, folder: Path) -> None:
    """Print the peak of a process for every size."""
    for name in arguments.networks:
        weights = make_weights(folder, name, arguments.scale)
        peaks = []
        for side in arguments.sides:
            scene = make_scene(folder / f"{side}.tif", side)
            child = subprocess.run(
                [sys.executable, __file__, "child", str(weights), str(scene)],
                stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ),
            )  # fmt: skip
            scene.unlink()
            found = json.loads(child.stdout)
            peaks.append(found["peak_mb"])
            print(
                f"{name:8} {side} px: {found['peak_mb']:.0f} MB, {found['seconds']:.0f} s",
                flush=True,
            )
        middle = (max(peaks) + min(peaks)) / 2
        print(f"{name:8} {middle:.0f} MB +- {(max(peaks) / middle - 1):.1%}")


def child(weights: str, scene: str) -> None:
    """One inference; prints the peak of this process."""
    seconds, _ = infer(load(weights), Path(scene), InferOptions())
    Path(scene).with_name("sr.tif").unlink()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(json.dumps({"peak_mb": peak / 1024, "seconds": seconds}))


def sparse(arguments: argparse.Namespace, folder: Path) -> None:
    """Print full scenes against those with a tenth of valid pixels."""
    full = make_scene(folder / "full.tif", arguments.side)
    thin = make_scene(folder / "thin.tif", arguments.side, 0.1)
    for name in arguments.networks:
        model, options = load(make_weights(folder, name)), InferOptions(tile_px=arguments.tile)
        found = rounds(
            {
                "full": timed(model, full, options),
                "sparse": timed(model, thin, options),
            },
            arguments.rounds,
        )
        result = infer(model, thin, options)[1]
        print(
            f"{name:8} {result.num_tiles - result.skipped_tiles} of {result.num_tiles} tiles: "
            f"{ratios(found['full'], found['sparse'])} times as fast as the full scene",
            flush=True,
        )


def main() -> None:
    """Print a table."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("bare", "peer", "memory", "sparse"))
    parser.add_argument(
        "--networks", nargs="+", choices=list(NETWORKS), default=["rrdb", "compact"]
    )
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 4096, 8192, 16384])
    parser.add_argument("--scale", type=int, default=SCALE, help="of `memory`")
    parser.add_argument("--tile", type=int, help="as srgan infer --tile")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--peer", default="", help="interpreter with opensr-utils and opensr-srgan")
    parser.add_argument("--peer-window", type=int, default=128)
    parser.add_argument("--peer-batch", type=int, default=16)
    parser.add_argument("--folder", help="where scenes and outputs go; default: a temporary one")
    arguments = parser.parse_args()
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        {"bare": bare, "peer": peer, "memory": memory, "sparse": sparse}[arguments.what](
            arguments, Path(folder)
        )


if __name__ == "__main__":
    main()
