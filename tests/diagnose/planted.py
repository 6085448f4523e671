"""One run for each code of diagnosis, made up so that it is found: what the documentation shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from planted_images import IMAGES
from planted_logs import LOGS
from synthetic_runs import Run, constant, write_folder

from srgan_cli import runfolder as names
from srgan_cli.config import load_config
from srgan_cli.diagnose import read_run
from srgan_cli.diagnose.log import RunLog

Values = dict[str, float]
Edit = Callable[[str, int, Values], Values]


@dataclass(frozen=True)
class Planted:
    """A run, and what is wrong with it."""

    words: str
    """For the caption under its plot."""
    run: Callable[[], Run] = Run
    """Made anew each time: an edit may hold a random generator."""
    write: Callable[[Path], Path] | None = None
    """Instead of `run`, where more than a log is needed."""

    def make(self, path: Path) -> Path:
        """The run folder."""
        return self.write(path) if self.write else write_folder(self.run(), path)

    def read(self, folder: Path) -> RunLog:
        """The log of a folder that was made; another tool's with the configuration that `--config` names."""
        log = read_run(folder)
        if log.config is not None or log.form == "run folder":
            return log
        return replace(log, config=load_config(folder / "config.yaml").config, config_trouble="")


def scaled(factor: float, *metrics: str, start: int = 0, stop: float = math.inf) -> Edit:
    """Metrics multiplied from one step to another."""

    def edit(kind: str, step: int, values: Values) -> Values:
        inside = start <= step < stop
        return {k: v * factor if k in metrics and inside else v for k, v in values.items()}

    return edit


def cut(metric: str, start: int, every: float, factor: float) -> Edit:
    """A rate cut from a step on, again and again."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if metric in values and step >= start:
            values[metric] *= factor ** (1 + (step - start) // every)
        return values

    return edit


def noisy(metrics: tuple[str, ...], level: float | None, sigma: float, seed: int) -> Edit:
    """Metrics with more noise, around themselves or around a level."""
    rng = np.random.default_rng(seed)

    def edit(kind: str, step: int, values: Values) -> Values:
        for name in metrics:
            if name in values:
                centre = values[name] if level is None else level
                values[name] = centre * math.exp(rng.normal(0, sigma))
        return values

    return edit


def _nan(kind: str, step: int, values: Values) -> Values:
    broken = step >= 1500
    return {k: math.nan if broken and ("loss" in k or "l1" in k) else v for k, v in values.items()}


def _masked(kind: str, step: int, values: Values) -> Values:
    if kind == "train" and step >= 1500:
        values |= {names.G_CONTENT: 1e-12, names.G_TOTAL: 1e-12, "train_metrics/l1": 1e-12}
    return values


def _spikes(kind: str, step: int, values: Values) -> Values:
    if kind == "train" and step in (300, 1000, 1700):
        values["train_metrics/l1"] *= 8
        values[names.G_CONTENT] *= 8
    return values


def _critic(kind: str, step: int, values: Values) -> Values:
    if names.D_LOSS in values:
        level = 0.1 * math.exp((step - 500) / 200)
        values |= {names.D_LOSS: -level, names.G_ADVERSARIAL: 3 * level}
    return values


def _steep(kind: str, step: int, values: Values) -> Values:
    if kind == "train":
        values["train_metrics/l1"] = values[names.G_CONTENT] = 0.3 * math.exp(-step / 150) + 1e-3
    return values


def _overfits(kind: str, step: int, values: Values) -> Values:
    if step > 800:
        factor = 1 + 0.0002 * (step - 800) if kind == "val" else 1 - 0.00015 * (step - 800)
        for name in ("val_metrics/l1", "train_metrics/l1", names.G_CONTENT):
            if name in values:
                values[name] *= factor
    return values


def _frozen(kind: str, step: int, values: Values) -> Values:
    return values | {"val_metrics/l1": 0.41, "val_metrics/psnr": 4.8} if kind == "val" else values


def _settled(kind: str, step: int, values: Values) -> Values:
    """A pretraining that has nothing left to learn after a few hundred steps."""
    rng = np.random.default_rng(step)
    if "train_metrics/l1" in values:
        l1 = 0.05 * math.exp(rng.normal(0, 0.02)) + 0.2 * math.exp(-step / 50)
        values |= {"train_metrics/l1": l1, names.G_CONTENT: l1}
    if "val_metrics/l1" in values:
        values["val_metrics/l1"] = 0.05 * math.exp(rng.normal(0, 0.003))
    return values


def _plateau(kind: str, step: int, values: Values) -> Values:
    if "val_metrics/l1" in values:
        values["val_metrics/l1"] = 0.05 * math.exp(np.random.default_rng(step).normal(0, 0.01))
    return values


def _memorises(kind: str, step: int, values: Values) -> Values:
    if kind == "val" and step > 500:
        values |= {names.VAL_D_REAL: 0.35, names.VAL_D_FAKE: 0.2}
    return values


def _leaks(kind: str, step: int, values: Values) -> Values:
    return values | {names.PEAK_MEMORY: 1000 + step / 2} if kind == "train" else values


def _slow_validation(kind: str, step: int, values: Values) -> Values:
    return values | {names.VAL_SECONDS: 9.0} if kind == "val" else values


def _failed(path: Path) -> Path:
    error = "OutOfMemoryError: CUDA out of memory"
    return write_folder(Run(stop_at=900), path, end="stop", reason="failed", error=error)


def _killed(path: Path) -> Path:
    """A run without an end record that last spoke two days ago."""
    folder = write_folder(Run(stop_at=1400), path, end=None)
    log = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    old = [row | {"time": row["time"] - 2 * 86400} for row in rows]
    log.write_text("".join(json.dumps(row) + "\n" for row in old), encoding="utf-8")
    return folder


_L1: Final = ("train_metrics/l1", names.G_CONTENT)
_SLOW_EMA: Final = {"Training.EMA": {"decay": 0.9999, "use_num_updates": False}}
_WASSERSTEIN: Final = {"Training.Losses.adv_loss_type": "wasserstein"}

PLANTED: Final[Mapping[str, Planted]] = {
    "LOG01": Planted(
        "a run of 200 steps that logs every 100th", lambda: Run(steps=200, log_every=100)
    ),
    "NUM01": Planted("NaN in the losses from step 1500 on", lambda: Run(edit=_nan)),
    "NUM02": Planted("the loss replaced by 1e-12 from step 1500 on", lambda: Run(edit=_masked)),
    "NUM03": Planted("three batches with an eightfold loss", lambda: Run(edit=_spikes)),
    "NUM04": Planted(
        "validation L1 four times as high from step 1500 on",
        lambda: Run(edit=scaled(4, "val_metrics/l1", start=1501)),
    ),
    "NUM05": Planted(
        "validation L1 that jumps by a factor of two",
        lambda: Run(steps=3000, edit=noisy(("val_metrics/l1",), None, 0.6, 0)),
    ),
    "NUM06": Planted(
        "gradient norms a thousandfold, without clipping",
        lambda: Run(edit=scaled(1000, names.G_NORM), config={"Optimizers.gradient_clip_val": 0.0}),
    ),
    "SCH01": Planted("5000 steps of pretraining in a run of 2000", lambda: Run(pretrain=5000)),
    "SCH02": Planted(
        "a pretraining that ends in full descent",
        lambda: Run(edit=_steep, pretrain=400, l1_noise=0.0),
    ),
    "SCH03": Planted(
        "4000 steps of pretraining that is done after a few hundred",
        lambda: Run(steps=6000, pretrain=4000, edit=_settled),
    ),
    "SCH04": Planted(
        "no ramp, and a content loss that doubles",
        lambda: Run(ramp=0, edit=scaled(2, *_L1, start=500)),
    ),
    "SCH05": Planted("a ramp of 4000 steps in a run of 2000", lambda: Run(ramp=4000)),
    "SCH06": Planted(
        "a generator's rate of 0.002 from the first step on",
        lambda: Run(warmup=0, g_rate=2e-3, d_rate=1e-3),
    ),
    "SCH07": Planted("a warm-up of 300 steps in a pretraining of 500", lambda: Run(warmup=300)),
    "SCH08": Planted(
        "the generator's rate cut to a thousandth at step 900",
        lambda: Run(edit=scaled(1e-3, names.G_RATE, start=900)),
    ),
    "SCH09": Planted(
        "the generator's rate halved every 300 steps",
        lambda: Run(edit=cut(names.G_RATE, 700, 300, 0.5)),
    ),
    "SCH11": Planted(
        "the discriminator's rate halved every 150 steps from step 150 on",
        lambda: Run(
            edit=cut(names.D_RATE, 150, 150, 0.5), q=constant(0.0), q_noise=0.005, ratio=1e-3
        ),
    ),
    "SCH12": Planted(
        "a validation metric that stands still, and a scheduler that does nothing",
        lambda: Run(steps=4000, edit=_plateau, config={"Schedulers.patience_g": 5}),
    ),
    "SCH13": Planted(
        "PixelShuffle without ICNR, and no clipping",
        lambda: Run(config={"Generator.use_icnr": False, "Optimizers.gradient_clip_val": 0.0}),
    ),
    "SCH15": Planted(
        "a ramp of 200 steps where 400 are configured",
        lambda: Run(ramp=400, plan={"ramp_steps": 200}),
    ),
    "SCH16": Planted(
        "an adversarial weight of 0.02 where 0.005 is configured",
        lambda: Run(plan={"adv_weight": 0.02}),
    ),
    "GAN01": Planted(
        "a discriminator with twenty times the usual rate",
        lambda: Run(q=constant(0.9), d_rate=2e-3),
    ),
    "GAN02": Planted(
        "a discriminator's rate of 1e-7",
        lambda: Run(q=constant(0.0), q_noise=0.005, d_rate=1e-7, ratio=1e-5),
    ),
    "GAN03": Planted(
        "generated images that look more real to D than real ones", lambda: Run(q=constant(-0.4))
    ),
    "GAN04": Planted(
        "five large cycles of the balance",
        lambda: Run(steps=4500, q=lambda x: 0.45 + 0.4 * math.sin(10 * math.pi * x)),
    ),
    "GAN05": Planted(
        "a discriminator that is sure of the training images alone",
        lambda: Run(q=constant(0.8), edit=_memorises),
    ),
    "GAN06": Planted("an adversarial weight of 1e-5", lambda: Run(ratio=2e-5, beta=1e-5)),
    "GAN07": Planted("an adversarial weight of 0.5", lambda: Run(ratio=4.0, beta=0.5, hf=0.6)),
    "GAN08": Planted(
        "a Wasserstein critic without a bound", lambda: Run(edit=_critic, config=_WASSERSTEIN)
    ),
    "GAN09": Planted(
        "a generator that catches up",
        lambda: Run(q=lambda x: 0.5 * math.exp(-6 * x) if x > 0.02 else 20 * x),
    ),
    "GAN10": Planted(
        "an adversarial term that changes the images before D knows anything",
        lambda: Run(q=constant(0.0), q_noise=0.005, ratio=0.2, hf=0.5),
    ),
    "EMA01": Planted("validation of weights that never change", lambda: Run(edit=_frozen)),
    "EMA02": Planted(
        "a decay of 0.9999, and validation far behind",
        lambda: Run(edit=scaled(4, "val_metrics/l1"), config=_SLOW_EMA),
    ),
    "EMA03": Planted("a decay of 0.5", lambda: Run(config={"Training.EMA": {"decay": 0.5}})),
    "FIT01": Planted(
        "validation that gets worse while training gets better",
        lambda: Run(steps=3000, edit=_overfits),
    ),
    "FIT02": Planted(
        "validation images that are nearly twice as hard",
        lambda: Run(edit=scaled(1.9, "val_metrics/l1")),
    ),
    "FIT03": Planted(
        "rates a thousand times too low",
        lambda: Run(edit=noisy(("val_metrics/l1", *_L1), 0.2, 0.05, 3), g_rate=1e-8, d_rate=5e-9),
    ),
    "SYS01": Planted("70 % of each step spent waiting", lambda: Run(wait=0.7)),
    "SYS02": Planted(
        "steps five times as long from step 1600 on",
        lambda: Run(edit=scaled(5, names.STEP_SECONDS, start=1601)),
    ),
    "SYS03": Planted("memory that grows by 0.5 MB a step", lambda: Run(edit=_leaks)),
    "SYS05": Planted(
        "validations of 9 s after every 10 s of training", lambda: Run(edit=_slow_validation)
    ),
    "SYS06": Planted("a run that ran out of memory at step 900", write=_failed),
    "SYS04": Planted("a run that was killed at step 1400", write=_killed),
    **{code: Planted(words, write=make) for code, (words, make) in (LOGS | IMAGES).items()},
}
"""Code -> run."""
