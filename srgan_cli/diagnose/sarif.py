"""The report as SARIF 2.1.0, for code scanning and editors.

Findings are results at the line of config.yaml whose key they ask to change. GitHub shows every
result as an alert, so checks that could not be made are notifications of the invocation instead, and
what was confirmed is a property of the run. (OASIS Static Analysis Results Interchange Format 2.1.0)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from srgan_cli import __version__
from srgan_cli.diagnose.report import Finding, NotChecked, Report, Severity
from srgan_cli.diagnose.report_json import finite, to_json
from srgan_cli.diagnose.rules import RULES, Rule
from srgan_cli.diagnose.text import remedy_words
from srgan_cli.errors import SrganError

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
LEVELS: Final[Mapping[Severity, str]] = {"error": "error", "warn": "warning", "info": "note"}
"""What is confirmed ("ok") is no result."""
_NOT_CHECKED: Final = "notChecked"
_DISTRIBUTION: Final = "srgan-cli"
_RULE_INDEX: Final = {rule.code: index for index, rule in enumerate(RULES)}


def report_sarif(
    report: Report, config: Path | None = None, base: Path | None = None
) -> dict[str, Any]:
    """A SARIF log with one run.

    Args:
        report: The diagnosis.
        config: The configuration of the run, where it has one.
        base: Folder that addresses are relative to, usually that of the repository; files
            outside of it get absolute ones.
    """
    places = _Places(report, config, base)
    found = [finding for finding in report.findings if finding.severity in LEVELS]
    confirmed = [f"{one.code}: {one.message}" for one in report.findings if one not in found]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver()},
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            _notification(one) for one in report.not_checked
                        ],
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, places) for finding in found],
                "properties": {
                    "verdict": report.verdict,
                    "phase": report.phase,
                    "steps": dict(to_json(report)["steps"]),
                    "checked": list(report.checked),
                    "confirmed": confirmed,
                },
            }
        ],
    }


def _driver() -> dict[str, Any]:
    address = _address_of_docs()
    return {
        "name": "srgan diagnose",
        "version": __version__,
        "semanticVersion": __version__,
        "notifications": [
            {
                "id": _NOT_CHECKED,
                "shortDescription": {"text": "A check that could not be made, and why."},
            }
        ],
        "rules": [_descriptor(rule, address) for rule in RULES],
    }


def _descriptor(rule: Rule, address: str | None) -> dict[str, Any]:
    page = f"diagnosis/{rule.code}.md"
    return {
        "id": rule.code,
        "name": "".join(word.capitalize() for word in rule.title.replace("'", "").split()),
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": _paragraphs(rule.documentation)[0]},
        "help": {"text": rule.documentation, "markdown": rule.documentation},
        **({"helpUri": f"{address}/{page}"} if address else {}),
        "properties": {"tags": [rule.code.rstrip("0123456789")], "page": f"docs/{page}"},
    }


def _address_of_docs() -> str | None:
    """The `Documentation` address of pyproject.toml, where docs/ is published; None without one.

    SARIF wants absolute addresses here, so that a page in the source tree is a property instead.
    """
    try:
        given = importlib.metadata.metadata(_DISTRIBUTION).get_all("Project-URL") or ()
    except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
        return None
    for label, _, address in (line.partition(", ") for line in given):
        if label.lower() == "documentation":
            return str(address).rstrip("/")
    return None


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _notification(skipped: NotChecked) -> dict[str, Any]:
    return {
        "level": "note",
        "message": {"text": f"{skipped.code} was not checked: {skipped.reason}"},
        "descriptor": {"id": _NOT_CHECKED, "index": 0},
        "associatedRule": _rule(skipped.code),
    }


def _rule(code: str) -> dict[str, Any]:
    return {"id": code, "index": _RULE_INDEX[code]} if code in _RULE_INDEX else {"id": code}


def _result(finding: Finding, places: _Places) -> dict[str, Any]:
    uri, line = places.of(finding)
    print_of = hashlib.sha256(f"{finding.code} {uri}".encode()).hexdigest()[:16]
    advice = "".join(f"\n- {_advice(finding, index)}" for index in range(len(finding.remedy)))
    text = f"{finding.title}: {finding.message}."
    return {
        "ruleId": finding.code,
        "rule": _rule(finding.code),
        "level": LEVELS[finding.severity],
        "kind": "fail",
        "message": {"text": f"{text}\nWhat to change:{advice}" if advice else text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri},
                    "region": {"startLine": line},
                }
            }
        ],
        # One alert a code and file, however often the training is repeated.
        "partialFingerprints": {"primaryLocationLineHash": f"{print_of}:1"},
        "properties": {
            "window": list(finding.window),
            "phase": finding.phase,
            "confidence": finding.confidence,
            "explains": list(finding.explains),
            "evidence": finite(dict(finding.evidence)),
        },
    }


def _advice(finding: Finding, index: int) -> str:
    change, why = remedy_words(finding.remedy[index])
    return f"{change} ({why})" if why else change


class _Places:
    """Where a finding is shown: the line of its first key in the configuration, else line 1."""

    def __init__(self, report: Report, config: Path | None, base: Path | None) -> None:
        from srgan_cli.config.edit import written_keys
        from srgan_cli.config.load import read_text

        self._lines: dict[tuple[str, ...], int] = {}
        shown = Path(report.source)
        if config is not None:
            try:
                self._lines = {
                    key: mark.line for key, mark in written_keys(read_text(config)).items()
                }
                shown = config
            except SrganError:
                # A damaged configuration is a matter of the report, not of its format.
                shown = config
        elif shown.is_dir():
            shown = shown / "metrics.jsonl"
        self._uri = _uri(shown, base)

    def of(self, finding: Finding) -> tuple[str, int]:
        """Address and line."""
        for remedy in finding.remedy:
            line = self._lines.get(tuple(remedy.key.split(".")), 0)
            if line:
                return self._uri, line
        return self._uri, 1


def _uri(path: Path, base: Path | None) -> str:
    from urllib.parse import quote

    full = path.resolve()
    if base is not None and full.is_relative_to(base.resolve()):
        return quote(full.relative_to(base.resolve()).as_posix())
    return full.as_uri()
