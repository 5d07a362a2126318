"""WebSocket frames: what API Gateway takes of a client, and what it sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.gateway.websocket.frames import (
    Close,
    FrameError,
    FrameReader,
    Ping,
    Pong,
    Received,
    Text,
    encode_close,
    encode_pong,
    encode_text,
)
from tests.unit.websocket_setup import FakeWire, client_frame

KB = 1024


def _read(data: bytes) -> list[Received]:
    reader = FrameReader()
    reader.feed(data)
    found: list[Received] = []
    while (each := reader.next()) is not None:
        found.append(each)
    return found


def _error(data: bytes) -> int:
    with pytest.raises(FrameError) as caught:
        _read(data)
    return caught.value.code


def test_a_text_frame_is_a_message() -> None:
    """RFC 6455 5.7: a masked "Hello" as the RFC prints it."""
    assert _read(bytes.fromhex("818537fa213d7f9f4d5158")) == [Text("Hello")]


def test_fragments_are_one_message_and_control_frames_may_lie_between() -> None:
    """RFC 6455 5.4; a code point may be cut by a frame's end."""
    euro = "€".encode()
    data = (
        client_frame(1, euro[:1], final=False)
        + client_frame(9, b"p")
        + client_frame(10, b"")
        + client_frame(0, euro[1:])
    )
    assert _read(data) == [Ping(b"p"), Pong(), Text("€")]


@given(st.text(max_size=300), st.lists(st.integers(1, 40), max_size=30), st.binary(min_size=4, max_size=4))
def test_bytes_may_come_in_any_pieces(text: str, sizes: list[int], key: bytes) -> None:
    """Whatever the cuts of the stream and the mask, the same message comes out."""
    data = client_frame(1, text.encode(), key=key) + client_frame(8, b"")
    reader, found, at = FrameReader(), [], 0
    for size in [*sizes, len(data)]:
        reader.feed(data[at : at + size])
        at += size
        while (each := reader.next()) is not None:
            found.append(each)
    assert found == [Text(text), Close(1005, "")]


def test_frames_of_32_kb_and_messages_of_128_kb_are_the_most() -> None:
    """One byte over either closes with 1009; a frame that is too long is refused by its head alone."""
    part = b"x" * (32 * KB)
    assert _read(client_frame(1, part)) == [Text("x" * 32 * KB)]
    assert _error(client_frame(1, part + b"x")[:14]) == 1009
    first = client_frame(1, part, final=False) + client_frame(0, part, final=False) * 2
    assert _read(first + client_frame(0, part)) == [Text("x" * 128 * KB)]
    assert _error(first + client_frame(0, part, final=False) + client_frame(0, b"x")) == 1009


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(2, b"x"), 1003),  # binary
        (client_frame(1, b"\xff"), 1007),  # not UTF-8
        (client_frame(3, b""), 1002),  # an opcode nobody knows
        (b"\x81\x01x", 1002),  # not masked
        (b"\xc1\x81\x00\x00\x00\x00x", 1002),  # a reserved bit
        (client_frame(0, b"x"), 1002),  # goes on with nothing
        (client_frame(1, b"x", final=False) + client_frame(1, b"x"), 1002),  # begins inside another
        (client_frame(9, b"x" * 126), 1002),  # a control frame of 126 bytes
        (client_frame(9, b"x", final=False), 1002),  # a control frame in parts
        (client_frame(8, b"\x03"), 1002),  # half a close code
        (client_frame(8, (1005).to_bytes(2, "big")), 1002),  # a code that is never sent
        (client_frame(8, (999).to_bytes(2, "big")), 1002),
    ],
)
def test_what_breaks_a_rule_closes_with_its_code(data: bytes, code: int) -> None:
    """Binary is 1003 (API Gateway's documentation), the rest as RFC 6455 7.4.1 says."""
    assert _error(data) == code


def test_a_close_frame_has_code_and_reason() -> None:
    """Codes of applications as well."""
    assert _read(client_frame(8, (4001).to_bytes(2, "big") + b"bye")) == [Close(4001, "bye")]


def test_long_messages_are_sent_in_frames_of_32_kb() -> None:
    """The quota on frames holds for what is posted to a connection too."""
    wire = FakeWire()
    wire.write(encode_text(b"a" * (80 * KB)) + encode_text(b"b" * 200) + encode_text(b""))
    kinds = [(opcode, final, len(payload)) for opcode, final, payload in wire.frames()]
    assert kinds == [(1, False, 32 * KB), (0, False, 32 * KB), (0, True, 16 * KB), (1, True, 200), (1, True, 0)]


def test_control_frames_are_sent_whole() -> None:
    """A pong has the ping's payload; a reason is cut to what fits."""
    wire = FakeWire()
    wire.write(encode_pong(b"p") + encode_close(1000, "r" * 200) + encode_close(1005, ""))
    assert wire.frames() == [(10, True, b"p"), (8, True, b"\x03\xe8" + b"r" * 123), (8, True, b"")]
