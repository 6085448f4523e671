"""Seconds and memory that `srgan diagnose` takes for logs of ten thousand to a million rows.

    python benchmarks/diagnose.py                        JSON lines and CSV, 1e4 to 1e6 rows
    python benchmarks/diagnose.py --rows 100000 --kinds jsonl

Each log has 25 columns of a made-up healthy training with every digit that Python writes, and a
validation every hundred rows. Each is diagnosed by a process of its own, as on the command line;
its largest memory is what the system says when it has ended. `json.loads` and `csv` + `float` over
the same lines, in a process of their own too, tell how fast the machine is at the moment: the ratio
is what compares across machines. On a machine that others use too, CPU seconds tell more than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose.readers.naming import METRICS

_NOT_OF_A_STEP = (names.VAL_SECONDS, names.R1_PENALTY)
_TRAIN = tuple(
    name for name in METRICS if not name.startswith("val") and name not in _NOT_OF_A_STEP
)
_CHUNK = 20_000

_BASELINES = {
    "jsonl": "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)",
    "csv": (
        "import csv, sys\nrows = csv.reader(open(sys.argv[1], newline=''))\nnext(rows)\n"
        "for row in rows: [float(cell) for cell in row if cell]"
    ),
}
_DIAGNOSIS = "import sys; from srgan_cli.cli.app import main; sys.argv[1:1] = ['diagnose']; main()"


class Cost(NamedTuple):
    """What a process took."""

    wall: float
    cpu: float
    peak_mb: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Seconds and memory of `srgan diagnose`.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", choices=list(_BASELINES), default=list(_BASELINES))
    options = parser.parse_args()
    print(
        f"{'log':>16} {'MB':>6} {'wall s':>7} {'CPU s':>7} {'peak MB':>8} {'us a row':>9} {'plain loop s':>13} {'ratio':>6}"
    )
    for kind in options.kinds:
        for rows in options.rows:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"metrics.{kind}"
                _write(path, rows)
                cost = _run(_DIAGNOSIS, path)
                plain = _run(_BASELINES[kind], path)
                size = path.stat().st_size / 1e6
            print(
                f"{kind:>6} {rows:>9} {size:>6.0f} {cost.wall:>7.2f} {cost.cpu:>7.2f} {cost.peak_mb:>8.0f} "
                f"{cost.cpu / rows * 1e6:>9.2f} {plain.cpu:>13.2f} {cost.cpu / plain.cpu:>6.2f}"
            )


def _run(program: str, path: Path) -> Cost:
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        raise SystemExit(f"the process ended with exit {child.returncode}")
    wall = time.perf_counter() - start
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def _write(path: Path, num_rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write(",".join(("step", *_TRAIN, "val_metrics/l1", "val_metrics/psnr")) + "\n")
        for start in range(0, num_rows, _CHUNK):
            stop = min(start + _CHUNK, num_rows)
            lines = _csv if path.suffix == ".csv" else _json
            file.writelines(lines(start, _training(start, stop, num_rows)))


def _csv(start: int, rows: list[list[float]]) -> Iterator[str]:
    for step, row in enumerate(rows, start):
        validation = f"{row[17]!r},{30.0 + row[17]!r}" if (step + 1) % 100 == 0 else ","
        yield f"{step},{','.join(map(repr, row))},{validation}\n"


def _json(start: int, rows: list[list[float]]) -> Iterator[str]:
    for step, row in enumerate(rows, start):
        head = {"kind": "train", "step": step, "time": 1.8e9 + step * 0.125}
        yield json.dumps(head | dict(zip(_TRAIN, row, strict=True))) + "\n"
        if (step + 1) % 100 == 0:
            values = {"val_metrics/l1": row[17], "val_metrics/psnr": 30.0 + row[17]}
            yield json.dumps(head | {"kind": "val", "step": step + 1} | values) + "\n"


def _training(start: int, stop: int, num_rows: int) -> list[list[float]]:
    """Rows of a healthy training that pretrains for a fifth of its steps."""
    rng = np.random.default_rng(start)
    steps = np.arange(start, stop)
    n = len(steps)
    pretrain = steps < num_rows // 5
    ramp = np.clip((steps - num_rows // 5) / (num_rows / 10), 0, 1)
    q = 0.3 + rng.normal(0, 0.03, n)
    real, fake = 0.9 * (0.5 + q / 2), 0.9 * (0.5 - q / 2)
    d_loss = -0.5 * (0.9 * np.log(real) + 0.1 * np.log(1 - real) + np.log(1 - fake))
    l1 = (0.04 + 0.2 * np.exp(-steps / num_rows * 20)) * np.exp(rng.normal(0, 0.1, n))
    d = np.where(pretrain, 0.0, 1.0)
    columns = {
        names.PRETRAIN_PHASE: pretrain.astype(float),
        names.ADV_WEIGHT: 0.005 * ramp,
        names.G_CONTENT: l1,
        names.G_ADVERSARIAL: d * -np.log(fake),
        names.G_TOTAL: l1 * 1.1,
        names.D_LOSS: d * d_loss,
        names.D_REAL: d * real,
        names.D_FAKE: d * fake,
        names.G_RATE: np.full(n, 2e-4),
        names.D_RATE: np.full(n, 1e-4),
        names.STEP_SECONDS: 0.1 * np.exp(rng.normal(0, 0.05, n)),
        names.DATA_SECONDS: 0.002 * np.exp(rng.normal(0, 0.05, n)),
        names.SKIPPED_STEPS: np.zeros(n),
        "train_metrics/l1": l1,
        "adv/grad_ratio": 0.02 * ramp * np.exp(rng.normal(0, 0.3, n)),
    }
    noise = {name: rng.random(n) for name in _TRAIN}
    return np.stack([columns.get(name, noise[name]) for name in _TRAIN], axis=1).tolist()


if __name__ == "__main__":
    main()
