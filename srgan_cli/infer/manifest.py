"""What finished parts belong to: the facts on which the bytes of an output depend."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from srgan_cli import __version__
from srgan_cli.data.facts import transform_of
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.files import write_text
from srgan_cli.infer.archive import local_file
from srgan_cli.infer.cut import Cut
from srgan_cli.infer.network import Network
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.settle import Settled
from srgan_cli.infer.source import Source

_NAME = "manifest.json"
Facts = dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """The facts of an inference, and how its scene is cut."""

    facts: Facts
    cut: Cut

    def save(self, folder: Path) -> None:
        """Write it into a folder of parts, whole or not at all."""
        values = {"facts": self.facts, "cut": self.cut.as_dict()}
        write_text(folder / _NAME, json.dumps(values, indent=1))


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder of parts; None where there is none that can be read."""
    try:
        values = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return Manifest(dict(values["facts"]), Cut.from_dict(values["cut"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_manifest(folder: Path) -> None:
    """Remove it: the parts beside it belong to nothing then."""
    (folder / _NAME).unlink(missing_ok=True)


def gather_facts(
    source: Source,
    settled: Settled,
    network: Network,
    options: InferOptions,
    model: Mapping[str, Any],
    qa: bool | str,
) -> Facts:
    """Everything on which the stored values depend, under the names that users know.

    A file is known by its path, size and time of change, an address by what GDAL tells of it; of
    either a sample of the pixels counts as well. Compression and format are not among the facts:
    parts are stored without.
    """
    output, dataset = settled.output, source.dataset
    sample = settled.sample
    facts = {
        "version": __version__,
        **model,
        "input": source.path,
        "files": _files(source),
        "size": [dataset.width, dataset.height],
        **source.part,
        "transform": list(transform_of(dataset))[:6],
        "values": f"{sample.shape[1]} sampled, checksum {zlib.crc32(sample.tobytes()):08x}",
        "bands": [_label(dataset, band) for band in source.bands],
        "nodata": None if settled.quantiser.nodata is None else repr(settled.quantiser.nodata),
        "dtype": output.dtype,
        "mask": output.mask,
        "radiometry": settled.info.radiometry.as_dict(),
        "device": network.device.type,
        "precision": network.precision,
        "tile": options.tile_px,
        "halo": options.halo,
        "tolerance": options.tolerance,
        "qa": qa,
    }
    # As it comes back from the file: tuples are lists there.
    plain: Facts = json.loads(json.dumps(facts))
    return plain


def _label(dataset: DatasetReader, band: int) -> str:
    """Number and name: which bands a product has depends on its pixel size."""
    return f"{band} {dataset.descriptions[band - 1] or ''}".rstrip()


def refuse_changed_files(facts: Facts, source: Source) -> None:
    """Refuse what was read of files that are no longer what they were when it began.

    Raises:
        SrganError: One was changed or removed.
    """
    now = _files(source)
    if now == facts["files"]:
        return
    gone = [text for text in facts["files"] if text not in now]
    raise SrganError(
        f"{source.path}: changed while it was read; it was {', '.join(gone)}",
        "wait until it is complete, then discard what was made of it with --restart",
    )


def _files(source: Source) -> list[str]:
    """Name, size and time of change of the local files that the raster consists of."""
    found = []
    names = (source.path, *source.dataset.files)
    for path in dict.fromkeys(local_file(name) for name in names):
        if path.is_file():
            facts = path.stat()
            found.append(f"{path.resolve()} ({facts.st_size} bytes, changed {facts.st_mtime_ns})")
    return found


def refuse_other_facts(folder: Path, kept: Facts, now: Facts) -> None:
    """Refuse to go on with the parts of another inference, naming every fact that differs."""
    names = [name for name in {**kept, **now} if kept.get(name) != now.get(name)]
    if not names:
        return
    lines = [
        f"{name}: {_short(kept.get(name))} there, {_short(now.get(name))} now" for name in names
    ]
    raise RefusedError(
        f"{folder} holds finished parts of another inference:\n  " + "\n  ".join(lines),
        "repeat it with the same input, weights and options, or discard them with --restart",
    )


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)
