"""Applies the rules to a log and puts the report together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.overview import overview_of, phase_of
from srgan_cli.diagnose.readers import NO_MAPPING, read_run
from srgan_cli.diagnose.report import Finding, NotChecked, Report, merge_causes
from srgan_cli.diagnose.rules import RULES, Rule


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
    found: list[Finding] = []
    skipped: list[NotChecked] = []
    checked: list[str] = []
    for rule in rules:
        # A log may hold any number: what overflows is infinite, and says nothing on the terminal.
        with np.errstate(all="ignore"):
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
