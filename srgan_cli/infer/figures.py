"""The figures of the quality of one scene: what makes their observers, and what those come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srgan_cli.infer.plan import Plan
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.quality_report import QualityReport
from srgan_cli.infer.settle import Settled
from srgan_cli.infer.source import Source


class Figures:
    """Makes observers that measure how well SR agrees with LR."""

    def __init__(self, source: Source, settled: Settled) -> None:
        num_bands = settled.output.bands
        self._comparable = num_bands == len(source.bands)
        self._names = [""] * num_bands
        if self._comparable:
            # Here, as the dataset is for one thread at a time.
            descriptions = source.dataset.descriptions
            self._names = [descriptions[band - 1] or "" for band in source.bands]
        self._size = (source.height, source.width)

    def __call__(self, plan: Plan) -> Quality:
        """An observer that has seen nothing."""
        return Quality(plan.quantiser, self._names, self._comparable, self._size)

    def report(self, plan: Plan, tally: Mapping[str, Any]) -> QualityReport:
        """What the observers of all parts come to; `tally` is what they noted, merged."""
        whole = self(plan)
        whole.merge(tally)
        return whole.report()
