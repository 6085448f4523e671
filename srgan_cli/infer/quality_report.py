"""The figures of how well SR agrees with LR, and what is wrong with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BandQuality:
    """One band; differences are SR averaged to the LR grid less LR, in stored units."""

    name: str
    bias: float
    rmse: float
    p99: float
    """99 % of the absolute differences are below; within 1 %."""
    out_of_range: float
    """Share of SR pixels beyond `range`: of integers these are clipped."""
    range: tuple[float, float] | None
    """Of integers, what the dtype holds; of floats, what the radiometry calls usual; None = unknown."""


@dataclass(frozen=True)
class QualityReport:
    """What the quality of a scene is."""

    bands: tuple[BandQuality, ...]
    """Empty where the network makes other bands than it takes, or no pixel is valid."""
    sam: float | None
    """Mean spectral angle between SR averaged to the LR grid and LR, in degrees; None for one band."""
    seam_index: float | None
    """Gradient across inner tile borders over that beside them; None without borders. Around 1 without
    seams, within some tenths where borders are few."""
    pixels: int
    """Valid LR pixels."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def tags(self) -> dict[str, str]:
        """The figures as tags of the output; lists go by band."""
        tags = {}
        if self.bands:
            for name in ("bias", "rmse", "p99", "out_of_range"):
                values = (getattr(band, name) for band in self.bands)
                tags[f"SRGAN_QA_{name.upper()}"] = " ".join(f"{value:.6g}" for value in values)
        if self.sam is not None:
            tags["SRGAN_QA_SAM"] = f"{self.sam:.6g}"
        if self.seam_index is not None:
            tags["SRGAN_QA_SEAM_INDEX"] = f"{self.seam_index:.6g}"
        return tags

    def excess(self, max_bias: float | None) -> str:
        """What is wrong when no band may be off by more than `max_bias`, or an empty string."""
        if max_bias is None or not self.bands:
            return ""
        number, worst = max(enumerate(self.bands, start=1), key=lambda item: abs(item[1].bias))
        if abs(worst.bias) <= max_bias:
            return ""
        return (
            f"band {number}{f' ({worst.name})' if worst.name else ''}: SR differs from LR by "
            f"{worst.bias:+.4g} on average, more than --qa-max-bias {max_bias:g}"
        )
