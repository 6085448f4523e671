"""One GAN step: one generator forward, D's update, then G's. Nothing here makes the host wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Adam

from srgan_cli import runfolder as names
from srgan_cli.config.training import LossesConfig
from srgan_cli.data.batch import Batch
from srgan_cli.losses import content
from srgan_cli.losses.adversarial import Adversarial, r1_penalty
from srgan_cli.losses.lpips import LPIPSLoss
from srgan_cli.losses.perceptual import VGGLoss
from srgan_cli.models import Generator
from srgan_cli.models.spectral import settled
from srgan_cli.schedule import Plan
from srgan_cli.train.distributed import ALONE, Ranks, average_batch_statistics_
from srgan_cli.train.memory import recomputed
from srgan_cli.train.optim import apply_gradients

Values = dict[str, Tensor]
"""Metric name -> 0-d tensor on the device."""


@dataclass
class GanStep:
    """The networks of a run and what updates them; call it with a batch and its plan."""

    generator: Generator
    discriminator: nn.Module
    optimizer_g: Adam
    optimizer_d: Adam
    losses: LossesConfig
    adversarial: Adversarial
    perceptual: VGGLoss | LPIPSLoss | None
    clip: float
    offset: Tensor
    """(C, 1, 1) or (1, 1, 1): network value of a stored 0; spectral angles are measured from there."""
    arithmetic: Callable[[], AbstractContextManager[object]]
    accumulate: int = 1
    """Parts of the batch that pass through the generator one after the other."""
    ranks: Ranks = ALONE
    """The processes whose parts of a batch make the whole one."""
    generate: Callable[[Tensor], Tensor] = field(init=False)
    """The generator as the step calls it: itself, or compiled."""
    perceive: Callable[[Tensor, Tensor, Tensor], Tensor] | None = field(init=False)
    """The perceptual loss, likewise."""
    joint: bool = field(init=False)
    """Whether D may see HR and SR in one pass: it has no batch statistics."""

    def __post_init__(self) -> None:
        self.generate, self.perceive = self.generator, self.perceptual
        modules = self.discriminator.modules()
        self.joint = not any(isinstance(module, _BatchNorm) for module in modules)
        # What a backward pass goes through: there gradients are averaged over ranks.
        share = self.ranks.averaging_gradients
        self._g_pass = share(Pass(self.generator, self._super_resolve))
        self._d_pass = share(Pass(self.discriminator, self._judge))

    def compile(self) -> None:
        """Compile the generator and VGG; both themselves, their names and their other users stay.

        Shapes are those of the crops, always the same. A step that measures the gradient ratio runs
        uncompiled: it walks one graph back several times, and compiled graphs are made for once.
        """
        if self.ranks.world > 1:
            # It would cut the graph at each bucket of gradients, which recomputation forbids.
            torch._dynamo.config.optimize_ddp = False
        self.generate = torch.compile(self.generator, dynamic=False)
        if isinstance(self.perceptual, VGGLoss):
            self.perceive = torch.compile(self.perceptual, dynamic=False)

    def __call__(self, batch: Batch, plan: Plan, measure: bool = False) -> Values:
        """Update the networks with one batch.

        `measure` adds the gradient ratio of G's terms and the statistics of D's logits.
        """
        counted = self._count_valid(batch.valid)
        if plan.pretrain:
            return self._pretrain(batch, counted)
        sr = self._g_pass(batch.lr, measure)
        # Where HR is unknown D sees the same in both, so that nodata is no clue.
        shown = torch.where(batch.valid > 0, sr, batch.hr)
        real, d_values = self._update_discriminator(shown.detach(), batch.hr, plan, measure)
        g_values = self._update_generator(sr, shown, real, batch, counted(), plan, measure)
        average_batch_statistics_(self.discriminator, self.ranks)
        average_batch_statistics_(self.generator, self.ranks)
        return d_values | g_values

    def _count_valid(self, valid: Tensor) -> Callable[[], content.Counts | None]:
        """What this rank's losses divide by, so that their mean over ranks is that of the batch.

        It is known before the networks have run; the exchange goes on meanwhile.
        """
        if self.ranks.world == 1:
            return lambda: None
        wait = self.ranks.averaging(torch.stack(content.count_valid(valid)))
        return lambda: content.Counts(*wait().unbind())

    def _super_resolve(
        self, lr: Tensor, plain: bool = False, num_parts: int | None = None
    ) -> Tensor:
        """SR of the whole batch, float32, in `accumulate` parts where `num_parts` is not given.

        With several parts, no activation is kept: the backward pass computes those of one part at a
        time again, so that memory is that of a part while every loss sees the whole batch.
        `plain`: not compiled.
        """
        generate = self.generator if plain else self.generate
        num_parts = num_parts or self.accumulate
        with self.arithmetic():
            if num_parts == 1:
                return generate(lr).float()
            parts = lr.chunk(num_parts)
            sr = [recomputed(generate, self.generator, part) for part in parts]
        return torch.cat(sr).float()

    def _pretrain(self, batch: Batch, counted: Callable[[], content.Counts | None]) -> Values:
        self.optimizer_g.zero_grad(set_to_none=True)
        found = torch.zeros((), device=batch.hr.device)
        parts = batch.chunk(self.accumulate)
        for index, part in enumerate(parts):
            with self.ranks.holding_back(self._g_pass, index < len(parts) - 1):
                sr = self._g_pass(part.lr, num_parts=1)
                counts = counted()
                loss = content.l1(sr, part.hr, part.valid, counts)
                if self.accumulate > 1 and counts is None:
                    # Of the mean over all valid pixels of the batch.
                    loss = loss * (part.valid.sum() / batch.valid.sum().clamp(min=1))
                self._go_back(loss)
            found = found + loss.detach()
        norm, skipped = apply_gradients(self.optimizer_g, found, self.clip)
        average_batch_statistics_(self.generator, self.ranks)
        return {
            names.G_CONTENT: found,
            names.G_TOTAL: found,
            "train_metrics/l1": found,
            names.G_NORM: norm,
            **self._clipped(names.G_CLIPPED, norm),
            "skipped": skipped,
        }

    def _clipped(self, name: str, norm: Tensor) -> Values:
        """1 where clipping shortened the gradient, whose mean is the share of clipped steps."""
        return {name: (norm > self.clip).to(torch.float32)} if self.clip > 0 else {}

    def _go_back(self, loss: Tensor) -> None:
        """The backward pass; a loss that is not finite on one rank spoils the gradients of all.

        Then all skip the step, and none has to ask the others.
        """
        if self.ranks.world > 1:
            loss = loss * (1 + 0 * loss.detach())
        torch.autograd.backward(loss)

    def _update_discriminator(
        self, fake: Tensor, hr: Tensor, plan: Plan, measure: bool
    ) -> tuple[Tensor, Values]:
        self.discriminator.requires_grad_(True)
        real_logits, fake_logits = self._d_pass(hr, fake)
        loss = self.adversarial.discriminator(real_logits, fake_logits)
        total, values = loss, {}
        if self.losses.r1_gamma > 0 and plan.step % self.losses.r1_interval == 0:
            with settled(self.discriminator):
                penalty = r1_penalty(self.discriminator, hr)
            # Computed every r1_interval steps, so it weighs that many times more (StyleGAN2).
            total = loss + self.losses.r1_gamma / 2 * self.losses.r1_interval * penalty
            values[names.R1_PENALTY] = penalty.detach()
        self.optimizer_d.zero_grad(set_to_none=True)
        self._go_back(total)
        norm, skipped = apply_gradients(self.optimizer_d, total, self.clip)
        real_prob, fake_prob = self.adversarial.probabilities(real_logits, fake_logits)
        values |= {
            names.D_LOSS: loss.detach(),
            names.D_REAL: real_prob,
            names.D_FAKE: fake_prob,
            names.D_NORM: norm,
            **self._clipped(names.D_CLIPPED, norm),
            "skipped": skipped,
        }
        if measure:
            values |= logit_statistics(
                real_logits.detach(), fake_logits.detach(), self.ranks.average
            )
        return real_logits.detach(), values

    def _judge(self, hr: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits on both, float32, by the same weights: one power iteration for the two."""
        with self.arithmetic():
            if self.joint:
                real_logits, fake_logits = self.discriminator(torch.cat([hr, fake])).chunk(2)
            else:
                real_logits = self.discriminator(hr)
                with settled(self.discriminator):
                    fake_logits = self.discriminator(fake)
        return real_logits.float(), fake_logits.float()

    def _update_generator(
        self,
        sr: Tensor,
        shown: Tensor,
        real: Tensor,
        batch: Batch,
        counts: content.Counts | None,
        plan: Plan,
        measure: bool,
    ) -> Values:
        self.discriminator.requires_grad_(False)
        parts = self._content_parts(sr, batch, counts, measure)
        content_loss = torch.stack([weight * part for weight, part in parts.values()]).sum()
        with self.arithmetic():
            fake = self.discriminator(shown).float()
        adversarial = self.adversarial.generator(real, fake)
        weighted = plan.adv_weight * adversarial
        total = content_loss + weighted
        values = {f"train_metrics/{name}": part.detach() for name, (_, part) in parts.items()}
        if measure:
            values["adv/grad_ratio"] = self._gradient_ratio(weighted, content_loss)
        self.optimizer_g.zero_grad(set_to_none=True)
        self._go_back(total)
        norm, skipped = apply_gradients(self.optimizer_g, total, self.clip)
        return values | {
            names.G_CONTENT: content_loss.detach(),
            names.G_ADVERSARIAL: adversarial.detach(),
            names.G_TOTAL: total.detach(),
            names.G_NORM: norm,
            **self._clipped(names.G_CLIPPED, norm),
            "skipped_g": skipped,
        }

    def _content_parts(
        self,
        sr: Tensor,
        batch: Batch,
        counts: content.Counts | None = None,
        plain: bool = False,
    ) -> dict[str, tuple[float, Tensor]]:
        """Name -> (weight, loss) of the content terms; a weight of 0 costs nothing."""
        weights, hr, valid = self.losses, batch.hr, batch.valid
        parts = {"l1": (weights.l1_weight, content.l1(sr, hr, valid, counts))}
        if weights.sam_weight > 0:
            angle = content.sam(sr - self.offset, hr - self.offset, valid, counts)
            parts["sam"] = (weights.sam_weight, angle)
        if weights.tv_weight > 0:
            parts["tv"] = (weights.tv_weight, content.total_variation(sr, valid, counts))
        perceive = self.perceptual if plain else self.perceive
        if perceive is not None:
            found = self._in_parts(perceive, sr, hr, valid)
            parts["perceptual"] = (weights.perceptual_weight, found)
        return parts

    def _in_parts(self, perceive: Callable[..., Tensor], *images: Tensor) -> Tensor:
        """A loss that is a mean over the batch, in as many parts as the generator's pass."""
        with self.arithmetic():
            if self.accumulate == 1 or self.perceptual is None:
                return perceive(*images)
            parts = zip(*(image.chunk(self.accumulate) for image in images), strict=True)
            found = [recomputed(perceive, self.perceptual, *part, random=False) for part in parts]
        return torch.stack(found).mean()

    def _gradient_ratio(self, weighted: Tensor, content_loss: Tensor) -> Tensor:
        """|grad of the adversarial term| / |grad of the content terms| at G's last layer.

        The quantity behind VQGAN's adaptive weight (Esser et al. 2021, eq. 7).
        """
        last = self.generator.last_layer().weight
        (of_adversarial,) = torch.autograd.grad(weighted, last, retain_graph=True)
        (of_content,) = torch.autograd.grad(content_loss, last, retain_graph=True)
        of_adversarial, of_content = self.ranks.average(
            torch.stack([of_adversarial, of_content])
        ).unbind()
        ratio: Tensor = of_adversarial.norm() / of_content.norm().clamp(min=1e-20)
        return ratio


def logit_statistics(
    real: Tensor, fake: Tensor, average: Callable[[Tensor], Tensor] = lambda means: means
) -> Values:
    """Mean and standard deviation of D's logits on HR and on SR: drift and spread of its answers.

    `average`: means over these crops -> means over the whole batch, of which these may be a part.
    """
    squared = (real.square().mean(), fake.square().mean())
    moments = average(torch.stack([real.mean(), fake.mean(), *squared]))
    means, squares = moments.chunk(2)
    stds = (squares - means.square()).clamp(min=0).sqrt()
    return {
        names.LOGITS.format(of=of, statistic=statistic): value
        for statistic, values in (("mean", means), ("std", stds))
        for of, value in zip(("real", "fake"), values.unbind(), strict=True)
    }


class Pass(nn.Module):
    """A method of the step as the forward pass of a network, whose parameters it has.

    DistributedDataParallel prepares a network's gradients in its forward pass, and must see one for
    each backward pass; what the step does inside (parts, recomputation, compilation, HR and SR
    together) is none of its business.

    Args:
        network: The one that is trained.
        function: What applies it.
    """

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self._function = function

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the method returns."""
        return self._function(*inputs, **options)
