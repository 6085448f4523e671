"""What a weights file or a checkpoint is, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srgan_cli.errors import RefusedError
from srgan_cli.export.importing import ImportOptions, read_checkpoint
from srgan_cli.models import Generator, registry_name
from srgan_cli.weights import WeightsInfo, is_weights_file, load_generator

SPANDREL_GROWTH = 32
"""Spandrel takes the growth of an RRDBNet for granted."""


def file_facts(path: Path) -> dict[str, Any]:
    """All that is known of a weights file or a checkpoint, as plain values for JSON.

    Raises:
        RefusedError: It is neither, or it is damaged.
    """
    if is_weights_file(path):
        generator, info = load_generator(path)
        tensors = len(generator.state_dict())
        return {
            "file": str(path),
            "kind": "weights file of srgan",
            **generator_facts(generator, info),
            "tensors": tensors,
            "left_out": [],
            "assumed": [],
            "notes": [],
        }
    imported = read_checkpoint(path, ImportOptions())
    checkpoint, info = imported.checkpoint, imported.info
    notes = [*checkpoint.notes]
    if checkpoint.ema and checkpoint.raw:
        notes.append("holds both the weights as trained and their moving average")
    left_out = [*checkpoint.left_out]
    if checkpoint.discriminator:
        left_out.insert(0, f"discriminator of {len(checkpoint.discriminator)} tensors")
    return {
        "file": str(path),
        "kind": checkpoint.kind,
        **generator_facts(imported.generator(), info),
        "version": info.version if checkpoint.info is not None else None,
        "tensors": len(imported.tensors),
        "left_out": left_out,
        "assumed": [*imported.assumed],
        "notes": notes,
    }


def generator_facts(generator: Generator, info: WeightsInfo) -> dict[str, Any]:
    """What a network is and needs."""
    spec = info.spec
    return {
        "network": registry_name(spec),
        "generator": spec.as_dict(),
        "scale": spec.scale,
        "in_bands": spec.in_bands,
        "out_bands": spec.out_bands,
        "band_names": list(info.band_names),
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "receptive_field_px": generator.receptive_field_px(),
        "averages_over_input": generator.pools_globally,
        "attention_window_px": generator.window_px,
        "size_multiple_px": generator.size_multiple,
        "bf16": generator.bf16,
        "channels_last": generator.channels_last,
        "global_skip": spec.global_skip,
        "radiometry": info.radiometry.as_dict(),
        "train_lr_px": info.train_lr_px,
        "gsd_m": info.gsd_m,
        "step": info.step,
        "ema": info.ema,
        "version": info.version,
        "spandrel": why_not_spandrel(info) is None,
        "why_not_spandrel": why_not_spandrel(info),
    }


def why_not_spandrel(info: WeightsInfo) -> str | None:
    """Why spandrel and chaiNNer cannot open these weights and get the same output; None if they can."""
    spec = info.spec
    if spec.model_type != "rrdbnet":
        return f"they know RRDBNet (model_type rrdbnet), not {registry_name(spec)}"
    if spec.global_skip != "none":
        return f"global_skip {spec.global_skip} is unknown to them and would be left out in silence"
    if spec.growth_channels != SPANDREL_GROWTH:
        return f"they take growth_channels {SPANDREL_GROWTH} for granted, this is {spec.growth_channels}"
    folded = spec.in_bands * spec.fold**2
    implied = next((fold for fold in (2, 4) if folded == spec.out_bands * fold**2), 1)
    if implied != spec.fold:
        return f"they take {folded} input channels for {spec.out_bands} bands folded by {implied}"
    return None


def facts_text(facts: dict[str, Any]) -> str:
    """The facts in a dozen lines."""
    rows = [
        ("file", f"{facts['file']}: {facts['kind']}"),
        ("network", _network(facts)),
        ("bands", _bands(facts)),
        ("radiometry", _radiometry(facts["radiometry"])),
        ("looks at", _field(facts)),
        ("trained", _trained(facts)),
        ("weights", "moving average (EMA)" if facts["ema"] else "as trained, no moving average"),
        ("runs in", _runs_in(facts)),
        ("chaiNNer", "opens it (spandrel: ESRGAN)" if facts["spandrel"] else _no(facts)),
    ]
    for key, title in (("left_out", "left out"), ("assumed", "assumed"), ("notes", "note")):
        rows += [(title, text) for text in facts[key]]
    return "\n".join(f"{title:<11}{text}" for title, text in rows)


def _no(facts: dict[str, Any]) -> str:
    return f"cannot open it: {facts['why_not_spandrel']}"


def _network(facts: dict[str, Any]) -> str:
    spec = facts["generator"]
    parts = [
        facts["network"],
        f"x{facts['scale']}",
        f"{spec['n_channels']} channels",
        f"{spec['n_blocks']} blocks",
        f"{facts['parameters']:,} parameters in {facts['tensors']} tensors",
    ]
    if spec["global_skip"] != "none":
        parts.insert(2, f"over a {spec['global_skip']} skip")
    if spec["fold"] > 1:
        parts.insert(2, f"input folded by {spec['fold']}")
    return ", ".join(parts)


def _bands(facts: dict[str, Any]) -> str:
    names = ", ".join(facts["band_names"])
    if facts["out_bands"] == facts["in_bands"]:
        return f"{facts['in_bands']}: {names}"
    return f"{facts['in_bands']} in ({names}), {facts['out_bands']} out"


def _radiometry(values: dict[str, Any]) -> str:
    return (
        f"{values['name']}: network = stored * {_numbers(values['scale'])} "
        f"+ {_numbers(values['offset'])}"
    )


def _numbers(value: float | list[float]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(f'{each:g}' for each in value)}]"
    return f"{value:g}"


def _field(facts: dict[str, Any]) -> str:
    field = facts["receptive_field_px"]
    text = "all of its input" if field is None else f"{field} LR pixels to every side"
    if facts["averages_over_input"]:
        window = facts["attention_window_px"]
        text += (
            f"; channel attention averages over {window} x {window} LR pixels"
            if window
            else "; channel attention averages over it (srgan infer --attention-window PX)"
        )
    return text


def _trained(facts: dict[str, Any]) -> str:
    crop = facts["train_lr_px"]
    parts = [f"{facts['step']} steps" if facts["step"] else "number of steps unknown"]
    parts.append(f"LR crops of {crop} px" if crop else "LR crops of unknown size")
    parts.append(f"HR pixels of {facts['gsd_m']:g} m" if facts["gsd_m"] else "pixel size unknown")
    if facts["version"]:
        parts.append(f"srgan {facts['version']}")
    return ", ".join(parts)


def _runs_in(facts: dict[str, Any]) -> str:
    kinds = "float32 or bfloat16" if facts["bf16"] else "float32 only"
    layout = "channels last" if facts["channels_last"] else "contiguous"
    multiple = facts["size_multiple_px"]
    size = "any size" if multiple == 1 else f"any size, tiles at multiples of {multiple} px"
    return f"{kinds}, {layout}, {size}"


def refuse_directory(path: Path) -> None:
    """A run folder has several weights files; name them."""
    if path.is_dir():
        files = sorted(path.glob("weights/*.safetensors")) + sorted(path.glob("checkpoints/*.pt"))
        names = ", ".join(str(file) for file in files[:6])
        raise RefusedError(
            f"{path}: a folder, not a weights file",
            f"give one of {names}" if names else "give a .safetensors file or a checkpoint",
        )
