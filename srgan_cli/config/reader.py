"""YAML text -> Document; refuses what a configuration never needs.

Nothing is ever constructed but text, numbers, booleans, null, lists and mappings.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from srgan_cli.config.document import Document, Mark, Path
from srgan_cli.errors import ConfigError, Problem

MAX_VALUES: Final = 5000
"""Keys and values of one file, aliases expanded; a complete configuration has about 250."""
MAX_DEPTH: Final = 20

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_SPECIAL_START: Final = re.compile(r"(?:^|[:\-,\[{]\s)\s*([*&@`%!|>])")


def parse(text: str, origin: str) -> Document:
    """A configuration file's values.

    Raises:
        ConfigError: The text is no YAML mapping, or larger or deeper than a configuration is.
    """
    root = _compose(text, origin)
    if root is None or root.tag == _TAG + "null":
        problem = Problem(0, 0, "", "the file is empty", origin)
        raise ConfigError([problem], "`srgan config init` prints one to start from")
    document = Document(origin)
    if not isinstance(root, MappingNode):
        kind = "list" if isinstance(root, SequenceNode) else "single value"
        text = f"a {kind} at the top; a configuration starts with a section such as `Data:`"
        raise ConfigError([_at(root, text, origin)])
    _Reader(document).mapping(root, ())
    return document


def parse_value(text: str, path: tuple[str, ...], origin: str) -> Document:
    """A document that holds nothing but the value of `path`, as `--set` gives it.

    Raises:
        ConfigError: The text is no YAML value.
    """
    try:
        root = _compose(text, origin)
    except ConfigError as err:
        reasons = "; ".join(problem.text for problem in err.problems)
        key = ".".join(path)
        problem = Problem(0, 0, key, f"`{text}` is not YAML: {reasons}", origin)
        raise ConfigError([problem], f"quote the value: --set '{key}=\"...\"'") from err
    document = Document(origin)
    reader = _Reader(document, in_file=False)
    value = None if root is None else reader.value(root, path)
    document.put(path, value, Mark(0, 0, origin, ".".join(path)))
    for length in range(1, len(path)):
        document.marks[path[:length]] = Mark(0, 0, origin, ".".join(path[:length]))
    return document


def _compose(text: str, origin: str) -> Node | None:
    """The node tree, after a first pass over the events that stops at what is too large."""
    try:
        _survey(text, origin)
        return _yaml().compose(text)  # type: ignore[no-any-return]  # ruamel is untyped
    except ConfigError:
        raise
    except RecursionError as err:
        raise ConfigError([Problem(0, 0, "", "nested too deeply", origin)]) from err
    except ReaderError as err:
        line = text.count("\n", 0, err.position) + 1
        column = err.position - text.rfind("\n", 0, err.position)
        words = f"control character {err.character!r}; is this a text file?"
        raise ConfigError([Problem(line, column, "", words, origin)]) from err
    except MarkedYAMLError as err:
        raise ConfigError([_syntax_problem(err, text, origin)]) from err
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError) as err:
        # The parser lets a few inputs escape as plain Python errors.
        words = f"cannot be read as YAML: {type(err).__name__}: {err}".splitlines()[0]
        raise ConfigError([Problem(0, 0, "", words, origin)]) from err


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _survey(text: str, origin: str) -> None:
    depth = num_values = num_documents = 0
    for event in _yaml().parse(text):
        name = type(event).__name__
        num_values += name in ("ScalarEvent", "AliasEvent")
        num_documents += name == "DocumentStartEvent"
        depth += name in ("MappingStartEvent", "SequenceStartEvent")
        depth -= name in ("MappingEndEvent", "SequenceEndEvent")
        if depth > MAX_DEPTH:
            raise ConfigError([_at(event, f"nested more than {MAX_DEPTH} deep", origin)])
        if num_values > MAX_VALUES:
            words = f"more than {MAX_VALUES} values; this is no configuration of srgan"
            raise ConfigError([_at(event, words, origin)])
        if num_documents > 1:
            words = "a second document starts here (`---`); one file holds one configuration"
            raise ConfigError([_at(event, words, origin)])


def _at(node: Any, text: str, origin: str) -> Problem:
    mark = node.start_mark
    return Problem(mark.line + 1, mark.column + 1, "", text, origin)


def _syntax_problem(err: MarkedYAMLError, text: str, origin: str) -> Problem:
    mark = err.problem_mark or err.context_mark
    what = err.problem or "cannot be read as YAML"
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    special = _SPECIAL_START.search(line)
    if "'\\t'" in what:
        what = "a tab; YAML is indented with spaces"
    elif special and special.group(1) not in "|>&":
        what += f"; text that starts with {special.group(1)} needs quotes"
    elif "mapping values are not allowed" in what:
        what = "a colon where none can be; is the indentation right, or does a text need quotes?"
    elif err.context and err.context_mark and err.context_mark.line != mark.line:
        what += f" ({err.context} that starts in line {err.context_mark.line + 1})"
    if mark is None:
        return Problem(0, 0, "", what, origin)
    return Problem(mark.line + 1, mark.column + 1, "", what, origin)


def _printable(text: str) -> bool:
    """Whether the text can be written at all; half of a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class _Reader:
    """Walks the node tree; each alias counts as often as it is used."""

    def __init__(self, document: Document, *, in_file: bool = True) -> None:
        self._document = document
        self._in_file = in_file
        self._constructor = _yaml().constructor
        self._num_values = 0
        self._open: set[int] = set()

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        """The mapping's values; at the top they are the document's."""
        values: dict[str, Any] = {} if path else self._document.values
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                first = self._document.marks[here]
                words = f"given a second time; the first is in {first.place}"
                self._report(key_node, here, words)
                continue
            self._document.marks[here] = self._mark(key_node, here)
            values[key] = self.value(value_node, here)
        for value_node in merged:
            self._merge(value_node, values, path)
        return values

    def value(self, node: Node, path: Path) -> Any:
        """The plain value of a node."""
        self._count(node)
        if node.tag not in _PLAIN_TAGS and node.tag != _TAG + "timestamp":
            tag = str(node.tag).replace(_TAG, "!!")
            return self._refuse(node, path, f"the tag {tag} is not used here; write plain values")
        if id(node) in self._open:
            return self._refuse(node, path, "an alias that contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self._item(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, path)
        finally:
            self._open.discard(id(node))

    def _item(self, node: Node, path: Path) -> Any:
        self._document.marks[path] = self._mark(node, path)
        return self.value(node, path)

    def _scalar(self, node: Node, path: Path) -> Any:
        if node.tag == _TAG + "timestamp":
            return node.value
        if _printable(node.value):
            with contextlib.suppress(ValueError, LookupError, YAMLError):
                return self._constructor.construct_object(node)
        text = f"`{ascii(node.value[:40])[1:-1]}` cannot be read as a value"
        return self._refuse(node, path, text)

    def _key(self, node: Node, path: Path) -> str | None:
        self._count(node)
        if isinstance(node, ScalarNode) and node.tag == _TAG + "str" and _printable(node.value):
            return str(node.value)
        written = (
            f"`{ascii(node.value)[1:-1]}`" if isinstance(node, ScalarNode) else "a list or mapping"
        )
        self._report(node, path, f"{written} cannot be a key; keys are words")
        return None

    def _merge(self, node: Node, values: dict[str, Any], path: Path) -> None:
        """YAML's `<<: *defaults`; keys written beside it win."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                self._report(node, path, "`<<` merges mappings only")
                return
            inner = _Reader(Document(self._document.origin), in_file=self._in_file)
            inner._num_values, inner._open = self._num_values, self._open
            added = inner.value(source, path)
            self._num_values = inner._num_values
            self._document.problems += inner._document.problems
            self._document.unreadable |= inner._document.unreadable
            for key, value in (added or {}).items():
                if key not in values:
                    values[key] = value
                    here = (*path, key)
                    marks = inner._document.marks
                    self._document.marks |= {
                        p: m for p, m in marks.items() if p[: len(here)] == here
                    }

    def _count(self, node: Node) -> None:
        self._num_values += 1
        if self._num_values > 2 * MAX_VALUES:
            words = f"aliases that expand to more than {MAX_VALUES} values"
            raise ConfigError([_at(node, words, self._document.origin)])

    def _mark(self, node: Node, path: Path) -> Mark:
        mark = node.start_mark
        line, column = (mark.line + 1, mark.column + 1) if self._in_file else (0, 0)
        return Mark(line, column, self._document.origin, ".".join(map(str, path)))

    def _refuse(self, node: Node, path: Path, text: str) -> None:
        self._report(node, path, text)
        self._document.unreadable.add(path)

    def _report(self, node: Node, path: Path, text: str) -> None:
        self._document.problems.append(self._mark(node, path).problem(text))
