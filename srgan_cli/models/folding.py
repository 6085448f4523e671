"""The same convolution as another one that fills the CPU's vectors."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812  # the name every PyTorch reader expects
from torch import Tensor, nn

_ALIKE_IN_BOTH = 7
"""Side of the largest kernel that oneDNN adds up alike in both layouts without AVX512."""


def with_one_order(x: Tensor, kernel: int) -> Tensor:
    """The same contiguous x (B, C, H, W) on the CPU in the layout with which all pixels are added up alike.

    Where kernels are large, oneDNN's order of sums depends on the image's size in one of the layouts:
    with AVX512 in channels last (between many channels, from 7 x 7 on), without it in the contiguous
    one (from 9 x 9 on).
    """
    if kernel <= _ALIKE_IN_BOTH or _has_avx512():
        return x
    # Not `contiguous`, which leaves a single channel as it is.
    return x.to(memory_format=torch.channels_last)


@cache
def _has_avx512() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_f", False))


def folding_pays(layer: nn.Conv2d, x: Tensor) -> bool:
    """Whether `folded_conv2d` is the faster way to apply `layer` to `x`.

    oneDNN computes 16 output channels at a time; a last layer of 4 bands or fewer uses a quarter of
    that. A kernel of 9 x 9 takes half the time folded, one of 5 x 5 three quarters; the others'
    folded kernels have too many zeros (k = 1 modulo 4 has one row and one column of them).
    """
    kernel = layer.kernel_size[0]
    return (
        x.device.type == "cpu"
        and layer.out_channels <= 4
        and layer.kernel_size == (kernel, kernel)
        and kernel > 1
        and kernel % 4 == 1
        and layer.padding == (kernel // 2, kernel // 2)
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and x.shape[-2] % 2 == x.shape[-1] % 2 == 0
    )


def folded_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`conv2d(x, weight, bias, padding=k // 2)` on the image folded 2 x 2 into channels.

    Each of the four output pixels of a 2 x 2 cell is a channel of its own, whose k x k kernel is
    the old one, moved by its place in the cell and cut into the cells it meets.

    Args:
        x: (B, C, H, W), H and W even.
        weight: (O, C, k, k), k = 1 modulo 4.
        bias: (O,).
    """
    num_out, num_in, kernel, _ = weight.shape
    cells = (kernel + 1) // 2
    moved = [F.pad(weight, (x0, 1 - x0, y0, 1 - y0)) for y0 in (0, 1) for x0 in (0, 1)]
    kernels = torch.stack(moved, dim=1).reshape(num_out, 4, num_in, cells, 2, cells, 2)
    kernels = kernels.permute(0, 1, 2, 4, 6, 3, 5).reshape(4 * num_out, 4 * num_in, cells, cells)
    biases = None if bias is None else bias.repeat_interleave(4)
    cells_of_x = F.pixel_unshuffle(x, 2)
    if not torch.is_grad_enabled():
        cells_of_x = with_one_order(cells_of_x.contiguous(), cells)
    folded = F.conv2d(cells_of_x, kernels, biases, padding=cells // 2)
    if not torch.is_grad_enabled():
        folded = folded.contiguous()
    return F.pixel_shuffle(folded, 2)
