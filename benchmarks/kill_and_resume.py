"""Kill a small training at random moments, resume it, and compare it with an uninterrupted run.

    python benchmarks/kill_and_resume.py --kills 200

Each life of the run is a process of its own that gets SIGKILL or SIGTERM after a random time: while
it starts, trains, validates or writes a checkpoint. In the end every tensor of the last checkpoint
(weights, moments, average, counters), the exported weights and every number of the log, but for
clocks, must equal those of a run that nothing interrupted. Exit 1 where they do not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch._dynamo  # which an optimizer imports: in the parent it costs no life its first seconds

from srgan_cli.config import RunConfig
from srgan_cli.errors import StoppedError
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.train.checkpoint import load_checkpoint, step_of
from srgan_cli.train.run import run_training

_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
_CLOCKS = ("time", "system")
_DONE, _FAILED = 0, 99


def small_run(scenes: Path, steps: int) -> RunConfig:
    """A run with every phase, a validation every 7 steps and a checkpoint every 3."""
    return RunConfig.model_validate(
        {
            "Data": {
                "hr": str(scenes),
                "hr_crop_px": 32,
                "val_crops": 4,
                "train_batch_size": 2,
                "num_workers": 0,
            },
            "Model": {"in_bands": 4},
            "Generator": {"n_channels": 8, "n_blocks": 1, "scaling_factor": 2},
            "Discriminator": {"n_blocks": 1},
            "Training": {
                "device": "cpu",
                "precision": "fp32",
                "max_steps": steps,
                "val_check_interval": 7,
                "g_pretrain_steps": steps // 3,
                "adv_loss_ramp_steps": steps // 6,
                "checkpoint_every": 3,
                "keep_every": 50,
            },
            "Schedulers": {"g_warmup_steps": 4, "patience_g": 1, "patience_d": 1},
            "Logging": {"log_every": 4, "num_val_images": 1},
        }
    )


class _Quiet:
    def advance(self, count: int = 1, text: str = "") -> None:
        pass

    def show(self, numbers: object) -> None:
        pass

    def say(self, text: str) -> None:
        pass


@contextmanager
def _quiet(_total: int, _done: int) -> Iterator[_Quiet]:
    yield _Quiet()


def live(config: RunConfig, folder: Path, log: Path) -> int:
    """One life in a process of its own, forked: a killed start costs no second import of torch."""
    child = os.fork()
    if child:
        return child
    code = _FAILED
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with log.open("a") as file:

            def warn(text: str) -> None:
                file.write(f"warning: {text}\n")

            try:
                run_training(config, RunFolder(folder), "auto", _quiet, warn)
                code = _DONE
            except StoppedError as stopped:
                code = stopped.exit_code
            except BaseException:
                traceback.print_exc(file=file)
    finally:
        os._exit(code)


def kill_often(config: RunConfig, folder: Path, kills: int, seed: int, longest_s: float) -> Counter:
    """Kill until `kills` is reached or the run is done; what the lives ended with."""
    rng = random.Random(seed)
    ends: Counter = Counter()
    log = folder.with_name(f"{folder.name}.log")
    killed = 0
    while True:
        child = live(config, folder, log)
        if killed < kills:
            # Starts too, and twice: SIGTERM, then SIGKILL into its orderly end.
            time.sleep(rng.uniform(0.0, longest_s))
            name = rng.choice([*_SIGNALS])
            os.kill(child, _SIGNALS[name])
            if name == "SIGTERM" and rng.random() < 0.3:
                time.sleep(rng.uniform(0.0, 0.05))
                os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == _FAILED:
            raise SystemExit(f"a life failed:\n{log.read_text()}")
        if status == _DONE:
            ends["done"] += 1
            return ends
        killed += 1
        ends["SIGKILL" if status == -9 else "saved" if status > 0 else "before it listened"] += 1


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """What is not the same in two finished runs; empty = every bit is."""
    found = _unequal(load_checkpoint(one.last), load_checkpoint(other.last), "last.pt")
    for name in ("ema", "best_pretrain", "best_gan"):
        first, second = getattr(one, name), getattr(other, name)
        if first.read_bytes() != second.read_bytes():
            found.append(first.name)
    rows = [_rows(run) for run in (one, other)]
    if rows[0] != rows[1]:
        found.append("metrics.jsonl")
    kept = [
        [path.name for path in sorted(run.checkpoints.glob("step_*.pt")) if step_of(path) % 50 == 0]
        for run in (one, other)
    ]
    if kept[0] != kept[1]:
        found.append(f"kept checkpoints: {kept[0]} and {kept[1]}")
    left = [path.name for path in other.path.rglob(".*.tmp*")]
    return found + [f"left behind: {name}" for name in left]


def _rows(run: RunFolder) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if not key.startswith(_CLOCKS)}
        for row in read_metrics(run.metrics)
        if row["kind"] != "event"
    ]


def _unequal(one: Any, other: Any, name: str) -> list[str]:
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [name]
        return [bad for key in one for bad in _unequal(one[key], other[key], f"{name}.{key}")]
    if isinstance(one, list | tuple):
        pairs = enumerate(zip(one, other, strict=True))
        return [bad for i, (a, b) in pairs for bad in _unequal(a, b, f"{name}.{i}")]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [name]
    return [] if repr(one) == repr(other) else [name]  # a NaN equals itself in print


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-run", type=int, default=20, help="kills until a run may finish")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds until a kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="start no run after this time")
    parser.add_argument("--folder", type=Path, help="keep the runs there")
    given = parser.parse_args()
    from srgan_cli.data.synthetic import write_scenes

    folder = given.folder or Path(tempfile.mkdtemp(prefix="kill_and_resume_"))
    scenes = folder / "scenes"
    write_scenes(scenes, count=3, size_px=96, seed=0)
    config = small_run(scenes, given.steps)
    whole = folder / "whole"
    started = time.monotonic()
    os.waitpid(live(config, whole, folder / "whole.log"), 0)
    alone = time.monotonic() - started
    print(f"uninterrupted: {given.steps} steps in {alone:.1f} s")
    ends: Counter = Counter()
    bad, runs = 0, 0
    while sum(ends.values()) - ends["done"] < given.kills:
        if time.monotonic() - started > 60 * given.minutes:
            print(f"stopped after {given.minutes:g} min")
            break
        killed = folder / f"killed{runs}"
        ends += kill_often(config, killed, given.per_run, given.seed + runs, given.longest)
        found = differences(RunFolder(whole), RunFolder(killed))
        bad += bool(found)
        runs += 1
        print(f"run {runs}: {dict(ends)}; {'differs: ' + ', '.join(found) if found else 'equal'}")
        if not found:
            shutil.rmtree(killed)
    total = sum(ends.values()) - ends["done"]
    print(f"{total} kills in {runs} runs, {bad} runs differ, {time.monotonic() - started:.0f} s")
    if given.folder is None and not bad:
        shutil.rmtree(folder)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
