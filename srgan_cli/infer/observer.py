"""Who may look at the tiles of a scene while it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srgan_cli.infer.geometry import Tile
from srgan_cli.infer.plan import Plan


class Observer(Protocol):
    """Something that looks at every tile on its way to the disk, in one thread at a time.

    What it notes is kept with the finished parts and merged over all of them in the end, in the
    order of the parts: a resumed inference notes the same as an uninterrupted one.
    """

    def look(
        self,
        tile: Tile,
        lr_core: NDArray[np.float32],
        sr_core: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> Any:
        """What is to be noted of a tile: lr (C, h, w), sr (C, h * s, w * s), valid (h, w).

        Both images are its core in network units, the SR before rounding and clipping. Tiles
        without a valid pixel are not shown. Changes nothing, and keeps none of the images.
        """

    def note(self, seen: Any) -> None:
        """Take in what another observer of the same scene saw, once the tile is stored."""

    def as_dict(self) -> dict[str, Any]:
        """What was noted, as plain values for JSON."""

    def merge(self, noted: dict[str, Any]) -> None:
        """Add what another observer noted."""

    def tags(self) -> dict[str, str]:
        """Tags of the output that tell of it."""


MakeObserver = Callable[[Plan], Observer]
"""Makes one that has seen nothing: every part has its own."""
