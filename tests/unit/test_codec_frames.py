"""codec.frames: frames of streamed answers as messages and as server-sent events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.codec.frames import (
    decode_event_id,
    encode_frame,
    encode_record,
    encode_records,
    encode_sse,
    pack_records,
)
from sluiceway.events.socket import Frame, FrameKind, RecordsFrame, ShownRecord

REQS = st.text(alphabet="AZaz09._~-", min_size=1, max_size=128)
ANY_TEXT = st.text(alphabet=st.characters())  # half surrogate pairs as well
DATA = st.none() | ANY_TEXT | st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.booleans(), max_size=3)
FRAMES = st.builds(
    Frame,
    kind=st.sampled_from(get_args(FrameKind)),
    req=REQS,
    seq=st.integers(1, 10**6),
    off=st.integers(0, 1_048_576),
    attempt=st.integers(0, 99),
    data=DATA,
)


def test_a_delta_is_written_as_documented() -> None:
    """The example of docs/streaming.md, byte for byte."""
    frame = Frame("delta", "r1", 3, 120, 1, "text")
    assert encode_frame(frame) == b'{"v":1,"req":"r1","seq":3,"off":120,"try":1,"t":"delta","d":"text"}'
    assert encode_sse(frame) == (
        b'id: 1.124\nevent: delta\ndata: {"v":1,"req":"r1","seq":3,"off":120,"try":1,"t":"delta","d":"text"}\n\n'
    )


def test_text_is_not_escaped() -> None:
    """A character beyond ASCII has its UTF-8, a third of an escape's bytes."""
    assert '"d":"Rhône 🌊"'.encode() in encode_frame(Frame("delta", "r1", 1, 0, 1, "Rhône 🌊"))


def test_a_frame_of_no_attempt_has_no_try() -> None:
    """What is said before any attempt speaks of none, and leaves a reader's last event id as it is."""
    frame = Frame("error", "r1", 1, 0, 0, {"type": "/problems/too-many-readers", "resumable": False})
    members = {"v": 1, "req": "r1", "seq": 1, "off": 0, "t": "error"}
    assert json.loads(encode_frame(frame)) == {**members, "d": frame.data}
    assert encode_sse(frame).startswith(b"event: error\ndata: ")


@given(frame=FRAMES)
def test_every_frame_reads_back(frame: Frame) -> None:
    """It is UTF-8 and JSON whatever a model said, half a surrogate pair included."""
    members: dict[str, Any] = json.loads(encode_frame(frame).decode())
    expected = {"v": 1, "req": frame.req, "seq": frame.seq, "off": frame.off, "t": frame.kind, "d": frame.data}
    joined = json.loads(json.dumps(expected | ({"try": frame.attempt} if frame.attempt else {})))
    assert members == joined
    assert list(members)[-2:] == ["t", "d"]


@pytest.mark.parametrize("half", ["\ud83c", "a\\\ud83cb", '"\udf0a'])
def test_half_a_character_is_an_escape(half: str) -> None:
    """UTF-8 has no form for it, JSON has."""
    assert json.loads(encode_frame(Frame("delta", "r1", 1, 0, 1, half)).decode("utf-8", "strict"))["d"] == half


@given(frame=FRAMES)
def test_every_event_is_read_by_the_rules_of_the_standard(frame: Frame) -> None:
    """Lines by CR, LF and CRLF; the id is the attempt and the length after the event; a ping is a comment."""
    text = encode_sse(frame).decode()
    assert text.endswith("\n\n")
    if frame.kind == "ping":
        assert text == ": ping\n\n"
        return
    lines = text[:-2].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fields = dict(line.split(": ", 1) for line in lines)
    length = frame.off + (len(frame.data) if frame.kind == "delta" and isinstance(frame.data, str) else 0)
    assert len(fields) == len(lines)
    assert (fields["event"], fields["data"].encode()) == (frame.kind, encode_frame(frame))
    assert decode_event_id(fields.get("id", "")) == ((frame.attempt, length) if frame.attempt else None)


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": b"bytes"}])
def test_what_is_no_json_is_refused(data: dict[str, object]) -> None:
    """Our own fault, told where it is made."""
    with pytest.raises((ValueError, TypeError)):
        encode_frame(Frame("final", "r1", 1, 0, 1, data))


@given(attempt=st.integers(0, 999_999), off=st.integers(0, 999_999_999))
def test_event_ids_read_back(attempt: int, off: int) -> None:
    """Attempt, a dot, an offset."""
    assert decode_event_id(f"{attempt}.{off}") == (attempt, off)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "-1.2",
        "1.-2",
        "+1.2",
        " 1.2",
        "1.2\n",
        "a.b",
        "٣.٤",
        "²,5",
        "1e3.4",
        "1.1" + "0" * 9,
    ],
)
def test_other_event_ids_are_none(text: str) -> None:
    """A client may send anything, digits of other scripts and thousands of them as well."""
    assert decode_event_id(text) is None


@given(text=st.text())
def test_no_text_raises(text: str) -> None:
    """Whatever the header holds."""
    decode_event_id(text)


# ---------------------------------------------------------------- records of a topic


def test_records_are_written_as_documented() -> None:
    """The example of docs/subscriptions.md, byte for byte."""
    shown = encode_record(ShownRecord("49671075", None, {"order": 7, "total": 120}))
    written = encode_records(RecordsFrame("records", "shardId-000000000000", "k3v9q0ab", 17, (shown,)))
    example = (
        b'{"v":2,"topic":"records","shard":"shardId-000000000000","epoch":"k3v9q0ab","n":17,"t":"records",'
        b'"d":[{"seq":"49671075","d":{"order":7,"total":120}}]}'
    )
    assert written == example
    text = (Path(__file__).parents[2] / "docs" / "subscriptions.md").read_text(encoding="utf-8")
    assert example.decode() in "".join(line.strip() for line in text.splitlines())


def test_a_record_of_an_aggregate_has_its_place() -> None:
    """`sub` only where a number is shared; half a character is escaped; what is no JSON is refused."""
    record = ShownRecord("49", None, {"text": "a\nb\r\u2028€", "half": "\ud800"})
    assert json.loads(encode_record(record)) == {"seq": "49", "d": record.data}
    assert json.loads(encode_record(record._replace(sub_sequence=0)))["sub"] == 0
    with pytest.raises(ValueError, match="JSON"):
        encode_record(record._replace(data={"n": float("inf")}))


@given(st.lists(st.integers(0, 12)), st.integers(1, 30))
def test_records_are_packed_in_order_and_to_a_bound(sizes: list[int], most: int) -> None:
    """Every record once, in order; a pack is larger than the bound only where it is one record, none has room for the
    record that follows, and one that cannot be sent is alone."""
    records = [bytes([65 + number % 26]) * size for number, size in enumerate(sizes)]
    packs = list(pack_records(records, most))
    assert [record for pack in packs for record in pack] == records
    for pack, following in zip(packs, [*packs[1:], (b"",)], strict=False):
        assert len(b",".join(pack)) <= most or len(pack) == 1
        assert b"" not in pack or pack == (b"",)
        if pack[0] and following[0]:
            assert len(b",".join([*pack, following[0]])) > most
