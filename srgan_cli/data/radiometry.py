"""How stored numbers become network input and back: affine, invertible, never clipped.

The names are OpenSR-SRGAN's (`opensr_srgan.data.utils.normalizer`); its versions clip to the
unit range, ours do not, so that snow, cloud and sun glint survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from srgan_cli.config.data import LinearNormalization

TIMES_BRIGHTER = 8
"""Beyond so many times the usual maximum even snow and glint are in another unit."""
TIMES_DARKER = 100
"""Imagery is that much darker than usual over deep water only."""

Values = TypeVar("Values", float, np.ndarray[Any, Any], "Tensor")


@dataclass(frozen=True)
class Radiometry:
    """network = stored * scale + offset."""

    name: str
    scale: float
    offset: float
    usual_max: float | None = None
    """A bright but ordinary stored value; data far away from it are probably in another unit."""

    def to_network(self, stored: Values) -> Values:
        """Network units of stored values (numpy array or tensor, any shape)."""
        return stored * self.scale + self.offset

    def to_stored(self, network: Values) -> Values:
        """Stored values of network units (numpy array or tensor, any shape)."""
        return (network - self.offset) / self.scale

    def fits(self, bright: float) -> bool:
        """Whether a 99.9th percentile of stored values can be in the unit of this radiometry."""
        usual = self.usual_max
        return usual is None or usual / TIMES_DARKER <= bright <= usual * TIMES_BRIGHTER

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Radiometry:
        """The inverse of `as_dict`."""
        usual_max = values["usual_max"]
        return Radiometry(
            name=str(values["name"]),
            scale=float(values["scale"]),
            offset=float(values["offset"]),
            usual_max=None if usual_max is None else float(usual_max),
        )


RADIOMETRIES: dict[str, Radiometry] = {
    radiometry.name: radiometry
    for radiometry in (
        Radiometry("sen2_stretch_10k", 1 / 3000, 0.0, 10000.0),
        Radiometry("normalise_10k", 1 / 10000, 0.0, 10000.0),
        Radiometry("normalise_10k_signed", 1 / 5000, -1.0, 10000.0),
        Radiometry("sen2_stretch", 10 / 3, 0.0, 1.0),
        Radiometry("normalise_s2", 20 / 3, -1.0, 1.0),
        Radiometry("zero_one", 1.0, 0.0, 1.0),
        Radiometry("zero_one_signed", 2.0, -1.0, 1.0),
        Radiometry("uint8", 1 / 255, 0.0, 255.0),
        Radiometry("identity", 1.0, 0.0, None),
    )
}
"""By name, as `Data.normalization` gives it."""


def build_radiometry(normalization: str | LinearNormalization) -> Radiometry:
    """The radiometry that `Data.normalization` asks for."""
    if isinstance(normalization, str):
        return RADIOMETRIES[normalization]
    return Radiometry(normalization.name, normalization.scale, normalization.offset)
