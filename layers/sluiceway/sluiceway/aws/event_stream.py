"""Event stream framing (`application/vnd.amazon.eventstream`): messages from bytes and bytes from messages. Pure.

A message is a prelude (its length, its headers' length, and the CRC of these two), headers, a payload and the CRC of
all that. The prelude's own CRC is checked before its lengths are believed: a damaged length must not make a reader wait
for bytes that never come. Owns the framing; must not know what any event means, or where the bytes come from.

Source: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html and
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Message", "MessageParser", "TornMessageError", "encode_message"]

MAX_HEADERS_BYTES: Final = 128 * 1024  # botocore/eventstream.py; the same for the payload
MAX_PAYLOAD_BYTES: Final = 24 * 1024 * 1024
OVERHEAD_BYTES: Final = 16  # the prelude with its CRC, and the message's

HeaderValue: TypeAlias = bool | int | bytes | str

_PRELUDE: Final = struct.Struct("!III")
_CRC: Final = struct.Struct("!I")
_SIZE: Final = struct.Struct("!H")
_STRING: Final = 7
_SIZED: Final = frozenset({6, _STRING})  # byte array and string: a length of two bytes comes first
_FIXED: Final[Mapping[int, tuple[int, Callable[[bytes], HeaderValue]]]] = {
    0: (0, lambda _: True),
    1: (0, lambda _: False),
    2: (1, lambda raw: int.from_bytes(raw, "big", signed=True)),
    3: (2, lambda raw: int.from_bytes(raw, "big", signed=True)),
    4: (4, lambda raw: int.from_bytes(raw, "big", signed=True)),
    5: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),
    8: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),  # a timestamp: epoch milliseconds
    9: (16, bytes),  # a UUID
}


class TornMessageError(Exception):
    """The bytes are no event stream, or were damaged on the way. `code`: `ChecksumMismatch` or `MalformedMessage`."""

    def __init__(self, message: str, *, code: str = "MalformedMessage") -> None:
        super().__init__(message)
        self.code = code


class Message(NamedTuple):
    """One message. Header names are as they came (`:event-type`)."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


class MessageParser:
    """Reads messages from bytes in pieces of any size. After an error nothing more can be read."""

    __slots__ = ("_buffer", "_checked")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._checked = 0  # the length that the current message's prelude tells, once its CRC was found right

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises TornMessageError."""
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _PRELUDE.size:
            size = self._checked or self._check_prelude()
            if len(self._buffer) < size:
                self._checked = size
                break
            messages.append(_read_message(bytes(self._buffer[:size])))
            del self._buffer[:size]
            self._checked = 0
        return messages

    def end(self) -> None:
        """There are no more bytes. Raises TornMessageError inside a message."""
        if self._buffer:
            raise TornMessageError("the stream ended inside a message")

    def _check_prelude(self) -> int:
        size, headers_size, crc = _PRELUDE.unpack_from(self._buffer)
        _check_crc(bytes(self._buffer[:8]), crc, "prelude")
        payload_size = size - headers_size - OVERHEAD_BYTES
        if headers_size > MAX_HEADERS_BYTES or not 0 <= payload_size <= MAX_PAYLOAD_BYTES:
            raise TornMessageError(f"a message of {size} bytes with {headers_size} of headers")
        return size


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """The bytes of one message; its headers are strings (names of 1 to 255 bytes, values up to 65,535)."""
    written = b"".join(
        bytes((len(raw := name.encode()),)) + raw + bytes((_STRING,)) + _SIZE.pack(len(text := value.encode())) + text
        for name, value in headers.items()
    )
    lengths = struct.pack("!II", OVERHEAD_BYTES + len(written) + len(payload), len(written))
    message = lengths + _CRC.pack(zlib.crc32(lengths)) + written + payload
    return message + _CRC.pack(zlib.crc32(message))


def _read_message(raw: bytes) -> Message:
    (crc,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
    _check_crc(raw[: -_CRC.size], crc, "message")
    start = _PRELUDE.size
    end = start + int.from_bytes(raw[4:8], "big")
    try:
        return Message(_read_headers(raw[start:end]), raw[end : -_CRC.size])
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise TornMessageError("the headers of a message are malformed") from error


def _check_crc(data: bytes, crc: int, what: str) -> None:
    computed = zlib.crc32(data)
    if computed != crc:
        raise TornMessageError(
            f"the {what} has CRC 0x{computed:08x}, and says 0x{crc:08x}: it was damaged", code="ChecksumMismatch"
        )


def _read_headers(raw: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    while at < len(raw):
        name, at = _slice(raw, at + 1, raw[at])
        kind = raw[at]
        value, at = _read_value(raw, at + 1, kind)
        key = name.decode()
        if key in headers:
            raise TornMessageError(f"the header {key} comes twice")
        headers[key] = value
    return headers


def _read_value(raw: bytes, at: int, kind: int) -> tuple[HeaderValue, int]:
    if kind in _SIZED:
        text, end = _slice(raw, at + _SIZE.size, _SIZE.unpack_from(raw, at)[0])
        return text.decode() if kind == _STRING else text, end
    fixed = _FIXED.get(kind)
    if fixed is None:
        raise TornMessageError(f"a header has a value of the unknown type {kind}")
    size, convert = fixed
    value, end = _slice(raw, at, size)
    return convert(value), end


def _slice(raw: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(raw):
        raise IndexError(end)
    return raw[at:end], end
