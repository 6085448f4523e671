"""pydantic's findings in the words of someone who edits YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from srgan_cli.config import compat, names
from srgan_cli.config.schema import DisagreementError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from srgan_cli.config.agree import Disagreement
    from srgan_cli.config.document import Path

Finding = tuple["Path", str]

_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list such as [0, 1]",
    "list": "a list such as [0, 1]",
    "model": "a section with keys below it",
    "dict": "a section with keys below it",
}
"""What pydantic's error types ask for, by the start of their names."""


def findings(err: ValidationError, values: Mapping[str, Any]) -> list[Finding]:
    """(path in the file, text) of every invalid value."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    for detail in err.errors():
        # A mapping is never meant as one of the names that its key allows as well.
        named = detail["type"] == "literal_error" and isinstance(detail["input"], dict)
        if _disagreements(detail) is None and not named:
            by_path.setdefault(_real_path(detail, values), []).append(detail)
    # Where an item of a list is to blame, the list is not called a wrong number as well.
    parents = {path[:-1] for path in by_path if path and isinstance(path[-1], int)}
    return [
        (path, _text(path, _best(details)))
        for path, details in by_path.items()
        if path not in parents
    ]


def contradictions(err: ValidationError) -> list[Disagreement]:
    """The keys that do not fit together."""
    return [found for detail in err.errors() for found in _disagreements(detail) or []]


def unknown_key(path: tuple[str, ...]) -> str:
    """What to say about a key that the schema does not have."""
    *section, name = path
    keys = [key for key in names.all_keys() if key[:2] != ("Data", "normalization")]
    old = {dotted.rpartition(".")[2]: new for dotted, new in compat.MOVED.items()}
    places = [".".join(key) for key in keys if key[-1] == name] or list(old.get(name, ()))
    if places:
        return f"unknown key; it belongs at {_either(places)}"
    siblings = [key[-1] for key in names.all_keys() if key[:-1] == tuple(section)]
    match = names.nearest(name, [*siblings, *compat.spellings(".".join(section))])
    if match:
        return f"unknown key; did you mean `{match}`?"
    far = names.nearest(name, {key[-1] for key in keys})
    places = [".".join(key) for key in keys if key[-1] == far]
    if places:
        return f"unknown key; did you mean {_either(places)}?"
    return "unknown key" if section else f"unknown key; the sections are {', '.join(siblings)}"


def _either(places: list[str]) -> str:
    return " or ".join(f"`{place}`" for place in places)


def shown(value: Any) -> str:
    """A value as YAML would show it, cut to a readable length."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = str(value)
    text = text if len(text) <= 40 else text[:37] + "..."
    return repr(text) if isinstance(value, str) else text


def _disagreements(detail: ErrorDetails) -> list[Disagreement] | None:
    error = detail.get("ctx", {}).get("error")
    return error.problems if isinstance(error, DisagreementError) else None


def _real_path(detail: ErrorDetails, values: Any) -> Path:
    """The location in the file: without the names of the union members that were tried."""
    path: list[str | int] = []
    *_, last = detail["loc"] or ("",)
    for part in detail["loc"]:
        in_mapping = isinstance(values, dict) and part in values
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if in_mapping or in_list:
            values = values[part]
            path.append(part)
        elif isinstance(values, dict) and detail["type"] == "missing" and part == last:
            path.append(part)
    return tuple(path)


def _best(details: list[ErrorDetails]) -> ErrorDetails:
    """Of what the members of a union said, the one that fits the kind of value given."""
    given = details[-1]["input"]
    fitting = [
        detail for detail in details if isinstance(given, dict) or detail["type"] != "model_type"
    ]
    if isinstance(given, list):
        lists = ("tuple", "list", "too_short", "too_long", "missing")
        fitting = [each for each in fitting if each["type"].startswith(lists)] or fitting
    return (fitting or details)[-1]


def _text(path: Path, detail: ErrorDetails) -> str:
    given, kind, ctx = detail["input"], detail["type"], detail.get("ctx", {})
    keys = tuple(part for part in path if isinstance(part, str))
    if given is None and kind != "missing":
        return _empty(keys)
    if kind == "literal_error":
        return _not_an_option(keys, given)
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        words = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below"}
        limit = ctx.get("gt", ctx.get("ge", ctx.get("lt", ctx.get("le"))))
        plain = f"{limit:g}" if isinstance(limit, float) else limit
        return f"{shown(given)} is out of range; it must be {words.get(kind, 'at most')} {plain}"
    if kind == "missing":
        short = isinstance(given, (list, tuple))
        return f"has {len(given)} entries, which is too few" if short else "is missing"
    if kind == "value_error":
        return str(ctx.get("error", detail["msg"]))
    return _wrong_type(kind, given, ctx) or detail["msg"].replace("Input should", "should")


def _wrong_type(kind: str, given: Any, ctx: Mapping[str, Any]) -> str:
    what = shown(given)
    if kind in ("too_short", "too_long"):
        limit = ctx.get("max_length", ctx.get("min_length"))
        return f"has {ctx.get('actual_length')} entries; it takes {limit}"
    if kind == "string_pattern_mismatch":
        return f"{what} is no device; use auto, cpu, cuda, or cuda:0 and so on"
    for prefix, words in _KINDS.items():
        if kind.startswith(prefix):
            is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
            quoted = f'; write "{given}"' if prefix == "string" and is_number else ""
            return f"should be {words}, not {what}{quoted}"
    return ""


def _empty(keys: tuple[str, ...]) -> str:
    field = names.all_keys().get(keys)
    if field is None or field.is_required():
        return "is empty"
    default = shown(field.get_default(call_default_factory=True))
    return f"is empty; give a value, or remove the key for the default {default}"


def _not_an_option(keys: tuple[str, ...], given: Any) -> str:
    options = [option for option in names.options(keys) if option is not None]
    listed = ", ".join(str(option) for option in options)
    known = {str(option): str(option) for option in options} | compat.VALUES.get(".".join(keys), {})
    match = names.nearest(given, known) if isinstance(given, str) else None
    guess = f"; did you mean `{known[match]}`?" if match else ""
    return f"{shown(given)} is not one of {listed}{guess}"
