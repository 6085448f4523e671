"""What lies where in a run folder, the metric names, and the metrics log.

    config.yaml config_until_N.yaml run.json metrics.jsonl images/ tiles/ checkpoints/ weights/ report.html

Every file appears whole or not at all; only metrics.jsonl grows, one JSON object a line.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from srgan_cli.errors import RefusedError
from srgan_cli.files import is_temporary

PRETRAIN_PHASE: Final = "training/pretrain_phase"
ADV_WEIGHT: Final = "training/adv_loss_weight"
G_CONTENT: Final = "generator/content_loss"
G_ADVERSARIAL: Final = "generator/adversarial_loss"
G_TOTAL: Final = "generator/total_loss"
D_LOSS: Final = "discriminator/adversarial_loss"
D_REAL: Final = "discriminator/D(y)_prob"
D_FAKE: Final = "discriminator/D(G(x))_prob"
R1_PENALTY: Final = "discriminator/r1_penalty"
VAL_D_LOSS: Final = "validation/DISC_adversarial_loss"
VAL_D_REAL: Final = "val_metrics/D(y)_prob"
VAL_D_FAKE: Final = "val_metrics/D(G(x))_prob"
ADVERSARIAL: Final = (
    G_ADVERSARIAL,
    D_LOSS,
    D_REAL,
    D_FAKE,
    R1_PENALTY,
    VAL_D_LOSS,
    VAL_D_REAL,
    VAL_D_FAKE,
)
"""What the discriminator says, which the adversarial phase alone has."""
G_RATE: Final = "lr_generator"
D_RATE: Final = "lr_discriminator"
G_NORM: Final = "grad_norm/generator"
D_NORM: Final = "grad_norm/discriminator"
G_CLIPPED: Final = "grad_norm/generator_clipped"
D_CLIPPED: Final = "grad_norm/discriminator_clipped"
"""Shares of the interval's steps whose gradient was longer than `gradient_clip_val`."""
G_TRAVEL: Final = "travel/generator"
D_TRAVEL: Final = "travel/discriminator"
"""Sums of the rates of all steps so far: Adam cannot have moved a weight much further."""
LOGITS: Final = "discriminator/logits_{of}_{statistic}"
"""`of` is real or fake, `statistic` mean or std, on the step of the row alone."""
PLATEAU: Final = "plateau/{network}_{what}"
"""State of a plateau scheduler after a validation; `what` is best or num_bad."""
HF_RATIO: Final = "val_metrics/hf_ratio"
HF_RATIO_BICUBIC: Final = "val_metrics/hf_ratio_bicubic"
"""What bicubic interpolation of the same crops has: where detail begins."""
EMA_DECAY: Final = "ema/decay"
SKIPPED_STEPS: Final = "events/skipped_steps"
STEP_SECONDS: Final = "time/step"
DATA_SECONDS: Final = "time/data_wait"
VAL_SECONDS: Final = "time/validation"
PEAK_MEMORY: Final = "system/peak_memory_mb"
TRAIN_PARTS: Final = ("l1", "sam", "perceptual", "tv")
"""Logged as `train_metrics/<part>`, and as `val_metrics/<part>` beside psnr, ssim, ergas."""


class RunFolder:
    """The paths of one run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.run_json = self.path / "run.json"
        self.metrics = self.path / "metrics.jsonl"
        self.images = self.path / "images"
        self.tiles = self.path / "tiles"
        self.checkpoints = self.path / "checkpoints"
        self.weights = self.path / "weights"
        self.report = self.path / "report.html"
        self.ema = self.weights / "ema.safetensors"
        self.best_pretrain = self.weights / "best_pretrain.safetensors"
        self.best_gan = self.weights / "best_gan.safetensors"
        self.last = self.checkpoints / "last.pt"

    @property
    def used(self) -> bool:
        """Whether the folder holds a file, but for what a failed or killed start leaves."""
        return any(
            path.is_file() and path.name != ".lock" and not is_temporary(path.name)
            for path in self.path.rglob("*")
        )

    def make(self) -> None:
        """Make the folder with its subfolders."""
        for folder in (self.images, self.tiles, self.checkpoints, self.weights):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as err:
                raise RefusedError(
                    f"cannot make {folder}: {err.strerror}", "choose another --run-dir"
                ) from err

    def config_until(self, step: int) -> Path:
        """The configuration of the steps before `step`, where a resume changed it."""
        return self.path / f"config_until_{step:06d}.yaml"

    def image(self, step: int) -> Path:
        """The panel written at a validation."""
        return self.images / f"step_{step:06d}.png"

    def tile_file(self, step: int) -> Path:
        """The native SR tiles of a validation; `reference_tiles` holds LR and HR once."""
        return self.tiles / f"step_{step:06d}.npz"

    @property
    def reference_tiles(self) -> Path:
        """LR and HR of the validation tiles."""
        return self.tiles / "reference.npz"

    def checkpoint(self, step: int) -> Path:
        """A numbered checkpoint."""
        return self.checkpoints / f"step_{step:08d}.pt"


class MetricsWriter:
    """Appends rows to metrics.jsonl; a row outlives the process when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._heal_torn_line(path)
        # Unbuffered: a row that does not fit on a full disk must not come back at `close`.
        self._file = path.open("ab", buffering=0)

    @staticmethod
    def _heal_torn_line(path: Path) -> None:
        # A killed run may leave half a line; the next row must not be glued to it.
        if path.exists() and path.stat().st_size:
            with path.open("rb+") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Append a row with the time in seconds since 1970; non-finite numbers become strings.

        `kind` is train, val or event.
        """
        row: dict[str, Any] = {"kind": kind, "step": step, "time": round(time.time(), 3)}
        row |= {key: _json_value(value) for key, value in values.items()}
        line = (json.dumps(row) + "\n").encode()
        while line:
            line = line[self._file.write(line) :]

    def sync(self) -> None:
        """Put every row on the disk, where it also outlives the machine."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _json_value(value: Any) -> Any:
    """JSON has no NaN or infinity; a string keeps what happened."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of metrics.jsonl in order, as the run finally was.

    A train row of step s tells of the s-th step (from 0); a val row of step s of the state after s
    steps. A resumed run repeats the steps after its checkpoint: its `resume` event takes back what
    was written after that checkpoint, a `start` event all. A torn last line of a killed run is
    ignored.
    """
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                continue
            for key, value in row.items():
                if value in ("nan", "inf", "-inf"):
                    row[key] = float(value)
            if row.get("kind") == "event" and row.get("event") == "resume":
                rows = [old for old in rows if _before(old, row["step"])]
            if row.get("kind") == "event" and row.get("event") == "start":
                rows = []
            rows.append(row)
    return rows


def _before(row: dict[str, Any], resumed_at: int) -> bool:
    """Whether a row was written before the checkpoint that a run was resumed from."""
    step: int = row["step"]
    return step < resumed_at or (step == resumed_at and row.get("kind") != "train")
