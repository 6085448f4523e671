"""`srgan infer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srgan_cli.cli.infer_report import describe, json_text, named_command
from srgan_cli.errors import RefusedError, SrganError

if TYPE_CHECKING:
    from srgan_cli.infer.options import InferOptions

Compress = Literal[
    "deflate", "zstd", "lzw", "lerc", "lerc_deflate", "lerc_zstd", "lzma", "packbits", "none"
]


def infer(
    input_path: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            help="LR raster: anything rasterio opens, or a Sentinel-2 product (.SAFE or its zip).",
        ),
    ] = None,
    output_path: Annotated[
        Path | None, typer.Argument(metavar="OUTPUT", help="SR GeoTIFF to make.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="Weights file of a run (.safetensors).")
    ] = None,
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
    window: Annotated[
        str | None,
        typer.Option(metavar="COL,ROW,WIDTH,HEIGHT", help="Part to process, in LR pixels."),
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(
            metavar="WEST,SOUTH,EAST,NORTH",
            help="Part to process, in the CRS of INPUT; snaps outwards to whole LR pixels.",
        ),
    ] = None,
    bbox_crs: Annotated[
        str, typer.Option(metavar="CRS", help="CRS of --bbox, such as EPSG:4326.")
    ] = "",
    aoi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.geojson",
            help="Polygons to process: their bounding box, and nodata outside of them.",
        ),
    ] = None,
    aoi_box: Annotated[
        bool, typer.Option("--aoi-box", help="Process all of the bounding box of --aoi.")
    ] = False,
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
    qa: Annotated[
        bool, typer.Option("--qa/--no-qa", help="Measure how well SR agrees with LR.")
    ] = True,
    qa_max_bias: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="VALUE",
            help="Exit 1 where a band of SR differs more from LR on average, in stored units.",
        ),
    ] = None,
    quicklook: Annotated[
        bool, typer.Option("--quicklook", help="Make a PNG beside OUTPUT, 2-98 % stretched.")
    ] = False,
    quicklook_path: Annotated[
        str | None, typer.Option(metavar="FILE.png", help="Make the PNG under this name.")
    ] = None,
    qgis_style: Annotated[
        bool, typer.Option("--qgis-style", help="Make a QGIS style (.qml) beside OUTPUT.")
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Many scenes: CSV with `input[,output][,options]`, list of paths, folder, pattern.",
            rich_help_panel="Many scenes",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(help="Where outputs of --manifest go.", rich_help_panel="Many scenes"),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Part I, from 0, of N parts; default: as SLURM, AWS Batch or torchrun say.",
            rich_help_panel="Many scenes",
        ),
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="What became of the scenes of an --out-dir.",
            rich_help_panel="Many scenes",
        ),
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
    srgan infer S2A_MSIL2A_20220301.zip out.tif -w ema.safetensors --aoi fields.geojson --quicklook
    srgan infer in.tif out.tif -w ema.safetensors --dry-run
    srgan infer --manifest scenes.csv --out-dir sr -w ema.safetensors --shard 0/8
    srgan infer --collect sr
    """
    from srgan_cli.cli import infer_batch
    from srgan_cli.infer import InferOptions, parsing

    if collect is not None:
        infer_batch.refuse_beside("--collect", {"INPUT": input_path, "--manifest": manifest})
        infer_batch.show_collected(collect, as_json)
        return
    options = InferOptions(
        bidx=parsing.parse_bidx(bidx or []),
        nodata=nodata,
        dtype=dtype,
        window=parsing.parse_window(window) if window else None,
        bbox=parsing.parse_bbox(bbox) if bbox else None,
        bbox_crs=bbox_crs,
        aoi=aoi,
        aoi_box=aoi_box,
        tile_px=tile,
        halo=parsing.parse_halo(halo),
        tolerance=tolerance,
        batch=batch,
        device=device,
        precision=precision,
        format=format_,
        compress=compress,
        creation_options=parsing.parse_creation_options(co or []),
        overwrite=overwrite,
        resume=resume,
        force=force,
        dry_run=dry_run,
        qa=qa,
        qa_max_bias=qa_max_bias,
        quicklook=quicklook,
        quicklook_path=quicklook_path,
        qgis_style=qgis_style,
    )
    attention = parsing.parse_attention_window(attention_window)
    if weights is None:
        raise RefusedError("--weights: missing", "give the weights file: --weights ema.safetensors")
    if manifest is not None:
        infer_batch.refuse_beside("--manifest", {"INPUT": input_path, "OUTPUT": output_path})
        infer_batch.run(weights, attention, options, manifest, out_dir, shard, as_json)
        return
    infer_batch.refuse_without("--manifest", {"--out-dir": out_dir, "--shard": shard})
    if input_path is None or output_path is None:
        raise RefusedError(
            "INPUT and OUTPUT: missing",
            "srgan infer INPUT OUTPUT, or --manifest LIST --out-dir DIR",
        )
    _infer_one(weights, attention, input_path, output_path, options, as_json)


def _infer_one(
    weights: Path,
    attention: int | Literal["trained", "full"],
    input_path: str,
    output_path: Path,
    options: InferOptions,
    as_json: bool,
) -> None:
    from srgan_cli.cli import console
    from srgan_cli.infer import load

    with named_command():
        model = load(weights, attention)
        result = model.infer_file(input_path, output_path, options, console.progress)
    for warning in result.warnings:
        console.warn(warning)
    if as_json:
        console.answer(json_text(result))
    elif options.dry_run:
        console.answer(describe(result))
    else:
        console.note(describe(result))
        console.answer(result.output)
    if result.problems:
        raise SrganError(
            "; ".join(result.problems),
            f"{result.output} is written whole; look at it, or at the weights",
        )
