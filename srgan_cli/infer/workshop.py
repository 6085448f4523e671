"""The folder beside an output in which it is made: `OUTPUT.srgan`, gone when the output is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srgan_cli.data.finding import WORKSHOP
from srgan_cli.errors import RefusedError
from srgan_cli.files import is_temporary
from srgan_cli.infer.manifest import (
    Facts,
    Manifest,
    load_manifest,
    refuse_other_facts,
    remove_manifest,
)
from srgan_cli.infer.parts import Part, load_parts, remove_parts
from srgan_cli.infer.place import remove_sidecars
from srgan_cli.lock import locked

UNFINISHED = "writing.tif"
_BEGINNING = UNFINISHED.removesuffix("tif")
"""What files begin with that are of no use once their process has ended; GDAL puts some beside."""
_LOCK = "lock"
_WRITER, _WAY_OUT = "srgan infer", "choose another OUTPUT"


class Workshop:
    """The folder; locked, so that no second process works in it."""

    def __init__(self, output: Path) -> None:
        self.folder = folder_of(output)
        self.assembled = self.folder / "assembled.tif"
        """All parts in one file, before it gets its name or becomes a COG."""
        self.writing = self.folder / UNFINISHED
        """A file that is not finished."""
        self.trial = self.folder / f"{UNFINISHED}.cog"
        """A small one."""

    def resume(self, facts: Facts) -> tuple[Manifest | None, list[Part], list[str]]:
        """What there is to go on with: manifest, parts, and names of damaged parts.

        Raises:
            RefusedError: It belongs to another inference.
        """
        self.remove_unfinished()
        manifest = load_manifest(self.folder)
        if manifest is None:
            self.clear()
            return None, [], []
        refuse_other_facts(self.folder, manifest.facts, facts)
        parts, damaged = load_parts(self.folder)
        return manifest, parts, damaged

    def remove_unfinished(self) -> None:
        """Remove what a killed process was writing."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if is_temporary(path.name) or path.name.startswith(_BEGINNING):
                path.unlink(missing_ok=True)
        remove_sidecars(self.assembled)

    def clear(self) -> None:
        """Discard everything that is finished; first what makes it count."""
        remove_manifest(self.folder)
        remove_parts(self.folder)
        self.assembled.unlink(missing_ok=True)
        self.assembled.with_suffix(".json").unlink(missing_ok=True)
        self.remove_unfinished()

    def remove(self) -> None:
        """Remove the folder, unless somebody put other files there."""
        self.clear()
        (self.folder / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()


def folder_of(output: Path) -> Path:
    """Where an output is made."""
    return output.with_name(output.name + WORKSHOP)


def refuse_in_work(output: Path) -> None:
    """Refuse an output that another process makes at this moment."""
    lock = folder_of(output) / _LOCK
    if lock.exists():
        with locked(lock, _WRITER, _WAY_OUT):
            pass


@contextmanager
def opened(output: Path) -> Iterator[Workshop]:
    """The workshop of an output, locked while the block runs.

    Raises:
        RefusedError: Another process makes this output, or the folder cannot be used.
    """
    shop = Workshop(output)
    if shop.folder.exists() and not shop.folder.is_dir():
        raise RefusedError(f"{shop.folder}: a file where parts go", "choose another OUTPUT")
    with locked(shop.folder / _LOCK, _WRITER, _WAY_OUT):
        yield shop
