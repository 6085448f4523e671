"""`srgan infer`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from srgan_cli.cli import infer_options as given
from srgan_cli.cli.infer_report import describe, json_text, named_command
from srgan_cli.errors import RefusedError, SrganError

if TYPE_CHECKING:
    from srgan_cli.infer.options import InferOptions


def infer(
    input_path: given.Input = None,
    output_path: given.Output = None,
    weights: given.MaybeWeights = None,
    bidx: given.Bidx = None,
    nodata: given.Nodata = None,
    dtype: given.Dtype = None,
    window: given.Window = None,
    bbox: given.Bbox = None,
    bbox_crs: given.BboxCrs = "",
    aoi: given.Aoi = None,
    aoi_box: given.AoiBox = False,
    tile: given.Tile = None,
    halo: given.Halo = "auto",
    tolerance: given.Tolerance = None,
    attention_window: given.AttentionWindow = "trained",
    batch: given.Batch = None,
    device: given.Device = "auto",
    precision: given.Precision = "auto",
    format_: given.Format = "gtiff",
    compress: given.Compress = "deflate",
    co: given.CreationOptions = None,
    qa: given.Qa = True,
    qa_max_bias: given.QaMaxBias = None,
    quicklook: given.Quicklook = False,
    quicklook_path: given.QuicklookPath = None,
    qgis_style: given.QgisStyle = False,
    manifest: given.SceneList = None,
    out_dir: given.OutDir = None,
    shard: given.Shard = None,
    collect: given.Collect = None,
    overwrite: given.Overwrite = False,
    resume: given.Resume = True,
    force: given.Force = False,
    as_json: given.AsJson = False,
    dry_run: given.DryRun = False,
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
