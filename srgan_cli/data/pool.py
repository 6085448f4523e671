"""Images that stay open while crops are cut from them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from rasterio.io import DatasetReader

from srgan_cli.data.cache import ImageCache
from srgan_cli.data.images import Reading, open_image

OPEN_DATASETS = 128
"""Datasets one process keeps open: a small part of the 1024 files that systems allow, and opening takes as long as reading."""


class ImagePool:
    """Open datasets by path, the most recently used ones; crosses process borders empty."""

    def __init__(
        self, reading: Reading, cache: ImageCache | None = None, limit: int = OPEN_DATASETS
    ) -> None:
        self._reading = reading
        self._cache = cache
        self._limit = limit
        self._open: OrderedDict[str, DatasetReader] = OrderedDict()

    def get(self, path: str) -> DatasetReader:
        """The dataset, opened now if it is not open yet."""
        dataset = self._open.pop(path, None) or self._open_now(path)
        self._open[path] = dataset
        if len(self._open) > self._limit:
            self._open.popitem(last=False)[1].close()
        return dataset

    def close(self) -> None:
        """Close all datasets; `get` opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def _open_now(self, path: str) -> DatasetReader:
        cached = self._cache.get(path) if self._cache else None
        return cached or open_image(path, self._reading)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}
