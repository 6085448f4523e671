"""The state of a run as plain values and tensors, for checkpoints."""

from __future__ import annotations

from typing import Any

import torch

from srgan_cli.train.networks import Networks


def networks_state(networks: Networks) -> dict[str, Any]:
    """Both networks, the average, both optimizers and both plateau schedulers."""
    gan, ema = networks.step, networks.ema
    return {
        "generator": gan.generator.state_dict(),
        "discriminator": gan.discriminator.state_dict(),
        "ema": None if ema is None else ema.state_dict(),
        "optimizer_g": gan.optimizer_g.state_dict(),
        "optimizer_d": gan.optimizer_d.state_dict(),
        "plateau_g": networks.plateau_g.state_dict(),
        "plateau_d": networks.plateau_d.state_dict(),
    }


def restore_networks(networks: Networks, state: dict[str, Any]) -> None:
    """The inverse of `networks_state`."""
    gan, ema = networks.step, networks.ema
    gan.generator.load_state_dict(state["generator"])
    gan.discriminator.load_state_dict(state["discriminator"])
    if ema is not None and state["ema"] is not None:
        ema.load_state_dict(state["ema"])
    gan.optimizer_g.load_state_dict(state["optimizer_g"])
    gan.optimizer_d.load_state_dict(state["optimizer_d"])
    networks.plateau_g.load_state_dict(state["plateau_g"])
    networks.plateau_d.load_state_dict(state["plateau_d"])


def random_state() -> dict[str, Any]:
    """The state of torch's generators; nothing else here is random but for the seed and the step."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`; CUDA's only where as many devices are there."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
