"""Options as people write them, on the command line and in lists of scenes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from srgan_cli.errors import RefusedError
from srgan_cli.infer.options import AUTO_HALO, EXACT_HALO, InferOptions


def parse_bidx(texts: list[str]) -> tuple[int, ...]:
    """Band numbers of `--bidx 1,2 --bidx 3`."""
    parts = [part.strip() for text in texts for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal() or int(part) == 0]
    if wrong:
        raise RefusedError(f"--bidx {wrong[0]!r}: not a band number", "bands count from 1: 1,2,3")
    return tuple(int(part) for part in parts)


def parse_window(text: str) -> tuple[int, int, int, int]:
    """Column, row, width and height of `--window 0,0,512,512`."""
    try:
        col, row, width, height = (int(part) for part in _parts(text))
    except ValueError:
        raise RefusedError(
            f"--window {text}: not COL,ROW,WIDTH,HEIGHT",
            "four whole numbers of LR pixels, for example --window 0,0,512,512",
        ) from None
    return col, row, width, height


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """West, south, east and north of `--bbox 500000,3990000,510000,4000000`."""
    try:
        west, south, east, north = (float(part) for part in _parts(text))
    except ValueError:
        raise RefusedError(
            f"--bbox {text}: not WEST,SOUTH,EAST,NORTH",
            "four numbers in the raster's CRS, or in that of --bbox-crs",
        ) from None
    return west, south, east, north


def _parts(text: str) -> list[str]:
    """Commas or, as GDAL's tools have it, blanks."""
    return text.replace(",", " ").split()


def parse_halo(text: str) -> str | int:
    """`auto`, `exact` or LR pixels of `--halo`."""
    if text in (AUTO_HALO, EXACT_HALO):
        return text
    if not text.isdecimal():
        raise RefusedError(f"--halo {text}: unknown", "use auto, exact or a number of LR pixels")
    return int(text)


def parse_attention_window(text: str) -> int | Literal["trained", "full"]:
    """The window of `--attention-window`."""
    if text == "trained":
        return "trained"
    if text == "full":
        return "full"
    if not text.isdecimal() or int(text) == 0:
        raise RefusedError(
            f"--attention-window {text}: unknown", "use trained, full or a number of LR pixels"
        )
    return int(text)


def parse_creation_options(texts: list[str]) -> dict[str, str]:
    """Names in capitals and values of `--co NAME=VALUE`."""
    wrong = [text for text in texts if not text.partition("=")[0] or "=" not in text]
    if wrong:
        raise RefusedError(f"--co {wrong[0]}: not NAME=VALUE", "for example --co BIGTIFF=YES")
    pairs = (text.split("=", 1) for text in texts)
    return {name.upper(): value for name, value in pairs}


def _number(name: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise RefusedError(
                f"{name} {text!r}: not a number", "leave it empty for none"
            ) from None

    return parse


def _yes(text: str) -> bool:
    known = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
    if text.lower() not in known:
        raise RefusedError(f"aoi_box {text!r}: neither yes nor no", "write yes or no")
    return known[text.lower()]


SCENE_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "bidx": lambda text: parse_bidx([text]),
    "nodata": _number("nodata"),
    "dtype": str,
    "window": parse_window,
    "bbox": parse_bbox,
    "bbox_crs": str,
    "aoi": str,
    "aoi_box": _yes,
    "halo": parse_halo,
    "tolerance": _number("tolerance"),
    "qa_max_bias": _number("qa_max_bias"),
    "compress": str,
}
"""Options that a list of scenes can set for each of them, by column."""


def with_scene_options(options: InferOptions, texts: Mapping[str, str]) -> InferOptions:
    """The options with those that a scene sets itself; empty texts set none.

    Raises:
        RefusedError: A text is not what its option takes.
    """
    own = {name: SCENE_OPTIONS[name](text) for name, text in texts.items() if text}
    # One kind of area replaces another.
    if own.keys() & {"window", "bbox", "aoi"}:
        options = dataclasses.replace(options, window=None, bbox=None, aoi=None)
    return dataclasses.replace(options, **own)
