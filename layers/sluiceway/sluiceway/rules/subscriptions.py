"""Which records of a topic go to whom, and how much of them.

A subscription is a filter: a pattern (or none) and the columns that are wanted of a record (or all). A record is
shown once for each distinct view, projected once for each distinct list of columns of it and matched once for each
distinct filter, however many share it: an index holds those of a view, each pattern under the slot of its columns, and
what is put to it is an event with every projection in its slot. So a pattern is judged on what its subscriber is
shown, and on nothing else.
Must not know connections, stores or streams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from sluiceway.errors import Rejected
from sluiceway.rules.index import PatternIndex
from sluiceway.rules.patterns import InvalidPattern
from sluiceway.rules.patterns.paths import MAX_WORK
from sluiceway.rules.selecting import LIMITS

__all__ = ["LIMITS", "Columns", "Filter", "Judged", "Lens", "SubscriptionSet", "View", "project"]

H = TypeVar("H")
Columns: TypeAlias = tuple[str, ...]
"""Paths, names joined with dots, sorted, none below another; empty for the whole record."""
_Tree: TypeAlias = "dict[str, _Tree | None]"

MAX_NESTED: Final = 100  # arrays and objects that are looked into for a column, as for a pattern
WORK_A_SECOND: Final = 3_000_000  # values that patterns try in a second of a core, rather fewer than more
_ABSENT: Final = object()


class Filter(NamedTuple):
    """`pattern` is canonical JSON text, "" for every record. `view` names the lens it looks through, "" for none."""

    pattern: str = ""
    columns: Columns = ()
    view: str = ""


class Lens(Protocol):
    """What of a topic's records somebody may see."""

    def show(self, record: Mapping[str, object]) -> Mapping[str, object] | None:
        """The record as it may be seen; None where it may not be seen at all."""
        ...


class View(NamedTuple):
    """A record as `filters`, which have these columns of one view and match it, show it."""

    record: Mapping[str, object]
    columns: Columns
    filters: tuple[Filter, ...]


class Judged(NamedTuple):
    """What became of one record: who is shown what, and the filters on which there was no time to judge it."""

    views: list[View]
    unjudged: list[Filter]


class _Place(NamedTuple):
    """Where filters look: through one lens, at these columns."""

    view: str
    columns: Columns


_NO_LENSES: Final[Mapping[str, Lens]] = {}


def _unbounded() -> float:
    return math.inf


# ---------------------------------------------------------------- what a subscriber is shown


def project(record: Mapping[str, object], columns: Columns) -> Mapping[str, object]:
    """The record with what stands at `columns` alone, the record itself where there are none.

    A name of a path is a member's name to the letter: a member whose own name has dots is reached by no path. Arrays
    are passed through, as by patterns: of their objects the columns are left. What is absent is left out, and so is an
    object or array of which nothing is left.
    """
    return _show(record, _plant(columns))


def _show(record: Mapping[str, object], tree: _Tree) -> Mapping[str, object]:
    picked = _pick(record, tree or None, 0)
    return {} if picked is _ABSENT else cast("Mapping[str, object]", picked)


def _plant(columns: Columns) -> _Tree:
    tree: _Tree = {}
    for column in columns:
        *parents, last = column.split(".")
        step = tree
        for name in parents:
            step = cast("_Tree", step.setdefault(name, {}))
        step[last] = None
    return tree


def _pick(value: object, tree: _Tree | None, depth: int) -> object:
    if tree is None:
        return value
    if depth > MAX_NESTED:
        return _ABSENT
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        found = {name: _pick(members[name], tree[name], depth + 1) for name in tree if name in members}
        return {name: each for name, each in found.items() if each is not _ABSENT} or _ABSENT
    if isinstance(value, list):
        elements = [_pick(each, tree, depth + 1) for each in cast("list[object]", value)]
        return [each for each in elements if each is not _ABSENT] or _ABSENT
    return _ABSENT


# ---------------------------------------------------------------- who is shown what


class SubscriptionSet(Generic[H]):
    """The subscriptions of one topic: each distinct filter once, with those that hold it, in the order given.

    `lenses`: by the names that filters have for them; one that is not there shows nothing. `unusable`: filters whose
    pattern this version does not take; they match nothing. `ambiguous` counts the records so far that patterns could
    not be judged on. Not for several threads at once.
    """

    def __init__(self, held: Iterable[tuple[Filter, H]], lenses: Mapping[str, Lens] = _NO_LENSES) -> None:
        self.unusable: list[Filter] = []
        self.ambiguous = 0
        self._lenses = lenses
        self._holders: dict[Filter, list[H]] = {}
        for wanted, holder in held:
            self._holders.setdefault(wanted, []).append(holder)
        self._slots: dict[_Place, str] = {}
        self._every: dict[_Place, list[Filter]] = {}
        self._judging: dict[_Place, list[Filter]] = {}
        self._indexes: dict[str, PatternIndex[Filter]] = {}
        for wanted in self._holders:
            self._enter(wanted)
        self._trees: dict[str, dict[_Place, _Tree]] = {}
        for place in self._slots:
            self._trees.setdefault(place.view, {})[place] = _plant(place.columns)

    def _enter(self, wanted: Filter) -> None:
        place = _Place(wanted.view, wanted.columns)
        slot = self._slots.setdefault(place, str(len(self._slots)))
        always = self._every.setdefault(place, [])
        if not wanted.pattern:
            always.append(wanted)
            return
        try:
            index = self._indexes.setdefault(wanted.view, PatternIndex[Filter](limits=LIMITS))
            index.add(wanted, f'{{"{slot}":{wanted.pattern}}}')
        except InvalidPattern:
            self.unusable.append(wanted)
        else:
            self._judging.setdefault(place, []).append(wanted)

    def __len__(self) -> int:
        """How many distinct filters there are."""
        return len(self._holders)

    def holders(self, wanted: Filter) -> Sequence[H]:
        """Who holds this filter."""
        return self._holders.get(wanted, ())

    def match(self, record: Mapping[str, object], *, left_s: Callable[[], float] = _unbounded) -> Judged:
        """What is shown of a decoded record: a view for each list of columns of a lens of which a filter matches.

        Where patterns cannot be judged on what a lens shows (`ambiguous-event`), those who look through it have the
        record if they have no pattern. Each lens is judged alone: what others see, and ask, is nothing to it.
        `left_s`: how many seconds are left; a filter whose turn comes later is unjudged.
        """
        judged, is_clear = Judged([], []), True
        for view, places in self._trees.items():
            if left_s() <= 0:
                judged.unjudged.extend(self._find_filters(places))
            elif (shown := self._look(view, record)) is not None:
                is_clear &= self._judge(view, shown, judged, left_s=left_s)
        self.ambiguous += not is_clear
        return judged

    def _judge(self, view: str, shown: Mapping[str, object], judged: Judged, *, left_s: Callable[[], float]) -> bool:
        """Whether patterns can be judged on it, as far as anybody had the time to find out."""
        places = self._trees[view]
        projected = {place: _show(shown, tree) for place, tree in places.items() if left_s() > 0}
        found = {place: list(self._every[place]) for place in projected}
        is_clear, work = True, min(MAX_WORK, max(0.0, left_s()) * WORK_A_SECOND)
        try:
            for wanted in self._match_patterns(view, projected, int(work)):
                found[_Place(view, wanted.columns)].append(wanted)
        except Rejected:
            is_clear = work < MAX_WORK
            if is_clear:
                judged.unjudged.extend(wanted for place in projected for wanted in self._judging.get(place, ()))
        judged.unjudged.extend(self._find_filters(place for place in places if place not in projected))
        judged.views.extend(View(projected[at], at.columns, tuple(each)) for at, each in found.items() if each)
        return is_clear

    def _match_patterns(
        self, view: str, projected: Mapping[_Place, Mapping[str, object]], work: int
    ) -> Iterable[Filter]:
        """The filters of a lens whose pattern matches. Raises: Rejected, also where there is no time for it."""
        index = self._indexes.get(view)
        if index is None:
            return ()
        if len(projected) < len(self._trees[view]):  # a pattern may ask for what is absent
            raise Rejected("there was no time to show it", reason="ambiguous-event")
        return index.match({self._slots[place]: each for place, each in projected.items()}, work=work)

    def _find_filters(self, places: Iterable[_Place]) -> Iterator[Filter]:
        for place in places:
            yield from self._every[place]
            yield from self._judging.get(place, ())

    def _look(self, view: str, record: Mapping[str, object]) -> Mapping[str, object] | None:
        if not view:
            return record
        lens = self._lenses.get(view)
        return None if lens is None else lens.show(record)
