"""Fields of a protobuf message, one after another, as proto2 parsers read them; and the error where there is none.

Unknown fields are skipped like known ones, groups too. Must not know which messages there are.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

from sluiceway.errors import Rejected

__all__ = ["LENGTH", "VARINT", "CorruptAggregate", "Span", "malformed"]

VARINT, _FIXED64, LENGTH, _START_GROUP, _END_GROUP, _FIXED32 = range(6)  # wire types: the last three bits of a tag
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BITS: Final = 70  # ten bytes of seven bits hold 64
_MAX_UINT64: Final = (1 << 64) - 1
_MAX_TAG: Final = (1 << 32) - 1
_MAX_GROUPS: Final = 100  # protobuf's own limit of nesting


class CorruptAggregate(Rejected):
    """What carries an aggregate's magic number is none that can be opened; none of its records may be used.

    `reason` says what is wrong: `aggregate-digest`, `aggregate-protobuf`, `aggregate-index` or `aggregate-size`;
    `field` the place, such as `records[4].partition_key_index`. Neither they nor the message repeat what was sent.
    """

    def __init__(self, problem: str, *, reason: str, field: str) -> None:
        super().__init__(f"the aggregate is corrupt: {field} {problem}", reason=reason, field=field)


def malformed(place: str, problem: str) -> CorruptAggregate:
    """The error for bytes that are not the protobuf message they should be."""
    return CorruptAggregate(problem, reason="aggregate-protobuf", field=place)


class Span:
    """The bytes `at` to `end` of a message, read from front to back; `place` names them in errors."""

    __slots__ = ("at", "end", "message", "place")

    def __init__(self, message: bytes, at: int, end: int, *, place: str) -> None:
        self.message = message
        self.at = at
        self.end = end
        self.place = place

    def read_field(self) -> tuple[int, int]:
        """Tag and value of the next field: a varint's number, or where any other value begins; it ends at `at`.

        Raises: CorruptAggregate (`aggregate-protobuf`).
        """
        tag = self._read_tag()
        if tag & 7 == VARINT:
            return tag, self._read_varint()
        if tag & 7 == _START_GROUP:
            start = self.at
            self._skip_group(tag >> 3)
            return tag, start
        return tag, self._skip_value(tag)

    def _skip_value(self, tag: int) -> int:
        """Goes behind a value that is no varint and no group; returns where it began."""
        wire = tag & 7
        if wire == LENGTH:
            size = self._read_varint()
        elif wire in _WIDTHS:
            size = _WIDTHS[wire]
        else:
            raise malformed(self.place, f"has a field of wire type {wire}")
        start = self.at
        if size > self.end - start:
            raise malformed(self.place, "is truncated")
        self.at = start + size
        return start

    def _skip_group(self, number: int) -> None:
        """Goes behind a group, a form of nested message that is long out of use."""
        opened = [number]
        while opened:
            tag = self._read_tag()
            wire = tag & 7
            if wire == _START_GROUP:
                opened.append(tag >> 3)
                if len(opened) > _MAX_GROUPS:
                    raise malformed(self.place, "has groups nested too deeply")
            elif wire == _END_GROUP:
                if opened.pop() != tag >> 3:
                    raise malformed(self.place, "has a group that ends as another")
            elif wire == VARINT:
                self._read_varint()
            else:
                self._skip_value(tag)

    def _read_tag(self) -> int:
        tag = self._read_varint()
        if tag > _MAX_TAG or not tag >> 3:
            raise malformed(self.place, "has a field number that there is not")
        return tag

    def _read_varint(self) -> int:
        value = 0
        for shift in range(0, _VARINT_BITS, 7):
            if self.at >= self.end:
                raise malformed(self.place, "is truncated")
            byte = self.message[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128 and value <= _MAX_UINT64:
                return value
        raise malformed(self.place, "has a number of more than 64 bits")
