"""`srgan synth`: imagery for a first run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srgan_cli.cli import console


def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write scene_00.tif ... to.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of scenes.")] = 6,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Side of a scene in pixels.")] = 768,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same scenes.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")
    ] = False,
) -> None:
    """Make landscape-like GeoTIFFs to try srgan with: 4 bands, 2.5 m pixels, reflectance x 10000.

    \b
    srgan synth demo/scenes --count 8 --size 640
    """
    from srgan_cli.data.synthetic import make_scenes
    from srgan_cli.errors import RefusedError

    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"{folder} is a file", "name a folder")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise RefusedError(
            f"{folder} is not empty", "choose another folder, or write into it with --overwrite"
        )
    with console.progress("scenes", count) as bar:
        for path in make_scenes(folder, count, size, seed):
            bar.advance(text=path.name)
            console.answer(str(path))
