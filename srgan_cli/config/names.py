"""What the schema knows: its keys, their types and allowed values, and the nearest name to a wrong one."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from srgan_cli.config.base import Section
from srgan_cli.config.schema import RunConfig

Keys: TypeAlias = tuple[str, ...]


def children(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section as a file spells them."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_type(annotation: Any) -> type[Section] | None:
    """The section a key holds; None for a plain value."""
    for leaf in leaves(annotation):
        if isinstance(leaf, type) and issubclass(leaf, Section):
            return leaf
    return None


def is_section(field: FieldInfo) -> bool:
    """Whether the key holds a section and nothing else."""
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def leaves(annotation: Any) -> Iterator[Any]:
    """The types and literal values an annotation is made of."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from leaves(get_args(annotation)[0])
    elif origin in (Union, types.UnionType, tuple):
        for argument in get_args(annotation):
            if argument is not Ellipsis:
                yield from leaves(argument)
    elif origin is Literal:
        yield from get_args(annotation)
    else:
        yield annotation


def is_list(annotation: Any) -> bool:
    """Whether the key holds a list."""
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return any(is_list(argument) for argument in get_args(annotation))
    return get_origin(annotation) is tuple


@cache
def all_keys() -> dict[Keys, FieldInfo]:
    """Every key of the schema by its path, sections included."""
    found: dict[Keys, FieldInfo] = {}

    def add(section: type[Section], path: Keys) -> None:
        for name, field in children(section).items():
            here = (*path, name)
            found[here] = field
            inner = section_type(field.annotation)
            if inner is not None:
                add(inner, here)

    add(RunConfig, ())
    return found


def options(path: Keys) -> list[Any]:
    """The literal values that a key allows; empty when it allows others."""
    field = all_keys().get(path)
    if field is None:
        return []
    return [leaf for leaf in leaves(field.annotation) if not isinstance(leaf, type)]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[match[0]] if match else None
