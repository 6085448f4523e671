"""Writes docs/diagnosis.md, docs/diagnosis/ and the JSON schemas: run by `make docs`.

The examples are the runs that the tests plant, so that a page shows what is known to be found.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from planted import PLANTED

from srgan_cli.diagnose import Report, examine
from srgan_cli.diagnose.charts import panel_of
from srgan_cli.diagnose.compare_json import comparison_schema
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.pages import Example, code_pages, index_page
from srgan_cli.diagnose.panels import Panel, Phases, fingerprint, phases_of
from srgan_cli.diagnose.plots import draw
from srgan_cli.diagnose.report_json import report_schema
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.svg import standalone

ROOT = Path(__file__).parents[1]
MAX_POINTS = 200


def example(code: str, log: RunLog, report: Report) -> tuple[Example, Panel | None, Phases]:
    """What a planted run gives: its example, and the plot that shows it."""
    words, phases = PLANTED[code].words, phases_of(log)
    panel = panel_of(log, report, code, max_points=MAX_POINTS)
    if panel is None:
        return Example(words, report), None, phases
    return Example(words, report, f"{code}.svg", panel.description), panel, phases


def mark(panel: Panel, phases: Phases) -> str:
    """The comment by which a drawing tells what it shows."""
    return f"<!-- plotted {fingerprint(panel, phases)} -->"


def main() -> None:
    """Write all files, and remove those of codes that are gone."""
    docs = ROOT / "docs"
    pages = docs / "diagnosis"
    pages.mkdir(exist_ok=True)
    examples: dict[str, Example] = {}
    drawings: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for code, planted in PLANTED.items():
            if code not in {rule.code for rule in RULES}:
                continue
            log = planted.read(planted.make(Path(folder) / code))
            examples[code], panel, phases = example(code, log, examine(log))
            if panel is not None:
                svg = standalone(draw(panel, phases))
                drawings[f"{code}.svg"] = svg.replace("<title>", f"{mark(panel, phases)}<title>", 1)
    written = code_pages(examples) | drawings
    for name, text in written.items():
        (pages / name).write_text(text, encoding="utf-8")
    for stale in set(pages.iterdir()) - {pages / name for name in written}:
        stale.unlink()
    (docs / "diagnosis.md").write_text(index_page(), encoding="utf-8")
    schemas = {"diagnosis": report_schema(), "comparison": comparison_schema()}
    for name, schema in schemas.items():
        text = json.dumps(schema, indent=2) + "\n"
        (docs / f"{name}.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
