"""codec.kinesis_window: invocations of a tumbling window, and raw records at rest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec import kinesis, kinesis_window
from sluiceway.codec.raw_records import (
    HOUR_MS,
    RawRecord,
    decode_lines,
    encode_lines,
    name_object,
    prefix_of,
    start_of,
)
from sluiceway.errors import Misconfigured, Rejected
from sluiceway.events.kinesis_window import KinesisWindow, WindowReply
from tests.unit.test_codec_kinesis import FIRST, STREAM, aggregate, make, wire

SHARD = "shardId-000000000006"
START_MS = 1_800_000_000_000
EVENT: dict[str, Any] = {
    "Records": [wire(make(b"one")), wire(make(b"two", number=FIRST + 1))],
    "window": {"start": "2027-01-15T08:00:00Z", "end": "2027-01-15T08:02:00Z"},
    "state": {"v": 1},
    "shardId": SHARD,
    "eventSourceARN": STREAM,
    "isFinalInvokeForWindow": False,
    "isWindowTerminatedEarly": False,
}


def test_an_invocation_in_a_window_is_read() -> None:
    """Records, state, bounds and whose they are; the flags say what ends."""
    records = (make(b"one"), make(b"two", number=FIRST + 1))
    expected = KinesisWindow(records, {"v": 1}, SHARD, STREAM, START_MS, START_MS + 120_000)
    assert kinesis_window.decode(EVENT) == expected
    final = {**EVENT, "Records": [], "isFinalInvokeForWindow": True}
    assert kinesis_window.decode(final) == expected._replace(records=(), is_final=True)
    cut = {**EVENT, "Records": [], "isWindowTerminatedEarly": True, "state": None}
    assert kinesis_window.decode(cut) == expected._replace(records=(), is_cut=True, state={})
    del final["Records"]
    assert kinesis_window.decode(final).records == ()
    assert kinesis_window.correlation_id(expected) == ""


def test_an_aggregate_is_opened_in_a_window_too() -> None:
    """Its records share a sequence number."""
    event = {**EVENT, "Records": [wire(make(aggregate(b"a", b"b")))]}
    assert [(each.data, each.sub_sequence) for each in kinesis_window.decode(event).records] == [(b"a", 0), (b"b", 1)]


def test_the_answer_has_a_state_always() -> None:
    """And the failures beside it."""
    assert kinesis_window.encode(WindowReply({})) == {"state": {}, "batchItemFailures": []}
    assert kinesis_window.encode(WindowReply({"v": 1}, ("7",))) == {
        "state": {"v": 1},
        "batchItemFailures": [{"itemIdentifier": "7"}],
    }


def test_a_mapping_without_a_window_is_told_of() -> None:
    """And one with a window where a plain batch is expected."""
    event = {"Records": EVENT["Records"]}
    with pytest.raises(Misconfigured) as caught:
        kinesis_window.decode(event)
    assert caught.value.what == "TumblingWindowInSeconds"
    with pytest.raises(Misconfigured):
        kinesis.decode(EVENT)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("window", None, "window"),
        ("window.start", "yesterday", "window.start"),
        ("window.start", "2027-01-15T08:00:00", "window.start"),
        ("window.end", 5, "window.end"),
        ("window.end", "2027-01-15T08:00:00Z", "window"),
        ("window.end", "2027-01-15T08:15:01Z", "window"),
        ("state", [], "state"),
        ("shardId", None, "shardId"),
        ("shardId", "shardId-000000000007", "Records"),
        ("eventSourceARN", 1, "eventSourceARN"),
        ("isFinalInvokeForWindow", "false", "isFinalInvokeForWindow"),
        ("isWindowTerminatedEarly", None, "isWindowTerminatedEarly"),
        ("Records", {}, "Records"),
    ],
)
def test_an_event_of_another_shape_is_refused_by_member(path: str, value: object, field: str) -> None:
    """The member's name, never its value."""
    event = copy.deepcopy(EVENT)
    at, names = event, path.split(".")
    for name in names[:-1]:
        at = at[name]
    at[names[-1]] = value
    with pytest.raises(Rejected) as caught:
        kinesis_window.decode(event)
    assert (caught.value.reason, caught.value.field) == ("malformed-event", field)


@pytest.mark.parametrize("raw", [None, [], "x", {}, {"window": {}}])
def test_what_is_no_event_is_refused(raw: object) -> None:
    """Not a crash."""
    with pytest.raises(Rejected):
        kinesis_window.decode(raw)


# ---------------------------------------------------------------- raw records

RAW = st.builds(
    RawRecord,
    st.sampled_from(["shardId-000000000000", "odd"]),
    st.integers(0, 10**129 - 1).map(str),
    st.integers(-1, 5),
    st.integers(0, 2**41),
    st.text().map(lambda text: text.encode("utf-8", "ignore")),
)


@given(st.lists(RAW, max_size=5))
def test_raw_records_come_back_as_they_went(records: list[RawRecord]) -> None:
    """Byte for byte, whatever separators their text has; a line each."""
    body = encode_lines(records)
    assert list(decode_lines(body)) == records
    assert body.count(b"\n") == len(records)


@pytest.mark.parametrize("body", [b"{}\n", b"[1]\n", b"\xff", b"?", b"[" * 100_000, b'["s",[],1,2,"d"]\n["s"'])
def test_other_lines_are_refused(body: bytes) -> None:
    """They were written by somebody else."""
    with pytest.raises(Rejected) as caught:
        list(decode_lines(body))
    assert caught.value.reason == "malformed-raw-records"


@given(st.integers(0, 4_000_000_000_000 // HOUR_MS).map(lambda hour: hour * HOUR_MS))
def test_names_say_their_hour_and_sort_by_it(start_ms: int) -> None:
    """An hour's prefix lies within its day's."""
    name = name_object("t", start_ms, shard="shardId-0", first="0011", last="0012")
    assert start_of(name) == start_ms
    assert name.startswith(prefix_of("t", start_ms))
    assert name.startswith(prefix_of("t", start_ms, day=True))
    assert name < name_object("t", start_ms + HOUR_MS, shard="shardId-0", first="0011", last="0012")


def test_a_name_without_an_hour_is_refused() -> None:
    """Somebody else's object."""
    with pytest.raises(Rejected) as caught:
        start_of("raw/t/elsewhere/x")
    assert caught.value.reason == "malformed-raw-name"
