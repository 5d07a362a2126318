"""The operations of the DynamoDB Streams API: list, describe, iterate, read.

Owns their members and answers, and what a shard iterator holds; streams and shards lie in `streams`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from localcloud.services.dynamodb.errors import DynamoError, member_violation, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.stream_records import encode_entry
from localcloud.services.dynamodb.streams import PAGE_RECORDS, Shard, Stream, Trimmed

__all__ = ["describe_stream", "get_records", "get_shard_iterator", "list_streams"]

MAX_SHOWN: Final = 100  # API_streams_ListStreams.html and API_streams_DescribeStream.html, Limit
ITERATOR_LIFE_S: Final = 900.0  # API_streams_GetShardIterator.html
_KINDS: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST")
_ARN: Final = re.compile(r"arn:[^:|]+:dynamodb:[^:|]+:[0-9]{12}:table/[a-zA-Z0-9_.-]+/stream/[0-9T:.-]+\Z")
_PLACE: Final = re.compile(r"([a-zA-Z0-9-]{28,65})/([0-9]{1,40})/([0-9]{1,16})\Z", re.ASCII)
_LENGTHS: Final = {  # the shapes of the service model
    "ShardId": (28, 65),
    "SequenceNumber": (21, 40),
    "ShardIterator": (1, 2048),
    "StreamArn": (37, 1024),
    "ExclusiveStartShardId": (28, 65),
    "ExclusiveStartStreamArn": (37, 1024),
}


def list_streams(database: Database, request: Members) -> dict[str, Any]:
    """ListStreams, sorted by ARN; those of deleted tables for 24 hours. Raises DynamoError."""
    request.only("TableName", "Limit", "ExclusiveStartStreamArn")
    name = request.table() if "TableName" in request else None
    limit = request.count("Limit", low=1, high=MAX_SHOWN) or MAX_SHOWN
    start = _text(request, "ExclusiveStartStreamArn") or ""
    found = [stream for stream in database.streams.all() if stream.arn > start and name in {None, stream.table_name}]
    answer: dict[str, Any] = {
        "Streams": [
            {"StreamArn": stream.arn, "TableName": stream.table_name, "StreamLabel": stream.label}
            for stream in found[:limit]
        ]
    }
    if len(found) > limit:
        answer["LastEvaluatedStreamArn"] = found[limit - 1].arn
    return answer


def describe_stream(database: Database, request: Members) -> dict[str, Any]:
    """DescribeStream, a page of its shards, or the children of one. Raises DynamoError."""
    request.only("StreamArn", "Limit", "ExclusiveStartShardId", "ShardFilter")
    stream = _find_stream(database, request)
    limit = request.count("Limit", low=1, high=MAX_SHOWN) or MAX_SHOWN
    start = _text(request, "ExclusiveStartShardId") or ""
    parent = _parse_filter(request)
    found = [shard for shard in stream.shards if shard.shard_id > start and parent in {None, shard.parent_id}]
    description: dict[str, Any] = {
        "StreamArn": stream.arn,
        "StreamLabel": stream.label,
        "StreamStatus": "ENABLED" if stream.disabled_s is None else "DISABLED",
        "StreamViewType": stream.view_type,
        "CreationRequestDateTime": round(stream.created_s, 3),
        "TableName": stream.table_name,
        "KeySchema": stream.keys.describe(),
        "Shards": [_describe_shard(shard) for shard in found[:limit]],
    }
    if len(found) > limit:
        description["LastEvaluatedShardId"] = found[limit - 1].shard_id
    return {"StreamDescription": description}


def get_shard_iterator(database: Database, request: Members) -> dict[str, Any]:
    """GetShardIterator. Raises DynamoError."""
    request.only("StreamArn", "ShardId", "ShardIteratorType", "SequenceNumber")
    request.required("StreamArn")
    request.required("ShardId")
    request.required("ShardIteratorType")
    kind = request.choice("ShardIteratorType", _KINDS, "")
    shard_id = _text(request, "ShardId") or ""
    number = _text(request, "SequenceNumber")
    stream = _find_stream(database, request)
    at = _place(_find_shard(stream, shard_id), kind, number)
    return {"ShardIterator": _write_iterator(stream, shard_id, at=at, now=database.clock.time())}


def get_records(database: Database, request: Members) -> dict[str, Any]:
    """GetRecords: up to 1,000 records and 1 MB. Raises DynamoError."""
    request.only("ShardIterator", "Limit").required("ShardIterator")
    limit = request.count("Limit", low=1) or PAGE_RECORDS
    if limit > PAGE_RECORDS:
        raise DynamoError(
            "LimitExceededException", f"GetRecords was called with a value of more than {PAGE_RECORDS} for Limit"
        )
    arn, shard_id, at, made_s = _read_iterator(_text(request, "ShardIterator") or "")
    now = database.clock.time()
    stream = database.streams.find(arn)
    if stream is None:
        raise _stream_missing(arn)
    if now > made_s + ITERATOR_LIFE_S:
        raise DynamoError(
            "ExpiredIteratorException",
            "The shard iterator has expired and can no longer be used to retrieve stream records. "
            "A shard iterator expires 15 minutes after it is retrieved using the GetShardIterator action.",
        )
    shard = stream.shard(shard_id)
    if shard is None:  # it was there 15 minutes ago at most
        raise _trimmed()
    try:
        page = shard.read(at, limit)
    except Trimmed as error:
        raise _trimmed() from error
    answer: dict[str, Any] = {
        "Records": [encode_entry(entry, stream.view_type, database.region) for entry in page.entries]
    }
    if page.next_at is not None:
        answer["NextShardIterator"] = _write_iterator(stream, shard_id, at=page.next_at, now=now)
    return answer


def _find_stream(database: Database, request: Members) -> Stream:
    request.required("StreamArn")
    arn = _text(request, "StreamArn") or ""
    if _ARN.match(arn) is None:
        raise validation("Invalid StreamArn")
    stream = database.streams.find(arn)
    if stream is None:
        raise _stream_missing(arn)
    return stream


def _find_shard(stream: Stream, shard_id: str) -> Shard:
    shard = stream.shard(shard_id)
    if shard is None:
        raise DynamoError(
            "ResourceNotFoundException", f"Requested resource not found: Shard: {shard_id} in Stream: {stream.arn}"
        )
    return shard


def _place(shard: Shard, kind: str, number: str | None) -> int:
    """The sequence number to read from."""
    if kind in {"TRIM_HORIZON", "LATEST"}:
        if number is not None:
            raise validation(f"SequenceNumber must not be specified when ShardIteratorType is {kind}")
        return shard.trimmed + 1 if kind == "TRIM_HORIZON" else shard.last + 1
    if number is None:
        raise validation(f"SequenceNumber must be specified when ShardIteratorType is {kind}")
    if not (number.isascii() and number.isdigit()) or not shard.first <= int(number) <= shard.last:
        raise validation(f"Invalid SequenceNumber for this shard: {number}")
    if int(number) <= shard.trimmed:
        raise _trimmed()
    return int(number) + (kind == "AFTER_SEQUENCE_NUMBER")


def _parse_filter(request: Members) -> str | None:
    shards = request.structure("ShardFilter")
    if shards is None:
        return None
    shards.only("Type", "ShardId").required("Type")
    shards.choice("Type", ("CHILD_SHARDS",), "")
    shards.required("ShardId")
    return _text(shards, "ShardId", "shardFilter.")


def _describe_shard(shard: Shard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(shard.first)}
    if shard.closed_s is not None:
        numbers["EndingSequenceNumber"] = str(shard.last)
    described: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
    if shard.parent_id is not None:
        described["ParentShardId"] = shard.parent_id
    return described


def _write_iterator(stream: Stream, shard_id: str, *, at: int, now: float) -> str:
    place = f"{shard_id}/{at}/{int(now * 1000)}"
    return f"{stream.arn}|1|{base64.b64encode(place.encode()).decode()}"


def _read_iterator(text: str) -> tuple[str, str, int, float]:
    """(stream's ARN, shard's id, sequence number, epoch seconds at which it was made)."""
    arn, _, rest = text.partition("|1|")
    try:
        place = _PLACE.match(base64.b64decode(rest, validate=True).decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise validation("Invalid ShardIterator") from error
    if place is None or _ARN.match(arn) is None:
        raise validation("Invalid ShardIterator")
    return arn, place[1], int(place[2]), int(place[3]) / 1000


def _text(request: Members, name: str, path: str = "") -> str | None:
    """A string of the length that the service model asks for."""
    value = request.text(name)
    if value is None:
        return None
    low, high = _LENGTHS[name]
    if low <= len(value) <= high:
        return value
    bound = f"greater than or equal to {low}" if len(value) < low else f"less than or equal to {high}"
    place = f"{path}{name[:1].lower()}{name[1:]}"
    raise member_violation(value, place, f"Member must have length {bound}")


def _stream_missing(arn: str) -> DynamoError:
    return DynamoError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")


def _trimmed() -> DynamoError:
    return DynamoError("TrimmedDataAccessException", "The data you are trying to access has been trimmed")
