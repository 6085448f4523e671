"""What `srgan infer` and `srgan evaluate` can be told: the options, by subject.

Every name is a type for a parameter of a command, whose default stands in the command. Where no
other name is given, the parameter's own is that of the option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_MANY = "Many scenes"

# What both commands are given.

_WEIGHTS = typer.Option("--weights", "-w", help="Weights file of a run (.safetensors).")
Weights = Annotated[Path, _WEIGHTS]
MaybeWeights = Annotated[Path | None, _WEIGHTS]
Bidx = Annotated[
    list[str] | None,
    typer.Option("--bidx", "-b", help="Bands to read, from 1, in network order: 1,2,3."),
]

PrecisionName = Literal["auto", "fp32", "bf16"]

# Files and values.

Input = Annotated[
    str | None,
    typer.Argument(
        metavar="INPUT",
        help="LR raster: anything rasterio opens, or a Sentinel-2 product (.SAFE or its zip).",
    ),
]
Output = Annotated[Path | None, typer.Argument(metavar="OUTPUT", help="SR GeoTIFF to make.")]
Nodata = Annotated[
    float | None,
    typer.Option(help="Nodata value of input and output, where the input does not say so."),
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", "-t", help="Output dtype; default: as INPUT.")
]

# Which part of the scene.

Window = Annotated[
    str | None,
    typer.Option(metavar="COL,ROW,WIDTH,HEIGHT", help="Part to process, in LR pixels."),
]
Bbox = Annotated[
    str | None,
    typer.Option(
        metavar="WEST,SOUTH,EAST,NORTH",
        help="Part to process, in the CRS of INPUT; snaps outwards to whole LR pixels.",
    ),
]
BboxCrs = Annotated[str, typer.Option(metavar="CRS", help="CRS of --bbox, such as EPSG:4326.")]
Aoi = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.geojson",
        help="Polygons to process: their bounding box, and nodata outside of them.",
    ),
]
AoiBox = Annotated[
    bool, typer.Option("--aoi-box", help="Process all of the bounding box of --aoi.")
]

# How it is cut, and how the network runs.

Tile = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PX",
        help="LR pixels kept per tile, rounded up to a multiple of 16; default: by memory.",
    ),
]
Halo = Annotated[
    str,
    typer.Option(
        metavar="auto|exact|PX",
        help="Margin of every tile. auto: the receptive field up to 64 px, else measured.",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Error a measured halo may leave, in stored units; default: half a step.",
    ),
]
AttentionWindow = Annotated[
    str,
    typer.Option(
        metavar="trained|full|PX",
        help="Window that channel attention (rcab) averages over, in LR pixels. "
        "trained: as the weights file says. full: the whole input.",
    ),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Tiles per run of the network; default 1.")]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:N]|cuda:all",
        help="Several GPUs share the scene: cuda:0,cuda:1 or cuda:all.",
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        help="bf16 is slightly less exact, and faster on devices that have it; auto = fp32."
    ),
]

# What the output is made as, and what is made beside it.

Format = Annotated[
    Literal["gtiff", "cog"],
    typer.Option("--format", help="cog: cloud-optimised, with overviews."),
]
Compress = Annotated[
    Literal[
        "deflate", "zstd", "lzw", "lerc", "lerc_deflate", "lerc_zstd", "lzma", "packbits", "none"
    ],
    typer.Option(help="Compression of OUTPUT, at its fastest level."),
]
CreationOptions = Annotated[
    list[str] | None,
    typer.Option("--co", metavar="NAME=VALUE", help="GDAL creation option; repeatable."),
]
Qa = Annotated[bool, typer.Option("--qa/--no-qa", help="Measure how well SR agrees with LR.")]
QaMaxBias = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="VALUE",
        help="Exit 1 where a band of SR differs more from LR on average, in stored units.",
    ),
]
Quicklook = Annotated[
    bool, typer.Option("--quicklook", help="Make a PNG beside OUTPUT, 2-98 % stretched.")
]
QuicklookPath = Annotated[
    str | None, typer.Option(metavar="FILE.png", help="Make the PNG under this name.")
]
QgisStyle = Annotated[
    bool, typer.Option("--qgis-style", help="Make a QGIS style (.qml) beside OUTPUT.")
]

# Many scenes.

SceneList = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Many scenes: CSV with `input[,output][,options]`, list of paths, folder, pattern.",
        rich_help_panel=_MANY,
    ),
]
OutDir = Annotated[
    Path | None,
    typer.Option(help="Where outputs of --manifest go.", rich_help_panel=_MANY),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Part I, from 0, of N parts; default: as SLURM, AWS Batch or torchrun say.",
        rich_help_panel=_MANY,
    ),
]
Collect = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="What became of the scenes of an --out-dir.",
        rich_help_panel=_MANY,
    ),
]

# How the command goes about it.

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        " /--restart",
        help="Go on with what an interrupted run of this command finished, or discard it.",
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Go on where values do not fit the weights or disk is short."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Plan and time it, write nothing.")]
