"""The reference in docs/configuration.md, made from the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from srgan_cli.config import compat, names
from srgan_cli.config.base import Section
from srgan_cli.config.render import documentation, json_schema
from srgan_cli.config.schema import RunConfig

INTRODUCTION: Final = """\
# Configuration

<!-- Made by `srgan config schema --markdown`; change the schema, not this file. -->

A run is described by one YAML file. Every key has a default: a file only needs what differs.

    srgan config init --list                            # presets
    srgan config init sentinel2-10m -o cfg.yaml         # a complete file, every key explained
    srgan config check cfg.yaml                         # all problems at once, with line and column
    srgan config show cfg.yaml --set Training.seed=3    # what a run would use

- **Errors** name the line, the key, the value seen and what to write: unknown keys, wrong types, values out of
  range, and keys that contradict each other. Nothing is trained with a configuration that has one (exit code 2).
- **Warnings** name keys that change nothing (`block_type` with `model_type: esrgan`) and combinations that usually
  go wrong. They never stop a run. What `enabled: false` switches off is not warned about.
- **Overrides**: `--set Section.key=value`, repeatable, the last one wins. The value is YAML, a list for example
  `--set 'Optimizers.betas=[0.5, 0.99]'`; one that starts with `*`, `&`, `!` or `@` needs quotes of its own:
  `--set 'Data.hr="*.tif"'`.
- **YAML 1.2**: `1e-4` is a number. `yes`, `no`, `on` and `off` are accepted where true or false is expected. `~`, `null`
  and nothing after the colon are the same; for a section, they mean its defaults. Anchors, aliases and `<<` work within
  reason; tags (`!!python/...`) are refused.
- **Editors**: `srgan config schema > srgan.schema.json`, and as the first line of the file

      # yaml-language-server: $schema=srgan.schema.json

  gives completion, types and documentation in every editor with the YAML language server.

OpenSR-SRGAN's YAML files load as they are; the last section lists the spellings that are understood. Two things differ:
without `Generator.block_type`, OpenSR-SRGAN builds `standard`, this tool `res`; and `model_type: rrdbnet` is the RRDBNet of
BasicSR and Real-ESRGAN, where OpenSR-SRGAN means what is called `esrgan` here.
"""

NORMALIZATION: Final = """\
## Normalization

`Data.normalization` says how stored numbers become network input: network = stored * scale + offset. It is inverted after the
network, exactly, and never clips: snow, cloud and sun glint survive. OpenSR-SRGAN clips to its unit range under the same names.

`percentile` and `mean_std` are fitted for each band on a sample of the valid pixels of all training scenes: the 2nd and 98th
percentile become 0 and 1, or the mean and the standard deviation become 0 and 1. What was found stands in the run's config.yaml
and in the weights file; it is never fitted again. Scale and offset by hand: `{name: linear, scale: 0.001}`, or one number per band:
`{name: linear, scale: [0.001, 0.002], offset: [0, -0.1]}`.

| Name | Scale | Offset | Made for stored values up to |
|---|---|---|---|
"""


class AffineMap(Protocol):
    """What the table of normalizations shows."""

    @property
    def name(self) -> str:
        """As `Data.normalization` gives it."""

    @property
    def scale(self) -> float | tuple[float, ...]:
        """Factor on stored values."""

    @property
    def offset(self) -> float | tuple[float, ...]:
        """Added after the factor."""

    @property
    def usual_max(self) -> float | tuple[float, ...] | None:
        """A bright but ordinary stored value."""


def render_reference(normalizations: Iterable[AffineMap]) -> str:
    """The whole of docs/configuration.md."""
    definitions = json_schema()["$defs"]
    sections = "\n".join(_sections(RunConfig, (), definitions))
    return "\n".join([INTRODUCTION, sections, _normalization_table(normalizations), _spellings()])


def _sections(
    section: type[Section], path: names.Keys, definitions: Mapping[str, Any]
) -> Iterator[str]:
    fields = names.children(section)
    properties = definitions.get(section.__name__, {}).get("properties", {})
    rows = []
    for key, field in fields.items():
        if names.is_section(field):
            continue
        default = (
            "required" if field.is_required() else field.get_default(call_default_factory=True)
        )
        words = documentation(field).replace("|", "\\|")
        kind = _type_words(properties[key], definitions)
        rows.append(f"| `{key}` | {kind} | {_default_words(default)} | {words} |")
    if path:
        doc = (section.__doc__ or "").strip()
        yield f"## {'.'.join(path)}\n\n{doc}\n"
    if rows:
        yield "\n".join(["| Key | Type | Default | |", "|---|---|---|---|", *rows, ""])
    for key, field in fields.items():
        inner = names.section_type(field.annotation)
        if inner is not None:
            yield from _sections(inner, (*path, key), definitions)


def _default_words(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    return str(default)


def _type_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "anyOf" in schema:
        kinds = [_type_words(each, definitions) for each in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind)
    if "enum" in schema:
        return ", ".join(str(option) for option in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "$ref" in schema:
        return "mapping"
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items") or schema["prefixItems"][0]
        count = f"{len(schema['prefixItems'])} of " if "prefixItems" in schema else "list of "
        return count + _type_words(items, definitions)
    words = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text"}
    return f"{words.get(str(kind), '')} {' and '.join(_range_words(schema))}".strip()


def _range_words(schema: Mapping[str, Any]) -> Iterator[str]:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    for key, sign in signs.items():
        if key in schema:
            yield f"{sign} {schema[key]:g}" if schema[key] < 1e6 else f"{sign} {schema[key]}"


def _normalization_table(normalizations: Iterable[AffineMap]) -> str:
    rows = []
    for each in normalizations:
        usual = "" if each.usual_max is None else _number_words(each.usual_max)
        scale, offset = _number_words(each.scale), _number_words(each.offset)
        rows.append(f"| `{each.name}` | {scale} | {offset} | {usual} |")
    return NORMALIZATION + "\n".join(rows) + "\n"


def _number_words(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_number_words, value))
    return f"1/{1 / value:g}" if 0 < value < 1 else f"{value:.5g}"


def _spellings() -> str:
    lines = ["## Spellings of OpenSR-SRGAN", "", "| Read | As |", "|---|---|"]
    for old, new in compat.MOVED.items():
        lines.append(f"| `{old}` | {', '.join(f'`{key}`' for key in new)} |")
    for key, values in compat.VALUES.items():
        by_name: dict[str, list[str]] = {}
        for alias, name in values.items():
            by_name.setdefault(name, []).append(f"`{alias}`" if alias else "(empty)")
        for name, aliases in by_name.items():
            lines.append(f"| `{key}`: {', '.join(aliases)} | `{name}` |")
    blocks = "`Generator.model_type` with the name of a block, for example `rcab`"
    lines += [
        f"| {blocks} | `SRResNet` with that `block_type`, unless one is given |",
        "| `Training.gpus: 2` | `[0, 1]`; -1: one |",
        "| `normalize` in names of `Data.normalization` | `normalise` |",
        "",
        "Case, hyphens and spaces in names never matter. A key given in both spellings is an error.",
        "",
    ]
    return "\n".join(lines)
