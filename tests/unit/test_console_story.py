"""The story of a failover as the console of Regions tells it: which sentence, when, and how long after the loss."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from localcloud.console.regions.story import MAX_ENTRIES, AlarmSeen, Entry, Sight, Story, compare
from sluiceway.rules.terms import close_term, first_term, open_term

EAST, WEST = "us-east-1", "us-west-2"
FIRST = first_term("shop", EAST, now_ms=1_000, lease_ms=30_000, skew_ms=5_000)
CLOSED = close_term(FIRST, WEST, now_ms=100_000, approval="incident 4711, R. Roe")
SECOND = open_term(CLOSED, now_ms=100_000)
QUIET = Sight(
    90_000.0,
    FIRST,
    alarms={(WEST, "other-region-down"): AlarmSeen("OK", 5.0), (WEST, "failover-asked"): AlarmSeen("OK", 5.0)},
    health={EAST: "healthy", WEST: "healthy"},
    seen={EAST: True, WEST: True},
    names={"api.example.com": EAST},
    regions=(EAST, WEST),
)


def told(before: Sight | None, now: Sight) -> list[tuple[float, str]]:
    return [(entry.at_ms, entry.text) for entry in compare(before, now)]


def test_nothing_new_is_no_story() -> None:
    """Two looks at the same, at different times, tell nothing."""
    assert compare(QUIET, replace(QUIET, now_ms=95_000.0)) == []


def test_the_first_look_tells_who_is_home_and_what_is_in_alarm() -> None:
    """With the times of the term and of the alarm, which may be long ago; what is as it was made is no news."""
    alarms = {
        (WEST, "other-region-down"): AlarmSeen("ALARM", 80_000.0),
        (WEST, "failover-asked"): AlarmSeen("ALARM", 81_000.0),
        (WEST, "failback-asked"): AlarmSeen("OK", 5.0),
        (EAST, "other-region-down"): AlarmSeen("INSUFFICIENT_DATA", 5.0),
    }
    assert told(None, replace(QUIET, alarms=alarms)) == [
        (1_000, "us-east-1 begins work. The group was founded"),
        (80_000.0, "us-west-2 gets no healthy answer of us-east-1"),
        (81_000.0, "The alarm asks to approve the failover to us-west-2"),
    ]


def test_a_hand_over_is_approval_epoch_and_beginning() -> None:
    """The approval counts from when the old term's lease began to run out; the beginning is told once it has come."""
    seen = replace(QUIET, now_ms=101_000.0, term=SECOND)
    assert told(QUIET, seen) == [
        (100_000, "Approved: incident 4711, R. Roe"),
        (100_000, "Epoch 2: us-west-2 is home"),
    ]
    later = replace(seen, now_ms=float(SECOND.begins_ms))
    assert told(seen, later) == [(SECOND.begins_ms, "us-west-2 begins work")]
    assert told(later, replace(later, now_ms=later.now_ms + 1)) == []


def test_a_term_that_was_closed_and_not_opened_does_not_begin() -> None:
    """It is told when it is seen; and its beginning once it was opened after all."""
    closed = replace(QUIET, now_ms=101_000.0, term=CLOSED)
    assert [entry.kind for entry in compare(QUIET, closed)] == ["approved", "raised"]
    opened = replace(closed, now_ms=200_000.0, term=SECOND)
    assert told(closed, opened) == [(SECOND.begins_ms, "us-west-2 begins work")]


def test_a_hand_over_that_nobody_watched_is_told_whole() -> None:
    """Between two looks far apart all of it comes at once."""
    late = replace(QUIET, now_ms=500_000.0, term=SECOND)
    assert [entry.kind for entry in compare(QUIET, late)] == ["approved", "raised", "begins"]


def test_alarms_are_told_as_they_change() -> None:
    """Into ALARM and back, with the alarm's own time; from no data to OK is nothing."""
    down = replace(QUIET, alarms={(WEST, "failback-asked"): AlarmSeen("ALARM", 91_000.0)})
    assert told(QUIET, down) == [(91_000.0, "The alarm asks to approve the failback to us-east-1")]
    back = replace(QUIET, alarms={(WEST, "failback-asked"): AlarmSeen("OK", 92_000.0)})
    assert told(down, back) == [(92_000.0, "The alarm asks for no failback any more")]
    unknown = replace(QUIET, alarms={(WEST, "other-region-down"): AlarmSeen("INSUFFICIENT_DATA", 1.0)})
    assert told(unknown, QUIET) == []


def test_health_probes_names_and_doubts_are_told() -> None:
    """What a Region says, what the other one's probe finds, what the name answers, how many keys are in doubt."""
    worse = replace(
        QUIET,
        now_ms=95_000.0,
        health={EAST: "drill", WEST: ""},
        seen={EAST: False, WEST: True},
        names={"api.example.com": WEST},
        doubts={WEST: 2},
    )
    assert told(QUIET, worse) == [
        (95_000.0, "api.example.com answers us-west-2"),
        (95_000.0, "us-west-2 notes 2 keys in doubt"),
        (95_000.0, "us-east-1 says that it is unwell: a drill"),
        (95_000.0, "A probe from us-west-2 gets no healthy answer of us-east-1"),
    ]
    better = replace(QUIET, now_ms=96_000.0, doubts={WEST: 1})
    assert told(worse, better) == [
        (96_000.0, "api.example.com answers us-east-1"),
        (96_000.0, "1 key in doubt no longer in us-west-2"),
        (96_000.0, "us-east-1 says that it is well"),
        (96_000.0, "A probe from us-west-2 is answered again by us-east-1"),
    ]


def test_times_since_the_loss_are_of_the_latest_one() -> None:
    """What was before it has none; the loss itself is 0; what is added late stands where it happened."""
    story = Story()
    story.add(Entry(1_000.0, "begins", "a"), Entry(5_000.0, "killed", "b"), Entry(9_000.0, "killed", "d"))
    story.add(Entry(6_500.0, "alarm-x", "c"))
    assert [(each["text"], each["since_ms"]) for each in story.tell()] == [
        ("d", 0),
        ("c", 1_500),
        ("b", 0),
        ("a", None),
    ]


@given(st.lists(st.floats(0, 1e9), max_size=MAX_ENTRIES * 2))
def test_a_story_is_bounded_and_the_latest_first(times: list[float]) -> None:
    """However much happens, and in whatever order it becomes known, the latest are kept."""
    story = Story()
    for at_ms in times:
        story.add(Entry(at_ms, "health", "x"))
    kept = [each["at_ms"] for each in story.tell()]
    assert kept == [round(at_ms) for at_ms in sorted(times, reverse=True)[:MAX_ENTRIES]]
