"""Which rasters still hold what the network wrote: not pictures for the screen, not lossy copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from srgan_cli.errors import RefusedError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SUFFIXES: Final = (
    ".tif", ".tiff", ".vrt", ".img", ".jp2", ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp",
)  # fmt: skip
"""What is taken for a raster; those among them that cannot be judged are refused with the reason."""

_HINT = "give the GeoTIFF as the network wrote it"
_FOR_THE_SCREEN = ("PNG", "GIF", "BMP")


def refuse_pictures_for_the_screen(dataset: DatasetReader, path: Path) -> None:
    """Refuse what was compressed with losses, warped, or stretched for the screen.

    Raises:
        RefusedError: With the reason.
    """
    from rasterio.enums import ColorInterp

    lossy = _lossy(dataset)
    if lossy:
        raise RefusedError(
            f"{path} is compressed with losses ({lossy}): a pattern of less than 1 % does not "
            "survive that, and compression leaves blocks of its own",
            _HINT,
        )
    if dataset.driver in _FOR_THE_SCREEN:
        raise RefusedError(
            f"{path} is a {dataset.driver}, a picture for the screen: stretched, rounded, perhaps "
            "resampled",
            _HINT,
        )
    if _is_warped(dataset, path):
        raise RefusedError(
            f"{path} is a warped VRT: resampled on reading, which wipes the upsampling grid out",
            _HINT,
        )
    colours = dataset.colorinterp
    if ColorInterp.palette in colours:
        raise RefusedError(f"{path} has a colour table: its numbers are no measurements", _HINT)
    if ColorInterp.alpha in colours and dataset.dtypes[0] == "uint8":
        raise RefusedError(
            f"{path} is an 8-bit picture with an alpha band: a quicklook, stretched and often "
            "resampled",
            _HINT,
        )


def _lossy(dataset: DatasetReader) -> str:
    """Name of a compression that loses something; empty where none does."""
    facts = dataset.tags(ns="IMAGE_STRUCTURE")
    compression = facts.get("COMPRESSION", "").upper()
    reversible = facts.get("COMPRESSION_REVERSIBILITY", "").upper()
    if reversible.startswith("LOSSLESS"):
        return ""
    if dataset.driver in ("JPEG", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "WEBP", "ECW", "MrSID"):
        return str(dataset.driver)
    if any(word in compression for word in ("JPEG", "WEBP", "JXL", "JPEG2000")):
        return str(compression)
    if "LERC" in compression and float(facts.get("MAX_Z_ERROR", 0)) > 0:
        return f"LERC with MAX_Z_ERROR {facts['MAX_Z_ERROR']}"
    return ""


def _is_warped(dataset: DatasetReader, path: Path) -> bool:
    if dataset.driver != "VRT":
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return "VRTWarpedDataset" in text or "resampling=" in text.lower()
