"""From finished parts to the output: one pass from top to bottom, and GDAL's COG driver behind it.

Always in the same order, so that a resumed inference ends in the same bytes as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.windows
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from srgan_cli.data.rasters import reason
from srgan_cli.errors import SrganError
from srgan_cli.infer.geometry import Box
from srgan_cli.infer.layout import Layout
from srgan_cli.infer.part_files import PartReader
from srgan_cli.infer.parts import Part, Stored
from srgan_cli.infer.quantise import enlarged
from srgan_cli.infer.sink import OutputShape, Sink, writing_env

_CHUNK_BYTES = 32 * 2**20
_COMPARED_PX = 256
_ALWAYS_KEPT = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "RPC", "COLOR_PROFILE"}

Window = tuple[NDArray[Any], NDArray[np.bool_] | None]


def assemble(
    parts: Sequence[Part],
    reader: PartReader,
    sink: Sink,
    shape: OutputShape,
    layout: Layout,
    fill: Any,
    check: Callable[[], None],
) -> None:
    """Write all parts into `sink`, whole blocks once, in the order in which they lie in the file.

    Args:
        parts: Together all of the output.
        reader: How to read them.
        sink: The file.
        shape: Its size.
        layout: Its blocks.
        fill: The value of invalid pixels.
        check: Called between the strips; may raise to stop.
    """
    mosaic = _Mosaic(parts, reader, shape, fill)
    with writing_env():
        for row in range(0, shape.height, layout.block_rows):
            check()
            rows = min(layout.block_rows, shape.height - row)
            for box in _chunks(row, rows, shape, layout.block_columns):
                window = mosaic.window(box)
                if window is not None:
                    sink.write(box, *window)
                elif not sink.fills_gaps:
                    sink.write(box, *mosaic.empty(box))


def _chunks(row: int, rows: int, shape: OutputShape, block: int) -> Iterator[Box]:
    per_column = shape.bands * rows * int(np.dtype(shape.dtype).itemsize)
    columns = max(_CHUNK_BYTES // per_column // block, 1) * block
    for col in range(0, shape.width, columns):
        yield Box(row, col, rows, min(columns, shape.width - col))


class _Mosaic:
    """Any window of the output, from the tiles that it touches."""

    def __init__(
        self, parts: Sequence[Part], reader: PartReader, shape: OutputShape, fill: Any
    ) -> None:
        self._reader, self._shape, self._fill = reader, shape, fill
        self._tiles = [(part, tile) for part in parts for tile in part.tiles if not tile.empty]
        boxes = [tile.core.scaled(reader.scale) for _, tile in self._tiles]
        ends = [(box.row, box.row_stop, box.col, box.col_stop) for box in boxes]
        self._ends = np.array(ends, dtype=np.int64).reshape(-1, 4)

    def window(self, box: Box) -> Window | None:
        """Stored values and valid pixels; None where no pixel is valid."""
        touched = self._touched(box)
        if not touched:
            return None
        values, valid = self.empty(box)
        for part, tile in touched:
            whole = tile.core.scaled(self._reader.scale)
            common = _common(box, whole)
            to, (rows, cols) = common.within(box), common.within(whole)
            found = self._reader.rows(part, tile, rows.start, rows.stop)
            values[:, to[0], to[1]] = found[:, :, cols]
            if valid is not None:
                mask = enlarged(self._reader.valid(part, tile), self._reader.scale)
                valid[to] = mask[rows, cols]
        return values, valid

    def empty(self, box: Box) -> Window:
        """A window without a valid pixel."""
        values = np.full((self._shape.bands, box.height, box.width), self._fill, self._shape.dtype)
        return values, np.zeros((box.height, box.width), bool) if self._shape.mask else None

    def _touched(self, box: Box) -> list[tuple[Part, Stored]]:
        ends = self._ends
        inside = (ends[:, 0] < box.row_stop) & (ends[:, 1] > box.row)
        inside &= (ends[:, 2] < box.col_stop) & (ends[:, 3] > box.col)
        return [self._tiles[index] for index in np.flatnonzero(inside)]


def _common(one: Box, other: Box) -> Box:
    row, col = max(one.row, other.row), max(one.col, other.col)
    height = min(one.row_stop, other.row_stop) - row
    return Box(row, col, height, min(one.col_stop, other.col_stop) - col)


def make_cog(source: Path, target: Path, layout: Layout) -> str:
    """Make a cloud-optimised GeoTIFF with overviews of the GeoTIFF `source`.

    Returns a warning about tags that it cannot hold, or an empty string.

    Raises:
        SrganError: GDAL cannot make it.
    """
    try:
        with writing_env():
            namespaces, banded = _tags(source)
            # GDAL's driver keeps either the tags of the bands or those of all namespaces.
            copied = {} if banded else {"COPY_SRC_MDD": "YES"}
            rasterio.shutil.copy(
                str(source), str(target), driver="COG", **copied, **layout.cog_profile()
            )
    except (RasterioError, CPLE_BaseError, ValueError) as err:
        raise SrganError(
            f"the COG cannot be made: {reason(err)}",
            "check --co and --compress, and the space on the disk",
        ) from err
    if not banded or not namespaces:
        return ""
    return (
        f"GDAL's COG driver left out the tags of {', '.join(namespaces)}, as the bands have tags "
        "of their own; --format gtiff keeps both"
    )


def _tags(path: Path) -> tuple[list[str], bool]:
    """Namespaces, of the file or a band, beside those that every driver keeps; do bands have tags."""
    with rasterio.open(str(path)) as dataset:
        names = {name for band in (0, *dataset.indexes) for name in dataset.tag_namespaces(band)}
        banded = any(dataset.tags(band) for band in dataset.indexes)
    return sorted(name for name in names - _ALWAYS_KEPT if not name.startswith("xml:")), banded


def same_pixels(made: Path, source: Path) -> None:
    """Compare a file with the one that it was made of, in windows spread over both.

    Raises:
        SrganError: They differ.
    """
    try:
        with rasterio.open(str(made)) as one, rasterio.open(str(source)) as other:
            side = min(_COMPARED_PX, one.height, one.width)
            rows = np.unique(np.linspace(0, one.height - side, 4).astype(int))
            cols = np.unique(np.linspace(0, one.width - side, 4).astype(int))
            for row, col in ((int(row), int(col)) for row in rows for col in cols):
                window = rasterio.windows.Window(col, row, side, side)
                pairs = (
                    (one.read(window=window), other.read(window=window)),
                    (one.dataset_mask(window=window), other.dataset_mask(window=window)),
                )
                if not all(np.array_equal(*pair, equal_nan=True) for pair in pairs):
                    raise SrganError(
                        f"{made}: verification found other pixels than were written at "
                        f"row {row}, column {col}",
                        "check the disk",
                    )
    except RasterioError as err:
        raise SrganError(f"{made}: verification failed: {reason(err)}") from err
