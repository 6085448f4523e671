"""The JSON report is what its published schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from planted import PLANTED

from srgan_cli.diagnose import Report, diagnose_run, to_json
from srgan_cli.diagnose.report_json import report_schema
from srgan_cli.diagnose.rules import RULES

ROOT = Path(__file__).parents[2]
RUNS = ROOT.parent / "shared" / "data" / "runs"
SCHEMA = json.loads((ROOT / "docs" / "diagnosis.schema.json").read_text(encoding="utf-8"))


def checked(report: Report) -> dict[str, Any]:
    read = json.loads(json.dumps(to_json(report), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(read)
    return read


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize("code", [rule.code for rule in RULES if rule.code in PLANTED])
def test_reports_of_planted_faults(code: str, diagnosed) -> None:
    report = checked(diagnosed(code).report)
    assert code in [finding["code"] for finding in report["findings"]]


@pytest.mark.skipif(not RUNS.is_dir(), reason="no ../shared/data/runs beside the checkout")
def test_reports_of_real_logs() -> None:
    for folder in sorted(RUNS.iterdir())[::4]:
        if folder.is_dir():
            checked(diagnose_run(folder))


def test_every_field_is_in_the_schema(diagnosed) -> None:
    def compare(value: Any, schema: dict[str, Any], place: str) -> None:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        if "properties" in schema:
            assert set(value) == set(schema["properties"]), place
            for name, inner in schema["properties"].items():
                compare(value[name], inner, f"{place}.{name}")
        for item in value if isinstance(value, list) and "items" in schema else ():
            compare(item, schema["items"], place)

    compare(checked(diagnosed("GAN02").report), SCHEMA, "report")


def test_a_wrong_report_is_refused(diagnosed) -> None:
    report = checked(diagnosed("GAN02").report)
    report["findings"][0]["severity"] = "terrible"
    with pytest.raises(jsonschema.ValidationError, match="terrible"):
        jsonschema.Draft202012Validator(SCHEMA).validate(report)
