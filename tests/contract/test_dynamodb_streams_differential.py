"""The same streams on our DynamoDB and on moto: facts and records are equal but for moto's named differences.

`docs/fidelity/dynamodb.md` lists the names with their reasons; a difference without a name fails, and so does a name
that is no difference any more.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest
import requests
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.services.contract import WireRequest
from localcloud.services.dynamodb.wire import DynamoService

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "dynamodb.md"
SCOPE = "20260101/us-east-1/dynamodb/aws4_request"
STREAM_OPERATIONS = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
Answer = tuple[int, dict[str, Any]]
KEY = {"id": {"S": "a"}}
ON = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
OFF = {"StreamEnabled": False}
# What is so on AWS; `MOTO` says what moto makes of it, and under which name the page explains it.
FACTS: dict[str, Any] = {
    "names": ["INSERT", "MODIFY", "REMOVE"],
    "images": [(None, "1"), ("1", "2"), ("2", None)],
    "keys": [KEY, KEY, KEY],
    "source": ["aws:dynamodb"],
    "views": ["NEW_AND_OLD_IMAGES"],
    "numbers ascend": True,
    "no change": 0,
    "update of a new item": 1,
    "failed transaction": 0,
    "version": ["1.1"],
    "sizes": [9, 15, 9],
    "whole seconds": True,
    "label": "2026-01-01T00:00:00.000",
    "describe": "ENABLED",
    "listed": 1,
    "listed for another table": 0,
    "unknown stream": "ResourceNotFoundException",
    "unknown shard": "ResourceNotFoundException",
    "bad iterator": "ValidationException",
    "limit 1001": "LimitExceededException",
    "enabled twice": "ValidationException",
    "no view type": "ValidationException",
    "view type of no stream": "ValidationException",
    "disabled twice": "ValidationException",
    "disabled": "DISABLED",
    "disabled is readable": True,
    "enabled again": 200,
    "new label": True,
    "deleted table's": "DISABLED",
}
MOTO: dict[str, dict[str, Any]] = {
    "moto-record-of-no-change": {"no change": 1},
    "moto-record-version": {"version": ["1.0"]},
    "moto-record-size": {"sizes": "larger"},
    "moto-record-date": {"whole seconds": False},
    "moto-label-digits": {"label": "2026-01-01T00:00:00.000000"},
    "moto-streams-crash": {"unknown shard": 500, "bad iterator": 500, "disabled": 500},
    "moto-limit-ignored": {"limit 1001": 200},
    "moto-stream-in-use": {"enabled twice": "ResourceInUseException"},
    "moto-view-unchecked": {"no view type": 200, "view type of no stream": 200},
    "moto-disabled-twice": {"disabled twice": 200},
    "moto-never-again": {"enabled again": "ResourceInUseException", "new label": False},
    "moto-record-of-half-update": {"update of a new item": 2},
    "moto-stream-of-deleted": {"deleted table's": "ResourceNotFoundException"},
}


class Peer(Protocol):
    """Something that answers DynamoDB's and DynamoDB Streams' requests."""

    async def call(self, operation: str, request: dict[str, Any]) -> Answer: ...


class Ours:
    """Our service, called through its wire."""

    def __init__(self) -> None:
        self.service = DynamoService(SystemClock())

    async def call(self, operation: str, request: dict[str, Any]) -> Answer:
        headers = {"x-amz-target": f"{version_of(operation)}.{operation}"}
        body = json.dumps(request).encode()
        wire = WireRequest("dynamodb", "us-east-1", "POST", "/", "", headers, body, "key", "id")
        answer = await self.service.handle(wire)
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body)


class Moto:
    """moto, in this process, without botocore before it."""

    async def call(self, operation: str, request: dict[str, Any]) -> Answer:
        headers = {
            "X-Amz-Target": f"{version_of(operation)}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=key/{SCOPE}, SignedHeaders=host, Signature=x",
        }
        host = "streams.dynamodb" if operation in STREAM_OPERATIONS else "dynamodb"
        url = f"https://{host}.us-east-1.amazonaws.com/"
        try:
            reply = requests.post(url, data=json.dumps(request), headers=headers, timeout=10)  # noqa: ASYNC210 - in memory
        except Exception as error:  # noqa: BLE001 - whatever moto raises is moto's crash
            return 500, {"message": repr(error)}
        return reply.status_code, json.loads(reply.text)


def version_of(operation: str) -> str:
    return "DynamoDBStreams_20120810" if operation in STREAM_OPERATIONS else "DynamoDB_20120810"


def create_request(**more: Any) -> dict[str, Any]:
    return {
        "TableName": "things",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


def outcome(answer: Answer) -> Any:
    """The error's code, the status where there is none."""
    return answer[1].get("__type", "").rpartition("#")[2] or answer[0]


async def ok(peer: Peer, operation: str, **request: Any) -> dict[str, Any]:
    status, body = await peer.call(operation, request)
    assert status == 200, body
    return body


async def begin(peer: Peer, arn: str) -> str:
    """An iterator at the beginning of the stream's first shard."""
    shard = (await ok(peer, "DescribeStream", StreamArn=arn))["StreamDescription"]["Shards"][0]["ShardId"]
    where = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    return (await ok(peer, "GetShardIterator", **where))["ShardIterator"]


async def read(peer: Peer, arn: str) -> list[dict[str, Any]]:
    """Every record of the stream's first shard."""
    return (await ok(peer, "GetRecords", ShardIterator=await begin(peer, arn)))["Records"]


async def follow(peer: Peer, place: str) -> tuple[list[dict[str, Any]], str]:
    """What is new since `place`, and the next place."""
    page = await ok(peer, "GetRecords", ShardIterator=place)
    return [plain(record) for record in page["Records"]], page["NextShardIterator"]


async def records_facts(peer: Peer, arn: str) -> dict[str, Any]:
    """What three writes leave in a stream, and what writes that change nothing do."""
    for number in ("1", "2"):
        await ok(peer, "PutItem", TableName="things", Item={**KEY, "n": {"N": number}})
    await ok(peer, "DeleteItem", TableName="things", Key=KEY)
    records = await read(peer, arn)
    inner = [record["dynamodb"] for record in records]
    sizes, expected = [part["SizeBytes"] for part in inner], FACTS["sizes"]
    larger = all(size > wanted for size, wanted in zip(sizes, expected, strict=True))
    dates = [part["ApproximateCreationDateTime"] for part in inner]
    numbers = [part["SequenceNumber"] for part in inner]
    facts: dict[str, Any] = {
        "names": [record["eventName"] for record in records],
        "images": [
            tuple(part.get(image, {"n": {"N": None}})["n"]["N"] for image in ("OldImage", "NewImage")) for part in inner
        ],
        "keys": [part["Keys"] for part in inner],
        "source": sorted({record["eventSource"] for record in records}),
        "views": sorted({part["StreamViewType"] for part in inner}),
        "numbers ascend": numbers == sorted(set(numbers)),
        "version": sorted({record["eventVersion"] for record in records}),
        "sizes": "larger" if larger else sizes,
        "whole seconds": all(date == int(date) for date in dates),
    }
    await ok(peer, "PutItem", TableName="things", Item=KEY)
    count = len(await read(peer, arn))
    await ok(peer, "PutItem", TableName="things", Item=KEY)
    await ok(peer, "DeleteItem", TableName="things", Key={"id": {"S": "none"}})
    facts["no change"] = len(await read(peer, arn)) - count
    count += facts["no change"]
    update = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    await ok(peer, "UpdateItem", TableName="things", Key={"id": {"S": "u"}}, **update)
    facts["update of a new item"] = len(await read(peer, arn)) - count
    count += facts["update of a new item"]
    first = {"Put": {"TableName": "things", "Item": {"id": {"S": "t"}}}}
    failing = {"Put": {"TableName": "things", "Item": KEY, "ConditionExpression": "attribute_not_exists(id)"}}
    assert (await peer.call("TransactWriteItems", {"TransactItems": [first, failing]}))[0] == 400
    facts["failed transaction"] = len(await read(peer, arn)) - count
    return facts


async def requests_facts(peer: Peer, arn: str) -> dict[str, Any]:
    """What requests of the streams API are answered, bad ones above all."""
    described = (await ok(peer, "DescribeStream", StreamArn=arn))["StreamDescription"]
    shard = described["Shards"][0]["ShardId"]
    where = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    place = await begin(peer, arn)
    unknown = {**where, "ShardId": "shardId-00000000000000000000-00000000"}
    label = "".join("0" if letter.isdigit() else letter for letter in described["StreamLabel"][10:])
    return {
        "label": f"2026-01-01{label}",
        "describe": described["StreamStatus"],
        "listed": len((await ok(peer, "ListStreams"))["Streams"]),
        "listed for another table": len((await ok(peer, "ListStreams", TableName="other"))["Streams"]),
        "unknown stream": outcome(await peer.call("DescribeStream", {"StreamArn": arn.replace("things", "others")})),
        "unknown shard": outcome(await peer.call("GetShardIterator", unknown)),
        "bad iterator": outcome(await peer.call("GetRecords", {"ShardIterator": "x"})),
        "limit 1001": outcome(await peer.call("GetRecords", {"ShardIterator": place, "Limit": 1001})),
    }


async def settings_facts(peer: Peer, arn: str) -> dict[str, Any]:
    """What enabling, disabling and deleting do to a stream."""

    async def set_stream(stream: dict[str, Any]) -> Answer:
        return await peer.call("UpdateTable", {"TableName": "things", "StreamSpecification": stream})

    async def status(stream_arn: str) -> Any:
        answer = await peer.call("DescribeStream", {"StreamArn": stream_arn})
        return answer[1]["StreamDescription"]["StreamStatus"] if answer[0] == 200 else outcome(answer)

    place = await begin(peer, arn)
    facts = {"enabled twice": outcome(await set_stream(ON))}
    assert (await set_stream(OFF))[0] == 200
    facts["disabled twice"] = outcome(await set_stream(OFF))
    facts["disabled"] = await status(arn)
    facts["disabled is readable"] = bool((await ok(peer, "GetRecords", ShardIterator=place))["Records"])
    answer = await set_stream(ON)
    facts["enabled again"] = outcome(answer)
    second = answer[1]["TableDescription"]["LatestStreamArn"] if answer[0] == 200 else arn
    facts["new label"] = second != arn
    await ok(peer, "DeleteTable", TableName="things")
    facts["deleted table's"] = await status(second)
    for name, stream in (("no view type", {"StreamEnabled": True}), ("view type of no stream", {**ON, **OFF})):
        facts[name] = outcome(await peer.call("CreateTable", create_request(StreamSpecification=stream)))
        await peer.call("DeleteTable", {"TableName": "things"})
    return facts


async def facts_of(peer: Peer) -> dict[str, Any]:
    made = await ok(peer, "CreateTable", **create_request(StreamSpecification=ON))
    arn = made["TableDescription"]["LatestStreamArn"]
    return {**await records_facts(peer, arn), **await requests_facts(peer, arn), **await settings_facts(peer, arn)}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")


async def test_our_streams_are_as_on_aws() -> None:
    """Every fact holds on ours as AWS's pages have it."""
    assert await facts_of(Ours()) == FACTS


async def test_motos_streams_differ_where_it_is_named() -> None:
    """moto has the same facts but for the named ones."""
    with mock_aws():
        found = await facts_of(Moto())
    differences = {fact: value for named in MOTO.values() for fact, value in named.items()}
    assert found == {**FACTS, **differences}


def test_every_named_difference_is_on_the_page() -> None:
    """The page of known differences explains each name that this test accepts."""
    page = PAGE.read_text()
    assert [name for name in MOTO if f"`{name}`" not in page] == []


def write_of(rng: Random) -> tuple[str, dict[str, Any]]:
    """One valid write, over few keys and values so that they meet."""
    item: dict[str, Any] = {"id": {"S": rng.choice("abc")}}
    attributes = {name: {"N": str(rng.randrange(3))} for name in "vw" if rng.random() < 0.6}
    kind = rng.choice(("PutItem", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"))
    if kind == "PutItem":
        return kind, {"TableName": "things", "Item": {**item, **attributes}}
    if kind == "UpdateItem":
        update = {"UpdateExpression": "SET v = :v REMOVE w", "ExpressionAttributeValues": {":v": {"N": "1"}}}
        return kind, {"TableName": "things", "Key": item, **update}
    if kind == "DeleteItem":
        return kind, {"TableName": "things", "Key": item}
    other = {"id": {"S": rng.choice("def")}}
    if kind == "BatchWriteItem":
        puts = [{"PutRequest": {"Item": {**item, **attributes}}}, {"DeleteRequest": {"Key": other}}]
        return kind, {"RequestItems": {"things": puts}}
    put = {"Put": {"TableName": "things", "Item": {**other, **attributes}}}
    return kind, {"TransactItems": [put, {"Delete": {"TableName": "things", "Key": item}}]}


@pytest.mark.parametrize(
    ("view_type", "seed"), [("KEYS_ONLY", 1), ("NEW_IMAGE", 2), ("OLD_IMAGE", 3), ("NEW_AND_OLD_IMAGES", 4)]
)
async def test_generated_writes_leave_the_same_records(view_type: str, seed: int) -> None:
    """After hundreds of writes both streams hold the same changes, less moto's records of no change."""
    rng, ours, moto = Random(seed), Ours(), Moto()
    stream = {"StreamEnabled": True, "StreamViewType": view_type}
    request = create_request(StreamSpecification=stream)
    with mock_aws():
        places: list[str] = []
        for peer in (ours, moto):
            table = (await ok(peer, "CreateTable", **request))["TableDescription"]
            places.append(await begin(peer, table["LatestStreamArn"]))
        changes: list[dict[str, Any]] = []
        for _ in range(150):
            operation, write = write_of(rng)
            await ok(ours, operation, **write)
            await ok(moto, operation, **write)
            mine, places[0] = await follow(ours, places[0])
            theirs, places[1] = await follow(moto, places[1])
            changes += mine
            more = less(theirs, mine)
            assert {record["eventName"] for record in more} <= {
                "MODIFY",  # moto-record-of-no-change
                "INSERT" if operation == "UpdateItem" else "MODIFY",  # moto-record-of-half-update
            }
    assert len(changes) > 80
    assert {record["eventName"] for record in changes} == {"INSERT", "MODIFY", "REMOVE"}


def less(records: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`records` without those of `wanted`, all of which must be there, in their order."""
    rest: list[dict[str, Any]] = []
    waiting = list(wanted)
    for record in reversed(records):
        if waiting and waiting[-1] == record:
            waiting.pop()
        else:
            rest.append(record)
    assert waiting == [], (records, wanted)
    return rest


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """What must be equal on both."""
    inner = {name: record["dynamodb"].get(name) for name in ("Keys", "NewImage", "OldImage", "StreamViewType")}
    return {"eventName": record["eventName"], "awsRegion": record["awsRegion"], **inner}
