"""What a producer decides: limits, order by key, pauses, hot keys."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Rejected
from sluiceway.rules.producing.hot_keys import HotKeys
from sluiceway.rules.producing.lanes import Lanes
from sluiceway.rules.producing.pace import LEAST_SHARE, Window, choose_pause_s
from sluiceway.rules.producing.records import MAX_CALL_BYTES, Room, measure_record

MIB = 1024 * 1024

# ---------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("key", "data", "reason", "field"),
    [
        ("", b"x", "invalid-partition-key", "key"),
        ("k" * 257, b"x", "invalid-partition-key", "key"),
        ("\ud800", b"x", "invalid-partition-key", "key"),
        ("k", b"", "empty-record", "data"),
        ("k", b"x" * MIB, "record-too-large", "data"),
        ("é" * 256, b"x" * (MIB - 511), "record-too-large", "data"),
    ],
)
def test_a_record_beyond_a_limit_is_refused_by_its_field(key: str, data: bytes, reason: str, field: str) -> None:
    """Keys have 1 to 256 characters, data a byte at least, both together a mebibyte at most, keys in UTF-8."""
    with pytest.raises(Rejected) as caught:
        measure_record(key, data)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_what_just_fits_is_measured() -> None:
    """A key of 256 characters, and a mebibyte to the byte; ten where the stream takes them."""
    assert measure_record("é" * 256, b"x" * (MIB - 512)) == MIB
    assert measure_record("k", b"x" * (10 * MIB - 1), max_bytes=10 * MIB) == 10 * MIB


@given(st.lists(st.integers(1, 3 * MIB), max_size=40), st.sampled_from([1.0, 0.5, LEAST_SHARE]))
def test_a_call_never_has_more_than_its_room(sizes: list[int], share: float) -> None:
    """500 entries and 10 MiB, or that share of them; the first always has its place."""
    room = Room(share)
    taken = [size for size in sizes if room.take(size)]
    assert sum(taken) <= MAX_CALL_BYTES * share or len(taken) == 1
    assert bool(taken) == bool(sizes)


def test_the_first_record_always_has_its_place() -> None:
    """Or a stream that is behind would never take a large one."""
    room = Room(LEAST_SHARE)
    assert [room.take(MIB), room.take(1)] == [True, False]


def test_a_call_has_five_hundred_entries() -> None:
    """Small ones, as many as the API takes."""
    room = Room()
    assert sum(room.take(1) for _ in range(600)) == 500


# ---------------------------------------------------------------- lanes


@given(st.integers(0, 2**32))
def test_a_key_is_never_taken_twice_and_never_out_of_order(seed: int) -> None:
    """Whatever is added, taken, returned and settled in any order: a key's items end in the order they came."""
    rng = random.Random(seed)
    lanes: Lanes[int] = Lanes()
    ended: dict[str, list[int]] = {}
    out: dict[str, list[int]] = {}
    added = now = 0
    while added < 60 or lanes.has_ready or out or lanes.wakes_at is not None:
        now += 1
        lanes.wake(now)
        if added < 60 and rng.random() < 0.5:
            lanes.add(f"k{rng.randrange(4)}", added)
            added += 1
        for key, items in lanes.ready():
            if rng.random() < 0.5:
                assert key not in out
                number = rng.randint(1, len(items))
                out[key] = lanes.take(key, number)
                assert len(out[key]) == number
        for key in [key for key in out if rng.random() < 0.5]:
            items = out.pop(key)
            stored = rng.randint(0, len(items)) if rng.random() < 0.5 else len(items)
            ended.setdefault(key, []).extend(items[:stored])
            lanes.settle(key, items[stored:], rest_until=now + rng.randint(0, 3) if rng.random() < 0.5 else None)
    assert sorted(number for numbers in ended.values() for number in numbers) == list(range(60))
    assert all(numbers == sorted(numbers) for numbers in ended.values())


def test_a_resting_key_holds_back_what_comes_later() -> None:
    """What is added while a key rests is not ready before it has rested; other keys are."""
    lanes: Lanes[str] = Lanes()
    lanes.add("a", "a1")
    lanes.settle("a", lanes.take("a", 1), rest_until=5.0)
    lanes.add("a", "a2")
    lanes.add("b", "b1")
    assert [key for key, _ in lanes.ready()] == ["b"]
    assert (lanes.wake(4.9), lanes.wakes_at) == (False, 5.0)
    assert (lanes.wake(5.0), lanes.wakes_at) == (True, None)
    assert [(key, list(items)) for key, items in lanes.ready()] == [("b", ["b1"]), ("a", ["a1", "a2"])]


# ---------------------------------------------------------------- pace


@given(st.integers(1, 2_000), st.floats(0, 1), st.none() | st.floats(0, 100))
def test_a_pause_grows_up_to_five_seconds(attempts: int, chance: float, advice_s: float | None) -> None:
    """Between half and all of 0.1 s doubled each time, and at least what is asked for, five seconds at most."""
    pause_s = choose_pause_s(attempts=attempts, chance=chance, advice_s=advice_s)
    bound = min(0.1 * 2.0 ** min(attempts - 1, 60), 5.0)
    assert bound / 2 <= pause_s <= 5.0
    assert pause_s >= min(advice_s or 0.0, 5.0)
    assert advice_s is not None or pause_s <= bound


def test_the_window_halves_where_most_is_declined_and_grows_by_tenths() -> None:
    """A single busy shard among many changes nothing; a stream that is behind is asked for less, never for nothing."""
    window = Window()
    window.note(entries=10, declined=5)
    assert window.share == 1.0
    window.note(entries=10, declined=6)
    assert window.share == 0.5
    window.note(entries=10, declined=1)
    assert window.share == 0.5
    window.note(entries=10, declined=0)
    assert window.share == pytest.approx(0.6)
    for _ in range(20):
        window.note(entries=1, declined=1)
    assert window.share == LEAST_SHARE
    for _ in range(20):
        window.note(entries=1, declined=0)
    assert window.share == 1.0


# ---------------------------------------------------------------- hot keys


@given(st.lists(st.integers(0, 12).map(str), max_size=400), st.integers(1, 8))
def test_counts_are_bounds_and_frequent_keys_are_there(keys: list[str], capacity: int) -> None:
    """`times - error` to `times` holds the truth; a key with more than 1/capacity of all has a counter."""
    counted = HotKeys(capacity)
    for key in keys:
        counted.add(key)
    truth = Counter(keys)
    found = {each.key: each for each in counted.counted()}
    assert len(found) <= capacity
    assert all(each.times - each.error <= truth[key] <= each.times for key, each in found.items())
    assert sum(each.times for each in found.values()) == len(keys) == counted.total
    assert {key for key, times in truth.items() if times * capacity > len(keys)} <= set(found)


def test_the_hottest_surely_have_their_share() -> None:
    """Exact counts, the hottest first; what only may have its share is left out."""
    counted = HotKeys(2)
    for key in "aaabbc":
        counted.add(key)
    assert [(each.key, each.times, each.error) for each in counted.hottest(0.5)] == [("a", 3, 0)]
    assert counted.hottest(0.6) == ()
    assert HotKeys().hottest(0.0) == ()
