"""Sequence numbers: what they look like, what they say, and how they are ordered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.kinesis.sequence import (
    LAST_PLACE,
    Sequence,
    first_prefix,
    first_sequence,
    last_place_before,
    make_sequence,
    parse_sequence,
)

SECONDS = st.integers(0, 4_000_000_000)
SHARDS = st.integers(0, 2**31 - 1)
PLACES = st.integers(0, LAST_PLACE)


@given(SHARDS, SECONDS, PLACES, SECONDS)
def test_a_number_says_what_it_was_made_of(shard: int, created_s: int, place: int, written_s: int) -> None:
    """56 digits, as AWS's, from which shard, seconds and place can be read again."""
    text = str(make_sequence(first_prefix(shard, created_s), place, written_s))
    assert (len(text), text[:2] in {"49", "50"}) == (56, True)
    assert Sequence(shard, created_s, place, written_s) == parse_sequence(text)


@given(SHARDS, SHARDS, SECONDS, PLACES, SECONDS)
def test_a_child_comes_after_all_of_its_parent(
    parent: int, child: int, created_s: int, place: int, written_s: int
) -> None:
    """A shard that began one second later has larger numbers than any record of the one before."""
    last = make_sequence(first_prefix(parent, created_s), place, written_s)
    assert last < first_sequence(child, created_s + 1)


@given(SHARDS, SECONDS, st.integers(0, LAST_PLACE - 1), SECONDS, SECONDS)
def test_a_checkpoint_is_between_two_records(
    shard: int, created_s: int, place: int, written_s: int, later_s: int
) -> None:
    """The number after a place is behind its record and before the next one's, whatever the seconds."""
    prefix = first_prefix(shard, created_s)
    between = make_sequence(prefix, place, later_s, after=True)
    assert make_sequence(prefix, place, written_s) < between < make_sequence(prefix, place + 1, written_s)


@given(SHARDS, SECONDS, st.integers(1, LAST_PLACE), SECONDS)
def test_what_a_reader_has_behind_it(shard: int, created_s: int, place: int, written_s: int) -> None:
    """At a record that one is still to come; after it, and at a checkpoint behind it, it is not."""
    prefix = first_prefix(shard, created_s)
    number = make_sequence(prefix, place, written_s)
    assert last_place_before(number) == place - 1
    assert last_place_before(number + 1) == place
    assert last_place_before(make_sequence(prefix, place, written_s, after=True)) == place


@pytest.mark.parametrize(
    "text",
    ["", "0", "12", "01", "x", "-1", "4" * 56, str(2**188), str(first_sequence(3, 5) + 1), "9" * 200],
)
def test_what_is_no_sequence_number(text: str) -> None:
    """Anything that AWS would not have made."""
    with pytest.raises(ValueError):
        parse_sequence(text)


@pytest.mark.parametrize("wrong", [1 << 144, 1 << 143])
def test_a_number_that_contradicts_itself_is_none(wrong: int) -> None:
    """The shard's last digit stands twice in a number, and the place is below 2^63."""
    with pytest.raises(ValueError):
        parse_sequence(str(first_sequence(3, 5) ^ wrong))
