"""Layers whose value at a pixel does not depend on the size of the tile around it.

To the last bit, that is: mathematically no layer's does. On the CPU PyTorch chooses its algorithm
by the size of the input, and the algorithms add up in different orders. These layers keep to one,
in evaluation and float32; in training, and elsewhere, they are the plain ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

from srgan_cli.models.folding import folded_conv2d, folding_pays, with_one_order

_SURELY_ONEDNN = 2**16
"""Numbers of input beyond which a convolution goes to oneDNN; PyTorch's own limit is 20480."""


def _steady(module: nn.Module, x: Tensor) -> bool:
    return not module.training and x.device.type == "cpu" and x.dtype == torch.float32


class Conv2d(nn.Conv2d):
    """A convolution that keeps to oneDNN, and to float64 where its kernel is 1 x 1.

    A small single image would run in PyTorch's own code, which two small images do not. oneDNN
    adds up kernels of 3 x 3 and more in one order whatever the size of the image (large ones only in
    one of the layouts, see `with_one_order`); pointwise ones it adds up differently at
    the end of an image. In float64 all orders agree to 1e-16; rounded to float32 they are equal.
    Images narrower than the kernel reaches run in code of oneDNN's that keeps to no order; with more
    of the zeros that are around them anyhow they do not.
    """

    on_even_grid = False
    """Whether every input begins at an even row and column of the image and has even sides."""

    def forward(self, x: Tensor) -> Tensor:
        if not _steady(self, x):
            return self._plain(x)
        if self.kernel_size == (1, 1):
            bias = None if self.bias is None else self.bias.double()
            return F.conv2d(x.double(), self.weight.double(), bias, groups=self.groups).float()
        if self._is_narrow(x):
            rows, cols = x.shape[-2:]
            # Even, for the folded form.
            reach = max(self.kernel_size) + 1
            wide = F.pad(x, (0, max(reach - cols, 0), 0, max(reach - rows, 0)))
            return self.forward(wide)[..., :rows, :cols]
        if x.shape[0] == 1 and x.numel() <= _SURELY_ONEDNN:
            return self._plain(torch.cat([x, x]))[:1]
        return self._plain(x)

    def _plain(self, x: Tensor) -> Tensor:
        if (self.training or self.on_even_grid) and folding_pays(self, x):
            return folded_conv2d(x, self.weight, self.bias)
        if _steady(self, x) and x.is_contiguous():
            ordered = with_one_order(x, max(self.kernel_size))
            if ordered is not x:
                return super().forward(ordered).contiguous()
        return super().forward(x)

    def _is_narrow(self, x: Tensor) -> bool:
        """Whether an edge of the padding lies beyond the whole image, stride and dilation being 1."""
        reach = max(self.kernel_size) // 2
        inside = self.padding == tuple(side // 2 for side in self.kernel_size)
        return min(x.shape[-2:]) < reach and inside and self.stride == self.dilation == (1, 1)


class Sigmoid(nn.Module):
    """1 / (1 + exp(-x)), in float64 as well.

    Most elements are computed by vector instructions, the last few of every thread's share by the
    scalar library, which differs in the last bit.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x.double()).to(x.dtype) if _steady(self, x) else torch.sigmoid(x)


class Tanh(nn.Module):
    """tanh(x); as `Sigmoid`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x.double()).to(x.dtype) if _steady(self, x) else torch.tanh(x)
