"""Which values of an event go together: fields inside one array must be found in one element of it.

An element may hold arrays again, and each array has one element to give: for every array on the way down, all fields
that lie in it are looked for in one element after the other. Arrays beside each other have nothing to do with each
other, so the event is read a few times at most and nothing is tried in combinations. Values that stand in an array
themselves, without an object or array around them, bind nothing.

`exists: false` asks about the elements chosen so far, and Event Ruler looks for the fields in the order of their paths:
so a field is absent when the fields before it lie in an element that has it not, though other elements may have it. It
is a quirk, and it is what EventBridge answers, so it is kept.

An event that says a path both with dots in a name and without (`{"a.b": [..], "a": {"b": [..]}}`) has two arrays in one
place. To find out then is a puzzle in general (it is satisfiability), so what is tried is counted.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from sluiceway.errors import Rejected
from sluiceway.rules.patterns.fields import Field
from sluiceway.rules.patterns.paths import Found, Spread, is_beyond
from sluiceway.rules.patterns.values import Key, key_of

__all__ = ["match_arrays"]

ELEMENT_WORK: Final = 10  # values that could be tried in the time that a look into an element takes
MAX_TRIES: Final = 10_000  # of an event with two arrays in one place; others need none


class _Wanted(NamedTuple):
    """A field to be found. `must`: being absent will not do (any more)."""

    names: tuple[str, ...]
    field: Field
    must: bool


class _TwoInOnePlace(Exception):
    """A name with dots and names without lead to the same path."""


def match_arrays(fields: Sequence[Field], found: Found, event: Mapping[str, object]) -> bool:
    """Whether the fields that are spread over arrays can be found together. `fields` are sorted by path.

    Raises: Rejected (`ambiguous-event`).
    """
    spread = [field for field in fields if found.get(field.path).__class__ is Spread]
    if len(spread) == 1:
        return spread[0].accepts_any(cast("Spread", found[spread[0].path]))
    found.spend(found.elements * len(spread) * ELEMENT_WORK)
    wanted = [_Wanted(tuple(each.path.split(".")), each, not each.may_be_absent) for each in spread]
    try:
        return _match_object(event, wanted, at=0, depth=0)
    except _TwoInOnePlace:
        return _Puzzle(event, wanted).solve()


def _match_object(members: Mapping[str, object], wanted: Sequence[_Wanted], *, at: int, depth: int) -> bool:
    """`at`: how many names of each wanted field lead to this object; `depth`: what lies around it, as in `paths`."""
    groups: dict[str, list[_Wanted]] = {}
    for each in wanted:  # sorted by path, "a-b" stands between "a" and "a.b"
        groups.setdefault(each.names[at], []).append(each)
    places = _places(members, groups)
    for name, group in groups.items():
        if name not in places:
            if any(each.must for each in group):
                return False
        elif not _match(places[name], group, at=at + 1, depth=depth + (depth > 0)):
            return False
    return True


def _match(value: object, wanted: Sequence[_Wanted], *, at: int, depth: int) -> bool:
    """Whether all that is wanted is found in `value`, or absent from it, as it may."""
    if is_beyond(value, depth):
        return not any(each.must for each in wanted)
    if isinstance(value, list | tuple):
        return _match_array(cast("Sequence[object]", value), wanted, at=at, depth=depth)
    here = [each for each in wanted if len(each.names) == at]
    deeper = wanted[len(here) :]
    if isinstance(value, Mapping):
        if any(each.must for each in here):
            return False  # an object is no value
        return not deeper or _match_object(cast("Mapping[str, object]", value), deeper, at=at, depth=depth)
    if any(each.must for each in deeper):
        return False
    return all(each.field.accepts(key_of(value)) for each in here)


def _match_array(array: Sequence[object], wanted: Sequence[_Wanted], *, at: int, depth: int) -> bool:
    """All that is wanted lies in one element; only the field of the array's own path may lie beside."""
    first = wanted[0]
    if len(first.names) == at and any(first.field.accepts(key_of(value)) for value in array if not _holds_more(value)):
        if _match_element(array, wanted[1:], at=at, depth=depth):
            return True
        if all(each.must for each in wanted[1:]):
            return False  # to find the first one in an element too cannot help the others
    return _match_element(array, wanted, at=at, depth=depth)


def _match_element(array: Sequence[object], wanted: Sequence[_Wanted], *, at: int, depth: int) -> bool:
    for position, each in enumerate(wanted):
        if not each.must and not _occurs(array, each, at=at, depth=depth):
            continue  # no element has it
        chosen = [each._replace(must=True), *wanted[position + 1 :]]
        return any(_match(element, chosen, at=at, depth=depth + 1) for element in array if _holds_more(element))
    return True


def _occurs(value: object, wanted: _Wanted, *, at: int, depth: int) -> bool:
    """Whether `value` has any value at the path."""
    if is_beyond(value, depth):
        return False
    if isinstance(value, list | tuple):
        elements = cast("Sequence[object]", value)
        return any(_occurs(element, wanted, at=at, depth=depth + 1) for element in elements)
    if not isinstance(value, Mapping):
        return len(wanted.names) == at
    if len(wanted.names) == at:
        return False
    name = wanted.names[at]
    places = _places(cast("Mapping[str, object]", value), (name,))
    return name in places and _occurs(places[name], wanted, at=at + 1, depth=depth + (depth > 0))


def _holds_more(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _places(members: Mapping[str, object], wanted: Container[str]) -> Mapping[str, object]:
    """The members by their first name, those whose names have dots one level down. Raises: _TwoInOnePlace."""
    if not any("." in name for name in members):
        return members
    places: dict[str, object] = {}
    for name, value in members.items():
        first, dot, rest = name.partition(".")
        if first in wanted and first in places:
            raise _TwoInOnePlace
        places[first] = {rest: value} if dot else value
    return places


class _Place(NamedTuple):
    """One value of a path, with the elements it lies in by the array's number."""

    key: Key
    elements: dict[int, int]


class _Puzzle:
    """Finds the fields one after the other, each in every place that goes with the places before it."""

    def __init__(self, event: Mapping[str, object], wanted: Sequence[_Wanted]) -> None:
        self._wanted = wanted
        self._tries_left = MAX_TRIES
        self._arrays = 0
        self._places: dict[str, list[_Place]] = {each.field.path: [] for each in wanted}
        self._beginnings = {path[:end] for path in self._places for end in _ends(path)}
        self._collect(event, None, {})

    def solve(self) -> bool:
        """Raises: Rejected when it takes too many tries."""
        return self._fit(0, {})

    def _fit(self, position: int, chosen: dict[int, int]) -> bool:
        if position == len(self._wanted):
            return True
        field = self._wanted[position].field
        self._tries_left -= 1
        if self._tries_left < 0:
            raise Rejected("the event says paths in too many ways", reason="ambiguous-event", field=field.path)
        fitting = [place for place in self._places[field.path] if _agree(place.elements, chosen)]
        if field.may_be_absent and not fitting:
            return self._fit(position + 1, chosen)
        return any(self._fit(position + 1, chosen | place.elements) for place in fitting if field.accepts(place.key))

    def _collect(self, value: object, path: str | None, elements: dict[int, int], *, depth: int = 0) -> None:
        if is_beyond(value, depth):
            return
        if isinstance(value, Mapping):
            for name, inner in cast("Mapping[str, object]", value).items():
                inner_path = name if path is None else f"{path}.{name}"
                if inner_path in self._beginnings:
                    self._collect(inner, inner_path, elements, depth=depth + (depth > 0))
        elif isinstance(value, list | tuple):
            array, self._arrays = self._arrays, self._arrays + 1
            for index, element in enumerate(cast("Sequence[object]", value)):
                inside = elements | {array: index} if _holds_more(element) else elements
                self._collect(element, path, inside, depth=depth + 1)
        elif path in self._places:
            self._places[path].append(_Place(key_of(value), elements))


def _ends(path: str) -> Iterator[int]:
    """Where the beginnings of `path` end that are paths themselves."""
    yield from (at for at, character in enumerate(path) if character == ".")
    yield len(path)


def _agree(elements: Mapping[int, int], chosen: Mapping[int, int]) -> bool:
    return all(chosen.get(array, index) == index for array, index in elements.items())
