"""`srgan evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from srgan_cli.cli.infer_options import Bidx, PrecisionName, Weights

if TYPE_CHECKING:
    from srgan_cli.infer.evaluate import Evaluation


def evaluate(
    hr: Annotated[list[str], typer.Argument(metavar="HR...", help="HR rasters.")],
    weights: Weights,
    degradation: Annotated[
        Literal["bicubic", "area", "gaussian"], typer.Option(help="How LR is made of HR.")
    ] = "bicubic",
    bidx: Bidx = None,
    nodata: Annotated[
        float | None, typer.Option(help="Nodata value, where the raster does not say so.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(min=1, metavar="PX", help="LR pixels per tile; default: by memory."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]")] = "auto",
    precision: Annotated[PrecisionName, typer.Option(help="auto = fp32.")] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Go on where values do not fit the weights.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Degrade HR rasters, super-resolve them, and compare SR and bicubic with the truth.

    \b
    srgan evaluate scene1.tif scene2.tif --weights runs/exp1/weights/ema.safetensors
    srgan evaluate scenes/*.tif --weights ema.safetensors --degradation area --json
    """
    from srgan_cli.cli import console
    from srgan_cli.infer import InferOptions, load
    from srgan_cli.infer.evaluate import evaluate_file, mean
    from srgan_cli.infer.parsing import parse_bidx

    options = InferOptions(
        bidx=parse_bidx(bidx or []),
        nodata=nodata,
        tile_px=tile,
        device=device,
        precision=precision,
        force=force,
    )
    model = load(weights)
    results = []
    with console.progress("evaluate", len(hr)) as bar:
        for path in hr:
            results.append(evaluate_file(model, path, degradation, options))
            bar.advance(1, f"{Path(path).name} {results[-1].gain:+.2f} dB")
    if as_json:
        report = {
            "weights": str(weights),
            "degradation": degradation,
            "scale": model.info.scale,
            "files": [each.as_dict() for each in results],
            "mean": mean(results),
        }
        console.answer_json(report)
    else:
        console.answer(_table(results, mean(results)))


def _table(results: list[Evaluation], means: dict[str, float]) -> str:
    """Plain columns: PSNR in dB, SAM in degrees."""
    width = max(len("mean"), *(len(Path(each.file).name) for each in results))
    head = (
        f"{'file':<{width}}  {'PSNR':>6} {'bicubic':>7} {'gain':>6}   {'SSIM':>6} {'bicubic':>7}   "
        f"{'SAM':>6} {'bicubic':>7}   {'peak':>6}"
    )
    rows = [
        _row(
            Path(each.file).name,
            width,
            (each.sr.psnr, each.bicubic.psnr, each.gain),
            (each.sr.ssim, each.bicubic.ssim, each.sr.sam, each.bicubic.sam),
            f"{each.peak:g}",
        )
        for each in results
    ]
    if len(results) > 1:
        psnr = (means["psnr"], means["bicubic_psnr"], means["gain"])
        others = (means["ssim"], means["bicubic_ssim"], means["sam"], means["bicubic_sam"])
        rows.append(_row("mean", width, psnr, others, ""))
    return "\n".join([head, *rows, _sentence(means["gain"], len(results))])


def _sentence(gain: float, count: int) -> str:
    scenes = "1 scene" if count == 1 else f"{count} scenes, on average"
    verdict = "beats" if gain > 0 else "does not reach"
    return f"SR {verdict} bicubic: {gain:+.2f} dB PSNR on {scenes}"


def _row(
    name: str,
    width: int,
    psnr: tuple[float, float, float],
    others: tuple[float, float, float, float],
    peak: str,
) -> str:
    ssim, bicubic_ssim, sam, bicubic_sam = others
    return (
        f"{name:<{width}}  {psnr[0]:6.2f} {psnr[1]:7.2f} {psnr[2]:+6.2f}   {ssim:6.4f} "
        f"{bicubic_ssim:7.4f}   {sam:6.3f} {bicubic_sam:7.3f}   {peak:>6}"
    )
