"""What was written in a configuration file or an override: plain values, and the place of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from srgan_cli.errors import Problem

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """Where a key was written, and how."""

    line: int
    """1-based; 0 for `--set`."""
    column: int
    origin: str
    key: str
    """Dotted path as written."""

    def problem(self, text: str, rest: Path = ()) -> Problem:
        """A problem at this place; `rest` are the path's parts below it."""
        key = ".".join([self.key, *map(str, rest)]) if self.key else ".".join(map(str, rest))
        return Problem(self.line, self.column, key, text, self.origin)

    @property
    def place(self) -> str:
        """In words, for messages that name two places."""
        return f"line {self.line}" if self.line else self.origin


@dataclass
class Document:
    """Plain values, and where each of them was written."""

    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unreadable: set[Path] = field(default_factory=set)
    """Paths whose value is already among the problems."""

    def has(self, path: Path) -> bool:
        """Whether the path was written."""
        return path in self.marks

    def get(self, path: Path) -> Any:
        """The value at a path; None where nothing is."""
        value: Any = self.values
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return None
            value = value[part]
        return value

    def put(self, path: Path, value: Any, mark: Mark) -> None:
        """Set a value; what is no section on the way is left alone."""
        target: Any = self.values
        for part in path[:-1]:
            if target.get(part) is None:
                target[part] = {}
            target = target[part]
            if not isinstance(target, dict):
                return
        target[path[-1]] = value
        self.marks[path] = mark

    def drop(self, path: Path) -> None:
        """Remove a value and the marks at and below it."""
        holder: Any = self.get(path[:-1]) if len(path) > 1 else self.values
        if isinstance(holder, dict):
            holder.pop(path[-1], None)
        self.marks = {p: mark for p, mark in self.marks.items() if p[: len(path)] != path}

    def mark_near(self, path: Path) -> tuple[Mark, Path]:
        """The mark of the path, or else of the nearest section around it, and what is left."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]], path[length:]
        return Mark(0, 0, self.origin, ""), path

    def drop_unreadable(self) -> None:
        """Remove the values that are already among the problems; of a list, the whole list."""
        for path in self.unreadable:
            names = [i for i, part in enumerate(path) if isinstance(part, int)]
            self.drop(path[: names[0]] if names else path)

    def problem(self, path: Path, text: str) -> Problem:
        """A problem with the value at a path."""
        mark, rest = self.mark_near(path)
        return mark.problem(text, rest)
