"""`srgan infer`."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srgan_cli.errors import RefusedError, StoppedError

if TYPE_CHECKING:
    from srgan_cli.infer.options import InferResult

Compress = Literal[
    "deflate", "zstd", "lzw", "lerc", "lerc_deflate", "lerc_zstd", "lzma", "packbits", "none"
]


def infer(
    input_path: Annotated[
        str, typer.Argument(metavar="INPUT", help="LR raster; anything rasterio opens.")
    ],
    output_path: Annotated[Path, typer.Argument(metavar="OUTPUT", help="SR GeoTIFF to make.")],
    weights: Annotated[
        Path, typer.Option("--weights", "-w", help="Weights file of a run (.safetensors).")
    ],
    bidx: Annotated[
        list[str] | None,
        typer.Option("--bidx", "-b", help="Bands to read, from 1, in network order: 1,2,3."),
    ] = None,
    nodata: Annotated[
        float | None,
        typer.Option(help="Nodata value of input and output, where the input does not say so."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", "-t", help="Output dtype; default: as INPUT.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PX",
            help="LR pixels kept per tile, rounded up to a multiple of 16; default: by memory.",
        ),
    ] = None,
    halo: Annotated[
        str,
        typer.Option(
            metavar="auto|exact|PX",
            help="Margin of every tile. auto: the receptive field up to 64 px, else measured.",
        ),
    ] = "auto",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Error a measured halo may leave, in stored units; default: half a step.",
        ),
    ] = None,
    attention_window: Annotated[
        str,
        typer.Option(
            metavar="trained|full|PX",
            help="Window that channel attention (rcab) averages over, in LR pixels. "
            "trained: as the weights file says. full: the whole input.",
        ),
    ] = "trained",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Tiles per run of the network; default 1.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda[:N]|cuda:all",
            help="Several GPUs share the scene: cuda:0,cuda:1 or cuda:all.",
        ),
    ] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="bf16 is faster and slightly less exact; auto = fp32."),
    ] = "auto",
    format_: Annotated[
        Literal["gtiff", "cog"],
        typer.Option("--format", help="cog: cloud-optimised, with overviews."),
    ] = "gtiff",
    compress: Annotated[
        Compress, typer.Option(help="Compression of OUTPUT, at its fastest level.")
    ] = "deflate",
    co: Annotated[
        list[str] | None,
        typer.Option("--co", metavar="NAME=VALUE", help="GDAL creation option; repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--no-resume",
            " /--restart",
            help="Go on with what an interrupted run of this command finished, or discard it.",
        ),
    ] = True,
    force: Annotated[
        bool,
        typer.Option("--force", help="Go on where values do not fit the weights or disk is short."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Plan and time it, write nothing.")
    ] = False,
) -> None:
    """Super-resolve a GeoTIFF of any size: same ground, CRS, dtype and nodata, smaller pixels.

    \b
    srgan infer in.tif out.tif --weights runs/exp1/weights/ema.safetensors
    srgan infer scene.vrt out.tif -w ema.safetensors --bidx 3,2,1,4
    srgan infer in.tif out.tif -w ema.safetensors --dry-run
    """
    from srgan_cli.cli import console
    from srgan_cli.infer import InferOptions, load

    options = InferOptions(
        bidx=parse_bidx(bidx or []),
        nodata=nodata,
        dtype=dtype,
        tile_px=tile,
        halo=_parse_halo(halo),
        tolerance=tolerance,
        batch=batch,
        device=device,
        precision=precision,
        format=format_,
        compress=compress,
        creation_options=_parse_creation_options(co or []),
        overwrite=overwrite,
        resume=resume,
        force=force,
        dry_run=dry_run,
    )
    model = load(weights, parse_window(attention_window))
    with _named_command():
        result = model.infer_file(input_path, output_path, options, console.progress)
    for warning in result.warnings:
        console.warn(warning)
    if as_json:
        console.answer(json_text(result))
    elif dry_run:
        console.answer(describe(result))
    else:
        console.note(describe(result))
        console.answer(result.output)


@contextmanager
def _named_command() -> Iterator[None]:
    """The hint of an interrupted run names the command that goes on."""
    try:
        yield
    except StoppedError as err:
        # To go on, not to begin anew once more.
        words = [word for word in sys.argv[1:] if word not in ("--restart", "--no-resume")]
        err.hint = f"{err.hint}: {shlex.join(['srgan', *words])}"
        raise


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
        f"disk     up to {2 * result.raw_bytes / 1e6:.1f} MB while it is made",
        f"time     {result.seconds:.1f} s{' (estimated)' if result.dry_run else ''}",
    ]
    return "\n".join(lines)


def parse_bidx(texts: list[str]) -> tuple[int, ...]:
    """Band numbers of `--bidx 1,2 --bidx 3`."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal() or int(part) == 0]
    if wrong:
        raise RefusedError(f"--bidx {wrong[0]!r}: not a band number", "bands count from 1: 1,2,3")
    return tuple(int(part) for part in parts)


def parse_window(text: str) -> int | Literal["trained", "full"]:
    """The window of `--attention-window`."""
    if text == "trained":
        return "trained"
    if text == "full":
        return "full"
    if not text.isdecimal() or int(text) == 0:
        raise RefusedError(
            f"--attention-window {text}: unknown", "use trained, full or a number of LR pixels"
        )
    return int(text)


def _parse_halo(text: str) -> str | int:
    if text in ("auto", "exact"):
        return text
    if not text.isdecimal():
        raise RefusedError(f"--halo {text}: unknown", "use auto, exact or a number of LR pixels")
    return int(text)


def _parse_creation_options(texts: list[str]) -> dict[str, str]:
    wrong = [text for text in texts if not text.partition("=")[0] or "=" not in text]
    if wrong:
        raise RefusedError(f"--co {wrong[0]}: not NAME=VALUE", "for example --co BIGTIFF=YES")
    pairs = (text.split("=", 1) for text in texts)
    return {name.upper(): value for name, value in pairs}


__all__ = ["describe", "infer", "parse_bidx"]
