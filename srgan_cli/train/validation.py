"""Quality of the generator on the fixed validation crops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from srgan_cli import metrics
from srgan_cli import runfolder as names
from srgan_cli.checkerboard import MIN_CELLS, checkerboard_score, enough_tiles
from srgan_cli.config import RunConfig
from srgan_cli.data.batch import Batch
from srgan_cli.files import whole_file
from srgan_cli.losses.adversarial import Adversarial
from srgan_cli.losses.content import total_variation
from srgan_cli.losses.lpips import LPIPSLoss
from srgan_cli.losses.perceptual import VGGLoss
from srgan_cli.models.generator import upsample
from srgan_cli.train.distributed import ALONE, Ranks

MAX_TILES = 64

_Measured = tuple[dict[str, Tensor], dict[str, Tensor], Tensor]


@dataclass
class Validator:
    """The validation crops and everything that is measured on them."""

    crops: Batch
    """On the CPU."""
    config: RunConfig
    device: torch.device
    adversarial: Adversarial
    perceptual: VGGLoss | LPIPSLoss | None
    offset: Tensor
    """(C, 1, 1) or (1, 1, 1): network value of a stored 0."""
    arithmetic: Callable[[], AbstractContextManager[object]]
    ranks: Ranks = ALONE
    """They share the batches; the numbers do not depend on how many they are."""
    _of_bicubic: dict[str, float] | None = field(init=False, default=None)
    """What bicubic interpolation of the crops has: measured once, they stay the same."""

    @torch.no_grad()
    def run(
        self, generator: nn.Module, discriminator: nn.Module | None
    ) -> tuple[dict[str, float], Tensor]:
        """Metrics by name, and SR of all crops on the CPU; of none but on rank 0.

        `discriminator` is None in pretraining. Both networks are left in training mode or not, as
        they were.
        """
        networks = [generator] + ([discriminator] if discriminator is not None else [])
        modes = [network.training for network in networks]
        for network in networks:
            network.eval()
        mine = [
            self._measured(generator, discriminator, batch) for batch in self._batches(self.ranks)
        ]
        for network, mode in zip(networks, modes, strict=True):
            network.train(mode)
        shares = self.ranks.gather(mine)
        if not shares:
            return self.ranks.share({}), self.crops.hr[:0]
        # Batch after batch, as one process would have come to them.
        turns = [each for turn in zip_longest(*shares) for each in turn if each is not None]
        found, sr = self._summary(turns)
        return self.ranks.share(found), sr

    def _measured(
        self, generator: nn.Module, discriminator: nn.Module | None, batch: Batch
    ) -> _Measured:
        """Metrics of each image, the game on the batch, and SR; on the CPU."""
        with self.arithmetic():
            sr = generator(batch.lr)
        sr = sr.float()
        images = self._image_metrics(sr, batch)
        game = {} if discriminator is None else self._game(discriminator, sr, batch)
        return _on_cpu(images), _on_cpu(game), sr.cpu()

    def _summary(self, measured: Sequence[_Measured]) -> tuple[dict[str, float], Tensor]:
        images, games, outputs = zip(*measured, strict=True)
        sr = torch.cat(outputs)
        found = {
            f"val_metrics/{name}": float(torch.cat([each[name] for each in images]).nanmean())
            for name in images[0]
        }
        found |= {
            name: float(torch.stack([each[name] for each in games]).mean()) for name in games[0]
        }
        if not torch.isfinite(sr).all():
            # A mean over the images that are left would look like a success.
            found = dict.fromkeys(found, math.nan)
        if self._of_bicubic is None:
            self._of_bicubic = self._measure_bicubic()
        return found | self._of_bicubic | self._checkerboard(sr), sr

    def _measure_bicubic(self) -> dict[str, float]:
        scale = self.config.generator.scaling_factor
        if scale == 1:
            return {}
        ratios = [
            metrics.high_frequency_ratio(
                upsample(batch.lr, scale, "bicubic"), batch.hr, batch.valid
            )
            for batch in self._batches(ALONE)
        ]
        return {names.HF_RATIO_BICUBIC: float(torch.cat(ratios).nanmean())}

    def _batches(self, ranks: Ranks) -> Iterator[Batch]:
        """The share of this process, or with `ALONE` all."""
        size = self.config.data.val_batch_size
        starts = range(0, self.crops.lr.shape[0], size)[: self.config.training.limit_val_batches]
        for start in starts[ranks.rank :: ranks.world]:
            yield Batch(*(part[start : start + size].to(self.device) for part in self.crops))

    def _image_metrics(self, sr: Tensor, batch: Batch) -> dict[str, Tensor]:
        hr, valid = batch.hr, batch.valid
        losses = self.config.training.losses
        found = {
            "l1": metrics.l1(sr, hr, valid),
            "psnr": metrics.psnr(sr, hr, valid, losses.max_val),
            "ssim": metrics.ssim(sr, hr, valid, losses.max_val, losses.ssim_win),
            "sam": metrics.sam(sr - self.offset, hr - self.offset, valid),
            "ergas": metrics.ergas(
                sr - self.offset, hr - self.offset, valid, self.config.generator.scaling_factor
            ),
            "hf_ratio": metrics.high_frequency_ratio(sr, hr, valid),
            "tv": total_variation(sr, valid).expand(len(sr)),
        }
        if self.perceptual is not None:
            found["perceptual"] = self.perceptual(sr, hr, valid).expand(len(sr))
        return found

    def _game(self, discriminator: nn.Module, sr: Tensor, batch: Batch) -> dict[str, Tensor]:
        shown = torch.where(batch.valid > 0, sr, batch.hr)
        with self.arithmetic():
            real, fake = discriminator(batch.hr), discriminator(shown)
        real_prob, fake_prob = self.adversarial.probabilities(real, fake)
        return {
            names.VAL_D_LOSS: self.adversarial.discriminator(real, fake),
            names.VAL_D_REAL: real_prob,
            names.VAL_D_FAKE: fake_prob,
        }

    def _checkerboard(self, sr: Tensor) -> dict[str, float]:
        """Amplitude of a pattern locked to the pixel grid, as a share of HR's range."""
        scale = self.config.generator.scaling_factor
        whole = self.crops.valid[: len(sr)].flatten(1).amin(dim=1) > 0
        tiles = sr[whole][:MAX_TILES].numpy()
        too_small = min(tiles.shape[2:]) < MIN_CELLS * scale
        if scale == 1 or too_small or len(tiles) < enough_tiles(scale):
            return {}
        if not np.isfinite(tiles).all():
            return {}
        hr = self.crops.hr[: len(sr)][whole].numpy()
        low, high = np.percentile(hr, (2, 98))
        score = checkerboard_score(tiles, scale, float(high - low))
        return {"val_metrics/checkerboard": float(score.amplitude)}


def _on_cpu(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in values.items()}


def write_tiles(path: Path, **tiles: Tensor) -> None:
    """Write native tiles as float16 arrays in one npz file, whole or not at all."""
    limit = float(np.finfo(np.float16).max)
    arrays = {
        name: value[:MAX_TILES].clamp(-limit, limit).numpy().astype(np.float16)
        for name, value in tiles.items()
    }
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub wants a flag first
