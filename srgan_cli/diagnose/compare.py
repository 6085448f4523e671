"""What differs between runs: settings, validation, balance and findings, against the first of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from srgan_cli.diagnose import stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.balance import balance_of
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Report, Severity
from srgan_cli.diagnose.series import Series

METRICS: Final[Mapping[str, Literal["lower", "higher"]]] = {
    "l1": "lower",
    "psnr": "higher",
    "ssim": "higher",
    "perceptual": "lower",
    "sam": "lower",
    "ergas": "lower",
}
"""Validation metrics that say which run is better, and which way."""

NUM_BLOCKS: Final = 4
MIN_PAIRS: Final = 2 * NUM_BLOCKS
T_99: Final = 5.841
"""Student's t for 99 %, two-sided, with three degrees of freedom: those of four block means."""
COMMON_SHARE: Final = 0.5
"""Of the common validations of the last phase; before, the runs still differ by how far they are."""
LAST_VALIDATIONS: Final = 3

_SAME_IMAGES: Final = (
    "Data.dataset_type",
    "Data.root_dir",
    "Data.hr",
    "Data.lr",
    "Data.val_hr",
    "Data.val_lr",
    "Data.pairs",
    "Data.val_fraction",
    "Data.bands",
    "Data.normalization",
    "Data.degradation",
    "Data.hr_crop_px",
    "Data.val_crop_px",
    "Data.val_crops",
    "Generator.scaling_factor",
    "Training.seed",
)
"""Keys that decide which images validation sees, and in which unit."""


@dataclass(frozen=True)
class Setting:
    """A key with different values."""

    key: str
    values: tuple[Any, ...]
    """One for each run."""


@dataclass(frozen=True)
class RunMetric:
    """A validation metric of one run in its last phase."""

    final: float
    """Median of the last three."""
    best: float
    best_step: int


@dataclass(frozen=True)
class Difference:
    """Mean paired difference (a later run minus the first) of a metric, in the common validations."""

    mean: float
    low: float
    high: float
    """99 % interval of the mean."""
    num_pairs: int

    @property
    def significant(self) -> bool:
        """Whether validation noise does not explain it."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class MetricComparison:
    """One metric over all runs."""

    name: str
    better: Literal["lower", "higher"]
    runs: tuple[RunMetric | None, ...]
    differences: tuple[Difference | str, ...]
    """Of every run but the first, against the first; or why there is none."""


@dataclass(frozen=True)
class Comparison:
    """Everything that differs; every tuple has one entry for each run."""

    reports: tuple[Report, ...]
    settings: tuple[Setting, ...]
    settings_trouble: str
    """Why the settings could not be compared; "" when they could."""
    balances: tuple[str, ...]
    metrics: tuple[MetricComparison, ...]
    metrics_trouble: str
    """Why the metrics do not compare; "" when they do."""
    findings: tuple[tuple[str, tuple[Severity | None, ...]], ...]
    """Code of a finding, and how severe it is in each run (None: not made), where that differs."""

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A sentence for every run but the first."""
        return tuple(_verdict(self, index) for index in range(1, len(self.reports)))


def compare_runs(logs: Sequence[RunLog], reports: Sequence[Report]) -> Comparison:
    """The comparison of two or more runs that have been read and diagnosed."""
    settings, trouble = _settings(logs)
    other = [one.key for one in settings if one.key.startswith(_SAME_IMAGES)]
    if all(log.config and log.config.data.val_crop_px for log in logs):
        other = [key for key in other if key != "Data.hr_crop_px"]
    metrics_trouble = (
        f"they were validated on other images or in another unit: {', '.join(other)} differ"
        if other
        else _phase_trouble(logs)
    )
    return Comparison(
        reports=tuple(reports),
        settings=settings,
        settings_trouble=trouble,
        balances=tuple(_balance(log) for log in logs),
        metrics=_metrics(logs, metrics_trouble),
        metrics_trouble=metrics_trouble,
        findings=_findings(reports),
    )


def paired_difference(first: Series, later: Series) -> Difference | str:
    """Mean difference over the common steps, with a 99 % interval; or why there is none.

    Successive validations of one network are alike, so they do not count as independent: the interval
    is that of four block means (Schmeiser 1982, batch means). On autocorrelated noise it keeps its
    promise at 8 validations, where a moving-block bootstrap is three to six times too sure.
    """
    steps = np.intersect1d(first.steps, later.steps)
    steps = steps[-max(MIN_PAIRS, math.ceil(len(steps) * COMMON_SHARE)) :]
    if len(steps) < MIN_PAIRS:
        return f"{len(steps)} common validations in the last phase; needs {MIN_PAIRS}"
    rows = [series.values[np.isin(series.steps, steps)] for series in (first, later)]
    blocks = np.array([part.mean() for part in np.array_split(rows[1] - rows[0], NUM_BLOCKS)])
    mean = float((rows[1] - rows[0]).mean())
    half = T_99 * float(blocks.std(ddof=1)) / math.sqrt(NUM_BLOCKS)
    return Difference(mean, mean - half, mean + half, len(steps))


def _settings(logs: Sequence[RunLog]) -> tuple[tuple[Setting, ...], str]:
    without = [log for log in logs if log.config is None]
    if without:
        return (), f"{without[0].source}: {without[0].config_trouble or 'no configuration'}"
    flat = [_flat(log.config.model_dump(by_alias=True)) if log.config else {} for log in logs]
    keys = dict.fromkeys(key for each in flat for key in each)
    rows = [Setting(key, tuple(each.get(key) for each in flat)) for key in keys]
    return tuple(row for row in rows if any(value != row.values[0] for value in row.values)), ""


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found


def _phase_trouble(logs: Sequence[RunLog]) -> str:
    adversarial = [log.t_adv is not None for log in logs]
    if all(adversarial) or not any(adversarial):
        return ""
    early = [log.source for log, gan in zip(logs, adversarial, strict=True) if not gan]
    return f"{', '.join(early)} never left pretraining, and a GAN's pixel metrics fall by design"


def _last_phase(log: RunLog, name: str) -> Series:
    metric = f"val_metrics/{name}"
    return log.pre(metric) if log.t_adv is None else log.adv(metric)


def _metrics(logs: Sequence[RunLog], trouble: str) -> tuple[MetricComparison, ...]:
    found = []
    for name, better in METRICS.items():
        series = [_last_phase(log, name) for log in logs]
        if not any(len(each) for each in series):
            continue
        differences = tuple(trouble or paired_difference(series[0], later) for later in series[1:])
        runs = tuple(_run_metric(each, better) for each in series)
        found.append(MetricComparison(name, better, runs, differences))
    return tuple(found)


def _run_metric(series: Series, better: str) -> RunMetric | None:
    if not len(series):
        return None
    best = int(np.argmin(series.values) if better == "lower" else np.argmax(series.values))
    final = float(np.median(series.values[-LAST_VALIDATIONS:]))
    return RunMetric(final, float(series.values[best]), int(series.steps[best]))


def _balance(log: RunLog) -> str:
    balance = balance_of(log)
    if isinstance(balance, str):
        return f"not judged: {balance}"
    q = float(np.median(balance.tail_q))
    loss = float(np.median(stats.tail(balance.loss.values, limit.TAIL_SHARE, 5)))
    return f"separation {q:.2f}, D loss at {loss:.0%} of chance"


def _findings(reports: Sequence[Report]) -> tuple[tuple[str, tuple[Severity | None, ...]], ...]:
    made = [{finding.code: finding.severity for finding in report.findings} for report in reports]
    codes = dict.fromkeys(finding.code for report in reports for finding in report.findings)
    rows = [(code, tuple(each.get(code) for each in made)) for code in codes]
    return tuple(row for row in rows if len(set(row[1])) > 1)


def _verdict(comparison: Comparison, index: int) -> str:
    """What is better in a run than in the first one, what is worse, and what noise explains."""
    if comparison.metrics and comparison.metrics_trouble:
        return f"validation says nothing: {comparison.metrics_trouble}"
    better, worse, same, unknown = [], [], [], []
    for metric in comparison.metrics:
        difference = metric.differences[index - 1]
        if isinstance(difference, str):
            unknown.append(metric.name)
        elif not difference.significant:
            same.append(metric.name)
        elif (difference.mean < 0) == (metric.better == "lower"):
            better.append(metric.name)
        else:
            worse.append(metric.name)
    parts = [
        f"{word} in {', '.join(found)}"
        for word, found in (
            ("better", better),
            ("worse", worse),
            ("no difference beyond validation noise", same),
            ("not compared", unknown),
        )
        if found
    ]
    return "; ".join(parts) if parts else "no validation metric to compare"
