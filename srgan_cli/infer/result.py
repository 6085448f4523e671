"""What an inference answers: of a scene that was made, or of one that would be."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from srgan_cli import __version__
from srgan_cli.data.facts import transform_of
from srgan_cli.infer.job import Job
from srgan_cli.infer.metadata import scaled_transform
from srgan_cli.infer.options import InferResult
from srgan_cli.infer.place import refuse_full_disk
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.room import peak_bytes
from srgan_cli.infer.run import Made


def of_made(job: Job, made: Made) -> InferResult:
    """What was made, but for the time that it took."""
    companions = job.target.companions
    report = None
    if job.figures is not None and made.tally is not None:
        report = job.figures.report(made.plan, made.tally)
    problem = report.excess(job.options.qa_max_bias) if report else ""
    planned = _planned(job, made.plan)
    return replace(
        planned,
        device=",".join(str(network.device) for network in job.networks),
        skipped_tiles=made.skipped_tiles,
        resumed_tiles=made.resumed_tiles,
        tally=None if job.observe is None else made.tally,
        warnings=(*planned.warnings, *made.warnings),
        qa=report,
        problems=(problem,) if problem else (),
        quicklook=str(companions.quicklook) if companions.quicklook else None,
        qgis_style=str(companions.style) if companions.style else None,
    )


def foreseen(job: Job) -> InferResult:
    """What would be made, and how long it would take.

    Raises:
        RefusedError: The network cannot work in tiles, and the scene does not fit one; or the disk
            is too small.
    """
    plan = job.plan(job.cut(job.options))
    if not job.options.force:
        refuse_full_disk(job.target.output.parent, peak_bytes(job.target.layout, plan.output), 0)
    seconds = _seconds_per_tile(job, plan) * plan.grid.num_tiles
    return replace(_planned(job, plan), dry_run=True, seconds=seconds)


def _seconds_per_tile(job: Job, plan: Plan) -> float:
    """Of the second of two runs: the first one also sets things up."""
    network = job.networks[0]
    box = next(plan.grid.strip(0)).tiles[0].window
    values, _ = job.source.read_filled(box, 0)
    lr = np.asarray(plan.quantiser.radiometry.to_network(values))[None].repeat(plan.batch, axis=0)
    starts = [(0, 0)] * plan.batch
    network.start(lr, plan.parts, starts).result()
    began = time.monotonic()
    network.start(lr, plan.parts, starts).result()
    return (time.monotonic() - began) / plan.batch


def _planned(job: Job, plan: Plan) -> InferResult:
    """What is known before the first tile."""
    source, network, grid = job.source, job.networks[0], plan.grid
    dataset, scale = source.dataset, job.settled.info.scale
    return InferResult(
        input=source.path,
        output=str(job.target.named),
        width=plan.output.width,
        height=plan.output.height,
        bands=source.bands,
        num_bands=plan.output.bands,
        dtype=plan.output.dtype,
        nodata=None if plan.output.mask else plan.quantiser.nodata,
        mask=plan.output.mask,
        crs=dataset.crs.to_string() if dataset.crs else None,
        transform=tuple(scaled_transform(transform_of(dataset), scale, source.origin))[:6],
        scale=scale,
        halo_px=plan.halo.px,
        halo_mode=plan.halo.mode,
        receptive_field_px=plan.receptive_field_px,
        residual=plan.halo.residual,
        tile_px=grid.core_px,
        window_px=(grid.window_height, grid.window_width),
        num_tiles=grid.num_tiles,
        skipped_tiles=0,
        resumed_tiles=0,
        device=str(network.device),
        precision=network.precision,
        raw_bytes=plan.output.raw_bytes,
        peak_bytes=peak_bytes(job.target.layout, plan.output),
        seconds=0.0,
        weights_sha256=job.weights_sha256,
        version=__version__,
        format=job.options.format,
        warnings=plan.warnings,
    )
