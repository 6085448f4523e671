"""How often `srgan diagnose` finds a planted fault, and how often it is wrong about a healthy run.

    python benchmarks/diagnose_accuracy.py [--seeds 20] [--only CODE]

Seeded training curves of the tests (`tests/diagnose/synthetic_runs.py`), healthy and with one fault
each, at several cadences and lengths, and as logs come: whole, with OpenSR-SRGAN's columns only,
cut at 80 %, resumed with repeated steps, and sparse. A fault counts as found when its code is among
the findings or explained by one of its causes, and the key to change is named. A false alarm is a
finding at warn or above of a healthy run. What a log cannot show (an abstention) is counted by
itself.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "diagnose"))

from synthetic_runs import Run, constant, write_csv, write_folder

from srgan_cli import runfolder as names
from srgan_cli.diagnose import Report, diagnose_run

Values = dict[str, float]
Edit = Callable[[str, int, Values], Values]
Make = Callable[[int, "Cadence"], Run]


@dataclasses.dataclass(frozen=True)
class Cadence:
    """Lengths and intervals of a run."""

    steps: int
    pretrain: int
    log_every: int
    val_every: int

    def run(self, seed: int, **fields: object) -> Run:
        """A healthy run of this cadence, or one with other fields."""
        rng = np.random.default_rng(seed)
        usual = {
            "steps": self.steps,
            "pretrain": self.pretrain,
            "ramp": max(10, (self.steps - self.pretrain) // 6),
            "warmup": max(10, self.pretrain // 5),
            "log_every": self.log_every,
            "val_every": self.val_every,
            "l1_noise": float(rng.uniform(0.05, 0.2)),
            "q_noise": float(rng.uniform(0.01, 0.08)),
            "ratio": float(10 ** rng.uniform(-1.8, -1.0)),
            "hf": float(rng.uniform(0.0, 0.2)),
            "seed": seed,
        }
        return Run(**{**usual, **fields})  # type: ignore[arg-type]


CADENCES = (
    Cadence(1200, 400, 10, 60),
    Cadence(2000, 500, 10, 100),
    Cadence(6000, 1500, 20, 200),
    Cadence(40000, 10000, 50, 1000),
    Cadence(100000, 30000, 200, 5000),
)


def healthy(seed: int, cadence: Cadence) -> Run:
    """Balanced, at equilibrium, relativistic or with a discriminator that is well ahead."""
    rng = np.random.default_rng(seed)
    level = float(rng.uniform(0.15, 0.65))
    courses = (
        lambda x: level * min(1.0, x / 0.1),
        lambda x: level * math.exp(-3 * x) if x > 0.05 else 20 * x * level,
        lambda x: level * (0.8 + 0.2 * math.sin(6 * x)) * min(1.0, x / 0.1),
    )
    return cadence.run(seed, q=courses[seed % 3])


def edited(edit: Edit, **fields: object) -> Make:
    """A run whose rows are changed by `edit`, which sees the phase's progress from 0 to 1."""
    return lambda seed, cadence: cadence.run(seed, **fields, edit=edit)


def late(share: float, cadence: Cadence) -> float:
    """The step at that share of the adversarial phase."""
    return cadence.pretrain + share * (cadence.steps - cadence.pretrain)


def changed(
    share: float, kinds: tuple[str, ...], change: Callable[[str, float], float], **fields: object
) -> Make:
    """From a share of the adversarial phase on, `change` is applied to every value it knows."""

    def make(seed: int, cadence: Cadence) -> Run:
        start = late(share, cadence)

        def edit(kind: str, step: int, values: Values) -> Values:
            if kind in kinds and step >= start:
                values = {name: change(name, value) for name, value in values.items()}
            return values

        return cadence.run(seed, **fields, edit=edit)

    return make


def growing_critic(seed: int, cadence: Cadence) -> Run:
    """A Wasserstein critic whose scale grows a thousandfold."""

    def edit(_: str, step: int, values: Values) -> Values:
        if names.D_LOSS in values:
            x = (step - cadence.pretrain) / (cadence.steps - cadence.pretrain)
            level = 0.1 * math.exp(9 * x)
            values |= {names.D_LOSS: -level, names.G_ADVERSARIAL: 3 * level}
        return values

    return cadence.run(seed, edit=edit, config={"Training.Losses.adv_loss_type": "wasserstein"})


def plateau_in_pretraining(seed: int, cadence: Cadence) -> Run:
    """OpenSR-SRGAN's scheduler of D, fed with zeros while the generator pretrains."""

    def edit(_: str, step: int, values: Values) -> Values:
        if names.D_RATE in values:
            values[names.D_RATE] *= 0.5 ** (min(step, cadence.steps) // (cadence.pretrain / 5))
        return values

    return cadence.run(seed, edit=edit, q=constant(0.0), q_noise=0.005, ratio=1e-3, hf=0.0)


def clockwork(seed: int, cadence: Cadence) -> Run:
    """The generator's rate, cut at constant intervals."""
    interval = (cadence.steps - cadence.pretrain) / 5.5

    def edit(_: str, step: int, values: Values) -> Values:
        if names.G_RATE in values and step > cadence.pretrain:
            values[names.G_RATE] *= 0.7 ** ((step - cadence.pretrain) // interval)
        return values

    return cadence.run(seed, edit=edit)


def overfits(seed: int, cadence: Cadence) -> Run:
    """Validation rises by a fifth over the second half, while training falls."""

    def edit(kind: str, step: int, values: Values) -> Values:
        x = max(0.0, (step - late(0.4, cadence)) / (cadence.steps - late(0.4, cadence)))
        factor = 1 + 0.25 * x if kind == "val" else 1 - 0.2 * x
        for name in ("val_metrics/l1", "train_metrics/l1", names.G_CONTENT):
            if name in values:
                values[name] *= factor
        return values

    return cadence.run(seed, edit=edit)


def frozen(seed: int, cadence: Cadence) -> Run:
    """Validation of an average that never starts."""

    def edit(kind: str, _: int, values: Values) -> Values:
        return values | {"val_metrics/l1": 0.41} if kind == "val" else values

    return cadence.run(seed, edit=edit)


def memorising(seed: int, cadence: Cadence) -> Run:
    """A discriminator that knows its training images only."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "val" and step > cadence.pretrain:
            values |= {names.VAL_D_REAL: 0.3, names.VAL_D_FAKE: 0.2}
        return values

    return cadence.run(seed, edit=edit, q=lambda x: 0.8 * min(1, x / 0.1))


def swinging(seed: int, cadence: Cadence) -> Run:
    """A discriminator that wins and loses in turn."""
    return cadence.run(seed, q=lambda x: 0.45 + 0.42 * math.sin(2 * math.pi * 4 * x), q_noise=0.05)


def spiking(seed: int, cadence: Cadence) -> Run:
    """Three single rows of the content loss, ten times too high."""
    at = {
        round(late(x, cadence) / cadence.log_every / 4) * 4 * cadence.log_every
        for x in (0.3, 0.5, 0.7)
    }

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step in at:
            values = {name: value * 10 if name in L1 else value for name, value in values.items()}
        return values

    return cadence.run(seed, edit=edit)


def jumping(seed: int, cadence: Cadence) -> Run:
    """Validation that jumps from one time to the next."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "val":
            values["val_metrics/l1"] *= math.exp(np.random.default_rng(seed + step).normal(0, 0.6))
        return values

    return cadence.run(seed, edit=edit)


def abrupt(seed: int, cadence: Cadence) -> Run:
    """No ramp, and a content loss that doubles."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "train" and step >= cadence.pretrain:
            values = {name: value * 2 if name in L1 else value for name, value in values.items()}
        return values

    return cadence.run(seed, edit=edit, ramp=0)


def leaking(seed: int, cadence: Cadence) -> Run:
    """Memory that doubles over the run."""

    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "train":
            values[names.PEAK_MEMORY] = 1000 * (1 + step / cadence.steps)
        return values

    return cadence.run(seed, edit=edit)


def times(*wanted: str, factor: float) -> Callable[[str, float], float]:
    """Multiplies metrics whose name begins with one of those wanted."""
    return lambda name, value: value * factor if name.startswith(wanted) else value


def broken(name: str, value: float) -> float:
    """Every loss NaN."""
    return math.nan if "loss" in name or "l1" in name else value


L1 = ("train_metrics/l1", names.G_CONTENT, names.G_TOTAL)
DEAD = {"q": constant(0.0), "q_noise": 0.005, "hf": 0.0}
EMA_SLOW = {"Training.EMA": {"decay": 0.99999, "use_num_updates": False}}

FAULTS: dict[str, tuple[str, str, Make]] = {
    "D's rate far too low": ("GAN02", "Optimizers.optim_d_lr", lambda s, c: c.run(s, **DEAD, d_rate=1e-9, ratio=1e-4)),
    "D collapsed": ("GAN02", "Optimizers.optim_d_lr", lambda s, c: c.run(s, **DEAD, d_rate=2e-3, ratio=1e-3)),
    "D overpowers": ("GAN01", "Optimizers.optim_d_lr", lambda s, c: c.run(s, q=constant(0.93), d_rate=1e-3)),
    "G beats D": ("GAN03", "Optimizers.optim_d_lr", lambda s, c: c.run(s, q=constant(-0.4))),
    "D out-paced": ("GAN10", "Training.Losses.adv_loss_beta", lambda s, c: c.run(s, **{**DEAD, "hf": 0.5}, ratio=0.3)),
    "balance swings": ("GAN04", "Optimizers.optim_g_lr", swinging),
    "D memorises": ("GAN05", "Training.Losses.r1_gamma", memorising),
    "adversarial weight / 1000": ("GAN06", "Training.Losses.adv_loss_beta", lambda s, c: c.run(s, ratio=2e-5, beta=5e-6, hf=0.0)),
    "adversarial weight x 1000": ("GAN07", "Training.Losses.adv_loss_beta", lambda s, c: c.run(s, ratio=5.0, beta=5.0, hf=0.6)),
    "critic unbounded": ("GAN08", "Training.Losses.r1_gamma", growing_critic),
    "NaN": ("NUM01", "Optimizers.optim_g_lr", changed(0.6, ("train", "val"), broken)),
    "masked NaN": ("NUM02", "nan_to_num in the training code", changed(0.6, ("train",), lambda n, v: 1e-12 if n in L1 else v)),
    "spikes": ("NUM03", "Optimizers.gradient_clip_val", spiking),
    "validation jumps": ("NUM05", "Optimizers.optim_g_lr", jumping),
    "abrupt ramp": ("SCH04", "Training.adv_loss_ramp_steps", abrupt),
    "ramp beyond the end": ("SCH05", "Training.adv_loss_ramp_steps", lambda s, c: c.run(s, ramp=2 * c.steps)),
    "high rate, no warm-up": ("SCH06", "Schedulers.g_warmup_steps", lambda s, c: c.run(s, warmup=0, g_rate=2e-3, d_rate=1e-3)),
    "warm-up too long": ("SCH07", "Schedulers.g_warmup_steps", lambda s, c: c.run(s, warmup=int(0.8 * c.pretrain))),
    "memory leak": ("SYS03", "Data.cache", leaking),
    "validation diverges": ("NUM04", "Optimizers.optim_g_lr", changed(0.6, ("val",), times("val_metrics/l1", factor=4.0))),
    "never adversarial": ("SCH01", "Training.g_pretrain_steps", lambda s, c: c.run(s, pretrain=10 * c.steps)),
    "pretraining too short": ("SCH02", "Training.g_pretrain_steps", lambda s, c: c.run(s, pretrain=c.steps // 50)),
    "D's rate cut in pretraining": ("SCH11", "Schedulers.patience_d", plateau_in_pretraining),
    "rate used up": ("SCH08", "Schedulers.patience_g", changed(0.2, ("train",), times(names.G_RATE, factor=1e-3))),
    "rate cut like clockwork": ("SCH09", "Schedulers.patience_g", clockwork),
    "validation frozen": ("EMA01", "Training.EMA.update_after_step", frozen),
    "EMA far too slow": ("EMA02", "Training.EMA.decay", changed(-9, ("val",), times("val_metrics/l1", factor=5.0), config=EMA_SLOW)),
    "overfitting": ("FIT01", "Data.augment", overfits),
    "waits for data": ("SYS01", "Data.num_workers", lambda s, c: c.run(s, wait=0.7)),
    "steps get slower": ("SYS02", "the machine", changed(0.5, ("train",), times(names.STEP_SECONDS, factor=4.0))),
}  # fmt: skip
"""Fault -> code, key to change, how it is made."""

NOT_SHOWN = {
    # Without gradients and detail, images that changed cannot be told from images that did not.
    ("GAN10", "peer's CSV"),
    # A run that was stopped before its ramp was over has no unfinished ramp.
    ("SCH05", "cut at 80 %"),
    ("SCH01", "cut at 80 %"),
}
"""(code, kind of log) of faults that such a log does not show."""

_PEER = {
    names.PRETRAIN_PHASE, names.ADV_WEIGHT, names.G_CONTENT, names.G_ADVERSARIAL, names.G_TOTAL,
    names.D_LOSS, names.D_REAL, names.D_FAKE, names.G_RATE, names.D_RATE, "train_metrics/l1",
    "val_metrics/l1", "val_metrics/psnr",
}  # fmt: skip


def variants(run: Run, folder: Path) -> Iterator[tuple[str, Path]]:
    """(kind of log, its path)."""
    yield "run folder", write_folder(run, folder / "run")
    yield "peer's CSV", write_csv(peers_columns(run), folder / "peer.csv")
    yield (
        "cut at 80 %",
        write_folder(
            dataclasses.replace(run, stop_at=int(0.8 * run.steps)), folder / "cut", end="stop"
        ),
    )
    yield "resumed", repeated(write_csv(run, folder / "whole.csv"), folder / "resumed.csv")
    yield (
        "sparse",
        write_csv(dataclasses.replace(run, log_every=4 * run.log_every), folder / "sparse.csv"),
    )


def peers_columns(run: Run) -> Run:
    """The run with what OpenSR-SRGAN logs only."""
    edit = run.edit

    def only(kind: str, step: int, values: Values) -> Values:
        return {name: value for name, value in edit(kind, step, values).items() if name in _PEER}

    return dataclasses.replace(run, edit=only)


def repeated(path: Path, to: Path) -> Path:
    """The log of a run that was killed at 60 % and resumed at 50 %."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    first, again = rows[: int(0.6 * len(rows))], rows[int(0.5 * len(rows)) :]
    with to.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *first, *again])
    return to


def verdict(report: Report, code: str, key: str) -> str:
    """found, wrong key, abstained (not checked) or missed."""
    for finding in report.findings:
        if code in (finding.code, *finding.explains):
            keys = [remedy.key for remedy in finding.remedy]
            own = finding.code == code
            return "found" if not own or key in keys else "wrong key"
    skipped = {one.code for one in report.not_checked}
    return "abstained" if code in skipped else "missed"


def sweep(
    seeds: range, cadences: tuple[Cadence, ...], only: str = ""
) -> dict[tuple[str, str], Counter[str]]:
    """(what was planted, kind of log) -> how often each verdict."""
    table: dict[tuple[str, str], Counter[str]] = {}
    for cadence in cadences:
        for seed in seeds:
            for fault, (code, key, make) in FAULTS.items():
                if only and code != only:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    for kind, path in variants(make(seed, cadence), Path(folder)):
                        if (code, kind) in NOT_SHOWN:
                            continue
                        row = table.setdefault((f"{code} {fault}", kind), Counter())
                        row[verdict(diagnose_run(path), code, key)] += 1
            if only:
                continue
            with tempfile.TemporaryDirectory() as folder:
                for kind, path in variants(healthy(seed, cadence), Path(folder)):
                    report = diagnose_run(path)
                    row = table.setdefault(("healthy", kind), Counter())
                    row["alarm" if report.reaches("warn") else "silent"] += 1
                    for finding in report.findings:
                        row[f"{finding.severity} {finding.code}"] += 1
    return table


def rates(table: dict[tuple[str, str], Counter[str]]) -> tuple[float, float, float]:
    """Shares of the faults found where they were judged, of those abstained, and of false alarms."""
    total: Counter[str] = Counter()
    for row in table.values():
        total += row
    judged = total["found"] + total["missed"] + total["wrong key"]
    planted = judged + total["abstained"]
    runs = total["alarm"] + total["silent"]
    return (
        total["found"] / max(judged, 1),
        total["abstained"] / max(planted, 1),
        total["alarm"] / max(runs, 1),
    )


def main() -> None:
    """Print a line for every fault and kind of log, and the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", help="code of the one fault to plant")
    options = parser.parse_args()
    table = sweep(range(options.seeds), CADENCES, options.only)
    for (planted, kind), row in table.items():
        shown = ", ".join(f"{name} {count}" for name, count in row.most_common())
        print(f"{planted:38s} {kind:12s} {shown}")
    found, abstained, alarms = rates(table)
    print(
        f"found {found:.1%} of the faults judged; abstained {abstained:.1%}; false alarms {alarms:.2%}"
    )


if __name__ == "__main__":
    main()
