"""The report as plain lines that a person reads top to bottom in a minute."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from srgan_cli.diagnose.report import Finding, NotChecked, Remedy, Report

_WIDTH = 100
_LABEL = 11


def report_text(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report))


def summary_line(report: Report) -> str:
    """Where the run is and how it does, on one line."""
    codes = [f.code for f in report.findings if f.severity in ("warn", "error")]
    found = f" ({' '.join(codes)})" if codes else ""
    where = f"step {report.last_step}" + (f" of {report.max_steps}" if report.max_steps else "")
    return f"{where}, {report.phase}; {report.verdict}{found}"


def _lines(report: Report) -> Iterator[str]:
    extent = report.extent or f"{report.num_rows} steps logged"
    label = "run" if report.subject == "training" else report.subject
    yield from _field(label, f"{report.source} ({report.form}, {extent})")
    yield from _field("verdict", report.verdict)
    overview = report.overview
    for name, text in (
        ("schedule", overview.schedule),
        ("balance", overview.balance),
        ("plan", overview.plan),
        ("images", overview.images),
    ):
        if text:
            yield from _field(name, text)
    for finding in report.findings:
        yield ""
        yield from _finding(finding)
    yield ""
    yield from _field("checked", " ".join(report.checked))
    if report.not_checked:
        yield "not checked"
        for codes, reason in _by_reason(report.not_checked):
            yield from _wrapped(f"{' '.join(codes)}: {reason}", "  ", "    ")
    for note in report.notes:
        yield from _field("note", note)


def _field(label: str, text: str) -> Iterator[str]:
    return _wrapped(text, label.ljust(_LABEL), " " * _LABEL)


def _wrapped(text: str, first: str, rest: str) -> Iterator[str]:
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or [first.rstrip()]


def _finding(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity.upper().ljust(6)}{finding.code}  {finding.title}{_when(finding)}"
    yield from _wrapped(finding.message, "  ", "  ")
    if finding.explains:
        yield f"  This also explains {', '.join(finding.explains)}."
    for remedy in finding.remedy:
        yield from _wrapped(_remedy(remedy), "  -> ", "     ")


def _when(finding: Finding) -> str:
    if finding.phase == "image":
        return ""
    first, last = finding.window
    steps = f"step {first}" if first == last else f"steps {first} to {last}"
    return f" ({steps})" if finding.phase == "run" else f" ({steps}, {finding.phase})"


def _remedy(remedy: Remedy) -> str:
    change = remedy.key
    if remedy.old is not None and remedy.new is not None:
        change += f": {_value(remedy.old)} -> {_value(remedy.new)}"
    elif remedy.new is not None:
        change += f": {_value(remedy.new)}"
    return f"{change} ({remedy.why})" if remedy.why else change


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _by_reason(skipped: tuple[NotChecked, ...]) -> Iterator[tuple[list[str], str]]:
    grouped: dict[str, list[str]] = {}
    for one in skipped:
        grouped.setdefault(one.reason, []).append(one.code)
    for reason, codes in grouped.items():
        yield codes, reason
