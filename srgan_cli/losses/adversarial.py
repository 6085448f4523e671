"""The adversarial game, in float32 logits of any shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _of_these_crops(means: Tensor) -> Tensor:
    return means


@dataclass(frozen=True)
class Adversarial:
    """Both sides of one adversarial objective."""

    kind: str
    """bce (Goodfellow et al. 2014), hinge (Lim and Ye 2017) or wasserstein (Arjovsky et al. 2017)."""
    relativistic: bool = False
    """bce only: relativistic average (Jolicoeur-Martineau 2018)."""
    real_target: float = 1.0
    """bce only: 0.9 with label smoothing; the generator always aims at 1."""
    average: Callable[[Tensor], Tensor] = _of_these_crops
    """Means over these crops -> means over the whole batch, of which these may be a part."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss from its logits on HR and SR; for bce the mean of the two terms, ln 2 at chance."""
        real, fake = real.float(), fake.float()
        if self.kind == "wasserstein":
            return fake.mean() - real.mean()
        if self.kind == "hinge":
            return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        real, fake = self._relative(real, fake)
        return 0.5 * (_bce(real, self.real_target) + _bce(fake, 0.0))

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """G's loss from D's logits; `real` matters for the relativistic form only."""
        real, fake = real.float().detach(), fake.float()
        if self.kind in ("wasserstein", "hinge"):
            return -fake.mean()
        if not self.relativistic:
            return _bce(fake, 1.0)
        real, fake = self._relative(real, fake)
        return 0.5 * (_bce(real, 0.0) + _bce(fake, 1.0))

    def probabilities(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Mean D(y) and D(G(x)); relative probabilities in the relativistic form."""
        real, fake = self._relative(real.detach().float(), fake.detach().float())
        return real.sigmoid().mean(), fake.sigmoid().mean()

    def _relative(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not self.relativistic:
            return real, fake
        of_real, of_fake = self.average(torch.stack([real.mean(), fake.mean()])).unbind()
        return real - of_fake, fake - of_real


def r1_penalty(discriminator: nn.Module, hr: Tensor) -> Tensor:
    """Mean squared gradient norm of D's logits with respect to real images.

    R1, Mescheder et al. 2018, arXiv:1801.04406. `hr` (B, C, H, W) itself is left without gradient.
    """
    images = hr.detach().requires_grad_(True)
    logits = discriminator(images).float().flatten(1).mean(dim=1).sum()
    (gradient,) = torch.autograd.grad(logits, images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()
