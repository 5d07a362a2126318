"""The operations on records: put, and read by polling.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html, API_GetShardIterator.html,
API_GetRecords.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.describing import describe_children, describe_record
from localcloud.services.kinesis.errors import KinesisError, Throttled, invalid, member_violation
from localcloud.services.kinesis.limits import KIB, MAX_ANSWER_RECORDS, MIB
from localcloud.services.kinesis.members import Members
from localcloud.services.kinesis.sequence import parse_sequence
from localcloud.services.kinesis.shard import MAX_HASH, Content, Shard
from localcloud.services.kinesis.stream import Definition, Stream
from localcloud.services.kinesis.tokens import open_token, seal_token

__all__ = ["POSITIONS", "RECORDS", "find_position", "iterator_arn"]

MAX_RECORDS: Final = 500  # PutRecords
MAX_REQUEST_BYTES: Final = 10 * MIB  # PutRecords, partition keys included
MAX_KEY_CHARS: Final = 256  # PartitionKey
ITERATOR_S: Final = 300.0  # GetShardIterator
POSITIONS: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
_ITERATOR: Final = "iterator"

# ---------------------------------------------------------------------- put


def _put_record(call: Call) -> Result:
    members = call.members.only(
        "StreamName", "StreamARN", "Data", "PartitionKey", "ExplicitHashKey", "SequenceNumberForOrdering"
    )
    stream = call.stream()
    stream.check_there()
    content, hash_key = _read_content(members, stream.definition, "data")
    ordering = members.sequence("SequenceNumberForOrdering")
    if ordering is not None:
        _check_ordering(ordering, stream)
    shard, record = stream.put(content, hash_key)
    return {"ShardId": shard.shard_id, "SequenceNumber": str(record.sequence), **_encryption(stream)}


def _put_records(call: Call) -> Result:
    members = call.members.only("StreamName", "StreamARN", "Records")
    entries = members.structures("Records", low=1, high=MAX_RECORDS)
    stream = call.stream()
    stream.check_there()
    definition = stream.definition
    contents = [
        _read_content(
            entry.only("Data", "PartitionKey", "ExplicitHashKey"), definition, f"records.{number}.member.data"
        )
        for number, entry in enumerate(entries, 1)
    ]
    if sum(content.size_bytes for content, _ in contents) > MAX_REQUEST_BYTES:
        raise invalid("Records size exceeds 10 MB limit")
    results: list[Result] = []
    failed = 0
    for stored in stream.put_all(contents):
        if isinstance(stored, Throttled):
            failed += 1
            results.append({"ErrorCode": stored.code, "ErrorMessage": stored.message})
        else:
            shard, record = stored
            results.append({"SequenceNumber": str(record.sequence), "ShardId": shard.shard_id})
    return {"FailedRecordCount": failed, "Records": results, **_encryption(stream)}


def _read_content(members: Members, definition: Definition, place: str) -> tuple[Content, int | None]:
    data, size = members.blob("Data")
    key = members.text("PartitionKey", high=MAX_KEY_CHARS) if definition.spreads else _need_key(members)
    size += len((key or "").encode())
    if size > definition.max_record_kib * KIB:
        raise member_violation(
            f"{size} bytes",
            place,
            f"Data and partition key must have length less than or equal to {definition.max_record_kib * KIB}",
        )
    hash_key = members.hash_key("ExplicitHashKey")
    if hash_key is not None and hash_key > MAX_HASH:
        raise invalid(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
            f"Specified value was {hash_key}"
        )
    return Content(data, key, size), hash_key


def _need_key(members: Members) -> str:
    return members.need("PartitionKey", high=MAX_KEY_CHARS)


def _check_ordering(ordering: str, stream: Stream) -> None:
    """Numbers always grow along a shard here; what is left to check is that this is one, and none of the future."""
    try:
        written_s = parse_sequence(ordering).written_s
    except ValueError:
        written_s = None
    if written_s is None or written_s > stream.now():
        raise invalid(
            f"ExclusiveMinimumSequenceNumber {ordering} used in PutRecord on stream {stream.name} under account "
            f"{ACCOUNT_ID} is invalid."
        )


def _encryption(stream: Stream) -> Result:
    return {"EncryptionType": "KMS"} if stream.definition.key_id else {}


# ---------------------------------------------------------------------- get


def _get_shard_iterator(call: Call) -> Result:
    members = call.members.only(
        "StreamName", "StreamARN", "ShardId", "ShardIteratorType", "StartingSequenceNumber", "Timestamp"
    )
    shard_id, kind = members.need_named("ShardId"), members.need_choice("ShardIteratorType", POSITIONS)
    sequence, timestamp_s = members.sequence("StartingSequenceNumber"), members.timestamp("Timestamp")
    stream = call.stream()
    stream.check_there()
    shard = stream.shard(shard_id)
    if call.streams.limits.reads:
        after_s = shard.iterators.take(asyncio.get_running_loop().time())
        if after_s:
            raise Throttled(shard_id, stream.name, after_s=after_s)
    position = find_position(stream, shard, kind, sequence=sequence, timestamp_s=timestamp_s)
    return {"ShardIterator": _seal_iterator(call, stream, shard, position=position)}


def find_position(stream: Stream, shard: Shard, kind: str, *, sequence: str | None, timestamp_s: float | None) -> int:
    """Where a reader begins, one of POSITIONS. Raises KinesisError: InvalidArgumentException."""
    numbered = kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
    if numbered is not (sequence is not None):
        raise invalid(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "
            "(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. "
            f"Request specified {kind} and {'also a' if sequence is not None else 'no'} StartingSequenceNumber."
        )
    if (kind == "AT_TIMESTAMP") is not (timestamp_s is not None):
        told = "also a" if timestamp_s is not None else "no"
        raise invalid(f"A Timestamp goes with AT_TIMESTAMP alone. Request specified {kind} and {told} Timestamp.")
    if sequence is not None:
        _check_sequence(stream, shard, sequence)
        return int(sequence) + (kind == "AFTER_SEQUENCE_NUMBER")
    if timestamp_s is not None:
        now_s = stream.now()
        if timestamp_s > now_s:
            raise invalid(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
                f"timestampInMillis: {timestamp_s * 1000:.0f}, currentTimestampInMillis: {now_s * 1000:.0f}"
            )
        return shard.at_time(timestamp_s, now_s)
    return shard.first_sequence if kind == "TRIM_HORIZON" else shard.latest(stream.now())


def _check_sequence(stream: Stream, shard: Shard, sequence: str) -> None:
    use = (
        f"StartingSequenceNumber {sequence} used in GetShardIterator on shard {shard.shard_id} in stream {stream.name} "
        f"under account {ACCOUNT_ID} is invalid"
    )
    try:
        said = parse_sequence(sequence)
    except ValueError as error:
        raise invalid(f"{use}.") from error
    if said.shard != shard.index:
        raise invalid(
            f"Invalid StartingSequenceNumber. It encodes shardId-{said.shard:012d}, while it was used in a call to a "
            f"shard with {shard.shard_id}"
        )
    if said.created_s != shard.created_s:
        raise invalid(f"{use} because it did not come from this stream.")


def _get_records(call: Call) -> Result:
    members = call.members.only("ShardIterator", "Limit", "StreamARN")
    most = members.count("Limit") or MAX_ANSWER_RECORDS
    if most > MAX_ANSWER_RECORDS:
        raise invalid(f"Limit must be at most {MAX_ANSWER_RECORDS}, is {most}.")
    stream, shard, position = _open_iterator(call, members.need("ShardIterator", high=512))
    reading = stream.read(shard, position, most=most)
    result: Result = {
        "Records": [describe_record(record) for record in reading.records],
        "MillisBehindLatest": reading.behind_ms,
    }
    if reading.next is None:
        return result | {"ChildShards": describe_children(shard)}
    return result | {"NextShardIterator": _seal_iterator(call, stream, shard, position=reading.next)}


def _seal_iterator(call: Call, stream: Stream, shard: Shard, *, position: int) -> str:
    fields = (stream.arn, repr(stream.created_s), shard.shard_id, str(position), repr(round(call.streams.now(), 3)))
    return seal_token(call.streams.secret, _ITERATOR, fields)


def _open_iterator(call: Call, token: str) -> tuple[Stream, Shard, int]:
    try:
        arn, created, shard_id, position, issued = open_token(call.streams.secret, _ITERATOR, token)
    except ValueError as error:
        raise invalid("Invalid ShardIterator.") from error
    if call.members.text("StreamARN") not in (None, arn):
        raise invalid("The ShardIterator is another stream's than StreamARN's.")
    now_s, issued_s = call.streams.now(), float(issued)
    if now_s > issued_s + ITERATOR_S:
        raise KinesisError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {_date(issued_s)} while right now it is "
            f"{_date(now_s)} which is further in the future than the tolerated delay of "
            f"{ITERATOR_S * 1000:.0f} milliseconds.",
        )
    stream = call.streams.find(arn)
    shard = stream.find_shard(shard_id) if stream is not None and repr(stream.created_s) == created else None
    if stream is None or shard is None:
        place = f"Shard {shard_id} in stream {arn.partition('/')[2]} under account {ACCOUNT_ID}"
        raise KinesisError("ResourceNotFoundException", f"{place} does not exist")
    return stream, shard, int(position)


def iterator_arn(secret: bytes, token: str) -> str:
    """The ARN of the stream that an iterator reads. Raises ValueError."""
    return open_token(secret, _ITERATOR, token)[0]


def _date(epoch_s: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(epoch_s))


RECORDS: Final[Mapping[str, Callable[[Call], Result]]] = {
    "GetRecords": _get_records,
    "GetShardIterator": _get_shard_iterator,
    "PutRecord": _put_record,
    "PutRecords": _put_records,
}
