"""What a generator is, as plain values: enough to build it again from a weights file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class GeneratorSpec:
    """The arguments of a generator; the names are those of the configuration."""

    model_type: str
    block_type: str
    in_bands: int
    out_bands: int
    scale: int
    n_channels: int
    n_blocks: int
    large_kernel_size: int = 9
    small_kernel_size: int = 3
    growth_channels: int = 32
    res_scale: float = 0.2
    noise_dim: int = 128
    use_icnr: bool = True
    global_skip: str = "none"
    fold: int = 1
    """rrdbnet: side of the squares of LR pixels that become channels before the trunk."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> GeneratorSpec:
        """The inverse of `as_dict`; KeyError or TypeError when values are missing or unknown."""
        known = {field.name for field in fields(GeneratorSpec)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise KeyError(f"unknown entries {unknown}")
        return GeneratorSpec(**values)
