"""Peers' spellings, rewritten to ours before anything else looks: the only second spellings there are.

The keys and names are those of OpenSR-SRGAN 0.5.1 and of its training guide.
"""

from __future__ import annotations

import math
from typing import Final

from srgan_cli.config import names
from srgan_cli.config.document import Document, Path
from srgan_cli.errors import Problem

MOVED: Final[dict[str, tuple[str, ...]]] = {
    "Data.batch_size": ("Data.train_batch_size", "Data.val_batch_size"),
    "Data.dataset_root": ("Data.root_dir",),
    "Training.g_warmup_steps": ("Schedulers.g_warmup_steps",),
    "Training.perceptual_loss_weight": ("Training.Losses.perceptual_weight",),
    "Schedulers.metric": ("Schedulers.metric_g", "Schedulers.metric_d"),
    "Schedulers.cooldown": ("Schedulers.cooldown_g", "Schedulers.cooldown_d"),
    "Schedulers.min_lr": ("Schedulers.min_lr_g", "Schedulers.min_lr_d"),
    "Schedulers.gradient_clip_val": ("Optimizers.gradient_clip_val",),
}
"""Keys with another place or name here; one key may stand for two."""

DEPRECATED: Final = ("Training.perceptual_loss_weight",)
"""Moved keys that the peer itself calls old."""

BLOCK_NAMES: Final[dict[str, str]] = {
    "vanilla": "standard",
    "classic": "standard",
    "default": "standard",
    "basic": "standard",
    "residual": "res",
    "resblocks": "res",
    "attention": "rcab",
    "channel_attention": "rcab",
    "dense": "rrdb",
    "residual_in_residual": "rrdb",
    "large_kernel": "lka",
}

VALUES: Final[dict[str, dict[str, str]]] = {
    "Generator.model_type": {
        "sr_resnet": "SRResNet",
        "rrdb_net": "esrgan",
        "stochastic": "stochastic_gan",
        "stochasticgan": "stochastic_gan",
        "cgan": "stochastic_gan",
        "conditional_cgan": "stochastic_gan",
        "conditional_gan": "stochastic_gan",
    },
    "Generator.block_type": {"srresnet": "standard", **BLOCK_NAMES},
    "Data.normalization": {
        "reflectance": "normalise_10k",
        "reflectance_0_1": "normalise_10k",
        "sentinel2": "normalise_10k",
        "s2": "normalise_10k",
        "reflectance_signed": "normalise_10k_signed",
        "sentinel2_signed": "normalise_10k_signed",
        "s2_signed": "normalise_10k_signed",
        "zero_to_one": "zero_one",
        "zero_one_range": "zero_one",
        "signed_zero_one": "zero_one_signed",
        "minusone_one": "zero_one_signed",
        "none": "identity",
    },
    "Discriminator.model_type": {"unet_sn": "unet", "unetdiscriminatorsn": "unet"},
    "Training.Losses.adv_loss_type": {"gan": "bce"},
    "Training.device": {"gpu": "cuda", "": "auto"},
}
"""Second names of values; case, hyphens and spaces never matter."""

OPENSR_SIGNS: Final = (
    "Generator.block_type",
    "Generator.large_kernel_size",
    "Generator.small_kernel_size",
    "Training.find_unused_parameters",
    "Training.Losses.randomize_bands",
    "Schedulers.verbose",
)
"""Keys that a file with our `rrdbnet` has no reason to give, and one of OpenSR-SRGAN's often has."""

OPENSR_ONLY: Final = (
    "Training.find_unused_parameters",
    "Training.Losses.randomize_bands",
    "Training.EMA.device",
    "Schedulers.verbose",
)
"""Keys that only files of OpenSR-SRGAN give: nothing here reads them."""

LEGACY_DATASETS: Final = ("cv", "SPOT6", "S2_6b", "SISR_WW")
"""Named in OpenSR-SRGAN's shipped files, without a reader there or here."""


def translate(document: Document) -> list[Problem]:
    """Rewrite peers' spellings in place; returns warnings, adds errors to `document.problems`."""
    warnings = _move_keys(document)
    _split_model_type(document)
    warnings += _ambiguous_rrdbnet(document)
    warnings += _legacy_dataset(document)
    _normalization_mapping(document)
    _degradation_name(document)
    _canonical_values(document)
    warnings += _devices(document)
    warnings += _batch_of_each_gpu(document)
    _validation_share(document)
    _nan_nodata(document)
    return warnings


def spellings(section: str) -> list[str]:
    """The second spellings that a section understands."""
    return [old.rpartition(".")[2] for old in MOVED if old.rpartition(".")[0] == section]


def _canonical(text: str) -> str:
    return text.strip().lower().replace(" ", "_").replace("-", "_")


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def _move_keys(document: Document) -> list[Problem]:
    warnings = []
    for old, new in MOVED.items():
        if not document.has(_path(old)):
            continue
        mark, value = document.marks[_path(old)], document.get(_path(old))
        document.drop(_path(old))
        twice = [key for key in new if document.has(_path(key))]
        if twice:
            # Which one was meant is not ours to guess.
            other = document.marks[_path(twice[0])]
            text = (
                f"another spelling of {twice[0]}, which {other.place} gives too; keep one of them"
            )
            document.problems.append(mark.problem(text))
            continue
        for key in new:
            document.put(_path(key), value, mark)
        if old in DEPRECATED:
            warnings.append(mark.problem(f"old spelling of {new[0]}"))
    return warnings


def _split_model_type(document: Document) -> None:
    """`model_type: rcab` is an SRResNet with that block; an explicit block_type wins."""
    path = ("Generator", "model_type")
    value = document.get(path)
    if not isinstance(value, str):
        return
    word = _canonical(value)
    block = BLOCK_NAMES.get(word, word)
    if block not in names.options(("Generator", "block_type")):
        return
    mark = document.marks[path]
    document.put(path, "SRResNet", mark)
    if document.get(("Generator", "block_type")) is None:
        document.put(("Generator", "block_type"), block, mark)


def _ambiguous_rrdbnet(document: Document) -> list[Problem]:
    """OpenSR-SRGAN calls its `esrgan` by this name too; here it is the network it was named for."""
    path = ("Generator", "model_type")
    value = document.get(path)
    if not isinstance(value, str) or _canonical(value) != "rrdbnet":
        return []
    if not any(document.has(_path(key)) for key in OPENSR_SIGNS):
        return []
    text = (
        "read as the RRDBNet of BasicSR and Real-ESRGAN; OpenSR-SRGAN means its own variant by "
        "this name: write esrgan for that"
    )
    return [document.marks[path].problem(text)]


def _legacy_dataset(document: Document) -> list[Problem]:
    path = ("Data", "dataset_type")
    value = document.get(path)
    if not isinstance(value, str) or _canonical(value) not in map(_canonical, LEGACY_DATASETS):
        return []
    mark = document.marks[path]
    document.put(path, "GeoTIFF", mark)
    text = f"'{value}' has no reader, in OpenSR-SRGAN 0.5.1 neither; read as GeoTIFF: name the imagery under Data.hr"
    return [mark.problem(text)]


def _normalization_mapping(document: Document) -> None:
    """`{name: normalise_10k}` and `{method: ...}` are the name alone; `linear` stays a mapping."""
    path = ("Data", "normalization")
    value = document.get(path)
    if not isinstance(value, dict):
        return
    name = value.get("name", value.get("method"))
    if isinstance(name, str) and _canonical(name) == "custom":
        text = "functions named in YAML are never run; use {name: linear, scale: ..., offset: ...}"
        document.problems.append(document.problem(path, text))
        document.drop(path)
    elif isinstance(name, str) and len(value) == 1 and _canonical(name) != "linear":
        mark = document.marks[path]
        document.drop(path)
        document.put(path, name, mark)


def _degradation_name(document: Document) -> None:
    """`degradation: area` is short for `{kind: area}`."""
    path = ("Data", "degradation")
    value = document.get(path)
    if isinstance(value, str):
        mark = document.marks[path]
        document.put(path, {}, mark)
        document.put((*path, "kind"), value, mark)


def _canonical_values(document: Document) -> None:
    for path in names.all_keys():
        value = document.get(path)
        if not isinstance(value, str):
            continue
        word = _canonical(value)
        if path == ("Data", "normalization"):
            word = word.replace("normalize", "normalise")
        if path == ("Training", "device"):
            document.put(path, VALUES["Training.device"].get(word, word), document.marks[path])
            continue
        known = {_canonical(name): name for name in names.options(path) if isinstance(name, str)}
        known |= VALUES.get(".".join(path), {})
        if word in known:
            document.put(path, known[word], document.marks[path])


def _devices(document: Document) -> list[Problem]:
    """`gpus: 2` counts devices; `gpus: -1`, all of them, cannot be known here."""
    path: Path = ("Training", "gpus")
    value = document.get(path)
    if isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= 64:
        mark = document.marks[path]
        document.put(path, list(range(value)), mark)
        if value < 0:
            return [
                mark.problem("-1 is read as one device; name all that shall train: [0, 1, ...]")
            ]
    return []


def _batch_of_each_gpu(document: Document) -> list[Problem]:
    """OpenSR-SRGAN's batch is that of each GPU; here all share one, whatever their number."""
    path: Path = ("Training", "gpus")
    value = document.get(path)
    if not isinstance(value, list) or len(value) < 2:
        return []
    if not any(document.has(_path(key)) for key in OPENSR_ONLY):
        return []
    text = (
        f"{len(value)} devices share the crops of Data.train_batch_size; OpenSR-SRGAN gives so many to "
        f"each: multiply it by {len(value)} to repeat its run"
    )
    return [document.marks[path].problem(text)]


def _validation_share(document: Document) -> None:
    """Lightning reads `limit_val_batches: 1.0` as all of them."""
    path: Path = ("Training", "limit_val_batches")
    value = document.get(path)
    if isinstance(value, float) and value == 1.0:
        document.put(path, None, document.marks[path])


def _nan_nodata(document: Document) -> None:
    """`nodata: .nan` says what always holds."""
    path: Path = ("Data", "nodata")
    value = document.get(path)
    if isinstance(value, float) and math.isnan(value):
        document.put(path, None, document.marks[path])
