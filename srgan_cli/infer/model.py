"""A weights file, ready to super-resolve rasters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from srgan_cli import __version__
from srgan_cli.data.facts import transform_of
from srgan_cli.data.rasters import gdal_env
from srgan_cli.infer.damage import heard_damage
from srgan_cli.infer.engine import MakeObserver
from srgan_cli.infer.job import Job, Made, make
from srgan_cli.infer.layout import Layout
from srgan_cli.infer.manifest import gather_facts
from srgan_cli.infer.metadata import scaled_transform
from srgan_cli.infer.network import Network, find_devices
from srgan_cli.infer.options import InferOptions, InferResult
from srgan_cli.infer.place import refuse_full_disk, refuse_output, refuse_same_file, written_through
from srgan_cli.infer.plan import Plan, Settled, find_cut, make_plan, settle
from srgan_cli.infer.products import Wanted
from srgan_cli.infer.progress import Progress, no_progress
from srgan_cli.infer.quality import Quality, QualityReport
from srgan_cli.infer.quicklook import Companions
from srgan_cli.infer.room import peak_bytes
from srgan_cli.infer.source import Source, quiet_rasterio
from srgan_cli.models import Generator
from srgan_cli.weights import WeightsInfo, load_generator


class Model:
    """A generator with the facts of its weights file."""

    def __init__(self, generator: Generator, info: WeightsInfo, sha256: str = "") -> None:
        self.generator = generator
        self.info = info
        self.sha256 = sha256

    @cache  # noqa: B019  # a model lives as long as its weights are of use
    def receptive_field(self) -> int | None:
        """LR pixels to every side that an output pixel depends on; None = the whole input."""
        return self.generator.receptive_field_px()

    def network(self, options: InferOptions) -> Network:
        """The generator on the (first) device of the options."""
        return Network(self.generator, find_devices(options.device)[0], options.precision)

    def source(self, path: str, options: InferOptions) -> Source:
        """The scene, or the part of it that the options ask for, with the bands of the weights."""
        pixel_m = (self.info.gsd_m, (self.info.gsd_m or 0) * self.info.scale)
        wanted = Wanted(
            names=self.info.band_names,
            num_bands=self.info.spec.in_bands,
            pixel_m=tuple(size for size in pixel_m if size),
            numbered=bool(options.bidx),
        )
        return Source(path, wanted, options)

    def infer_file(
        self,
        src: str | Path,
        dst: str | Path,
        options: InferOptions | None = None,
        progress: Progress = no_progress,
        observe: MakeObserver | None = None,
    ) -> InferResult:
        """Super-resolve a raster; the output appears under its name when it is complete.

        Until then it is made in the folder `DST.srgan`, which keeps what is finished when the
        process is stopped or killed: the same call goes on with it and ends in the same bytes.

        Args:
            src: Anything rasterio opens.
            dst: A GeoTIFF to be made in an existing folder.
            options: Default: all defaults.
            progress: Shows the tiles done.
            observe: Makes something that looks at every tile in place of the figures that `qa`
                asks for; `InferResult.tally` is what it noted.

        Raises:
            RefusedError: Input, output and weights do not go together, the input is damaged, or
                what is finished belongs to another inference.
            SrganError: The output cannot be written or verified; what is finished is kept.
            StoppedError: A signal came; what is finished is kept.
        """
        options = options or InferOptions()
        began = time.monotonic()
        named = Path(dst)
        output = written_through(named)
        if ":" in str(output):
            # GDAL takes `s3:a.tif` for an address, but no path from the root.
            output = output.absolute()
        layout = Layout(options.compress.lower(), options.creation_options, options.format)
        companions = Companions.of(named, options)
        for path in (output, *map(written_through, companions.paths)):
            refuse_output(path, options.overwrite or options.dry_run)
        with (
            quiet_rasterio(),
            gdal_env(),
            heard_damage(str(src)) as damage,
            self.source(str(src), options) as source,
        ):
            for path in (output, *companions.paths):
                refuse_same_file(source, path, options.aoi)
            devices = find_devices(options.device)
            network = Network(self.generator, devices[0], options.precision)
            settled = settle(source, self.info, options)
            if options.dry_run:
                result = self._dry_run(source, output, network, settled, options, layout)
                return replace(result, output=str(named))
            figures = _figures(source, settled) if options.qa and observe is None else None
            job = Job(
                source=source,
                output=output,
                networks=network.on(devices),
                settled=settled,
                options=options,
                layout=layout,
                companions=companions,
                receptive_field=self.receptive_field,
                facts=gather_facts(
                    source,
                    settled,
                    network,
                    options,
                    self._facts(),
                    options.qa if observe is None else "another observer",
                ),
                provenance=self._provenance,
                observe=figures or observe,
                progress=progress,
            )
            made = make(job)
            result = self._result(source, output, made.plan, network, layout)
        report = _report(figures, made)
        problem = report.excess(options.qa_max_bias) if report else ""
        return replace(
            result,
            output=str(named),
            device=",".join(map(str, devices)),
            format=options.format,
            skipped_tiles=made.skipped_tiles,
            resumed_tiles=made.resumed_tiles,
            tally=None if observe is None else made.tally,
            warnings=(*result.warnings, *made.warnings, *damage),
            seconds=time.monotonic() - began,
            qa=report,
            problems=(problem,) if problem else (),
            quicklook=str(companions.quicklook) if companions.quicklook else None,
            qgis_style=str(companions.style) if companions.style else None,
        )

    def _dry_run(
        self,
        source: Source,
        output: Path,
        network: Network,
        settled: Settled,
        options: InferOptions,
        layout: Layout,
    ) -> InferResult:
        cut = find_cut(source, network, settled, self.receptive_field, options)
        plan = make_plan(source, network, settled, cut)
        if not options.force:
            refuse_full_disk(output.parent, peak_bytes(layout, plan.output), 0)
        seconds = _seconds_per_tile(network, plan, source) * plan.grid.num_tiles
        result = self._result(source, output, plan, network, layout)
        return replace(result, format=options.format, dry_run=True, seconds=seconds)

    def _facts(self) -> dict[str, Any]:
        """What finished parts owe to this model."""
        facts: dict[str, Any] = {"weights": self.sha256, "scale": self.info.scale}
        if self.generator.pools_globally:
            facts["attention window"] = self.generator.window_px or "full"
        return facts

    def _provenance(self, plan: Plan) -> dict[str, str]:
        tags = {
            "SRGAN_VERSION": __version__,
            "SRGAN_WEIGHTS_SHA256": self.sha256,
            "SRGAN_SCALE": str(self.info.scale),
            # What is cut or resampled later keeps its tags; `srgan diagnose` then knows.
            "SRGAN_SIZE": f"{plan.output.width} {plan.output.height}",
            "SRGAN_HALO": f"{plan.halo.px} {plan.halo.mode}",
        }
        if self.generator.pools_globally:
            tags["SRGAN_ATTENTION_WINDOW"] = str(self.generator.window_px or "full")
        if plan.halo.residual is not None:
            tags["SRGAN_RESIDUAL"] = f"{plan.halo.residual:.6g}"
        return tags

    def _result(
        self, source: Source, output: Path, plan: Plan, network: Network, layout: Layout
    ) -> InferResult:
        dataset, grid = source.dataset, plan.grid
        transform = scaled_transform(transform_of(dataset), self.info.scale, source.origin)
        return InferResult(
            input=source.path,
            output=str(output),
            width=plan.output.width,
            height=plan.output.height,
            bands=source.bands,
            num_bands=plan.output.bands,
            dtype=plan.output.dtype,
            nodata=None if plan.output.mask else plan.quantiser.nodata,
            mask=plan.output.mask,
            crs=dataset.crs.to_string() if dataset.crs else None,
            transform=tuple(transform)[:6],
            scale=self.info.scale,
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
            peak_bytes=peak_bytes(layout, plan.output),
            seconds=0.0,
            weights_sha256=self.sha256,
            version=__version__,
            warnings=plan.warnings,
        )


def _figures(source: Source, settled: Settled) -> Callable[[Plan], Quality]:
    """What makes an observer that measures how well SR agrees with LR."""
    num_bands = settled.output.bands
    comparable = num_bands == len(source.bands)
    names = [""] * num_bands
    if comparable:
        # Here, as the dataset is for one thread at a time.
        names = [source.dataset.descriptions[band - 1] or "" for band in source.bands]
    size = (source.height, source.width)
    return lambda plan: Quality(plan.quantiser, names, comparable, size)


def _report(figures: Callable[[Plan], Quality] | None, made: Made) -> QualityReport | None:
    """What the figures of all parts come to."""
    if figures is None or made.tally is None:
        return None
    whole = figures(made.plan)
    whole.merge(made.tally)
    return whole.report()


def _seconds_per_tile(network: Network, plan: Plan, source: Source) -> float:
    """Of the second of two runs: the first one also sets things up."""
    box = next(plan.grid.strip(0)).tiles[0].window
    values, _ = source.read_filled(box, 0)
    lr = np.asarray(plan.quantiser.radiometry.to_network(values))[None].repeat(plan.batch, axis=0)
    starts = [(0, 0)] * plan.batch
    network.start(lr, plan.parts, starts).result()
    began = time.monotonic()
    network.start(lr, plan.parts, starts).result()
    return (time.monotonic() - began) / plan.batch


def load(
    weights: str | Path, attention_window: int | Literal["trained", "full"] = "trained"
) -> Model:
    """The model of a weights file.

    Args:
        weights: The file.
        attention_window: Side in LR pixels of the window that channel attention averages over.
            `trained`: that of the crops it was trained on, as the file says, so that tiles agree;
            `full`: the whole input, bit for bit as the tool that trained it.

    Raises:
        RefusedError: The file is missing, damaged, or not a weights file of this product.
    """
    path = Path(weights)
    generator, info = load_generator(path)
    if attention_window != "trained":
        generator.pool_locally_(None if attention_window == "full" else attention_window)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    return Model(generator, info, digest.hexdigest())
