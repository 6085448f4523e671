"""A weights file out of another tool's checkpoint, or out of a checkpoint of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from srgan_cli.config import RunConfig
from srgan_cli.config.load import load_networks
from srgan_cli.data.radiometry import RADIOMETRIES, Radiometry, build_radiometry
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.models import Generator, GeneratorSpec, build_generator, generator_spec
from srgan_cli.peers.containers import Checkpoint, open_checkpoint
from srgan_cli.peers.recognise import Recognised, recognise
from srgan_cli.peers.renaming import modern_generator
from srgan_cli.weights import WeightsInfo, check_tensors, save_weights

_ASSUMED_RADIOMETRY = {"rrdbnet": "uint8"}
_PEERS_RADIOMETRY = "normalise_10k"
"""Of OpenSR-SRGAN's shipped configurations; BasicSR and Real-ESRGAN know 8 bits only."""


@dataclass(frozen=True)
class ImportOptions:
    """What a checkpoint does not say of itself."""

    config: Path | None = None
    """The YAML file that the network was trained with."""
    raw: bool = False
    """Take the weights as trained although there is a moving average."""
    normalization: str | None = None
    """Name of the radiometry; default: from `config`, else the usual one of the tool."""
    band_names: tuple[str, ...] = ()
    train_lr_px: int | None = None
    """Side of the LR crops it was trained on; channel attention averages over such a window."""
    scale: int | None = None
    """Settles what the shapes of an RRDBNet leave open."""


@dataclass(frozen=True)
class Imported:
    """What was found in a checkpoint, and what became of it."""

    checkpoint: Checkpoint
    tensors: dict[str, Tensor]
    info: WeightsInfo
    assumed: tuple[str, ...]
    """What nothing said and the file now says all the same."""

    def generator(self) -> Generator:
        """The network with these weights, in eval mode on the CPU."""
        generator = build_generator(self.info.spec)
        generator.load_state_dict(self.tensors)
        generator.pool_locally_(self.info.train_lr_px)
        return generator.eval()

    @property
    def num_parameters(self) -> int:
        """Learned numbers; running statistics do not count."""
        with torch.device("meta"):
            return sum(p.numel() for p in build_generator(self.info.spec).parameters())


def read_checkpoint(path: Path, options: ImportOptions) -> Imported:
    """The generator in a checkpoint as weights of ours, checked strictly, not yet written.

    Raises:
        RefusedError: The checkpoint, or what is said of it, cannot be used.
    """
    checkpoint = open_checkpoint(path)
    if checkpoint.info is not None:
        return _own(checkpoint, options)
    config, keys = load_networks(options.config) if options.config else (None, frozenset[str]())
    if config is not None and _never_averaged(checkpoint, config, keys):
        note = "EMA.update_after_step was not reached: the weights as trained are taken"
        checkpoint = replace(checkpoint, ema={}, notes=(*checkpoint.notes, note))
    tensors, ema = checkpoint.generator(options.raw)
    tensors = modern_generator(tensors)
    found = recognise(tensors, options.scale)
    spec, assumed = _spec(found, config, keys, options)
    radiometry, guessed = _radiometry(spec, config, keys, options)
    info = WeightsInfo(
        spec=spec,
        radiometry=radiometry,
        band_names=_band_names(spec, config, options),
        train_lr_px=options.train_lr_px or _crop_px(spec, config, keys),
        gsd_m=None,
        step=checkpoint.step or 0,
        ema=ema,
    )
    checkpoint = replace(checkpoint, notes=(*checkpoint.notes, *found.notes))
    return Imported(checkpoint, _checked(path, tensors, spec), info, (*assumed, *guessed))


def import_checkpoint(path: Path, output: Path, options: ImportOptions) -> Imported:
    """`read_checkpoint`, then write the weights file, whole or not at all.

    Raises:
        RefusedError: As `read_checkpoint`, or `output` has no folder.
        SrganError: `output` cannot be written.
    """
    if not output.parent.is_dir():
        raise RefusedError(f"{output}: there is no folder {output.parent}", "make it first")
    imported = read_checkpoint(path, options)
    try:
        save_weights(output, imported.tensors, imported.info)
    except (OSError, SafetensorError) as err:
        raise SrganError(
            f"cannot write {output}: {err}", "make room, or choose a folder that can be written to"
        ) from err
    return imported


def _checked(path: Path, tensors: dict[str, Tensor], spec: GeneratorSpec) -> dict[str, Tensor]:
    with torch.device("meta"):
        expected = build_generator(spec).state_dict()
    check_tensors(str(path), tensors, expected, "is it a checkpoint of a variant of this network?")
    return {
        name: tensors[name].to(torch.float32) if wanted.is_floating_point() else tensors[name]
        for name, wanted in expected.items()
    }


def _own(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """A checkpoint of a run carries the header of its weights files."""
    given = {
        "--config": options.config,
        "--normalization": options.normalization,
        "--band-names": options.band_names,
        "--train-lr-px": options.train_lr_px,
        "--scale": options.scale,
    }
    needless = [name for name, value in given.items() if value]
    if needless:
        raise RefusedError(
            f"{needless[0]}: {checkpoint.path} says so itself",
            "leave it out, and see srgan weights",
        )
    try:
        info = WeightsInfo.from_dict(checkpoint.info or {})
    except (KeyError, TypeError, ValueError) as err:
        raise RefusedError(
            f"{checkpoint.path}: damaged header ({type(err).__name__}: {err})",
            "use another file of checkpoints/",
        ) from err
    tensors, ema = checkpoint.generator(options.raw)
    info = replace(info, step=checkpoint.step or 0, ema=ema)
    return Imported(checkpoint, _checked(checkpoint.path, tensors, info.spec), info, ())


def _never_averaged(checkpoint: Checkpoint, config: RunConfig, keys: frozenset[str]) -> bool:
    """Before `update_after_step` the peer's average holds its random start."""
    start = config.training.ema.update_after_step
    given = "Training.EMA.update_after_step" in keys
    return given and bool(checkpoint.ema) and (checkpoint.step or start) < start


def _spec(
    found: Recognised, config: RunConfig | None, keys: frozenset[str], options: ImportOptions
) -> tuple[GeneratorSpec, list[str]]:
    if config is None:
        spec = found.spec()
        assumed = [f"{name} {getattr(spec, name)}" for name in found.assumed]
        return spec, assumed
    said = generator_spec(config)
    others = {name: getattr(said, name) for name in found.assumed}
    _refuse_contradictions(found, said, keys, options)
    given = {name: f"Generator.{name}" in keys for name in found.assumed}
    spec = found.spec(**others)
    return spec, [f"{name} {others[name]}" for name in found.assumed if not given[name]]


_KEYS = {"in_bands": "Model.in_bands", "scale": "Generator.scaling_factor"}
_NOT_COMPARED = ("model_type", "block_type", "out_bands", "fold")
"""Names have aliases, and the tensors know better; the others are not in a configuration."""


def _refuse_contradictions(
    found: Recognised, said: GeneratorSpec, keys: frozenset[str], options: ImportOptions
) -> None:
    wrong = []
    for name, value in found.values.items():
        key = _KEYS.get(name, f"Generator.{name}")
        if name not in _NOT_COMPARED and key in keys and getattr(said, name) != value:
            wrong.append(f"{key} is {getattr(said, name)}, the checkpoint has {value}")
    if wrong:
        raise RefusedError(
            f"{options.config}: {'; '.join(wrong)}",
            "give the configuration it was trained with, or leave --config out: the shapes tell "
            "everything but the radiometry",
        )


def _radiometry(
    spec: GeneratorSpec, config: RunConfig | None, keys: frozenset[str], options: ImportOptions
) -> tuple[Radiometry, Sequence[str]]:
    if options.normalization is not None:
        return _named_radiometry(options.normalization), ()
    if config is not None and "Data.normalization" in keys:
        said = build_radiometry(config.data.normalization)
        if said is None:
            raise RefusedError(
                f"{options.config}: Data.normalization is to be fitted, and its numbers are not there",
                "give the config.yaml of the run folder, or --normalization",
            )
        return said, ()
    name = _ASSUMED_RADIOMETRY.get(spec.model_type, _PEERS_RADIOMETRY)
    return RADIOMETRIES[name], [f"radiometry {name} (--normalization sets another)"]


def _named_radiometry(name: str) -> Radiometry:
    if name not in RADIOMETRIES:
        raise RefusedError(f"--normalization {name}: unknown", f"known: {', '.join(RADIOMETRIES)}")
    return RADIOMETRIES[name]


def _band_names(
    spec: GeneratorSpec, config: RunConfig | None, options: ImportOptions
) -> tuple[str, ...]:
    names: Sequence[str] = options.band_names
    if names and len(names) != spec.in_bands:
        raise RefusedError(
            f"--band-names: {len(names)} names, the network has {spec.in_bands} bands",
            "name every band, in the order in which the network sees them",
        )
    if not names and config is not None and len(config.data.band_names) == spec.in_bands:
        names = config.data.band_names
    return tuple(names) or tuple(f"band {number + 1}" for number in range(spec.in_bands))


def _crop_px(spec: GeneratorSpec, config: RunConfig | None, keys: frozenset[str]) -> int | None:
    if config is None or "Data.hr_crop_px" not in keys:
        return None
    return config.data.hr_crop_px // spec.scale


def report(imported: Imported) -> dict[str, Any]:
    """What was found, as plain values for JSON."""
    checkpoint, info = imported.checkpoint, imported.info
    return {
        "checkpoint": str(checkpoint.path),
        "kind": checkpoint.kind,
        "step": checkpoint.step,
        "tensors": len(imported.tensors),
        "parameters": imported.num_parameters,
        "ema": info.ema,
        "has_ema": bool(checkpoint.ema),
        "has_raw": bool(checkpoint.raw),
        "generator": info.spec.as_dict(),
        "radiometry": info.radiometry.as_dict(),
        "band_names": list(info.band_names),
        "train_lr_px": info.train_lr_px,
        "discriminator_tensors": len(checkpoint.discriminator),
        "left_out": list(checkpoint.left_out),
        "assumed": list(imported.assumed),
        "notes": list(checkpoint.notes),
    }
