"""Seconds per training step, where they go, and how they compare with OpenSR-SRGAN's.

    python benchmarks/train_step.py [--only NAME ...] [--device cuda] [--hr SCENE.tif]
    python benchmarks/train_step.py --peer /path/to/python

The first form prints, for every generator, precision and phase, the seconds per step and the share
of data, generator, discriminator, losses, backward pass and optimizers (with the moving average).
The second one times `rrdb` beside OpenSR-SRGAN's own step under Lightning, in the interpreter
given: same networks, batch, crop, loss weights and clipping. All candidates take turns within every
round, so that a busy machine disturbs all alike; what counts is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from srgan_cli.bfloat16 import computes_bf16
from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch, stack
from srgan_cli.data.training import open_training_data
from srgan_cli.models import DISCRIMINATORS, GENERATORS
from srgan_cli.schedule import build_schedule
from srgan_cli.train import step as step_module
from srgan_cli.train.meter import Meter
from srgan_cli.train.networks import Networks, build_networks

PHASES = ("pretraining", "adversarial")
STAGES = ("data", "generator", "discriminator", "backward", "optimizers", "losses")
LOG_EVERY = 10


def configuration(
    arguments: argparse.Namespace, name: str, phase: str, precision: str
) -> RunConfig:
    """A run of one phase for ever."""
    model_type, _, block_type = name.partition("/")
    crops = {"hr_crop_px": arguments.hr_px, "train_batch_size": arguments.batch, "num_workers": 0}
    return RunConfig.model_validate(
        {
            "Model": {"in_bands": arguments.bands},
            "Data": crops | ({"hr": arguments.hr} if arguments.hr else {}),
            "Generator": {
                "model_type": model_type,
                "block_type": block_type or "res",
                "n_channels": arguments.channels,
                "n_blocks": arguments.blocks,
                "scaling_factor": arguments.scale,
            },
            "Discriminator": discriminator(arguments),
            "Training": {
                "precision": precision,
                "device": arguments.device,
                "pretrain_g_only": phase == "pretraining",
                "g_pretrain_steps": -1,
                "Losses": losses(),
                **json.loads(arguments.training),
            },
        }
    )


def discriminator(arguments: argparse.Namespace) -> dict[str, Any]:
    """The section `Discriminator`, for both sides."""
    found: dict[str, Any] = {"model_type": arguments.discriminator, "base_channels": 64}
    if arguments.discriminator == "standard":
        found |= {"n_blocks": 8, "use_spectral_norm": False}
    return found | ({"n_blocks": 3} if arguments.discriminator == "patchgan" else {})


def losses() -> dict[str, Any]:
    """The weights of `Training.Losses`, for both sides."""
    return {"l1_weight": 1.0, "sam_weight": 0.05, "perceptual_weight": 0.0, "tv_weight": 0.0}


class Candidate:
    """A training of ours that goes on by a number of steps when asked."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.device = device
        self.networks: Networks = build_networks(config, device, offset=0.0)
        self.networks.step.generator.train()
        self.networks.step.discriminator.train()
        self.schedule, self.meter = build_schedule(config), Meter()
        self.batches = _real(config) if config.data.hr else _in_memory(config)
        self.at = 10**6 * bool(config.training.pretrain_g_only) + 10**5
        self.stages: dict[str, float] = {}

    def run(self, steps: int) -> float:
        """Seconds per step of `steps` more steps, as in the training loop."""
        started = time.perf_counter()
        for _ in range(steps):
            with self._timed("data"):
                batch = self.networks.hand_over(next(self.batches))
            plan, gan = self.schedule.at(self.at), self.networks.step
            self.meter.add(gan(batch, plan))
            if self.networks.ema is not None:
                with self._timed("optimizers"):
                    self.networks.ema.update(gan.generator)
            self.at += 1
            if self.at % LOG_EVERY == 0:
                self.meter.read()
        self._wait()
        return (time.perf_counter() - started) / steps

    def shares(self, steps: int) -> dict[str, float]:
        """Share of each stage in the time of a step; each waits for the device."""
        self.stages = dict.fromkeys(STAGES, 0.0)
        gan = self.networks.step
        with ExitStack() as stack_of_patches:
            for stage, owner, attribute in (
                ("generator", gan, "generate"),
                ("discriminator", gan.discriminator, "forward"),
                ("backward", torch.autograd, "backward"),
                ("optimizers", step_module, "apply_gradients"),
            ):
                function = self._clocked(stage, getattr(owner, attribute))
                stack_of_patches.enter_context(patch.object(owner, attribute, function))
            total = self.run(steps) * steps
        known = sum(self.stages.values())
        self.stages["losses"] = total - known  # and everything small
        return {stage: seconds / total for stage, seconds in self.stages.items()}

    def _clocked(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*args: Any, **kwargs: Any) -> Any:
            with self._timed(stage):
                return function(*args, **kwargs)

        return clocked

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        if not self.stages:
            yield
            return
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.stages[stage] += time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _in_memory(config: RunConfig) -> Iterator[Batch]:
    side, scale, count = (
        config.data.hr_crop_px,
        config.generator.scaling_factor,
        config.data.train_batch_size,
    )
    hr = torch.rand(count, config.model.in_bands, side, side)
    lr, valid = torch.nn.functional.avg_pool2d(hr, scale), torch.ones(count, 1, side, side)
    crops = [Batch(*parts) for parts in zip(lr, hr, valid, strict=True)]
    while True:
        yield stack(crops)


def _real(config: RunConfig) -> Iterator[Batch]:
    yield from open_training_data(config).train_batches(0, 10**9)


class Peer:
    """OpenSR-SRGAN's training in a process of its own; waits while others run."""

    def __init__(self, arguments: argparse.Namespace, phase: str) -> None:
        config = configuration(arguments, "SRResNet/rrdb", phase, "fp32")
        settings = {
            "phase": phase,
            "device": arguments.device,
            "threads": torch.get_num_threads(),
            "batch": arguments.batch,
            "bands": arguments.bands,
            "hr_px": arguments.hr_px,
            "scale": arguments.scale,
            "clip": config.optimizers.gradient_clip_val,
            "losses": losses(),
            "discriminator": discriminator(arguments),
            "generator": {
                "model_type": "SRResNet",
                "block_type": "rrdb",
                "n_channels": arguments.channels,
                "n_blocks": arguments.blocks,
                "scaling_factor": arguments.scale,
            },
        }
        script = Path(__file__).with_name("peer_train_step.py")
        self.process = subprocess.Popen(
            [arguments.peer, str(script), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if arguments.quiet_peer else None,
            text=True,
        )

    def run(self, steps: int) -> float:
        """Seconds per step of `steps` more steps."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the peer has no pipes")
        print(steps, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the peer's training ended; run with --loud-peer to see why")
        return float(json.loads(line)["seconds"]) / steps

    def close(self) -> None:
        """End the training."""
        self.process.kill()
        self.process.wait()


def precisions(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Those that the device computes natively."""
    return ("fp32", "bf16") if computes_bf16(torch.device(arguments.device)) else ("fp32",)


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}..{max(values):.3f}]"


def compare(arguments: argparse.Namespace) -> None:
    """Print seconds per step of both sides and the ratios of the rounds."""
    device = torch.device(arguments.device)
    for phase in arguments.phases:
        peer = Peer(arguments, phase)
        try:
            runs: dict[str, Callable[[int], float]] = {"opensr-srgan fp32": peer.run}
            for precision in precisions(arguments):
                config = configuration(arguments, "SRResNet/rrdb", phase, precision)
                runs[f"srgan {precision}"] = Candidate(config, device).run
            found = rounds(runs, arguments)
        finally:
            peer.close()
        base = found["opensr-srgan fp32"]
        for name, seconds in found.items():
            ratios = [theirs / ours for theirs, ours in zip(base, seconds, strict=True)]
            print(
                f"{phase:12} {name:18} {spread(seconds)} s/step, {spread(ratios)} times as fast, "
                f"fastest rounds {min(base) / min(seconds):.3f} times",
                flush=True,
            )


def rounds(
    runs: dict[str, Callable[[int], float]], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds per step of each candidate in each round, after one round that sets things up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(arguments.rounds + 1):
        for name, run in runs.items():
            seconds = run(arguments.steps)
            if index:
                found[name].append(seconds)
    return found


def table(arguments: argparse.Namespace) -> None:
    """Print seconds per step and shares of every network, precision and phase."""
    device = torch.device(arguments.device)
    print(f"{'network':18} {'phase':12} {'':5} {'s/step':>22} {'ratio':>6}", end="")
    print("".join(f"{stage:>14}" for stage in STAGES))
    for name in arguments.only or GENERATORS:
        for phase in arguments.phases:
            candidates = {
                precision: Candidate(configuration(arguments, name, phase, precision), device)
                for precision in precisions(arguments)
            }
            found = rounds({key: each.run for key, each in candidates.items()}, arguments)
            for precision, candidate in candidates.items():
                pairs = zip(found["fp32"], found[precision], strict=True)
                ratio = statistics.median(first / second for first, second in pairs)
                shares = candidate.shares(arguments.steps)
                columns = "".join(f"{shares[stage]:>14.0%}" for stage in STAGES)
                print(
                    f"{name:18} {phase:12} {precision:5} {spread(found[precision]):>22} "
                    f"{ratio:>6.2f}{columns}",
                    flush=True,
                )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="interpreter that has opensr-srgan and Lightning")
    parser.add_argument("--loud-peer", dest="quiet_peer", action="store_false")
    parser.add_argument("--only", nargs="+", choices=list(GENERATORS))
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES)
    parser.add_argument("--discriminator", default="patchgan", choices=list(DISCRIMINATORS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--hr", help="imagery to cut crops from; default: crops in memory")
    parser.add_argument("--training", default="{}", help="more keys of Training, as JSON")
    for key, value in (
        ("batch", 4),
        ("hr-px", 128),
        ("bands", 4),
        ("scale", 4),
        ("channels", 32),
        ("blocks", 4),
        ("rounds", 7),
        ("steps", 4),
    ):
        parser.add_argument(f"--{key}", type=int, default=value)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.device}")
    if arguments.peer:
        compare(arguments)
    else:
        table(arguments)


if __name__ == "__main__":
    main()
