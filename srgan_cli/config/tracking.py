"""Section `Logging`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from srgan_cli.config.base import Count, OptionalPath, Positive, Section


class WandbConfig(Section):
    """Weights & Biases, as a mirror of metrics.jsonl."""

    enabled: bool = False
    """Mirror the run to Weights & Biases."""
    entity: OptionalPath = None
    """User or team."""
    project: str = "srgan"
    """Project."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes to the run folder; `wandb sync` uploads it later."""


class LoggingConfig(Section):
    """What is written, and how often."""

    log_every: Positive = 20
    """Steps between rows of metrics.jsonl."""
    num_val_images: Count = 4
    """Validation crops shown as panels at every validation."""
    output_dir: OptionalPath = None
    """Folder in which run folders are made; default `runs`."""
    wandb: WandbConfig = Field(WandbConfig())
    tensorboard: bool = False
    """Mirror the run to TensorBoard files in the run folder (`pip install 'srgan-cli[tensorboard]'`)."""
