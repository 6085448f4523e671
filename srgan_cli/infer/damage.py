"""What GDAL murmurs about a damaged input while it goes on decoding."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_DAMAGE = re.compile(
    r"corrupt|JPEGLib:|Decode:(?!Deprecated)|premature|truncated|not enough data", re.IGNORECASE
)
_SHOWN = 3


@contextmanager
def heard_damage(path: str) -> Iterator[list[str]]:
    """Warnings of decoders while the block runs, of which each is in the list once.

    Some formats, JPEG above all, have no checksums: their decoders make pixels of whatever they
    find, and GDAL passes on what they complain of as a warning. Enter it within a `gdal_env`.
    """
    heard: list[str] = []

    def listen(record: logging.LogRecord) -> None:
        text = record.getMessage().partition(":")[2].strip()
        warning = f"{path}: GDAL found it damaged and went on: {text}"
        if _DAMAGE.search(text) and warning not in heard and len(heard) < _SHOWN:
            heard.append(warning)

    handler = logging.Handler(logging.WARNING)
    handler.emit = listen  # type: ignore[method-assign]  # one function
    logger = logging.getLogger("rasterio")
    logger.addHandler(handler)
    try:
        yield heard
    finally:
        logger.removeHandler(handler)
