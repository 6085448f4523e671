"""How much memory a step needs, counted tensor by tensor; the same on every device."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn

from srgan_cli.train.networks import Networks


def lasting_bytes(networks: Networks) -> int:
    """Weights of all networks, gradients and both moments of the trained ones, and the average."""
    gan, ema = networks.step, networks.ema
    trained = _bytes(gan.generator) + _bytes(gan.discriminator)
    others = (gan.perceptual, None if ema is None else ema.model)
    return 4 * trained + sum(_bytes(network) for network in others if network is not None)


def _bytes(network: nn.Module) -> int:
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Activations:
    """Counts what autograd keeps for the backward passes while the block runs.

    `peak_bytes` is the most that was kept at one time; tensors that share their memory, and the
    weights themselves, count once or not at all.
    """

    def __init__(self, networks: Networks) -> None:
        gan = networks.step
        modules = [gan.generator, gan.discriminator]
        self._owned = {p.untyped_storage().data_ptr() for m in modules for p in m.parameters()}
        if gan.perceptual is not None:
            self._owned |= {p.untyped_storage().data_ptr() for p in gan.perceptual.parameters()}
        self._kept: dict[int, int] = {}
        self._now = 0
        self.peak_bytes = 0
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack)

    def __enter__(self) -> Activations:
        self._hooks.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.__exit__(kind, value, trace)

    def _pack(self, tensor: Tensor) -> Tensor | _Kept:
        storage = tensor.untyped_storage()
        pointer = storage.data_ptr()
        if pointer in self._owned:
            return tensor
        if self._kept.get(pointer, 0) == 0:
            self._now += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self._now)
        self._kept[pointer] = self._kept.get(pointer, 0) + 1
        return _Kept(self, tensor, pointer, storage.nbytes())

    def release(self, pointer: int, size: int) -> None:
        """A backward pass has let go of a tensor."""
        self._kept[pointer] -= 1
        if self._kept[pointer] == 0:
            self._now -= size


class _Kept:
    """A saved tensor that tells when it is let go."""

    def __init__(self, count: Activations, tensor: Tensor, pointer: int, size: int) -> None:
        self._count, self.tensor, self._pointer, self._size = count, tensor, pointer, size

    def __del__(self) -> None:
        self._count.release(self._pointer, self._size)


def _unpack(kept: Tensor | _Kept) -> Tensor:
    return kept.tensor if isinstance(kept, _Kept) else kept
