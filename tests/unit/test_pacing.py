"""rules.pacing and rules.numbering: how many posts at once, who rests, and numbers that show what is missed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.rules import numbering
from sluiceway.rules.numbering import Numbering
from sluiceway.rules.pacing import LONGEST_REST_S, MAX_RESTING, MIN_OPEN, Rests, Window


def rounds(window: Window, *shares: float) -> list[int]:
    """The window's size after rounds in which these shares of the answers were 429."""
    sizes: list[int] = []
    for share in shares:
        size = window.size
        for number in range(size):
            window.note(throttled=number < round(share * size))
        sizes.append(window.size)
    return sizes


def test_the_window_closes_with_many_refusals_and_opens_with_few() -> None:
    """By two fifths a round, never below two; a few clients that do not read do not close it; it opens by two."""
    window = Window(64)
    assert rounds(window, 0.2, 1, 1, 1) == [64, 38, 22, 13]
    assert window.is_throttled
    assert rounds(window, 0.2, *[0] * 24) == list(range(15, 64, 2))
    assert window.is_throttled
    assert rounds(window, 0.2) == [64]
    assert not window.is_throttled
    assert rounds(Window(64), *[1.0] * 20)[-1] == MIN_OPEN


@given(st.lists(st.floats(0, 1), max_size=50))
def test_the_window_keeps_to_its_bounds(shares: list[float]) -> None:
    """Whatever is answered."""
    assert all(MIN_OPEN <= size <= 64 for size in rounds(Window(64), *shares))


def test_who_is_given_up_rests_twice_as_long_each_time() -> None:
    """From two seconds to thirty; a message that is taken ends it, and the next rest is short again."""
    rests = Rests()
    now = 0.0
    rested: list[float] = []
    for _ in range(6):
        rests.give_up("c1", now)
        began = now
        while rests.is_resting("c1", now):
            now += 0.5
        rested.append(now - began)
    assert rested == [2, 4, 8, 16, 30, LONGEST_REST_S]
    assert not rests.is_resting("c2", now)
    rests.give_up("c1", now)
    rests.forget("c1")
    assert not rests.is_resting("c1", now)
    rests.give_up("c1", now)
    assert (rests.is_resting("c1", now + 1.9), rests.is_resting("c1", now + 2)) == (True, False)


def test_so_many_rest_at_most() -> None:
    """Then the first is forgotten, and tried again early."""
    rests = Rests()
    for number in range(MAX_RESTING + 1):
        rests.give_up(f"c{number}", 0.0)
    assert [rests.is_resting(f"c{number}", 1.0) for number in (0, 1, MAX_RESTING)] == [False, True, True]


def test_each_series_is_counted_from_one() -> None:
    """Side by side, in one epoch of eight letters and digits; another environment has another epoch."""
    counting = Numbering(random.Random(1).random)
    assert [counting.next(each) for each in "aabab"] == [1, 2, 1, 3, 2]
    assert len(counting.epoch) == 8
    assert counting.epoch.isalnum()
    assert counting.epoch != Numbering(random.Random(2).random).epoch
    assert len(Numbering(lambda: 1.0).epoch) == 8


def test_too_many_series_begin_anew_in_another_epoch() -> None:
    """What is counted is bounded; nobody takes a number of the new epoch for one of the old."""
    counting = Numbering(random.Random(1).random)
    epoch = counting.epoch
    for series in range(numbering.MAX_SERIES):
        counting.next(series)
    assert (counting.next(0), counting.epoch) == (2, epoch)
    assert counting.next("one more") == 1
    assert counting.epoch != epoch
    assert counting.next(0) == 1


def test_a_group_that_lost_something_leaves_out_a_number() -> None:
    """Each of its series once, however late its next message comes, new ones too; other groups go on. Several losses
    before a message are one gap."""
    counting = Numbering(random.Random(1).random)
    assert [counting.next("a", "g"), counting.next("b", "g"), counting.next("c", "h")] == [1, 1, 1]
    counting.lose("g")
    counting.lose("g")
    assert [counting.next("a", "g"), counting.next("a", "g"), counting.next("c", "h")] == [3, 4, 2]
    assert [counting.next("b", "g"), counting.next("new", "g"), counting.next("other", "h")] == [3, 2, 1]
    assert counting.epoch_of("g") == counting.epoch_of("h") == counting.epoch


def test_a_group_may_begin_anew_after_a_loss() -> None:
    """In an epoch of its own, with a number that is not 1: what was missed may lie anywhere before it."""
    counting = Numbering(random.Random(1).random)
    assert [counting.next("a", "g"), counting.next("a", "g")] == [1, 2]
    counting.lose("g", anew=True)
    own = counting.epoch_of("g")
    assert own != counting.epoch
    assert [counting.next("a", "g"), counting.next("a", "g"), counting.next("b", "g")] == [2, 3, 2]
    counting.lose("g")
    assert (counting.next("a", "g"), counting.epoch_of("g")) == (5, own)
    assert counting.epoch_of("h") == counting.epoch


def test_losses_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest group's goes; also where the numbers themselves begin anew the others stay."""
    monkeypatch.setattr(numbering, "MAX_GROUPS", 2)
    monkeypatch.setattr(numbering, "MAX_SERIES", 2)
    counting = Numbering(random.Random(1).random)
    for group in ("g", "h", "i"):
        counting.lose(group)
    assert [counting.next("a", "g"), counting.next("a", "h")] == [1, 3]
    before = counting.epoch
    assert [counting.next("b", "i"), counting.next("c", "i")] == [2, 2]
    assert counting.epoch != before
