"""CBOR as Smithy's RPC v2 protocol uses it: what requests may hold, read; what answers hold, written.

Owns the codec for the data model of AWS's services: null, booleans, integers of 64 bits, floats, text, bytes, lists,
maps with text keys, and dates (tag 1). Lengths may be indefinite. Bounded by the body's size, by depth and by how many
values there are, for a byte is enough for one. Pure.
Sources: https://www.rfc-editor.org/rfc/rfc8949 and https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

__all__ = ["MAX_DEPTH", "MAX_VALUES", "MalformedCbor", "Stamp", "read_cbor", "write_cbor"]

MAX_DEPTH: Final = 32  # CloudWatch's deepest request has 6 levels
MAX_VALUES: Final = 500_000  # in one body: 1,000 data with 30 dimensions, 150 values and 150 counts are 480,000
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_DATE_TAG: Final = 1
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None, 23: None}  # 23: undefined
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}


class MalformedCbor(ValueError):
    """The bytes are no CBOR that a service takes; the message says why and quotes nothing."""


class Stamp(float):
    """A date, in epoch seconds: what tag 1 marks."""

    __slots__ = ()


def read_cbor(body: bytes) -> object:
    """The one value in `body`. Raises MalformedCbor."""
    reader = _Reader(body)
    value = reader.value(0)
    if reader.place != len(body):
        raise MalformedCbor("bytes follow the value")
    return value


def write_cbor(value: object) -> bytes:
    """`value` in definite lengths, every float in 64 bits. TypeError for what the data model has not."""
    written = bytearray()
    _write(value, written)
    return bytes(written)


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._values = 0
        self.place = 0

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise MalformedCbor("nested too deeply")
        kind, info = self._head()
        if kind == _OTHER:
            return self._other(info)
        if kind in {_BYTES, _TEXT}:
            return self._string(kind, info)
        if kind == _LIST:
            return self._series(info, lambda: self.value(depth + 1))
        if kind == _MAP:
            return dict(self._series(info, lambda: self._pair(depth + 1)))
        number = self._number(info)
        if kind == _TAG:
            return self._date(number, depth)
        return number if kind == _UNSIGNED else -1 - number

    def _head(self) -> tuple[int, int]:
        self._values += 1
        if self._values > MAX_VALUES:
            raise MalformedCbor("it holds too many values")
        first = self._take(1)[0]
        return first >> 5, first & 0x1F

    def _take(self, count: int) -> bytes:
        taken = self._body[self.place : self.place + count]
        if len(taken) != count:
            raise MalformedCbor("it ends too early")
        self.place += count
        return taken

    def _number(self, info: int) -> int:
        if info < 24:
            return info
        if info not in _WIDTHS:
            raise MalformedCbor("a length or number has a form that is none")
        return int.from_bytes(self._take(_WIDTHS[info]), "big")

    def _is_break(self) -> bool:
        if self.place < len(self._body) and self._body[self.place] == _BREAK:
            self.place += 1
            return True
        return False

    def _series(self, info: int, read: Callable[[], Any]) -> list[Any]:
        if info == _INDEFINITE:
            found: list[Any] = []
            while not self._is_break():
                found.append(read())
            return found
        count = self._number(info)
        if count > len(self._body) - self.place:  # a byte each, at least
            raise MalformedCbor("it ends too early")
        if count > MAX_VALUES:
            raise MalformedCbor("it holds too many values")
        return [read() for _ in range(count)]

    def _pair(self, depth: int) -> tuple[str, Any]:
        key = self.value(depth)
        if not isinstance(key, str):
            raise MalformedCbor("a map's key is no text")
        return key, self.value(depth)

    def _string(self, kind: int, info: int) -> str | bytes:
        if info == _INDEFINITE:
            chunks: list[bytes] = []
            while not self._is_break():
                inner, length = self._head()
                if inner != kind:
                    raise MalformedCbor("a part of a string is of another kind")
                chunks.append(self._take(self._number(length)))
            raw = b"".join(chunks)
        else:
            raw = self._take(self._number(info))
        if kind == _BYTES:
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedCbor("a text is not UTF-8") from error

    def _date(self, tag: int, depth: int) -> Stamp:
        value = self.value(depth + 1)
        if tag != _DATE_TAG or isinstance(value, bool) or not isinstance(value, int | float):
            raise MalformedCbor("a tag is none that marks a date")
        return Stamp(value)

    def _other(self, info: int) -> bool | float | None:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info in _FLOATS:
            return float(struct.unpack(_FLOATS[info], self._take(_WIDTHS[info]))[0])
        raise MalformedCbor("a simple value that no service takes")


def _write(value: object, written: bytearray) -> None:
    if value is None or isinstance(value, bool):
        written.append(0xF6 if value is None else 0xF5 if value else 0xF4)
    elif isinstance(value, int):
        _write_head(_UNSIGNED if value >= 0 else _NEGATIVE, value if value >= 0 else -1 - value, written)
    elif isinstance(value, float):
        if isinstance(value, Stamp):
            _write_head(_TAG, _DATE_TAG, written)
        written += b"\xfb" + struct.pack(">d", value)
    elif isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        _write_head(_TEXT if isinstance(value, str) else _BYTES, len(raw), written)
        written += raw
    else:
        _write_container(value, written)


def _write_container(value: object, written: bytearray) -> None:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        _write_head(_MAP, len(members), written)
        for name, member in members.items():
            _write(name, written)
            _write(member, written)
    elif isinstance(value, Sequence):
        elements = cast("Sequence[object]", value)
        _write_head(_LIST, len(elements), written)
        for element in elements:
            _write(element, written)
    else:
        raise TypeError(f"no CBOR for {type(value).__name__}")


def _write_head(kind: int, number: int, written: bytearray) -> None:
    for info, width in _WIDTHS.items():
        if number < 24:
            written.append(kind << 5 | number)
            return
        if number < 1 << (8 * width):
            written.append(kind << 5 | info)
            written += number.to_bytes(width, "big")
            return
    raise TypeError("an integer of more than 64 bits")
