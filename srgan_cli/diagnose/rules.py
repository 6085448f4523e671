"""All rules, in the order in which they are reported as checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final

from srgan_cli.diagnose import (
    rules_balance,
    rules_detail,
    rules_ema,
    rules_fit,
    rules_grid,
    rules_influence,
    rules_lengths,
    rules_log,
    rules_monitor,
    rules_numerics,
    rules_phases,
    rules_plan,
    rules_radiometry,
    rules_rates,
    rules_settings,
    rules_system,
    rules_validation,
)
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.pictures import Pictures, pictures_of
from srgan_cli.diagnose.report import Finding, NotChecked

Check = Callable[[RunLog], Finding | NotChecked | None]
ImageCheck = Callable[[Pictures], Finding | NotChecked | None]


@dataclass(frozen=True)
class Rule:
    """One check: a pure function of the log, whose docstring is its documentation."""

    code: str
    title: str
    check: Check

    @property
    def documentation(self) -> str:
        """What it means, how it is found, and what to do."""
        return inspect.getdoc(self.check) or ""


@dataclass(frozen=True)
class ImageRule:
    """One check of tiles, wherever they are from."""

    code: str
    title: str
    check: ImageCheck

    def of_run(self) -> Rule:
        """The same check of a run's validation tiles."""

        @wraps(self.check)
        def check(log: RunLog) -> Finding | NotChecked | None:
            pictures = pictures_of(log)
            if isinstance(pictures, str):
                return NotChecked(self.code, pictures)
            return self.check(pictures)

        return Rule(self.code, self.title, check)


IMAGE_RULES: Final[tuple[ImageRule, ...]] = (
    ImageRule("IMG01", "The images show a grid-locked pattern", rules_grid.img01),
    ImageRule("IMG02", "The grid-locked pattern grows", rules_grid.img02),
    ImageRule("IMG03", "The grid is in the HR images already", rules_grid.img03),
    ImageRule("IMG04", "SR is saturated, or leaves the range", rules_radiometry.img04),
    ImageRule("IMG05", "A band is too bright or too dark", rules_radiometry.img05),
    ImageRule("IMG07", "SR is blocky", rules_detail.img07),
    ImageRule("IMG08", "SR repeats a texture", rules_detail.img08),
    ImageRule("IMG09", "Errors gather at the border", rules_detail.img09),
    ImageRule("IMG10", "SR is shifted against LR", rules_detail.img10),
    ImageRule("IMG11", "SR is blank", rules_radiometry.img11),
)
"""Checks of tiles; the guard leaves them out, a raster is judged by them alone."""

RULES: Final[tuple[Rule, ...]] = (
    Rule("LOG01", "Too few rows to judge by", rules_log.log01),
    Rule("NUM01", "The numbers broke down", rules_numerics.num01),
    Rule("NUM02", "NaN is masked in the log", rules_numerics.num02),
    Rule("NUM03", "The content loss spikes", rules_numerics.num03),
    Rule("NUM04", "Validation diverged", rules_validation.num04),
    Rule("NUM05", "Validation is unstable", rules_validation.num05),
    Rule("NUM06", "Gradients are huge, or always clipped", rules_numerics.num06),
    Rule("SCH01", "The run never left pretraining", rules_phases.sch01),
    Rule("SCH02", "Pretraining was too short", rules_phases.sch02),
    Rule("SCH03", "Pretraining was longer than needed", rules_lengths.sch03),
    Rule("SCH04", "The adversarial ramp is abrupt", rules_phases.sch04),
    Rule("SCH05", "The adversarial ramp was not finished", rules_phases.sch05),
    Rule("SCH06", "A high rate starts without a warm-up", rules_lengths.sch06),
    Rule("SCH07", "The warm-up takes most of the pretraining", rules_lengths.sch07),
    Rule("SCH08", "A rate is used up", rules_rates.sch08),
    Rule("SCH09", "A rate is cut like clockwork", rules_rates.sch09),
    Rule("SCH10", "The generator's rate is cut for not beating pretraining", rules_monitor.sch10),
    Rule("SCH11", "The discriminator's rate was cut during pretraining", rules_rates.sch11),
    Rule("SCH12", "The plateau scheduler does not act", rules_monitor.sch12),
    Rule("SCH13", "Settings that usually go wrong", rules_settings.sch13),
    Rule("SCH14", "The best checkpoint is older than the GAN", rules_monitor.sch14),
    Rule("SCH15", "Steps were counted twice", rules_plan.sch15),
    Rule("SCH16", "Plan and measurements disagree", rules_plan.sch16),
    Rule("GAN01", "The discriminator overpowers the generator", rules_balance.gan01),
    Rule("GAN02", "The discriminator never learned", rules_balance.gan02),
    Rule("GAN03", "The generator beats the discriminator", rules_balance.gan03),
    Rule("GAN04", "The balance oscillates", rules_balance.gan04),
    Rule("GAN05", "The discriminator memorises its training images", rules_fit.gan05),
    Rule("GAN06", "The adversarial term has no influence", rules_influence.gan06),
    Rule("GAN07", "The adversarial term dominates", rules_influence.gan07),
    Rule("GAN08", "The critic grows without bounds", rules_influence.gan08),
    Rule("GAN09", "The game is at equilibrium", rules_balance.gan09),
    Rule("GAN10", "The discriminator is out-paced from the start", rules_balance.gan10),
    Rule("EMA01", "Validation is frozen", rules_ema.ema01),
    Rule("EMA02", "The EMA is too slow for this run", rules_ema.ema02),
    Rule("EMA03", "The EMA averages nothing", rules_ema.ema03),
    Rule("EMA04", "The EMA began with random weights", rules_ema.ema04),
    Rule("FIT01", "The generator overfits", rules_fit.fit01),
    Rule("FIT02", "Validation is much worse than training", rules_fit.fit02),
    Rule("FIT03", "Nothing was learned", rules_fit.fit03),
    Rule("SYS01", "Training waits for data", rules_system.sys01),
    Rule("SYS02", "Steps have become slower", rules_system.sys02),
    Rule("SYS03", "Memory grows all the time", rules_system.sys03),
    Rule("SYS04", "The run stopped without saying so", rules_system.sys04),
    Rule("SYS05", "Validation takes much of the time", rules_system.sys05),
    Rule("SYS06", "The run failed", rules_system.sys06),
    Rule("LOG02", "Parts of the log cannot be read", rules_log.log02),
    Rule("LOG03", "Steps repeat: the training was resumed", rules_log.log03),
    Rule("LOG04", "Several processes wrote one log", rules_log.log04),
    Rule("LOG05", "Steps count both optimizers", rules_log.log05),
    Rule("LOG06", "Rows are missing in the log", rules_log.log06),
    *(image.of_run() for image in IMAGE_RULES[:5]),
    Rule("IMG06", "Fine detail is missing or invented", rules_detail.img06),
    *(image.of_run() for image in IMAGE_RULES[5:]),
)
