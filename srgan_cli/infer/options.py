"""What can be asked of an inference, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from srgan_cli.infer.quality_report import QualityReport

DeviceName = str
"""auto, cpu, cuda, cuda:N; several GPUs share the scene as cuda:0,cuda:1 or cuda:all."""
Precision = Literal["auto", "fp32", "bf16"]

AUTO_HALO = "auto"
EXACT_HALO = "exact"


@dataclass(frozen=True)
class InferOptions:
    """How a scene is super-resolved; the defaults suit almost every scene."""

    bidx: tuple[int, ...] = ()
    """Bands to read, counted from 1, in network order; empty: by name, or all of them."""
    nodata: float | None = None
    """Nodata value of input and output, in place of what the input says."""
    dtype: str | None = None
    """Output dtype; None = that of the input."""
    window: tuple[int, int, int, int] | None = None
    """Column, row, width and height of the part to process, in pixels of the input."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east and north of the part to process; snaps outwards to whole pixels."""
    bbox_crs: str = ""
    """CRS of `bbox`; empty: that of the input."""
    aoi: str | None = None
    """GeoJSON file of polygons to process; pixels whose centre is outside become nodata."""
    aoi_box: bool = False
    """Process the whole bounding box of `aoi`."""
    tile_px: int | None = None
    """LR pixels kept per tile along a side, rounded up to a multiple of 16; None = by memory."""
    halo: str | int = AUTO_HALO
    """`auto`, `exact`, or LR pixels."""
    tolerance: float | None = None
    """Error that `auto` may leave, in stored units; None = half an output step."""
    batch: int | None = None
    """Windows per run of the network; None = 1."""
    device: DeviceName = "auto"
    precision: Precision = "auto"
    format: str = "gtiff"
    """`gtiff`, or `cog`: a cloud-optimised GeoTIFF with overviews."""
    compress: str = "deflate"
    creation_options: Mapping[str, str] = field(default_factory=dict)
    """GDAL creation options of the output, names in capitals; they win over everything else."""
    overwrite: bool = False
    resume: bool = True
    """Go on with what an interrupted inference of the same output finished; else discard it."""
    force: bool = False
    """Go on where values do not fit the weights, or the disk looks too small."""
    dry_run: bool = False
    """Plan and time it, but write nothing."""
    qa: bool = True
    """Compare SR with LR while it is made, and record how well they agree."""
    qa_max_bias: float | None = None
    """Mean difference between SR and LR that a band may have, in stored units; None = any."""
    quicklook: bool = False
    """Make a PNG to look at beside the output."""
    quicklook_path: str | None = None
    """Make the PNG under this name."""
    qgis_style: bool = False
    """Make a QGIS style (.qml) beside the output, with the stretch of the quicklook."""


@dataclass(frozen=True)
class InferResult:
    """What was made, or with `dry_run` what would be made."""

    input: str
    output: str
    width: int
    """Of the output, in pixels."""
    height: int
    bands: tuple[int, ...]
    """Bands of the input that the network saw, counted from 1."""
    num_bands: int
    """Of the output."""
    dtype: str
    nodata: float | None
    mask: bool
    """Whether the output has an internal mask."""
    crs: str | None
    transform: tuple[float, ...]
    """Six affine terms of the output; in pixels of the input where that has no georeferencing."""
    scale: int
    halo_px: int
    halo_mode: str
    receptive_field_px: int | None
    """None = the network looks at the whole scene."""
    residual: float | None
    """p99.9 of the error left by the halo, in stored units; None when nobody measured it."""
    tile_px: int
    window_px: tuple[int, int]
    """Rows and columns of the network's input."""
    num_tiles: int
    skipped_tiles: int
    """Tiles without a valid pixel."""
    resumed_tiles: int
    """Tiles that an interrupted inference had finished."""
    device: str
    precision: str
    raw_bytes: int
    """Uncompressed size of the output."""
    peak_bytes: int
    """The most that lies on the disk while it is made."""
    seconds: float
    """Spent; with `dry_run` estimated."""
    weights_sha256: str
    version: str
    format: str = "gtiff"
    tally: Mapping[str, Any] | None = None
    """What an observer noted about the tiles."""
    warnings: tuple[str, ...] = ()
    dry_run: bool = False
    qa: QualityReport | None = None
    """How well SR agrees with LR; None where nobody looked."""
    problems: tuple[str, ...] = ()
    """What went beyond the limits that the options set; the output is whole all the same."""
    quicklook: str | None = None
    """The PNG that was made."""
    qgis_style: str | None = None
    """The QGIS style that was made."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
