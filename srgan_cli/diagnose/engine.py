"""Applies the rules to a log and puts the report together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.overview import grid_words, overview_of, phase_of
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.readers import read_run
from srgan_cli.diagnose.report import Finding, NotChecked, Overview, Report, merge_causes
from srgan_cli.diagnose.rules import IMAGE_RULES, RULES, Rule


def diagnose_run(path: Path) -> Report:
    """The diagnosis of a run folder or log file.

    Raises:
        RefusedError: there is nothing that could be judged.
    """
    return examine(read_run(path))


def examine(log: RunLog, rules: Sequence[Rule] = RULES) -> Report:
    """The diagnosis of a log that has been read."""
    found: list[Finding] = []
    skipped: list[NotChecked] = []
    checked: list[str] = []
    for rule in rules:
        result = rule.check(log)
        if isinstance(result, NotChecked):
            skipped.append(result)
            continue
        checked.append(rule.code)
        if result is not None:
            found.append(result)
    findings = merge_causes(found)
    return Report(
        source=log.source,
        form=log.form,
        first_step=log.first_step,
        last_step=log.last_step,
        num_rows=log.num_rows,
        max_steps=log.max_steps,
        phase=phase_of(log),
        overview=overview_of(log, findings),
        findings=findings,
        not_checked=tuple(skipped),
        checked=tuple(checked),
        notes=log.notes,
    )


def examine_pictures(
    pictures: Pictures, source: str, form: str, extent: str, notes: tuple[str, ...] = ()
) -> Report:
    """The diagnosis of tiles that no log belongs to."""
    rules = IMAGE_RULES if pictures.kind == "raster" else IMAGE_RULES[:1]
    results = [(rule.code, rule.check(pictures)) for rule in rules]
    return Report(
        source=source,
        form=form,
        first_step=0,
        last_step=0,
        num_rows=0,
        max_steps=None,
        phase="",
        overview=Overview(images=grid_words(pictures)),
        findings=merge_causes(found for _, found in results if isinstance(found, Finding)),
        not_checked=tuple(found for _, found in results if isinstance(found, NotChecked)),
        checked=tuple(code for code, found in results if not isinstance(found, NotChecked)),
        notes=notes,
        extent=extent,
    )
