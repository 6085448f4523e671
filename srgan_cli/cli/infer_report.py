"""What `srgan infer` says of an output, and how to go on with an interrupted one."""

from __future__ import annotations

import json
import math
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from srgan_cli.errors import StoppedError

if TYPE_CHECKING:
    from srgan_cli.infer.options import InferResult
    from srgan_cli.infer.quality_report import QualityReport


@contextmanager
def named_command() -> Iterator[None]:
    """The hint of an interrupted run names the command that goes on."""
    try:
        yield
    except StoppedError as err:
        err.hint = f"{err.hint}: {_command()}"
        raise
    except KeyboardInterrupt:
        # Nobody listens for signals while nothing can be lost.
        raise StoppedError(
            signal.SIGINT,
            "stopped by SIGINT before the first tile, or after the last",
            f"run the same command again: {_command()}",
        ) from None


def _command() -> str:
    """To go on, not to begin anew once more."""
    words = [word for word in sys.argv[1:] if word not in ("--restart", "--no-resume")]
    return shlex.join(["srgan", *words])


def json_text(result: InferResult) -> str:
    """The result as JSON; a NaN nodata is the string "nan", as JSON has no NaN."""
    values = result.as_dict()
    if result.nodata is not None and not math.isfinite(result.nodata):
        values["nodata"] = str(result.nodata)
    return json.dumps(values, indent=2, allow_nan=False)


def describe(result: InferResult) -> str:
    """What was done, or would be, in a few lines."""
    field = result.receptive_field_px
    halo = f"{result.halo_px} px, {result.halo_mode}"
    if field is not None:
        halo += f" (receptive field {field} px)"
    if result.residual:
        halo += f", leaves {result.residual:.3g}"
    nodata = "internal mask" if result.mask else f"nodata {result.nodata}"
    rows, cols = result.window_px
    lines = [
        f"output   {result.width} x {result.height} x {result.num_bands} {result.dtype}, {nodata}",
        f"bands    {', '.join(map(str, result.bands))}",
        f"halo     {halo}",
        f"tiles    {result.num_tiles} of {result.tile_px} px, window {cols} x {rows} px, "
        f"{result.skipped_tiles} without data"
        + (f", {result.resumed_tiles} were there already" if result.resumed_tiles else ""),
        f"device   {result.device}, {result.precision}",
        f"disk     up to {result.peak_bytes / 1e6:.1f} MB while it is made",
        f"time     {result.seconds:.1f} s{' (estimated)' if result.dry_run else ''}",
    ]
    if result.qa is not None:
        lines += describe_quality(result.qa)
    shown = [path for path in (result.quicklook, result.qgis_style) if path]
    if shown and not result.dry_run:
        lines.append(f"look     {', '.join(shown)}")
    return "\n".join(lines)


def describe_quality(qa: QualityReport) -> list[str]:
    """The quality of a scene in two or three lines; lists go by band."""
    lines = []
    if qa.bands:

        def by_band(name: str) -> str:
            return ", ".join(f"{getattr(band, name):.3g}" for band in qa.bands)

        angle = "" if qa.sam is None else f", spectral angle {qa.sam:.2f} degrees"
        lines.append(f"SR - LR  bias {by_band('bias')}; RMSE {by_band('rmse')}{angle}")
        if any(band.out_of_range for band in qa.bands):
            shares = ", ".join(f"{100 * band.out_of_range:.2g}" for band in qa.bands)
            lines.append(f"clipped  {shares} % of the pixels")
    if qa.seam_index is not None:
        lines.append(f"seams    {qa.seam_index:.3f} (1 = none)")
    return lines
