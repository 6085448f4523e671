"""The report as one HTML file: no request to anywhere, no script, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from srgan_cli.diagnose.charts import panels_of
from srgan_cli.diagnose.grid_charts import phase_map
from srgan_cli.diagnose.html_page import (
    SEVERITY_WORDS,
    SIGNS,
    documentation,
    escape,
    figure,
    page,
)
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.panels import phases_of
from srgan_cli.diagnose.plots import draw, draw_map
from srgan_cli.diagnose.previews import Picture, last_pictures
from srgan_cli.diagnose.report import Finding, Report
from srgan_cli.diagnose.text import by_reason, remedy_words, steps_words

_HALF_WIDTH_IN: Final = 4.6


def report_html(report: Report, log: RunLog | None) -> str:
    """The page: verdict, findings, plots, the last pictures, what was not checked, documentation.

    It needs nothing but itself, and stays below 3 MB whatever the length of the log. Without a log, of
    a single image or a weights file, it has no curves.
    """
    return "".join(page(f"{report.source}: {report.verdict}", _body(report, log)))


def _body(report: Report, log: RunLog | None) -> Iterator[str]:
    yield from _summary(report)
    yield from _findings(report)
    if log is not None:
        yield from _plots(report, log)
        yield from _pictures(last_pictures(log))
    yield from _checks(report)
    named = {code for one in report.findings for code in (one.code, *one.explains)}
    yield from documentation(named)


def _summary(report: Report) -> Iterator[str]:
    yield f"<header>\n<h1>{escape(report.source)}</h1>\n"
    yield f'<p class="verdict {report.worst}">{SIGNS[report.worst]} {escape(report.verdict)}</p>\n'
    if report.findings:
        links = ", ".join(
            f'<a href="#{one.code}">{one.code} {escape(one.title)}</a>' for one in report.findings
        )
        yield f"<p>{links}</p>\n"
    overview = report.overview
    rows = [
        ("read", f"{report.form}, {report.coverage}"),
        ("schedule", overview.schedule),
        ("balance", overview.balance),
        ("plan", overview.plan),
        ("images", overview.images),
        *[("note", note) for note in report.notes],
    ]
    yield "<dl>\n"
    for label, text in rows:
        yield f"<dt>{label}</dt><dd>{escape(text)}</dd>\n"
    yield "</dl>\n</header>\n<main>\n"


def _findings(report: Report) -> Iterator[str]:
    yield "<section>\n<h2>Findings</h2>\n"
    if not report.findings:
        yield "<p>None.</p>\n"
    for finding in report.findings:
        yield from _card(finding)
    yield "</section>\n"


def _card(finding: Finding) -> Iterator[str]:
    severity = finding.severity
    yield f'<article class="card {severity}" id="{finding.code}">\n'
    yield f'<h3><span class="tag {severity}">{SIGNS[severity]} {SEVERITY_WORDS[severity]} '
    yield f"{finding.code}</span> {escape(finding.title)}</h3>\n"
    yield f'<p class="muted">{escape(steps_words(finding))}</p>\n'
    yield f"<p>{escape(finding.message)}</p>\n"
    if finding.remedy:
        yield "<p>What to change:</p>\n<ul>\n"
        for remedy in finding.remedy:
            change, why = remedy_words(remedy)
            reason = f": {escape(why)}" if why else ""
            yield f"<li><code>{escape(change)}</code>{reason}</li>\n"
        yield "</ul>\n"
    if finding.explains:
        yield f'<p class="muted">This also explains {_doc_links(finding.explains)}.</p>\n'
    yield f'<p><a href="#doc-{finding.code}">What {finding.code} means</a></p>\n</article>\n'


def _doc_links(codes: Iterable[str]) -> str:
    return ", ".join(f'<a href="#doc-{code}">{code}</a>' for code in codes)


def _plots(report: Report, log: RunLog) -> Iterator[str]:
    phases = phases_of(log)
    panels = panels_of(log, report)
    yield "<section>\n<h2>Curves</h2>\n"
    yield '<p class="muted">Pale: every value, or the smallest and largest of many. Strong: the median. '
    yield "A bar with a code: the steps that a finding rests on.</p>\n"
    half = [panel for panel in panels if panel.name == "validation" and not panel.empty]
    for panel in panels:
        if panel not in half:
            yield figure(panel, "" if panel.empty else draw(panel, phases))
        elif panel is half[0]:
            yield '<div class="half">\n'
            yield from (figure(one, draw(one, phases, width_in=_HALF_WIDTH_IN)) for one in half)
            yield "</div>\n"
        if panel.name == "grid":
            yield from _phase_map(log)
    yield "</section>\n"


def _phase_map(log: RunLog) -> Iterator[str]:
    found = phase_map(log)
    if found.pattern is None:
        return
    yield f'<figure class="small"><figcaption>{escape(found.title)}</figcaption>{draw_map(found)}'
    yield '<p class="muted">Mean deviation of each output phase, in % of the value range.</p></figure>\n'


def _pictures(pictures: tuple[Picture, ...] | str) -> Iterator[str]:
    yield "<section>\n<h2>Last panels</h2>\n"
    if isinstance(pictures, str):
        yield f'<p class="empty">Nothing to show: {escape(pictures)}.</p>\n'
    else:
        for picture in pictures:
            yield f"<figure><figcaption>{escape(picture.caption)}</figcaption>"
            yield f'<img src="{picture.address}" alt="{escape(picture.description)}"></figure>\n'
    yield "</section>\n"


def _checks(report: Report) -> Iterator[str]:
    yield "<section>\n<h2>Not checked</h2>\n"
    if report.not_checked:
        yield "<ul>\n"
        for codes, reason in by_reason(report.not_checked):
            yield f"<li>{_doc_links(codes)}: {escape(reason)}</li>\n"
        yield "</ul>\n"
    else:
        yield "<p>Every check could be made.</p>\n"
    yield f"<h2>Checked</h2>\n<p>{_doc_links(report.checked)}</p>\n</section>\n</main>\n"
