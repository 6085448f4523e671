"""What a person sees of a run while it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from srgan_cli import runfolder as names

Numbers = Sequence[tuple[str, str]]
"""(label, value) of what is shown."""


class Reporter(Protocol):
    """Where a person follows the run."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """So many more steps are done."""

    def show(self, numbers: Numbers) -> None:
        """The numbers that matter now."""

    def say(self, text: str) -> None:
        """Something worth a line."""


def headline(values: Mapping[str, float]) -> list[tuple[str, str]]:
    """The numbers to follow of a row of the log."""
    pretrain = values[names.PRETRAIN_PHASE] > 0
    found = [("phase", "pretrain" if pretrain else "gan")]
    if not pretrain:
        found.append(("adversarial weight", f"{values[names.ADV_WEIGHT]:.3g}"))
    wanted = (
        ("L1", "train_metrics/l1", ".4f"),
        ("G loss", names.G_TOTAL, ".4f"),
        ("G adversarial", names.G_ADVERSARIAL, ".3f"),
        ("D loss", names.D_LOSS, ".3f"),
        ("D(y)", names.D_REAL, ".2f"),
        ("D(G(x))", names.D_FAKE, ".2f"),
        ("G rate", names.G_RATE, ".3g"),
        ("D rate", names.D_RATE, ".3g"),
        ("s/step", names.STEP_SECONDS, ".3g"),
        ("memory", names.PEAK_MEMORY, ",.0f"),
        ("skipped", names.SKIPPED_STEPS, ".0f"),
    )
    for label, name, form in wanted:
        value = values.get(name, math.nan)
        hidden = (pretrain and label == "D rate") or (label == "skipped" and not value)
        if name in values and not hidden:
            found.append((label, f"{value:{form}}{' MB' if label == 'memory' else ''}"))
    return found
