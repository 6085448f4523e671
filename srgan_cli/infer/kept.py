"""What of an unfinished output is kept when its making ends, and what a user is told of that."""

from __future__ import annotations

from pathlib import Path

from srgan_cli.errors import SrganError, StoppedError
from srgan_cli.infer.parts import Part
from srgan_cli.infer.plan import Plan
from srgan_cli.signals import StopRequest

REMOVED = "the unfinished output was removed"
START_AGAIN = "run the same command to start again"
_GO_ON = "run the same command again to go on"


class Kept:
    """The finished parts of an output, and whether they are worth coming back for."""

    def __init__(self, folder: Path) -> None:
        self.parts: list[Part] = []
        self.something = False
        """Whether anything outlives the work."""
        self.durable = True
        """Whether parts do: not where one tile is all there is."""
        self._folder, self._num_tiles = folder, 0

    @property
    def num_tiles(self) -> int:
        """Tiles in the parts."""
        return sum(len(part.tiles) for part in self.parts)

    @property
    def num_bytes(self) -> int:
        """Bytes of the parts."""
        return sum(part.num_bytes for part in self.parts)

    def expect(self, plan: Plan) -> None:
        """Take note of how many tiles there will be."""
        self._num_tiles = plan.grid.num_tiles
        self.durable = plan.grid.num_tiles > 1

    def look(self) -> None:
        """Take note of the parts that have come."""
        self.something = bool(self.parts) and self.durable

    def stopped(self, stop: StopRequest) -> StoppedError:
        """The error that ends the work after a signal."""
        if self.something:
            return stop.stopped(self._text, _GO_ON)
        return stop.stopped(REMOVED, START_AGAIN)

    def add_to(self, err: SrganError) -> None:
        """Add to the hint of an error that what is finished is not lost."""
        if not isinstance(err, StoppedError) and "--restart" not in err.hint:
            err.hint = "; ".join(text for text in (err.hint, f"{self._text}: {_GO_ON}") if text)

    @property
    def _text(self) -> str:
        share = (
            f"{self.num_tiles} of {self._num_tiles} tiles are"
            if self._num_tiles
            else "what is finished is"
        )
        return f"{share} kept in {self._folder}"
