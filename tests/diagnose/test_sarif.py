"""SARIF 2.1.0: what the standard and GitHub's code scanning ask for."""

from __future__ import annotations

import importlib.metadata
import json
from email.message import Message
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from planted import PLANTED
from synthetic_runs import Run, constant, write_csv, write_folder

from srgan_cli.diagnose import diagnose_run
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.sarif import report_sarif

TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}


def strict(required: str, **properties: Any) -> dict[str, Any]:
    """An object of SARIF, in which a property that the standard does not know is an error."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def listed(item: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least}


ANY: dict[str, Any] = {}
BAG = {"type": "object"}
WORD = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
RULE_REFERENCE = strict("id", id=WORD, index={"type": "integer", "minimum": 0})
RULE = strict(
    "id shortDescription fullDescription help",
    id=WORD,
    name=WORD,
    shortDescription=TEXT,
    fullDescription=TEXT,
    help=TEXT,
    helpUri={"type": "string", "pattern": r"^https?://[^\s]+$"},
    properties=BAG,
)
PLACE = strict(
    "physicalLocation",
    physicalLocation=strict(
        "artifactLocation region",
        artifactLocation=strict("uri", uri={"type": "string", "pattern": r"^[^\s\\]+$"}),
        region=strict("startLine", startLine={"type": "integer", "minimum": 1}),
    ),
)
RESULT = strict(
    "ruleId message locations partialFingerprints",
    ruleId=WORD,
    rule=RULE_REFERENCE,
    level={"enum": ["note", "warning", "error"]},
    kind={"const": "fail"},
    message=TEXT,
    locations=listed(PLACE, 1),
    partialFingerprints=strict("primaryLocationLineHash", primaryLocationLineHash=WORD),
    properties=BAG,
)
NOTIFICATION = strict(
    "message",
    level=LEVEL,
    message=TEXT,
    descriptor=RULE_REFERENCE,
    associatedRule=RULE_REFERENCE,
)
INVOCATION = strict(
    "executionSuccessful",
    executionSuccessful={"type": "boolean"},
    toolExecutionNotifications=listed(NOTIFICATION),
)
DRIVER = strict(
    "name rules",
    name=WORD,
    version=WORD,
    semanticVersion=WORD,
    rules=listed(RULE, 1),
    notifications=listed(strict("id", id=WORD, shortDescription=TEXT)),
)
LOG = strict(
    "version runs",
    **{"$schema": {"type": "string", "pattern": "sarif-schema-2.1.0.json$"}},
    version={"const": "2.1.0"},
    runs=listed(
        strict(
            "tool results",
            tool=strict("driver", driver=DRIVER),
            invocations=listed(INVOCATION),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=listed(RESULT),
            properties=BAG,
        ),
        1,
    ),
)


def valid(sarif: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(sarif, allow_nan=False))
    jsonschema.Draft202012Validator(LOG).validate(read)
    return read["runs"][0]


def faulty(path: Path) -> Path:
    return write_folder(Run(q=constant(0.85), d_rate=2e-3), path)


@pytest.mark.parametrize("code", [rule.code for rule in RULES if rule.code in PLANTED])
def test_every_planted_fault_gives_valid_sarif(code: str, diagnosed) -> None:
    folder, _, report = diagnosed(code)
    run = valid(report_sarif(report, folder / "config.yaml", folder))
    found = {result["ruleId"]: result for result in run["results"]}
    severity = next(finding.severity for finding in report.findings if finding.code == code)
    if severity == "ok":
        assert code not in found, "GitHub would show an alert for something good"
        assert run["properties"]["confirmed"][0].startswith(f"{code}: ")
    else:
        assert (
            found[code]["level"] == {"info": "note", "warn": "warning", "error": "error"}[severity]
        )


def test_a_finding_stands_at_the_line_of_its_key(tmp_path: Path) -> None:
    folder = faulty(tmp_path / "run")
    run = valid(report_sarif(diagnose_run(folder), folder / "config.yaml", tmp_path))
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "run/config.yaml"
    lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert "optim_d_lr" in lines[place["region"]["startLine"] - 1]
    assert "- Optimizers.optim_d_lr: 0.002 -> 0.0001" in result["message"]["text"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            ["Documentation, https://example.org/docs/"],
            "https://example.org/docs/diagnosis/GAN01.md",
        ),
        (["Repository, https://example.org/srgan"], None),
        ([], None),
        (None, None),
    ],
)
def test_rules_name_their_pages(
    given: list[str] | None, wanted: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def metadata(name: str) -> Message:
        if given is None:
            raise importlib.metadata.PackageNotFoundError(name)
        found = Message()
        for line in given:
            found["Project-URL"] = line
        return found

    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    run = valid(report_sarif(diagnose_run(faulty(tmp_path / "run")), None, tmp_path))
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["GAN01"].get("helpUri") == wanted
    root = Path(__file__).parents[2]
    assert all((root / rule["properties"]["page"]).is_file() for rule in rules.values())


def test_rules_are_found_by_their_index(tmp_path: Path) -> None:
    folder = faulty(tmp_path / "run")
    run = valid(report_sarif(diagnose_run(folder), folder / "config.yaml", tmp_path))
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    for reference in [
        *[result["rule"] for result in run["results"]],
        *[note["associatedRule"] for note in run["invocations"][0]["toolExecutionNotifications"]],
    ]:
        assert rules[reference["index"]]["id"] == reference["id"]


def test_what_was_not_checked_is_a_notification(tmp_path: Path) -> None:
    folder = faulty(tmp_path / "run")
    report = diagnose_run(folder)
    run = valid(report_sarif(report, folder / "config.yaml", tmp_path))
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert [note["associatedRule"]["id"] for note in notes] == [
        one.code for one in report.not_checked
    ]
    assert all("was not checked: " in note["message"]["text"] for note in notes)


def test_the_same_finding_keeps_its_fingerprint(tmp_path: Path) -> None:
    def prints(path: Path) -> list[str]:
        run = valid(report_sarif(diagnose_run(path), path / "config.yaml", path))
        return [
            result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]
        ]

    assert prints(faulty(tmp_path / "a")) == prints(faulty(tmp_path / "b"))


def test_without_a_configuration_the_log_is_the_place(tmp_path: Path) -> None:
    log = write_csv(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "my metrics.csv")
    run = valid(report_sarif(diagnose_run(log), None, tmp_path))
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "my%20metrics.csv"}, "region": {"startLine": 1}}
    run = valid(report_sarif(diagnose_run(log), None, tmp_path / "elsewhere"))
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.startswith("file:///")


def test_a_damaged_configuration_gives_line_one(tmp_path: Path) -> None:
    folder = faulty(tmp_path / "run")
    (folder / "config.yaml").write_text("a: [\n", encoding="utf-8")
    run = valid(report_sarif(diagnose_run(folder), folder / "config.yaml", tmp_path))
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1}


def test_command(srgan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    faulty(tmp_path / "run")
    code, _, err = srgan("diagnose", "run", "--sarif", "out.sarif")
    assert code == 1
    assert "wrote out.sarif" in err
    run = valid(json.loads((tmp_path / "out.sarif").read_text(encoding="utf-8")))
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "run/config.yaml"
    code, out, err = srgan("diagnose", "run", "--sarif", "missing/out.sarif")
    assert (code, out) == (2, "")
    assert "there is no folder missing" in err
    code, _, err = srgan("diagnose", "run", "--sarif", "out.sarif")
    assert code == 2
    assert "out.sarif exists" in err
