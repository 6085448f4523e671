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
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan_cli.infer.feed import Batch, feed, segment_px
from srgan_cli.infer.geometry import Box, Grid, Segment, Tile
from srgan_cli.infer.network import Finish, Network, OutOfMemoryError, Pending
from srgan_cli.infer.part_files import PartWriter
from srgan_cli.infer.parts import Done, Part
from srgan_cli.infer.plan import Plan
from srgan_cli.infer.rounding import carried, rounding
from srgan_cli.infer.source import Source
from srgan_cli.infer.threads import side_thread
from srgan_cli.signals import StopRequest

SEAL_SECONDS = 30.0
"""So much work at most is lost with a killed process, or that of a strip if it takes less."""
_SYNC_SECONDS = 1.0
"""What was made in less is made again as soon as a busy disk would have it."""
_BEHIND = 1
"""Batches that may wait for the writer, or on a device that runs ahead for their answer."""

Item = TypeVar("Item")


class Observer(Protocol):
    """Something that looks at every tile on its way to the disk, in one thread at a time.

    What it notes is kept with the finished parts and merged over all of them in the end, in the
    order of the parts: a resumed inference notes the same as an uninterrupted one.
    """

    def add(
        self,
        tile: Tile,
        lr_core: NDArray[np.float32],
        sr_core: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> None:
        """Note a tile: lr (C, h, w) and sr (C, h * s, w * s) of its core, valid (h, w).

        Both images are in network units, the SR before rounding and clipping. Tiles without a
        valid pixel are not shown.
        """

    def as_dict(self) -> dict[str, Any]:
        """What was noted, as plain values for JSON."""

    def merge(self, noted: dict[str, Any]) -> None:
        """Add what another observer noted."""

    def tags(self) -> dict[str, str]:
        """Tags of the output that tell of it."""


MakeObserver = Callable[[Plan], Observer]


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
        self._rooms = cycle([None] if network.runs_ahead else _rooms(work.plan))
        self._store = _Store(work, parts, rounded=self._finish is not None)
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
                    if self._asked_to_stop:
                        return
            except BaseException:
                self._strips.close()
                # Behind the writes that wait: what the network has made is worth keeping.
                self._writer.submit(self._store.rescue).result()
                raise

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
        self._writes.append(self._writer.submit(self._store.add, batch, sr))
        while len(self._writes) > _BEHIND:
            self._writes.popleft().result()
        self._work.advance(len(batch.tiles))


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


class _Store:
    """Parts from batches; used in one thread at a time."""

    def __init__(self, work: Work, parts: list[Part], rounded: bool) -> None:
        self._work, self._parts, self._rounded = work, parts, rounded
        self._part: PartWriter | None = None
        self._observer: Observer | None = None
        self._begun = 0.0

    def add(self, batch: Batch, sr: NDArray[Any] | None) -> None:
        """Store the tiles of a batch, SR parts (B, C, h * s, w * s) being those of the full ones."""
        index = 0
        for tile, valid in batch.tiles:
            part = self._open(tile)
            if sr is None or not valid.any():
                part.add_empty(tile.core)
                continue
            begun = Box(*batch.starts[index], 0, 0)
            self._add_full(part, tile, valid, batch.windows[index], sr[index], begun)
            index += 1
        if time.monotonic() - self._begun > SEAL_SECONDS:
            self.seal()

    def _add_full(
        self,
        part: PartWriter,
        tile: Tile,
        valid: NDArray[np.bool_],
        lr: NDArray[np.float32],
        sr: NDArray[Any],
        begun: Box,
    ) -> None:
        quantiser = self._work.plan.quantiser
        rows, cols = tile.core.within(tile.window)
        scale = quantiser.scale
        inside = Box(rows.start, cols.start, tile.core.height, tile.core.width)
        sr_rows, sr_cols = inside.scaled(scale).within(begun.scaled(scale))
        sr_core = sr[:, sr_rows, sr_cols]
        if self._rounded:
            stored = quantiser.marked(sr_core.copy(), valid)
        else:
            stored = quantiser.stored(sr_core, valid)
        part.add(tile.core, stored, valid if self._work.plan.output.mask else None)
        # Only now: a tile that the disk did not take is made, and noted, again.
        if self._observer is not None:
            self._observe(part, self._observer, tile, lr[:, rows, cols], sr_core, valid)

    def _observe(self, part: PartWriter, observer: Observer, *seen: Any) -> None:
        try:
            observer.add(*seen)
        except BaseException:
            # Half noted: what was noted of the part no longer tells of its tiles.
            part.abandon()
            self._part = None
            raise

    def _open(self, tile: Tile) -> PartWriter:
        if self._part is None:
            self._part = PartWriter(self._work.folder, tile.core, self._work.durable)
            self._begun = time.monotonic()
            observe = self._work.observe
            self._observer = observe(self._work.plan) if observe is not None else None
        return self._part

    def seal(self) -> None:
        """Finish the part in work, if any."""
        if self._part is None:
            return
        tally = None if self._observer is None else self._observer.as_dict()
        part = self._part.seal(tally, time.monotonic() - self._begun > _SYNC_SECONDS)
        self._part = None
        if part is not None:
            self._parts.append(part)

    def rescue(self) -> None:
        """After an error: finish the part if the disk allows; never raises."""
        part = self._part
        try:
            self.seal()
        except Exception:
            # The error before this one is what the user must hear about.
            if part is not None:
                part.abandon()
            self._part = None


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
