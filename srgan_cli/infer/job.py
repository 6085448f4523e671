"""One scene, from an open input to an output under its name; what is finished is never lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from srgan_cli.errors import RefusedError, SrganError, StoppedError
from srgan_cli.files import write_text
from srgan_cli.infer.assembly import assemble, make_cog, same_pixels
from srgan_cli.infer.engine import MakeObserver, Observer, Work, make_parts
from srgan_cli.infer.layout import Layout, ignored_options
from srgan_cli.infer.manifest import Facts, Manifest, refuse_changed_files
from srgan_cli.infer.network import Network, OutOfMemoryError
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.parts import Part, PartReader, remove_parts
from srgan_cli.infer.place import put_in_place, refuse_full_disk, refuse_output, remove_sidecars
from srgan_cli.infer.plan import Cut, Plan, Settled, find_cut, make_plan
from srgan_cli.infer.progress import Progress
from srgan_cli.infer.quicklook import Companions
from srgan_cli.infer.room import peak_bytes
from srgan_cli.infer.sink import Sink, refuse_lost_pixels, try_out
from srgan_cli.infer.source import Source
from srgan_cli.infer.workshop import Workshop, opened
from srgan_cli.signals import StopRequest, stop_request

GO_ON = "run the same command again to go on"
_TRIED_PX = 1100
"""Enough for overviews."""
START_AGAIN = "run the same command to start again"
REMOVED = "the unfinished output was removed"


@dataclass(frozen=True)
class Job:
    """What is asked for."""

    source: Source
    output: Path
    networks: Sequence[Network]
    """One per device."""
    settled: Settled
    options: InferOptions
    layout: Layout
    companions: Companions
    receptive_field: Callable[[], int | None]
    facts: Facts
    """What finished parts must agree with."""
    provenance: Callable[[Plan], dict[str, str]]
    observe: MakeObserver | None
    progress: Progress


@dataclass
class Made:
    """What was done."""

    plan: Plan
    skipped_tiles: int
    resumed_tiles: int
    """That an earlier process had made."""
    tally: Mapping[str, Any] | None
    warnings: list[str] = field(default_factory=list)


def make(job: Job) -> Made:
    """Make the output, going on with what an earlier process finished.

    Raises:
        RefusedError: Finished parts belong to another inference, another process is at work, or
            the disk is too small.
        SrganError: The output cannot be written or verified; finished parts are kept.
        StoppedError: A signal came; finished parts are kept.
    """
    with opened(job.output) as shop:
        run = _Run(job, shop)
        try:
            return _told(run.whole, job.output)
        except (SrganError, KeyboardInterrupt) as err:
            run.tidy()
            if run.keeps_something and isinstance(err, SrganError):
                run.tell_what_is_kept(err)
            raise


def _told(work: Callable[[], Made], output: Path) -> Made:
    """What the work gives; an error of the file system becomes one that a user can do something about."""
    try:
        return work()
    except OSError as err:
        raise SrganError(
            f"cannot write {err.filename or output}: {err.strerror or err}",
            "look at the disk and the folder, or choose another OUTPUT",
        ) from err


class _Run:
    def __init__(self, job: Job, shop: Workshop) -> None:
        self.job, self.shop = job, shop
        self.parts: list[Part] = []
        self.warnings: list[str] = []
        self.keeps_something = False
        self._ours = False
        self._durable = True
        self._num_tiles = 0

    @property
    def kept(self) -> str:
        """What of the work is on the disk."""
        tiles = sum(len(part.tiles) for part in self.parts)
        share = (
            f"{tiles} of {self._num_tiles} tiles are" if self._num_tiles else "what is finished is"
        )
        return f"{share} kept in {self.shop.folder}"

    def tidy(self) -> None:
        """Leave nothing behind but what is finished, and that of other inferences."""
        # Somebody may have removed the folder meanwhile.
        self.keeps_something = self.keeps_something and self.shop.folder.is_dir()
        if self.keeps_something:
            self.shop.remove_unfinished()
        elif self._ours:
            self.shop.remove()

    def tell_what_is_kept(self, err: SrganError) -> None:
        """Add to the hint of an error that what is finished is not lost."""
        if not isinstance(err, StoppedError) and "--restart" not in err.hint:
            err.hint = "; ".join(text for text in (err.hint, f"{self.kept}: {GO_ON}") if text)

    def whole(self) -> Made:
        """All of it."""
        manifest = self._look_around()
        with stop_request(REMOVED, START_AGAIN) as stop:
            try:
                made = self._from(manifest, stop)
            except KeyboardInterrupt:
                if stop and self.keeps_something:
                    raise stop.stopped(self.kept, GO_ON) from None
                raise
        self.shop.remove()
        return made

    def _look_around(self) -> Manifest | None:
        """What there is to go on with, and whether there is room for the rest."""
        job, shop = self.job, self.shop
        if not job.options.resume:
            shop.clear()
        manifest, self.parts, damaged = shop.resume(job.facts)
        self._ours = True
        self.keeps_something = bool(self.parts) or shop.assembled.exists()
        self.warnings += [f"part {name} was damaged and is made again" for name in damaged]
        if not job.options.force:
            kept = sum(part.num_bytes for part in self.parts)
            if shop.assembled.exists():
                kept += shop.assembled.stat().st_size
            refuse_full_disk(job.output.parent, peak_bytes(job.layout, job.settled.output), kept)
        return manifest

    def _from(self, manifest: Manifest | None, stop: StopRequest) -> Made:
        cut = manifest.cut if manifest else self._find_cut(self.job.options)
        plan = self._plan(cut)
        self._try_layout(plan)
        if stop:
            self._end(stop)
        resumed = sum(len(part.tiles) for part in self.parts)
        if not self.shop.assembled.exists():
            plan = self._make_parts(plan, cut, stop)
            refuse_changed_files(self.job.facts, self.job.source)
            self._assemble(plan, stop)
        skipped, tally = self._publish()
        return Made(plan, skipped, resumed, tally, self.warnings)

    def _find_cut(self, options: InferOptions) -> Cut:
        job = self.job
        return find_cut(job.source, job.networks[0], job.settled, job.receptive_field, options)

    def _plan(self, cut: Cut) -> Plan:
        job = self.job
        plan = make_plan(job.source, job.networks[0], job.settled, cut)
        self._num_tiles = plan.grid.num_tiles
        self._durable = plan.grid.num_tiles > 1
        return plan

    def _try_layout(self, plan: Plan) -> None:
        """Make a small file of the kind: options that GDAL does not take must not cost a night.

        Raises:
            RefusedError: It cannot be made.
        """
        job, shop = self.job, self.shop
        side = _TRIED_PX if job.layout.creation_options else 16
        output = plan.output
        small = replace(output, height=min(output.height, side), width=min(output.width, side))
        with ignored_options(job.layout.creation_options):
            sink = Sink(shop.writing, job.source, small, job.layout, plan.quantiser, {})
            try_out(sink, small)
            if job.layout.format == "cog":
                try:
                    make_cog(shop.writing, shop.trial, job.layout)
                except SrganError as err:
                    raise RefusedError(err.message, err.hint) from err
                refuse_lost_pixels(shop.trial)
        shop.remove_unfinished()

    def _make_parts(self, plan: Plan, cut: Cut, stop: StopRequest) -> Plan:
        """Make what is missing, in smaller steps where the memory runs out."""
        tried = cut
        if self._durable and not self.parts:
            Manifest(self.job.facts, cut).save(self.shop.folder)
        while True:
            short = self._try(plan, stop)
            if short is None:
                break
            smaller = self._smaller(tried)
            if smaller is None:
                raise short
            for network in self.job.networks:
                if network.device.type == "cuda":
                    torch.cuda.empty_cache()
            tried = smaller
            plan = self._plan(tried)
            text = f"--tile {tried.core_px} --batch {tried.batch}"
            self.warnings.append(f"{short.message}; went on as with {text}")
        self.keeps_something = bool(self.parts) and self._durable
        if stop:
            self._end(stop)
        return plan

    def _try(self, plan: Plan, stop: StopRequest) -> OutOfMemoryError | None:
        job = self.job
        lock = threading.Lock()
        left = plan.grid.num_tiles - sum(len(part.tiles) for part in self.parts)
        with job.progress("infer", max(left, 0)) as bar:

            def advance(count: int) -> None:
                with lock:
                    bar.advance(count)

            work = Work(
                plan=plan,
                source=job.source,
                networks=job.networks,
                folder=self.shop.folder,
                durable=self._durable,
                observe=job.observe,
                stop=stop,
                advance=advance,
            )
            try:
                make_parts(work, self.parts)
            except OutOfMemoryError as err:
                # Without its traceback, which holds on to the memory.
                return OutOfMemoryError(err.message, err.hint)
            finally:
                self.keeps_something = bool(self.parts) and self._durable
        return None

    def _smaller(self, cut: Cut) -> Cut | None:
        job = self.job
        smaller = cut.smaller(job.networks[0].size_multiple)
        if smaller is None and cut.halo.mode == "whole" and not self.parts:
            # Now it must be cut, and that needs a halo.
            half = max(job.source.scene.height, job.source.scene.width) // 2
            if half >= 1:
                smaller = self._find_cut(replace(job.options, tile_px=half, batch=1))
                Manifest(job.facts, smaller).save(self.shop.folder)
        return smaller

    def _end(self, stop: StopRequest) -> None:
        if self.keeps_something:
            raise stop.stopped(self.kept, GO_ON)
        raise stop.stopped(REMOVED, START_AGAIN)

    def _assemble(self, plan: Plan, stop: StopRequest) -> None:
        """All parts into one verified file."""
        job, shop, output = self.job, self.shop, plan.output
        reader = PartReader(output.dtype, output.bands, plan.quantiser.scale, output.mask)
        sink = Sink(
            shop.writing, job.source, output, job.layout, plan.quantiser, job.provenance(plan)
        )
        parts = sorted(self.parts, key=lambda part: part.path)
        observer = self._observed(plan, parts)
        rows = -(-output.height // job.layout.block_rows)
        try:
            with job.progress("write", rows) as bar:

                def check() -> None:
                    bar.advance(1)
                    if stop:
                        self._end(stop)

                assemble(parts, reader, sink, output, job.layout, plan.quantiser.fill, check)
            if observer is not None:
                sink.add_tags(observer.tags())
            sink.close()
            sink.verify()
        finally:
            sink.abandon()
        skipped = sum(tile.empty for part in self.parts for tile in part.tiles)
        noted = {"skipped": skipped, "tally": None if observer is None else observer.as_dict()}
        write_text(self._noted, json.dumps(noted))
        put_in_place(shop.writing, shop.assembled)

    def _observed(self, plan: Plan, parts: list[Part]) -> Observer | None:
        """What was noted about all parts, in one."""
        if self.job.observe is None:
            return None
        observer = self.job.observe(plan)
        for part in parts:
            if part.tally is not None:
                observer.merge(part.tally)
        return observer

    @property
    def _noted(self) -> Path:
        return self.shop.assembled.with_suffix(".json")

    def _publish(self) -> tuple[int, Mapping[str, Any] | None]:
        """The assembled file, or a COG of it, under the output's name."""
        job, shop = self.job, self.shop
        noted = json.loads(self._noted.read_text(encoding="utf-8"))
        finished = shop.assembled
        if job.layout.format == "cog":
            # Whole and on the disk: from here on it takes the place of the parts, and their room.
            remove_parts(shop.folder)
            self.keeps_something = self._durable
            warning = make_cog(shop.assembled, shop.writing, job.layout)
            self.warnings += [warning] if warning else []
            if job.layout.lossless:
                same_pixels(shop.writing, shop.assembled)
            finished = shop.writing
        with job.companions.beside(job.output, finished):
            refuse_output(job.output, job.options.overwrite)
            put_in_place(finished, job.output)
            remove_sidecars(job.output)
            self.keeps_something = False
        return int(noted["skipped"]), noted["tally"]
