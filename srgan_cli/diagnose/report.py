"""What a diagnosis consists of: findings, what was not checked, the report and its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

Severity = Literal["ok", "info", "warn", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("ok", "info", "warn", "error")
"""In rising order."""

CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "NUM01": ("NUM02", "NUM03", "NUM04", "NUM05", "SCH05"),
    "NUM02": ("NUM03", "NUM04", "EMA01"),
    "SCH11": ("GAN02", "SCH08", "SCH09"),
    "GAN02": ("GAN06", "GAN09"),
    "GAN10": ("GAN09", "SCH04"),
    "GAN08": ("GAN07",),
    "EMA01": ("FIT01", "FIT03", "EMA02", "NUM04", "NUM05"),
    "IMG03": ("IMG01",),
    "SCH08": ("SCH09",),
    "NUM04": ("NUM05",),
    "NUM05": ("NUM03", "FIT03", "SCH02"),
}
"""One cause, one finding: when the key's finding exists, those on the right belong to it."""


@dataclass(frozen=True)
class Remedy:
    """One configuration key to change."""

    key: str
    """Dotted, as in the YAML; words where no key does it."""
    old: Any
    """None when unknown."""
    new: Any
    why: str


@dataclass(frozen=True)
class Finding:
    """One statement about the run, with the numbers it rests on."""

    code: str
    severity: Severity
    title: str
    message: str
    """What was measured, in plain words with numbers and steps."""
    window: tuple[int, int]
    """First and last step of the rows it rests on."""
    phase: Literal["pretraining", "adversarial", "run"] = "run"
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: tuple[Remedy, ...] = ()
    confidence: Literal["low", "medium", "high"] = "high"
    explains: tuple[str, ...] = ()
    """Codes of findings that this one is the cause of; they are not listed by themselves."""


@dataclass(frozen=True)
class NotChecked:
    """A check that could not be made, and why."""

    code: str
    reason: str


@dataclass(frozen=True)
class Overview:
    """The lines above the findings, in plain words."""

    schedule: str
    balance: str
    plan: str
    images: str


@dataclass(frozen=True)
class Report:
    """The whole diagnosis of one run."""

    source: str
    form: str
    """What was read: "run folder" or "CSV log"."""
    first_step: int
    last_step: int
    num_rows: int
    max_steps: int | None
    phase: str
    overview: Overview
    findings: tuple[Finding, ...]
    """Worst first."""
    not_checked: tuple[NotChecked, ...]
    checked: tuple[str, ...]
    """Codes of the rules that could be applied."""
    notes: tuple[str, ...] = ()
    """What was done to the log before it was judged."""

    @property
    def worst(self) -> Severity:
        """Severity of the worst finding."""
        return max((f.severity for f in self.findings), key=SEVERITIES.index, default="ok")

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def reaches(self, severity: Severity) -> bool:
        """Whether a finding at or above `severity` exists."""
        return SEVERITIES.index(self.worst) >= SEVERITIES.index(severity)

    @property
    def verdict(self) -> str:
        """One sentence."""
        errors, warnings, infos = self.count("error"), self.count("warn"), self.count("info")
        parts = [_plural(errors, "error"), _plural(warnings, "warning"), _plural(infos, "note")]
        counts = ", ".join(part for part in parts if part)
        if errors:
            return f"this training has a problem: {counts}"
        if warnings:
            return f"this training needs attention: {counts}"
        codes = [one.code for one in self.findings] + [one.code for one in self.not_checked]
        short = "LOG01" in codes
        words = (
            "too little log to judge by: nothing alarming in it"
            if short
            else "healthy: nothing needs to change"
        )
        return f"{words} ({counts})" if counts else words


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""


def merge_causes(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One cause, one finding: consequences move into `explains` of their cause; worst first."""
    by_code = {finding.code: finding for finding in findings}
    explained: dict[str, list[str]] = {}
    for cause, effects in CAUSES.items():
        if cause in by_code:
            explained[cause] = [effect for effect in effects if effect in by_code]
    hidden = {effect for effects in explained.values() for effect in effects}
    kept = [
        replace(finding, explains=tuple(explained.get(code, ())))
        for code, finding in by_code.items()
        if code not in hidden
    ]
    return tuple(sorted(kept, key=lambda f: (-SEVERITIES.index(f.severity), f.code)))
