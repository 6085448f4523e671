"""The whole configuration of a run: one frozen, typed object; every default stands here once."""

from __future__ import annotations

from pydantic import Field, model_validator

from srgan_cli.config.agree import Disagreement, disagreements
from srgan_cli.config.base import Section
from srgan_cli.config.data import DataConfig
from srgan_cli.config.networks import (
    DiscriminatorConfig,
    GeneratorConfig,
    ModelConfig,
    TruncatedVGGConfig,
)
from srgan_cli.config.tracking import LoggingConfig
from srgan_cli.config.training import OptimizersConfig, SchedulersConfig, TrainingConfig


class RunConfig(Section):
    """A run of srgan: data, networks, schedule."""

    data: DataConfig = Field(DataConfig(), alias="Data")
    model: ModelConfig = Field(ModelConfig(), alias="Model")
    training: TrainingConfig = Field(TrainingConfig(), alias="Training")
    generator: GeneratorConfig = Field(GeneratorConfig(), alias="Generator")
    discriminator: DiscriminatorConfig = Field(DiscriminatorConfig(), alias="Discriminator")
    optimizers: OptimizersConfig = Field(OptimizersConfig(), alias="Optimizers")
    schedulers: SchedulersConfig = Field(SchedulersConfig(), alias="Schedulers")
    logging: LoggingConfig = Field(LoggingConfig(), alias="Logging")
    truncated_vgg: TruncatedVGGConfig = Field(TruncatedVGGConfig(), alias="TruncatedVGG")

    @model_validator(mode="after")
    def _sections_agree(self) -> RunConfig:
        problems = disagreements(self)
        if problems:
            raise DisagreementError(problems)
        return self


class DisagreementError(ValueError):
    """Keys that are each valid but do not fit together."""

    def __init__(self, problems: list[Disagreement]) -> None:
        super().__init__("; ".join(f"{problem.key}: {problem.text}" for problem in problems))
        self.problems = problems
