"""The values of an event at the paths that somebody asks for.

The paths asked for are a tree of names; an event is walked along it, so what nobody asks for costs one look. An event's
name with dots is that many names. Arrays are passed through: the elements of an array stand where the array stands.
Must not know what is asked of the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from sluiceway.errors import Rejected
from sluiceway.rules.patterns.limits import MAX_DEPTH
from sluiceway.rules.patterns.values import InexactNumber, Key, key_of

__all__ = ["MAX_WORK", "Found", "Paths", "Several", "Spread", "is_beyond"]


MAX_WORK: Final = 10_000_000  # values tried of one event, by all patterns together: two seconds of a core, or three
LOOK: Final = 2  # values tried take as long as one that is looked at


class Several(set[Key]):
    """The keys of a path that has several values."""

    __slots__ = ()


class Spread(Several):
    """The same, of a path that leads through elements of an array: which values go together is to be looked at."""

    __slots__ = ()


class Found(dict[str, Key | Several]):
    """What an event has at the paths asked for. A path without a value is not in it.

    `elements`: how many objects and arrays lie in arrays that lead there, which a look at the arrays may have to try.
    `work_left`: how many values may still be tried. Of the class, until an event has arrays: every event pays for more.
    `is_short`: there is no time for as many as usual, and values that are looked at count as well.
    """

    elements: int = 0
    work_left: int = MAX_WORK
    is_short: bool = False

    def spend(self, work: int) -> None:
        """Before so many values are tried. Raises: Rejected (`ambiguous-event`) where that is too much altogether."""
        self.work_left -= work
        if self.work_left < 0:
            raise Rejected("the event's arrays are too long for so many patterns", reason="ambiguous-event")


_SCALARS: Final = frozenset({int, float, bool, type(None), InexactNumber})


class _Step:
    """One name of the paths. `path` is "the whole path" where somebody asks for it, None elsewhere."""

    __slots__ = ("asked", "next", "path")

    def __init__(self) -> None:
        self.asked = 0
        self.next: dict[str, _Step] = {}
        self.path: str | None = None

    def descend(self, names: str) -> _Step | None:
        """The step that `names`, joined with dots, lead to."""
        step: _Step | None = self
        for name in names.split("."):
            step = step.next.get(name) if step is not None else None
        return step


class Paths:
    """A changing collection of paths; one that is added twice is removed by the second `remove`."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root = _Step()

    def add(self, path: str) -> None:
        """Ask for `path`, names joined with dots."""
        step = self._root
        for name in path.split("."):
            step = step.next.setdefault(name, _Step())
        step.asked += 1
        step.path = path

    def remove(self, path: str) -> None:
        """Take back one `add`."""
        chain = [(self._root, "")]
        for name in path.split("."):
            chain.append((chain[-1][0].next[name], name))
        last = chain[-1][0]
        last.asked -= 1
        if last.asked == 0:
            last.path = None
        while len(chain) > 1 and not chain[-1][0].asked and not chain[-1][0].next:
            _, name = chain.pop()
            del chain[-1][0].next[name]

    def find(self, event: Mapping[str, object], *, work: int = MAX_WORK) -> Found:
        """What `event` has at the paths. Raises: TypeError for what is no JSON there.

        With `work` below MAX_WORK that is what there is time for: Rejected (`ambiguous-event`) where it is too little.
        """
        found = Found()
        if work < MAX_WORK:
            found.work_left, found.is_short = work, True
        dotted: list[tuple[_Step, object]] = []
        _walk(event, self._root, found, dotted=dotted)
        for step, value in dotted:
            _gather(value, step, found, depth=0, inside=False)
        return found


def _walk(event: Mapping[str, object], step: _Step, found: Found, *, dotted: list[tuple[_Step, object]]) -> None:
    """The part of an event outside of arrays, where a path has one value."""
    if found.is_short:
        found.spend(LOOK * len(event))
    asked = step.next.get
    for name, value in event.items():
        next_step = asked(name)
        kind = value.__class__
        if next_step is None:
            if "." in name and (next_step := step.descend(name)) is not None:
                dotted.append((next_step, value))
        elif kind is str and next_step.path is not None:
            found[next_step.path] = cast("str", value)
        elif kind is dict:
            _walk(cast("dict[str, object]", value), next_step, found, dotted=dotted)
        elif kind in _SCALARS and next_step.path is not None:
            found[next_step.path] = key_of(value)
        else:
            _gather(value, next_step, found, depth=0, inside=False)


def _gather(value: object, step: _Step, found: Found, *, depth: int, inside: bool) -> None:
    """The values in `value`, beside what is found already. `inside`: it stands in an element of an array."""
    if is_beyond(value, depth):
        return
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        if found.is_short:
            found.spend(LOOK * len(members))
        for name, inner in members.items():
            next_step = step.next.get(name) or (step.descend(name) if "." in name else None)
            if next_step is not None:
                _gather(inner, next_step, found, depth=depth + inside, inside=inside)
    elif isinstance(value, list | tuple):
        _gather_elements(cast("Sequence[object]", value), step, found, depth=depth + 1, inside=inside)
    elif step.path is not None:
        _add(key_of(value), step.path, found, inside=inside)


def _gather_elements(array: Sequence[object], step: _Step, found: Found, *, depth: int, inside: bool) -> None:
    if found.is_short:
        found.spend(LOOK * len(array))
    for element in array:
        if isinstance(element, Mapping | list | tuple):
            found.elements += 1
            _gather(cast("object", element), step, found, depth=depth, inside=True)
        elif step.path is not None:
            _add(key_of(element), step.path, found, inside=inside)


def _add(key: Key, path: str, found: Found, *, inside: bool) -> None:
    before = found.get(path)
    if before is None:
        found[path] = Spread((key,)) if inside else Several((key,))
    elif not isinstance(before, Several):
        found[path] = Spread((before, key)) if inside else Several((before, key))
    else:
        before.add(key)
        if inside and not isinstance(before, Spread):
            found[path] = Spread(before)


def is_beyond(value: object, depth: int) -> bool:
    """Whether `value` is not looked into, since `depth` arrays and objects lie around it, from an array inwards."""
    return depth > MAX_DEPTH and isinstance(value, Mapping | list | tuple)
