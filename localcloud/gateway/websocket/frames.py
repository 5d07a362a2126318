"""WebSocket frames of a server: bytes in, messages and control frames out, and back. Pure; no extensions.

What a client may send is API Gateway's rule: text only, frames of 32 KB, messages of 128 KB, unless a reader is told of
others. Whatever breaks a rule ends the connection with the code that FrameError carries.
Source: RFC 6455; https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "MAX_FRAME_BYTES",
    "MAX_MESSAGE_BYTES",
    "NO_STATUS",
    "Close",
    "FrameError",
    "FrameReader",
    "Ping",
    "Pong",
    "Received",
    "Text",
    "encode_close",
    "encode_pong",
    "encode_text",
]

MAX_FRAME_BYTES: Final = 32 * 1024  # WebSocket frame size, quotas page above
MAX_MESSAGE_BYTES: Final = 128 * 1024  # message payload size, quotas page above

NO_STATUS: Final = 1005  # RFC 6455 7.4.1: what a close frame without a code counts as
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_SHORT, _WORD, _LONG = 125, 126, 127  # RFC 6455 5.2: the payload length, or how many bytes hold it
_MAX_REASON: Final = 123  # RFC 6455 5.5: control frames hold 125 bytes, two of them the code
_CLIENT_CODES: Final = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class FrameError(Exception):
    """The client broke a rule; `code` and `reason` close the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Text:
    """A whole message."""

    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping, or a heartbeat nobody asked for."""


@dataclass(frozen=True, slots=True)
class Close:
    """The client's last frame; `code` is 1005 where it gave none."""

    code: int
    reason: str


Received: TypeAlias = Text | Ping | Pong | Close


@dataclass(frozen=True, slots=True)
class _Head:
    is_final: bool
    opcode: int
    start: int
    size: int


class FrameReader:
    """Takes bytes as they come and gives what they complete."""

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._in_message = False

    def feed(self, data: bytes) -> None:
        """Take more bytes; `next` gives what they complete."""
        self._buffer += data

    def next(self) -> Received | None:
        """What is complete, None where more bytes are needed. Raises FrameError; nothing may be asked after it."""
        while (head := self._read_head()) is not None:
            end = head.start + head.size
            if len(self._buffer) < end:
                return None
            key = self._buffer[head.start - 4 : head.start]
            payload = _unmask(bytes(self._buffer[head.start : end]), bytes(key))
            del self._buffer[:end]
            received = self._take(head, payload)
            if received is not None:
                return received
        return None

    def _read_head(self) -> _Head | None:
        """The next frame's head, None where it is not there whole; what it says is checked before its payload comes."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, short = buffer[0] & 0x0F, buffer[1] & 0x7F
        self._check_head(buffer[0], buffer[1])
        extra = {_WORD: 2, _LONG: 8}.get(short, 0)
        start = 2 + extra + 4
        if len(buffer) < start:
            return None
        size = int.from_bytes(buffer[2 : 2 + extra]) if extra else short
        if size > self._max_frame_bytes:
            raise FrameError(1009, "Message too long")
        return _Head(bool(buffer[0] & _FINAL), opcode, start, size)

    def _check_head(self, first: int, second: int) -> None:
        opcode, is_final = first & 0x0F, bool(first & _FINAL)
        if first & 0x70 or opcode not in {_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG}:
            raise FrameError(1002, "Reserved bits or an unknown opcode")
        if not second & _MASKED:
            raise FrameError(1002, "Frames of a client are masked")
        if opcode >= _CLOSE:
            if not is_final or second & 0x7F > _SHORT:
                raise FrameError(1002, "A control frame is too long or in parts")
            return
        if opcode == _BINARY:
            raise FrameError(1003, "Binary frames are not supported")
        if (opcode == _CONTINUATION) != self._in_message:
            raise FrameError(1002, "A message is out of order")

    def _take(self, head: _Head, payload: bytes) -> Received | None:
        if head.opcode == _PING:
            return Ping(payload)
        if head.opcode == _PONG:
            return Pong()
        if head.opcode == _CLOSE:
            return _read_close(payload)
        if len(self._fragments) + len(payload) > self._max_message_bytes:
            raise FrameError(1009, "Message too long")
        self._fragments += payload
        self._in_message = not head.is_final
        if self._in_message:
            return None
        whole = bytes(self._fragments)
        self._fragments.clear()
        return Text(_decode(whole))


def _unmask(payload: bytes, key: bytes) -> bytes:
    if not payload:
        return b""
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload) ^ int.from_bytes(repeated)
    return mixed.to_bytes(len(payload))


def _decode(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FrameError(1007, "Text is not UTF-8") from error


def _read_close(payload: bytes) -> Close:
    if not payload:
        return Close(NO_STATUS, "")
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or not (code in _CLIENT_CODES or 3000 <= code < 5000):
        raise FrameError(1002, "A close frame has no valid code")
    return Close(code, _decode(payload[2:]))


def _encode(opcode: int, payload: bytes, *, is_final: bool = True) -> bytes:
    first = opcode | (_FINAL if is_final else 0)
    size = len(payload)
    if size <= _SHORT:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, _WORD)) + size.to_bytes(2) + payload
    return bytes((first, _LONG)) + size.to_bytes(8) + payload


def encode_text(data: bytes) -> bytes:
    """A text message, in frames of 32 KB at most."""
    if len(data) <= MAX_FRAME_BYTES:
        return _encode(_TEXT, data)
    frames: list[bytes] = []
    for start in range(0, len(data), MAX_FRAME_BYTES):
        part = data[start : start + MAX_FRAME_BYTES]
        is_final = start + MAX_FRAME_BYTES >= len(data)
        frames.append(_encode(_CONTINUATION if start else _TEXT, part, is_final=is_final))
    return b"".join(frames)


def encode_pong(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _encode(_PONG, payload)


def encode_close(code: int, reason: str) -> bytes:
    """A close frame; without a code where `code` is 1005."""
    if code == NO_STATUS:
        return _encode(_CLOSE, b"")
    return _encode(_CLOSE, code.to_bytes(2) + reason.encode()[:_MAX_REASON])
