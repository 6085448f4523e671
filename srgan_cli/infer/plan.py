"""What will be done with a scene that is cut: its grid of tiles, and what of each is enlarged."""

from __future__ import annotations

from dataclasses import dataclass

from srgan_cli.infer.cut import Cut
from srgan_cli.infer.geometry import Grid
from srgan_cli.infer.halo import Halo
from srgan_cli.infer.network import Network
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.settle import Settled
from srgan_cli.infer.sink import OutputShape
from srgan_cli.infer.source import Source, fill_radius
from srgan_cli.models.parting import Parting


@dataclass(frozen=True)
class Plan:
    """What a scene's inference will do."""

    grid: Grid
    halo: Halo
    receptive_field_px: int | None
    """As in `Cut`."""
    quantiser: Quantiser
    output: OutputShape
    batch: int
    parts: Parting
    """What of every window is enlarged."""
    warnings: tuple[str, ...]

    @property
    def fill_px(self) -> int:
        """How far around a window valid pixels are looked for."""
        return fill_radius(self.grid.halo_px)


def make_plan(source: Source, network: Network, settled: Settled, cut: Cut) -> Plan:
    """The plan of a scene that is cut so."""
    halo, warnings = cut.halo, list(settled.warnings)
    if halo.residual is not None and halo.residual > settled.tolerance:
        warnings.append(
            f"halo {halo.px} px leaves an error of {halo.residual:.3g} (99.9 % of pixels at tile "
            f"edges), above the tolerance {settled.tolerance:.3g}; --halo exact "
            f"({cut.receptive_field_px} px) leaves none"
        )
    multiple = network.size_multiple
    around = halo.px if halo.mode != "whole" or source.is_whole else cut.core_px
    grid = Grid(source.height, source.width, cut.core_px, around, multiple, source.scene)
    window = (grid.window_height, grid.window_width)
    scene, part = source.scene, (source.height, source.width)
    # Where a window reaches from one edge of the scene to the other, all of the part is core.
    core = [
        (side if seen == whole else min(cut.core_px, side)) + first % multiple
        for seen, whole, side, first in zip(
            window, (scene.height, scene.width), part, source.origin, strict=True
        )
    ]
    parts = network.parting(window, (core[0], core[1]))
    block_px = network.memory(cut.batch).block_px(window, (parts.height, parts.width))
    return Plan(
        grid=grid,
        halo=halo,
        receptive_field_px=cut.receptive_field_px,
        quantiser=settled.quantiser,
        output=settled.output,
        batch=cut.batch,
        parts=parts.in_blocks(block_px),
        warnings=tuple(warnings),
    )
