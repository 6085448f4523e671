"""Every number that a rule compares with, in one table.

Each rule asks for significance, practical effect and persistence. Balance is measured in two
normalised quantities (see `balance.py`): the separation q = (D(y) - D(G(x))) / target, 0 at
chance and 1 for a perfect discriminator, and L', the discriminator's loss with 0 = best
possible and 1 = chance.
"""

from __future__ import annotations

from typing import Final

TAIL_SHARE: Final = 0.3
"""The tail, on which a state is judged, is this last share of a phase."""
PERSISTENT: Final = 0.8
"""Share of the tail's rows for which a condition must hold."""

MIN_ADVERSARIAL_ROWS: Final = 15
MIN_OSCILLATION_ROWS: Final = 200
MIN_TREND_ROWS: Final = 12
MIN_VALIDATIONS: Final = 8
MIN_ROWS: Final = 5
"""Fewer rows than this and the whole log says nothing."""
MIN_SPIKE_ROWS: Final = 30
MIN_LAG_VALIDATIONS: Final = 5

# Balance
OVERPOWER_Q: Final = 0.75
OVERPOWER_LOSS: Final = 0.35
OVERPOWER_ROW_Q: Final = 0.55
OVERPOWER_CLOSING: Final = -0.1
OVERPOWER_HARD_Q: Final = 0.92
OVERPOWER_HARD_LOSS: Final = 0.1
DEAD_MAX_Q: Final = 0.12
DEAD_LOSS_BAND: Final = 0.07
LEARNED_Q: Final = 0.25
EQUILIBRIUM_LOSS: Final = (0.88, 1.02)
BEATEN_Q: Final = -0.05
BEATEN_LOSS: Final = 1.02
TRAVEL_NONE: Final = 5e-3
"""Sum of D's rates below which Adam cannot have moved its weights noticeably."""
TRAVEL_EARLY: Final = 0.06
"""Healthy discriminators had separated by then."""
TRAVEL_AMPLE: Final = 0.3
DEAD_STEPS: Final = 300
"""Every discriminator looks dead in its first adversarial steps."""
RISING_Q: Final = 0.02
RISING_P: Final = 0.01
HIGH_Q: Final = 0.65
LOW_Q: Final = 0.25
OSCILLATION_FLIPS: Final = 4
OSCILLATION_LAG_ONE: Final = 0.3

# Influence of the adversarial term: gradient ratio at the last layer, else ratio of the losses
INFLUENCE_CHANGED: Final = 0.05
INFLUENCE_NONE: Final = 1e-3
INFLUENCE_LITTLE: Final = 1e-2
INFLUENCE_TARGET: Final = 0.05
INFLUENCE_DOMINATES: Final = 1.0
LOSS_RATIO_DOMINATES: Final = 3.0
DOMINATES_PLAINLY: Final = 3.0
LOSS_RATIO_CHANGED: Final = 1.0
HF_CHANGED: Final = 0.15
"""Relative change of the high-frequency energy that counts as "the images changed"."""
HF_VISIBLE: Final = 0.1
L1_DEGRADED: Final = 1.2
CRITIC_GROWTH: Final = 20.0
CRITIC_LEVEL: Final = 10.0

# Numerics
SANITISED_TINY: Final = 1e-12
SANITISED_HUGE: Final = 1e11
FROZEN_ROWS: Final = 5
SPIKE_SIGMAS: Final = 7.0
SPIKE_FACTOR: Final = 1.8
SPIKE_GUARD_ROWS: Final = 3
SPIKE_ALONE: Final = 4.0
"""A single spike below this factor is a note: batches differ."""
DIVERGED_FACTOR: Final = 2.0
DIVERGED_SIGMAS: Final = 5.0
DIVERGED_DB: Final = 3.0
UNSTABLE_VALIDATION: Final = 0.25
CLIPPED_SHARE: Final = 0.9
CLIPPED_BY: Final = 2.0
"""A gradient that is hardly longer than the limit keeps its length; healthy trainings have those."""
NORM_HUGE: Final = 100.0

# Schedule
SHORT_PRETRAIN_SHARE: Final = 0.05
SHORT_PRETRAIN_GAIN_INFO: Final = 0.12
SHORT_PRETRAIN_GAIN_WARN: Final = 0.40
SHORT_PRETRAIN_GAIN_SURE: Final = 0.20
"""What is left of that gain when the slope is less steep by two standard errors."""
TREND_P: Final = 0.05
SURE_TREND_P: Final = 0.003
"""What a warning needs that rests on a trend of a dozen rows alone."""
ABRUPT_ROWS: Final = 2
ABRUPT_JUMP: Final = 1.25
ABRUPT_SIGMAS: Final = 5.0
BLIND_Q: Final = 0.1
RATE_DEAD: Final = 1e-2
RATE_DEAD_SHARE: Final = 0.2
CUT: Final = 0.95
"""A rate that falls below this share of its last value was cut."""
REGULAR_CUTS: Final = 3
REGULAR_SPREAD: Final = 0.25
PLAN_TOLERANCE: Final = 0.02
PLAN_ROWS: Final = 3
FLAT_P: Final = 0.3
"""A trend with a p above this is none."""
FLAT_CHANGE: Final = 0.01
LONG_GAIN: Final = 0.01
LONG_WARMUP: Final = 0.5
EARLY_RISE: Final = 1.5
UNFAIR_CUTS: Final = 2

# EMA and fit
CONSTANT_STD: Final = 1e-5
CONSTANT_VALIDATIONS: Final = 5
FROZEN_VALIDATIONS: Final = 8
"""With so many that are equal, and a rate that is alive, no fall of the training loss is needed."""
TRAIN_FELL: Final = 1.3
EMA_SLOW_SHARE: Final = 0.25
EMA_SLOW_SHARE_ALONE: Final = 1.0
"""Where validation does not lag measurably."""
EMA_FAST: Final = 0.9
EMA_RANDOM_SHARE: Final = 0.01
EMA_LAG_RATIO: Final = 1.5
EMA_LAG_RATIO_ALONE: Final = 3.0
"""Without a known decay only a gap this large is put down to the EMA."""
OVERFIT_VALIDATIONS: Final = 12
OVERFIT_AGE: Final = 0.3
OVERFIT_RISE: Final = 0.06
OVERFIT_SIGMAS: Final = 3.0
OVERFIT_P: Final = 0.02
OVERFIT_TRAIN_FALL: Final = 0.03
NOTHING_LEARNED: Final = 0.05
FIRST_ROW_WORSE: Final = 1.3
GENERALISATION_GAP: Final = 1.5
MEMORISES_Q: Final = 0.6
MEMORISES_SHARE: Final = 0.5
MEMORISES_REAL: Final = 0.25
"""Share of the way from D(y) in training to D(G(x)) that D(y) has gone in validation."""

# System
DATA_WAIT_INFO: Final = 0.3
DATA_WAIT_WARN: Final = 0.5
SLOWDOWN: Final = 2.0
SLOWDOWN_WAIT: Final = 0.5
"""Share of the added time that is waiting for data, from which on the data are to blame."""
STALLED_SECONDS: Final = 1800.0
STALLED_INTERVALS: Final = 20.0
MEMORY_GROWTH: Final = 0.1
MEMORY_RISES: Final = 5
VALIDATION_SHARE: Final = 0.3
LOG_GAP: Final = 10

# Images: amplitudes are shares of the value range
GROWTH_VALIDATIONS: Final = 6
GROWTH_MAX: Final = 12
GROWTH_FACTOR: Final = 1.5
GROWTH_P: Final = 0.05
SATURATED_SHARE: Final = 0.005
BEYOND_SLACK: Final = 0.1
"""Share of HR's range by which a value must lie outside of it to count."""
BEYOND_SHARE: Final = 0.02
BIAS_P: Final = 0.01
BIAS_INFO: Final = 0.02
BIAS_WARN: Final = 0.1
BIAS_ERROR: Final = 0.3
"""Shares of the band's range; healthy trainings of a thousand steps still end at up to 0.06."""
BLANK_SHARE: Final = 0.05
DETAIL_SMOOTH: Final = 0.25
DETAIL_INVENTED: Final = 1.3
DETAIL_NOISE: Final = 3.0
BLOCKY: Final = 2.0
"""Steps at cell edges over those inside, against HR or bicubic; healthy trainings: up to 1.3."""
REPEATED_SIGMAS: Final = 8.0
REPEATED_TILES: Final = 0.6
REPEATED_TIMES: Final = 3.0
BORDER_RATIO: Final = 2.0
SHIFT_LR_PX: Final = 0.25
"""Healthy trainings: up to 0.1."""
MIN_SHIFT_PX: Final = 12
RASTER_TILES: Final = 64
RASTER_BANDS: Final = 12
RASTER_LINES: Final = 10
"""Rows and columns of tiles to aim at: with fewer, chance alone lines up stripes of period 2."""
RASTER_SMALL_CORE: Final = 32
RASTER_SMALL_CELLS: Final = 8
"""Tiles are not made smaller than this for more rows and columns of them."""
RASTER_MOST_LINES: Final = 32
"""Rows and columns of tiles that are looked at; 64 valid tiles among them suffice."""
RASTER_FILL: Final = 0.05
"""Share of a tile with the least value of every band at once: untagged fill."""
GAIN_INDEX_RANDOM: Final = 0.5
"""Trainings that started with ICNR end at 0.1 to 0.25, others at 0.7 to 0.85."""
GRID_Z: Final = 5.0
GRID_P: Final = 0.005
GRID_INFO: Final = 0.0015
GRID_IN_PRODUCT: Final = (0.005, 0.015, 0.5)
"""Warning, error, and pattern against the quietest texture of the tiles that makes a warning."""
GRID_IN_RUN: Final = (0.025, 0.06, 1.0)
"""The same of a run: healthy trainings of 1200 steps on Sentinel-2 end at 0.7 to 1.9 % of a visible
band's range, relativistic and hinge games highest."""
GRID_VALIDATIONS: Final = 3
GRID_MAX_TILES: Final = 16
"""More change nothing above the practical gate of 0.15 %, and cost time."""
GRID_SURE_TILES: Final = 16
GRID_HR_SHARE: Final = 0.5

# The log itself
UNREADABLE_INFO: Final = 0.01
"""Share of lines that are no rows."""
UNREADABLE_WARN: Final = 0.1
REPEATED_SHARE: Final = 0.3
"""More rows than this that repeat the step of another one were not written by one process."""
EVEN_ROWS: Final = 0.9
"""Share of equal distances from which on rows are evenly spaced."""
