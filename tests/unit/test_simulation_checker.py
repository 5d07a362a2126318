"""The judge of the two Regions' simulation: each property is seen to be broken by a history that breaks it alone."""

from __future__ import annotations

import pytest

from localcloud.simulation.checker import Verdict, judge
from localcloud.simulation.history import Event, History

E, W = "us-east-1", "us-west-2"
FOUNDED = [Event(0.0, "term", E, value="founding", epoch=1)]
CALM = [Event(100.0, "calm")]
DONE = [
    Event(1.0, "claim", E, "k", "a", 1),
    Event(2.0, "begin", E, "k", "", 1),
    Event(3.0, "end", E, "k", "r", 1),
    Event(4.0, "ack", E, "k", "r"),
]
OPEN = DONE[:2]


def asked(value: str, other: str = "") -> list[Event]:
    return [Event(101.0, "asked", E, "k", value), Event(102.0, "asked", W, "k", other or value)]


def verdict(*events: list[Event]) -> Verdict:
    history = History()
    history.events = [event for each in (FOUNDED, *events) for event in each]
    return judge(history, fenced=True)


def broken(*events: list[Event]) -> list[int]:
    return sorted({fault.number for fault in verdict(*events).faults})


LISTED = [Event(100.5, "listed", E, "k", "fenced")]
RAN = [Event(101.0, "begin", E, "k", "", 1)]


def test_a_history_without_a_fault() -> None:
    """Done, in doubt, and not started but run at last."""
    assert verdict(DONE, CALM, asked("r"))[:-1] == (1, 0, 0, 0, 0, 0, 1, 1)
    assert verdict(OPEN, CALM, LISTED, asked("in doubt")) == (1, 0, 0, 1, 0, 0, 1, 0, ())
    assert verdict([Event(1.0, "send", E, "k")], CALM, RAN, asked("done now: r", "r")) == (1, 0, 0, 0, 0, 1, 1, 0, ())
    freed = [Event(1.0, "claim", E, "k", "a", 1), Event(2.0, "free", E, "k", epoch=1)]
    assert broken(freed, CALM, RAN, asked("done now: r", "r")) == []


@pytest.mark.parametrize(
    ("expected", "events"),
    [
        (1, [DONE, [Event(5.0, "begin", E, "k", "", 1)], CALM, asked("r")]),
        (2, [DONE, [Event(5.0, "ack", W, "k", "other")], CALM, asked("r")]),
        (2, [DONE, CALM, asked("r", "other")]),
        (2, [DONE, CALM, asked("r", "in doubt")]),
        (3, [DONE[:3], CALM, asked("NotHome")]),
        (3, [OPEN, CALM, asked("in doubt")]),
        (3, [DONE, CALM, LISTED, asked("r")]),
        (3, [OPEN, [Event(3.0, "free", E, "k", epoch=1)], CALM, RAN, asked("done now: r", "r")]),
        (4, [[*DONE[:1], Event(2.0, "begin", E, "k", W, 1), *DONE[2:]], CALM, asked("r")]),
        (4, [[*DONE[:1], Event(2.0, "begin", W, "k", "", 1), *DONE[2:]], CALM, asked("r")]),
        (5, [[Event(0.5, "term", W, value="", epoch=2)], DONE, CALM, asked("r")]),
        (5, [[Event(0.5, "traffic", W, value="d")], DONE, CALM, asked("r")]),
        (5, [[Event(0.1, "approve", E, value="d"), Event(0.5, "traffic", W, value="d")], DONE, CALM, asked("r")]),
        (6, [DONE, CALM, [Event(100.5, "parked", W, "k")], asked("r")]),
        (6, [[Event(1.0, "send", E, "k")], CALM, asked("NotHome")]),
    ],
)  # fmt: skip
def test_each_property_is_judged(expected: int, events: list[list[Event]]) -> None:
    """The property is among what is broken."""
    assert expected in broken(*events)


def test_an_approval_is_good_for_one_change() -> None:
    """Of each kind: the epoch and the traffic go by the same decision, once."""
    approved = [Event(0.1, "approve", W, value="d"), Event(0.5, "traffic", W, value="d")]
    raised = [Event(0.6, "term", W, value="d", epoch=2)]
    again = [Event(0.7, "term", W, value="d", epoch=4)]
    assert broken(approved, raised, CALM) == []
    assert broken(approved, raised, again, CALM) == [5]


def test_work_of_an_earlier_epoch_begins_after_a_later_one() -> None:
    """Whoever holds what: the order of the effects says that two owned keys at a time."""
    approved = [Event(0.1, "approve", W, value="d"), Event(0.5, "term", W, value="d", epoch=2)]
    late = [Event(9.0, "begin", E, "other", "", 1)]
    early = [Event(8.0, "begin", W, "k", "", 2)]
    assert 4 in broken(approved, early, late, CALM)
    assert 4 not in broken(approved, late[:0], early, CALM)


def test_an_effect_after_its_lease_or_after_the_last_reading_of_its_term() -> None:
    """Nobody else has to be at work: a reading that was made just before the next term was written is the last."""
    approved = [Event(0.1, "approve", W, value="d"), Event(0.5, "term", W, value="d", epoch=2)]
    for at_s, expected in ((12.5, []), (12.6, [4])):
        history = History()
        history.events = [*FOUNDED, *approved, Event(at_s, "begin", E, "k", "", 1), *CALM]
        assert [fault.number for fault in judge(history, fenced=True, reading_s=12.0).faults] == expected
    assert broken(DONE, [Event(2.0, "overdue", E, "k")], CALM, asked("r")) == [4]


def test_what_is_not_fenced_is_judged_by_its_starts_and_results_only() -> None:
    """Doubts and ownership mean nothing there."""
    history = History()
    history.events = [*FOUNDED, *OPEN, Event(3.0, "begin", W, "k", "us-east-1", 1), *CALM, *asked("in doubt")]
    assert {fault.number for fault in judge(history, fenced=False).faults} == {1}
