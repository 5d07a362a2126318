"""The judge: what must hold of a history, whatever code made it. Knows events, and nothing of how they came about.

The properties:

1. A key's effect begins once at most.
2. A result that was told is told for ever, in both Regions.
3. Every key ends done, not started or in doubt; in doubt are those that a table holds for an attempt without an end.
4. At one moment one Region at most may begin work; none does after its claim's lease, nor after every reading of its
   term has run out.
5. Neither epoch nor traffic changes without an approval before it, and an approval is good for one change.
6. After heal and drain nothing is parked, and what was not started can be run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf
from typing import Final, NamedTuple

from localcloud.simulation.history import Event, History

__all__ = ["Fault", "Verdict", "judge"]

IN_DOUBT: Final = "in doubt"
NOW: Final = "done now: "
_WRITES: Final = frozenset({"claim", "end", "free"})


class Fault(NamedTuple):
    """A property that does not hold, of `key` ("" where it is of none)."""

    number: int
    key: str
    what: str


class Verdict(NamedTuple):
    """Counts of keys, and the faults. `parked` were told so at least once; `not_started` ran when asked at last."""

    keys: int
    twice: int
    parked: int
    in_doubt: int
    lost: int
    not_started: int
    begins: int
    acks: int
    faults: tuple[Fault, ...]


class _Story(NamedTuple):
    """The events of one key: while the weather lasted, and when it was asked at last."""

    key: str
    events: list[Event]
    asked: list[Event]
    listed: bool

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


def judge(history: History, *, fenced: bool, reading_s: float = inf) -> Verdict:
    """The verdict on a run to its end. Where it was not `fenced`, properties 3, 4 and 6 mean nothing.

    `reading_s`: for how many seconds a reading of a term lets its Region begin work.
    """
    stories = _tell(history)
    counts: Counter[str] = Counter()
    faults: list[Fault] = []
    for story in stories:
        begins, lost = len(story.of("begin")), list(_judge_results(story))
        counts["twice"] += begins > 1
        counts["begins"] += begins
        counts["lost"] += bool(lost)
        counts["parked"] += any(event.value == "parked" for event in story.of("doubt"))
        counts["in_doubt"] += story.asked[0].value == IN_DOUBT
        counts["not_started"] += story.asked[0].value.startswith(NOW)
        counts["acks"] += len(story.of("ack"))
        if begins > 1:
            faults.append(Fault(1, story.key, f"begun {begins} times"))
        faults += lost
        if fenced:
            faults += _judge_end(story)
    faults += _judge_approvals(history)
    if fenced:
        faults += _judge_ownership(history)
        faults += _judge_leases(history, reading_s)
        faults += [Fault(6, event.key, f"parked in {event.region}") for event in history.of("parked")]
    return Verdict(
        keys=len(stories),
        twice=counts["twice"],
        parked=counts["parked"],
        in_doubt=counts["in_doubt"],
        lost=counts["lost"],
        not_started=counts["not_started"],
        begins=counts["begins"],
        acks=counts["acks"],
        faults=tuple(faults),
    )


def _tell(history: History) -> list[_Story]:
    before: dict[str, list[Event]] = defaultdict(list)
    asked: dict[str, list[Event]] = defaultdict(list)
    listed: set[str] = set()
    is_calm = False
    for event in history.events:
        is_calm = is_calm or event.kind == "calm"
        if not event.key:
            continue
        if event.kind == "listed":
            listed.add(event.key)
        elif is_calm:
            asked[event.key].append(event)
        else:
            before[event.key].append(event)
    return [
        _Story(
            key,
            before[key] + [event for event in events if event.kind == "begin"],
            [event for event in events if event.kind == "asked"],
            key in listed,
        )
        for key, events in asked.items()
        if any(event.kind == "asked" for event in events)
    ]


def _judge_results(story: _Story) -> Iterator[Fault]:
    told = {event.value for event in story.of("ack")}
    if len(told) > 1:
        yield Fault(2, story.key, f"told {len(told)} results")
    later = {event.value.removeprefix(NOW) for event in story.asked}
    if told and later != told:
        yield Fault(2, story.key, f"told {' and '.join(sorted(told))}, and later {' and '.join(sorted(later))}")


def _judge_end(story: _Story) -> Iterator[Fault]:
    """What the tables hold says what must be told of the key."""
    held = {(event.region, event.epoch): event.kind for event in story.events if event.kind in _WRITES}
    is_done = "end" in held.values()
    is_open = "claim" in held.values() and not is_done
    said = story.asked[0].value
    if is_done and said not in {event.value for event in story.of("end")}:
        yield Fault(3, story.key, f"a table has its end, and it is {said}")
    if is_done and len({event.value for event in story.asked}) > 1:
        yield Fault(2, story.key, "the Regions tell different results")
    if is_open != (said == IN_DOUBT) or is_open != story.listed:
        where = "on" if story.listed else "not on"
        yield Fault(3, story.key, f"held without an end: {is_open}; told {said}; {where} the list")
    if not is_done and not is_open:
        yield from _judge_free(story, ran=said.startswith(NOW))


def _judge_free(story: _Story, *, ran: bool) -> Iterator[Fault]:
    """No table holds it: it was never begun, and runs now."""
    if len(story.of("begin")) > ran:
        yield Fault(3, story.key, "begun, and no table knows")
    if not ran:
        yield Fault(6, story.key, f"never begun, and cannot be run: {story.asked[0].value}")


def _judge_ownership(history: History) -> Iterator[Fault]:
    owners = {event.epoch: event.region for event in history.of("term")}
    latest = 0
    for event in history.of("begin"):
        if event.value:
            yield Fault(4, event.key, f"{event.region} begins while {event.value} may begin work")
        if event.epoch and owners.get(event.epoch) != event.region:
            yield Fault(4, event.key, f"{event.region} begins in an epoch that is not its own")
        if event.epoch and event.epoch < latest:
            yield Fault(4, event.key, f"begun in epoch {event.epoch} after epoch {latest} had begun work")
        latest = max(latest, event.epoch)


def _judge_leases(history: History, reading_s: float) -> Iterator[Fault]:
    """True time is enough: who reads a term reads it before the next one is written."""
    written = {event.epoch: event.at_s for event in history.of("term")}
    for event in history.of("begin"):
        over_s = written.get(event.epoch + 1, inf) + reading_s
        if event.epoch and event.at_s > over_s:
            yield Fault(
                4, event.key, f"begun {event.at_s - over_s:.1f} s after the last reading of epoch {event.epoch}"
            )
    for event in history.of("overdue"):
        yield Fault(4, event.key, f"begun in {event.region} after its lease")


def _judge_approvals(history: History) -> Iterator[Fault]:
    given: dict[str, str] = {}
    used: set[tuple[str, str]] = set()
    for event in history.of("approve", "term", "traffic"):
        if event.kind == "approve":
            given[event.value] = event.region
        elif event.kind == "traffic" or event.epoch > 1:
            if given.get(event.value) != event.region:
                yield Fault(5, "", f"{event.kind} to {event.region} without an approval: {event.value!r}")
            elif (event.kind, event.value) in used:
                yield Fault(5, "", f"{event.kind} to {event.region} by {event.value}, which was used before")
            used.add((event.kind, event.value))
