"""Opening an aggregate: magic number, protobuf message, MD5 digest. What its records are called in a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import md5
from itertools import repeat
from typing import Any, Final, NamedTuple, cast

from sluiceway.codec.kpl.fields import CorruptAggregate
from sluiceway.codec.kpl.message import read_message
from sluiceway.codec.kpl.shards import HashRange, hash_key
from sluiceway.errors import Rejected

__all__ = ["DIGEST_BYTES", "MAGIC", "MAX_BYTES", "Aggregate", "RecordId", "UserRecord", "open_aggregate"]

MAGIC: Final = b"\xf3\x89\x9a\xc2"  # no UTF-8: no JSON and no other text begins so
DIGEST_BYTES: Final = 16  # MD5 of the message
MAX_BYTES: Final = 10 * 1024 * 1024  # the largest record that a stream can be set to take
# Source: https://docs.aws.amazon.com/streams/latest/dev/large-records.html
# A key stands in a table once for many records, and with each of them wherever it goes from here.
MAX_KEY: Final = 256  # characters, https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
_SMALLEST_RECORD: Final = 6  # bytes: an index, no data, and their tags and lengths
MAX_RECORDS: Final = MAX_BYTES // _SMALLEST_RECORD

_SEQUENCE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,128}")  # the API's pattern of a SequenceNumber
_SUBSEQUENCE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,7}")


class UserRecord(NamedTuple):
    """One record of an aggregate. `explicit_hash_key` is None where it has none, else what its producer wrote.

    `subsequence_number` counts from 0 within the aggregate.
    """

    partition_key: str
    data: bytes
    explicit_hash_key: str | None
    subsequence_number: int


class RecordId(NamedTuple):
    """What names a user record in its shard for good, ordered as the records are read.

    `sequence_number` is the Kinesis record's; `subsequence_number` its place in the aggregate, 0 for a record that was
    not aggregated. `str(record_id)` is the form for a checkpoint, and `RecordId.parse` reads it.
    """

    sequence_number: int
    subsequence_number: int = 0

    @classmethod
    def parse(cls, text: str) -> RecordId:
        """From a sequence number, or from `<sequence number>.<subsequence number>`. Raises: Rejected."""
        sequence, dot, subsequence = text.partition(".")
        if not _SEQUENCE_NUMBER.fullmatch(sequence) or (dot and not _SUBSEQUENCE_NUMBER.fullmatch(subsequence)):
            raise Rejected("this names no record of a shard", reason="invalid-record-id", field="record_id")
        return cls(int(sequence), int(subsequence or 0))

    def __str__(self) -> str:
        return f"{self.sequence_number}.{self.subsequence_number}"


class Aggregate:
    """An aggregate that was opened. `records`: all of them, in the order in which they were added; seldom none."""

    __slots__ = ("records",)

    def __init__(self, records: tuple[UserRecord, ...]) -> None:
        self.records = records

    def outside(self, hash_range: HashRange) -> tuple[int, ...]:
        """Subsequence numbers of the records that do not belong to the shard of this range.

        With any, the Kinesis Client Library drops the whole aggregate. A record whose explicit hash key is no hash key
        belongs to no shard.
        """
        found: dict[tuple[str, str | None], bool] = {}
        numbers: list[int] = []
        for partition_key, _, explicit_hash_key, number in self.records:
            key = partition_key, explicit_hash_key
            if key not in found:
                found[key] = _belongs(partition_key, explicit_hash_key, hash_range)
            if not found[key]:
                numbers.append(number)
        return tuple(numbers)


_make_record: Final = cast(
    "Callable[[tuple[str, bytes, str | None, int]], UserRecord]", partial(cast("Any", tuple).__new__, UserRecord)
)


def open_aggregate(data: bytes | memoryview, *, max_records: int = MAX_RECORDS) -> Aggregate | None:
    """The aggregate in the data of a Kinesis record; None where the data is none.

    None for data without the magic number, or with no byte between it and the room for a digest, as the Kinesis Client
    Library decides; any other data with the magic number must be an aggregate. `max_records` bounds memory: about 150
    bytes a record and its data. The default is what 10 MiB can hold.
    Raises: CorruptAggregate, for the whole of it.
    """
    sent = data if isinstance(data, bytes) else memoryview(data).cast("B")
    if len(sent) <= len(MAGIC) + DIGEST_BYTES or sent[: len(MAGIC)] != MAGIC:
        return None
    if len(sent) > MAX_BYTES:
        raise CorruptAggregate(f"is more than {MAX_BYTES} bytes", reason="aggregate-size", field="data")
    message = bytes(sent[len(MAGIC) : -DIGEST_BYTES])
    if md5(message, usedforsecurity=False).digest() != sent[-DIGEST_BYTES:]:
        raise CorruptAggregate("is not that of the message", reason="aggregate-digest", field="digest")
    columns = read_message(message, max_records=max_records)
    if max(map(len, columns.partition_keys), default=0) > MAX_KEY:
        place = next(at for at, key in enumerate(columns.partition_keys) if len(key) > MAX_KEY)
        rule, field = f"is more than {MAX_KEY} characters", f"partition_key_table[{place}]"
        raise CorruptAggregate(rule, reason="aggregate-key", field=field)
    keys = _look_up(columns.partition_keys, columns.key_indexes, "partition_key_index")
    hash_keys: Iterable[str | None] = repeat(None)
    if columns.hash_indexes and max(columns.hash_indexes) >= 0:
        hash_keys = _look_up_some(columns.hash_keys, columns.hash_indexes)
    numbers = range(len(columns.payloads))
    return Aggregate(tuple(map(_make_record, zip(keys, columns.payloads, hash_keys, numbers, strict=False))))


def _look_up(table: Sequence[str], indexes: Sequence[int], field: str) -> Iterable[str]:
    """The entries that `indexes` (0 to 2**64-1) name. Raises: CorruptAggregate (`aggregate-index`)."""
    if indexes and max(indexes) >= len(table):
        wrong = next(number for number, index in enumerate(indexes) if index >= len(table))
        problem, place = f"is {indexes[wrong]}, in a table of {len(table)}", f"records[{wrong}].{field}"
        raise CorruptAggregate(problem, reason="aggregate-index", field=place)
    return map(table.__getitem__, indexes)


def _look_up_some(table: Sequence[str], indexes: Sequence[int]) -> Iterable[str | None]:
    """As `_look_up`, None for -1."""
    _look_up(table, indexes, "explicit_hash_key_index")
    return map([*table, None].__getitem__, indexes)


def _belongs(partition_key: str, explicit_hash_key: str | None, hash_range: HashRange) -> bool:
    try:
        key = hash_key(partition_key, explicit_hash_key)
    except Rejected:
        return False
    return hash_range.first <= key <= hash_range.last
