"""How far validation lies behind training."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import TRAIN_L1, VAL_L1, RunLog


def validation_over_training(log: RunLog) -> float | None:
    """Validation L1 of the last three validations over the training L1 since; None = too few rows."""
    l1, train = log.get(VAL_L1), log.get(TRAIN_L1)
    if len(l1) < limit.MIN_LAG_VALIDATIONS or len(train) < limit.MIN_ADVERSARIAL_ROWS:
        return None
    window = train.between(float(l1.steps[-3]) - 5 * train.interval, math.inf)
    if not len(window):
        return None
    recent = float(np.median(window.values))
    return float(np.median(l1.values[-3:])) / recent if recent > 0 else None
