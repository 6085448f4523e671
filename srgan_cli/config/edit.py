"""Changes single keys of a configuration file; every other byte of it stays as it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from srgan_cli.config import compat
from srgan_cli.config.document import Document, Mark
from srgan_cli.config.load import load_text
from srgan_cli.config.names import Keys
from srgan_cli.config.reader import parse
from srgan_cli.errors import ConfigError

_INDENT: Final = 2
_ALIAS: Final = re.compile(r"\s*:\s*(\*[^\s,}\]]+)")


class EditError(Exception):
    """Why a key of this file cannot be changed by itself, in words."""


@dataclass(frozen=True)
class Edit:
    """A new value for one key, and the comment lines to stand above it."""

    key: str
    """Dotted, in our spelling."""
    value: Any
    comment: tuple[str, ...] = ()


def change_key(text: str, edit: Edit) -> str:
    """The configuration text with one key changed and commented.

    The key keeps the spelling it was written with; one that stands for two keys (OpenSR-SRGAN's
    `Schedulers.cooldown`) is written out as both. A key that was not written comes last in its section.

    Raises:
        EditError: The change is refused by the schema, or cannot be made without changing
            something else: a value shared through an anchor, or written in a short form.
    """
    try:
        wanted = load_text(text, "the changed configuration", [override(edit.key, edit.value)])
    except ConfigError as err:
        raise EditError(err.problems[0].text) from err
    document = parse(text, "")
    compat.translate(document)
    path: Keys = tuple(edit.key.split("."))
    mark = document.marks.get(path)
    if mark is None or (mark.key == edit.key and not _stands(text, path)):
        changed = _inserted(text, path, edit)
    else:
        changed = _replaced(text, path, mark, edit)
    try:
        loaded = load_text(changed, "the changed configuration")
    except ConfigError as err:
        raise EditError("its value is shared with another key through an anchor") from err
    if loaded.config != wanted.config:
        raise EditError("its value is shared with another key through an anchor")
    return changed


def override(key: str, value: Any) -> str:
    """The change as `--set` takes it."""
    return f"{key}={yaml_value(value)}"


def yaml_value(value: Any) -> str:
    """A value as one writes it in YAML, so that YAML 1.1 readers see a number too."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(yaml_value(item) for item in value)}]"
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return str(value)


def line_of(text: str, key: str) -> int | None:
    """The 1-based line on which a key of a configuration stands, in whatever spelling."""
    mark = written_keys(text).get(tuple(key.split(".")))
    return mark.line if mark and mark.line else None


def written_keys(text: str) -> Mapping[Keys, Mark]:
    """Every key that a configuration text gives, by its path in our spelling.

    Raises:
        ConfigError: The text is no configuration at all.
    """
    document: Document = parse(text, "")
    document.drop_unreadable()
    compat.translate(document)
    return {
        tuple(map(str, path)): mark
        for path, mark in document.marks.items()
        if all(isinstance(part, str) for part in path)
    }


def _replaced(text: str, path: Keys, mark: Mark, edit: Edit) -> str:
    written = tuple(mark.key.split("."))
    both = compat.MOVED.get(mark.key, ())
    if written != path and edit.key not in both:
        raise EditError(f"it is written as part of {mark.key}")
    holder, key, value = _find(text, written)
    before, after = key.end_mark.index, _end(text, key, value)
    new = yaml_value(edit.value)
    alias = _ALIAS.match(text, before)
    if alias:
        start, after = alias.span(1)
    elif value.start_mark.index < before:
        raise EditError("its section is an alias of another one")
    elif _is_empty(value):
        start, new = after, f" {new}"
    elif isinstance(value, (SequenceNode, MappingNode)) and not value.flow_style:
        # A list of one item a line gets its new value behind the colon.
        start, new = text.index(":", before) + 1, f" {new}"
    else:
        start = value.start_mark.index
    old = text[start:after]
    changed = text[:start] + new + text[after:]
    if len(both) > 1:
        other = next(each for each in both if each != edit.key).rpartition(".")[2]
        own = edit.key.rpartition(".")[2]
        changed = changed[: key.start_mark.index] + own + changed[before:]
        where = start + len(new) + len(own) - len(written[-1])
        same = f"{other}: {old.strip()}"
        glue = f", {same}" if holder.flow_style else f"{_newline(text)}{_lead(text, key)}{same}"
        place = where if holder.flow_style else _line_end(changed, where)
        changed = changed[:place] + glue + changed[place:]
    return _commented(changed, key.start_mark.index, edit.comment)


def _inserted(text: str, path: Keys, edit: Edit) -> str:
    """The key behind the last one of its section; missing sections are begun."""
    depth = len(path) - 1
    while depth and not _has_section(text, path[:depth]):
        depth -= 1
    missing, newline = path[depth:], _newline(text)
    value = yaml_value(edit.value)
    section = _root(text) if not depth else _find(text, path[:depth])[2]
    if isinstance(section, MappingNode) and section.flow_style:
        flow = ": {".join(missing) + f": {value}" + "}" * (len(missing) - 1)
        end = _end(text, *section.value[-1]) if section.value else section.start_mark.index + 1
        changed = text[:end] + (", " if section.value else "") + flow + text[end:]
        return _commented(changed, section.start_mark.index, edit.comment)
    if not text.endswith("\n"):
        text += newline
    if isinstance(section, MappingNode) and section.value:
        lead = _lead(text, section.value[0][0])
        place = _line_end(text, _end(text, *section.value[-1]))
    else:
        header = _find(text, path[:depth])[1]
        lead = _lead(text, header) + " " * _INDENT
        place = _line_end(text, header.end_mark.index)
    lines = [f"{lead}# {line}" for line in edit.comment]
    lines += [
        f"{lead}{' ' * _INDENT * level}{name}:" + ("" if level < len(missing) - 1 else f" {value}")
        for level, name in enumerate(missing)
    ]
    if len(missing) > 1:
        # The comment stands above the key that it speaks of.
        inner = [f"{' ' * _INDENT * (len(missing) - 1)}{line}" for line in lines[: -len(missing)]]
        lines = [*lines[-len(missing) : -1], *inner, lines[-1]]
    return text[:place] + "".join(newline + line for line in lines) + text[place:]


def _stands(text: str, path: Keys) -> bool:
    """Whether a key is written in its own section, not merged into it by `<<`."""
    try:
        _find(text, path)
    except EditError:
        return False
    return True


def _has_section(text: str, path: Keys) -> bool:
    """Whether a section is written and can take a key: a mapping of its own, or empty."""
    try:
        _, key, value = _find(text, path)
    except EditError:
        return False
    if isinstance(value, MappingNode) and value.start_mark.index < key.end_mark.index:
        raise EditError(f"{'.'.join(path)} is an alias of another section")
    return isinstance(value, MappingNode) or _is_empty(value)


def _root(text: str) -> MappingNode:
    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode):
        raise EditError("the file holds no sections")
    return root


def _find(text: str, path: Sequence[str]) -> tuple[MappingNode, Node, Node]:
    """The mapping that holds a key, the key and its value."""
    holder: Node = _root(text)
    found: tuple[Node, Node] | None = None
    for index, part in enumerate(path):
        pairs = holder.value if isinstance(holder, MappingNode) else ()
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            raise EditError("it is not in the file")
        if index < len(path) - 1:
            if found[1].start_mark.index < found[0].end_mark.index:
                raise EditError(f"{'.'.join(path[: index + 1])} is an alias of another section")
            holder = found[1]
    if found is None or not isinstance(holder, MappingNode):
        raise EditError("it is not in the file")
    return holder, *found


def _end(text: str, key: Node, value: Node) -> int:
    """Behind the last character of a key's value.

    The marks of block nodes and of empty values lie behind the comments and blank lines that follow.
    """
    if _is_empty(value):
        return text.index(":", key.end_mark.index) + 1
    while isinstance(value, (MappingNode, SequenceNode)) and not value.flow_style and value.value:
        last = value.value[-1]
        if isinstance(value, MappingNode):
            return _end(text, *last)
        value = last
    return int(value.end_mark.index)


def _is_empty(value: Node) -> bool:
    return bool(value.start_mark.index == value.end_mark.index)


def _commented(text: str, index: int, comment: Sequence[str]) -> str:
    """The comment lines above the line of `index`, indented like it."""
    start = text.rfind("\n", 0, index) + 1
    lead = text[start : len(text) - len(text[start:].lstrip(" "))]
    block = "".join(f"{lead}# {line}{_newline(text)}" for line in comment)
    return text[:start] + block + text[start:]


def _lead(text: str, node: Node) -> str:
    start = text.rfind("\n", 0, node.start_mark.index) + 1
    return text[start : len(text) - len(text[start:].lstrip(" "))]


def _line_end(text: str, index: int) -> int:
    """Where the line of `index` ends, before its line break."""
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    return end - (text[end - 1 : end] == "\r")


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
