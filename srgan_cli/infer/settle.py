"""What is settled about a scene before anybody asks how to cut it: bands, values, output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srgan_cli.errors import RefusedError
from srgan_cli.infer.bands import (
    check_values,
    choose_bands,
    for_raster,
    narrow_dtype,
    sample_values,
    undeclared_nodata,
    valid_share,
)
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.sink import OutputShape
from srgan_cli.infer.source import Source, holds
from srgan_cli.weights import WeightsInfo

_INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_DTYPES = (*_INTEGERS, "float32", "float64")


@dataclass(frozen=True)
class Settled:
    """What is known of a scene's inference before anybody asks how to cut it."""

    info: WeightsInfo
    """With the radiometry of this raster's stored values."""
    quantiser: Quantiser
    output: OutputShape
    tolerance: float
    """Error that a measured halo may leave, in stored units."""
    sample: NDArray[np.float32]
    """Stored values (bands, pixels) from all over the scene."""
    valid_share: float
    """Of its pixels, about."""
    warnings: tuple[str, ...]


def settle(source: Source, info: WeightsInfo, options: InferOptions) -> Settled:
    """Settle bands, values and output of one scene; chooses the bands of `source` on the way.

    Raises:
        RefusedError: Bands, values, dtype or nodata do not work out.
    """
    if options.qa_max_bias is not None and not options.qa:
        raise RefusedError("--qa-max-bias: without the QA that measures it", "leave out --no-qa")
    bands, warning = choose_bands(source, info.spec.in_bands, info.band_names, options.bidx)
    source.choose(bands, options.nodata)
    info = for_raster(info, source)
    warnings = [text for text in (warning, narrow_dtype(source, info.radiometry)) if text]
    sample = sample_values(source)
    unsaid, value = undeclared_nodata(source, sample, info.radiometry)
    if unsaid and not options.force:
        raise RefusedError(unsaid, f"add --nodata {value:.9g}; --force takes it for a measurement")
    misfit = check_values(source, sample, info.radiometry)
    if misfit and not options.force:
        raise RefusedError(misfit, "use other weights or bands, or convert it; --force goes on")
    if misfit:
        warnings.append(misfit)
    if unsaid:
        warnings.append(unsaid)
    quantiser, output = _output(source, info, options)
    if options.qa_max_bias is not None and output.bands != len(source.bands):
        raise RefusedError(
            f"--qa-max-bias: the network makes {output.bands} bands of {len(source.bands)}, "
            "so there is no LR to compare them with",
            "leave it out",
        )
    tolerance = _tolerance(options, quantiser, source, sample)
    share = valid_share(source, sample)
    return Settled(info, quantiser, output, tolerance, sample, share, tuple(warnings))


def _output(
    source: Source, info: WeightsInfo, options: InferOptions
) -> tuple[Quantiser, OutputShape]:
    dtype = options.dtype or source.dtype
    if dtype not in _DTYPES:
        raise RefusedError(f"dtype {dtype} cannot be written", f"use --dtype {', '.join(_DTYPES)}")
    nodata = source.nodata
    if nodata is not None and not holds(np.dtype(dtype), nodata):
        raise RefusedError(
            f"nodata {nodata:g} does not fit dtype {dtype}", "choose another with --nodata"
        )
    # NaN marks invalid pixels in floats; integers without a nodata value need a mask for them.
    integer = np.dtype(dtype).kind in "iu"
    marks = source.is_float or source.is_cut_out or source.marks_without_value
    mask = source.has_mask or (nodata is None and integer and marks)
    quantiser = Quantiser(dtype, info.radiometry, info.scale, nodata)
    shape = OutputShape(
        bands=info.spec.out_bands,
        height=source.height * info.scale,
        width=source.width * info.scale,
        dtype=dtype,
        mask=mask,
    )
    return quantiser, shape


def _tolerance(
    options: InferOptions, quantiser: Quantiser, source: Source, sample: NDArray[np.float32]
) -> float:
    """In stored units; `sample` is that of the part, which must get the halo of the whole scene."""
    if options.tolerance is not None:
        return options.tolerance
    if quantiser.is_integer:
        return 0.5
    if not source.is_whole:
        sample = sample_values(source.whole())
    span = float(sample.max()) - float(sample.min()) if sample.size else 0.0
    return 1e-4 * span
