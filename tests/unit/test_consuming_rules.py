"""The pure decisions of consumers: spans, lineage, leases, balance, progress, pace."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.kinesis.limits import ReadMeter
from sluiceway.rules.consuming.balance import choose_moves
from sluiceway.rules.consuming.leases import Lease, Sightings, ask, finish, hand_over, renew, take
from sluiceway.rules.consuming.pacing import MAX_ANSWER_BYTES, ReadPace
from sluiceway.rules.consuming.progress import Entry, Progress
from sluiceway.rules.consuming.shards import Shard, find_ready, find_stale, plan_leases
from sluiceway.rules.consuming.spans import (
    NOTHING_DONE,
    SHARD_END,
    Checkpoint,
    Position,
    Span,
    choose_position,
    is_beyond,
    is_past,
)

ALL = Span()

# ---------------------------------------------------------------------- spans


@pytest.mark.parametrize(
    ("span", "checkpoint", "position"),
    [
        (ALL, NOTHING_DONE, Position("TRIM_HORIZON")),
        (Span("AT_TIMESTAMP", at_ms=5), NOTHING_DONE, Position("AT_TIMESTAMP", at_ms=5)),
        (Span("AFTER_SEQUENCE_NUMBER", after={"a": "7"}), NOTHING_DONE, Position("AFTER_SEQUENCE_NUMBER", "7")),
        (Span("AFTER_SEQUENCE_NUMBER", after={"b": "7"}), NOTHING_DONE, Position("TRIM_HORIZON")),
        (Span("AT_TIMESTAMP", at_ms=5), Checkpoint("9"), Position("AFTER_SEQUENCE_NUMBER", "9")),
        (ALL, Checkpoint("9", 3), Position("AT_SEQUENCE_NUMBER", "9")),
    ],
)
def test_reading_goes_on_where_it_was(span: Span, checkpoint: Checkpoint, position: Position) -> None:
    """A checkpoint goes before the span; inside an aggregate at it, since AFTER would lose the rest."""
    assert choose_position(span, "a", checkpoint) == position


def test_latest_is_a_moment() -> None:
    """It is frozen when reading is begun, so that a later worker skips nothing; until then it is no position."""
    assert Span("LATEST").freeze(77) == Span("AT_TIMESTAMP", at_ms=77)
    assert Span("AT_TIMESTAMP", at_ms=5).freeze(77) == Span("AT_TIMESTAMP", at_ms=5)
    with pytest.raises(ValueError, match="freeze"):
        choose_position(Span("LATEST"), "a", NOTHING_DONE)
    with pytest.raises(ValueError, match="done"):
        choose_position(ALL, "a", SHARD_END)


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "AT_TIMESTAMP"},
        {"kind": "TRIM_HORIZON", "at_ms": 5},
        {"kind": "AFTER_SEQUENCE_NUMBER"},
        {"kind": "LATEST", "after": {"a": "1"}},
        {"last": {"a": "1"}},
    ],
)
def test_members_of_a_span_go_together(members: dict[str, object]) -> None:
    """A span that says two things is refused."""
    with pytest.raises(ValueError):
        Span(**members)  # type: ignore[arg-type]


def test_a_span_ends_by_time_and_by_number() -> None:
    """Whichever comes first; the last record and the last millisecond are read."""
    span = Span(until_ms=100, last={"a": "7"})
    assert not is_beyond(span, "a", "7", arrived_ms=100)
    assert is_beyond(span, "a", "8", arrived_ms=1)
    assert is_beyond(span, "b", "8", arrived_ms=101)
    assert not is_beyond(ALL, "a", "8", arrived_ms=1 << 60)


def test_an_answer_shows_that_no_more_can_come() -> None:
    """Only where it lies after the end: what is behind may still bring records."""
    span = Span(until_ms=100)
    assert not is_past(span, asked_ms=100, behind_ms=0)
    assert is_past(span, asked_ms=101, behind_ms=0)
    assert not is_past(span, asked_ms=200, behind_ms=150)
    assert not is_past(ALL, asked_ms=1 << 60, behind_ms=0)


def test_a_checkpoint_covers_what_lies_before_it() -> None:
    """By number, not by text; in its aggregate up to its own record."""
    checkpoint = Checkpoint("10", 2)
    covered = [("9", None), ("9", 5), ("10", 0), ("10", 2)]
    assert [each for each in (*covered, ("10", 3), ("10", None), ("11", 0)) if checkpoint.covers(*each)] == covered
    assert Checkpoint("10").covers("10", 7)
    assert SHARD_END.covers("11", None)
    assert not NOTHING_DONE.covers("0", None)


# ---------------------------------------------------------------------- lineage


@st.composite
def histories(draw: st.DrawFn) -> list[Shard]:
    """The shards of a stream after random splits and merges, oldest first; the oldest may have expired."""
    opened = ["s0", "s1"][: draw(st.integers(1, 2))]
    shards = [Shard(shard_id, (), "0") for shard_id in opened]
    for _ in range(draw(st.integers(0, 12))):
        number = len(shards)
        if len(opened) > 1 and draw(st.booleans()):
            at = draw(st.integers(0, len(opened) - 2))
            parents = (opened[at], opened[at + 1])
            if draw(st.booleans()):
                parents = parents[::-1]
            shards.append(Shard(f"s{number}", parents, "0"))
            opened[at : at + 2] = [f"s{number}"]
        else:
            at = draw(st.integers(0, len(opened) - 1))
            shards += [Shard(f"s{number + each}", (opened[at],), "0") for each in range(2)]
            opened[at : at + 1] = [f"s{number}", f"s{number + 1}"]
    expired = draw(st.integers(0, len(shards) - len(opened)))
    closed = [shard for shard in shards if shard.shard_id not in opened]
    return [shard for shard in shards if shard not in closed[:expired]]


@given(histories(), st.randoms(use_true_random=False))
def test_every_shard_is_read_after_all_its_parents(shards: list[Shard], rng: random.Random) -> None:
    """Whatever the order in which ready ones are done: each once, none before a parent that is there, all of them."""
    leases = list(plan_leases(shards, (), ALL))
    listed = {shard.shard_id for shard in shards}
    done: list[str] = []
    while ready := find_ready(shards, leases, ALL):
        lease = rng.choice(ready)
        parents = next(shard.parents for shard in shards if shard.shard_id == lease.shard_id)
        assert [parent for parent in parents if parent in listed and parent not in done] == []
        done.append(lease.shard_id)
        leases[leases.index(lease)] = finish(lease)
    assert sorted(done) == sorted(listed)


@given(histories(), st.data())
def test_a_lease_that_is_still_missing_is_waited_for(shards: list[Shard], data: st.DataObject) -> None:
    """A parent that is listed and not yet leased blocks its children, however the leases are written one by one."""
    planned = plan_leases(shards, (), ALL)
    some = [lease for lease in planned if data.draw(st.booleans())]
    written = {lease.shard_id for lease in some}
    ready = {lease.shard_id for lease in find_ready(shards, some, ALL)}
    by_id = {shard.shard_id: shard for shard in shards}
    assert ready == {shard_id for shard_id in written if not any(parent in by_id for parent in by_id[shard_id].parents)}
    assert {lease.shard_id for lease in plan_leases(shards, some, ALL)} == by_id.keys() - written


def test_a_cursor_reads_what_descends_from_it() -> None:
    """AFTER_SEQUENCE_NUMBER: the named shards, their children and grandchildren; no ancestor, no neighbour."""
    shards = [
        Shard("old"),
        Shard("named", ("old",)),
        Shard("neighbour", ("old",)),
        Shard("merged", ("neighbour", "named")),
        Shard("young", ("merged",)),
        Shard("other", ("neighbour",)),
    ]
    span = Span("AFTER_SEQUENCE_NUMBER", after={"named": "5"})
    leases = plan_leases(shards, (), span)
    assert [lease.shard_id for lease in leases] == ["named", "merged", "young"]
    assert [lease.shard_id for lease in find_ready(shards, leases, span)] == ["named"]
    later = [finish(leases[0]), *leases[1:]]
    assert [lease.shard_id for lease in find_ready(shards, later, span)] == ["merged"]


def test_a_deep_line_of_descent_needs_no_deep_stack() -> None:
    """Thousands of generations are answered."""
    shards = [Shard("s0"), *(Shard(f"s{number}", (f"s{number - 1}",)) for number in range(1, 5_000))]
    span = Span("AFTER_SEQUENCE_NUMBER", after={"s0": "5"})
    assert len(plan_leases(shards[::-1], (), span)) == 5_000


def test_leases_of_expired_shards_are_forgotten_once_they_are_done() -> None:
    """One that is not done stays: somebody has to find out that its records are gone."""
    done, other = Lease("a", checkpoint=SHARD_END), Lease("b")
    assert find_stale([Shard("c")], [done, other, Lease("c", checkpoint=SHARD_END)]) == (done,)


# ---------------------------------------------------------------------- leases


def test_every_change_raises_the_counter() -> None:
    """Owner and counter name one state: each write of a life of a lease has another."""
    lease = Lease("a", ("p",))
    taken = take(lease, "one")
    renewed = renew(taken, Checkpoint("5"))
    wished = ask(renewed, "two")
    moved = hand_over(wished, Checkpoint("6"))
    assert [each.counter for each in (lease, taken, renewed, wished, moved, finish(moved))] == [0, 1, 2, 3, 4, 5]
    assert (moved.owner, moved.wanted_by, moved.switches, moved.checkpoint) == ("two", "", 2, Checkpoint("6"))
    assert (finish(moved).owner, finish(moved).is_done) == ("", True)
    assert hand_over(renewed, Checkpoint("6")).owner == ""


def test_a_lease_is_free_once_it_was_seen_unchanged_for_longer_than_it_lasts() -> None:
    """By the observer's own clock, from when it saw the change; a change of owner or counter begins anew."""
    sightings = Sightings(10.0)
    lease = take(Lease("a"), "one")
    sightings.note([lease], 100.0)
    assert not sightings.is_free(lease, 110.0)
    sightings.note([lease], 110.0)
    assert sightings.is_free(lease, 110.1)
    renewed = renew(lease, Checkpoint("5"))
    assert not sightings.is_free(renewed, 999.0)
    sightings.note([renewed], 111.0)
    assert not sightings.is_free(renewed, 121.0)
    assert sightings.is_free(Lease("b"), 0.0)


# ---------------------------------------------------------------------- balance


def play(leases: dict[str, Lease], workers: list[str], rng: random.Random, rounds: int) -> int:
    """Rounds of all workers, in any order, from the same leases at first; how many leases changed hands at wish."""
    moved = 0
    for _ in range(rounds):
        for worker in rng.sample(workers, len(workers)):
            free = {shard_id for shard_id, lease in leases.items() if not lease.owner}
            moves = choose_moves(tuple(leases.values()), worker, free=free, most=10_000, draw=rng.random)
            assert not (moves.take and moves.ask_for)
            for lease in moves.take:
                assert lease.shard_id in free
                leases[lease.shard_id] = take(lease, worker)
            if moves.ask_for is not None:
                assert moves.ask_for.owner not in {"", worker}
                leases[moves.ask_for.shard_id] = ask(moves.ask_for, worker)
        for shard_id, lease in leases.items():
            if lease.wanted_by and rng.random() < 0.7:
                leases[shard_id] = hand_over(lease, NOTHING_DONE)
                moved += 1
    return moved


@settings(max_examples=30)
@given(st.integers(1, 24), st.integers(1, 5), st.integers(0, 5), st.randoms(use_true_random=False))
def test_shares_meet_and_then_nothing_moves(shards: int, first: int, more: int, rng: random.Random) -> None:
    """However many workers join: all leases are held, shares differ by one at most, and then stay."""
    leases = {f"s{number}": Lease(f"s{number}") for number in range(shards)}
    workers = [f"w{number}" for number in range(first)]
    play(leases, workers, rng, 20)
    workers += [f"w{number}" for number in range(first, first + more)]
    moved = play(leases, workers, rng, 60)
    counts = Counter(dict.fromkeys(workers, 0))
    counts.update(lease.owner for lease in leases.values())
    assert set(counts) == set(workers)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert moved <= shards
    assert play(leases, workers, rng, 5) == 0


def test_workers_that_start_together_do_not_take_all() -> None:
    """A quarter of the shards in a round, four at least; and it says that there are more."""
    leases = tuple(Lease(f"s{number:02}") for number in range(40))
    free = {lease.shard_id for lease in leases}
    moves = choose_moves(leases, "me", free=free, most=100, draw=random.Random(1).random)
    assert (len(moves.take), moves.more) == (10, True)
    other = choose_moves(leases, "other", free=free, most=100, draw=random.Random(2).random)
    assert set(moves.take) != set(other.take)
    assert len(choose_moves(leases[:6], "me", free=free, most=100, draw=random.Random(1).random).take) == 4
    assert len(choose_moves(leases, "me", free=free, most=3, draw=random.Random(1).random).take) == 3


def test_wishes_count_as_fulfilled() -> None:
    """So a second idle worker does not ask for what would leave the owner short, and nobody asks twice."""
    held = tuple(take(Lease(f"s{number}"), "rich") for number in range(3))
    draw = random.Random(1).random
    wish = choose_moves(held, "one", free=set(), most=9, draw=draw).ask_for
    assert wish is not None
    asked = tuple(ask(lease, "one") if lease is wish else lease for lease in held)
    assert choose_moves(asked, "one", free=set(), most=9, draw=draw).ask_for is None
    second = choose_moves(asked, "two", free=set(), most=9, draw=draw).ask_for
    assert second is not None
    assert not second.wanted_by
    both = tuple(ask(lease, "two") if lease is second else lease for lease in asked)
    assert choose_moves(both, "three", free=set(), most=9, draw=draw).ask_for is None


def test_a_free_lease_goes_before_a_wish() -> None:
    """Nothing is asked of others while something lies about."""
    leases = (*(take(Lease(f"s{number}"), "rich") for number in range(4)), Lease("free"))
    moves = choose_moves(leases, "me", free={"free"}, most=9, draw=lambda: 0.0)
    assert ([lease.shard_id for lease in moves.take], moves.ask_for) == (["free"], None)


# ---------------------------------------------------------------------- progress


@given(st.lists(st.booleans(), max_size=60), st.randoms(use_true_random=False))
def test_a_shard_is_done_up_to_its_first_unfinished_record(kinds: list[bool], rng: random.Random) -> None:
    """Whatever the order of their ends: the checkpoint is that of the longest run of done ones."""
    progress = Progress(NOTHING_DONE)
    entries: list[Entry] = []
    for number, is_record in enumerate(kinds):
        if is_record:
            entries.append(Entry(Checkpoint(str(number + 1))))
            progress.add(entries[-1])
        else:
            progress.mark(Checkpoint(str(number + 1)))
    done = {number for number, is_record in enumerate(kinds) if not is_record}
    for entry in rng.sample(entries, len(entries)):
        progress.settle(entry)
        done.add(entry.number)
        reached = next((number for number in range(len(kinds)) if number not in done), len(kinds))
        assert progress.checkpoint == (Checkpoint(str(reached)) if reached else NOTHING_DONE)
        assert progress.first == reached
    assert len(progress) == 0


# ---------------------------------------------------------------------- pace


@given(st.lists(st.tuples(st.integers(0, MAX_ANSWER_BYTES), st.floats(0, 0.3), st.booleans()), max_size=30))
def test_a_reader_that_keeps_its_pace_is_never_refused(answers: list[tuple[int, float, bool]]) -> None:
    """Alone on a shard, with all of its limits, whatever the answers are: the local cloud's meter lets each call in."""
    meter, pace, now = ReadMeter(), ReadPace(share=1.0, idle_s=0.0), 1.0
    for size, latency_s, at_tip in answers:
        now = max(now, pace.next_at)
        assert meter.take(now) == 0
        asked_at, now = now, now + latency_s
        meter.note(now, size, full=size == MAX_ANSWER_BYTES)
        pace.note(asked_at, now, size_bytes=size, at_tip=at_tip)


@pytest.mark.parametrize(
    ("size", "at_tip", "due"),
    [(0, False, 1.0), (0, True, 3.0), (1024 * 1024, False, 2.7), (MAX_ANSWER_BYTES, False, 25.2)],
)
def test_a_share_is_kept(size: int, at_tip: bool, due: float) -> None:
    """A fifth: one call a second, 0.4 MiB a second; longer at the tip."""
    pace = ReadPace(share=0.2, idle_s=3.0)
    pace.note(0.0, 0.2, size_bytes=size, at_tip=at_tip)
    assert pace.next_at == pytest.approx(due)


def test_ten_mib_close_the_shard_for_five_seconds() -> None:
    """Whatever the share is."""
    pace = ReadPace(share=1.0, idle_s=0.0)
    pace.note(0.0, 0.5, size_bytes=MAX_ANSWER_BYTES, at_tip=False)
    assert pace.next_at == 5.5


def test_refusals_double_the_wait_and_success_ends_that() -> None:
    """Half to all of 0.5, 1, 2 ... 10 seconds; the service's own advice is kept to."""
    pace = ReadPace(share=1.0, idle_s=0.0)
    waits = []
    for _ in range(7):
        pace.note_refusal(0.0, chance=1.0)
        waits.append(pace.next_at)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    pace.note(0.0, 0.0, size_bytes=0, at_tip=False)
    pace.note_refusal(0.0, chance=0.0)
    assert pace.next_at == 0.25
    pace.note_refusal(0.0, chance=0.0, after_s=5.0)
    assert pace.next_at == 5.0


@pytest.mark.parametrize("share", [0, -1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    """More than nothing and no more than all."""
    with pytest.raises(ValueError, match="share"):
        ReadPace(share=share, idle_s=1.0)


def test_a_lease_is_a_value() -> None:
    """Two that say the same are the same: that is how a lost answer is told."""
    assert replace(take(Lease("a"), "one"), counter=1) == take(Lease("a"), "one")
