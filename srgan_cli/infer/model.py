"""A weights file, ready to super-resolve rasters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from srgan_cli import __version__
from srgan_cli.data.rasters import gdal_env
from srgan_cli.files import whole_file
from srgan_cli.infer.engine import REMOVED, START_AGAIN, run_plan
from srgan_cli.infer.metadata import scaled_transform
from srgan_cli.infer.network import Network, find_device
from srgan_cli.infer.options import InferOptions, InferResult
from srgan_cli.infer.plan import Plan, make_plan
from srgan_cli.infer.products import Wanted
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.quicklook import Companions
from srgan_cli.infer.sink import (
    Layout,
    Sink,
    refuse_full_disk,
    refuse_output,
    refuse_same_file,
    remove_sidecars,
    writing_env,
)
from srgan_cli.infer.source import Source, quiet_rasterio
from srgan_cli.models import Generator
from srgan_cli.signals import stop_request
from srgan_cli.weights import WeightsInfo, load_generator


class Bar(Protocol):
    """Something that shows progress."""

    def advance(self, count: int = 1, text: str = "") -> None:
        """Move on by `count` tiles."""


Progress = Callable[[str, int], AbstractContextManager[Bar]]
"""title, number of tiles -> a bar while the block runs."""


class _NoBar:
    def advance(self, count: int = 1, text: str = "") -> None:
        pass


def no_progress(title: str, total: int) -> AbstractContextManager[Bar]:  # noqa: ARG001  # the shape of Progress
    """Progress that shows nothing."""
    return nullcontext(_NoBar())


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
        """The generator on the device of the options."""
        return Network(self.generator, find_device(options.device), options.precision)

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
    ) -> InferResult:
        """Super-resolve a raster; the output appears under its name when it is complete.

        Args:
            src: Anything rasterio opens.
            dst: A GeoTIFF to be made in an existing folder.
            options: Default: all defaults.
            progress: Shows the tiles done.

        Raises:
            RefusedError: Input, output and weights do not go together, or the input is damaged.
            SrganError: The output cannot be written or verified.
            StoppedError: A signal came; nothing is left behind.
        """
        options = options or InferOptions()
        began = time.monotonic()
        output = Path(dst)
        layout = Layout(options.compress.lower(), options.creation_options)
        companions = Companions.of(output, options)
        for path in (output, *companions.paths):
            refuse_output(path, options.overwrite or options.dry_run)
        with quiet_rasterio(), gdal_env(), self.source(str(src), options) as source:
            for path in (output, *companions.paths):
                refuse_same_file(source, path, options.aoi)
            network = self.network(options)
            plan = make_plan(
                source, network, self.info, self.receptive_field, options, layout.block_px
            )
            if not options.force:
                refuse_full_disk(output.parent, plan.output.raw_bytes)
            result = self._result(source, output, plan, network)
            if options.dry_run:
                seconds = _seconds_per_tile(network, plan, source) * plan.grid.num_tiles
                return replace(result, dry_run=True, seconds=seconds)
            quality = self._quality(source, plan, options)
            skipped = self._write(source, output, plan, network, layout, progress, quality)
            companions.make(output)
        report = quality.report() if quality else None
        problem = report.excess(options.qa_max_bias) if report else ""
        return replace(
            result,
            skipped_tiles=skipped,
            seconds=time.monotonic() - began,
            qa=report,
            problems=(problem,) if problem else (),
            quicklook=str(companions.quicklook) if companions.quicklook else None,
            qgis_style=str(companions.style) if companions.style else None,
        )

    def _quality(self, source: Source, plan: Plan, options: InferOptions) -> Quality | None:
        if not options.qa:
            return None
        comparable = plan.output.bands == len(source.bands)
        names = [""] * plan.output.bands
        if comparable:
            names = [source.dataset.descriptions[band - 1] or "" for band in source.bands]
        size = (source.height, source.width)
        return Quality(plan.quantiser, names, comparable, size)

    def _write(
        self,
        source: Source,
        output: Path,
        plan: Plan,
        network: Network,
        layout: Layout,
        progress: Progress,
        quality: Quality | None,
    ) -> int:
        with (
            stop_request(REMOVED, START_AGAIN) as stop,
            whole_file(output) as temporary,
            writing_env(),
        ):
            sink = Sink(
                temporary, source, plan.output, layout, plan.quantiser, self._provenance(plan)
            )
            try:
                with progress("infer", plan.grid.num_tiles) as bar:
                    skipped = run_plan(plan, source, sink, network, stop, bar.advance, quality)
                if quality:
                    sink.add_tags(quality.report().tags())
                sink.close()
                sink.verify()
            finally:
                sink.abandon()
                remove_sidecars(temporary)
            remove_sidecars(output)
        return skipped

    def _provenance(self, plan: Plan) -> dict[str, str]:
        tags = {
            "SRGAN_VERSION": __version__,
            "SRGAN_WEIGHTS_SHA256": self.sha256,
            "SRGAN_SCALE": str(self.info.scale),
            "SRGAN_HALO": f"{plan.halo.px} {plan.halo.mode}",
        }
        if self.generator.pools_globally:
            tags["SRGAN_ATTENTION_WINDOW"] = str(self.generator.window_px or "full")
        if plan.halo.residual is not None:
            tags["SRGAN_RESIDUAL"] = f"{plan.halo.residual:.6g}"
        return tags

    def _result(self, source: Source, output: Path, plan: Plan, network: Network) -> InferResult:
        dataset, grid = source.dataset, plan.grid
        transform = scaled_transform(dataset.transform, self.info.scale, source.origin)
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
            device=str(network.device),
            precision=network.precision,
            raw_bytes=plan.output.raw_bytes,
            seconds=0.0,
            weights_sha256=self.sha256,
            version=__version__,
            warnings=plan.warnings,
        )


def _seconds_per_tile(network: Network, plan: Plan, source: Source) -> float:
    """Of the second of two runs: the first one also sets things up."""
    box = next(plan.grid.strip(0)).tiles[0].window
    values, _ = source.read_filled(box, 0)
    lr = np.asarray(plan.quantiser.radiometry.to_network(values))[None].repeat(plan.batch, axis=0)
    network(lr)
    began = time.monotonic()
    network(lr)
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
