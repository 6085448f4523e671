"""Whether the compressed blocks of a GeoTIFF are what was written, where GDAL does not notice."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from rasterio.io import DatasetReader
from rasterio.windows import Window

from srgan_cli.data.rasters import UnreadableError

_REMEMBERED = 65_536
_DAMAGED = "Error -3"
"""zlib's Z_DATA_ERROR. What merely ends early (-5) GDAL reads, and some writers leave it so."""


class BlockChecksums:
    """Looks at the Adler-32 of the DEFLATE blocks of a local GeoTIFF, at each of them once or so.

    libtiff takes as many bytes out of a block as it needs. Of a damaged one that gives more, which
    one flipped bit in eight leads to, it never comes to the checksum. Other compressions have none
    (LZW, PackBits, JPEG, ZSTD as libtiff writes it), or GDAL looks at it (LERC, LZMA). Checking
    takes half as long again as reading does.
    """

    def __init__(self, dataset: DatasetReader) -> None:
        self._dataset = dataset
        self._seen: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        files = dataset.files
        self._path = Path(files[0]) if files else Path()
        profile = dataset.profile
        self._pixel = profile.get("interleave") == "pixel"
        self._applies = (
            dataset.driver == "GTiff"
            and profile.get("compress") == "deflate"
            and self._path.is_file()
        )

    def refuse_damage(self, window: Window, bands: Sequence[int]) -> None:
        """Look at the blocks that a window touches.

        Raises:
            UnreadableError: One of them is damaged.
        """
        if not self._applies:
            return
        wanted = [key for key in self._touched(window, bands) if key not in self._seen]
        if not wanted:
            return
        with self._path.open("rb") as file:
            for band, row, col in wanted:
                place = self._place(band, row, col)
                if place is not None:
                    file.seek(place[0])
                    if _is_damaged(file.read(place[1])):
                        raise self._refusal(row)
                self._seen[band, row, col] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _touched(self, window: Window, bands: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        height, width = self._dataset.block_shapes[0]
        for band in (1,) if self._pixel else bands:
            for row in range(
                window.row_off // height, -(-(window.row_off + window.height) // height)
            ):
                for col in range(
                    window.col_off // width, -(-(window.col_off + window.width) // width)
                ):
                    yield band, row, col

    def _place(self, band: int, row: int, col: int) -> tuple[int, int] | None:
        """Offset and length in bytes; None of a block that is not stored."""
        offset, size = (
            self._dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band)
            for what in ("OFFSET", "SIZE")
        )
        return None if offset is None or size is None else (int(offset), int(size))

    def _refusal(self, row: int) -> UnreadableError:
        height = self._dataset.block_shapes[0][0]
        last = min((row + 1) * height, self._dataset.height) - 1
        return UnreadableError(
            str(self._path),
            f"cannot read {self._path} at rows {row * height}..{last}: a compressed block does not "
            "match its checksum",
            "the file is damaged: fetch it again, or take it from a backup",
        )


def _is_damaged(block: bytes) -> bool:
    try:
        zlib.decompress(block)
    except zlib.error as err:
        return str(err).startswith(_DAMAGED)
    return False
