"""A document against the schema: every unknown key, wrong value and contradiction, with its place."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from srgan_cli.config import explain, names
from srgan_cli.config.agree import Disagreement
from srgan_cli.config.base import Section
from srgan_cli.config.document import Document, Path
from srgan_cli.config.schema import RunConfig
from srgan_cli.errors import Problem


def clean(document: Document) -> list[Problem]:
    """Remove what is no key or is empty on purpose; returns the problems."""
    return _clean_section(document, RunConfig, ())


def validate(document: Document) -> tuple[RunConfig | None, list[Problem]]:
    """The configuration, or its problems; contradictions among the valid keys are found as well."""
    bad = {_dotted(path) for path in document.unreadable}
    problems = []
    try:
        return RunConfig.model_validate(document.values), []
    except ValidationError as err:
        first = err
    for path, text in explain.findings(first, document.values):
        problems.append(document.problem(path, text))
        bad.add(_dotted(path))
    found = explain.contradictions(first) or _contradictions_without(document, bad)
    fair = [each for each in found if not bad.intersection((each.key, *each.others))]
    return None, problems + [_contradiction(document, each) for each in fair]


def _clean_section(
    document: Document, section: type[Section], path: tuple[str, ...]
) -> list[Problem]:
    values = document.get(path) if path else document.values
    fields = names.children(section)
    problems = []
    for key in list(values):
        here = (*path, key)
        field = fields.get(key)
        if field is None:
            problems.append(document.problem(here, explain.unknown_key(here)))
            document.drop(here)
            continue
        inner = names.section_type(field.annotation)
        value = values[key]
        if value is None and (inner is not None or names.is_list(field.annotation)):
            # A key with nothing after the colon: the section with its defaults.
            del values[key]
        elif inner is not None and isinstance(value, dict):
            problems += _clean_section(document, inner, here)
        else:
            problems += _clean_booleans(document, here, value, field.annotation)
    return problems


def _clean_booleans(
    document: Document, path: tuple[str, ...], value: Any, annotation: Any
) -> list[Problem]:
    """Python counts true as 1; a file that says so is mistaken."""
    leaves = set(names.leaves(annotation))
    if bool in leaves or not any(leaf in (int, float) or type(leaf) is int for leaf in leaves):
        return []
    items = value if isinstance(value, list) else [value]
    wrong = [index for index, item in enumerate(items) if isinstance(item, bool)]
    problems = []
    for index in wrong:
        place: Path = (*path, index) if isinstance(value, list) else path
        text = f"should be a number, not {explain.shown(items[index])}"
        problems.append(document.problem(place, text))
    if wrong:
        document.unreadable.add(path)
        document.drop(path)
    return problems


def _contradictions_without(document: Document, bad: set[str]) -> list[Disagreement]:
    """Contradictions among the rest of the keys, the invalid ones at their defaults."""
    rest = Document(document.origin, _copy(document.values))
    for dotted in bad:
        rest.drop(tuple(dotted.split(".")))
    try:
        RunConfig.model_validate(rest.values)
    except ValidationError as err:
        return explain.contradictions(err)
    return []


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def _dotted(path: Path) -> str:
    """The key of a path; an item of a list counts as the list."""
    keys = []
    for part in path:
        if isinstance(part, int):
            break
        keys.append(part)
    return ".".join(keys)


def _contradiction(document: Document, found: Disagreement) -> Problem:
    """At the key to change; where that is not written, at one it does not fit with."""
    path = tuple(found.key.split("."))
    if document.has(path):
        return document.problem(path, found.text)
    for other in found.others:
        mark = document.marks.get(tuple(other.split(".")))
        if mark is not None:
            return Problem(mark.line, mark.column, found.key, found.text, mark.origin)
    return document.problem(path, found.text)
