"""What lies in a checkpoint file. Nothing but tensors and plain values is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from srgan_cli.errors import RefusedError
from srgan_cli.peers.renaming import without_wrappers

Tensors = dict[str, Tensor]

_AVERAGES = ("params_ema", "params-ema", "g_ema")
_PLAIN = ("params", "state_dict", "model_state_dict", "model", "net_g", "generator")
"""Top-level keys under which tools of the field put the weights."""
_GENERATOR, _DISCRIMINATOR = "generator.", "discriminator."
_RECEIPTS = {
    "optimizer_states": "optimizers",
    "lr_schedulers": "schedulers",
    "callbacks": "callbacks",
    "loops": "loops",
    "optimizer_g": "optimizer of G",
    "optimizer_d": "optimizer of D",
}
"""What else checkpoints hold, in words."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a checkpoint, by part."""

    path: Path
    kind: str
    """In words, for a person."""
    raw: Tensors
    """The generator as it was trained; may be empty where there is an average."""
    ema: Tensors = field(default_factory=dict)
    """Its moving average; empty where the file has none or never updated it."""
    discriminator: Tensors = field(default_factory=dict)
    step: int | None = None
    """Generator updates."""
    info: dict[str, Any] | None = None
    """The header of a weights file, as runs put it into their checkpoints."""
    left_out: tuple[str, ...] = ()
    """What else is in the file."""
    notes: tuple[str, ...] = ()

    def generator(self, raw: bool = False) -> tuple[Tensors, bool]:
        """The generator's tensors, and whether they are the average, which is preferred.

        Raises:
            RefusedError: `raw` is asked for, and the file holds the average alone.
        """
        if self.ema and not raw:
            return self.ema, True
        if not self.raw:
            raise RefusedError(
                f"{self.path}: holds the moving average alone, no weights as trained",
                "leave out --raw",
            )
        return self.raw, False


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file: Lightning's, a run's, BasicSR's, or a plain state dict.

    Also safetensors files without a header of ours.

    Raises:
        RefusedError: The file is missing or damaged, would run code, or holds no generator.
    """
    content = _load(path)
    if not isinstance(content, Mapping):
        raise RefusedError(
            f"{path}: holds a {type(content).__name__}, not a dictionary of tensors",
            "save the network's state_dict() instead of the network",
        )
    for reader in (_run_checkpoint, _lightning, _wrapped, _plain_state):
        found = reader(path, content)
        if found is not None:
            return _with_generator(found)
    raise RefusedError(
        f"{path}: no weights under any name known here; it holds {_keys(content)}",
        f"save the generator's state_dict() alone, or under one of {', '.join(_PLAIN)}",
    )


def _with_generator(found: Checkpoint) -> Checkpoint:
    if found.raw or found.ema:
        return found
    raise RefusedError(
        f"{found.path}: {found.kind} without a generator",
        "give a checkpoint with the generator's weights",
    )


def _load(path: Path) -> Any:
    if path.is_dir():
        raise RefusedError(f"{path}: a folder, not a checkpoint", "give the file in it")
    if not path.is_file():
        raise RefusedError(f"{path}: no such file", "check the path of the checkpoint")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as err:
        raise RefusedError(f"{path}: cannot be read ({err.strerror})", "check its rights") from err
    if head[8:] == b"{":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as err:
            raise RefusedError(
                f"{path}: damaged safetensors file ({err})", "copy it again"
            ) from err
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch.load raises many kinds for what it does not like
        raise _unloadable(path, err) from err


def _unloadable(path: Path, err: Exception) -> RefusedError:
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # a file that is no archive has no such list
        unsafe = []
    if unsafe:
        return RefusedError(
            f"{path}: holds Python objects beside tensors ({', '.join(unsafe[:3])}), and loading "
            "them can run code",
            "where you trust it, save its tensors alone: torch.save({'state_dict': "
            "torch.load(PATH, weights_only=False)['state_dict']}, NEW)",
        )
    return RefusedError(
        f"{path}: damaged or not a checkpoint ({type(err).__name__})", "copy or export it again"
    )


def _tensors(values: Any) -> Tensors:
    """The tensors of a state dict under the names that the network itself gave them."""
    if not isinstance(values, Mapping):
        return {}
    return {
        without_wrappers(str(name)): value
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _part(state: Tensors, prefix: str) -> Tensors:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _receipts(content: Mapping[str, Any]) -> list[str]:
    return [text for key, text in _RECEIPTS.items() if content.get(key)]


def _run_checkpoint(path: Path, content: Mapping[str, Any]) -> Checkpoint | None:
    if "format_version" not in content or not isinstance(content.get("generator"), Mapping):
        return None
    average = content.get("ema") or {}
    return Checkpoint(
        path,
        "checkpoint of srgan train",
        raw=_tensors(content["generator"]),
        ema=_tensors(average.get("model")) if average.get("num_updates") else {},
        discriminator=_tensors(content.get("discriminator")),
        step=int(content.get("step", 0)),
        info=content.get("info"),
        left_out=tuple(_receipts(content)),
    )


def _lightning(path: Path, content: Mapping[str, Any]) -> Checkpoint | None:
    """OpenSR-SRGAN's; `ema_state` is there where the average was switched on."""
    state = _tensors(content.get("state_dict"))
    if not any(name.startswith(_GENERATOR) for name in state):
        return None
    raw, notes = _part(state, _GENERATOR), []
    ema, note = _shadow(content.get("ema_state"), raw)
    if note:
        notes.append(note)
    discriminator = _part(state, _DISCRIMINATOR)
    others = [name for name in state if not name.startswith((_GENERATOR, _DISCRIMINATOR))]
    left_out = _receipts(content)
    if others:
        parts = sorted({name.partition(".")[0] for name in others})
        left_out.insert(0, f"{len(others)} tensors of {', '.join(parts)}")
    lightning = "pytorch-lightning_version" in content
    return Checkpoint(
        path,
        "Lightning checkpoint" if lightning else "state dict of a trainer",
        raw=raw,
        ema=ema,
        discriminator=discriminator,
        step=_generator_updates(content),
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def _shadow(state: Any, raw: Tensors) -> tuple[Tensors, str]:
    """The average of an `ema_state`, and a note where it is of no use."""
    if not isinstance(state, Mapping):
        return {}, ""
    if state.get("num_updates") == 0:
        return {}, "the moving average was never updated: the weights as trained are taken"
    shadow = _tensors(state.get("shadow_params"))
    prefixed = all(name.startswith(_GENERATOR) for name in shadow)
    shadow |= _tensors(state.get("shadow_buffers"))
    if prefixed:
        shadow = {name.removeprefix(_GENERATOR): value for name, value in shadow.items()}
    if not shadow:
        return {}, ""
    # Running statistics are not averaged: where the average leaves them out they are the same.
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    buffers = {name: value for name, value in raw.items() if name.endswith(statistics)}
    return buffers | shadow, ""


def _generator_updates(content: Mapping[str, Any]) -> int | None:
    """Adam's own count: Lightning's global_step counts both optimizers. Order: D, G."""
    optimizers = content.get("optimizer_states")
    if isinstance(optimizers, list) and optimizers:
        states = optimizers[-1].get("state", {}).values()
        steps = [int(state["step"]) for state in states if "step" in state]
        if steps:
            return max(steps)
    step = content.get("global_step")
    return int(step) if isinstance(step, int) else None


def _wrapped(path: Path, content: Mapping[str, Any]) -> Checkpoint | None:
    """BasicSR's `params_ema` and `params`, and the like."""
    average = next((_tensors(content[key]) for key in _AVERAGES if key in content), {})
    plain = next((_tensors(content[key]) for key in _PLAIN if _tensors(content.get(key))), {})
    if not average and not plain:
        return None
    names = [key for key in (*_AVERAGES, *_PLAIN) if _tensors(content.get(key))]
    return Checkpoint(path, f"checkpoint with {', '.join(names)}", raw=plain, ema=average)


def _plain_state(path: Path, content: Mapping[str, Any]) -> Checkpoint | None:
    state = _tensors(content)
    if not state:
        return None
    generator = _part(state, _GENERATOR)
    if not generator and any(name.startswith(_DISCRIMINATOR) for name in state):
        return Checkpoint(path, "state dict", raw={})
    others = [n for n in state if not n.startswith((_GENERATOR, _DISCRIMINATOR))]
    left_out = (f"{len(others)} other tensors",) if generator and others else ()
    return Checkpoint(
        path,
        "state dict",
        raw=generator or state,
        discriminator=_part(state, _DISCRIMINATOR) if generator else {},
        left_out=left_out,
    )


def _keys(content: Mapping[str, Any]) -> str:
    names = [str(key) for key in content]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
