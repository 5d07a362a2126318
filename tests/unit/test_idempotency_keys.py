"""Which part of an event is its key, and what of the event is read for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.errors import Rejected
from sluiceway.events.sqs import SqsMessage
from sluiceway.idempotency import Guard, Options
from sluiceway.idempotency.keys import KeyMaker, make_select

EVENT: dict[str, Any] = {"id": "o1", "customer": {"id": 7}, "lines": [{"sku": "a"}, {"sku": "b"}], "none": None}
MESSAGE = SqsMessage("m1", "r1", "{}", {"id": "k"}, 1, 0, "arn:aws:sqs:eu-west-1:123456789012:orders")


class Watched(Mapping[str, Any]):
    """An event that knows what was read of it."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content, self.read = content, list[str]()

    def __getitem__(self, name: str) -> Any:
        self.read.append(name)
        return self.content[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the whole event is read")

    def __len__(self) -> int:
        raise AssertionError("the whole event is measured")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("id", "o1"),
        ("customer.id", 7),
        ("lines[1].sku", "b"),
        ("lines[2].sku", None),
        ("id[0]", None),
        ("none.more", None),
        ("nothing.more", None),
        (("id", "customer.id"), ["o1", 7]),
        (lambda event: event["lines"][0], {"sku": "a"}),
    ],
)
def test_a_part_is_selected(part: Any, expected: object) -> None:
    """Paths go through names and indexes; several give a list; a function may do what it wants."""
    assert make_select(part)(EVENT) == expected


def test_paths_read_typed_events() -> None:
    """A path goes through attributes as well: an SQS message's id, one of its attributes."""
    assert [make_select(path)(MESSAGE) for path in ("message_id", "attributes.id", "nothing")] == ["m1", "k", None]


@pytest.mark.parametrize("part", ["", "a..b", "a[", "a[x]", "a[-1]", "_hidden", "a*", "@", (), 3, ["id"]])
def test_what_is_no_part_is_refused_when_the_function_is_made(part: Any) -> None:
    """A mistake in a path shows at import, not with the first event."""
    with pytest.raises(ValueError, match=r"path|key"):
        Guard("orders", key=part)


def test_only_the_key_is_read() -> None:
    """Nothing but the named part is touched, however large the event is."""
    event = Watched({"id": "o1", "body": "x" * 1_000_000})
    KeyMaker("orders", key="id").key_of(event)
    assert event.read == ["id"]


@pytest.mark.parametrize("missing", [None, "", [], {}, [None], {"a": None}])
def test_an_event_without_a_key_is_poison(missing: object) -> None:
    """It is refused aloud with the path's name: never run unprotected."""
    with pytest.raises(Rejected) as caught:
        Guard("orders", key="order.id").key_of({"order": {"id": missing}})
    assert (caught.value.reason, caught.value.field) == ("no-idempotency-key", "order.id")


@pytest.mark.parametrize("key", [0, False, 0.0, "x", [0], {"a": 1}])
def test_zero_and_false_are_keys(key: object) -> None:
    """What is there is a key, however empty it looks."""
    assert Guard("orders", key="id").key_of({"id": key}).startswith("orders#")


@pytest.mark.parametrize("key", [b"x", object(), {1, 2}, "x" * 70_000])
def test_a_key_is_short_json(key: object) -> None:
    """Anything else is poison, not a crash."""
    with pytest.raises(Rejected) as caught:
        Guard("orders", key="id").key_of({"id": key})
    assert caught.value.reason == "invalid-idempotency-key"


def test_what_is_validated_may_be_large() -> None:
    """A whole body, which Lambda bounds; it must be JSON as well."""
    keys = KeyMaker("orders", key="id", validate="body")
    assert len(keys.payload_hash_of({"body": "x" * 1_000_000})) == 64
    with pytest.raises(Rejected):
        keys.payload_hash_of({"body": b"x"})


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_the_order_of_names_does_not_count(value: Any) -> None:
    """The same object written in another order is the same key."""

    def turn(part: Any) -> Any:
        return {name: turn(part[name]) for name in reversed(part)} if isinstance(part, dict) else part

    keys = KeyMaker("orders", key="id")
    assert keys.key_of({"id": ["k", value]}) == keys.key_of({"id": ["k", turn(value)]})


def test_functions_have_keys_of_their_own() -> None:
    """The name is part of the key: one table serves them all."""
    assert Guard("a", key="id").key_of(EVENT) != Guard("b", key="id").key_of(EVENT)


@pytest.mark.parametrize("name", ["", "a#b", "n" * 513])
def test_a_name_fits_a_key(name: str) -> None:
    """A name is not empty, has no separator and leaves room."""
    with pytest.raises(ValueError, match="name"):
        Guard(name, key="id")


def test_nothing_about_a_function_can_change() -> None:
    """Options are frozen and a guard has no public state: what one function has, no other can change."""
    with pytest.raises(FrozenInstanceError):
        Options().keep_s = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Guard("orders", key="id").name = "b"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "choice",
    [
        {"keep_s": 0},
        {"lease_s": 0},
        {"lease_s": 901},
        {"skew_s": -1},
        {"wait_s": float("nan")},
        {"store_timeout_s": 0},
        {"when_away": "maybe"},
        {"after_crash": "hope"},
        {"digest": "crc"},
    ],
)
def test_options_have_bounds(choice: dict[str, Any]) -> None:
    """A value out of bounds is named when the function is made."""
    with pytest.raises(ValueError, match=next(iter(choice))):
        Options(**choice)
