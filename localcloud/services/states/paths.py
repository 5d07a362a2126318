"""JSONPath as States Language has it, over a state's input, the context object (`$$`) and variables (`$name`). Pure.

`$`, `.name`, `['name']`, `[n]`, `[a,b]`, `[a:b:c]`, `*`, `..` and filters `[?(@.price < 10 && @.kind == 'a')]`.
Functions (`.length()`) and regular expressions in filters are refused. A definite path gives the value, an indefinite
one a list.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-paths.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, cast

from localcloud.json_text import MAX_DEPTH
from localcloud.services.states.budget import MAX_VISITS, Budget
from localcloud.services.states.filters import MISSING, BadFilter, Predicate, parse_filter

__all__ = ["MISSING", "BadPath", "Path", "Scope", "find", "parse_path", "parse_reference"]


class BadPath(ValueError):
    """The text is no path that is served."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What paths look into: `$`, `$$` and the variables by name."""

    value: Any
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Names:
    """`.name`, `['a','b']`."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Indexes:
    """`[0]`, `[0,-1]`."""

    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """`[1:3]`."""

    part: slice


@dataclass(frozen=True, slots=True)
class Every:
    """`*`."""


@dataclass(frozen=True, slots=True)
class Deep:
    """`..`."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`[?(...)]`."""

    predicate: Predicate


Step = Names | Indexes | Slice | Every | Deep | Filter


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. `root`: "$", "$$" or a variable's name."""

    text: str
    root: str
    steps: tuple[Step, ...]

    @property
    def is_definite(self) -> bool:
        """Whether it leads to one value at most."""
        return all(
            (isinstance(step, Names) and len(step.names) == 1) or (isinstance(step, Indexes) and len(step.indexes) == 1)
            for step in self.steps
        )


_ROOT: Final = re.compile(r"\$\$|\$(?P<name>[^\W\d]\w*)?")
_DOTTED: Final = re.compile(r"\.([^.\[\]()\s*?@,'\"]+)(?!\()")
_BARE: Final = re.compile(r"([^.\[\]()\s*?@,'\"]+)")
_ONE_NAME: Final = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_QUOTED: Final = re.compile(rf"\[\s*({_ONE_NAME}(?:\s*,\s*{_ONE_NAME})*)\s*\]")
_STRING: Final = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_NUMBERS: Final = re.compile(r"\[\s*(-?\d{1,9}(?:\s*,\s*-?\d{1,9})*)\s*\]")
_SLICED: Final = re.compile(r"\[\s*(-?\d{0,9})\s*:\s*(-?\d{0,9})\s*(?::\s*(\d{0,9})\s*)?\]")
_STAR: Final = re.compile(r"\.\*|\[\s*\*\s*\]")
_DEEP: Final = re.compile(r"\.\.(?=[^.])")


@lru_cache(maxsize=2048)
def parse_path(text: str) -> Path:
    """The path in `text`. Raises BadPath."""
    root = _ROOT.match(text)
    if root is None:
        raise BadPath(text)
    position, steps = root.end(), list[Step]()
    while position < len(text):
        step, position = _parse_step(text, position)
        steps.append(step)
        if isinstance(step, Deep) and text[position] != "[":
            step, position = _parse_after_deep(text, position)
            steps.append(step)
    return Path(text, root["name"] or root[0], tuple(steps))


@lru_cache(maxsize=512)
def parse_reference(text: str) -> Path:
    """A reference path: to one place in a state's data, no deeper than JSON is read; of ResultPath. Raises BadPath."""
    path = parse_path(text)
    if path.root != "$" or not path.is_definite or len(path.steps) > MAX_DEPTH:
        raise BadPath(text)
    return path


def find(path: Path, scope: Scope) -> Any:
    """What is at the path; MISSING where a definite path, or its variable, leads nowhere.

    Raises StateFailure States.DataLimitExceeded for a path of `..` and `*` that goes everywhere again and again.
    """
    root = _root(path, scope)
    if root is MISSING:
        return MISSING
    found = list(_walk(root, path.steps, root))
    if path.is_definite:
        return found[0] if found else MISSING
    return found


def _root(path: Path, scope: Scope) -> Any:
    if path.root == "$":
        return scope.value
    return scope.context if path.root == "$$" else scope.variables.get(path.root, MISSING)


def _parse_after_deep(text: str, position: int) -> tuple[Step, int]:
    if text[position] == "*":
        return Every(), position + 1
    found = _BARE.match(text, position)
    if found is None:
        raise BadPath(text)
    return Names((found[1],)), found.end()


def _parse_step(text: str, position: int) -> tuple[Step, int]:
    if text.startswith("[?(", position):
        return _parse_filter(text, position)
    for pattern, make in _STEPS:
        found = pattern.match(text, position)
        if found is not None:
            return make(found), found.end()
    raise BadPath(text)


def _parse_filter(text: str, position: int) -> tuple[Step, int]:
    try:
        predicate, end = parse_filter(text, position + 2, _parse_inner)
    except BadFilter as error:
        raise BadPath(text) from error
    if not text.startswith("]", end):
        raise BadPath(text)
    return Filter(predicate), end + 1


def _parse_inner(text: str) -> Any:
    """How a filter finds what its own paths lead to: a function of the value."""
    path = parse_path(text)
    if path.root != "$":
        raise BadPath(text)

    def find_inner(value: Any) -> Any:
        found = list(_walk(value, path.steps, value))
        if path.is_definite:
            return found[0] if found else MISSING
        return found or MISSING

    return find_inner


def _names(found: re.Match[str]) -> Step:
    names = (re.sub(r"\\(.)", r"\1", one or two) for one, two in _STRING.findall(found[1]))
    return Names(tuple(names))


def _slice(found: re.Match[str]) -> Step:
    start, end, step = (int(number) if number else None for number in found.groups())
    return Slice(slice(start, end, step or None))


def _indexes(found: re.Match[str]) -> Step:
    return Indexes(tuple(int(number) for number in found[1].split(",")))


_STEPS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Step]], ...]] = (
    (_DEEP, lambda _: Deep()),
    (_STAR, lambda _: Every()),
    (_DOTTED, lambda found: Names((found[1],))),
    (_QUOTED, _names),
    (_NUMBERS, _indexes),
    (_SLICED, _slice),
)


def _walk(value: Any, steps: tuple[Step, ...], root: Any) -> Iterator[Any]:
    values, budget = list[Any]([value]), Budget(MAX_VISITS)
    for step in steps:
        taken: list[Any] = []
        for each in values:
            before = len(taken)
            taken.extend(_take(each, step, root, budget=budget))
            budget.spend(len(taken) - before)
        values = taken
    yield from values


def _take(value: Any, step: Step, root: Any, *, budget: Budget) -> Iterator[Any]:
    if isinstance(step, Deep):
        yield from _descend(value, budget)
    elif isinstance(value, dict):
        yield from _take_members(cast("dict[str, Any]", value), step, root)
    elif isinstance(value, list):
        yield from _take_items(cast("list[Any]", value), step, root)


def _take_members(value: dict[str, Any], step: Step, root: Any) -> Iterator[Any]:
    if isinstance(step, Every):
        yield from value.values()
    elif isinstance(step, Filter):
        if step.predicate(value, root):
            yield value
    elif isinstance(step, Names):
        if len(step.names) > 1:
            yield {name: value[name] for name in step.names if name in value}
        else:
            yield from (value[name] for name in step.names if name in value)


def _take_items(value: list[Any], step: Step, root: Any) -> Iterator[Any]:
    if isinstance(step, Every):
        yield from value
    elif isinstance(step, Slice):
        yield from value[step.part]
    elif isinstance(step, Filter):
        yield from (each for each in value if step.predicate(each, root))
    elif isinstance(step, Indexes):
        yield from (value[index] for index in step.indexes if -len(value) <= index < len(value))


def _descend(value: Any, budget: Budget) -> Iterator[Any]:
    pending: list[Any] = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict | list):
            yield current
        parts: list[Any] = []
        if isinstance(current, dict):
            parts = list(cast("dict[str, Any]", current).values())
        elif isinstance(current, list):
            parts = cast("list[Any]", current)
        budget.spend(len(parts))
        pending.extend(reversed(parts))
