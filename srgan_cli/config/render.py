"""RunConfig -> YAML, plain or with the schema's documentation as comments."""

from __future__ import annotations

import io
import re
import textwrap
from typing import Any, Final

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from srgan_cli.config import names
from srgan_cli.config.base import Section
from srgan_cli.config.effects import idle_keys
from srgan_cli.config.schema import RunConfig

COMMENT_WIDTH: Final = 100

_SIMPLE: Final = re.compile(r"[\w./-]+", re.ASCII)


def dump_config(config: RunConfig) -> str:
    """The complete configuration as YAML; `load_config` makes an equal one of it.

    Keys that have no effect and their default value are left out.
    """
    return _to_text(_section(config, (), set(idle_keys(config)), comments=False))


def render_config(config: RunConfig, heading: str = "") -> str:
    """The complete configuration as YAML with every key explained; `heading` stands above it."""
    tree = _section(config, (), set(idle_keys(config)), comments=True)
    top = "".join(f"# {line}".rstrip() + "\n" for line in heading.splitlines())
    return top + ("\n" if top else "") + _to_text(tree)


def _section(section: Section, path: names.Keys, idle: set[str], *, comments: bool) -> CommentedMap:
    tree = CommentedMap()
    for name, field in type(section).model_fields.items():
        key = field.alias or name
        here = (*path, key)
        value = getattr(section, name)
        if ".".join(here) in idle and value == field.get_default(call_default_factory=True):
            continue
        is_section = isinstance(value, Section)
        plain = _section(value, here, idle, comments=comments) if is_section else _plain(value)
        if is_section and not plain:
            continue
        tree[key] = plain
        if comments:
            _comment(tree, key, field, len(path))
    return tree


def _plain(value: Any) -> Any:
    if isinstance(value, str) and not _SIMPLE.fullmatch(value):
        # The library leaves some texts bare that its reader then refuses, `?` in a list for one.
        return DoubleQuotedScalarString(value)
    if not isinstance(value, tuple):
        return value
    items = CommentedSeq(_plain(item) for item in value)
    items.fa.set_flow_style()
    return items


def _comment(tree: CommentedMap, key: str, field: FieldInfo, depth: int) -> None:
    indent = 2 * depth
    lines = textwrap.wrap(documentation(field), COMMENT_WIDTH - indent - len("# "))
    space = "\n" if depth == 0 and len(tree) > 1 else ""
    tree.yaml_set_comment_before_after_key(key, before=space + "\n".join(lines), indent=indent)


def documentation(field: FieldInfo) -> str:
    """The attribute docstring of a key; of a section without one, the section's own."""
    section = names.section_type(field.annotation)
    return field.description or (section.__doc__ if section else "") or ""


def _to_text(tree: CommentedMap) -> str:
    yaml = YAML()
    yaml.width = 10_000
    # None as `null`: an empty value looks like a forgotten one.
    yaml.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    buffer = io.StringIO()
    yaml.dump(tree, buffer)
    return buffer.getvalue()


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of configuration files, with the documentation."""
    schema = RunConfig.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
