"""The report as one HTML file: no request to anywhere, no script, readable in light and dark."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import Final

from srgan_cli import __version__
from srgan_cli.diagnose.charts import panels_of
from srgan_cli.diagnose.grid_charts import phase_map
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.panels import Panel, phases_of
from srgan_cli.diagnose.plots import draw, draw_map
from srgan_cli.diagnose.previews import Picture, last_pictures
from srgan_cli.diagnose.report import Finding, Report
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.svg import variables
from srgan_cli.diagnose.text import by_reason, remedy_words, steps_words

_SEVERITY_WORDS: Final = {"error": "Error", "warn": "Warning", "info": "Note", "ok": "Good"}
_SIGNS: Final = {"error": "\u2716", "warn": "\u26a0", "info": "\u2139", "ok": "\u2714"}
_HALF_WIDTH_IN: Final = 4.6

_NOTHING_FROM_OUTSIDE: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser refuses every request and every script, whatever a log may hold."""

_STYLE: Final = """\
:root{color-scheme:light dark;--page:#ffffff;--card:#f7f8f9;--line:#d4d7da;--error:#b3261e;--warn:#8a5a00;--info:#0b57a4;--ok:#1c6b3a}
@media (prefers-color-scheme:dark){:root{--page:#16181a;--card:#1f2225;--line:#3c4043;--error:#ff8a80;--warn:#ffc766;--info:#8ec5ff;--ok:#7fd6a0}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:64rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 .3rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}h3{font-size:1.05rem;margin:0}
a{color:var(--info)}p{margin:.4rem 0}
.verdict{font-size:1.15rem;font-weight:600;border-left:.4rem solid;padding:.4rem .8rem;background:var(--card)}
.error{border-color:var(--error)}.warn{border-color:var(--warn)}.info{border-color:var(--info)}.ok{border-color:var(--ok)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:1rem 0}dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
.card{border:1px solid var(--line);border-left:.4rem solid;border-radius:.3rem;padding:.8rem 1rem;margin:.8rem 0;background:var(--card)}
.card.error{border-left-color:var(--error)}.card.warn{border-left-color:var(--warn)}.card.info{border-left-color:var(--info)}.card.ok{border-left-color:var(--ok)}
.tag{font-weight:600;white-space:nowrap}.tag.error{color:var(--error)}.tag.warn{color:var(--warn)}.tag.info{color:var(--info)}.tag.ok{color:var(--ok)}
.muted{color:var(--muted)}code{font-family:ui-monospace,monospace;font-size:.92em;overflow-wrap:anywhere}
details{margin:.5rem 0 0}summary{cursor:pointer;color:var(--muted)}
figure{margin:1rem 0}figure svg,figure img{width:100%;height:auto;display:block}figcaption{font-weight:600;margin-bottom:.2rem}
.half{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0 1.2rem}.small{max-width:22rem}
.empty{border:1px dashed var(--line);padding:.6rem .9rem;color:var(--muted)}
svg text{font-family:system-ui,sans-serif!important}
@media print{body{max-width:none}.card,figure{break-inside:avoid}}
"""


def report_html(report: Report, log: RunLog | None) -> str:
    """The page: verdict, findings, plots, the last pictures, what was not checked, documentation.

    It needs nothing but itself, and stays below 3 MB whatever the length of the log. Without a log, of
    a single image or a weights file, it has no curves.
    """
    return "".join(_page(report, log))


def _page(report: Report, log: RunLog | None) -> Iterator[str]:
    title = _escape(f"{report.source}: {report.verdict}")
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}">\n'
    yield f'<meta name="generator" content="srgan {_escape(__version__)}">\n'
    yield f"<title>{title}</title>\n<style>{variables(':root')}\n{_STYLE}</style>\n</head>\n<body>\n"
    yield from _summary(report)
    yield from _findings(report)
    if log is not None:
        yield from _plots(report, log)
        yield from _pictures(last_pictures(log))
    yield from _checks(report)
    yield from _documentation(report)
    yield "</body>\n</html>\n"


def _summary(report: Report) -> Iterator[str]:
    yield f"<header>\n<h1>{_escape(report.source)}</h1>\n"
    yield f'<p class="verdict {report.worst}">{_SIGNS[report.worst]} {_escape(report.verdict)}</p>\n'
    if report.findings:
        links = ", ".join(
            f'<a href="#{one.code}">{one.code} {_escape(one.title)}</a>' for one in report.findings
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
        yield f"<dt>{label}</dt><dd>{_escape(text)}</dd>\n"
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
    yield f'<h3><span class="tag {severity}">{_SIGNS[severity]} {_SEVERITY_WORDS[severity]} '
    yield f"{finding.code}</span> {_escape(finding.title)}</h3>\n"
    yield f'<p class="muted">{_escape(steps_words(finding))}</p>\n'
    yield f"<p>{_escape(finding.message)}</p>\n"
    if finding.remedy:
        yield "<p>What to change:</p>\n<ul>\n"
        for remedy in finding.remedy:
            change, why = remedy_words(remedy)
            reason = f": {_escape(why)}" if why else ""
            yield f"<li><code>{_escape(change)}</code>{reason}</li>\n"
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
            yield _figure(panel, "" if panel.empty else draw(panel, phases))
        elif panel is half[0]:
            yield '<div class="half">\n'
            yield from (_figure(one, draw(one, phases, width_in=_HALF_WIDTH_IN)) for one in half)
            yield "</div>\n"
        if panel.name == "grid":
            yield from _phase_map(log)
    yield "</section>\n"


def _figure(panel: Panel, svg: str) -> str:
    title = f"<figcaption>{_escape(panel.title)}</figcaption>"
    if panel.empty:
        return f'<figure>{title}<p class="empty">Nothing to show: {_escape(panel.empty)}.</p></figure>\n'
    return f"<figure>{title}{svg}</figure>\n"


def _phase_map(log: RunLog) -> Iterator[str]:
    found = phase_map(log)
    if found.pattern is None:
        return
    yield f'<figure class="small"><figcaption>{_escape(found.title)}</figcaption>{draw_map(found)}'
    yield '<p class="muted">Mean deviation of each output phase, in % of the value range.</p></figure>\n'


def _pictures(pictures: tuple[Picture, ...] | str) -> Iterator[str]:
    yield "<section>\n<h2>Last panels</h2>\n"
    if isinstance(pictures, str):
        yield f'<p class="empty">Nothing to show: {_escape(pictures)}.</p>\n'
    else:
        for picture in pictures:
            yield f"<figure><figcaption>{_escape(picture.caption)}</figcaption>"
            yield f'<img src="{picture.address}" alt="{_escape(picture.description)}"></figure>\n'
    yield "</section>\n"


def _checks(report: Report) -> Iterator[str]:
    yield "<section>\n<h2>Not checked</h2>\n"
    if report.not_checked:
        yield "<ul>\n"
        for codes, reason in by_reason(report.not_checked):
            yield f"<li>{_doc_links(codes)}: {_escape(reason)}</li>\n"
        yield "</ul>\n"
    else:
        yield "<p>Every check could be made.</p>\n"
    yield f"<h2>Checked</h2>\n<p>{_doc_links(report.checked)}</p>\n</section>\n</main>\n"


def _documentation(report: Report) -> Iterator[str]:
    """Of every code, since the page must explain itself without a network; findings' opened."""
    named = {code for one in report.findings for code in (one.code, *one.explains)}
    yield "<section>\n<h2>What the codes mean</h2>\n"
    for rule in RULES:
        opened = " open" if rule.code in named else ""
        yield f'<details id="doc-{rule.code}"{opened}><summary>{rule.code}: {_escape(rule.title)}</summary>\n'
        for paragraph in rule.documentation.split("\n\n"):
            yield f"<p>{_code(paragraph)}</p>\n"
        yield "</details>\n"
    yield "</section>\n"


def _code(text: str) -> str:
    """Documentation, in which keys stand between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _escape(text))


def _escape(text: str) -> str:
    return html.escape(text)
