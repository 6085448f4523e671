"""Keys that change nothing with the other keys as they are, each with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srgan_cli.config.schema import RunConfig


_FILES_OF = {
    "LRHRFolderDataset": "hr lr degradation",
    "ExampleDataset": "hr lr val_hr val_lr",
    "SEN2NAIP": "hr lr val_hr val_lr val_fraction degradation",
}
"""Keys about files that a dataset_type does not read."""


def idle_keys(config: RunConfig) -> dict[str, str]:
    """Dotted key -> what to say about it.

    What `enabled: false` switches off is not listed: the switch stands beside it.
    """
    reasons = {
        **_foreign(),
        **_data(config),
        **_perceptual(config),
        **_adversarial(config),
        **_schedule(config),
    }
    networks = _generator(config) | _discriminator(config)
    return {key: f"no effect: {reason}" for key, reason in reasons.items()} | networks


def _each(section: str, keys: str, reason: str) -> dict[str, str]:
    return {f"{section}.{key}": reason for key in keys.split()}


def _foreign() -> dict[str, str]:
    return {
        "Training.EMA.device": "the average lies beside the generator",
        "Training.Losses.randomize_bands": "nothing reads it, in OpenSR-SRGAN neither; choose bands with fixed_idx",
        "Training.find_unused_parameters": "training needs no such search",
        "Schedulers.verbose": "every cut of a rate is logged",
    }


def _data(config: RunConfig) -> dict[str, str]:
    data = config.data
    idle: dict[str, str] = {}
    if data.dataset_type != "GeoTIFF":
        reason = f"dataset_type {data.dataset_type} names its own files"
        idle |= _each("Data", _FILES_OF[data.dataset_type], reason)
    if data.dataset_type == "SEN2NAIP":
        reason = "training takes both parts of the taco file, in OpenSR-SRGAN too"
        idle["Data.sen2naip_phase"] = reason
    else:
        reason = f"read with dataset_type SEN2NAIP only, not {data.dataset_type}"
        keys = "sen2naip_taco_file sen2naip_phase sen2naip_val_fraction"
        idle |= _each("Data", keys, reason)
    if data.val_hr:
        idle["Data.val_fraction"] = "Data.val_hr names the imagery for validation"
    if data.lr and (data.val_lr or not data.val_hr):
        idle["Data.degradation"] = "Data.lr gives the LR imagery"
    if data.degradation.kind != "gaussian":
        reason = f"read with kind gaussian only, not {data.degradation.kind}"
        idle |= _each("Data.degradation", "mtf_nyquist mtf_bands", reason)
    elif data.degradation.mtf_bands:
        idle["Data.degradation.mtf_nyquist"] = "Data.degradation.mtf_bands gives it for each band"
    if (data.degradation.noise_std, data.degradation.noise_signal) == (0.0, 0.0):
        idle["Data.degradation.order"] = "noise_std and noise_signal are 0"
    if getattr(data.normalization, "name", "") != "percentile":
        idle["Data.normalization.percentiles"] = "read with name percentile only"
    if config.model.in_bands == 1:
        idle["Data.band_dropout"] = "Model.in_bands is 1, and the last band is never dropped"
    if data.num_workers == 0:
        idle["Data.prefetch_factor"] = "there are no loader processes (num_workers 0)"
    return idle


def _generator(config: RunConfig) -> dict[str, str]:
    kind = config.generator.model_type
    unread = {
        "rrdbnet": "block_type large_kernel_size small_kernel_size noise_dim res_scale use_icnr",
        "esrgan": "block_type large_kernel_size small_kernel_size noise_dim",
        "SRResNet": "growth_channels res_scale noise_dim",
        "stochastic_gan": "block_type growth_channels",
    }
    idle = _each("Generator", unread[kind], f"no effect with model_type {kind}")
    if config.generator.scaling_factor == 1 and kind != "rrdbnet":
        idle["Generator.use_icnr"] = "no effect with scaling_factor 1, which needs no PixelShuffle"
    return idle


def _discriminator(config: RunConfig) -> dict[str, str]:
    kind = config.discriminator.model_type
    unread = {
        "standard": "base_channels linear_size",
        "patchgan": "linear_size use_spectral_norm",
        "esrgan": "n_blocks use_spectral_norm",
        "unet": "n_blocks linear_size",
    }
    return _each("Discriminator", unread[kind], f"no effect with model_type {kind}")


def _perceptual(config: RunConfig) -> dict[str, str]:
    losses = config.training.losses
    if losses.perceptual_weight == 0:
        reason = "Training.Losses.perceptual_weight is 0"
        keys = _each("Training.Losses", "perceptual_metric lpips_weights fixed_idx", reason)
        return keys | _each("TruncatedVGG", "i j weights", reason)
    if losses.perceptual_metric == "lpips":
        return _each(
            "TruncatedVGG", "i j weights", "perceptual_metric lpips has a network of its own"
        )
    return {"Training.Losses.lpips_weights": "perceptual_metric is vgg"}


def _adversarial(config: RunConfig) -> dict[str, str]:
    training, losses = config.training, config.training.losses
    idle = {}
    if losses.r1_gamma == 0:
        idle["Training.Losses.r1_interval"] = "r1_gamma is 0"
    if training.adv_loss_ramp_steps == 0:
        idle["Training.Losses.adv_loss_schedule"] = "adv_loss_ramp_steps is 0: there is no ramp"
    if losses.adv_loss_type != "bce" and training.label_smoothing:
        reason = f"adv_loss_type {losses.adv_loss_type} has no labels to smooth"
        idle["Training.label_smoothing"] = reason
    return idle


def _schedule(config: RunConfig) -> dict[str, str]:
    training = config.training
    idle = {}
    if not training.pretrain_g_only:
        idle["Training.g_pretrain_steps"] = "pretrain_g_only is false"
    if training.pretrain_g_only and training.g_pretrain_steps < 0:
        idle["Training.early_stop_patience"] = "g_pretrain_steps is -1: pretraining never ends"
    if training.max_steps is not None:
        idle["Training.max_epochs"] = "Training.max_steps gives the length of the run"
    if training.gpus and training.device not in ("auto", "cuda"):
        idle["Training.gpus"] = f"Training.device {training.device} decides"
    if config.schedulers.g_warmup_steps == 0:
        idle["Schedulers.g_warmup_type"] = "g_warmup_steps is 0: there is no warm-up"
    return idle
