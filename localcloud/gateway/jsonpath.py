"""JSONPath as mapping templates use it: `$`, `.name`, `['name']`, `[n]`, `[a,b]`, `[a:b]`, `*` and `..`.

Filters, functions and scripts are refused aloud. A definite path gives the value (Absent where there is none), an
indefinite one a list of all it finds.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

__all__ = ["ABSENT", "Absent", "JsonPathError", "find"]


MAX_VISITS: Final = 1_000_000  # ours: values on the way of one path, as many as a state's path has
_SHOWN_CHARS: Final = 200  # of a path, in an error


class JsonPathError(ValueError):
    """A path that is not served; the message names it."""


class Absent:
    """Nothing is at the path."""


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class _Names:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Indexes:
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Slice:
    part: slice


@dataclass(frozen=True, slots=True)
class _Every:
    pass


@dataclass(frozen=True, slots=True)
class _Deep:
    pass


class _Visits:
    """What is left of the bound: a path of `..` and `*` goes everywhere again and again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = MAX_VISITS

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise JsonPathError(f"the JSONPath {_show(self._path)} leads over more than {MAX_VISITS} values")


_Step = _Names | _Indexes | _Slice | _Every | _Deep

_DOTTED: Final = re.compile(r"\.([^.\[\]()\s*?@]+)")
_QUOTED: Final = re.compile(
    r"""\[\s*((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?:\s*,\s*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))*)\s*\]"""
)
_STRING: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NUMBERS: Final = re.compile(r"\[\s*(-?\d{1,9}(?:\s*,\s*-?\d{1,9})*)\s*\]")
_SLICED: Final = re.compile(r"\[\s*(-?\d{0,9})\s*:\s*(-?\d{0,9})\s*\]")
_STAR: Final = re.compile(r"\.\*|\[\s*\*\s*\]")
_DEEP: Final = re.compile(r"\.\.(?=[^.])")
_BARE: Final = re.compile(r"([^.\[\]()\s*?@]+)")


@lru_cache(maxsize=512)
def _parse(path: str) -> tuple[_Step, ...]:
    text = path.strip()
    if not text.startswith("$"):
        text = "$." + text
    position, steps = 1, list[_Step]()
    while position < len(text):
        step, position = _parse_step(text, position)
        steps.append(step)
        if isinstance(step, _Deep) and text[position] not in "[*":
            found = _BARE.match(text, position)
            if found is None:
                raise JsonPathError(f"the JSONPath {_show(path)} is not served here")
            steps.append(_Names((found[1],)))
            position = found.end()
        elif isinstance(step, _Deep) and text[position] == "*":
            steps.append(_Every())
            position += 1
    return tuple(steps)


def _parse_step(text: str, position: int) -> tuple[_Step, int]:
    if found := _DEEP.match(text, position):
        return _Deep(), found.end()
    if found := _STAR.match(text, position):
        return _Every(), found.end()
    if found := _DOTTED.match(text, position):
        return _Names((found[1],)), found.end()
    if found := _QUOTED.match(text, position):
        names = (re.sub(r"\\(.)", r"\1", one or two) for one, two in _STRING.findall(found[1]))
        return _Names(tuple(names)), found.end()
    if found := _NUMBERS.match(text, position):
        return _Indexes(tuple(int(number) for number in found[1].split(","))), found.end()
    if found := _SLICED.match(text, position):
        start, end = (int(number) if number else None for number in found.groups())
        return _Slice(slice(start, end)), found.end()
    raise JsonPathError(f"the JSONPath {_show(text)} is not served here (filters, functions and scripts are not)")


def _show(path: str) -> str:
    return repr(path if len(path) <= _SHOWN_CHARS else f"{path[:_SHOWN_CHARS]}...")


def find(document: Any, path: str) -> Any:
    """What is at `path`; ABSENT where a definite path leads nowhere. Raises JsonPathError."""
    steps = _parse(path)
    found: list[Any] = [document]
    visits = _Visits(path)
    for step in steps:
        taken: list[Any] = []
        for value in found:
            before = len(taken)
            taken.extend(_take(value, step, visits))
            visits.spend(len(taken) - before)
        found = taken
    if all(_is_definite(step) for step in steps):
        return found[0] if found else ABSENT
    return found


def _is_definite(step: _Step) -> bool:
    if isinstance(step, _Names):
        return len(step.names) == 1
    return isinstance(step, _Indexes) and len(step.indexes) == 1


def _take(value: Any, step: _Step, visits: _Visits) -> Iterator[Any]:
    if isinstance(step, _Deep):
        yield from _descend(value, visits)
    elif isinstance(value, dict):
        yield from _take_entries(cast("dict[str, Any]", value), step)
    elif isinstance(value, list):
        yield from _take_items(cast("list[Any]", value), step)


def _take_entries(value: dict[str, Any], step: _Step) -> Iterator[Any]:
    if isinstance(step, _Every):
        yield from value.values()
    elif isinstance(step, _Names):
        if len(step.names) > 1:
            yield {name: value[name] for name in step.names if name in value}
        else:
            yield from (value[name] for name in step.names if name in value)


def _take_items(value: list[Any], step: _Step) -> Iterator[Any]:
    if isinstance(step, _Every):
        yield from value
    elif isinstance(step, _Slice):
        yield from value[step.part]
    elif isinstance(step, _Indexes):
        yield from (value[index] for index in step.indexes if -len(value) <= index < len(value))


def _has_parts(value: object) -> bool:
    return isinstance(value, (dict, list))


def _descend(value: Any, visits: _Visits) -> Iterator[Any]:
    pending: list[Any] = [value]
    while pending:
        current = pending.pop()
        yield current
        parts: list[Any] = []
        if isinstance(current, dict):
            parts = list(cast("dict[str, Any]", current).values())
        elif isinstance(current, list):
            parts = cast("list[Any]", current)
        visits.spend(len(parts))
        pending.extend(part for part in reversed(parts) if _has_parts(part))
