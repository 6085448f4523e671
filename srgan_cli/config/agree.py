"""Combinations of keys that cannot work: errors, each with the key to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from srgan_cli.config.schema import RunConfig


class Disagreement(NamedTuple):
    """Keys that are each valid but do not fit together."""

    key: str
    """Dotted key to change."""
    text: str
    others: tuple[str, ...] = ()
    """Dotted keys it does not fit with."""


def disagreements(config: RunConfig) -> list[Disagreement]:
    """Every set of keys that contradict each other."""
    return [
        *_data(config),
        *_per_band(config),
        *_crops(config),
        *_start(config),
        *_networks(config),
        *_processes(config),
        *_accumulation(config),
        *_discriminator(config),
        *_losses(config),
        *_perceptual(config),
        *_metrics(config),
    ]


def _data(config: RunConfig) -> list[Disagreement]:
    data, bands = config.data, config.model.in_bands
    found = []
    for key, given in (("bands", data.bands), ("band_names", data.band_names)):
        if given and len(given) != bands:
            text = f"{len(given)} entries, but Model.in_bands is {bands}"
            found.append(Disagreement(f"Data.{key}", text, ("Model.in_bands",)))
    if data.val_lr and not data.val_hr:
        found.append(Disagreement("Data.val_lr", "given without Data.val_hr", ("Data.val_hr",)))
    if data.lr and not data.hr:
        found.append(Disagreement("Data.lr", "given without Data.hr", ("Data.hr",)))
    if data.pairs:
        for key in ("hr", "lr", "val_hr", "val_lr"):
            if getattr(data, key):
                text = "given beside Data.pairs, which names all files; keep one of the two"
                found.append(Disagreement(f"Data.{key}", text, ("Data.pairs",)))
        if data.dataset_type != "GeoTIFF":
            text = f"read with dataset_type GeoTIFF only, not {data.dataset_type}; leave dataset_type out"
            found.append(Disagreement("Data.pairs", text, ("Data.dataset_type",)))
    return found


def _per_band(config: RunConfig) -> list[Disagreement]:
    """Numbers given for each band are for as many bands as there are."""
    data, bands = config.data, config.model.in_bands
    lists = {"Data.degradation.mtf_bands": data.degradation.mtf_bands}
    if not isinstance(data.normalization, str):
        for key in ("scale", "offset", "usual_min", "usual_max"):
            lists[f"Data.normalization.{key}"] = getattr(data.normalization, key)
    return [
        Disagreement(
            key, f"{len(given)} entries, but Model.in_bands is {bands}", ("Model.in_bands",)
        )
        for key, given in lists.items()
        if isinstance(given, tuple) and given and len(given) != bands
    ]


def _crops(config: RunConfig) -> list[Disagreement]:
    data, scale = config.data, config.generator.scaling_factor
    window = config.training.losses.ssim_win
    found = []
    for key, crop in (("hr_crop_px", data.hr_crop_px), ("val_crop_px", data.val_crop_px)):
        if crop is not None and crop % scale:
            nearest = crop // scale * scale or scale
            text = f"{crop} is not a multiple of Generator.scaling_factor {scale}; use {nearest}"
            found.append(Disagreement(f"Data.{key}", text, ("Generator.scaling_factor",)))
    key = "hr_crop_px" if data.val_crop_px is None else "val_crop_px"
    crop = data.hr_crop_px if data.val_crop_px is None else data.val_crop_px
    if crop < window:
        text = f"{crop} is smaller than the window of SSIM, Training.Losses.ssim_win {window}"
        found.append(Disagreement(f"Data.{key}", text, ("Training.Losses.ssim_win",)))
    return found


def _start(config: RunConfig) -> list[Disagreement]:
    if config.model.continue_training is None or config.model.load_checkpoint is None:
        return []
    text = (
        "given together with Model.continue_training; keep continue_training to go on with a run "
        "(weights, optimizers, step), or load_checkpoint to start a new one from weights"
    )
    return [Disagreement("Model.load_checkpoint", text, ("Model.continue_training",))]


def _networks(config: RunConfig) -> list[Disagreement]:
    generator = config.generator
    found = []
    for key in ("large_kernel_size", "small_kernel_size"):
        value = int(getattr(generator, key))
        if value % 2 == 0:
            text = f"{value} is even; kernels must be odd to stay centred"
            found.append(Disagreement(f"Generator.{key}", text))
    if generator.scaling_factor == 1 and generator.model_type not in ("rrdbnet", "esrgan"):
        text = f"1 works with model_type rrdbnet or esrgan only, not {generator.model_type}"
        found.append(Disagreement("Generator.scaling_factor", text, ("Generator.model_type",)))
    out = generator.out_channels
    if out is not None and out != config.model.in_bands:
        text = f"{out}, but Model.in_bands is {config.model.in_bands}; training needs SR and HR with the same bands"
        found.append(Disagreement("Generator.out_channels", text, ("Model.in_bands",)))
    is_rcab = generator.model_type == "SRResNet" and generator.block_type == "rcab"
    if is_rcab and generator.n_channels < 16:
        text = f"{generator.n_channels} is too few for block_type rcab, whose attention has n_channels / 16 hidden channels; use 16 or more"
        found.append(Disagreement("Generator.n_channels", text, ("Generator.block_type",)))
    return found


def _processes(config: RunConfig) -> list[Disagreement]:
    """Devices for the processes, and an equal share of every batch for each."""
    training, found = config.training, []
    gpus, count = training.gpus, training.processes
    if len(set(gpus)) < len(gpus):
        text = f"device {max(gpus, key=gpus.count)} is named twice"
        found.append(Disagreement("Training.gpus", text))
    given = training.num_processes
    if gpus and given not in (None, len(gpus)) and training.device in ("auto", "cuda"):
        text = f"{given}, but Training.gpus names {len(gpus)}; leave one of them out"
        found.append(Disagreement("Training.num_processes", text, ("Training.gpus",)))
    if count > 1 and ":" in training.device:
        text = f"{training.device} is one device, but Training.num_processes is {count}; use cuda"
        found.append(Disagreement("Training.device", text, ("Training.num_processes",)))
    if text := uneven_share(config, count):
        other = "Training.num_processes" if given else "Training.gpus"
        found.append(Disagreement("Data.train_batch_size", text, (other,)))
    return found


def uneven_share(config: RunConfig, processes: int) -> str:
    """Why so many processes cannot share a batch equally, and what to do; empty if they can."""
    batch = config.data.train_batch_size
    if batch % processes == 0:
        return ""
    less, more = batch // processes * processes, -(-batch // processes) * processes
    fitting = f"{less} or {more}" if less else f"{more}"
    return f"{batch} crops cannot be shared equally by {processes} processes; use {fitting}"


def uneven_parts(config: RunConfig, processes: int) -> str:
    """Why a process cannot cut its share of a batch into equal parts; empty if it can."""
    batch, parts = config.data.train_batch_size, config.training.accumulate_steps
    share = batch // processes
    if batch % processes or share % parts == 0:
        return ""
    fitting = max(n for n in range(1, min(parts, share) + 1) if share % n == 0)
    whose = f"Data.train_batch_size {batch}"
    if processes > 1:
        whose = f"{share}, the share of each of {processes} processes in {whose}"
    return f"{parts} does not divide {whose}; use {fitting}"


def _accumulation(config: RunConfig) -> list[Disagreement]:
    text = uneven_parts(config, config.training.processes)
    if not text:
        return []
    return [Disagreement("Training.accumulate_steps", text, ("Data.train_batch_size",))]


def _discriminator(config: RunConfig) -> list[Disagreement]:
    """A PatchGAN of n strided layers turns a crop of s pixels into s / 2^n - 2 patches a side."""
    training = config.training
    for_ever = training.pretrain_g_only and training.g_pretrain_steps < 0
    if config.discriminator.model_type != "patchgan" or for_ever:
        return []
    num_layers = config.discriminator.n_blocks or 3
    crop = config.data.hr_crop_px
    if crop >> num_layers >= 3:
        return []
    # No crop is large enough for more layers than this.
    larger = f", or Data.hr_crop_px {3 << num_layers} or more" if num_layers <= 10 else ""
    text = f"{num_layers} strided layers leave no patch of a crop of {crop} px; use fewer{larger}"
    return [Disagreement("Discriminator.n_blocks", text, ("Data.hr_crop_px",))]


def _losses(config: RunConfig) -> list[Disagreement]:
    losses = config.training.losses
    section = "Training.Losses"
    found = []
    if losses.ssim_win % 2 == 0:
        text = f"{losses.ssim_win} is even; the window must be odd"
        found.append(Disagreement(f"{section}.ssim_win", text))
    if losses.relativistic_average_d and losses.adv_loss_type != "bce":
        text = f"works with adv_loss_type bce only, not {losses.adv_loss_type}"
        other = f"{section}.adv_loss_type"
        found.append(Disagreement(f"{section}.relativistic_average_d", text, (other,)))
    if losses.l1_weight == losses.sam_weight == losses.perceptual_weight == 0:
        text = "0 like sam_weight and perceptual_weight: nothing ties SR to HR"
        others = (f"{section}.sam_weight", f"{section}.perceptual_weight")
        found.append(Disagreement(f"{section}.l1_weight", text, others))
    return found


def _perceptual(config: RunConfig) -> list[Disagreement]:
    losses, bands = config.training.losses, config.model.in_bands
    key = "Training.Losses.fixed_idx"
    found = []
    if losses.fixed_idx is not None and not 1 <= len(losses.fixed_idx) <= 3:
        text = f"{len(losses.fixed_idx)} bands; give three (R, G, B), two or one"
        found.append(Disagreement(key, text))
    beyond = [index for index in losses.fixed_idx or () if index >= bands]
    if beyond:
        text = f"band {beyond[0]} does not exist with Model.in_bands {bands} (counted from 0)"
        found.append(Disagreement(key, text, ("Model.in_bands",)))
    smallest = 32 if losses.perceptual_metric == "lpips" else 2 ** (config.truncated_vgg.i - 1)
    crop = min(config.data.hr_crop_px, config.data.val_crop_px or config.data.hr_crop_px)
    if losses.perceptual_weight > 0 and crop < smallest:
        text = f"{crop} px is too small for the perceptual loss, which needs {smallest}"
        other = "Training.Losses.perceptual_weight"
        found.append(Disagreement("Data.hr_crop_px", text, (other,)))
    return found


def _metrics(config: RunConfig) -> list[Disagreement]:
    weight = "Training.Losses.perceptual_weight"
    found = []
    for key in ("metric_g", "metric_d"):
        metric = getattr(config.schedulers, key)
        if metric == "val_metrics/perceptual" and not config.training.losses.perceptual_weight:
            text = f"val_metrics/perceptual is only measured with {weight} above 0"
            found.append(Disagreement(f"Schedulers.{key}", text, (weight,)))
    return found
