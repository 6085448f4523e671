"""A run from configuration to exported weights: folder, lock, data, networks, resume, loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from srgan_cli.config import RunConfig, dump_config
from srgan_cli.config.agree import uneven_parts, uneven_share
from srgan_cli.data.training import TrainingData, open_training_data
from srgan_cli.errors import RefusedError
from srgan_cli.files import write_text
from srgan_cli.models import generator_spec
from srgan_cli.runfolder import RunFolder, read_metrics
from srgan_cli.signals import stop_request
from srgan_cli.train.checkpoint import set_aside_after
from srgan_cli.train.device import arithmetic, choose_device, slow_arithmetic
from srgan_cli.train.distributed import ALONE, Ranks
from srgan_cli.train.networks import Networks, build_adversarial, build_networks
from srgan_cli.train.paths import absolute_paths
from srgan_cli.train.progress import Reporter
from srgan_cli.train.recorder import Recorder, SilentRecorder, write_run_json
from srgan_cli.train.resume import (
    changed_keys,
    check_folder,
    keep_fit,
    locked,
    remove_temporaries,
    state_to_resume,
)
from srgan_cli.train.trackers import check_trackers
from srgan_cli.train.trainer import Trainer
from srgan_cli.train.trouble import disk_trouble_explained, memory_trouble_explained
from srgan_cli.train.validation import Validator
from srgan_cli.weights import WeightsInfo, check_tensors, is_weights_file, read_weights

_AT_ONCE = "the steps since the last checkpoint are lost"
_GO_ON = "go on with --resume auto"
_ECHO_S = 2.0
"""A launcher and its scheduler pass a signal on to the same process within this."""

Progress = Callable[[int, int], AbstractContextManager[Reporter]]
"""Total steps and steps already done -> where a person follows the run."""


def run_training(
    config: RunConfig,
    folder: RunFolder,
    resume: str | None,
    progress: Progress,
    warn: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> Path:
    """Train as `config` says and return the path of the exported weights.

    Args:
        config: The run.
        folder: Where it is written.
        resume: None starts anew, `auto` goes on from the newest checkpoint if there is one, a path
            goes on from that checkpoint.
        progress: Opens the view that a person follows.
        warn: Takes warnings.
        ranks: The processes that train together; every one of them calls this.

    Raises:
        RefusedError: The folder, the data, the device or the checkpoint cannot be used.
        StoppedError: A signal asked for the end; everything is saved.
        SrganError: The run failed; checkpoints stay.
    """
    config = absolute_paths(config)
    check_shares(config, ranks)
    device = prepare_device(config, ranks)
    with ExitStack() as stack:
        begun = None
        if ranks.is_main:
            begun = _begin(config, folder, resume, warn, ranks.restarts, stack)
        config, data, state = _shared(begun, ranks)
        for text in slow_arithmetic(config.training.precision, device):
            warn(text)
        networks = build_networks(config, device, data.radiometry.offset, warn, ranks)
        _check_state(state, networks, total_steps(config, data.steps_per_epoch))
        trainer = _build_trainer(config, folder, data, networks, device, warn, ranks)
        # Whatever is refused is refused before the first file is written.
        ranks.wait_for_all()
        if begun is not None:
            _take(folder, begun.folder_was_used, stack)
            remove_temporaries(folder)
        stack.enter_context(disk_trouble_explained(folder))
        echo_s = _ECHO_S if ranks.world > 1 else 0.0
        stop = stack.enter_context(stop_request(_AT_ONCE, _GO_ON, echo_s))
        _start(trainer, config, state, warn)
        stack.enter_context(closing(trainer.recorder))
        with (
            progress(trainer.max_steps, trainer.step) as reporter,
            memory_trouble_explained(config, trainer),
        ):
            try:
                trainer.run(reporter, stop)
            except BaseException as err:
                trainer.recorder.failure(trainer.step, err)
                raise
    return folder.ema


@dataclass(frozen=True)
class _Begun:
    """What rank 0 has found out for all."""

    config: RunConfig
    data: TrainingData
    state: dict[str, Any] | None
    folder_was_used: bool


def _begin(
    config: RunConfig,
    folder: RunFolder,
    resume: str | None,
    warn: Callable[[str], None],
    restarts: int,
    stack: ExitStack,
) -> _Begun:
    """Folder, lock, imagery and checkpoint, each checked; nothing is written but the lock."""
    check_trackers(config)
    start = config.model.continue_training
    if resume is None and (start is not None) and not _holds_another_run(folder, start):
        resume = start
    if restarts:
        # The launcher goes on with what it had begun, however that was.
        resume, start = "auto", start if resume in (None, "auto") else resume
    check_folder(folder, resume)
    before = folder.used
    if folder.path.is_dir():
        stack.enter_context(locked(folder))
    config = keep_fit(config, folder, resume)
    data = open_training_data(config)
    config = data.config
    for warning in data.warnings:
        warn(warning)
    warn_of_other_radiometry(config, data, warn)
    return _Begun(config, data, state_to_resume(folder, resume, start, warn), before)


def _shared(
    begun: _Begun | None, ranks: Ranks
) -> tuple[RunConfig, TrainingData, dict[str, Any] | None]:
    """Rank 0's configuration and checkpoint, and everybody's own way to the same imagery.

    Raises:
        RefusedError: This process sees other imagery than rank 0.
    """
    if begun is not None:
        ranks.share((begun.config.model_dump(mode="json", by_alias=True), begun.state))
        ranks.share(_seen(begun.data))
        return begun.config, begun.data, begun.state
    nothing: tuple[dict[str, Any], dict[str, Any] | None] = ({}, None)
    values, state = ranks.share(nothing)
    # Whatever is fitted to the imagery stands in it.
    data = open_training_data(RunConfig.model_validate(values))
    theirs, ours = ranks.share(""), _seen(data)
    if theirs != ours:
        pairs = zip_longest(theirs.split("\n"), ours.split("\n"), fillvalue="nothing")
        other = next(f"{mine} where process 0 sees {its}" for its, mine in pairs if its != mine)
        raise RefusedError(
            f"the imagery is not the one that process 0 sees: {other}",
            "give all machines the same files under the same paths",
        )
    return data.config, data, state


def _seen(data: TrainingData) -> str:
    """What training data must have in common to give the same crops."""
    rows = [" ".join(row) for row in data.describe()]
    return "\n".join([*rows, f"{data.steps_per_epoch} steps a pass", str(data.radiometry)])


def check_shares(config: RunConfig, ranks: Ranks) -> None:
    """RefusedError where the processes cannot share a batch equally."""
    for text in (uneven_share(config, ranks.world), uneven_parts(config, ranks.world)):
        if text:
            key = "Data.train_batch_size" if "crops" in text else "Training.accumulate_steps"
            raise ranks.common(RefusedError(f"{key}: {text}", "or start another number of them"))


def _take(folder: RunFolder, used_before: bool, stack: ExitStack) -> None:
    """Make the folder, and lock it where it was not there to be locked."""
    is_new = not folder.path.is_dir()
    folder.make()
    if is_new:
        stack.enter_context(locked(folder))
    if folder.used != used_before:
        raise RefusedError(
            f"another srgan train has just written to {folder.path}",
            "go on with it by --resume auto, or choose another --run-dir",
        )


def _holds_another_run(folder: RunFolder, start: str) -> bool:
    """Whether `Model.continue_training` would throw a run that has begun back to its beginning."""
    return folder.used and folder.path.resolve() not in Path(start).resolve().parents


def _check_state(state: dict[str, Any] | None, networks: Networks, max_steps: int) -> None:
    """Refuse a checkpoint that does not fit the run."""
    if state is None:
        return
    generator, discriminator = networks.step.generator, networks.step.discriminator
    check_tensors("the checkpoint", state["generator"], generator.state_dict())
    check_tensors("the checkpoint", state["discriminator"], discriminator.state_dict())
    if int(state["step"]) > max_steps:
        raise RefusedError(
            f"the checkpoint is at step {state['step']}, but the run has {max_steps} steps",
            f"set Training.max_steps above {state['step']}",
        )


def prepare_device(config: RunConfig, ranks: Ranks = ALONE) -> torch.device:
    """Choose this process's device and switch on what makes its arithmetic fast."""
    training = config.training
    processes = ranks.local_world
    device = choose_device(training.device, training.gpus, ranks.local_rank, processes)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # Crops have one size: the fastest algorithm is found once.
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    return device


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


def _build_trainer(
    config: RunConfig,
    folder: RunFolder,
    data: TrainingData,
    networks: Networks,
    device: torch.device,
    warn: Callable[[str], None],
    ranks: Ranks,
) -> Trainer:
    precision, gan = config.training.precision, networks.step
    validator = Validator(
        crops=data.validation(warn),
        config=config,
        device=device,
        adversarial=build_adversarial(config),
        perceptual=gan.perceptual,
        offset=gan.offset,
        arithmetic=lambda: arithmetic(precision, device),
        ranks=ranks,
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
    recorder = (Recorder if ranks.is_main else SilentRecorder)(config, folder)
    steps = total_steps(config, data.steps_per_epoch)
    return Trainer(config, folder, data, networks, validator, recorder, info, steps, ranks)


def _start(
    trainer: Trainer, config: RunConfig, state: dict[str, Any] | None, warn: Callable[[str], None]
) -> None:
    """Begin the log anew, or put a checkpoint's state in and tell what differs from the plan."""
    if trainer.ranks.is_main:
        _begin_log(trainer, config, state, warn)
    else:
        trainer.recorder.open(trainer.step, warn)
    if state is not None:
        trainer.load_state_dict(state)


def _begin_log(
    trainer: Trainer, config: RunConfig, state: dict[str, Any] | None, warn: Callable[[str], None]
) -> None:
    folder, device = trainer.folder, trainer.validator.device
    fresh = state is None
    changed: list[str] = []
    if fresh or not folder.config.exists():
        write_text(folder.config, dump_config(config))
    else:
        changed = changed_keys(folder.config, config)
    for key in changed:
        warn(f"{key} differs from the run that is resumed")
    if fresh or not folder.run_json.exists():
        write_run_json(folder, config, device, trainer.ranks.world)
    step = 0 if state is None else int(state["step"])
    set_aside_after(folder, step)
    trainer.recorder.open(step, warn)
    facts = {"changed": changed} if changed else {}
    event = "start" if fresh else "resume"
    trainer.recorder.event(event, step, max_steps=trainer.max_steps, **facts)
    if changed:
        # After the event, so that no reader takes the new plan for that of the steps before.
        write_text(folder.config_until(step), folder.config.read_text(encoding="utf-8"))
        write_text(folder.config, dump_config(config))
    if state is not None:
        trainer.guard.remember(read_metrics(folder.metrics))
