"""The paths of a run, wherever it is started from."""

from __future__ import annotations

import os
from typing import Any

from srgan_cli.config import RunConfig
from srgan_cli.data.finding import is_address


def absolute_paths(config: RunConfig) -> RunConfig:
    """The same run with paths that do not depend on the current folder, for config.yaml."""

    def absolute(path: str) -> str:
        return path if is_address(path) else os.path.abspath(os.path.expanduser(path))

    data = config.data
    root = absolute(data.root_dir) if data.root_dir else None
    update: dict[str, Any] = {"root_dir": root}
    if root is None:
        for key in ("pairs", "sen2naip_taco_file"):
            path = getattr(data, key)
            update[key] = None if path is None else absolute(path)
        for key in ("hr", "lr", "val_hr", "val_lr"):
            update[key] = tuple(absolute(path) for path in getattr(data, key))
    model = {
        key: None if value is None else absolute(value)
        for key, value in (
            ("load_checkpoint", config.model.load_checkpoint),
            ("continue_training", config.model.continue_training),
        )
    }
    vgg, lpips = config.truncated_vgg.weights, config.training.losses.lpips_weights
    losses = config.training.losses.model_copy(
        update={"lpips_weights": None if lpips is None else absolute(lpips)}
    )
    return config.model_copy(
        update={
            "data": data.model_copy(update=update),
            "model": config.model.model_copy(update=model),
            "training": config.training.model_copy(update={"losses": losses}),
            "truncated_vgg": config.truncated_vgg.model_copy(
                update={"weights": None if vgg is None else absolute(vgg)}
            ),
        }
    )
