"""Seeded training curves with a known state, as run folders and as Lightning CSV files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from srgan_cli import runfolder as names
from srgan_cli.runfolder import MetricsWriter
from srgan_cli.schedule import Schedule

TARGET = 0.9


def balanced(progress: float) -> float:
    """D learns within the first tenth of the adversarial phase and stays moderately ahead."""
    return 0.35 * min(1.0, progress / 0.1)


def constant(q: float) -> Callable[[float], float]:
    return lambda progress: q


@dataclass
class Run:
    """A training to be made up; `rows` holds (kind, step, values) when made."""

    steps: int = 2000
    pretrain: int = 500
    ramp: int = 200
    warmup: int = 100
    beta: float = 0.005
    g_rate: float = 2e-4
    d_rate: float = 1e-4
    log_every: int = 10
    val_every: int = 100
    q: Callable[[float], float] = balanced
    q_noise: float = 0.03
    ratio: float = 0.02
    """Gradient ratio at full weight."""
    hf: float = 0.05
    """Relative change of the high-frequency energy by the adversarial phase."""
    l1_noise: float = 0.1
    wait: float = 0.02
    seed: int = 0
    unit: float = 1.0
    """1: D's loss is the mean of its terms, 2: their sum."""
    edit: Callable[[str, int, dict[str, float]], dict[str, float]] = lambda kind, step, values: (
        values
    )
    stop_at: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    """Dotted keys that differ in config.yaml."""
    plan: dict[str, Any] = field(default_factory=dict)
    """Fields of the Schedule that differ in the log."""

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            **{
                "pretrain_steps": self.pretrain,
                "ramp_steps": self.ramp,
                "ramp_shape": "cosine",
                "adv_weight": self.beta,
                "warmup_steps": self.warmup,
                "warmup_shape": "cosine",
                "ema_start": 0,
                **self.plan,
            }
        )

    def rows(self) -> list[tuple[str, int, dict[str, float]]]:
        rng = np.random.default_rng(self.seed)
        schedule, rows = self.schedule, []
        for step in range(self.stop_at or self.steps):
            if step % self.log_every == 0:
                rows.append(
                    ("train", step, self.edit("train", step, self._train(step, schedule, rng)))
                )
            if (step + 1) % self.val_every == 0:
                rows.append(
                    ("val", step + 1, self.edit("val", step + 1, self._val(step, schedule, rng)))
                )
        return rows

    def _l1(self, step: int) -> float:
        return 0.04 + 0.2 * math.exp(-step / 60) + 0.01 * math.exp(-step / 600)

    def _game(
        self, step: int, schedule: Schedule, rng: np.random.Generator
    ) -> tuple[float, float, float]:
        start = schedule.first_adversarial_step or 0
        q = self.q((step - start) / max(self.steps - start, 1)) + rng.normal(0, self.q_noise)
        q = float(np.clip(q, -0.95, 0.97))
        real, fake = TARGET * (0.5 + q / 2), TARGET * (0.5 - q / 2)
        real = min(max(real, 1e-3), 0.97)
        loss = -0.5 * (
            TARGET * math.log(real) + (1 - TARGET) * math.log(1 - real) + math.log(1 - fake)
        )
        return real, fake, loss * self.unit

    def _train(self, step: int, schedule: Schedule, rng: np.random.Generator) -> dict[str, float]:
        plan = schedule.at(step)
        l1 = self._l1(step) * math.exp(rng.normal(0, self.l1_noise))
        values = {
            names.PRETRAIN_PHASE: float(plan.pretrain),
            names.ADV_WEIGHT: plan.adv_weight,
            names.G_CONTENT: l1,
            names.G_TOTAL: l1,
            "train_metrics/l1": l1,
            names.G_RATE: self.g_rate * plan.g_rate_factor,
            names.D_RATE: self.d_rate,
            names.G_NORM: float(np.exp(rng.normal(0, 0.3))) * 0.5,
            names.STEP_SECONDS: 0.1 * math.exp(rng.normal(0, 0.05)),
            names.DATA_SECONDS: 0.1 * self.wait,
            names.SKIPPED_STEPS: 0.0,
        }
        if plan.pretrain:
            return values
        real, fake, loss = self._game(step, schedule, rng)
        share = plan.adv_weight / schedule.adv_weight if schedule.adv_weight else 0.0
        return values | {
            names.D_REAL: real,
            names.D_FAKE: fake,
            names.D_LOSS: loss,
            names.G_ADVERSARIAL: -math.log(fake),
            names.G_TOTAL: l1 + plan.adv_weight * -math.log(fake),
            names.D_NORM: float(np.exp(rng.normal(0, 0.3))) * 0.5,
            "adv/grad_ratio": self.ratio * share * math.exp(rng.normal(0, 0.3)),
        }

    def _val(self, step: int, schedule: Schedule, rng: np.random.Generator) -> dict[str, float]:
        plan = schedule.at(step)
        l1 = self._l1(step) * math.exp(rng.normal(0, 0.03)) * (1.0 if plan.pretrain else 1.05)
        change = (
            0.0
            if plan.pretrain or not schedule.adv_weight
            else plan.adv_weight / schedule.adv_weight
        )
        return {
            "val_metrics/l1": l1,
            "val_metrics/psnr": -20 * math.log10(l1 * 1.4),
            "val_metrics/hf_ratio": 0.6 * (1 + self.hf * change),
        }

    def settings(self) -> dict[str, Any]:
        tree: dict[str, Any] = {
            "Model": {"in_bands": 1},
            "Data": {"hr": ["scenes"]},
            "Training": {
                "max_steps": self.steps,
                "g_pretrain_steps": self.pretrain,
                "adv_loss_ramp_steps": self.ramp,
                "EMA": {"decay": 0.99},
                "Losses": {"adv_loss_beta": self.beta},
            },
            "Optimizers": {"optim_g_lr": self.g_rate, "optim_d_lr": self.d_rate},
            "Schedulers": {"g_warmup_steps": self.warmup},
        }
        for dotted, value in self.config.items():
            *sections, key = dotted.split(".")
            section = tree
            for name in sections:
                section = section.setdefault(name, {})
            section[key] = value
        return tree


def write_folder(run: Run, path: Path, *, end: str | None = "end", **facts: Any) -> Path:
    """The run as `srgan train` leaves it; `end` is its last event, None for a run that goes on."""
    path.mkdir(parents=True)
    YAML().dump(run.settings(), path / "config.yaml")
    writer = MetricsWriter(path / "metrics.jsonl")
    writer.write("event", 0, {"event": "start"})
    rows = run.rows()
    for kind, step, values in rows:
        writer.write(kind, step, values)
    if end:
        writer.write("event", rows[-1][1], {"event": end, **facts})
    writer.close()
    return path


def write_csv(run: Run, path: Path, *, forked: bool = True) -> Path:
    """The run as OpenSR-SRGAN logs it: forked names, dummy zeros of D in pretraining."""
    table = []
    for kind, step, values in run.rows():
        row: dict[str, Any] = {"step": step - (kind == "val")}
        dummies = {names.D_LOSS: 0.0, names.D_REAL: 0.0, names.D_FAKE: 0.0}
        for name, value in ((dummies if kind == "train" else {}) | values).items():
            if forked and name in (names.D_LOSS, names.G_RATE, names.D_RATE):
                row[f"{name}_step"] = value
                row[f"{name}_epoch"] = value * 0.5
            elif not name.startswith(("time/", "events/")):
                row[name] = value
        table.append(row)
    header = list(dict.fromkeys(key for row in table for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows(table)
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
