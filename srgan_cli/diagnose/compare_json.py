"""A comparison of runs for programs: its JSON, and the JSON schema that describes it."""

from __future__ import annotations

from typing import Any, Final

from typing_extensions import TypedDict

from srgan_cli.diagnose.compare import Comparison, Difference, MetricComparison
from srgan_cli.diagnose.report import Severity
from srgan_cli.diagnose.report_json import ReportJson, finite, schema_of, to_json

COMPARISON_VERSION: Final = 1
"""Raised when a field changes its meaning or goes; fields that come do not raise it."""


class SettingJson(TypedDict):
    """A key of the configuration with different values."""

    key: str
    """Dotted, as in the YAML."""
    values: list[Any]
    """One for each run."""


class RunMetricJson(TypedDict):
    """A validation metric of one run in its last phase."""

    final: float
    """Median of the last three validations."""
    best: float
    best_step: int


class DifferenceJson(TypedDict):
    """Mean paired difference of a metric: a later run minus the first one."""

    mean: float | None
    """null where it could not be judged."""
    low: float | None
    """Of the 99 % interval of the mean."""
    high: float | None
    num_pairs: int
    """Common validations that it rests on."""
    significant: bool
    """Whether validation noise does not explain it."""
    not_judged: str
    """Why there is none; "" where there is one."""


class MetricJson(TypedDict):
    """One validation metric over all runs."""

    name: str
    better: str
    """lower or higher."""
    runs: list[RunMetricJson | None]
    """One for each run; null where it was not logged."""
    differences: list[DifferenceJson]
    """Of every run but the first."""


class FindingOfRunsJson(TypedDict):
    """A finding that was not made in all runs, or not with the same severity."""

    code: str
    severities: list[Severity | None]
    """One for each run; null where it was not made."""


class ComparisonJson(TypedDict):
    """What `srgan diagnose A B ... --json` prints."""

    schema_version: int
    """Raised when a field changes its meaning or goes."""
    runs: list[ReportJson]
    """The reports by themselves; all other lists follow their order."""
    verdicts: list[str]
    """A sentence for every run but the first, against the first."""
    settings: list[SettingJson]
    settings_trouble: str
    """Why the settings could not be compared; "" when they could."""
    balances: list[str]
    metrics: list[MetricJson]
    metrics_trouble: str
    """Why the metrics do not compare; "" when they do."""
    findings: list[FindingOfRunsJson]


def comparison_json(comparison: Comparison) -> ComparisonJson:
    """The comparison as plain JSON values, with the whole report of every run."""
    return {
        "schema_version": COMPARISON_VERSION,
        "runs": [to_json(report) for report in comparison.reports],
        "verdicts": list(comparison.verdicts),
        "settings": [{"key": one.key, "values": finite(one.values)} for one in comparison.settings],
        "settings_trouble": comparison.settings_trouble,
        "balances": list(comparison.balances),
        "metrics": [_metric(metric) for metric in comparison.metrics],
        "metrics_trouble": comparison.metrics_trouble,
        "findings": [
            {"code": code, "severities": list(each)} for code, each in comparison.findings
        ],
    }


def _metric(metric: MetricComparison) -> MetricJson:
    return {
        "name": metric.name,
        "better": metric.better,
        "runs": [
            None
            if run is None
            else {"final": run.final, "best": run.best, "best_step": run.best_step}
            for run in metric.runs
        ],
        "differences": [_difference(one) for one in metric.differences],
    }


def _difference(one: Difference | str) -> DifferenceJson:
    if isinstance(one, str):
        return {
            "mean": None,
            "low": None,
            "high": None,
            "num_pairs": 0,
            "significant": False,
            "not_judged": one,
        }
    return {
        "mean": one.mean,
        "low": one.low,
        "high": one.high,
        "num_pairs": one.num_pairs,
        "significant": one.significant,
        "not_judged": "",
    }


def comparison_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of `comparison_json`."""
    return schema_of(
        ComparisonJson,
        (SettingJson, RunMetricJson, DifferenceJson, MetricJson, FindingOfRunsJson),
    )
