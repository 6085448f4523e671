"""What is to be made: the output, how it is laid out, and the files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srgan_cli.infer.layout import Layout
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.place import refuse_output, refuse_same_file, written_through
from srgan_cli.infer.quicklook import Companions
from srgan_cli.infer.source import Source


@dataclass(frozen=True)
class Target:
    """An output that may be made."""

    named: Path
    """What the user calls it, which may be a symbolic link."""
    output: Path
    """The file itself."""
    layout: Layout
    companions: Companions

    @staticmethod
    def of(dst: str | Path, options: InferOptions) -> Target:
        """The output of that name, as the options ask for it.

        Raises:
            RefusedError: It cannot be laid out so, something is there already, or there is no
                folder for it.
        """
        named = Path(dst)
        output = written_through(named)
        if ":" in str(output):
            # GDAL takes `s3:a.tif` for an address, but no path from the root.
            output = output.absolute()
        layout = Layout(options.compress.lower(), options.creation_options, options.format)
        target = Target(named, output, layout, Companions.of(named, options))
        for path in target.paths:
            refuse_output(path, options.overwrite or options.dry_run)
        return target

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of all files that will be there."""
        return (self.output, *map(written_through, self.companions.paths))

    def refuse_input(self, source: Source, aoi: str | None) -> None:
        """Refuse to put any file in place of the input, of what it is made of, or of the polygons."""
        for path in self.paths:
            refuse_same_file(source, path, aoi)
