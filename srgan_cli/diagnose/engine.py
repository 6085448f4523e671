"""Applies the rules to a log and puts the report together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.overview import grid_words, overview_of, phase_of
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.readers import NO_MAPPING, read_run
from srgan_cli.diagnose.report import Finding, NotChecked, Overview, Report, merge_causes
from srgan_cli.diagnose.rules import IMAGE_RULES, RULES, Rule


def diagnose_run(path: Path, mapping: Mapping[str, str] = NO_MAPPING) -> Report:
    """The diagnosis of a log, of any kind that `readers` knows.

    Args:
        path: A file or a folder.
        mapping: {metric or "step": column} for logs with other names.

    Raises:
        RefusedError: there is nothing that could be judged.
    """
    return examine(read_run(path, mapping))


def examine(log: RunLog, rules: Sequence[Rule] = RULES) -> Report:
    """The diagnosis of a log that has been read."""
    # A log may hold any number: what overflows is infinite, and says nothing on the terminal.
    with np.errstate(all="ignore"):
        found, skipped, checked = _sorted((rule.code, rule.check(log)) for rule in rules)
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
        not_checked=skipped,
        checked=checked,
        notes=log.notes,
    )


def examine_pictures(
    pictures: Pictures, source: str, form: str, extent: str, notes: tuple[str, ...] = ()
) -> Report:
    """The diagnosis of tiles that no log belongs to."""
    rules = IMAGE_RULES if pictures.kind == "raster" else IMAGE_RULES[:1]
    found, skipped, checked = _sorted((rule.code, rule.check(pictures)) for rule in rules)
    return Report(
        source=source,
        form=form,
        first_step=0,
        last_step=0,
        num_rows=0,
        max_steps=None,
        phase="",
        overview=Overview(images=grid_words(pictures)),
        findings=merge_causes(found),
        not_checked=skipped,
        checked=checked,
        notes=notes,
        extent=extent,
    )


_Result = Finding | NotChecked | None


def _sorted(
    results: Iterable[tuple[str, _Result]],
) -> tuple[list[Finding], tuple[NotChecked, ...], tuple[str, ...]]:
    """Findings, what was not checked, and the codes that were."""
    found: list[Finding] = []
    skipped: list[NotChecked] = []
    checked: list[str] = []
    for code, result in results:
        if isinstance(result, NotChecked):
            skipped.append(result)
            continue
        checked.append(code)
        if result is not None:
            found.append(result)
    return found, tuple(skipped), tuple(checked)
