"""Minted keys: their form, what they say, and the items that stand for a key under each term."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Rejected
from sluiceway.idempotency.keys import KeyMaker
from sluiceway.rules.region_keys import (
    MAX_EPOCH,
    RANDOM_BYTES,
    RegionKey,
    item_key,
    mint_key,
    parse_region_key,
    read_item_key,
    region_key_in,
    write_time,
)

REGIONS = st.sampled_from(
    [
        "us-east-1",
        "eu-central-2",
        "ap-southeast-7",
        "us-gov-west-1",
        "cn-north-1",
        "us-iso-east-1",
        "mx-central-1",
        "eusc-de-east-1",
    ]
)
EPOCHS = st.integers(1, MAX_EPOCH)
TIMES = st.integers(0, (1 << 48) - 1)
RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
KEY = "us-east-1.1.01890a5d-ac96-774b-bcce-b302099a8057"


@given(REGIONS, EPOCHS, TIMES, RANDOM)
def test_a_key_says_what_it_was_made_of(region: str, epoch: int, now_ms: int, random: bytes) -> None:
    """Region, epoch and time come back; the last part is a UUID of version 7 and of RFC 9562's variant."""
    key = mint_key(region, epoch, now_ms=now_ms, random=random)
    assert parse_region_key(key) == RegionKey(region, epoch, now_ms)
    assert region_key_in(f"orders#{key}") == RegionKey(region, epoch, now_ms)
    made = uuid.UUID(key.rpartition(".")[2])
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, now_ms)


@given(st.lists(st.tuples(TIMES, RANDOM), min_size=2, max_size=20))
def test_keys_of_one_term_are_in_the_order_of_their_times(made: list[tuple[int, bytes]]) -> None:
    """As text, too."""
    keys = [(now_ms, mint_key("us-east-1", 1, now_ms=now_ms, random=random)) for now_ms, random in made]
    in_order = [now_ms for now_ms, _ in sorted(keys, key=lambda pair: pair[1])]
    assert in_order == sorted(now_ms for now_ms, _ in made)


@given(RANDOM, RANDOM)
def test_the_random_bits_are_in_the_key(one: bytes, other: bytes) -> None:
    """Of the 80 bits version and variant take six: keys differ where any of the other 74 does."""
    mask = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    keys = [mint_key("us-east-1", 1, now_ms=5, random=random) for random in (one, other)]
    differ = (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")) & mask != 0
    assert (keys[0] != keys[1]) == differ


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY.upper(),
        f"{KEY} ",
        f"{KEY}\n",
        f"x{KEY}x",
        KEY.replace(".1.", ".0."),
        KEY.replace(".1.", ".01."),
        KEY.replace(".1.", ".1000000001."),
        KEY.replace(".1.", ".-1."),
        KEY.replace(".1.", ".\u0661."),
        KEY.replace("-774b-", "-474b-"),
        KEY.replace("-bcce-", "-ccce-"),
        KEY.replace("us-east-1", "useast1"),
        KEY.replace("us-east-1", "us-east-1-"),
        KEY.replace("us-east-1", "us-east-111"),
        KEY.replace("us-east-1", "us-" + "x" * 40 + "-1"),
        KEY.replace("us-east-1.1.", ""),
        f"{KEY}@2",
    ],
)
def test_what_is_no_minted_key(text: str) -> None:
    """Another form is not guessed at, and a guard that takes minted keys refuses it."""
    assert parse_region_key(text) is None
    with pytest.raises(Rejected) as caught:
        KeyMaker("orders", key="id", digest="minted").key_of({"id": text})
    assert caught.value.reason in {"invalid-idempotency-key", "no-idempotency-key"}


@given(st.text(max_size=120))
def test_any_text_is_a_minted_key_or_none(text: str) -> None:
    """What is one, is written the same way again."""
    made = parse_region_key(text)
    assert made is None or text.startswith(f"{made.region}.{made.epoch}.")


@given(REGIONS, EPOCHS, EPOCHS, RANDOM)
def test_each_term_has_an_item_of_its_own(region: str, epoch: int, other: int, random: bytes) -> None:
    """The term that made a key has it as it is; each item is read back to its key, and no two terms share one."""
    key = f"orders#{mint_key(region, epoch, now_ms=7, random=random)}"
    hashed = "orders@eu#" + "0" * 64
    assert item_key(key, epoch) == key
    for each in (key, hashed):
        assert read_item_key(item_key(each, other), other) == each
        assert (item_key(each, epoch) == item_key(each, other)) == (epoch == other)
    assert item_key(hashed, epoch) == f"{hashed}@{epoch}"


@given(st.integers(1, 10**15 - 1))
def test_a_time_stands_behind_a_hash_and_names_no_term(made_ms: int) -> None:
    """Whoever reads it knows when the key was made, and nothing of where."""
    key = f"jobs#{'0' * 64}#{write_time(made_ms)}"
    assert region_key_in(key) == RegionKey("", 0, made_ms)
    assert item_key(key, 2) == f"{key}@2"
    assert read_item_key(f"{key}@2", 2) == key


@pytest.mark.parametrize(
    ("made", "behind"),
    [
        (KEY, f"#{KEY}"),
        (1_700_000_000_000, "#t1700000000000"),
        ("t1700000000000", ""),
        ("us-east-1.1.not-a-uuid", ""),
        ("", ""),
        (None, ""),
        (0, ""),
        (-5, ""),
    ],
)
def test_what_an_event_says_of_its_key_stands_behind_the_hash(made: object, behind: str) -> None:
    """Only a key that a Region made, or a time of ours; no text of a client's becomes a time."""
    event = {"id": "k", "made": made}
    plain = KeyMaker("orders", key="id").key_of(event)
    assert KeyMaker("orders", key="id", made="made").key_of(event) == plain + behind
