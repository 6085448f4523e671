"""Wall time of a training, without what is no training."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from srgan_cli import runfolder as names


@dataclass
class Clock:
    """Wall time of the steps and of waiting for data since the last `read`."""

    steps: int = 0
    waited: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def read(self) -> dict[str, float]:
        """Mean seconds per step and per wait; starts anew."""
        now, steps = time.perf_counter(), max(self.steps, 1)
        found = {
            names.STEP_SECONDS: (now - self.since) / steps,
            names.DATA_SECONDS: self.waited / steps,
        }
        self.steps, self.waited, self.since = 0, 0.0, now
        return found
