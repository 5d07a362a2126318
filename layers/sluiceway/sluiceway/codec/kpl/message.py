"""The protobuf message inside an aggregate, in proto2:

    message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
                               repeated Record records = 3; }
    message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
                     required bytes data = 3; repeated Tag tags = 4; }
    message Tag { required string key = 1; optional string value = 2; }

Fields may come in any order, the tables behind the records too; of a field that may stand once the last counts; unknown
fields, and known ones of another wire type, are skipped. Work and memory are linear in the message, whatever it holds.
What the libraries write is read in two tight loops, everything else field by field; the two agree, and the tests hold
them to it. Must not know what the bytes of a record mean.
Source: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
"""

from __future__ import annotations

from typing import Final

from sluiceway.codec.kpl.fields import LENGTH, VARINT, CorruptAggregate, Span, malformed

__all__ = ["Columns", "read_message"]

_PARTITION_KEY: Final = 1 << 3 | LENGTH
_HASH_KEY: Final = 2 << 3 | LENGTH
_RECORD: Final = 3 << 3 | LENGTH
_KEY_INDEX: Final = 1 << 3 | VARINT
_HASH_INDEX: Final = 2 << 3 | VARINT
_DATA: Final = 3 << 3 | LENGTH
_TAGS: Final = 4 << 3 | LENGTH
_TAG_KEY: Final = 1 << 3 | LENGTH
_FAR: Final = 1 << 62  # no position of a message
_NONE: Final = -1


class Columns:
    """What a message holds, by column: the two tables, and of each record its indexes and data.

    Indexes are as they were sent, 0 to 2**64-1; `hash_indexes` is -1 where a record has no explicit hash key.
    `most`: of records.
    """

    __slots__ = ("hash_indexes", "hash_keys", "key_indexes", "most", "partition_keys", "payloads")

    def __init__(self, most: int) -> None:
        self.most = most
        self.partition_keys: list[str] = []
        self.hash_keys: list[str] = []
        self.key_indexes: list[int] = []
        self.hash_indexes: list[int] = []
        self.payloads: list[bytes] = []


def read_message(message: bytes, *, max_records: int) -> Columns:
    """The columns of an AggregatedRecord.

    Raises: CorruptAggregate (`aggregate-protobuf`; `aggregate-size` for more than `max_records` records).
    """
    columns = Columns(max_records)
    span = Span(message, 0, len(message), place="message")
    while span.at < span.end:
        before, tag = span.at, message[span.at]
        if tag == _RECORD:
            _read_usual_records(span, columns)
        elif tag in {_PARTITION_KEY, _HASH_KEY}:
            _read_usual_keys(span, tag, columns.partition_keys if tag == _PARTITION_KEY else columns.hash_keys)
        if span.at == before:
            _read_member(span, columns)
    return columns


def _read_usual_keys(span: Span, tag: int, table: list[str]) -> None:
    """Takes keys of up to 127 bytes, as many as stand together; one that is no text is left."""
    message, at, end = span.message, span.at, span.end
    try:
        while at + 1 < end and message[at] == tag and message[at + 1] < 128:
            stop = at + 2 + message[at + 1]
            if stop > end:
                break
            table.append(message[at + 2 : stop].decode())
            at = stop
    except UnicodeDecodeError:
        pass  # the other reader tells
    span.at = at


def _read_usual_records(span: Span, columns: Columns) -> None:
    """Takes records of the usual form, as many as stand together.

    Usual: each field once, in their order, and no number longer than two bytes, so data of up to about 16 KiB. A longer
    one leads to a place outside, where the loop ends before the record is taken.
    """
    message, at, end = span.message, span.at, span.end
    add_key, add_hash, add_payload = columns.key_indexes.append, columns.hash_indexes.append, columns.payloads.append
    try:
        for _ in range(columns.most - len(columns.payloads)):
            size, inside = message[at + 1], at + 2
            if size > 127:
                high = message[inside]
                inside += 1
                size = size & 127 | high << 7 if high < 128 else _FAR
            stop = inside + size
            first, key = message[inside], message[inside + 1]
            inside += 2
            if key > 127:
                high = message[inside]
                inside += 1 if high < 128 else _FAR
                key = key & 127 | high << 7
            last, length, hashed = message[inside], message[inside + 1], _NONE
            inside += 2
            if last == _HASH_INDEX:
                high = message[inside] if length > 127 else 0
                hashed = length & 127 | high << 7
                inside += (length > 127) if high < 128 else _FAR
                last, length = message[inside], message[inside + 1]
                inside += 2
            if length > 127:
                length = length & 127 | message[inside] << 7  # a longer number is more than any size here
                inside += 1
            if message[at] != _RECORD or first != _KEY_INDEX or last != _DATA or stop != inside + length or stop > end:
                break
            add_key(key)
            add_hash(hashed)
            add_payload(message[inside:stop])
            at = stop
    except IndexError:
        pass  # the message ends in the midst of it, or a number is longer: the other reader tells
    span.at = at


def _read_member(span: Span, columns: Columns) -> None:
    """Takes one field of the message, whatever it is."""
    tag, value = span.read_field()
    if tag == _PARTITION_KEY:
        columns.partition_keys.append(
            _text(span.message[value : span.at], "partition_key_table", columns.partition_keys)
        )
    elif tag == _HASH_KEY:
        columns.hash_keys.append(_text(span.message[value : span.at], "explicit_hash_key_table", columns.hash_keys))
    elif tag == _RECORD:
        place = f"records[{len(columns.payloads)}]"
        _read_record(Span(span.message, value, span.at, place=place), columns)


def _read_record(span: Span, columns: Columns) -> None:
    key, hashed, payload = _NONE, _NONE, None
    while span.at < span.end:
        tag, value = span.read_field()
        if tag == _KEY_INDEX:
            key = value
        elif tag == _HASH_INDEX:
            hashed = value
        elif tag == _DATA:
            payload = span.message[value : span.at]
        elif tag == _TAGS:
            _check_tag(Span(span.message, value, span.at, place=f"{span.place}.tags"))
    if key == _NONE or payload is None:
        raise malformed(f"{span.place}.{'data' if payload is None else 'partition_key_index'}", "is missing")
    if len(columns.payloads) >= columns.most:
        raise CorruptAggregate(f"are more than {columns.most}", reason="aggregate-size", field="records")
    columns.key_indexes.append(key)
    columns.hash_indexes.append(hashed)
    columns.payloads.append(payload)


def _check_tag(span: Span) -> None:
    """No library writes tags or hands them on; but a message in which one is broken is none."""
    named = False
    while span.at < span.end:
        named = span.read_field()[0] == _TAG_KEY or named
    if not named:
        raise malformed(f"{span.place}.key", "is missing")


def _text(value: bytes, table: str, before: list[str]) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise malformed(f"{table}[{len(before)}]", "is no UTF-8") from None
