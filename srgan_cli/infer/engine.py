"""The pipeline: one thread reads, one per device runs the network, one per device stores.

They are a few batches apart at most, so that memory does not grow with the scene.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from srgan_cli.heap import return_free_pages
from srgan_cli.infer.feed import Batch, feed, segment_px
from srgan_cli.infer.geometry import Grid, Segment
from srgan_cli.infer.network import Finish, Network, OutOfMemoryError, Pending
from srgan_cli.infer.observer import MakeObserver
from srgan_cli.infer.parts import Done, Part
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.rounding import carried, rounding
from srgan_cli.infer.source import Source
from srgan_cli.infer.store import MadeTile, Place, Store, cut_out
from srgan_cli.infer.threads import side_thread
from srgan_cli.signals import StopRequest

_BEHIND = 1
"""Batches that may wait for the writer, or on a device that runs ahead for their answer."""

_REST_SECONDS = 10.0
"""Work between two looks for memory that nobody uses."""

Item = TypeVar("Item")


@dataclass
class Work:
    """What is to be made, and with what."""

    plan: Plan
    source: Source
    networks: Sequence[Network]
    folder: Path
    """Where finished parts go."""
    durable: bool
    """Whether parts must outlive this process."""
    observe: MakeObserver | None
    stop: StopRequest
    advance: Callable[[int], None]


def make_parts(work: Work, parts: list[Part]) -> None:
    """Make every tile of the plan that no part holds yet; finished parts are added to `parts`.

    After a stop, or an error, what was made till then is in `parts`, on the disk and whole.

    Raises:
        OutOfMemoryError: The batch does not fit the device.
        SrganError: The input cannot be read, or a part cannot be written.
    """
    plan, done = work.plan, Done(parts)
    strips = _Strips(plan.grid, segment_px(plan.grid, len(work.source.bands)), done)
    with side_thread() as reader:
        lines = [_Line(work, network, reader, strips, parts) for network in work.networks]
        if len(lines) == 1:
            lines[0].run()
            return
        with ThreadPoolExecutor(len(lines)) as threads:
            futures = [threads.submit(line.run) for line in lines]
            try:
                for future in futures:
                    future.result()
            finally:
                strips.close()


class _Strips:
    """The strips that are left, handed out one by one."""

    def __init__(self, grid: Grid, max_segment_px: int, done: Done) -> None:
        self._lock = threading.Lock()
        self._left = self._all(grid, max_segment_px, done)
        self.closed = False

    @staticmethod
    def _all(grid: Grid, max_segment_px: int, done: Done) -> Iterator[list[Segment]]:
        for index in range(grid.num_strips):
            segments = []
            for segment in grid.strip(index, max_segment_px):
                left = tuple(tile for tile in segment.tiles if not done.holds(tile.core))
                if left:
                    segments.append(Segment(left))
            if segments:
                yield segments

    def take(self) -> list[Segment] | None:
        """The next strip; None when there is no more to do."""
        with self._lock:
            return None if self.closed else next(self._left, None)

    def close(self) -> None:
        """Hand out no more: another device has failed."""
        self.closed = True


class _Line:
    """One device: its part in work, and the thread that stores."""

    def __init__(
        self,
        work: Work,
        network: Network,
        reader: ThreadPoolExecutor,
        strips: _Strips,
        parts: list[Part],
    ) -> None:
        self._work, self._network, self._reader = work, network, reader
        self._strips, self._parts = strips, parts
        self._finish: Finish | None = None
        if network.runs_ahead and work.observe is None:
            self._finish = rounding(work.plan.quantiser)
        self._observer = None if work.observe is None else work.observe(work.plan)
        self._rooms = cycle([None] if network.runs_ahead else _rooms(work.plan))
        place = Place(work.plan, work.folder, work.durable, rounded=self._finish is not None)
        self._store = Store(parts, place, work.observe)
        self._rested = time.monotonic()
        self._writes: deque[Future[None]] = deque()
        self._answers: deque[tuple[Batch, Pending | None]] = deque()

    def run(self) -> None:
        """Make strips until none is left, or a stop is asked for."""
        with side_thread() as self._writer:
            try:
                while (segments := self._strips.take()) is not None:
                    self._strip(segments)
                    self._settle()
                    self._writer.submit(self._store.seal).result()
                    self._rest()
                    if self._asked_to_stop:
                        return
            except BaseException:
                self._strips.close()
                # Behind the writes that wait: what the network has made is worth keeping.
                self._writer.submit(self._store.rescue).result()
                raise

    def _rest(self) -> None:
        """Between strips, when nothing is on its way."""
        if not self._network.runs_ahead and time.monotonic() - self._rested > _REST_SECONDS:
            return_free_pages()
            self._rested = time.monotonic()

    @property
    def _asked_to_stop(self) -> bool:
        return bool(self._work.stop) or self._strips.closed

    def _strip(self, segments: list[Segment]) -> None:
        batches = feed(self._work.plan, self._work.source, segments)
        for batch in ahead(self._reader, batches):
            if self._asked_to_stop:
                break
            pending = self._start(batch) if batch.num_full else None
            self._answers.append((batch, pending))
            while len(self._answers) > (_BEHIND if self._network.runs_ahead else 0):
                self._deliver()

    def _start(self, batch: Batch) -> Pending:
        parts, room = self._work.plan.parts, next(self._rooms)
        return self._network.start(batch.windows, parts, batch.starts, self._finish, room)

    def _settle(self) -> None:
        """Wait for everything that is on its way."""
        while self._answers:
            self._deliver()
        while self._writes:
            self._writes.popleft().result()

    def _deliver(self) -> None:
        batch, pending = self._answers.popleft()
        sr = pending.result().numpy() if pending is not None and self._finish is None else None
        if pending is not None and self._finish is not None:
            sr = carried(pending.result(), self._work.plan.quantiser)
        tiles = list(cut_out(batch, sr, self._work.plan.quantiser.scale))
        if self._network.runs_ahead:
            self._writes.append(self._writer.submit(lambda: self._store.add(self._seen(tiles))))
        else:
            # Beside a network that uses all cores it would hold up all of them several times as long.
            self._writes.append(self._writer.submit(self._store.add, self._seen(tiles)))
        while len(self._writes) > _BEHIND:
            self._writes.popleft().result()
        self._work.advance(len(batch.tiles))

    def _seen(self, tiles: list[MadeTile]) -> list[MadeTile]:
        """The tiles with what the observer sees in them, if there is one."""
        if self._observer is not None:
            for each in tiles:
                if each.images is not None:
                    each.seen = self._observer.look(each.tile, *each.images, each.valid)
        return tiles


def _rooms(plan: Plan) -> list[Tensor]:
    """Memory for the answer that is made and those that wait for the writer, in turns.

    Kept for the whole scene: answers that come to lie between what a network makes on its way would
    leave gaps, other ones with every tile, and the heap would grow with the number of tiles.
    """
    parts, scale = plan.parts, plan.quantiser.scale
    shape = (plan.batch, plan.output.bands, parts.height * scale, parts.width * scale)
    try:
        return [torch.empty(shape) for _ in range(_BEHIND + 1)]
    except (RuntimeError, MemoryError) as err:
        text = " x ".join(map(str, shape))
        raise OutOfMemoryError(
            f"out of memory for answers of {text}", "choose a smaller --tile or --batch"
        ) from err


def ahead(executor: ThreadPoolExecutor, items: Iterator[Item]) -> Iterator[Item]:
    """The items in order, each made in the executor while the caller uses the one before."""
    end = object()

    def following() -> Any:
        return next(items, end)

    waiting = executor.submit(following)
    try:
        while (item := waiting.result()) is not end:
            waiting = executor.submit(following)
            yield item
    finally:
        waiting.cancel()
