"""What a look at the imagery of a configuration found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from srgan_cli.data.batch import Batch
from srgan_cli.data.consistency import Agreement
from srgan_cli.data.cutter import Place
from srgan_cli.data.radiometry import Radiometry
from srgan_cli.data.rasters import UnreadableError
from srgan_cli.data.scenes import Raster
from srgan_cli.errors import RefusedError


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong with the imagery."""

    text: str
    hint: str


@dataclass(frozen=True)
class CropCount:
    """Crops of one file on a grid without overlap."""

    total: int
    tried: int
    usable: int
    """Of those tried: with enough valid pixels and texture."""
    texture: float
    """Median over those with enough valid pixels, as `Data.min_texture` counts; NaN without any."""

    @property
    def estimate(self) -> int:
        """Usable crops of the file."""
        return round(self.total * self.usable / self.tried) if self.tried else 0


@dataclass(frozen=True)
class FileReport:
    """One file."""

    raster: Raster
    role: str
    """`train`, `val`, or `train, val` where validation is held back; with `LR` for given LR."""
    network: tuple[tuple[float, float], ...] = ()
    """What the 0.1th and 99.9th percentile of each band become; empty where nobody knows."""
    crops: CropCount | None = None
    """None for LR, and where no crops can be cut."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        raster, crops = self.raster, self.crops
        return {
            "path": raster.path,
            "role": self.role,
            "width": raster.width,
            "height": raster.height,
            "bands": list(raster.bands),
            "band_names": list(raster.descriptions),
            "dtype": raster.dtype,
            "crs": raster.crs or None,
            "pixel_m": raster.gsd_m,
            "nodata_fraction": 1 - raster.valid_fraction,
            "stored": [
                list(pair) for pair in zip(raster.band_lows, raster.band_highs, strict=True)
            ],
            "network": [list(pair) for pair in self.network],
            "crops": None
            if crops is None
            else {
                "total": crops.total,
                "tried": crops.tried,
                "usable": crops.usable,
                "usable_estimate": crops.estimate,
                "median_texture": crops.texture,
            },
        }


@dataclass(frozen=True)
class PairReport:
    """A given LR and its HR."""

    hr: str
    lr: str
    agreement: Agreement

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the shift in LR pixels, gain and bias in stored units."""
        found, shift = self.agreement, self.agreement.shift
        return {
            "hr": self.hr,
            "lr": self.lr,
            "shift_lr_px": None
            if shift is None
            else {"down": shift.down, "right": shift.right, "coherence": shift.coherence},
            "gain": list(found.gain),
            "bias": list(found.bias),
            "correlation": list(found.correlation),
        }


@dataclass
class Survey:
    """What was found; `troubles` is empty where a training can start."""

    band_names: tuple[str, ...] = ()
    radiometry: Radiometry | None = None
    """None where it was to be fitted and could not be."""
    files: list[FileReport] = field(default_factory=list)
    pairs: list[PairReport] = field(default_factory=list)
    samples: list[tuple[Place, Batch]] = field(default_factory=list)
    """Crops as they are trained on, but not augmented, spread over the files."""
    warnings: list[str] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    steps_per_epoch: int | None = None
    skip_unreadable: bool = False
    """`Data.on_bad_file: skip`: a file that cannot be read is left out, and no trouble."""

    @contextmanager
    def collecting(self, key: str = "") -> Iterator[None]:
        """Keeps what is refused within as trouble, after the key that led to it."""
        try:
            yield
        except RefusedError as err:
            text = f"{key}: {err.message}" if key else err.message
            if self.skip_unreadable and isinstance(err, UnreadableError):
                self.warnings.append(f"Data.on_bad_file: skipped: {text}")
                return
            self.troubles.append(Trouble(text, err.hint))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ok": not self.troubles,
            "problems": [{"text": each.text, "hint": each.hint} for each in self.troubles],
            "warnings": self.warnings,
            "band_names": list(self.band_names),
            "radiometry": None if self.radiometry is None else self.radiometry.as_dict(),
            "steps_per_epoch": self.steps_per_epoch,
            "files": [file.as_dict() for file in self.files],
            "pairs": [pair.as_dict() for pair in self.pairs],
            "samples": [
                {"hr": place.scene.hr, "lr": place.scene.lr, "row": place.row, "col": place.col}
                for place, _ in self.samples
            ],
        }
