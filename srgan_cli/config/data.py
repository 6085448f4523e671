"""Section `Data`: where the imagery lies and how crops are made of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from srgan_cli.config.base import (
    Count,
    Fraction,
    OptionalPath,
    Paths,
    Positive,
    Section,
    Weight,
)

DatasetType = Literal["GeoTIFF", "LRHRFolderDataset", "ExampleDataset", "SEN2NAIP"]

NormalizationName = Literal[
    "sen2_stretch_10k",
    "normalise_10k",
    "normalise_10k_signed",
    "sen2_stretch",
    "normalise_s2",
    "zero_one",
    "zero_one_signed",
    "uint8",
    "identity",
]


class LinearNormalization(Section):
    """Network value = stored value * scale + offset."""

    name: Literal["linear"] = "linear"
    """Always `linear`."""
    scale: float
    """Factor on the stored value."""
    offset: float = 0.0
    """Added after the factor."""

    @model_validator(mode="after")
    def _has_an_inverse(self) -> LinearNormalization:
        if self.scale == 0:
            raise ValueError("scale 0 has no inverse; use the reciprocal of the usual bright value")
        return self


class DegradationConfig(Section):
    """How LR is made of HR where only HR is given."""

    kind: Literal["bicubic", "area", "gaussian"] = "bicubic"
    """`bicubic` with antialiasing, `area` (block mean), or `gaussian` (a Gaussian MTF, then every scale-th sample)."""
    mtf_nyquist: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """`gaussian` only: modulation at the LR Nyquist frequency. Sentinel-2 bands have 0.15 to 0.35."""
    noise_std: Weight = 0.0
    """Standard deviation of Gaussian noise added to LR, in network units."""


def _kind_alone(value: Any) -> Any:
    """`degradation: area` is short for `degradation: {kind: area}`."""
    return {"kind": value} if isinstance(value, str) else value


class DataConfig(Section):
    """Imagery, crops, radiometry and loading."""

    dataset_type: DatasetType = "GeoTIFF"
    """`GeoTIFF`: anything GDAL opens and Sentinel-2 `.SAFE` products, named by `hr` (and `lr`) or `pairs`. `LRHRFolderDataset`: `root_dir/{train,val}/{LR,HR}` with tif, npy or npz. `ExampleDataset`: OpenSR-SRGAN's folder of npz files, the last 20 for validation. `SEN2NAIP`: its taco file."""
    root_dir: OptionalPath = None
    """Folder that relative paths of this section start from; for LRHRFolderDataset the dataset itself. Default: the current folder (for ExampleDataset, `example_dataset`)."""
    hr: Paths = ()
    """HR rasters to train on: files, folders (searched for *.tif, *.tiff, *.vrt, *.jp2, *.SAFE and Sentinel-2 zips), glob patterns, or addresses that GDAL reads (s3://, https://, /vsizip/...). Of a Sentinel-2 product, the bands named by `band_names` are read, 0 is nodata, and its BOA_ADD_OFFSET or RADIO_ADD_OFFSET is always added."""
    lr: Paths = ()
    """LR rasters paired with `hr` by equal file stems; empty: LR is made by `degradation`. Where both are georeferenced, HR is read at whole pixels on the footprint of LR; they may be up to half an LR pixel apart."""
    val_hr: Paths = ()
    """HR rasters for validation only; empty: whole scenes are held back from `hr` by `val_fraction`."""
    val_lr: Paths = ()
    """LR rasters paired with `val_hr`."""
    pairs: OptionalPath = None
    """A CSV or text file with the columns hr, lr and, if wanted, split (train, val, test), instead of `hr` and `lr`. Relative paths in it start from `root_dir`, or from its own folder."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the scenes held back for validation; of a single scene, its southern part."""
    bands: tuple[Positive, ...] = ()
    """Bands to read, counted from 1, in network order; empty: the first `Model.in_bands`. Of a Sentinel-2 product, `band_names` chooses."""
    band_names: tuple[str, ...] = ()
    """Names of these bands, for example [B04, B03, B02, B08]; empty: taken from the raster's band descriptions. Of a Sentinel-2 product they choose the bands and their order."""
    nodata: float | None = None
    """Value that means "no data" where the raster does not say so itself. NaN and masked pixels always do."""
    apply_scale_offset: bool = False
    """Use stored value * scale + offset of a raster's scale and offset tags instead of the stored value; `normalization` then speaks of the result. Inference takes stored values as they are: unscale a tagged raster first (gdal_translate -unscale -ot Float32)."""
    on_bad_file: Literal["refuse", "skip"] = "refuse"
    """What to do with files that cannot be read: name them and stop, or name them, count them and go on without them. Of a file that fails later, other crops are drawn, the same ones at every repetition."""
    normalization: NormalizationName | LinearNormalization = "sen2_stretch_10k"
    """How stored numbers become network input and back; always invertible, never clipped. See the table in docs/configuration.md. Also {name: linear, scale: 0.001, offset: 0}."""
    degradation: Annotated[DegradationConfig, BeforeValidator(_kind_alone)] = DegradationConfig()
    """How LR is made of HR: `bicubic`, `area` or `gaussian`, or a mapping with the keys below."""
    hr_crop_px: Positive = 128
    """Side of a training crop in HR pixels; a multiple of the scale."""
    val_crop_px: Positive | None = None
    """Side of a validation crop in HR pixels; default: `hr_crop_px`."""
    val_crops: Positive = 32
    """Number of fixed validation crops; the first 64 at most are stored as tiles for the image checks."""
    min_valid_fraction: Fraction = 0.5
    """Crops with a smaller share of valid pixels are not used."""
    augment: bool = True
    """Random flips and 90-degree rotations, the same for LR and HR."""
    train_batch_size: Positive = 8
    """Crops per training step."""
    val_batch_size: Positive = 8
    """Crops per validation batch; the metrics do not depend on it."""
    num_workers: Count = 2
    """Loader processes; the crops do not depend on it. 0 = read in the training process."""
    prefetch_factor: Positive = 2
    """Batches each loader process keeps ready."""
    cache: Literal["none", "ram"] = "none"
    """`ram`: decode all files once into memory shared by the loader processes; refused where they do not fit."""
    sen2naip_taco_file: OptionalPath = None
    """The taco file of dataset_type SEN2NAIP; needs `pip install "srgan-cli[taco]"`."""
    sen2naip_phase: Literal["train", "val"] | None = None
    """OpenSR-SRGAN's key; training takes both parts of the file, there as here."""
    sen2naip_val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the taco file's samples, counted from its end, that is for validation."""


__all__ = ["DataConfig", "DegradationConfig", "LinearNormalization", "NormalizationName"]
