"""What each generator's facts rest on: layouts and precisions, as ratios within one run.

    python benchmarks/networks.py [--lr-px 64] [--repeat 5] [--only NAME]

For every generator: time of a forward pass and of forward plus backward in the channels-last layout
relative to the contiguous one; in bfloat16 relative to float32; and how far bfloat16 is off, as
the 99.9th percentile of the error in percent of the output's range (the last layer in float32, as
`srgan infer` runs it). Ratios below 1 mean: faster. The runs take turns, and the fastest of each
counts, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from srgan_cli.bfloat16 import computes_bf16
from srgan_cli.infer.network import Network
from srgan_cli.models import GENERATORS, Generator, GeneratorSpec, build_generator


def make(name: str) -> Generator:
    """A network of usual size with weights as in the middle of a training."""
    model_type, _, block_type = name.partition("/")
    torch.manual_seed(0)
    generator = build_generator(
        GeneratorSpec(model_type, block_type or "res", 4, 4, 4, n_channels=64, n_blocks=4)
    )
    for parameter in generator.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, a=0.2)
            with torch.no_grad():
                parameter.mul_(0.5)
    return generator


def fastest(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Seconds of each run, the fastest of `repeat` rounds."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeat + 1):  # the first round sets things up
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def passes(name: str, lr_px: int, backward: bool, bf16: bool) -> dict[str, Callable[[], object]]:
    """Forward passes in both layouts and precisions, training ones with `backward`."""
    runs: dict[str, Callable[[], object]] = {}
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    for layout, memory_format in layouts.items():
        for precision in ("fp32", "bf16") if bf16 else ("fp32",):
            generator = make(name).to(memory_format=memory_format).train(backward)
            lr = torch.rand(1, 4, lr_px, lr_px).to(memory_format=memory_format)

            def run(
                generator: Generator = generator, lr: torch.Tensor = lr, precision: str = precision
            ) -> None:
                with (
                    torch.set_grad_enabled(backward),
                    torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
                ):
                    sr = generator(lr)
                if backward:
                    sr.float().mean().backward()

            runs[f"{layout} {precision}"] = run
    return runs


def error_of_bf16(name: str, lr_px: int) -> float:
    """p99.9 of |bf16 - fp32| in percent of the fp32 output's range (0.1 to 99.9 %)."""
    lr = torch.rand(1, 4, lr_px, lr_px)
    exact = Network(make(name).eval(), torch.device("cpu"), "fp32")(lr)
    rough = Network(make(name).eval(), torch.device("cpu"), "bf16")(lr)
    low, high = exact.flatten().quantile(torch.tensor([0.001, 0.999]))
    return float(100 * (rough - exact).abs().flatten().quantile(0.999) / (high - low))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lr-px", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=list(GENERATORS))
    arguments = parser.parse_args()
    bf16 = computes_bf16(torch.device("cpu"))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, native bf16: {bf16}")
    print(f"{'network':18} {'layout: forward':>15} {'+ backward':>10}", end="")
    print(f" {'bf16: forward':>14} {'+ backward':>10} {'bf16 off by':>12}")
    for name in [arguments.only] if arguments.only else GENERATORS:
        columns = []
        for backward in (False, True):
            best = fastest(passes(name, arguments.lr_px, backward, bf16), arguments.repeat)
            columns.append(best["channels_last fp32"] / best["contiguous fp32"])
            fast = min(best["channels_last fp32"], best["contiguous fp32"])
            columns.append(best["channels_last bf16"] / fast if bf16 else float("nan"))
        error = error_of_bf16(name, arguments.lr_px)
        print(
            f"{name:18} {columns[0]:>15.2f} {columns[2]:>10.2f} {columns[1]:>14.2f} "
            f"{columns[3]:>10.2f} {error:>10.3f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
