"""A training log as numpy columns, cleaned and cut into phases; what every rule reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose.reading import Reading
from srgan_cli.diagnose.series import EMPTY, Series, union_of_steps
from srgan_cli.schedule import Schedule, build_schedule

if TYPE_CHECKING:
    from srgan_cli.config import RunConfig

GRAD_RATIO: Final = "adv/grad_ratio"
HF_RATIO: Final = names.HF_RATIO
TRAIN_L1: Final = "train_metrics/l1"
VAL_L1: Final = "val_metrics/l1"
VAL_PSNR: Final = "val_metrics/psnr"
VAL_PERCEPTUAL: Final = "val_metrics/perceptual"

LOSSES: Final = (
    names.G_CONTENT,
    names.G_ADVERSARIAL,
    names.G_TOTAL,
    names.D_LOSS,
    TRAIN_L1,
    VAL_L1,
)
"""Series in which a value that is not finite means a broken step."""

_MARKS: Final = ("start", "resume", "stop", "end")
"""Events that say whether a run goes on."""

_ADVERSARIAL_ONLY: Final = (*names.ADVERSARIAL, GRAD_RATIO)
"""OpenSR-SRGAN logs dummy zeros of these while the generator pretrains."""


@dataclass(frozen=True)
class NonFinite:
    """The first value of a metric that was NaN or infinite."""

    name: str
    step: int
    value: float
    count: int
    recovered: bool
    """Whether most later values of the metric are finite again."""


Form = Literal[
    "run folder", "CSV log", "JSON lines log", "W&B run", "TensorBoard log", "Hugging Face log"
]

_WITH_END_RECORD: Final = ("run folder", "W&B run")


@dataclass(frozen=True, eq=False)
class RunLog:
    """All that is known about a run.

    `series` ends at the first non-finite loss that the run did not recover from, and holds no
    value of the discriminator from the pretraining phase.
    """

    source: str
    form: Form
    series: Mapping[str, Series]
    events: tuple[Mapping[str, Any], ...] = ()
    config: RunConfig | None = None
    config_trouble: str = ""
    """Why `config` is None."""
    nonfinite: tuple[NonFinite, ...] = ()
    t_adv: int | None = None
    """First logged adversarial step; None when the run never left pretraining."""
    t_full: int | None = None
    """First logged step with the full adversarial weight."""
    has_phases: bool = True
    """Whether the log says which phase a row belongs to."""
    silent_seconds: float | None = None
    """Time since the log was last written to; None where that says nothing."""
    tiles: Path | None = None
    notes: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    num_rows: int = 0
    last_step: int = 0
    first_step: int = 0
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> Series:
        """A metric over the whole run; empty when it was not logged."""
        return self.series.get(name, EMPTY)

    def pre(self, name: str) -> Series:
        """A metric in the pretraining phase."""
        end = float("inf") if self.t_adv is None else self.t_adv + _after_step(name)
        return self.get(name).between(float("-inf"), end)

    def adv(self, name: str) -> Series:
        """A metric in the adversarial phase."""
        if self.t_adv is None:
            return EMPTY
        return self.get(name).between(self.t_adv + _after_step(name), float("inf"))

    def full(self, name: str) -> Series:
        """A metric at full adversarial weight."""
        if self.t_full is None:
            return EMPTY
        return self.get(name).between(self.t_full + _after_step(name), float("inf"))

    @property
    def schedule(self) -> Schedule | None:
        """The plan of the configuration."""
        return build_schedule(self.config) if self.config else None

    @property
    def planned_since(self) -> int:
        """First step that config.yaml plans: earlier ones had another, where a resume changed it."""
        return max((event["step"] for event in self.events if event.get("changed")), default=0)

    @property
    def max_steps(self) -> int | None:
        """Planned length in steps, from the events or the configuration."""
        for event in reversed(self.events):
            planned = event.get("max_steps")
            if isinstance(planned, int) and not isinstance(planned, bool) and planned > 0:
                return planned
        if self.config and self.config.training.max_steps:
            return self.config.training.max_steps
        return self.last_step if self.finished else None

    @property
    def ended(self) -> bool | None:
        """Whether the run came to an end by itself or was stopped; None when the log cannot say."""
        if self.form not in _WITH_END_RECORD:
            return None
        last = next((e.get("event") for e in reversed(self.events) if e.get("event") in _MARKS), "")
        return last in ("end", "stop")

    @property
    def finished(self) -> bool:
        """Whether the run came to its planned end."""
        last = next((e.get("event") for e in reversed(self.events) if e.get("event") in _MARKS), "")
        return last == "end"

    @property
    def cut_short(self) -> bool:
        """Whether more steps were planned than were done, or may have been."""
        if self.finished:
            return False
        if self.max_steps is None:
            return self.form in _WITH_END_RECORD
        return self.last_step + 1 < self.max_steps

    @property
    def most_train_rows(self) -> int:
        """Rows of the training metric that was logged most often."""
        trained = (len(s) for name, s in self.series.items() if not name.startswith("val"))
        return max(trained, default=0)

    def remember(self, key: Any, compute: Callable[[RunLog], Any]) -> Any:
        """The result of `compute(self)`, computed once: several rules read the same measurement."""
        if key not in self._cache:
            self._cache[key] = compute(self)
        return self._cache[key]


def _after_step(name: str) -> int:
    """A validation at step n sees the result of steps 0 to n - 1, a training row step n itself."""
    return int(name.startswith("val"))


def build_log(
    columns: Mapping[str, Series],
    *,
    source: str,
    form: Form,
    events: Sequence[Mapping[str, Any]] = (),
    config: RunConfig | None = None,
    config_trouble: str = "",
    silent_seconds: float | None = None,
    tiles: Path | None = None,
    notes: Sequence[str] = (),
    reading: Reading | None = None,
) -> RunLog:
    """Cleans raw columns and cuts them into phases.

    The window ends at the first non-finite loss that did not recover, since everything after
    it is its consequence; single non-finite values are dropped. Both stay in `nonfinite`.
    """
    # Columns of the same rows share their steps.
    different = {id(s.steps): s.steps for s in columns.values()}
    steps = union_of_steps(list(different.values()))
    t_adv, has_phases = _first_adversarial(columns, config)
    broken = _nonfinite(columns, t_adv)
    fatal = min((one.step for one in broken if not one.recovered), default=None)
    end = float("inf") if fatal is None else fatal
    series: dict[str, Series] = {}
    for name, raw in columns.items():
        clean = raw.where(np.isfinite(raw.values)).between(float("-inf"), end)
        if name in _ADVERSARIAL_ONLY:
            clean = EMPTY if t_adv is None else clean.between(t_adv, float("inf"))
        series[name] = clean
    return RunLog(
        source=source,
        form=form,
        series=series,
        events=tuple(events),
        config=config,
        config_trouble=config_trouble,
        nonfinite=broken,
        t_adv=t_adv,
        t_full=_full_weight(series, t_adv, config),
        has_phases=has_phases,
        silent_seconds=silent_seconds,
        tiles=tiles,
        notes=tuple(notes),
        reading=reading or Reading(),
        num_rows=len(steps),
        first_step=int(steps[0]) if len(steps) else 0,
        last_step=int(steps[-1]) if len(steps) else 0,
    )


def _first_adversarial(
    columns: Mapping[str, Series], config: RunConfig | None
) -> tuple[int | None, bool]:
    """First adversarial step, and whether the log itself said so."""
    flag = columns.get(names.PRETRAIN_PHASE, EMPTY)
    if len(flag):
        adversarial = flag.steps[flag.values < 0.5]
        return (int(adversarial[0]) if len(adversarial) else None), True
    for name in (names.ADV_WEIGHT, names.D_LOSS):
        logged = columns.get(name, EMPTY)
        finite = np.isfinite(logged.values)
        # Where numbers follow, NaN is a dummy of the pretraining, as 0 is.
        real = finite & (logged.values != 0) if finite.any() else ~finite
        if real.any():
            return int(logged.steps[np.argmax(real)]), True
    if config is None:
        return None, False
    planned = build_schedule(config).first_adversarial_step
    last = max((int(s.steps[-1]) for s in columns.values() if len(s)), default=0)
    return (planned if planned is not None and planned <= last else None), False


def _full_weight(
    series: Mapping[str, Series], t_adv: int | None, config: RunConfig | None
) -> int | None:
    """First step with the full adversarial weight; None while the weight still rises."""
    if t_adv is None:
        return None
    weight = series.get(names.ADV_WEIGHT, EMPTY).between(t_adv, float("inf"))
    if not len(weight):
        return build_schedule(config).full_adversarial_step if config else t_adv
    top = float(weight.values.max())
    planned = config.training.losses.adv_loss_beta if config else top
    if top < 0.99 * planned:
        return None
    first = int(np.argmax(weight.values >= 0.99 * top))
    risen = len(weight) > 1 and weight.values[0] < 0.99 * top
    still_rising = risen and (first == len(weight) - 1 or weight.values[-1] > weight.values[-2])
    return None if still_rising and config is None else int(weight.steps[first])


def _nonfinite(columns: Mapping[str, Series], t_adv: int | None) -> tuple[NonFinite, ...]:
    found = []
    for name in LOSSES:
        series = columns.get(name, EMPTY)
        if name in _ADVERSARIAL_ONLY:
            # Some log NaN of these, not zero, while the generator pretrains.
            series = EMPTY if t_adv is None else series.between(t_adv, float("inf"))
        bad = ~np.isfinite(series.values)
        if bad.any():
            first = int(np.argmax(bad))
            later = bad[first:]
            # A run that dies of its first NaN has no finite value behind it.
            recovered = bool(later.mean() < 0.5) and not bool(later[-1])
            found.append(
                NonFinite(
                    name,
                    int(series.steps[first]),
                    float(series.values[first]),
                    int(bad.sum()),
                    recovered,
                )
            )
    return tuple(sorted(found, key=lambda one: one.step))
