"""A comparison of runs as plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from srgan_cli.diagnose.compare import Comparison, Difference, MetricComparison
from srgan_cli.diagnose.text import WIDTH, field, value_words, wrapped

UNKNOWN_IMAGES: Final = "whether both were validated on the same images is not known"
CAVEAT: Final = (
    "one run each: beyond validation noise does not mean beyond what another seed gives; repeat with "
    "another Training.seed before you rely on a small difference"
)


def comparison_text(comparison: Comparison, width: int = WIDTH) -> str:
    """The comparison in lines of at most `width` characters, longer words excepted."""
    return "\n".join(_lines(comparison, width))


def names_of(comparison: Comparison) -> list[str]:
    """A, B, C ... for the runs."""
    return [chr(ord("A") + index) for index in range(len(comparison.reports))]


def _lines(comparison: Comparison, width: int) -> Iterator[str]:
    names = names_of(comparison)
    for name, report in zip(names, comparison.reports, strict=True):
        yield from field(name, report.source, width)
    for name, verdict in zip(names[1:], comparison.verdicts, strict=True):
        yield from field("verdict", f"{name} against A: {verdict}", width)
    if any(isinstance(one, Difference) for row in comparison.metrics for one in row.differences):
        yield from field("", CAVEAT, width)
        if comparison.settings_trouble:
            yield from field("", UNKNOWN_IMAGES, width)
    yield from _titled(
        "schedule", names, [one.overview.schedule for one in comparison.reports], width
    )
    yield from _titled("state", names, [one.verdict for one in comparison.reports], width)
    yield from _titled("balance", names, comparison.balances, width)
    yield from _titled("images", names, [one.overview.images for one in comparison.reports], width)
    yield from _validation(comparison, names, width)
    yield from _settings(comparison, names, width)
    yield from _findings(comparison, names, width)


def _titled(title: str, names: Sequence[str], texts: Sequence[str], width: int) -> Iterator[str]:
    yield ""
    yield title
    groups: dict[str, list[str]] = {}
    for name, text in zip(names, texts, strict=True):
        groups.setdefault(text, []).append(name)
    for text, same in groups.items():
        head = f"  {' '.join(same)}  "
        yield from wrapped(text, head, " " * len(head), width)


def _validation(comparison: Comparison, names: list[str], width: int) -> Iterator[str]:
    yield ""
    title = "validation (in the last phase: median of the last three validations; best)"
    yield from wrapped(title, "", "  ", width)
    if not comparison.metrics:
        yield "  no validation metric is in the logs"
    for metric in comparison.metrics:
        yield f"  {metric.name} ({metric.better} is better)"
        for name, run in zip(names, metric.runs, strict=True):
            text = (
                "not logged"
                if run is None
                else f"{run.final:.5g}; {run.best:.5g} at step {run.best_step}"
            )
            yield f"    {name}    {text}"
        if not comparison.metrics_trouble:
            yield from _differences(metric, names, width)


def _differences(metric: MetricComparison, names: list[str], width: int) -> Iterator[str]:
    for name, one in zip(names[1:], metric.differences, strict=True):
        yield from wrapped(difference_words(one), f"    {name}-A  ", "         ", width)


def difference_words(one: Difference | str) -> str:
    """By how much a run differs from the first one, and whether noise explains it."""
    if isinstance(one, str):
        return f"not judged: {one}"
    beyond = "beyond" if one.significant else "within"
    return (
        f"{one.mean:+.3g} (99 % interval {one.low:+.3g} to {one.high:+.3g}, "
        f"{one.num_pairs} common validations): {beyond} validation noise"
    )


def _settings(comparison: Comparison, names: list[str], width: int) -> Iterator[str]:
    yield ""
    yield "settings that differ"
    if comparison.settings_trouble:
        yield from wrapped(f"not compared: {comparison.settings_trouble}", "  ", "  ", width)
    elif not comparison.settings:
        yield "  none"
    for one in comparison.settings:
        pairs = zip(names, one.values, strict=True)
        text = ", ".join(f"{name} {value_words(value)}" for name, value in pairs)
        yield from wrapped(f"{one.key}: {text}", "  ", "    ", width)


def _findings(comparison: Comparison, names: list[str], width: int) -> Iterator[str]:
    yield ""
    yield "findings that differ"
    if not comparison.findings:
        yield "  none"
    for code, severities in comparison.findings:
        for name, report, severity in zip(names, comparison.reports, severities, strict=True):
            for finding in report.findings if severity else ():
                if finding.code == code:
                    head = f"  {name}  {finding.severity.upper().ljust(6)}{code}  "
                    yield from wrapped(finding.title, head, " " * len(head), width)
