"""How much room on the disk an output takes while it is made."""

from __future__ import annotations

from typing import Any

from srgan_cli.infer.layout import Layout
from srgan_cli.infer.sink import OutputShape


def peak_bytes(layout: Layout, shape: OutputShape) -> int:
    """The most that lies on the disk at once, in bytes; compression is taken to gain nothing.

    First the parts and the file that is made of them. Of a COG the file takes the place of the
    parts; beside it lie the COG, with overviews, and the overviews once more until they are in it.
    Uncompressed blocks are as large at the edges as everywhere.
    """
    parts = shape.raw_bytes
    if layout.format == "gtiff":
        profile = layout.first_profile(shape.dtype, (shape.bands, shape.height, shape.width))
        block = (int(profile["BLOCKYSIZE"]), int(profile["BLOCKXSIZE"]))
        return parts + _file_bytes(shape, profile["COMPRESS"], block)
    options = layout.cog_profile()
    side = int(options["BLOCKSIZE"])
    levels = [shape]
    while max(levels[-1].height, levels[-1].width) > side:
        levels.append(_halved(levels[-1]))
    cog = sum(_file_bytes(level, options["COMPRESS"], (side, side)) for level in levels)
    overviews = sum(_file_bytes(level, "ZSTD", (side, side)) for level in levels[1:])
    first = _file_bytes(shape, "ZSTD", (side, side))
    return max(parts + first, first + cog + overviews)


def _file_bytes(shape: OutputShape, compress: Any, block: tuple[int, int]) -> int:
    height, width = shape.height, shape.width
    if str(compress).upper() == "NONE":
        height, width = (
            -(-px // side) * side for px, side in zip((height, width), block, strict=True)
        )
    each = shape.raw_bytes // (shape.height * shape.width)
    return height * width * each + (height * width // 8 if shape.mask else 0)


def _halved(shape: OutputShape) -> OutputShape:
    height, width = -(-shape.height // 2), -(-shape.width // 2)
    return OutputShape(shape.bands, height, width, shape.dtype, shape.mask)
