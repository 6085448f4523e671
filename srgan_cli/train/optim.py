"""Adam for both networks, clipping, and the plateau schedulers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau

from srgan_cli.config import RunConfig
from srgan_cli.runfolder import PLATEAU

HIGHER_IS_BETTER = ("val_metrics/psnr", "val_metrics/ssim")


def build_adam(
    network: nn.Module, rate: float, betas: tuple[float, float], eps: float, decay: float
) -> Adam:
    """Adam with weight decay on kernels only: tensors of two or more dimensions."""
    kernels = [p for p in network.parameters() if p.requires_grad and p.dim() >= 2]
    others = [p for p in network.parameters() if p.requires_grad and p.dim() < 2]
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    device = next(network.parameters()).device
    # Fused: one kernel for all tensors, and it skips a non-finite step on the device itself.
    fused = device.type in ("cpu", "cuda")
    return Adam([g for g in groups if g["params"]], lr=rate, betas=betas, eps=eps, fused=fused)


def apply_gradients(optimizer: Adam, loss: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """One optimizer step from gradients already computed.

    A non-finite loss or gradient leaves weights and moments untouched; that is decided on the
    device, so the host never waits.

    Returns:
        The gradient norm before clipping, and 1 where the step was skipped, else 0.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = get_total_norm(gradients)
    if clip > 0:
        clip_grads_with_norm_(parameters, clip, norm)
    # float32 is what the fused kernel reads.
    skipped = 1.0 - (torch.isfinite(norm) & torch.isfinite(loss.detach())).to(torch.float32)
    if optimizer.defaults["fused"]:
        # What a GradScaler hands over; the fused kernel then skips by itself.
        optimizer.found_inf = skipped  # type: ignore[attr-defined]
        optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.step()
    return norm, skipped


def set_rate(optimizer: Adam, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def get_rate(optimizer: Adam) -> float:
    """The learning rate."""
    return float(optimizer.param_groups[0]["lr"])


class Plateau:
    """ReduceLROnPlateau on one metric, stepped once per validation; ignores what is not finite."""

    def __init__(self, optimizer: Adam, config: RunConfig, network: str) -> None:
        section = config.schedulers
        generator = network == "g"
        self.metric = section.metric_g if generator else section.metric_d
        # A relative threshold turns round for negative values, which a critic's loss has.
        negative = config.training.losses.adv_loss_type == "wasserstein" and not generator
        self.scheduler = ReduceLROnPlateau(
            optimizer,
            mode="max" if self.metric in HIGHER_IS_BETTER else "min",
            factor=section.factor_g if generator else section.factor_d,
            patience=section.patience_g if generator else section.patience_d,
            cooldown=section.cooldown_g if generator else section.cooldown_d,
            min_lr=section.min_lr_g if generator else section.min_lr_d,
            threshold=section.threshold,
            threshold_mode="abs" if negative else "rel",
        )

    def step(self, metrics: dict[str, float]) -> bool:
        """Take in the metrics of a validation; True when the rate was cut."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return False
        before = get_rate_of(self.scheduler)
        self.scheduler.step(value)
        return get_rate_of(self.scheduler) < before

    def values(self, network: str) -> dict[str, float]:
        """Best value so far and validations since, for the log; empty before the first one."""
        best, waited = float(self.scheduler.best), float(self.scheduler.num_bad_epochs)
        if not math.isfinite(best):
            return {}
        return {
            PLATEAU.format(network=network, what="best"): best,
            PLATEAU.format(network=network, what="num_bad"): waited,
        }

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; plain numbers."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        return {name: getattr(self.scheduler, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.scheduler.load_state_dict(state)

    def forget_best(self) -> None:
        """Start comparing anew: another phase has another objective."""
        self.scheduler.best = math.inf if self.scheduler.mode == "min" else -math.inf
        self.scheduler.num_bad_epochs = 0
        self.scheduler.cooldown_counter = 0


def get_rate_of(scheduler: ReduceLROnPlateau) -> float:
    """The learning rate that a scheduler has set."""
    return float(scheduler.optimizer.param_groups[0]["lr"])
