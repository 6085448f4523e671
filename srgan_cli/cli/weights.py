"""`srgan weights` and `srgan import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from srgan_cli.errors import RefusedError


def weights(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Weights file (.safetensors) or checkpoint of any kind."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Say what a weights file or checkpoint is: network, bands, scale, radiometry, what it needs.

    \b
    srgan weights runs/exp1/weights/ema.safetensors
    srgan weights RealESRGAN_x4plus.pth --json
    """
    from srgan_cli.cli import console
    from srgan_cli.export.facts import facts_text, file_facts, refuse_directory

    refuse_directory(file)
    facts = file_facts(file)
    console.answer(json.dumps(facts, indent=2) if as_json else facts_text(facts))


def import_weights(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="OpenSR-SRGAN .ckpt, BasicSR or Real-ESRGAN .pth, state dict, or checkpoint of a run.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="Weights file to make (.safetensors).")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML it was trained with: radiometry, band names."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The weights as trained, not their moving average.")
    ] = False,
    normalization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Radiometry, as Data.normalization; wins over --config."),
    ] = None,
    band_names: Annotated[
        str | None, typer.Option(metavar="B04,B03,...", help="Names of the bands in network order.")
    ] = None,
    train_lr_px: Annotated[
        int | None,
        typer.Option(
            "--train-lr-px",
            min=1,
            metavar="PX",
            help="Side of the LR crops it was trained on: the window of channel attention (rcab).",
        ),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, help="Scale of an RRDBNet whose shapes leave it open.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace WEIGHTS.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Make a weights file out of another tool's checkpoint, or out of a checkpoint of a run.

    The network is recognised from its tensors; every one of them must fit. Nothing but tensors is
    unpickled.

    \b
    srgan import model.ckpt weights.safetensors --config config_10m.yaml
    srgan import RealESRGAN_x4plus.pth weights.safetensors
    srgan import runs/exp1/checkpoints/last.pt raw.safetensors --raw
    """
    from srgan_cli.cli import console
    from srgan_cli.export.importing import ImportOptions, import_checkpoint, report

    refuse_output(checkpoint, output, overwrite)
    names = [name.strip() for name in (band_names or "").split(",") if name.strip()]
    options = ImportOptions(config, raw, normalization, tuple(names), train_lr_px, scale)
    imported = import_checkpoint(checkpoint, output, options)
    for text in imported.assumed:
        console.warn(f"assumed: {text}")
    found = report(imported)
    if as_json:
        console.answer(json.dumps({"output": str(output), **found}, indent=2))
        return
    console.note(describe(found))
    console.answer(str(output))


def refuse_output(checkpoint: Path, output: Path, overwrite: bool) -> None:
    """Refuse to write over a file, or under a name that `infer` would not take for weights."""
    if output.suffix != ".safetensors":
        raise RefusedError(f"{output}: weights files end in .safetensors", "name it so")
    if output.exists() and checkpoint.exists() and output.samefile(checkpoint):
        raise RefusedError(f"{output}: is the checkpoint itself", "give another name")
    if output.exists() and not overwrite:
        raise RefusedError(f"{output} exists", "use --overwrite, or another name")


def describe(found: dict[str, Any]) -> str:
    """What was found, used and left out."""
    spec = found["generator"]
    step = f", {found['step']} generator updates" if found["step"] else ""
    name = spec["model_type"]
    if name == "SRResNet":
        name += f" {spec['block_type']}"
    kept = "the moving average (EMA)" if found["ema"] else "the weights as trained"
    lines = [
        f"found     {found['kind']}{step}",
        f"network   {name}, x{spec['scale']}, {spec['in_bands']} -> {spec['out_bands']} bands, "
        f"{spec['n_channels']} channels, {spec['n_blocks']} blocks",
        f"weights   {kept}: {found['tensors']} tensors, {found['parameters']:,} parameters",
    ]
    if found["discriminator_tensors"]:
        lines.append(f"left out  discriminator: {found['discriminator_tensors']} tensors")
    for key, title in (("left_out", "left out"), ("notes", "note")):
        lines += [f"{title:<8}  {text}" for text in found[key]]
    return "\n".join(lines)
