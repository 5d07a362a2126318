"""Kinesis Data Streams for producers: its address and protocol, and one stream that records are put into.

Owns the request shapes of PutRecords and ListShards. Must not know what a record means, nor when it is tried again.
Source: the service model 2013-12-02,
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html and API_ListShards.html
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Caller
from sluiceway.errors import ServiceUnavailable
from sluiceway.ports.producing import Declined, Entry, OpenShard, Placed, PutAnswer

__all__ = ["KINESIS", "KinesisStream", "name_stream", "put_entries"]

KINESIS: Final = ServiceSpec("kinesis", "kinesis", "json-1.1", "KINESIS", target_prefix="Kinesis_20131202")
MAX_PAGES: Final = 1_000  # of ListShards, 1,000 shards each; more is an answer that never ends


def name_stream(stream: str) -> Mapping[str, str]:
    """The members that name a stream in a request: its name, or its ARN, which alone names another account's."""
    return {"StreamARN": stream} if stream.startswith("arn:") else {"StreamName": stream}


class KinesisStream:
    """One stream, by its name or its ARN; the port `RecordStream`. Holds no connection: those are the `Caller`'s.

    Raises what `Caller.call` raises. PutRecords is retried by the caller as a whole where its answer was lost: entries
    of such a call may stand in the stream twice.
    """

    def __init__(self, caller: Caller, stream: str) -> None:
        self._caller = caller
        self._named = name_stream(stream)

    async def put(self, entries: Sequence[Entry], *, deadline: float | None = None) -> list[PutAnswer]:
        """PutRecords, as the port says."""
        answers = await put_entries(self._caller, self._named, entries, deadline=deadline)
        return [_read_answer(answer) for answer in answers]

    async def open_shards(self, *, deadline: float | None = None) -> list[OpenShard]:
        """ListShards, every page. A shard with an ending sequence number is closed."""
        request: dict[str, object] = {**self._named, "ShardFilter": {"Type": "AT_LATEST"}}
        found: list[OpenShard] = []
        for _ in range(MAX_PAGES):
            told = (await self._caller.call(KINESIS, "ListShards", request, deadline=deadline)).json()
            shards = cast("Sequence[Mapping[str, Any]]", told.get("Shards") or ())
            found += [_read_shard(shard) for shard in shards if _is_open(shard)]
            token = told.get("NextToken")
            if not token:
                return found
            request = {"NextToken": token}  # alone: the token names the stream and the filter
        raise _malformed("ListShards", f"the answer has more than {MAX_PAGES} pages")

    async def status(self, *, deadline: float | None = None) -> str:
        """`ACTIVE` and `UPDATING` where records may be put and read, else `CREATING` or `DELETING`."""
        reply = await self._caller.call(KINESIS, "DescribeStreamSummary", self._named, deadline=deadline)
        summary = reply.json().get("StreamDescriptionSummary")
        return str(cast("Mapping[str, Any]", summary).get("StreamStatus", "")) if isinstance(summary, dict) else ""


async def put_entries(
    caller: Caller, named: Mapping[str, object], entries: Sequence[Entry], *, deadline: float | None = None
) -> Sequence[Mapping[str, Any]]:
    """PutRecords into the stream that `named` names (`name_stream`): what it says of each entry, in their order.

    Raises what `Caller.call` raises, and then nobody knows of any.
    """
    request = {**named, "Records": [_write_entry(entry) for entry in entries]}
    reply = await caller.call(KINESIS, "PutRecords", request, deadline=deadline)
    answers = cast("Sequence[Mapping[str, Any]]", reply.json().get("Records") or ())
    if len(answers) != len(entries):
        raise _malformed("PutRecords", "the answer has another number of records than the request")
    return answers


def _write_entry(entry: Entry) -> dict[str, str]:
    written = {"Data": b2a_base64(entry.data, newline=False).decode("ascii"), "PartitionKey": entry.partition_key}
    if entry.explicit_hash_key is not None:
        written["ExplicitHashKey"] = entry.explicit_hash_key
    return written


def _read_answer(answer: Mapping[str, Any]) -> PutAnswer:
    code = answer.get("ErrorCode")
    if code:
        return Declined(str(code))
    return Placed(str(answer["ShardId"]), str(answer["SequenceNumber"]))


def _is_open(shard: Mapping[str, Any]) -> bool:
    return not shard["SequenceNumberRange"].get("EndingSequenceNumber")


def _read_shard(shard: Mapping[str, Any]) -> OpenShard:
    hashes = shard["HashKeyRange"]
    return OpenShard(str(shard["ShardId"]), int(hashes["StartingHashKey"]), int(hashes["EndingHashKey"]))


def _malformed(operation: str, why: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"kinesis {operation}: {why}", service="kinesis", operation=operation, code="MalformedReply", status=200
    )
