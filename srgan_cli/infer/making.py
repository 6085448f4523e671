"""Making every tile that is missing, in smaller steps where the memory runs out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from srgan_cli.infer.cut import Cut
from srgan_cli.infer.engine import Work, make_parts
from srgan_cli.infer.job import Job
from srgan_cli.infer.kept import Kept
from srgan_cli.infer.manifest import Manifest
from srgan_cli.infer.network import OutOfMemoryError
from srgan_cli.infer.plan import Plan
from srgan_cli.signals import StopRequest


@dataclass(frozen=True)
class Making:
    """The tiles of a job, on their way into parts."""

    job: Job
    folder: Path
    """Where parts go."""
    kept: Kept
    stop: StopRequest

    def make(self, cut: Cut, plan: Plan) -> tuple[Plan, list[str]]:
        """Make what is missing; the plan that it was made by in the end, and warnings.

        Raises:
            OutOfMemoryError: No smaller step is left.
            SrganError: The input cannot be read, or a part cannot be written.
            StoppedError: A signal came.
        """
        kept, warnings = self.kept, []
        if kept.durable and not kept.parts:
            Manifest(self.job.facts, cut).save(self.folder)
        while (short := self._try(plan)) is not None:
            smaller = self._smaller(cut)
            if smaller is None:
                raise short
            for network in self.job.networks:
                if network.device.type == "cuda":
                    torch.cuda.empty_cache()
            cut = smaller
            plan = self.job.plan(cut)
            kept.expect(plan)
            text = f"--tile {cut.core_px} --batch {cut.batch}"
            warnings.append(f"{short.message}; went on as with {text}")
        kept.look()
        if self.stop:
            raise kept.stopped(self.stop)
        return plan, warnings

    def _try(self, plan: Plan) -> OutOfMemoryError | None:
        job, kept = self.job, self.kept
        lock = threading.Lock()
        left = plan.grid.num_tiles - kept.num_tiles
        with job.progress("infer", max(left, 0)) as bar:

            def advance(count: int) -> None:
                with lock:
                    bar.advance(count)

            work = Work(
                plan=plan,
                source=job.source,
                networks=job.networks,
                folder=self.folder,
                durable=kept.durable,
                observe=job.watch,
                stop=self.stop,
                advance=advance,
            )
            try:
                make_parts(work, kept.parts)
            except OutOfMemoryError as err:
                # Without its traceback, which holds on to the memory.
                return OutOfMemoryError(err.message, err.hint)
            finally:
                kept.look()
        return None

    def _smaller(self, cut: Cut) -> Cut | None:
        job = self.job
        smaller = cut.smaller(job.networks[0].size_multiple)
        if smaller is None and cut.halo.mode == "whole" and not self.kept.parts:
            # Now it must be cut, and that needs a halo.
            half = max(job.source.scene.height, job.source.scene.width) // 2
            if half >= 1:
                smaller = job.cut(replace(job.options, tile_px=half, batch=1))
                Manifest(job.facts, smaller).save(self.folder)
        return smaller
