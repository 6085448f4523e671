"""What `--fix` writes: the run's configuration with the recommended changes, each with its reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from srgan_cli.diagnose.report import SEVERITIES, Finding, Remedy, Report, Severity
from srgan_cli.diagnose.text import remedy_words, value_words

_WIDTH: Final = 96
_ALTERNATIVE: Final = "or "
"""A reason that starts so is another way to the same end, for a person to choose."""


@dataclass(frozen=True)
class Proposal:
    """A remedy, and the finding that asks for it."""

    finding: Finding
    remedy: Remedy

    @property
    def code(self) -> str:
        """Of the finding."""
        return self.finding.code


@dataclass(frozen=True)
class Fix:
    """The changed configuration; `text` is that of the run when nothing could be changed."""

    text: str
    changed: tuple[str, ...]
    """A line for every key that was changed, with the codes of its findings."""
    left: tuple[str, ...]
    """A line for every remedy that was not taken, with the reason."""
    warnings: tuple[str, ...] = ()
    """What `srgan config check` says of keys of which it said nothing before."""


def fix_config(report: Report, text: str, level: Severity = "warn") -> Fix:
    """The configuration text with the remedies of all findings at or above `level`.

    Worst finding first; of two that want one key changed, the worse decides. What is no key, has no
    value to change to, is another way to the same end, or would be refused by the schema is left
    to the reader, in `left` and in the comment above the text.
    """
    from srgan_cli.config.edit import Edit, EditError, change_key

    changed, left = [], []
    taken: dict[str, Proposal] = {}
    before = _warnings(text)
    for one in _proposals(report):
        key, new = one.remedy.key, one.remedy.new
        why_not = _why_not(one, level) or _conflict(taken.get(key))
        if key in taken and taken[key].remedy.new == new:
            continue
        if not why_not and _current(text, key) == new:
            why_not = "the configuration has that value already"
        if not why_not:
            try:
                text = change_key(text, Edit(key, new, tuple(_comment(one))))
            except EditError as err:
                why_not = str(err)
        if why_not:
            left.append(f"{one.code}: {_words(one.remedy)}: {why_not}")
        else:
            taken[key] = one
            changed.append(f"{one.code}: {_words(one.remedy)}")
    warnings = [f"{key}: {words}" for key, words in _warnings(text).items() if key not in before]
    return Fix(
        _heading(report, changed, left) + text,
        tuple(changed),
        tuple(left),
        tuple(warnings),
    )


def _warnings(text: str) -> dict[str, str]:
    """Key -> what `srgan config check` says of it."""
    from srgan_cli.config import load_text

    loaded = load_text(text, "the configuration")
    return {problem.key: problem.text for problem in loaded.warnings}


def _proposals(report: Report) -> Iterator[Proposal]:
    """Worst first, as the report lists them."""
    for finding in report.findings:
        for remedy in finding.remedy:
            yield Proposal(finding, remedy)


def _why_not(one: Proposal, level: Severity) -> str:
    """Why a remedy is not taken; "" when it is."""
    from srgan_cli.config import names

    path = tuple(one.remedy.key.split("."))
    new = one.remedy.new
    if path not in names.all_keys():
        return "no key of the configuration does it"
    if new is None:
        return "the value is yours to choose"
    if isinstance(new, str) and new not in names.options(path):
        return "the value is yours to choose"
    if SEVERITIES.index(one.finding.severity) < SEVERITIES.index(level):
        return f"only {one.finding.severity}, below {level}"
    if one.remedy.why.startswith(_ALTERNATIVE):
        return "another way to the same end; choose one"
    return ""


def _conflict(earlier: Proposal | None) -> str:
    if earlier is None:
        return ""
    finding = earlier.finding
    return (
        f"{finding.code} ({finding.severity}) decides this key: {value_words(earlier.remedy.new)}"
    )


def _current(text: str, key: str) -> Any:
    """The value that the configuration has now, defaults included."""
    from srgan_cli.config import load_text

    value: Any = load_text(text, "the run's configuration").config.model_dump(by_alias=True)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return list(value) if isinstance(value, tuple) else value


def _comment(one: Proposal) -> Iterator[str]:
    was = "" if one.remedy.old is None else f", was {value_words(one.remedy.old)}"
    yield from textwrap.wrap(f"{one.code} ({one.finding.severity}){was}: {one.remedy.why}", _WIDTH)


def _heading(report: Report, changed: list[str], left: list[str]) -> str:
    if not changed and not left:
        return ""
    lines = [f"`srgan diagnose --fix` after {report.source}, step {report.last_step}"]
    lines.append(report.verdict)
    for title, group in (("Changed:", changed), ("Left to you:", left)):
        if group:
            lines.append(title)
            for line in group:
                lines += textwrap.wrap(line, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "".join(f"# {line}\n" for line in lines) + "\n"


def _words(remedy: Remedy) -> str:
    change, why = remedy_words(remedy)
    return f"{change} ({why})" if why else change
