"""A pattern as JSON becomes the ways in which it can match: its `$or` lists multiplied out, each way a set of fields.

Names are joined with dots, so `{"a.b": [1]}` is `{"a": {"b": [1]}}`. A path that is written twice counts as it was
written last, also where a `$or` stands between. Must not know events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final, cast

from sluiceway.rules.patterns.decoding import Members, members_of, read_pattern
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.limits import MAX_DEPTH, InvalidPattern, Limits
from sluiceway.rules.patterns.operators import read_field
from sluiceway.rules.patterns.ways import Way

__all__ = ["OR", "is_or", "read_ways"]

_Fields = dict[str, Field]
OR: Final = "$or"
_path_of: Final = attrgetter("path")
# Event Ruler's Constants: what is an operator, or may be one some day, is no field inside $or
_RESERVED: Final = frozenset(
    {
        *("anything-but", "cidr", "equals-ignore-case", "exactly", "exists", "numeric", "prefix", "suffix", "wildcard"),
        *("=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case"),
        *("date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range"),
        *("ip-address-in-range", "ip-address-not-in-range"),
    }
)


def read_ways(pattern: str | bytes | Mapping[str, object], limits: Limits) -> tuple[Way, ...]:
    """The ways of `pattern`. Raises: InvalidPattern."""
    ways: list[_Fields] = [{}]
    _Compiler(limits).read_object(read_pattern(pattern), "", ways, inside_or=False)
    return tuple(Way(tuple(sorted(fields.values(), key=_path_of))) for fields in ways)


def is_or(value: object) -> bool:
    """Whether the value of a `$or` is what Event Ruler knows as one: two objects or more, no operators among them."""
    options = cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
    members = [members_of(option) for option in options]
    return len(members) >= 2 and all(
        each is not None and not any(name in _RESERVED for name, _ in each) for each in members
    )


class _Compiler:
    """Reads one pattern; `ways` is what has been read so far, extended in place."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._writes_left = limits.combinations * limits.fields  # a pattern that needs more repeats its paths
        self._depth = 0

    def read_object(self, members: Members, prefix: str, ways: list[_Fields], *, inside_or: bool) -> None:
        """`prefix`: the path so far with its dot, "" at the top."""
        self._depth += 1
        if not members:
            raise InvalidPattern("an empty object is not allowed", reason="empty-object", path=prefix[:-1])
        for name, value in members:
            path = prefix + self._name(name, prefix)
            if name == OR and (not self._limits.or_may_be_a_name or is_or(value)):
                self._read_or(value, prefix, ways)
                continue
            if inside_or and name in _RESERVED:
                raise InvalidPattern(f"{name!r} is reserved inside $or", reason="or-reserved", path=path)
            if isinstance(value, list | tuple):
                self._write(read_field(path, cast("Sequence[object]", value), self._limits), ways)
            elif (inner := members_of(value)) is not None:
                self._check_depth(path)
                self.read_object(inner, f"{path}.", ways, inside_or=inside_or)
            else:
                raise InvalidPattern("it must be an object or an array", reason="not-object-or-array", path=path)
        self._depth -= 1

    def _name(self, name: object, prefix: str) -> str:
        if not isinstance(name, str):
            raise InvalidPattern("names are text", reason="name", path=prefix[:-1])
        return name

    def _check_depth(self, path: str) -> None:
        if self._depth > MAX_DEPTH or path.count(".") >= MAX_DEPTH:
            raise InvalidPattern("it is nested too deeply", reason="too-deep", path=path[:100])

    def _write(self, field: Field, ways: list[_Fields]) -> None:
        self._check_depth(field.path)
        self._writes_left -= len(ways)
        for way in ways:
            way[field.path] = field
        if self._writes_left < 0 or max(map(len, ways)) > self._limits.fields:
            raise InvalidPattern(
                f"it has more than {self._limits.fields} fields", reason="too-many-fields", path=field.path
            )

    def _read_or(self, value: object, prefix: str, ways: list[_Fields]) -> None:
        path = prefix + OR
        self._check_depth(path)
        options = cast("Sequence[object]", value) if isinstance(value, list | tuple) else None
        if options is None:
            raise InvalidPattern("it takes an array of objects", reason="or-array", path=path)
        if len(options) < 2:
            raise InvalidPattern("it takes two objects or more", reason="or-two", path=path)
        before = [way.copy() for way in ways]
        ways.clear()
        for option in options:
            members = members_of(option)
            if members is None:
                raise InvalidPattern("it takes objects only", reason="or-object", path=path)
            branch = [way.copy() for way in before]
            self.read_object(members, prefix, branch, inside_or=True)
            ways += branch
            if len(ways) > self._limits.combinations:
                raise InvalidPattern(
                    f"its $or lists allow more than {self._limits.combinations} combinations",
                    reason="too-many-combinations",
                    path=path,
                )
