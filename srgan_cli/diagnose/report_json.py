"""The report for programs: its JSON, and the JSON schema that describes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from typing_extensions import TypedDict

from srgan_cli.diagnose.report import Finding, Remedy, Report, Severity

SCHEMA_VERSION: Final = 1
"""Raised when a field changes its meaning or goes; fields that come do not raise it."""


class CountsJson(TypedDict):
    """Number of findings of each severity."""

    ok: int
    info: int
    warn: int
    error: int


class SummaryJson(TypedDict):
    """The findings in numbers."""

    worst: Severity
    counts: CountsJson


class StepsJson(TypedDict):
    """What the log covers; a step is one batch, which is one generator update."""

    first: int
    """First step with a row."""
    last: int
    """Last step with a row."""
    planned: int | None
    """Length of the run; null when unknown."""
    rows: int
    """Steps with a row."""


class OverviewJson(TypedDict):
    """Where the run stands, in plain words."""

    schedule: str
    """Where the run is in its plan."""
    balance: str
    """Who is ahead, generator or discriminator."""
    plan: str
    """Whether the log is what config.yaml plans."""
    images: str
    """Whether the validation tiles show a grid-locked pattern."""


RemedyJson = TypedDict("RemedyJson", {"key": str, "from": Any, "to": Any, "why": str})
RemedyJson.__doc__ = (
    "One setting to change. `key` is dotted, as in the YAML, or words where no key does it; `from` is "
    "null when unknown, `to` when the value is the reader's to choose."
)


class FindingJson(TypedDict):
    """One statement about the run, with the numbers it rests on."""

    code: str
    """For example GAN02; documented on a page of its own."""
    severity: Severity
    title: str
    phase: str
    """Which part of the run it is about: pretraining, adversarial or run; image where there is no run."""
    window: tuple[int, int]
    """First and last step of the rows it rests on."""
    message: str
    """What was measured, with numbers and steps."""
    evidence: dict[str, Any]
    """The numbers by name; they depend on the code."""
    remedy: list[RemedyJson]
    confidence: str
    """low, medium or high."""
    explains: list[str]
    """Codes of findings that this one is the cause of; they are not listed by themselves."""


class NotCheckedJson(TypedDict):
    """A check that could not be made."""

    code: str
    reason: str


class ReportJson(TypedDict):
    """What `srgan diagnose RUN --json` prints."""

    schema_version: int
    """Raised when a field changes its meaning or goes."""
    run: str
    """What was read."""
    form: str
    """Kind of log, for example "run folder"; or "SR raster", "weights"."""
    extent: str
    """How much was read, in words."""
    verdict: str
    """One sentence."""
    summary: SummaryJson
    steps: StepsJson
    phase: str
    """Where the run is: too early, pretraining, adversarial ramp or adversarial training."""
    overview: OverviewJson
    findings: list[FindingJson]
    """Worst first."""
    not_checked: list[NotCheckedJson]
    checked: list[str]
    """Codes of the rules that could be applied."""
    notes: list[str]
    """What was done to the log before it was judged."""


def to_json(report: Report) -> ReportJson:
    """The report as plain JSON values; null stands for numbers that are not finite."""
    overview = report.overview
    return {
        "schema_version": SCHEMA_VERSION,
        "run": report.source,
        "form": report.form,
        "extent": report.coverage,
        "verdict": report.verdict,
        "summary": {
            "worst": report.worst,
            "counts": {
                "ok": report.count("ok"),
                "info": report.count("info"),
                "warn": report.count("warn"),
                "error": report.count("error"),
            },
        },
        "steps": {
            "first": report.first_step,
            "last": report.last_step,
            "planned": report.max_steps,
            "rows": report.num_rows,
        },
        "phase": report.phase,
        "overview": {
            "schedule": overview.schedule,
            "balance": overview.balance,
            "plan": overview.plan,
            "images": overview.images,
        },
        "findings": [_finding(finding) for finding in report.findings],
        "not_checked": [{"code": one.code, "reason": one.reason} for one in report.not_checked],
        "checked": list(report.checked),
        "notes": list(report.notes),
    }


def _finding(finding: Finding) -> FindingJson:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "title": finding.title,
        "phase": finding.phase,
        "window": finding.window,
        "message": finding.message,
        "evidence": {name: finite(value) for name, value in finding.evidence.items()},
        "remedy": [_remedy(one) for one in finding.remedy],
        "confidence": finding.confidence,
        "explains": list(finding.explains),
    }


def _remedy(one: Remedy) -> RemedyJson:
    return {"key": one.key, "from": finite(one.old), "to": finite(one.new), "why": one.why}


def finite(value: Any) -> Any:
    """The value with null for every number that JSON does not know."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of `to_json`."""
    return schema_of(ReportJson, ())


def schema_of(kind: type, parts: Iterable[type]) -> dict[str, Any]:
    """JSON schema of a TypedDict, with the docstrings of its fields; `parts` are those inside of it."""
    from pydantic import ConfigDict, TypeAdapter, with_config

    documented = with_config(ConfigDict(use_attribute_docstrings=True))
    for part in (StepsJson, OverviewJson, FindingJson, ReportJson, *parts, kind):
        documented(part)
    schema = TypeAdapter(kind).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
