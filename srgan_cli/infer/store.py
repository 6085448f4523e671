"""Tiles into parts: rounded, written, noted, and sealed often enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan_cli.infer.feed import Batch
from srgan_cli.infer.geometry import Box, Tile
from srgan_cli.infer.observer import MakeObserver, Observer
from srgan_cli.infer.part_files import PartWriter
from srgan_cli.infer.parts import Part
from srgan_cli.infer.plan import Plan

SEAL_SECONDS = 30.0
"""So much work at most is lost with a killed process, or that of a strip if it takes less."""
_SYNC_SECONDS = 1.0
"""What was made in less is made again as soon as a busy disk would have it."""


@dataclass
class MadeTile:
    """One tile on its way to the disk."""

    tile: Tile
    valid: NDArray[np.bool_]
    images: tuple[NDArray[np.float32], NDArray[Any]] | None
    """LR and SR of the core; None without a valid pixel."""
    seen: Any = None


def cut_out(batch: Batch, sr: NDArray[Any] | None, scale: int) -> Iterator[MadeTile]:
    """Cut out of the SR parts (B, C, h * s, w * s) of those tiles that have valid pixels."""
    index = 0
    for tile, valid in batch.tiles:
        if sr is None or not valid.any():
            yield MadeTile(tile, valid, None)
            continue
        rows, cols = tile.core.within(tile.window)
        inside = Box(rows.start, cols.start, tile.core.height, tile.core.width)
        begun = Box(*batch.starts[index], 0, 0)
        sr_rows, sr_cols = inside.scaled(scale).within(begun.scaled(scale))
        images = batch.windows[index][:, rows, cols], sr[index][:, sr_rows, sr_cols]
        yield MadeTile(tile, valid, images)
        index += 1


@dataclass(frozen=True)
class Place:
    """Where and how tiles are stored."""

    plan: Plan
    folder: Path
    durable: bool
    """Whether parts must outlive this process."""
    rounded: bool
    """Whether the device has rounded the SR."""


class Store:
    """Parts from batches; used in one thread at a time."""

    def __init__(self, parts: list[Part], place: Place, observe: MakeObserver | None) -> None:
        self._parts, self._place, self._observe = parts, place, observe
        self._part: PartWriter | None = None
        self._observer: Observer | None = None
        self._begun = 0.0

    def add(self, tiles: list[MadeTile]) -> None:
        """Store tiles, and then note what was seen of them."""
        for each in tiles:
            part = self._open(each.tile)
            if each.images is None:
                part.add_empty(each.tile.core)
            else:
                self._add_full(part, each, each.images[1])
        if time.monotonic() - self._begun > SEAL_SECONDS:
            self.seal()

    def _add_full(self, part: PartWriter, each: MadeTile, sr: NDArray[Any]) -> None:
        plan = self._place.plan
        if self._place.rounded:
            stored = plan.quantiser.marked(sr.copy(), each.valid)
        else:
            stored = plan.quantiser.stored(sr, each.valid)
        part.add(each.tile.core, stored, each.valid if plan.output.mask else None)
        # Only now: a tile that the disk did not take is made, and noted, again.
        if self._observer is not None:
            try:
                self._observer.note(each.seen)
            except BaseException:
                # Half noted: what was noted of the part no longer tells of its tiles.
                part.abandon()
                self._part = None
                raise

    def _open(self, tile: Tile) -> PartWriter:
        if self._part is None:
            place = self._place
            self._part = PartWriter(place.folder, tile.core, place.durable)
            self._begun = time.monotonic()
            self._observer = self._observe(place.plan) if self._observe is not None else None
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
