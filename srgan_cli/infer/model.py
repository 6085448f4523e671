"""A weights file, ready to super-resolve rasters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from srgan_cli import __version__
from srgan_cli.bfloat16 import why_not_bf16
from srgan_cli.data.rasters import gdal_env
from srgan_cli.infer.damage import heard_damage
from srgan_cli.infer.feed import CACHE_BYTES
from srgan_cli.infer.figures import Figures
from srgan_cli.infer.job import Job
from srgan_cli.infer.manifest import gather_facts
from srgan_cli.infer.network import Network, find_devices
from srgan_cli.infer.observer import MakeObserver
from srgan_cli.infer.options import InferOptions, InferResult
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.products import Wanted
from srgan_cli.infer.progress import Progress, no_progress
from srgan_cli.infer.result import foreseen, of_made
from srgan_cli.infer.run import make
from srgan_cli.infer.settle import settle
from srgan_cli.infer.source import Source, quiet_rasterio
from srgan_cli.infer.target import Target
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
        target = Target.of(dst, options)
        with (
            quiet_rasterio(),
            gdal_env(CACHE_BYTES),
            heard_damage(str(src)) as damage,
            self.source(str(src), options) as source,
        ):
            target.refuse_input(source, options.aoi)
            job = self._job(source, target, options, progress, observe)
            if options.dry_run:
                return foreseen(job)
            result = of_made(job, make(job))
        warnings = (*result.warnings, *damage)
        return replace(result, warnings=warnings, seconds=time.monotonic() - began)

    def _job(
        self,
        source: Source,
        target: Target,
        options: InferOptions,
        progress: Progress,
        observe: MakeObserver | None,
    ) -> Job:
        devices = find_devices(options.device)
        options, warnings = self._in_fastest(options, devices)
        network = Network(self.generator, devices[0], options.precision)
        settled = settle(source, self.info, options)
        settled = replace(settled, warnings=(*settled.warnings, *warnings))
        looks = options.qa if observe is None else "another observer"
        return Job(
            source=source,
            target=target,
            # Nobody needs the others for a plan.
            networks=network.on(devices[:1] if options.dry_run else devices),
            settled=settled,
            options=options,
            receptive_field=self.receptive_field,
            facts=gather_facts(source, settled, network, options, self._facts(), looks),
            provenance=self._provenance,
            weights_sha256=self.sha256,
            figures=Figures(source, settled) if options.qa and observe is None else None,
            observe=observe,
            progress=progress,
        )

    def _in_fastest(
        self, options: InferOptions, devices: Sequence[torch.device]
    ) -> tuple[InferOptions, tuple[str, ...]]:
        """The options in fp32, and a warning, where bf16 takes longer: who asks for it wants less."""
        if options.precision != "bf16" or not self.generator.bf16:
            return options, ()
        why = next((reason for reason in map(why_not_bf16, devices) if reason), None)
        if why is None:
            return options, ()
        return replace(options, precision="fp32"), (f"--precision bf16: {why}; made in fp32",)

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
