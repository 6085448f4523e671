"""How stored numbers become network input and back: affine, invertible, never clipped.

The names are OpenSR-SRGAN's (`opensr_srgan.data.utils.normalizer`); its versions clip to the
unit range, ours do not, so that snow, cloud and sun glint survive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from srgan_cli.config.data import NormalizationConfig

TIMES_BRIGHTER = 8
"""Beyond so many times the usual maximum even snow and glint are in another unit."""
TIMES_DARKER = 100
"""Imagery is that much darker than usual over deep water only."""

Values = TypeVar("Values", "np.ndarray[Any, Any]", "Tensor")
PerBand: TypeAlias = float | tuple[float, ...]
"""One number for all bands, or one for each."""


@dataclass(frozen=True)
class Radiometry:
    """network = stored * scale + offset, with one scale and offset for all bands or one per band."""

    name: str
    scale: PerBand
    offset: PerBand
    """Also the network value of a stored 0."""
    usual_max: PerBand | None = None
    """A bright but ordinary stored value; data far away from it are probably in another unit."""
    usual_min: PerBand = 0.0
    """What brightness is measured from: 0, or below it where values are negative by nature (dB)."""

    @property
    def num_bands(self) -> int | None:
        """Number of bands that the numbers are for; None where all bands share them."""
        given = (self.scale, self.offset, self.usual_max, self.usual_min)
        return next((len(each) for each in given if isinstance(each, tuple)), None)

    def to_network(self, stored: Values) -> Values:
        """Network units of stored values (..., C, H, W), an array or a float tensor."""
        network: Values = stored * _along_bands(self.scale, stored)
        network += _along_bands(self.offset, stored)
        return network

    def to_stored(self, network: Values) -> Values:
        """Stored values of network units (..., C, H, W), an array or a float tensor."""
        above_zero: Values = network - _along_bands(self.offset, network)
        return self.difference_to_stored(above_zero)

    def difference_to_stored(self, difference: Values) -> Values:
        """A difference of network values (..., C, H, W) in stored units."""
        stored: Values = difference / _along_bands(self.scale, difference)
        return stored

    def of_stored(self, scales: Sequence[float], offsets: Sequence[float]) -> Radiometry:
        """The same radiometry for stored values v whose measured ones are v * scales + offsets.

        One scale and offset per band, as a raster's tags give them.
        """
        bands = range(len(scales))
        own_scale = [of_band(self.scale, band) for band in bands]

        def stored(measured: PerBand) -> PerBand:
            return tuple((of_band(measured, b) - offsets[b]) / scales[b] for b in bands)

        return Radiometry(
            name=self.name,
            scale=tuple(own_scale[b] * scales[b] for b in bands),
            offset=tuple(own_scale[b] * offsets[b] + of_band(self.offset, b) for b in bands),
            usual_max=None if self.usual_max is None else stored(self.usual_max),
            usual_min=stored(self.usual_min),
        )

    def misfits(self, bright: Sequence[float]) -> tuple[int, ...]:
        """Bands, from 0, whose 99.9th percentile of stored values is in another unit.

        A single value is taken for all bands at once: it fits where it fits any of them.
        """
        usual_max = self.usual_max
        if usual_max is None:
            return ()

        def fit(value: float, band: int) -> bool:
            low = of_band(self.usual_min, band)
            usual = of_band(usual_max, band) - low
            return usual / TIMES_DARKER <= value - low <= usual * TIMES_BRIGHTER

        if len(bright) == 1:
            fits_any = any(fit(bright[0], band) for band in range(self.num_bands or 1))
            return () if fits_any else (0,)
        return tuple(band for band, value in enumerate(bright) if not fit(value, band))

    def fits(self, bright: float) -> bool:
        """Whether a 99.9th percentile over all bands can be in the unit of this radiometry."""
        return not self.misfits([bright])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Radiometry:
        """The inverse of `as_dict`; ValueError where the numbers are for different bands.

        Without `usual_min`, as weights files had it at first, brightness is measured from 0.
        """
        usual_max = values["usual_max"]
        radiometry = Radiometry(
            name=str(values["name"]),
            scale=per_band(values["scale"]),
            offset=per_band(values["offset"]),
            usual_max=None if usual_max is None else per_band(usual_max),
            usual_min=per_band(values.get("usual_min", 0.0)),
        )
        given = (radiometry.scale, radiometry.offset, radiometry.usual_max, radiometry.usual_min)
        if len({len(each) for each in given if isinstance(each, tuple)}) > 1:
            raise ValueError("radiometry of different numbers of bands")
        return radiometry


def per_band(value: float | Sequence[float]) -> PerBand:
    """A number, or a tuple of numbers."""
    return float(value) if isinstance(value, (int, float)) else tuple(float(each) for each in value)


def of_band(value: PerBand, band: int) -> float:
    """The number of a band, from 0."""
    return value[band] if isinstance(value, tuple) else value


def _along_bands(value: PerBand, like: Values) -> Any:
    """What multiplies (..., C, H, W) band by band, in the type of `like`."""
    if isinstance(value, float):
        return value
    if isinstance(like, np.ndarray):
        # Integers become float64, as they do when multiplied by a plain number.
        kind = like.dtype if like.dtype.kind == "f" else np.dtype(np.float64)
        return np.array(value, dtype=kind)[:, None, None]
    return like.new_tensor(value)[:, None, None]


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


def build_radiometry(normalization: str | NormalizationConfig) -> Radiometry | None:
    """The radiometry that `Data.normalization` asks for; None where it is to be fitted first."""
    if isinstance(normalization, str):
        return RADIOMETRIES.get(normalization)
    if normalization.scale is None:
        # Not yet: see data/fitting.py.
        return None
    return Radiometry(
        normalization.name,
        normalization.scale,
        normalization.offset,
        normalization.usual_max,
        normalization.usual_min,
    )
