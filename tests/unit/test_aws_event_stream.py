"""Event stream framing: the same as botocore's for any message, cut anywhere, and damage is always seen."""

from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.aws.event_stream import Message, MessageParser, TornMessageError, encode_message

EVENT = {":event-type": "contentBlockDelta", ":content-type": "application/json", ":message-type": "event"}
ONE = encode_message(EVENT, b'{"delta":{"text":"h\xc3\xa9"}}')
NAMES = st.text(min_size=1, max_size=20).filter(lambda name: len(name.encode()) <= 255)
STRINGS = st.dictionaries(NAMES, st.text(max_size=40), max_size=4)


def frame(headers: bytes, payload: bytes = b"") -> bytes:
    """A message with these bytes as headers, and right checksums."""
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def parse(*pieces: bytes) -> list[Message]:
    parser = MessageParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    parser.end()
    return messages


def botocore_parse(raw: bytes) -> list[Message]:
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return [Message(event.headers, event.payload) for event in buffer]


def value(kind: int, raw: bytes) -> bytes:
    return bytes((kind,)) + (struct.pack("!H", len(raw)) if kind in (6, 7) else b"") + raw


VALUES = st.one_of(
    st.sampled_from([value(0, b""), value(1, b"")]),
    st.builds(lambda raw: value(2, raw), st.binary(min_size=1, max_size=1)),
    st.builds(lambda raw: value(3, raw), st.binary(min_size=2, max_size=2)),
    st.builds(lambda raw: value(4, raw), st.binary(min_size=4, max_size=4)),
    st.builds(value, st.sampled_from([5, 8]), st.binary(min_size=8, max_size=8)),
    st.builds(lambda raw: value(6, raw), st.binary(max_size=30)),
    st.builds(lambda text: value(7, text.encode()), st.text(max_size=20)),
    st.builds(lambda raw: value(9, raw), st.binary(min_size=16, max_size=16)),
)


def header(name: str, raw: bytes) -> bytes:
    return bytes((len(name.encode()),)) + name.encode() + raw


@settings(deadline=None)
@given(st.lists(st.tuples(STRINGS, st.binary(max_size=60)), max_size=4), st.data())
def test_what_is_written_is_read_again_however_it_is_cut(
    messages: list[tuple[dict[str, str], bytes]], data: st.DataObject
) -> None:
    """Encode, cut anywhere, parse: the same messages, for botocore's parser too."""
    raw = b"".join(encode_message(*message) for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    edges = [0, *cuts, len(raw)]
    pieces = [raw[start:end] for start, end in itertools.pairwise(edges)]
    expected = [Message(headers, payload) for headers, payload in messages]
    assert parse(*pieces) == expected
    assert botocore_parse(raw) == expected


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=30))
def test_headers_of_every_type_are_read_as_botocore_reads_them(headers: dict[str, bytes], payload: bytes) -> None:
    """Booleans, integers of four sizes, bytes, strings, timestamps and UUIDs."""
    raw = frame(b"".join(header(name, value) for name, value in headers.items()), payload)
    assert parse(raw) == botocore_parse(raw)


def test_a_message_cut_at_every_byte() -> None:
    """Two pieces cut anywhere, or a byte at a time: nothing comes before the last byte, then all of it."""
    for cut in range(1, len(ONE)):
        parser = MessageParser()
        assert parser.feed(ONE[:cut]) == []
        assert len(parser.feed(ONE[cut:])) == 1
    assert len(parse(*(ONE[at : at + 1] for at in range(len(ONE))))) == 1


def test_a_stream_that_ends_inside_a_message_is_torn() -> None:
    """At no byte position can a truncated message be taken for a whole one."""
    for cut in range(1, len(ONE)):
        with pytest.raises(TornMessageError) as caught:
            parse(ONE[:cut])
        assert caught.value.code == "MalformedMessage"


@pytest.mark.parametrize("at", range(len(ONE)))
def test_a_damaged_byte_is_seen_at_once(at: int) -> None:
    """Wherever the damage is, lengths included, the error says that a checksum does not fit; nobody waits for more."""
    damaged = bytearray(ONE)
    damaged[at] ^= 0x40
    parser = MessageParser()
    with pytest.raises(TornMessageError) as caught:
        parser.feed(bytes(damaged))
    assert caught.value.code == "ChecksumMismatch"


def test_what_came_before_the_damage_was_delivered() -> None:
    """Messages already handed over stay so; the damaged one is an error when it is complete."""
    parser = MessageParser()
    assert len(parser.feed(ONE + ONE[:20])) == 1
    with pytest.raises(TornMessageError):
        parser.feed(b"\0" * (len(ONE) - 20))


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05ab",  # a name longer than what is there
        b"\x01a",  # no type
        b"\x01a\x0a",  # an unknown type
        b"\x01a\x07\x00",  # half a length
        b"\x01a\x07\x00\x05ab",  # a string longer than what is there
        b"\x01a\x04\x00",  # half an integer
        b"\x01a\x07\x00\x01\xff",  # not UTF-8
        b"\x01\xff\x00",  # the same in a name
        b"\x01a\x00\x01a\x01",  # the same header twice
    ],
)
def test_malformed_headers(headers: bytes) -> None:
    """Right checksums do not make nonsense right."""
    with pytest.raises(TornMessageError) as caught:
        parse(frame(headers))
    assert caught.value.code == "MalformedMessage"


@pytest.mark.parametrize(("size", "headers_size"), [(15, 0), (20, 5), (16 + 200_000, 200_000), (30_000_000, 0)])
def test_lengths_that_cannot_be(size: int, headers_size: int) -> None:
    """Lengths that contradict each other or go beyond botocore's limits are refused, not waited for."""
    lengths = struct.pack("!II", size, headers_size)
    with pytest.raises(TornMessageError) as caught:
        MessageParser().feed(lengths + struct.pack("!I", zlib.crc32(lengths)))
    assert caught.value.code == "MalformedMessage"
