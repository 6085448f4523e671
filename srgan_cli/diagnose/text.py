"""The report as plain lines that a person reads top to bottom in a minute."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from srgan_cli.diagnose.report import Finding, NotChecked, Remedy, Report

WIDTH: Final = 100
_MIN_WIDTH: Final = 40
_LABEL: Final = 11


def report_text(report: Report, width: int = WIDTH) -> str:
    """The whole report in lines of at most `width` characters, longer words excepted."""
    return "\n".join(_lines(report, max(width, _MIN_WIDTH)))


def what_was_read(report: Report) -> str:
    """File or folder, its kind, and how much is in it."""
    return f"{report.source} ({report.form}, {report.coverage})"


def summary_line(report: Report) -> str:
    """Where the run is and how it does, on one line."""
    codes = [f.code for f in report.findings if f.severity in ("warn", "error")]
    found = f" ({' '.join(codes)})" if codes else ""
    where = f"step {report.last_step}" + (f" of {report.max_steps}" if report.max_steps else "")
    return f"{where}, {report.phase}; {report.verdict}{found}"


def _lines(report: Report, width: int) -> Iterator[str]:
    overview = report.overview
    for label, text in (
        ("run" if report.subject == "training" else report.subject, what_was_read(report)),
        ("verdict", report.verdict),
        ("schedule", overview.schedule),
        ("balance", overview.balance),
        ("plan", overview.plan),
        ("images", overview.images),
    ):
        if text:
            yield from field(label, text, width)
    for finding in report.findings:
        yield ""
        yield from finding_lines(finding, width)
    yield ""
    yield from field("checked", " ".join(report.checked), width)
    if report.not_checked:
        yield "not checked"
        for codes, reason in by_reason(report.not_checked):
            yield from wrapped(f"{' '.join(codes)}: {reason}", "  ", "    ", width)
    for note in report.notes:
        yield from field("note", note, width)


def field(label: str, text: str, width: int = WIDTH) -> Iterator[str]:
    """A label, and its text beside it."""
    return wrapped(text, label.ljust(_LABEL), " " * _LABEL, width)


def wrapped(text: str, first: str, rest: str, width: int = WIDTH) -> Iterator[str]:
    """The text in lines that begin with `first`, then with `rest`; words stay whole."""
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from lines or [first.rstrip()]


def finding_lines(finding: Finding, width: int = WIDTH) -> Iterator[str]:
    """A finding with its numbers, steps and remedies."""
    head = f"{finding.severity.upper().ljust(6)}{finding.code}  "
    where = steps_words(finding)
    title = f"{finding.title} ({where})" if where else finding.title
    yield from wrapped(title, head, " " * len(head), width)
    yield from wrapped(finding.message, "  ", "  ", width)
    if finding.explains:
        text = f"This also explains {', '.join(finding.explains)}."
        yield from wrapped(text, "  ", "  ", width)
    for remedy in finding.remedy:
        change, why = remedy_words(remedy)
        text = f"{change} ({why})" if why else change
        yield from wrapped(text, "  -> ", "     ", width)


def steps_words(finding: Finding) -> str:
    """Where in the run a finding holds, and how sure it is where that is not very."""
    first, last = finding.window
    parts = [f"step {first}" if first == last else f"steps {first} to {last}"]
    parts += [] if finding.phase == "run" else [finding.phase]
    if finding.phase == "image":
        parts = []
    parts += [] if finding.confidence == "high" else [f"{finding.confidence} confidence"]
    return ", ".join(parts)


def remedy_words(remedy: Remedy) -> tuple[str, str]:
    """The change, and why."""
    change = remedy.key
    if remedy.old is not None and remedy.new is not None:
        change += f": {value_words(remedy.old)} -> {value_words(remedy.new)}"
    elif remedy.new is not None:
        change += f": {value_words(remedy.new)}"
    return change, remedy.why


def value_words(value: Any) -> str:
    """A setting as YAML spells it, short."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def by_reason(skipped: Sequence[NotChecked]) -> Iterator[tuple[list[str], str]]:
    """The codes that were not checked for each reason."""
    grouped: dict[str, list[str]] = {}
    for one in skipped:
        grouped.setdefault(one.reason, []).append(one.code)
    for reason, codes in grouped.items():
        yield codes, reason
