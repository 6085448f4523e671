"""The documentation of the codes is made from the rules, and its examples show what they say."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from planted import PLANTED

from srgan_cli.diagnose.charts import panel_for
from srgan_cli.diagnose.compare_json import comparison_schema
from srgan_cli.diagnose.pages import Example, code_pages, index_page
from srgan_cli.diagnose.plots import draw
from srgan_cli.diagnose.report_json import report_schema
from srgan_cli.diagnose.rules import RULES, Rule
from srgan_cli.diagnose.svg import standalone

DOCS = Path(__file__).parents[2] / "docs"
CODES = [rule.code for rule in RULES]
AGAIN = "run `make docs`"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_diagnosis", DOCS / "make_diagnosis.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(code: str) -> str:
    return (DOCS / "diagnosis" / f"{code}.md").read_text(encoding="utf-8")


def test_the_index_lists_every_code() -> None:
    written = (DOCS / "diagnosis.md").read_text(encoding="utf-8")
    assert written == index_page(), AGAIN
    for rule in RULES:
        assert f"| [{rule.code}](diagnosis/{rule.code}.md) | {rule.title} |\n" in written
        assert len(rule.documentation) > 60


def test_there_is_a_page_for_every_code_and_no_other() -> None:
    pages = {path.stem for path in (DOCS / "diagnosis").glob("*.md")}
    assert pages == set(CODES), AGAIN
    drawn = {path.stem for path in (DOCS / "diagnosis").glob("*.svg")}
    assert drawn == {code for code in CODES if code in PLANTED and panel_for(code)}, AGAIN


@pytest.mark.parametrize("code", [code for code in CODES if code in PLANTED])
def test_a_planted_fault_is_found_and_its_page_is_up_to_date(code: str, diagnosed) -> None:
    make = maker()
    _, log, report = diagnosed(code)
    example, panel, phases = make.example(code, log, report)
    assert code in [finding.code for finding in example.report.findings]
    assert page(code) == code_pages({code: example})[f"{code}.md"], AGAIN
    if panel is None:
        assert "No curve shows it; look at the panels" in page(code)
        return
    svg = (DOCS / "diagnosis" / f"{code}.svg").read_text(encoding="utf-8")
    assert make.mark(panel, phases) in svg, AGAIN
    assert len(svg) < 40_000
    assert not panel.empty
    assert code in re.findall(r">([A-Z]{3}\d\d)</text>", svg), "the finding's steps are not marked"


def test_a_code_without_an_example_says_so() -> None:
    without = code_pages({})
    assert all("There is no example of this code yet." in text for text in without.values())
    assert set(CODES) == set(PLANTED), "every code has an example"


def test_a_new_rule_gets_its_page_by_itself() -> None:
    def check(log: object) -> None:
        """The discriminator answers in rhymes."""

    pages = code_pages({}, [*RULES, Rule("NEW07", "Rhymes", check)])
    assert pages["NEW07.md"].startswith("# NEW07: Rhymes\n")
    assert "answers in rhymes" in pages["NEW07.md"]


def test_a_code_that_no_curve_shows_says_so(diagnosed) -> None:
    assert panel_for("IMG05") == ""
    report = diagnosed("IMG01").report
    rule = next(rule for rule in RULES if rule.code == "IMG01")
    text = code_pages({"IMG01": Example("a pattern", report)}, [rule])["IMG01.md"]
    assert "No curve shows it; look at the panels in `images/`." in text
    assert ".svg" not in text


def test_links_lead_somewhere() -> None:
    for path in (DOCS / "diagnosis").glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).is_file(), f"{path.name} -> {target}"


def test_drawing_again_gives_the_same_bytes(diagnosed) -> None:
    _, log, report = diagnosed("GAN02")
    _, panel, phases = maker().example("GAN02", log, report)
    first, second = (standalone(draw(panel, phases)) for _ in range(2))
    assert first == second
    assert not re.search(r"\d{4}-\d\d-\d\d", first), "a date makes every drawing differ"


@pytest.mark.parametrize(
    ("name", "schema"), [("diagnosis", report_schema), ("comparison", comparison_schema)]
)
def test_the_published_schemas_are_those_in_use(name: str, schema) -> None:
    published = json.loads((DOCS / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert published == schema(), AGAIN
