"""The shapes of requests, and what is wrong with a request that does not have its shape, in AWS's words.

All that is wrong is told at once, as AWS does: "2 validation errors detected: Value 'x' at 'targets.1.member.id' failed
to satisfy constraint: ...; Value ...". A value of another JSON type is a SerializationException. What a shape does not
name is passed over, as by AWS. Knows no operation of EventBridge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from localcloud.services.events.errors import EventsError, validation

__all__ = ["Flag", "Items", "Moment", "Shape", "Structure", "Table", "Text", "Whole", "check_request"]

_SHOWN_CHARS: Final = 2_000  # of a value in a message


class Shape(Protocol):
    """One shape."""

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`, which stands at `path` in lower camel case. Raises EventsError for its type."""
        ...


def check_request(shape: Structure, values: object) -> Mapping[str, Any]:
    """The request, if it has its shape; without members that are null.

    Raises EventsError: SerializationException, ValidationException.
    """
    problems = list(shape.check(values, ""))
    if problems:
        plural = "" if len(problems) == 1 else "s"
        raise validation(f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}")
    return cast("dict[str, Any]", values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string. Lengths in characters; `pattern` is a regular expression for the whole of it."""

    low: int = 0
    high: int | None = None
    pattern: str = ""
    choices: tuple[str, ...] = ()

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if not isinstance(value, str):
            raise _wrong_type(value, "a string", path)
        for constraint in self.broken(value):
            yield _violation(value, path, constraint)

    def broken(self, value: str) -> Iterator[str]:
        """The constraints that `value` breaks."""
        yield from _broken_length(len(value), self.low, self.high)
        if self.pattern and not re.fullmatch(self.pattern, value):
            yield f"Member must satisfy regular expression pattern: {self.pattern}"
        if self.choices and value not in self.choices:
            yield f"Member must satisfy enum value set: [{', '.join(self.choices)}]"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(value, "a whole number", path)
        if value < self.low:
            yield _violation(value, path, f"Member must have value greater than or equal to {self.low}")
        if value > self.high:
            yield _violation(value, path, f"Member must have value less than or equal to {self.high}")


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if not isinstance(value, bool):
            raise _wrong_type(value, "a boolean", path)
        yield from ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A date in seconds since 1970, within the years 1 to 9999."""

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type(value, "a timestamp", path)
        if not -62_135_596_800 <= value < 253_402_300_800:
            raise _wrong_type(value, "a timestamp", path)
        yield from ()


@dataclass(frozen=True, slots=True)
class Items:
    """A list of `low` to `high` items."""

    item: Shape
    low: int = 0
    high: int | None = None

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if not isinstance(value, list):
            raise _wrong_type(value, "a list", path)
        items = cast("list[object]", value)
        for constraint in _broken_length(len(items), self.low, self.high):
            shown = f"[{', '.join(_show(item, self.item) for item in items[: (self.high or 0) + 1])}]"
            yield _violation(shown, path, constraint)
        for number, item in enumerate(items, 1):
            yield from self.item.check(item, f"{path}.{number}.member")


@dataclass(frozen=True, slots=True)
class Table:
    """A map of text, of at most `high` entries."""

    key: Text
    value: Text
    high: int

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`."""
        if not isinstance(value, dict):
            raise _wrong_type(value, "a map", path)
        entries = cast("dict[str, object]", value)
        shown = f"{{{', '.join(f'{name}={entry}' for name, entry in entries.items())}}}"
        for constraint in _broken_length(len(entries), 0, self.high):
            yield _violation(shown, path, constraint)
        for name, entry in entries.items():
            broken = list(self.key.broken(name))
            if broken:
                yield _violation(shown, path, f"Map keys must satisfy constraint: [{', '.join(broken)}]")
            yield from self.value.check(entry, f"{path}.{name}.member")


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure: its members and which of them are required. `name` is how AWS shows it in a message."""

    members: Mapping[str, Shape] = field(default_factory=dict[str, Shape])
    required: tuple[str, ...] = ()
    name: str = ""

    def check(self, value: object, path: str) -> Iterator[str]:
        """What is wrong with `value`; members that are null are taken out of it."""
        if not isinstance(value, dict):
            raise _wrong_type(value, "a structure", path)
        given = cast("dict[str, object]", value)
        for name in [name for name, member in given.items() if member is None]:
            del given[name]
        for name in self.required:
            if name not in given:
                yield f"Value null at '{_at(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, shape in self.members.items():
            if name in given:
                yield from shape.check(given[name], _at(path, name))

    def show(self, value: Mapping[str, object]) -> str:
        """The structure as AWS writes it in messages."""
        shown = (f"{name[:1].lower()}{name[1:]}={_show_scalar(value.get(name))}" for name in self.members)
        return f"{self.name}({', '.join(shown)})"


def _show(value: object, shape: Shape) -> str:
    if isinstance(shape, Structure) and isinstance(value, dict):
        return shape.show(cast("dict[str, object]", value))
    return _show_scalar(value)


def _show_scalar(value: object) -> str:
    return "null" if value is None else str(value)


def _at(path: str, name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _broken_length(length: int, low: int, high: int | None) -> Iterator[str]:
    if length < low:
        yield f"Member must have length greater than or equal to {low}"
    if high is not None and length > high:
        yield f"Member must have length less than or equal to {high}"


def _violation(value: object, path: str, constraint: str) -> str:
    shown = str(value)
    cut = f"{shown[:_SHOWN_CHARS]}..." if len(shown) > _SHOWN_CHARS else shown
    return f"Value '{cut}' at '{path}' failed to satisfy constraint: {constraint}"


def _wrong_type(value: object, expected: str, path: str) -> EventsError:
    kind = "null" if value is None else type(value).__name__
    return EventsError("SerializationException", f"{path or 'The request'} is not {expected} ({kind}).")
