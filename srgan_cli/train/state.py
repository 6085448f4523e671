"""The state of a run as plain values and tensors, for checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Adam

from srgan_cli.train.distributed import Ranks
from srgan_cli.train.meter import Meter, merged
from srgan_cli.train.networks import Networks
from srgan_cli.train.optim import get_rate, set_rate

_FROM_THE_CONFIGURATION = ("betas", "eps", "weight_decay")


def networks_state(networks: Networks) -> dict[str, Any]:
    """Both networks, the average, both optimizers and both plateau schedulers."""
    gan, ema = networks.step, networks.ema
    return {
        "generator": gan.generator.state_dict(),
        "discriminator": gan.discriminator.state_dict(),
        "ema": None if ema is None else ema.state_dict(),
        "optimizer_g": gan.optimizer_g.state_dict(),
        "optimizer_d": gan.optimizer_d.state_dict(),
        "base_rates": base_rates(networks),
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
    # A checkpoint from before these were written has the rates of its own configuration.
    before, now = state.get("base_rates", base_rates(networks)), base_rates(networks)
    _restore_optimizer(gan.optimizer_g, state["optimizer_g"], now["g"] / before["g"])
    _restore_optimizer(gan.optimizer_d, state["optimizer_d"], now["d"] / before["d"])
    networks.plateau_g.load_state_dict(state["plateau_g"])
    networks.plateau_d.load_state_dict(state["plateau_d"])


def base_rates(networks: Networks) -> dict[str, float]:
    """The configured rates, before warm-up and cuts."""
    gan = networks.step
    return {"g": gan.optimizer_g.defaults["lr"], "d": gan.optimizer_d.defaults["lr"]}


def _restore_optimizer(optimizer: Adam, state: dict[str, Any], change: float) -> None:
    """Moments and rate of the checkpoint, everything else as configured.

    Where the configured rate has changed, the rate changes by the same factor: cuts by the plateau
    scheduler stay.
    """
    configured = [
        {key: group[key] for key in _FROM_THE_CONFIGURATION} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, configured, strict=True):
        group.update(own)
    if change != 1.0:
        set_rate(optimizer, get_rate(optimizer) * change)


def random_state() -> dict[str, Any]:
    """The state of torch's generators; nothing else here is random but for the seed and the step."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`; CUDA's only where as many devices are there."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])


def own_states(ranks: Ranks, meter: Meter) -> dict[str, Any]:
    """On rank 0: what each process has of its own, rank 0's first."""
    own = {"random": random_state(), "meter": meter.state_dict()}
    first, *others = ranks.gather(own) or [own]
    return {**first, "other_ranks": others}


def restore_own_state(
    state: dict[str, Any], ranks: Ranks, meter: Meter, device: torch.device, seed: int
) -> None:
    """The inverse of `own_states`, also with another number of processes.

    Then the log goes on from the mean of the meters, and a process that was not there before draws
    noise from a seed of its own.
    """
    saved = [state, *state.get("other_ranks", [])]
    same = len(saved) == ranks.world
    meter.load_state_dict(saved[ranks.rank]["meter"] if same else _mean_meter(saved), device)
    if ranks.rank < len(saved):
        restore_random_state(saved[ranks.rank]["random"])
    else:
        torch.manual_seed(seed + 1_000_003 * ranks.rank + int(state["step"]))


def _mean_meter(saved: list[dict[str, Any]]) -> dict[str, Any]:
    return merged([each["meter"] for each in saved])
