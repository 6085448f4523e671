"""Configurations to start from: literal values over the schema's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from srgan_cli.config.render import render_config
from srgan_cli.config.schema import RunConfig


@dataclass(frozen=True)
class Preset:
    """Values that differ from the defaults, and what they are good for."""

    description: str
    values: dict[str, Any]


PRESETS: Final[dict[str, Preset]] = {
    "quickstart": Preset(
        "Small and fast: the generated scenes of the demo, 4 bands, x4, minutes on a CPU.",
        {
            "Data": {
                "hr": ["demo/scenes"],
                "hr_crop_px": 96,
                "val_crops": 16,
                "train_batch_size": 4,
                "num_workers": 0,
            },
            "Training": {
                "max_steps": 800,
                "val_check_interval": 80,
                "g_pretrain_steps": 560,
                "adv_loss_ramp_steps": 80,
                "checkpoint_every": 160,
                "EMA": {"decay": 0.99},
                "Losses": {"sam_weight": 0.01, "adv_loss_beta": 3e-4},
            },
            "Generator": {
                "n_channels": 24,
                "n_blocks": 6,
                "large_kernel_size": 3,
                "global_skip": "bicubic",
            },
            "Discriminator": {"n_blocks": 2, "base_channels": 24},
            "Optimizers": {"optim_g_lr": 1e-3, "optim_d_lr": 2e-4, "betas_g": [0.9, 0.999]},
            "Schedulers": {"g_warmup_steps": 50},
            "Logging": {"log_every": 10},
        },
    ),
    "sentinel2-cpu": Preset(
        "Sentinel-2, the four 10 m bands, x4, on a CPU: about 10 minutes on 2 cores.",
        {
            "Data": {
                "hr": ["scenes"],
                "band_names": ["B04", "B03", "B02", "B08"],
                "hr_crop_px": 96,
                "val_crops": 24,
                "train_batch_size": 4,
                "num_workers": 0,
            },
            "Training": {
                "max_steps": 2900,
                "val_check_interval": 200,
                "g_pretrain_steps": 2500,
                "adv_loss_ramp_steps": 150,
                "checkpoint_every": 400,
                "EMA": {"decay": 0.997},
                "Losses": {"sam_weight": 0.01, "adv_loss_beta": 3e-4},
            },
            "Generator": {
                "n_channels": 32,
                "n_blocks": 12,
                "large_kernel_size": 3,
                "global_skip": "bicubic",
            },
            "Discriminator": {"n_blocks": 2, "base_channels": 24},
            "Optimizers": {"optim_g_lr": 1e-3, "optim_d_lr": 2e-4, "betas_g": [0.9, 0.999]},
            "Schedulers": {"g_warmup_steps": 100},
        },
    ),
    "sentinel2-10m": Preset(
        "Sentinel-2 L1C or L2A, the four 10 m bands, x4 to 2.5 m: eight RRDB blocks over a bicubic skip. Needs a GPU.",
        {
            "Data": {
                "hr": ["scenes"],
                "band_names": ["B04", "B03", "B02", "B08"],
            },
            "Training": {
                "max_steps": 20000,
                "val_check_interval": 500,
                "g_pretrain_steps": 8000,
                "adv_loss_ramp_steps": 4000,
            },
            "Generator": {"model_type": "rrdbnet", "n_blocks": 8, "global_skip": "bicubic"},
            "Optimizers": {"optim_g_lr": 2e-4, "optim_d_lr": 1e-4, "betas_g": [0.9, 0.99]},
        },
    ),
    "esrgan-x4": Preset(
        "8-bit RGB aerial imagery, x4: 23 RRDB blocks, relativistic GAN and VGG features, as in ESRGAN. Needs a GPU.",
        {
            "Data": {"hr": ["scenes"], "normalization": "uint8", "train_batch_size": 16},
            "Model": {"in_bands": 3},
            "Training": {
                "max_steps": 200000,
                "val_check_interval": 2000,
                "g_pretrain_steps": 50000,
                "adv_loss_ramp_steps": 10000,
                "checkpoint_every": 2000,
                "Losses": {
                    "sam_weight": 0.0,
                    "perceptual_weight": 0.1,
                    "fixed_idx": [0, 1, 2],
                    "relativistic_average_d": True,
                    "adv_loss_beta": 5e-3,
                },
            },
            "Generator": {"model_type": "rrdbnet", "n_blocks": 23, "global_skip": "bicubic"},
            "Schedulers": {"g_warmup_steps": 1000},
        },
    ),
    "opensr-10m": Preset(
        "OpenSR-SRGAN's 10 m set-up (ESRGAN on both sides), with the rates, clipping and EMA its guide asks for. Needs a GPU.",
        {
            "Data": {
                "hr": ["scenes"],
                "normalization": "normalise_10k",
                "band_names": ["B04", "B03", "B02", "B08"],
                "train_batch_size": 6,
                "val_batch_size": 4,
                "num_workers": 6,
            },
            "Training": {
                "max_steps": 200000,
                "val_check_interval": 1000,
                "limit_val_batches": 100,
                "checkpoint_every": 1000,
                "Losses": {"sam_weight": 0.0, "perceptual_weight": 0.05, "fixed_idx": [0, 1, 2]},
            },
            "Generator": {"model_type": "esrgan", "n_blocks": 16},
            "Discriminator": {"model_type": "esrgan"},
            "Optimizers": {"optim_d_lr": 5e-5},
            "Schedulers": {"g_warmup_steps": 1000},
        },
    ),
}

DEFAULT_PRESET: Final = "sentinel2-10m"


def render_preset(name: str) -> str:
    """A preset as complete, commented YAML; KeyError when there is none of that name."""
    preset = PRESETS[name]
    return render_config(RunConfig.model_validate(preset.values), f"{name}: {preset.description}")
