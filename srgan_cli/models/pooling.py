"""Averages over a whole input, made local for inputs larger than those of the training."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn


class WindowMean(nn.Module):
    """Mean of x (B, C, h, w) over all pixels, or around each pixel over a window.

    Channel attention is trained on small crops; on a larger input its average is another
    statistic, and on tiles it differs from tile to tile. With the window it was trained on both go
    away: Test-time Local Converter, Chu et al. 2022, arXiv:2112.04491. Near the border the window
    is shifted inside, and where the input is no larger than the window, the plain mean is left:
    on crops of the training's size nothing changes, to the last bit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window_px: int | None = None
        """Side of the window; None = the whole input."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, 1), or (B, C, h, w) where there is a smaller window."""
        height, width = x.shape[-2:]
        side = max(height, width) if self.window_px is None else self.window_px
        rows, cols = min(side, height), min(side, width)
        if (rows, cols) == (height, width):
            return F.adaptive_avg_pool2d(x, 1)
        mean = window_sum(window_sum(x.float(), rows, 2), cols, 3) / (rows * cols)
        above, left = (rows - 1) // 2, (cols - 1) // 2
        margins = (left, cols - 1 - left, above, rows - 1 - above)
        return F.pad(mean, margins, mode="replicate").to(x.dtype)

    @property
    def reach_px(self) -> int | None:
        """How far the result looks to every side; None = everywhere."""
        return None if self.window_px is None else self.window_px // 2

    @property
    def border_reach_px(self) -> int:
        """How much farther it looks once, where the window is shifted at the border."""
        return 0 if self.window_px is None else self.window_px - 1 - self.window_px // 2


def window_sum(x: Tensor, size: int, dim: int) -> Tensor:
    """Sums of `size` neighbours along `dim`, which gets shorter by `size - 1`.

    Built of sums of 1, 2, 4, 8 ... neighbours: log2(size) additions, in the same order for every
    pixel. A cumulative sum would be cheaper still, but its rounding depends on where the tile
    starts.
    """
    length = x.shape[dim] - size + 1
    total: Tensor | None = None
    start, width, sums = 0, 1, x
    while True:
        if size & width:
            part = sums.narrow(dim, start, length)
            total = part if total is None else total + part
            start += width
        if 2 * width > size:
            break
        shorter = sums.shape[dim] - width
        sums = sums.narrow(dim, 0, shorter) + sums.narrow(dim, width, shorter)
        width *= 2
    if total is None:
        raise ValueError(f"size {size}: a window has one pixel at least")
    return total
