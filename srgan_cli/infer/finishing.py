"""From finished parts to an output under its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import write_text
from srgan_cli.infer.assembly import assemble, make_cog, same_pixels
from srgan_cli.infer.job import Job
from srgan_cli.infer.kept import Kept
from srgan_cli.infer.layout import ignored_options
from srgan_cli.infer.observer import Observer
from srgan_cli.infer.part_files import PartReader
from srgan_cli.infer.parts import Part, remove_parts
from srgan_cli.infer.place import put_in_place, refuse_output, remove_sidecars
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.sink import Sink, refuse_lost_pixels, try_out
from srgan_cli.infer.workshop import Workshop
from srgan_cli.signals import StopRequest

_TRIED_PX = 1100
"""Enough for overviews."""


@dataclass(frozen=True)
class Published:
    """What is known of an output that has its name."""

    skipped_tiles: int
    tally: Mapping[str, Any] | None
    """What the observers of all parts noted."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Finishing:
    """The way of a job's parts to its output."""

    job: Job
    shop: Workshop
    kept: Kept

    def try_layout(self, plan: Plan) -> None:
        """Make a small file of the kind: options that GDAL does not take must not cost a night.

        Raises:
            RefusedError: It cannot be made.
        """
        source, layout, shop = self.job.source, self.job.target.layout, self.shop
        side = _TRIED_PX if layout.creation_options else 16
        output = plan.output
        small = replace(output, height=min(output.height, side), width=min(output.width, side))
        with ignored_options(layout.creation_options):
            sink = Sink(shop.writing, source, small, layout, plan.quantiser, {})
            try_out(sink, small)
            if layout.format == "cog":
                try:
                    make_cog(shop.writing, shop.trial, layout)
                except SrganError as err:
                    raise RefusedError(err.message, err.hint) from err
                refuse_lost_pixels(shop.trial)
        shop.remove_unfinished()

    def assemble(self, plan: Plan, stop: StopRequest) -> None:
        """All parts into one verified file.

        Raises:
            SrganError: It cannot be written or verified.
            StoppedError: A signal came.
        """
        job, shop, output = self.job, self.shop, plan.output
        layout, quantiser = job.target.layout, plan.quantiser
        reader = PartReader(output.dtype, output.bands, quantiser.scale, output.mask)
        sink = Sink(shop.writing, job.source, output, layout, quantiser, job.provenance(plan))
        parts = sorted(self.kept.parts, key=lambda part: part.path)
        observer = self._observed(plan, parts)
        rows = -(-output.height // layout.block_rows)
        try:
            with job.progress("write", rows) as bar:

                def check() -> None:
                    bar.advance(1)
                    if stop:
                        raise self.kept.stopped(stop)

                assemble(parts, reader, sink, output, layout, quantiser.fill, check)
            if observer is not None:
                sink.add_tags(observer.tags())
            sink.close()
            sink.verify()
        finally:
            sink.abandon()
        skipped = sum(tile.empty for part in parts for tile in part.tiles)
        noted = {"skipped": skipped, "tally": None if observer is None else observer.as_dict()}
        write_text(self._noted, json.dumps(noted))
        put_in_place(shop.writing, shop.assembled)

    def _observed(self, plan: Plan, parts: list[Part]) -> Observer | None:
        """What was noted about all parts, in one."""
        if self.job.watch is None:
            return None
        observer = self.job.watch(plan)
        for part in parts:
            if part.tally is not None:
                observer.merge(part.tally)
        return observer

    @property
    def _noted(self) -> Path:
        return self.shop.assembled.with_suffix(".json")

    def publish(self) -> Published:
        """Give the assembled file, or a COG of it, the output's name.

        Raises:
            RefusedError: Something of that name has come meanwhile.
            SrganError: The COG or a file beside the output cannot be made.
        """
        target, shop, kept = self.job.target, self.shop, self.kept
        noted = json.loads(self._noted.read_text(encoding="utf-8"))
        finished, warning = shop.assembled, ""
        if target.layout.format == "cog":
            # Whole and on the disk: from here on it takes the place of the parts, and their room.
            remove_parts(shop.folder)
            kept.something = kept.durable
            warning = make_cog(shop.assembled, shop.writing, target.layout)
            if target.layout.lossless:
                same_pixels(shop.writing, shop.assembled)
            finished = shop.writing
        with target.companions.beside(target.output, finished):
            refuse_output(target.output, self.job.options.overwrite)
            put_in_place(finished, target.output)
            remove_sidecars(target.output)
            kept.something = False
        return Published(int(noted["skipped"]), noted["tally"], (warning,) if warning else ())
