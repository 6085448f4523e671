"""Means of the per-step values, kept on the device and read once per log interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Sums of named 0-d tensors since the last `read`, without a host synchronisation.

    A step that was skipped for a non-finite loss counts in no mean.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self.skipped: Tensor | None = None
        """Steps skipped so far."""
        self.skipped_in_a_row: Tensor | None = None
        """Longest series of skipped steps that ended in this interval or still runs."""
        self._series: Tensor | None = None

    @property
    def names(self) -> list[str]:
        """What has been added since the last read."""
        return list(self._sums)

    def add(self, values: dict[str, Tensor]) -> None:
        """Take in the values of one step."""
        skipped = values["skipped"]
        if "skipped_g" in values:
            skipped = torch.maximum(skipped, values["skipped_g"])
        self._count_skipped(skipped)
        good = 1.0 - skipped
        for name, value in values.items():
            if name in ("skipped", "skipped_g"):
                continue
            # where, not a product: 0 * NaN is NaN.
            kept = torch.where(skipped > 0, torch.zeros_like(value), value)
            if name in self._sums:
                self._sums[name] = self._sums[name] + kept
                self._counts[name] = self._counts[name] + good
            else:
                self._sums[name], self._counts[name] = kept, good

    def _count_skipped(self, skipped: Tensor) -> None:
        if self.skipped is None or self._series is None or self.skipped_in_a_row is None:
            self.skipped = self._series = self.skipped_in_a_row = skipped
            return
        self.skipped = self.skipped + skipped
        self._series = (self._series + 1) * skipped
        self.skipped_in_a_row = torch.maximum(self.skipped_in_a_row, self._series)

    def stacked(self) -> Tensor:
        """All sums, all counts and the skip counters as one tensor: the one copy of an interval."""
        if self.skipped is None or self.skipped_in_a_row is None:
            raise ValueError("nothing was added")
        counters = [self.skipped, self.skipped_in_a_row]
        return torch.stack([*self._sums.values(), *self._counts.values(), *counters])

    def read(
        self, average: Callable[[Tensor], Tensor] = lambda values: values
    ) -> tuple[dict[str, float], int, int]:
        """Means since the last read, steps skipped so far, longest series skipped in a row.

        `average` makes a mean over all processes of what one of them has added: once for everything.
        """
        numbers = average(self.stacked()).double().cpu().tolist()
        names = list(self._sums)
        sums, counts = numbers[: len(names)], numbers[len(names) : 2 * len(names)]
        means = {
            name: total / count if count else float("nan")
            for name, total, count in zip(names, sums, counts, strict=True)
        }
        self._sums, self._counts = {}, {}
        self.skipped_in_a_row = self._series
        return means, int(numbers[-2]), int(numbers[-1])

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to log what the uninterrupted one would have logged."""
        return {
            "sums": self._sums,
            "counts": self._counts,
            "skipped": self.skipped,
            "in_a_row": self.skipped_in_a_row,
            "series": self._series,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """The inverse of `state_dict`."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = {name: value.to(device) for name, value in state["counts"].items()}
        counters = (state["skipped"], state["series"], state["in_a_row"])
        self.skipped, self._series, self.skipped_in_a_row = (
            None if counter is None else counter.to(device) for counter in counters
        )


def merged(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The state of one meter that stands for those of several processes: the mean of their sums.

    Counts and skipped steps are the same in all.
    """
    sums = {
        name: torch.stack([state["sums"][name].cpu() for state in states]).mean(dim=0)
        for name in states[0]["sums"]
    }
    return {**states[0], "sums": sums}
