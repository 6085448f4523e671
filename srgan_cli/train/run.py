"""A run from configuration to exported weights: folder, lock, data, networks, resume, loop."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from srgan_cli.config import RunConfig, dump_config, load_config
from srgan_cli.config.data import FIT_KEYS, NormalizationConfig, fit_section
from srgan_cli.data.finding import is_address
from srgan_cli.data.radiometry import build_radiometry
from srgan_cli.data.training import TrainingData, open_training_data
from srgan_cli.errors import ConfigError, RefusedError, SrganError
from srgan_cli.files import write_text
from srgan_cli.models import generator_spec
from srgan_cli.runfolder import RunFolder
from srgan_cli.signals import stop_request
from srgan_cli.train.checkpoint import load_checkpoint, newest_checkpoint
from srgan_cli.train.device import arithmetic, choose_device
from srgan_cli.train.networks import Networks, build_networks
from srgan_cli.train.recorder import Recorder, write_run_json
from srgan_cli.train.trainer import Reporter, Trainer
from srgan_cli.train.validation import Validator
from srgan_cli.weights import WeightsInfo, check_tensors, is_weights_file, read_weights

_AT_ONCE = "the steps since the last checkpoint are lost"
_GO_ON = "go on with --resume auto"

Progress = Callable[[int, int], AbstractContextManager[Reporter]]
"""Total steps and steps already done -> where a person follows the run."""


def run_training(
    config: RunConfig,
    folder: RunFolder,
    resume: str | None,
    progress: Progress,
    warn: Callable[[str], None],
) -> Path:
    """Train as `config` says and return the path of the exported weights.

    Args:
        config: The run.
        folder: Where it is written.
        resume: None starts anew, `auto` goes on from the newest checkpoint if there is one, a path
            goes on from that checkpoint.
        progress: Opens the view that a person follows.
        warn: Takes warnings.

    Raises:
        RefusedError: The folder, the data, the device or the checkpoint cannot be used.
        StoppedError: A signal asked for the end; everything is saved.
        SrganError: The run failed; checkpoints stay.
    """
    resume = resume or config.model.continue_training
    check_folder(folder, resume)
    device = prepare_device(config)
    config = keep_fit(absolute_paths(config), folder, resume)
    data = open_training_data(config)
    config = data.config
    for warning in data.warnings:
        warn(warning)
    warn_of_other_radiometry(config, data, warn)
    state = _state_to_resume(folder, resume, warn)
    networks = build_networks(config, device, data.radiometry.offset, warn)
    if state is not None:
        generator = networks.step.generator
        check_tensors("the checkpoint", state["generator"], generator.state_dict())
    # Whatever is refused is refused before the first file is written.
    folder.make()
    with _lock(folder), stop_request(_AT_ONCE, _GO_ON) as stop:
        trainer = _build_trainer(config, folder, data, networks, device, warn)
        with closing(trainer.recorder):
            if state is None:
                write_text(folder.config, dump_config(config))
                write_run_json(folder, config, device)
                trainer.recorder.event("start", 0, max_steps=trainer.max_steps)
            else:
                _go_on(trainer, config, state, warn)
            with progress(trainer.max_steps, trainer.step) as reporter, _explained(config):
                trainer.run(reporter, stop)
    return folder.ema


def check_folder(folder: RunFolder, resume: str | None) -> None:
    """Refuse a folder that holds something, unless the run in it is to go on."""
    if folder.path.exists() and not folder.path.is_dir():
        raise RefusedError(f"{folder.path} is a file", "choose another --run-dir")
    if not folder.used:
        return
    if resume is None:
        raise RefusedError(
            f"{folder.path} already holds a run",
            "go on with it by --resume auto, or choose another --run-dir",
        )
    if resume == "auto" and not folder.config.exists():
        raise RefusedError(
            f"{folder.path} is not empty and holds no run", "choose another --run-dir"
        )


def prepare_device(config: RunConfig) -> torch.device:
    """Choose the device and switch on what makes its arithmetic fast."""
    device = choose_device(config.training.device, config.training.gpus)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Crops have one size: the fastest algorithm is found once.
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return device


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


def keep_fit(config: RunConfig, folder: RunFolder, resume: str | None) -> RunConfig:
    """The same run with the fitted normalization of the run that it goes on with.

    The scenes may have changed since; what the networks have learnt in has not.
    """
    if resume is None or build_radiometry(config.data.normalization) is not None:
        return config
    wanted = fit_section(config.data.normalization)
    found = [folder.config]
    if resume != "auto":
        found.insert(0, Path(resume).absolute().parent.parent / folder.config.name)
    for path in found:
        try:
            before = load_config(path).config.data.normalization
        except ConfigError:
            continue
        # The numbers are all that may differ.
        if isinstance(before, NormalizationConfig) and wanted == before.model_copy(
            update={key: getattr(wanted, key) for key in FIT_KEYS}
        ):
            data = config.data.model_copy(update={"normalization": before})
            return config.model_copy(update={"data": data})
    return config


def warn_of_other_radiometry(
    config: RunConfig, data: TrainingData, warn: Callable[[str], None]
) -> None:
    """Weights to start from speak the language of the radiometry that they were trained in."""
    path = config.model.load_checkpoint
    if path is None or not is_weights_file(Path(path)):
        return
    theirs, ours = read_weights(Path(path))[1].radiometry, data.radiometry
    if (theirs.scale, theirs.offset) != (ours.scale, ours.offset):
        warn(
            f"Model.load_checkpoint was trained with Data.normalization {theirs.name} (scale "
            f"{theirs.scale}, offset {theirs.offset}), this run uses {ours.name} (scale "
            f"{ours.scale}, offset {ours.offset})"
        )


def total_steps(config: RunConfig, steps_per_epoch: int) -> int:
    """Length of the run."""
    return config.training.max_steps or config.training.max_epochs * steps_per_epoch


def _state_to_resume(
    folder: RunFolder, resume: str | None, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    if resume is None:
        return None
    if resume != "auto":
        return load_checkpoint(Path(resume))
    found = newest_checkpoint(folder, warn) if folder.checkpoints.is_dir() else None
    return None if found is None else found[1]


def _build_trainer(
    config: RunConfig,
    folder: RunFolder,
    data: TrainingData,
    networks: Networks,
    device: torch.device,
    warn: Callable[[str], None],
) -> Trainer:
    precision, gan = config.training.precision, networks.step
    validator = Validator(
        crops=data.validation(warn),
        config=config,
        device=device,
        adversarial=gan.adversarial,
        perceptual=gan.perceptual,
        offset=gan.offset,
        arithmetic=lambda: arithmetic(precision, device),
    )
    info = WeightsInfo(
        spec=generator_spec(config),
        radiometry=data.radiometry,
        band_names=data.band_names,
        train_lr_px=config.data.hr_crop_px // config.generator.scaling_factor,
        gsd_m=data.gsd_m,
        step=0,
        ema=False,
        scale_offset=config.data.apply_scale_offset,
    )
    recorder = Recorder(config, folder, warn)
    steps = total_steps(config, data.steps_per_epoch)
    return Trainer(config, folder, data, networks, validator, recorder, info, steps)


def _go_on(
    trainer: Trainer, config: RunConfig, state: dict[str, Any], warn: Callable[[str], None]
) -> None:
    """Put a checkpoint's state into the trainer; tell what differs from the run's own plan."""
    if trainer.folder.config.exists():
        for key in changed_keys(trainer.folder.config, config):
            warn(f"{key} differs from the run that is resumed")
    else:
        write_text(trainer.folder.config, dump_config(config))
    if not trainer.folder.run_json.exists():
        write_run_json(trainer.folder, config, trainer.validator.device)
    trainer.load_state_dict(state)
    trainer.recorder.event("resume", trainer.step, max_steps=trainer.max_steps)


def changed_keys(old: Path, config: RunConfig) -> list[str]:
    """Dotted keys whose values differ between a run's config.yaml and `config`."""
    try:
        before = load_config(old).config.model_dump(mode="json", by_alias=True)
    except ConfigError:
        return [str(old)]
    return _differences(before, config.model_dump(mode="json", by_alias=True))


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in now.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            found += _differences(before[key], value, f"{name}.")
        elif before.get(key) != value:
            found.append(name)
    return found


@contextmanager
def _lock(folder: RunFolder) -> Iterator[None]:
    """Keep a second training out of the folder; the lock dies with the process."""
    with (folder.path / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise RefusedError(
                f"another srgan train is writing to {folder.path}",
                "wait for it, or choose another --run-dir",
            ) from err
        yield


@contextmanager
def _explained(config: RunConfig) -> Iterator[None]:
    """Turn running out of device memory into advice."""
    try:
        yield
    except torch.OutOfMemoryError as err:
        data = config.data
        raise SrganError(
            f"the device ran out of memory with {data.train_batch_size} crops of "
            f"{data.hr_crop_px} px",
            f"set Data.train_batch_size to {max(data.train_batch_size // 2, 1)} or lower "
            "Data.hr_crop_px, then go on with --resume auto",
        ) from err
