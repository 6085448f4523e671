"""The guard: the cheap rules of `srgan diagnose`, applied to the run's own log while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from srgan_cli.config import RunConfig
from srgan_cli.diagnose.log import build_log
from srgan_cli.diagnose.report import SEVERITIES, Finding, NotChecked, Remedy, merge_causes
from srgan_cli.diagnose.rules import RULES
from srgan_cli.diagnose.series import Series
from srgan_cli.errors import SrganError
from srgan_cli.train.recorder import Recorder

WATCHED: Final = frozenset(
    [
        "NUM01",
        "NUM02",
        "NUM03",
        "NUM04",
        "NUM05",
        "NUM06",
        "SCH02",
        "SCH04",
        "SCH06",
        "SCH08",
        "SCH11",
        "GAN01",
        "GAN02",
        "GAN03",
        "GAN04",
        "GAN05",
        "GAN06",
        "GAN07",
        "GAN08",
        "GAN10",
        "EMA01",
        "EMA02",
        "FIT01",
        "IMG06",
        "SYS01",
        "SYS02",
        "SYS03",
    ]
)
"""Rules that speak of the state of a run, not of its end, and read numbers only."""

GONE_AFTER: Final = 3
"""Validations in a row without a finding after which it has gone away: near a limit it comes and goes."""

_ALARMING: Final = ("warn", "error")


class Guard:
    """Finds what goes wrong in a run; tells each finding once, until it goes away.

    Args:
        config: The run.
        max_steps: Its length.
    """

    def __init__(self, config: RunConfig, max_steps: int) -> None:
        self.mode = config.training.guard
        self._config = config
        self._events = [{"event": "start", "step": 0, "max_steps": max_steps}]
        self._rules = [rule for rule in RULES if rule.code in WATCHED]
        self._steps: dict[str, list[int]] = {}
        self._values: dict[str, list[float]] = {}
        self._told: dict[str, str] = {}
        """Code -> severity of what was told and has not gone away."""
        self._absent: dict[str, int] = {}
        """Code -> validations in a row without it."""

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Take in a row of the log."""
        if self.mode == "off":
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self._steps.setdefault(name, []).append(step)
                self._values.setdefault(name, []).append(float(value))

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in what a resumed run has logged before."""
        for row in rows:
            if row["kind"] in ("train", "val"):
                others = {k: v for k, v in row.items() if k not in ("kind", "step", "time")}
                self.add(row["step"], others)

    def check(self) -> tuple[list[Finding], list[str]]:
        """Findings at warn or above that are new or have got worse, and codes that went away."""
        if self.mode == "off":
            return [], []
        now = {finding.code: finding for finding in self._findings()}
        new = [
            finding
            for code, finding in now.items()
            if _rank(finding.severity) > _rank(self._told.get(code, "ok"))
        ]
        self._absent = {
            code: self._absent.get(code, 0) + 1 for code in self._told if code not in now
        }
        gone = [code for code, times in self._absent.items() if times >= GONE_AFTER]
        for code in gone:
            del self._told[code], self._absent[code]
        self._told |= {finding.code: finding.severity for finding in new}
        return new, gone

    def _findings(self) -> list[Finding]:
        log = build_log(
            {
                name: Series(np.array(self._steps[name], np.int64), np.array(values))
                for name, values in self._values.items()
            },
            source="this run",
            form="run folder",
            events=self._events,
            config=self._config,
        )
        results = [rule.check(log) for rule in self._rules]
        found = [each for each in results if each is not None and not isinstance(each, NotChecked)]
        return [finding for finding in merge_causes(found) if finding.severity in _ALARMING]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs beside the log: what was told is not told again.

        Without what the clock told, which no two runs have in common.
        """
        kept = [code for code in sorted(self._told) if not code.startswith("SYS")]
        return {
            "told": {code: self._told[code] for code in kept},
            "absent": {code: self._absent[code] for code in kept if code in self._absent},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._told = dict(state.get("told", {}))
        self._absent = dict(state.get("absent", {}))


def _rank(severity: str) -> int:
    return [*SEVERITIES].index(severity)  # type: ignore[arg-type]  # also of a checkpoint


def severity_number(finding: Finding) -> float:
    """2 = warn, 3 = error: for curves."""
    return float(_rank(finding.severity))


def advice(finding: Finding) -> str:
    """The first remedy in words; empty where there is none."""
    return _remedy(finding.remedy[0]) if finding.remedy else ""


def all_advice(finding: Finding) -> str:
    """Every remedy in words."""
    return "; or ".join(_remedy(each) for each in finding.remedy) or "see srgan diagnose"


def _remedy(remedy: Remedy) -> str:
    change = remedy.key
    if remedy.new is not None:
        new = f"{remedy.new:g}" if isinstance(remedy.new, float) else str(remedy.new)
        old = remedy.old
        known = old is not None and not (isinstance(old, float) and math.isnan(old))
        was = f" (now {old:g})" if known and isinstance(old, float) else ""
        change = f"set {remedy.key} to {new}{was}"
    return f"{change}: {remedy.why}"


def consult(
    guard: Guard, step: int, recorder: Recorder, say: Callable[[str], None]
) -> Finding | None:
    """Log and tell what the guard has found; returns that for which it stops the run."""
    findings, gone = guard.check()
    for code in gone:
        recorder.event("guard", step, **{f"events/{code}": "ok"})
        recorder.mirror(step, {f"events/{code}": 0.0})
    for one in findings:
        facts = {f"events/{one.code}": one.severity, "message": one.message}
        recorder.event("guard", step, **facts, advice=all_advice(one))
        recorder.mirror(step, {f"events/{one.code}": severity_number(one)})
        say(f"guard: {one.severity} {one.code} {one.title}: {one.message}; {advice(one)}")
    worst = [one for one in findings if one.severity == "error"]
    return worst[0] if worst and guard.mode == "stop" else None


def stopped_by(finding: Finding, step: int) -> SrganError:
    """What ends the run, after everything was saved."""
    return SrganError(
        f"stopped by the guard at step {step}: {finding.code} {finding.title}: {finding.message}",
        f"{all_advice(finding)}; then start anew, or go on with --resume auto (what was told "
        "does not stop the run again); Training.guard: warn goes on by itself",
    )
