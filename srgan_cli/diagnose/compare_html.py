"""A comparison of runs as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from srgan_cli.diagnose.compare import Comparison, Difference
from srgan_cli.diagnose.compare_charts import MAX_RUNS, common_phases, compared_panels
from srgan_cli.diagnose.compare_text import CAVEAT, UNKNOWN_IMAGES, difference_words, names_of
from srgan_cli.diagnose.html_page import SEVERITY_WORDS, SIGNS, documentation, escape, figure, page
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.plots import draw
from srgan_cli.diagnose.report import Severity
from srgan_cli.diagnose.text import value_words


def comparison_html(comparison: Comparison, logs: Sequence[RunLog]) -> str:
    """The page: verdicts, validation, findings and settings that differ, the curves of all runs.

    Args:
        comparison: What `compare_runs` found.
        logs: The runs, in the same order, for the curves.
    """
    title = " and ".join(report.source for report in comparison.reports)
    return "".join(page(f"Comparison of {title}", _body(comparison, logs)))


def _body(comparison: Comparison, logs: Sequence[RunLog]) -> Iterator[str]:
    names = names_of(comparison)
    yield from _summary(comparison, names)
    yield "<main>\n"
    yield from _validation(comparison, names)
    yield from _findings(comparison, names)
    yield from _settings(comparison, names)
    yield from _curves(logs, names)
    yield "</main>\n"
    codes = {code for code, _ in comparison.findings}
    if codes:
        yield from documentation((), codes)


def _summary(comparison: Comparison, names: Sequence[str]) -> Iterator[str]:
    reports = comparison.reports
    yield f"<header>\n<h1>Comparison of {len(reports)} runs</h1>\n"
    for name, verdict in zip(names[1:], comparison.verdicts, strict=True):
        yield f'<p class="verdict info">{name} against A: {escape(verdict)}</p>\n'
    if any(isinstance(one, Difference) for row in comparison.metrics for one in row.differences):
        yield f'<p class="muted">{escape(_sentence(CAVEAT))}</p>\n'
        if comparison.settings_trouble:
            yield f'<p class="muted">{escape(_sentence(UNKNOWN_IMAGES))}</p>\n'
    rows = [
        ("run", [escape(report.source) for report in reports]),
        ("state", [_tag(report.worst, report.verdict) for report in reports]),
        ("read", [escape(f"{report.form}, {report.coverage}") for report in reports]),
        ("schedule", [escape(report.overview.schedule) for report in reports]),
        ("balance", [escape(text) for text in comparison.balances]),
        ("images", [escape(report.overview.images) for report in reports]),
    ]
    yield from _table(["", *names], ([label, *cells] for label, cells in rows))
    yield "</header>\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _tag(severity: Severity, text: str) -> str:
    return f'<span class="tag {severity}">{SIGNS[severity]}</span> {escape(text)}'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Cells are HTML; the first of a row is its head."""
    yield "<table>\n<tr>" + "".join(f'<th scope="col">{cell}</th>' for cell in head) + "</tr>\n"
    for first, *others in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>\n'
    yield "</table>\n"


def _validation(comparison: Comparison, names: Sequence[str]) -> Iterator[str]:
    yield "<section>\n<h2>Validation</h2>\n"
    if comparison.metrics_trouble:
        yield f'<p class="empty">Not compared: {escape(comparison.metrics_trouble)}.</p>\n'
    if not comparison.metrics:
        yield '<p class="empty">No validation metric is in the logs.</p>\n</section>\n'
        return
    yield '<p class="muted">In the last phase: median of the last three validations; best.</p>\n'
    against = [] if comparison.metrics_trouble else [f"{name} against A" for name in names[1:]]
    rows = []
    for metric in comparison.metrics:
        cells = [f"{metric.name} ({metric.better} is better)"]
        cells += [
            "not logged"
            if run is None
            else f"{run.final:.5g}; {run.best:.5g} at step {run.best_step}"
            for run in metric.runs
        ]
        cells += [escape(difference_words(one)) for one in metric.differences if against]
        rows.append(cells)
    yield from _table(["metric", *names, *against], rows)
    yield "</section>\n"


def _findings(comparison: Comparison, names: Sequence[str]) -> Iterator[str]:
    yield "<section>\n<h2>Findings that differ</h2>\n"
    if not comparison.findings:
        yield "<p>None.</p>\n"
    else:
        rows = (
            [
                f'<a href="#doc-{code}">{code}</a>',
                *(_finding(comparison, code, index, one) for index, one in enumerate(severities)),
            ]
            for code, severities in comparison.findings
        )
        yield from _table(["code", *names], rows)
    yield "</section>\n"


def _finding(comparison: Comparison, code: str, index: int, severity: Severity | None) -> str:
    """How severe it is in a run, and what was found there."""
    if severity is None:
        return "not found"
    found = next(one for one in comparison.reports[index].findings if one.code == code)
    words = f'<span class="tag {severity}">{SIGNS[severity]} {SEVERITY_WORDS[severity]}</span>'
    return f"{words} {escape(found.title)}: {escape(found.message)}"


def _settings(comparison: Comparison, names: Sequence[str]) -> Iterator[str]:
    yield "<section>\n<h2>Settings that differ</h2>\n"
    if comparison.settings_trouble:
        yield f'<p class="empty">Not compared: {escape(comparison.settings_trouble)}.</p>\n'
    elif not comparison.settings:
        yield "<p>None.</p>\n"
    else:
        rows = (
            [
                f"<code>{escape(one.key)}</code>",
                *(escape(value_words(value)) for value in one.values),
            ]
            for one in comparison.settings
        )
        yield from _table(["key", *names], rows)
    yield "</section>\n"


def _curves(logs: Sequence[RunLog], names: Sequence[str]) -> Iterator[str]:
    yield "<section>\n<h2>Curves</h2>\n"
    which = "" if len(logs) <= MAX_RUNS else f" The first {MAX_RUNS} runs are drawn."
    yield (
        '<p class="muted">Pale: every value, or the smallest and largest of many. Strong: the '
        f"median. Shaded: the phases of A.{which}</p>\n"
    )
    phases = common_phases(logs[:MAX_RUNS])
    for panel in compared_panels(logs, names):
        yield figure(panel, draw(panel, phases))
    yield "</section>\n"
