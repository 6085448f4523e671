"""What a diagnosis consists of: findings, what was not checked, the report and its JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

Severity = Literal["ok", "info", "warn", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("ok", "info", "warn", "error")
"""In rising order."""

CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "NUM01": ("NUM02", "NUM03", "NUM04", "NUM05", "SCH05", "SYS06"),
    "NUM02": ("NUM03", "NUM04", "EMA01"),
    "SCH02": ("SCH07",),
    "SCH11": ("GAN02", "SCH08", "SCH09"),
    "GAN02": ("GAN06", "GAN09", "IMG06"),
    "GAN03": ("IMG06",),
    "GAN06": ("IMG06",),
    "GAN07": ("GAN10", "NUM04", "IMG01", "IMG02", "IMG04", "IMG05", "IMG06"),
    "GAN10": ("GAN09", "SCH04", "IMG06"),
    "GAN08": ("GAN07", "IMG06"),
    "EMA01": ("FIT01", "FIT02", "FIT03", "EMA02", "NUM04", "NUM05", "SCH12", "IMG04", "IMG05"),
    "EMA02": ("FIT02", "IMG04", "IMG05", "IMG06", "IMG09", "IMG10"),
    "FIT03": ("GAN01", "IMG04", "IMG05", "IMG06", "IMG08", "IMG10"),
    "EMA04": ("EMA02", "FIT02"),
    "FIT01": ("FIT02", "GAN05"),
    "SCH10": ("SCH08", "SCH09", "SCH14"),
    "IMG03": ("IMG01", "IMG02"),
    "IMG07": ("IMG01", "IMG02"),
    "IMG11": ("IMG04", "IMG05", "IMG07", "IMG09"),
    "SCH08": ("SCH09",),
    "NUM04": ("NUM05", "FIT02", "IMG04", "IMG05", "IMG06", "IMG08", "IMG10"),
    "NUM05": ("NUM03", "FIT02", "FIT03", "SCH02", "SCH06", "IMG04", "IMG05", "IMG06"),
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
    phase: Literal["pretraining", "adversarial", "run", "image"] = "run"
    """`image`: of an image or of weights, which have no steps."""
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

    images: str
    schedule: str = ""
    """Like the following ones empty where there is no log."""
    balance: str = ""
    plan: str = ""


_SUBJECTS: Final[Mapping[str, str]] = {"SR raster": "image", "weights": "generator"}


@dataclass(frozen=True)
class Report:
    """The whole diagnosis of one run."""

    source: str
    form: str
    """What was read, such as "run folder", "CSV log", "SR raster" or "weights"."""
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
    extent: str = ""
    """How much was judged, of an image or of weights; of a log, `num_rows` says it."""

    @property
    def coverage(self) -> str:
        """How much was read, in words."""
        return self.extent or f"{self.num_rows} steps logged"

    @property
    def subject(self) -> str:
        """What the verdict speaks of."""
        return _SUBJECTS.get(self.form, "training")

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
    def _grid_unknown(self) -> bool:
        missing = (skipped.code == "IMG01" for skipped in self.not_checked)
        return self.subject != "training" and any(missing)

    @property
    def verdict(self) -> str:
        """One sentence."""
        errors, warnings, infos = self.count("error"), self.count("warn"), self.count("info")
        parts = [_plural(errors, "error"), _plural(warnings, "warning"), _plural(infos, "note")]
        counts = ", ".join(part for part in parts if part)
        if errors:
            return f"this {self.subject} has a problem: {counts}"
        if warnings:
            return f"this {self.subject} needs attention: {counts}"
        codes = [one.code for one in self.findings] + [one.code for one in self.not_checked]
        words = _GOOD[self.subject, "LOG01" in codes or self._grid_unknown]
        return f"{words} ({counts})" if counts else words


_GOOD: Final[Mapping[tuple[str, bool], str]] = {
    ("training", False): "healthy: nothing needs to change",
    ("training", True): "too little log to judge by: nothing alarming in it",
    ("image", False): "clean: nothing is wrong with this image",
    ("image", True): "too small to judge its grid by: nothing else is wrong with it",
    ("generator", False): "clean: nothing is wrong with this generator",
    ("generator", True): "its grid could not be judged",
}
"""(subject, whether too little is known) -> the verdict without a warning."""


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
    if said := _said_already(by_code, hidden):
        explained.setdefault(said, []).append(_SETTINGS)
        hidden.add(_SETTINGS)
    kept = [
        replace(finding, explains=tuple(explained.get(code, ())))
        for code, finding in by_code.items()
        if code not in hidden
    ]
    return tuple(sorted(kept, key=lambda f: (-SEVERITIES.index(f.severity), f.code)))


_SETTINGS: Final = "SCH13"
"""Speaks of settings that usually go wrong; where one did, the harm is reported."""


def _said_already(by_code: Mapping[str, Finding], hidden: set[str]) -> str | None:
    """The finding that proposes all changes which the note on the settings proposes."""
    if _SETTINGS not in by_code:
        return None
    keys = {remedy.key for remedy in by_code[_SETTINGS].remedy}
    others = [f for code, f in by_code.items() if code not in {*hidden, _SETTINGS}]
    proposing = (f.code for f in others if keys <= {remedy.key for remedy in f.remedy})
    return next(proposing, None)
