"""The weights file: a generator with every fact that is needed to use it, in safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from srgan_cli import __version__
from srgan_cli.data.radiometry import Radiometry
from srgan_cli.errors import RefusedError
from srgan_cli.files import whole_file
from srgan_cli.models import GENERATORS, Generator, GeneratorSpec, build_generator, registry_name

FORMAT_VERSION = 1
_MAX_HEADER_BYTES = 16 * 2**20


@dataclass(frozen=True)
class WeightsInfo:
    """What stands in the header beside the tensors."""

    spec: GeneratorSpec
    radiometry: Radiometry
    band_names: tuple[str, ...]
    """In network order; `band N` where a band has no name of its own."""
    train_lr_px: int | None
    """Side of the LR crops it was trained on, and of the window that channel attention averages
    over; None when unknown: it then averages over the whole input."""
    gsd_m: float | None
    """HR pixel size it was trained on, in metres; None when unknown."""
    step: int
    ema: bool
    """Whether the tensors are the moving average."""
    version: str = __version__
    """Of the srgan that wrote the file."""
    scale_offset: bool = False
    """Whether the radiometry speaks of values with the raster's scale and offset tags applied."""

    @property
    def scale(self) -> int:
        """SR pixels per LR pixel along a side."""
        return self.spec.scale

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format_version": FORMAT_VERSION,
            "generator": self.spec.as_dict(),
            "radiometry": self.radiometry.as_dict(),
            "band_names": list(self.band_names),
            "train_lr_px": self.train_lr_px,
            "gsd_m": self.gsd_m,
            "step": self.step,
            "ema": self.ema,
            "version": self.version,
            "scale_offset": self.scale_offset,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> WeightsInfo:
        """The inverse of `as_dict`; KeyError, TypeError or ValueError for anything else."""
        gsd_m, train_lr_px = values["gsd_m"], values["train_lr_px"]
        return WeightsInfo(
            spec=GeneratorSpec.from_dict(values["generator"]),
            radiometry=Radiometry.from_dict(values["radiometry"]),
            band_names=tuple(str(name) for name in values["band_names"]),
            train_lr_px=None if train_lr_px is None else int(train_lr_px),
            gsd_m=None if gsd_m is None else float(gsd_m),
            step=int(values["step"]),
            ema=bool(values["ema"]),
            version=str(values["version"]),
            scale_offset=bool(values.get("scale_offset", False)),
        )


def save_weights(path: Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> None:
    """Write a weights file, whole or not at all; tensors are stored contiguous on the CPU."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry: safetensors writes several in no fixed order, and equal files should be equal.
    metadata = {"srgan": json.dumps(info.as_dict(), sort_keys=True)}
    with whole_file(path) as temporary:
        save_file(plain, temporary, metadata=metadata)


def read_weights(path: Path) -> tuple[dict[str, Tensor], WeightsInfo]:
    """Tensors and header of a weights file.

    Raises:
        RefusedError: The file is missing, is not one of ours, or is damaged.
    """
    _check_container(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copied: tensors in the file lie at any address, and the last bit of a matrix product
            # can depend on the alignment of its operands.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as err:
        raise RefusedError(
            f"{path}: damaged weights file ({err})", "copy it again, or export it from the run"
        ) from err
    return tensors, _info_from(path, metadata)


def is_weights_file(path: Path) -> bool:
    """Whether it is a safetensors file with a header of ours; damaged ones count as such."""
    if path.suffix != ".safetensors":
        return False
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return "srgan" in (file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return True


def load_generator(path: Path) -> tuple[Generator, WeightsInfo]:
    """The generator of a weights file, in eval mode on the CPU, and its header.

    Raises:
        RefusedError: As `read_weights`; also when tensors are missing, unexpected, misshapen or
            not finite.
    """
    tensors, info = read_weights(path)
    if registry_name(info.spec) not in GENERATORS:
        raise RefusedError(
            f"{path}: network {registry_name(info.spec)!r} is unknown to srgan {__version__}",
            f"it was written by srgan {info.version}; known: {', '.join(GENERATORS)}",
        )
    # On meta the size that a header claims costs nothing before it is checked.
    with torch.device("meta"):
        generator = build_generator(info.spec)
    check_tensors(str(path), tensors, generator.state_dict())
    generator.load_state_dict(tensors, assign=True)
    generator.pool_locally_(info.train_lr_px)
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return generator.float().eval(), info


def check_tensors(
    source: str,
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    hint: str = "use the file that the run itself exported",
) -> None:
    """Refuse missing, unexpected, misshapen and non-finite tensors, naming the first few of each."""
    problems = [
        ("missing", [name for name in expected if name not in found]),
        ("unexpected", [name for name in found if name not in expected]),
        (
            "wrong shape",
            [
                f"{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in found and found[name].shape != tensor.shape
            ],
        ),
        ("not finite", [name for name, tensor in found.items() if not _is_finite(tensor)]),
    ]
    lines = [
        f"{len(names)} {what}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        for what, names in problems
        if names
    ]
    if lines:
        raise RefusedError(
            f"{source}: the tensors do not fit the network: {'; '.join(lines)}", hint
        )


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or math.isfinite(float(tensor.float().abs().sum()))


def _check_container(path: Path) -> None:
    if not path.is_file():
        raise RefusedError(f"{path}: no such weights file", "see weights/ in a run folder")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as err:
        raise RefusedError(f"{path}: cannot be read ({err.strerror})", "check its rights") from err
    header = int.from_bytes(head[:8], "little")
    # Eight bytes of length, then JSON. The length alone can look like the start of a pickle.
    if head[8:] == b"{" and header + 8 <= size:
        if header > _MAX_HEADER_BYTES:
            raise RefusedError(
                f"{path}: its header claims {header / 2**20:.0f} MB",
                "a weights file has a few kilobytes of header; this is something else",
            )
        return
    if head[:2] == b"PK" or head[:1] == b"\x80":
        raise RefusedError(
            f"{path}: a pickle, not a safetensors file",
            "pickles can run code; `srgan import FILE weights.safetensors` makes a weights file of a "
            "checkpoint without running it",
        )
    raise RefusedError(
        f"{path}: truncated or not a safetensors file ({size} bytes)", "copy it again"
    )


def _info_from(path: Path, metadata: Mapping[str, str]) -> WeightsInfo:
    if "srgan" not in metadata:
        raise RefusedError(
            f"{path}: safetensors without a srgan header: network and radiometry are unknown",
            "use weights/ema.safetensors of a run, or `srgan import FILE weights.safetensors`",
        )
    try:
        values = json.loads(metadata["srgan"])
        version = int(values["format_version"])
        if version > FORMAT_VERSION:
            raise RefusedError(
                f"{path}: weights format {version}, this srgan reads up to {FORMAT_VERSION}",
                f"it was written by srgan {values.get('version')}; update srgan",
            )
        return WeightsInfo.from_dict(values)
    except (KeyError, TypeError, ValueError) as err:
        raise RefusedError(
            f"{path}: damaged srgan header ({type(err).__name__}: {err})",
            "use weights/ema.safetensors of a run",
        ) from err
