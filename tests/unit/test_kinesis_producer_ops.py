"""PutRecords and ListShards for producers: botocore's bodies, and how answers are read."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.aws.kinesis import KinesisStream
from sluiceway.aws.reply import Reply
from sluiceway.errors import ServiceUnavailable
from sluiceway.ports.producing import Declined, Entry, OpenShard, Placed
from tests.fakes import RecordingCaller

MODEL = botocore.session.get_session().get_service_model("kinesis")
SERIALIZER = create_serializer("json", include_validation=True)
ARN = "arn:aws:kinesis:eu-west-1:210987654321:stream/orders"
STREAMS = st.sampled_from(["orders", ARN])
NAMED = {"orders": {"StreamName": "orders"}, ARN: {"StreamARN": ARN}}  # another account's goes by its ARN alone


def botocore_body(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    sent = SERIALIZER.serialize_to_request(params, MODEL.operation_model(operation))
    assert sent["headers"]["X-Amz-Target"] == f"Kinesis_20131202.{operation}"
    assert sent["headers"]["Content-Type"] == "application/x-amz-json-1.1"
    return json.loads(sent["body"])


def reply(**members: Any) -> Reply:
    return Reply(200, {}, json.dumps(members).encode())


def shard(number: int, first: int, last: int, ending: str | None = None) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1"} | ({"EndingSequenceNumber": ending} if ending else {})
    hashes = {"StartingHashKey": str(first), "EndingHashKey": str(last)}
    return {"ShardId": f"shardId-{number:012d}", "HashKeyRange": hashes, "SequenceNumberRange": numbers}


@given(
    STREAMS,
    st.lists(
        st.builds(
            Entry,
            st.text(min_size=1, max_size=20),
            st.binary(max_size=20),
            st.none() | st.integers(0, 2**128 - 1).map(str),
        ),
        min_size=1,
        max_size=5,
    ),
)
async def test_a_put_is_botocores(stream: str, entries: list[Entry]) -> None:
    """Any data, keys and hash keys, to a stream by its name or its ARN; each answer in its place."""
    answers: list[dict[str, object]] = [{"ShardId": "s", "SequenceNumber": str(at)} for at in range(len(entries))]
    answers[0] = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
    caller = RecordingCaller([reply(FailedRecordCount=1, Records=answers)])
    told = await KinesisStream(caller, stream).put(entries, deadline=7.0)
    assert told == [
        Declined("ProvisionedThroughputExceededException"),
        *(Placed("s", str(at)) for at in range(1, len(entries))),
    ]
    params: dict[str, Any] = {
        **NAMED[stream],
        "Records": [
            {"Data": entry.data, "PartitionKey": entry.partition_key}
            | ({} if entry.explicit_hash_key is None else {"ExplicitHashKey": entry.explicit_hash_key})
            for entry in entries
        ],
    }
    (call,) = caller.calls
    assert json.loads(json.dumps(call.body)) == botocore_body("PutRecords", params)
    assert (call.operation, call.deadline) == ("PutRecords", 7.0)


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "InternalFailure"])
def test_only_throughput_is_throttled(code: str) -> None:
    """The two codes that PutRecords has for an entry."""
    assert Declined(code).is_throttled is (code == "ProvisionedThroughputExceededException")


async def test_an_answer_of_another_length_is_none() -> None:
    """Nobody knows then what became of which entry."""
    caller = RecordingCaller([reply(Records=[])])
    with pytest.raises(ServiceUnavailable) as caught:
        await KinesisStream(caller, "orders").put([Entry("k", b"x")])
    assert caught.value.code == "MalformedReply"


@pytest.mark.parametrize("stream", ["orders", ARN])
async def test_listing_reads_every_page_and_leaves_closed_shards_out(stream: str) -> None:
    """The next page is asked for by its token alone; a shard with an ending sequence number takes nothing."""
    pages = [
        reply(Shards=[shard(0, 0, 99, ending="9"), shard(1, 0, 49)], NextToken="t"),
        reply(Shards=[shard(2, 50, 2**128 - 1)]),
    ]
    caller = RecordingCaller([*pages])
    assert await KinesisStream(caller, stream).open_shards(deadline=3.0) == [
        OpenShard("shardId-000000000001", 0, 49),
        OpenShard("shardId-000000000002", 50, 2**128 - 1),
    ]
    first, second = caller.calls
    asked: dict[str, Any] = {**NAMED[stream], "ShardFilter": {"Type": "AT_LATEST"}}
    assert (first.body, first.deadline) == (botocore_body("ListShards", asked), 3.0)
    assert (second.body, second.deadline) == (botocore_body("ListShards", {"NextToken": "t"}), 3.0)


async def test_pages_without_an_end_are_refused() -> None:
    """After a thousand."""
    caller = RecordingCaller([reply(Shards=[], NextToken="t")] * 1001)
    with pytest.raises(ServiceUnavailable):
        await KinesisStream(caller, "orders").open_shards()
    assert len(caller.calls) == 1000


@given(STREAMS, st.sampled_from(["CREATING", "ACTIVE", "UPDATING", "DELETING"]))
async def test_a_streams_status_is_read_from_its_summary(stream: str, status: str) -> None:
    """DescribeStreamSummary, by name or by ARN; an answer without one says nothing."""
    caller = RecordingCaller([reply(StreamDescriptionSummary={"StreamStatus": status}), reply(), reply(StreamStatus=1)])
    kinesis = KinesisStream(caller, stream)
    assert [await kinesis.status() for _ in range(3)] == [status, "", ""]
    body = caller.calls[0].body
    assert (caller.calls[0].operation, body) == ("DescribeStreamSummary", NAMED[stream])
    assert botocore_body("DescribeStreamSummary", NAMED[stream]) == body
