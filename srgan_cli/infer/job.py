"""What is asked for: one scene, the networks, and everything that is settled between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from srgan_cli.infer.cut import Cut, find_cut
from srgan_cli.infer.figures import Figures
from srgan_cli.infer.manifest import Facts
from srgan_cli.infer.network import Network
from srgan_cli.infer.observer import MakeObserver
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.plan import Plan, make_plan
from srgan_cli.infer.progress import Progress
from srgan_cli.infer.settle import Settled
from srgan_cli.infer.source import Source
from srgan_cli.infer.target import Target


@dataclass(frozen=True)
class Job:
    """What is asked for."""

    source: Source
    target: Target
    networks: Sequence[Network]
    """One per device."""
    settled: Settled
    options: InferOptions
    receptive_field: Callable[[], int | None]
    facts: Facts
    """What finished parts must agree with."""
    provenance: Callable[[Plan], dict[str, str]]
    """Tags of the output that tell what made it."""
    weights_sha256: str
    figures: Figures | None
    """Of the quality, where they are wanted."""
    observe: MakeObserver | None
    """What somebody wants to look at every tile in place of the figures."""
    progress: Progress

    @property
    def watch(self) -> MakeObserver | None:
        """What makes something that looks at every tile; None = nobody looks."""
        return self.figures or self.observe

    def cut(self, options: InferOptions) -> Cut:
        """How to cut the scene.

        Raises:
            RefusedError: The network cannot work in tiles, and the scene does not fit one.
        """
        return find_cut(self.source, self.networks[0], self.settled, self.receptive_field, options)

    def plan(self, cut: Cut) -> Plan:
        """What will be done with a scene that is cut so."""
        return make_plan(self.source, self.networks[0], self.settled, cut)
