"""One scene, from an open input to an output under its name; what is finished is never lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from srgan_cli.errors import SrganError
from srgan_cli.infer.finishing import Finishing
from srgan_cli.infer.job import Job
from srgan_cli.infer.kept import REMOVED, START_AGAIN, Kept
from srgan_cli.infer.making import Making
from srgan_cli.infer.manifest import Manifest, refuse_changed_files
from srgan_cli.infer.place import refuse_full_disk
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.room import peak_bytes
from srgan_cli.infer.workshop import Workshop, opened
from srgan_cli.signals import StopRequest, stop_request


@dataclass(frozen=True)
class Made:
    """What was done."""

    plan: Plan
    skipped_tiles: int
    resumed_tiles: int
    """That an earlier process had made."""
    tally: Mapping[str, Any] | None
    warnings: tuple[str, ...]


def make(job: Job) -> Made:
    """Make the output, going on with what an earlier process finished.

    Raises:
        RefusedError: Finished parts belong to another inference, another process is at work, or
            the disk is too small.
        SrganError: The output cannot be written or verified; finished parts are kept.
        StoppedError: A signal came; finished parts are kept.
    """
    with opened(job.target.output) as shop:
        run = _Run(job, shop)
        try:
            return _told(run.whole, job)
        except (SrganError, KeyboardInterrupt) as err:
            run.tidy()
            if run.kept.something and isinstance(err, SrganError):
                run.kept.add_to(err)
            raise


def _told(work: Callable[[], Made], job: Job) -> Made:
    """What the work gives; an error of the file system becomes one that a user can do something about."""
    try:
        return work()
    except OSError as err:
        raise SrganError(
            f"cannot write {err.filename or job.target.output}: {err.strerror or err}",
            "look at the disk and the folder, or choose another OUTPUT",
        ) from err


class _Run:
    def __init__(self, job: Job, shop: Workshop) -> None:
        self.job, self.shop = job, shop
        self.kept = Kept(shop.folder)
        self._warnings: list[str] = []
        self._ours = False

    def tidy(self) -> None:
        """Leave nothing behind but what is finished, and that of other inferences."""
        # Somebody may have removed the folder meanwhile.
        self.kept.something = self.kept.something and self.shop.folder.is_dir()
        if self.kept.something:
            self.shop.remove_unfinished()
        elif self._ours:
            self.shop.remove()

    def whole(self) -> Made:
        """All of it."""
        manifest = self._look_around()
        with stop_request(REMOVED, START_AGAIN) as stop:
            try:
                made = self._from(manifest, stop)
            except KeyboardInterrupt:
                if stop and self.kept.something:
                    raise self.kept.stopped(stop) from None
                raise
        self.shop.remove()
        return made

    def _look_around(self) -> Manifest | None:
        """What there is to go on with, and whether there is room for the rest."""
        job, shop, kept = self.job, self.shop, self.kept
        if not job.options.resume:
            shop.clear()
        manifest, kept.parts, damaged = shop.resume(job.facts)
        self._ours = True
        kept.something = bool(kept.parts) or shop.assembled.exists()
        self._warnings += [f"part {name} was damaged and is made again" for name in damaged]
        if not job.options.force:
            there = kept.num_bytes
            if shop.assembled.exists():
                there += shop.assembled.stat().st_size
            peak = peak_bytes(job.target.layout, job.settled.output)
            refuse_full_disk(job.target.output.parent, peak, there)
        return manifest

    def _from(self, manifest: Manifest | None, stop: StopRequest) -> Made:
        job, shop, kept = self.job, self.shop, self.kept
        finishing = Finishing(job, shop, kept)
        cut = manifest.cut if manifest else job.cut(job.options)
        plan = job.plan(cut)
        kept.expect(plan)
        finishing.try_layout(plan)
        if stop:
            raise kept.stopped(stop)
        resumed = kept.num_tiles
        if not shop.assembled.exists():
            plan, warnings = Making(job, shop.folder, kept, stop).make(cut, plan)
            self._warnings += warnings
            refuse_changed_files(job.facts, job.source)
            finishing.assemble(plan, stop)
        published = finishing.publish()
        self._warnings += published.warnings
        return Made(plan, published.skipped_tiles, resumed, published.tally, tuple(self._warnings))
