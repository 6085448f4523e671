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

Percent = Annotated[float, Field(ge=0, le=100)]
Modulation = Annotated[float, Field(gt=0, lt=1)]

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
    "percentile",
    "mean_std",
]


class NormalizationConfig(Section):
    """Network value = stored value * scale + offset, by hand or fitted on the training scenes."""

    name: Literal["linear", "percentile", "mean_std"] = "linear"
    """`linear`: the numbers below. `percentile` and `mean_std`: fitted per band on the training scenes; a run writes what it found into its config.yaml and uses it from then on. With `mean_std` bright pixels are at 3 to 5: set `Training.Losses.max_val` accordingly."""
    scale: tuple[float, ...] | float | None = None
    """Factor on the stored value, one number or one per band. Empty with `percentile` or `mean_std`: fitted when a run starts."""
    offset: tuple[float, ...] | float = 0.0
    """Added after the factor, one number or one per band."""
    percentiles: tuple[Percent, Percent] = (2.0, 98.0)
    """`percentile` only: the percentiles of the valid pixels that become 0 and 1."""
    usual_min: tuple[float, ...] | float = 0.0
    """What brightness is measured from; below 0 for data such as dB."""
    usual_max: tuple[float, ...] | float | None = None
    """A bright but ordinary stored value, one number or one per band. Given, files in another unit are refused; a fit writes it."""

    @model_validator(mode="after")
    def _has_an_inverse(self) -> NormalizationConfig:
        if self.scale is None:
            if self.name == "linear":
                raise ValueError("scale is missing; network value = stored value * scale + offset")
        elif 0 in (self.scale if isinstance(self.scale, tuple) else (self.scale,)):
            raise ValueError("scale 0 has no inverse; use the reciprocal of the usual bright value")
        low, high = self.percentiles
        if low >= high:
            raise ValueError(f"percentiles [{low:g}, {high:g}] must rise, for example [2, 98]")
        return self


class DegradationConfig(Section):
    """How LR is made of HR where only HR is given. A list of two numbers is a range, drawn anew for each crop."""

    kind: Literal["bicubic", "area", "gaussian"] = "bicubic"
    """`bicubic` with antialiasing, `area` (block mean), or `gaussian` (a Gaussian MTF, then every scale-th sample)."""
    mtf_nyquist: tuple[Modulation, Modulation] | Modulation = 0.25
    """`gaussian` only: modulation at the LR Nyquist frequency, for all bands; [0.2, 0.35] draws it for each crop. Sentinel-2 bands have 0.22 to 0.38."""
    mtf_bands: tuple[Modulation, ...] | Literal["sentinel2"] = ()
    """`gaussian` only: modulation at the LR Nyquist frequency of each band in network order, instead of `mtf_nyquist`; `sentinel2`: ESA's figures by band name (B02, B8A, ...)."""
    noise_std: tuple[Weight, Weight] | Weight = 0.0
    """Standard deviation of white Gaussian noise, in network units; [0, 0.01] draws it for each crop."""
    noise_signal: tuple[Weight, Weight] | Weight = 0.0
    """Variance of noise per unit of signal above a stored 0, in network units (photon noise); [0, 1e-4] draws it for each crop."""
    order: tuple[Literal["blur", "noise"], ...] = ("blur", "noise")
    """`blur` stands for blur and sampling. [noise, blur] puts the noise on HR before it is blurred, [noise, blur, noise] on both."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> DegradationConfig:
        for key in ("mtf_nyquist", "noise_std", "noise_signal"):
            value = getattr(self, key)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{key} [{value[0]:g}, {value[1]:g}] must rise: [low, high]")
        if self.order.count("blur") != 1:
            raise ValueError("order names blur once, for example [blur, noise]")
        if "noise" not in self.order and (self.noise_std, self.noise_signal) != (0.0, 0.0):
            raise ValueError("order has no noise, but noise_std or noise_signal is given")
        return self


FIT_KEYS = ("scale", "offset", "usual_min", "usual_max")
"""Keys of a normalization that a fit writes."""


def fit_section(normalization: str | NormalizationConfig) -> NormalizationConfig:
    """The section that `percentile` and `mean_std` alone are short for; a section as it is."""
    if isinstance(normalization, NormalizationConfig):
        return normalization
    return NormalizationConfig.model_validate({"name": normalization})


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
    """Use stored value * scale + offset of a raster's scale and offset tags instead of the stored value; `normalization` then speaks of the result. The weights remember it, so that inference reads rasters alike."""
    on_bad_file: Literal["refuse", "skip"] = "refuse"
    """What to do with files that cannot be read: name them and stop, or name them, count them and go on without them. Of a file that fails later, other crops are drawn, the same ones at every repetition."""
    normalization: NormalizationName | NormalizationConfig = "sen2_stretch_10k"
    """How stored numbers become network input and back; always invertible, never clipped. See the table in docs/configuration.md. `percentile` and `mean_std` are fitted per band on the training scenes. Also {name: linear, scale: 0.001, offset: 0}, with one number or one per band."""
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
    min_texture: Weight = 0.0
    """Training crops with less texture are passed over: the RMS difference of neighbouring valid HR pixels, in network units, of the band that has most. 0 = off; water has about 0.005, land 0.03 to 0.1 (`srgan data` shows yours)."""
    augment: bool = True
    """Random flips and 90-degree rotations, the same for LR and HR."""
    band_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a band of a training crop's LR is blanked (a stored 0), never all of them; HR keeps it."""
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


__all__ = [
    "FIT_KEYS",
    "DataConfig",
    "DegradationConfig",
    "NormalizationConfig",
    "NormalizationName",
    "fit_section",
]
