"""All rules, in the order in which they are reported as checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from srgan_cli.diagnose import (
    rules_balance,
    rules_ema_fit,
    rules_images,
    rules_influence,
    rules_log,
    rules_numerics,
    rules_phases,
    rules_plan,
    rules_rates,
    rules_system,
)
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import Finding, NotChecked

Check = Callable[[RunLog], Finding | NotChecked | None]


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


RULES: Final[tuple[Rule, ...]] = (
    Rule("LOG01", "Too few rows to judge by", rules_system.log01),
    Rule("NUM01", "The numbers broke down", rules_numerics.num01),
    Rule("NUM02", "NaN is masked in the log", rules_numerics.num02),
    Rule("NUM03", "The content loss spikes", rules_numerics.num03),
    Rule("NUM04", "Validation diverged", rules_numerics.num04),
    Rule("NUM05", "Validation is unstable", rules_numerics.num05),
    Rule("NUM06", "Gradients are huge, or always clipped", rules_numerics.num06),
    Rule("SCH01", "The run never left pretraining", rules_phases.sch01),
    Rule("SCH02", "Pretraining was too short", rules_phases.sch02),
    Rule("SCH04", "The adversarial ramp is abrupt", rules_phases.sch04),
    Rule("SCH05", "The adversarial ramp was not finished", rules_phases.sch05),
    Rule("SCH08", "A rate is used up", rules_rates.sch08),
    Rule("SCH09", "A rate is cut like clockwork", rules_rates.sch09),
    Rule("SCH11", "The discriminator's rate was cut during pretraining", rules_rates.sch11),
    Rule("SCH15", "Steps were counted twice", rules_plan.sch15),
    Rule("SCH16", "Plan and measurements disagree", rules_plan.sch16),
    Rule("GAN01", "The discriminator overpowers the generator", rules_balance.gan01),
    Rule("GAN02", "The discriminator never learned", rules_balance.gan02),
    Rule("GAN03", "The generator beats the discriminator", rules_balance.gan03),
    Rule("GAN04", "The balance oscillates", rules_balance.gan04),
    Rule("GAN06", "The adversarial term has no influence", rules_influence.gan06),
    Rule("GAN07", "The adversarial term dominates", rules_influence.gan07),
    Rule("GAN08", "The critic grows without bounds", rules_influence.gan08),
    Rule("GAN09", "The game is at equilibrium", rules_balance.gan09),
    Rule("GAN10", "The discriminator is out-paced from the start", rules_balance.gan10),
    Rule("EMA01", "Validation is frozen", rules_ema_fit.ema01),
    Rule("EMA02", "The EMA is too slow for this run", rules_ema_fit.ema02),
    Rule("FIT01", "The generator overfits", rules_ema_fit.fit01),
    Rule("FIT03", "Nothing was learned", rules_ema_fit.fit03),
    Rule("SYS01", "Training waits for data", rules_system.sys01),
    Rule("SYS02", "Steps have become slower", rules_system.sys02),
    Rule("SYS04", "The run stopped without saying so", rules_system.sys04),
    Rule("LOG02", "Parts of the log cannot be read", rules_log.log02),
    Rule("LOG03", "Steps repeat: the training was resumed", rules_log.log03),
    Rule("LOG04", "Several processes wrote one log", rules_log.log04),
    Rule("LOG05", "Steps count both optimizers", rules_log.log05),
    Rule("IMG01", "The images show a grid-locked pattern", rules_images.img01),
    Rule("IMG03", "The grid is in the HR images already", rules_images.img03),
)
