"""Configuration files and `--set` -> RunConfig, or all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from srgan_cli.config import compat, names
from srgan_cli.config.document import Document
from srgan_cli.config.effects import idle_keys
from srgan_cli.config.lint import risks
from srgan_cli.config.reader import parse, parse_value
from srgan_cli.config.schema import RunConfig
from srgan_cli.config.validate import clean, validate
from srgan_cli.errors import ConfigError, Problem

MAX_BYTES: Final = 1_000_000
OVERRIDE: Final = "--set"

_NETWORK_KEYS: Final = (
    ("Model", "in_bands"),
    ("Generator",),
    ("Data", "normalization"),
    ("Data", "band_names"),
    ("Data", "hr_crop_px"),
    ("Training", "EMA", "update_after_step"),
)
"""What `load_networks` reads."""


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration, and what its author should hear about it."""

    config: RunConfig
    warnings: tuple[Problem, ...]


def load_config(path: Path, overrides: Sequence[str] = ()) -> LoadedConfig:
    """The configuration in a YAML file, with `Section.key=value` overrides on top.

    Raises:
        ConfigError: Every problem of the file and the overrides, with line and column; or the
            file cannot be read.
    """
    return load_text(read_text(path), str(path), overrides)


def load_text(text: str, origin: str, overrides: Sequence[str] = ()) -> LoadedConfig:
    """The configuration in YAML text that came from `origin`, which messages name.

    Raises:
        ConfigError: Every problem of the text and the overrides.
    """
    return _resolve(parse(text, origin), overrides)


def load_networks(path: Path) -> tuple[RunConfig, frozenset[str]]:
    """What a file says of its generator, and the dotted keys it gives; the rest is passed over.

    For files that came with a checkpoint: what they say about data and training may be out of date,
    misspelt or another tool's.

    Raises:
        ConfigError: The file cannot be read, or a key that matters has a problem.
    """
    document = parse(read_text(path), str(path))
    document.drop_unreadable()
    compat.translate(document)
    for mark in sorted(document.marks):
        # Sections around a wanted key and everything below it stay.
        if not any(key[: len(mark)] == mark[: len(key)] for key in _NETWORK_KEYS):
            document.drop(mark)
    # A checkpoint may make other bands than it takes, which no training here does.
    document.drop(("Generator", "out_channels"))
    problems = clean(document)
    config, invalid = validate(document)
    if config is None or problems or invalid:
        raise ConfigError(_in_order([*problems, *invalid]))
    return config, frozenset(".".join(map(str, mark)) for mark in document.marks)


def load_default(overrides: Sequence[str] = ()) -> LoadedConfig:
    """The schema's defaults, with `Section.key=value` overrides on top.

    Raises:
        ConfigError: Every problem of the overrides.
    """
    return _resolve(Document("defaults"), overrides)


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: The file cannot be read, is no text, or is far too large.
    """
    if path.is_dir():
        raise _unreadable(path, "a folder, not a configuration file", "name the YAML file")
    try:
        # A limit on what is read holds for pipes too, which have no size.
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
            size = max(path.stat().st_size, len(raw))
    except FileNotFoundError as err:
        hint = "`srgan config init --output FILE` writes one to start from"
        raise _unreadable(path, "no such file", hint) from err
    except OSError as err:
        raise _unreadable(path, f"cannot be read: {err.strerror}") from err
    if len(raw) > MAX_BYTES:
        text = f"{size / 1e6:.1f} MB; a configuration has a few kB, {MAX_BYTES / 1e6:g} MB at most"
        raise _unreadable(path, text, "is this the right file?")
    return _decode(raw, path)


def _decode(raw: bytes, path: Path) -> str:
    hint = "save it as UTF-8 text"
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _unreadable(path, "UTF-16 text, not UTF-8", hint)
    if b"\x00" in raw:
        text = f"a binary file: zero byte at offset {raw.index(0)}"
        raise _unreadable(path, text, "is this the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        column = err.start - raw.rfind(b"\n", 0, err.start)
        text = f"byte 0x{raw[err.start]:02x} is not UTF-8 text"
        raise ConfigError([Problem(line, column, "", text, str(path))], hint) from err


def _unreadable(path: Path, text: str, hint: str = "") -> ConfigError:
    return ConfigError([Problem(0, 0, "", text, str(path))], hint)


def _resolve(document: Document, overrides: Sequence[str]) -> LoadedConfig:
    document.drop_unreadable()
    warnings = compat.translate(document)
    for override in overrides:
        extra = _override(override)
        extra.drop_unreadable()
        warnings += compat.translate(extra)
        _lay_over(document, extra)
    problems = [*document.problems, *clean(document)]
    config, invalid = validate(document)
    problems += invalid
    if config is None or problems:
        raise ConfigError(_in_order(problems))
    warnings += [*_idle(document, config), *_risky(document, config)]
    return LoadedConfig(config, tuple(_in_order(warnings)))


def _override(override: str) -> Document:
    """One `Section.key=value`; the value is YAML."""
    key, equals, value = override.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path) or any(" " in part for part in path):
        problem = Problem(0, 0, "", f"`{override}` is not Section.key=value", OVERRIDE)
        hint = "for example --set Training.max_steps=2000, with the value after the equals sign"
        raise ConfigError([problem], hint)
    return parse_value(value, path, OVERRIDE)


def _lay_over(document: Document, extra: Document) -> None:
    """Values of `extra` replace those of `document`, section by section and key by key."""
    document.problems += extra.problems
    document.unreadable |= extra.unreadable
    _overlay(document.values, extra.values, names.children(RunConfig))
    document.marks |= extra.marks


def _overlay(
    base: dict[str, Any], extra: Mapping[str, Any], fields: Mapping[str, FieldInfo]
) -> None:
    for key, value in extra.items():
        field = fields.get(key)
        inner = None if field is None else names.section_type(field.annotation)
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        if both and inner is not None and field is not None and names.is_section(field):
            _overlay(base[key], value, names.children(inner))
        else:
            base[key] = value


def _idle(document: Document, config: RunConfig) -> list[Problem]:
    """Keys without effect, where someone wrote them."""
    found = []
    for key, text in idle_keys(config).items():
        path = tuple(key.split("."))
        if document.has(path) and document.get(path) is not None:
            found.append(document.problem(path, text))
    return found


def _risky(document: Document, config: RunConfig) -> list[Problem]:
    return [document.problem(tuple(key.split(".")), text) for key, text in risks(config)]


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By place in the file, then those without a place; each once."""
    return sorted(set(problems), key=lambda problem: (problem.line == 0, problem))
