"""The operations of DynamoDB as a caller sees them: requests in, answers and errors out."""

from __future__ import annotations

import asyncio
import json
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, SystemClock, run_virtual
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.dynamodb.table import Change
from localcloud.services.dynamodb.wire import SWEEP_S, DynamoService
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Resource, StackContext, Support

REGION = "eu-west-1"


class Caller:
    """Calls a service through its wire; `ok` wants an answer, `error` an error of (code, message)."""

    def __init__(self, service: DynamoService | None = None) -> None:
        self.service = service or DynamoService(SystemClock(), randomness=Random(1))

    async def send(self, operation: str, body: bytes) -> WireResponse:
        return await self.service.handle(wire_request(operation, body))

    async def ok(self, operation: str, **request: Any) -> dict[str, Any]:
        answer = await self.send(operation, json.dumps(request).encode())
        assert isinstance(answer.body, bytes)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def refused(self, operation: str, **request: Any) -> dict[str, Any]:
        answer = await self.send(operation, json.dumps(request).encode())
        assert isinstance(answer.body, bytes)
        assert answer.status == 400, answer.body
        return json.loads(answer.body)

    async def error(self, operation: str, **request: Any) -> tuple[str, str]:
        body = await self.refused(operation, **request)
        return body["__type"].rpartition("#")[2], body.get("message") or body["Message"]


def wire_request(operation: str, body: bytes) -> WireRequest:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    return WireRequest("dynamodb", REGION, "POST", "/", "", headers, body, "key", "id")


def schema(hash_name: str, range_name: str | None = None) -> list[dict[str, str]]:
    keys = [{"AttributeName": hash_name, "KeyType": "HASH"}]
    return keys if range_name is None else [*keys, {"AttributeName": range_name, "KeyType": "RANGE"}]


def types(**kinds: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in kinds.items()]


async def make_jobs(caller: Caller) -> None:
    """A table with a partition key alone."""
    await caller.ok(
        "CreateTable",
        TableName="jobs",
        KeySchema=schema("id"),
        AttributeDefinitions=types(id="S"),
        BillingMode="PAY_PER_REQUEST",
    )


async def make_events(caller: Caller) -> None:
    """A table with a sort key, a local and a global index."""
    await caller.ok(
        "CreateTable",
        TableName="events",
        KeySchema=schema("pk", "sk"),
        AttributeDefinitions=types(pk="S", sk="N", kind="S", rank="N"),
        LocalSecondaryIndexes=[
            {"IndexName": "by_rank", "KeySchema": schema("pk", "rank"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_kind",
                "KeySchema": schema("kind", "rank"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


async def fill_events(caller: Caller, count: int = 10) -> None:
    for number in range(count):
        item = {"pk": {"S": "p"}, "sk": {"N": str(number)}, "note": {"S": f"n{number}"}, "more": {"S": "x"}}
        if number % 2:
            item |= {"kind": {"S": "odd"}, "rank": {"N": str(-number)}}
        await caller.ok("PutItem", TableName="events", Item=item)


def numbers(answer: dict[str, Any]) -> list[int]:
    return [int(item["sk"]["N"]) for item in answer["Items"]]


async def test_put_get_update_delete() -> None:
    """One item's life, with every kind of ReturnValues."""
    caller = Caller()
    await make_jobs(caller)
    key = {"id": {"S": "1"}}
    put = await caller.ok("PutItem", TableName="jobs", Item={**key, "a": {"N": "1"}}, ReturnValues="ALL_OLD")
    assert put == {}
    update = {
        "TableName": "jobs",
        "Key": key,
        "UpdateExpression": "SET a = a + :one, b = :b REMOVE c",
        "ExpressionAttributeValues": {":one": {"N": "1"}, ":b": {"S": "x"}},
    }
    seen = [await caller.ok("UpdateItem", **update, ReturnValues=kind) for kind in ("UPDATED_NEW", "UPDATED_OLD")]
    assert seen == [
        {"Attributes": {"a": {"N": "2"}, "b": {"S": "x"}}},
        {"Attributes": {"a": {"N": "2"}, "b": {"S": "x"}}},
    ]
    new = await caller.ok("UpdateItem", **update, ReturnValues="ALL_NEW")
    assert new == {"Attributes": {**key, "a": {"N": "4"}, "b": {"S": "x"}}}
    assert await caller.ok("GetItem", TableName="jobs", Key=key) == {"Item": new["Attributes"]}
    assert await caller.ok("DeleteItem", TableName="jobs", Key=key, ReturnValues="ALL_OLD") == new
    assert await caller.ok("GetItem", TableName="jobs", Key=key) == {}
    assert await caller.ok("DeleteItem", TableName="jobs", Key=key, ReturnValues="ALL_OLD") == {}


async def test_update_makes_an_item_that_is_not_there() -> None:
    """UpdateItem without an expression, or with one that reads the key, makes the item."""
    caller = Caller()
    await make_jobs(caller)
    await caller.ok("UpdateItem", TableName="jobs", Key={"id": {"S": "1"}})
    await caller.ok("UpdateItem", TableName="jobs", Key={"id": {"S": "2"}}, UpdateExpression="SET b = id")
    found = await caller.ok("Scan", TableName="jobs")
    assert sorted(str(item) for item in found["Items"]) == [
        "{'id': {'S': '1'}}",
        "{'id': {'S': '2'}, 'b': {'S': '2'}}",
    ]


async def test_an_update_cannot_nest_deeper_than_32_levels() -> None:
    """A value that is fine alone is refused where its path makes it too deep."""
    caller = Caller()
    await make_jobs(caller)
    deep: dict[str, Any] = {"S": "x"}
    for _ in range(32):
        deep = {"M": {"m": deep}}
    key = {"id": {"S": "1"}}
    await caller.ok("PutItem", TableName="jobs", Item={**key, "a": {"M": {}}})
    update = {"TableName": "jobs", "Key": key, "ExpressionAttributeValues": {":d": deep}}
    await caller.ok("UpdateItem", **update, UpdateExpression="SET b = :d")
    code, message = await caller.error("UpdateItem", **update, UpdateExpression="SET a.b = :d")
    assert (code, message[:46]) == ("ValidationException", "Nesting Levels have exceeded supported limits:")


async def test_condition_decides_and_shows_the_item_on_request() -> None:
    """A condition that fails writes nothing; ALL_OLD shows what stood in the way."""
    caller = Caller()
    await make_jobs(caller)
    item = {"id": {"S": "1"}, "state": {"S": "queued"}}
    put = {"TableName": "jobs", "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
    await caller.ok("PutItem", **put)
    assert await caller.refused("PutItem", **put) == {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
    shown = await caller.refused("PutItem", **put, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert shown["Item"] == item


async def test_one_of_many_conditional_writers_wins() -> None:
    """A hundred tasks on one key: one makes the item, and a counter loses no increment."""
    caller = Caller()
    await make_jobs(caller)
    body = {"TableName": "jobs", "Item": {"id": {"S": "1"}}, "ConditionExpression": "attribute_not_exists(id)"}
    count = {
        "TableName": "jobs",
        "Key": {"id": {"S": "n"}},
        "UpdateExpression": "ADD hits :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    async with asyncio.TaskGroup() as group:
        puts = [group.create_task(caller.send("PutItem", json.dumps(body).encode())) for _ in range(100)]
        for _ in range(100):
            group.create_task(caller.ok("UpdateItem", **count))
    assert sorted(task.result().status for task in puts) == [200, *[400] * 99]
    assert (await caller.ok("GetItem", TableName="jobs", Key={"id": {"S": "n"}}))["Item"]["hits"] == {"N": "100"}


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("GetItem", {"Key": {}}, "The provided key element does not match the schema"),
        ("GetItem", {"Key": {"id": {"N": "1"}}}, "The provided key element does not match the schema"),
        (
            "GetItem",
            {"Key": {"id": {"S": ""}}},
            ("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            "empty string value. Key: id"),
        ),
        (
            "PutItem",
            {"Item": {"a": {"S": "x"}}},
            ("One or more parameter values were invalid: Missing the key id in the "
            "item"),
        ),
        (
            "PutItem",
            {"Item": {"id": {"N": "1"}}},
            "One or more parameter values were invalid: Type mismatch for key id expected: S actual: N",
        ),
        (
            "PutItem",
            {"Item": {"id": {"S": "x" * 2049}}},
            ("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size "
            "limit of2048 bytes"),
        ),
        (
            "PutItem",
            {"Item": {"id": {"S": "1"}, "a": {"S": "x" * 409_600}}},
            ("Item size has exceeded the maximum allowed "
            "size"),
        ),
        (
            "UpdateItem",
            {"Key": {"id": {"S": "1"}}, "UpdateExpression": "SET id = a"},
            "One or more parameter values were invalid: Cannot update attribute id. This attribute is part of the key",
        ),
        (
            "UpdateItem",
            {
                "Key": {"id": {"S": "1"}},
                "UpdateExpression": "SET a = :a",
                "ExpressionAttributeValues": {":a": {"S": "x" * 409_600}},
            },
            "Item size to update has exceeded the maximum allowed size",
        ),
        (
            "UpdateItem",
            {"Key": {"id": {"S": "1"}}, "ConditionExpression": "attribute_exists(id.a)"},
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: id",
        ),
        ("PutItem", {"Item": {"id": {"S": "1"}}, "ReturnValues": "ALL_NEW"}, "Return values set to invalid value"),
        (
            "PutItem",
            {"Item": {"id": {"S": "1"}}, "ReturnValues": "SOME"},
            ("1 validation error detected: Value 'SOME' at 'returnValues' failed to satisfy constraint: Member must "
            "satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"),
        ),
        (
            "PutItem",
            {"Item": {"id": {"S": "1"}}, "ExpressionAttributeValues": {":a": {"S": "a"}}},
            "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
        ),
        (
            "UpdateItem",
            {"Key": {"id": {"S": "1"}}, "ExpressionAttributeValues": {":a": {"S": "a"}}},
            ("ExpressionAttributeValues can only be specified when using expressions: "
            "UpdateExpression and ConditionExpression are null"),
        ),
        (
            "GetItem",
            {"Key": {"id": {"S": "1"}}, "ExpressionAttributeNames": {"#a": "a"}},
            "ExpressionAttributeNames can only be specified when using expressions",
        ),
        (
            "PutItem",
            {"Item": {"id": {"S": "1"}}, "Expected": {}},
            "The local cloud does not serve the legacy parameter Expected; use the expression that replaced it",
        ),
        (
            "GetItem",
            {"Key": {"id": {"S": "1"}}, "Nonsense": 1},
            ("The local cloud does not serve the parameter Nonsense of this "
            "operation"),
        ),
        (
            "Query",
            {},
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
        (
            "Scan",
            {"Limit": 0},
            ("1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1"),
        ),
        (
            "Scan",
            {"Segment": 1, "TotalSegments": 1},
            ("The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            "Segment: 1 is not less than TotalSegments: 1"),
        ),
        (
            "Scan",
            {"ExclusiveStartKey": {"b": {"S": "a"}}},
            "The provided starting key is invalid: The provided key element does not match the schema",
        ),
        ("Scan", {"IndexName": "nowhere"}, "The table does not have the specified index: nowhere"),
        (
            "Scan",
            {"Select": "ALL_PROJECTED_ATTRIBUTES"},
            ("One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using "
            "an IndexName"),
        ),
    ],
)  # fmt: skip
async def test_faults_are_told_in_aws_words(operation: str, request_: dict[str, Any], expected: str) -> None:
    """Each fault of a request has AWS's own sentence."""
    caller = Caller()
    await make_jobs(caller)
    assert await caller.error(operation, TableName="jobs", **request_) == ("ValidationException", expected)


async def test_missing_tables_are_told_as_aws_tells() -> None:
    """Item operations do not name the table, control operations do."""
    caller = Caller()
    found = "ResourceNotFoundException"
    assert await caller.error("GetItem", TableName="none", Key={"a": {"S": "b"}}) == (
        found,
        "Requested resource not found",
    )
    assert await caller.error("DescribeTable", TableName="none") == (
        found,
        "Requested resource not found: Table: none not found",
    )


async def test_query_walks_a_range_in_both_directions() -> None:
    """Every sort key comparison gives its range, forward and backward."""
    caller = Caller()
    await make_events(caller)
    await fill_events(caller)
    for comparison, expected in (
        ("sk = :a", [3]),
        ("sk < :a", [0, 1, 2]),
        ("sk <= :a", [0, 1, 2, 3]),
        ("sk > :b", [7, 8, 9]),
        (":b <= sk", [6, 7, 8, 9]),
        ("sk BETWEEN :a AND :b", [3, 4, 5, 6]),
    ):
        values = {":p": {"S": "p"}, ":a": {"N": "3"}, ":b": {"N": "6"}}
        request: dict[str, Any] = {
            "TableName": "events",
            "KeyConditionExpression": f"pk = :p AND {comparison}",
            "ExpressionAttributeValues": {key: value for key, value in values.items() if key in f":p{comparison}"},
        }
        assert numbers(await caller.ok("Query", **request)) == expected
        assert numbers(await caller.ok("Query", **request, ScanIndexForward=False)) == expected[::-1]


async def test_begins_with_finds_prefixes_at_the_edge_of_unicode() -> None:
    """A prefix range ends where the prefix ends, also before surrogates and at the last code point."""
    caller = Caller()
    await caller.ok(
        "CreateTable",
        TableName="words",
        KeySchema=schema("pk", "sk"),
        AttributeDefinitions=types(pk="S", sk="S"),
        BillingMode="PAY_PER_REQUEST",
    )
    words = ["a", "ab", "ab\U0010ffff", "ab\U0010ffffz", "ac", "\ud7ff", "\ud7ffx", "\ue000", "\U0010ffff"]
    for word in words:
        await caller.ok("PutItem", TableName="words", Item={"pk": {"S": "p"}, "sk": {"S": word}})
    for prefix in ("a", "ab", "ab\U0010ffff", "\ud7ff", "\U0010ffff", "zz"):
        for forward in (True, False):
            answer = await caller.ok(
                "Query",
                TableName="words",
                KeyConditionExpression="pk = :p AND begins_with(sk, :s)",
                ExpressionAttributeValues={":p": {"S": "p"}, ":s": {"S": prefix}},
                ScanIndexForward=forward,
            )
            expected = sorted((word for word in words if word.startswith(prefix)), reverse=not forward)
            assert [item["sk"]["S"] for item in answer["Items"]] == expected


@pytest.mark.parametrize("forward", [True, False])
async def test_pages_of_a_query_join_without_gap_or_repeat(forward: bool) -> None:
    """Limit counts items before the filter; the last key is told whenever the limit ends the page."""
    caller = Caller()
    await make_events(caller)
    await fill_events(caller)
    request: dict[str, Any] = {
        "TableName": "events",
        "KeyConditionExpression": "pk = :p",
        "FilterExpression": "attribute_exists(kind)",
        "ExpressionAttributeValues": {":p": {"S": "p"}},
        "ScanIndexForward": forward,
        "Limit": 5,
    }
    pages: list[dict[str, Any]] = []
    while not pages or "LastEvaluatedKey" in pages[-1]:
        if pages:
            request["ExclusiveStartKey"] = pages[-1]["LastEvaluatedKey"]
        pages.append(await caller.ok("Query", **request))
    assert [number for page in pages for number in numbers(page)] == [1, 3, 5, 7, 9][:: 1 if forward else -1]
    assert [(page["ScannedCount"], page["Count"]) for page in pages][-1] == (0, 0)
    assert len(pages) == 3


async def test_a_page_ends_before_1_mb() -> None:
    """Items of 300 KB come three a page."""
    caller = Caller()
    await make_events(caller)
    for number in range(5):
        item = {"pk": {"S": "p"}, "sk": {"N": str(number)}, "data": {"S": "x" * 300_000}}
        await caller.ok("PutItem", TableName="events", Item=item)
    answer = await caller.ok("Scan", TableName="events", Select="COUNT", ReturnConsumedCapacity="TOTAL")
    assert answer["LastEvaluatedKey"] == {"pk": {"S": "p"}, "sk": {"N": "2"}}
    assert (answer["Count"], answer["ConsumedCapacity"]["CapacityUnits"]) == (3, 110.0)


async def test_indexes_are_sparse_sorted_and_projected() -> None:
    """An item without the key is not in the index; what is not projected is not shown, but a local index fetches."""
    caller = Caller()
    await make_events(caller)
    await fill_events(caller)
    request: dict[str, Any] = {
        "TableName": "events",
        "IndexName": "by_kind",
        "KeyConditionExpression": "kind = :k",
        "ExpressionAttributeValues": {":k": {"S": "odd"}},
    }
    answer = await caller.ok("Query", **request, Limit=2)
    assert numbers(answer) == [9, 7]
    assert answer["Items"][0] == {
        "pk": {"S": "p"}, "sk": {"N": "9"}, "kind": {"S": "odd"}, "rank": {"N": "-9"}, "note": {"S": "n9"},
    }  # fmt: skip
    assert set(answer["LastEvaluatedKey"]) == {"pk", "sk", "kind", "rank"}
    rest = await caller.ok("Query", **request, ExclusiveStartKey=answer["LastEvaluatedKey"])
    assert numbers(rest) == [5, 3, 1]
    local = {
        "TableName": "events",
        "IndexName": "by_rank",
        "KeyConditionExpression": "pk = :p AND #r > :r",
        "ExpressionAttributeNames": {"#r": "rank"},
        "ExpressionAttributeValues": {":p": {"S": "p"}, ":r": {"N": "-5"}},
    }
    assert set((await caller.ok("Query", **local))["Items"][0]) == {"pk", "sk", "rank"}
    assert set((await caller.ok("Query", **local, Select="ALL_ATTRIBUTES"))["Items"][0]) >= {"note", "more"}
    assert await caller.error("Query", **request, ConsistentRead=True) == (
        "ValidationException",
        "Consistent reads are not supported on global secondary indexes",
    )
    assert (await caller.error("Query", **request, Select="ALL_ATTRIBUTES"))[1].endswith(
        "for global secondary index by_kind because its projection type is not ALL"
    )


async def test_indexes_follow_every_write() -> None:
    """A changed, removed or wrongly typed index key moves, leaves, or is refused."""
    caller = Caller()
    await make_events(caller)
    key = {"pk": {"S": "p"}, "sk": {"N": "1"}}
    await caller.ok("PutItem", TableName="events", Item={**key, "kind": {"S": "a"}, "rank": {"N": "1"}})
    update = {"TableName": "events", "Key": key, "UpdateExpression": "SET kind = :k"}
    await caller.ok("UpdateItem", **update, ExpressionAttributeValues={":k": {"S": "b"}})
    counts = [(await caller.ok("Scan", TableName="events", IndexName="by_kind"))["Items"]]
    await caller.ok("UpdateItem", TableName="events", Key=key, UpdateExpression="REMOVE kind")
    counts.append((await caller.ok("Scan", TableName="events", IndexName="by_kind"))["Items"])
    assert [[item["kind"]["S"] for item in found] for found in counts] == [["b"], []]
    assert await caller.error("UpdateItem", **update, ExpressionAttributeValues={":k": {"N": "1"}}) == (
        "ValidationException",
        "The update expression attempted to update the secondary index key to unsupported type",
    )
    assert await caller.error("PutItem", TableName="events", Item={**key, "kind": {"N": "1"}}) == (
        "ValidationException",
        (
            "One or more parameter values were invalid: "
            "Type mismatch for Index Key kind Expected: S Actual: N IndexName: by_kind"
        ),
    )


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("sk = :n", {":n": {"N": "1"}}, "Query condition missed key schema element: pk"),
        ("pk = :s AND note = :s", {":s": {"S": "a"}}, "Query condition missed key schema element: sk"),
        ("pk > :s", {":s": {"S": "a"}}, "Query key condition not supported"),
        (
            "pk = :n",
            {":n": {"N": "1"}},
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
    ],
)
async def test_key_conditions_are_held_against_the_schema(
    condition: str, values: dict[str, Any], expected: str
) -> None:
    """A query needs its partition key, and may name its sort key and nothing else."""
    caller = Caller()
    await make_events(caller)
    request = {"TableName": "events", "KeyConditionExpression": condition, "ExpressionAttributeValues": values}
    assert await caller.error("Query", **request) == ("ValidationException", expected)


async def test_filter_may_not_name_a_key() -> None:
    """A query's filter sees everything but the keys."""
    caller = Caller()
    await make_events(caller)
    request = {
        "TableName": "events",
        "KeyConditionExpression": "pk = :p",
        "FilterExpression": "sk > :n",
        "ExpressionAttributeValues": {":p": {"S": "p"}, ":n": {"N": "1"}},
    }
    assert (await caller.error("Query", **request))[1] == (
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: sk"
    )


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 500), max_size=40), st.integers(1, 7), st.integers(1, 9))
def test_segments_and_pages_of_a_scan_hold_each_item_once(keys: set[int], total: int, limit: int) -> None:
    """Over all segments, page by page, a scan gives each item exactly once."""

    async def scan_all() -> list[str]:
        caller = Caller()
        await make_jobs(caller)
        for key in keys:
            await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": str(key)}})
        found: list[str] = []
        for segment in range(total):
            request: dict[str, Any] = {"TableName": "jobs", "Segment": segment, "TotalSegments": total, "Limit": limit}
            while True:
                page = await caller.ok("Scan", **request)
                found += [item["id"]["S"] for item in page["Items"]]
                if "LastEvaluatedKey" not in page:
                    break
                request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return found

    assert sorted(map(int, run_virtual(scan_all))) == sorted(keys)


async def test_batches_read_and_write_over_tables() -> None:
    """A batch is many single operations; duplicates and too many are refused before anything is written."""
    caller = Caller()
    await make_jobs(caller)
    puts = [{"PutRequest": {"Item": {"id": {"S": str(number)}, "v": {"N": str(number)}}}} for number in range(25)]
    assert await caller.ok("BatchWriteItem", RequestItems={"jobs": puts}) == {"UnprocessedItems": {}}
    keys = [{"id": {"S": "3"}}, {"id": {"S": "99"}}]
    got = await caller.ok("BatchGetItem", RequestItems={"jobs": {"Keys": keys, "ProjectionExpression": "v"}})
    assert got == {"Responses": {"jobs": [{"v": {"N": "3"}}]}, "UnprocessedKeys": {}}
    assert (await caller.error("BatchWriteItem", RequestItems={"jobs": [*puts, puts[0]]}))[1] == (
        "Too many items requested for the BatchWriteItem call"
    )
    twice = [{"DeleteRequest": {"Key": keys[0]}}, {"PutRequest": {"Item": keys[0]}}]
    duplicates = "Provided list of item keys contains duplicates"
    assert (await caller.error("BatchWriteItem", RequestItems={"jobs": twice}))[1] == duplicates
    assert (await caller.error("BatchGetItem", RequestItems={"jobs": {"Keys": [keys[0]] * 2}}))[1] == duplicates
    many = [{"id": {"S": str(number)}} for number in range(101)]
    assert (await caller.error("BatchGetItem", RequestItems={"jobs": {"Keys": many}}))[1] == (
        "Too many items requested for the BatchGetItem call"
    )


async def test_batch_get_leaves_what_passes_16_mb() -> None:
    """Keys whose items do not fit any more come back as UnprocessedKeys, with their options."""
    caller = Caller()
    await make_jobs(caller)
    for number in range(45):
        await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": str(number)}, "d": {"S": "x" * 400_000}})
    keys = [{"id": {"S": str(number)}} for number in range(45)]
    got = await caller.ok("BatchGetItem", RequestItems={"jobs": {"Keys": keys, "ConsistentRead": True}})
    assert len(got["Responses"]["jobs"]) == 41
    assert got["UnprocessedKeys"] == {"jobs": {"ConsistentRead": True, "Keys": keys[41:]}}


async def test_transaction_writes_all_or_nothing() -> None:
    """One failed condition cancels everything and names its place."""
    caller = Caller()
    await make_jobs(caller)
    put = {"Put": {"TableName": "jobs", "Item": {"id": {"S": "1"}}}}
    check = {
        "ConditionCheck": {
            "TableName": "jobs",
            "Key": {"id": {"S": "2"}},
            "ConditionExpression": "attribute_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    body = await caller.refused("TransactWriteItems", TransactItems=[put, check])
    assert body == {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "CancellationReasons": [
            {"Code": "None"},
            {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"},
        ],
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons "
        "[None, ConditionalCheckFailed]",
    }
    assert (await caller.ok("Scan", TableName="jobs"))["Count"] == 0
    await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": "2"}})
    await caller.ok("TransactWriteItems", TransactItems=[put, check])
    gets = [{"Get": {"TableName": "jobs", "Key": {"id": {"S": name}}}} for name in ("1", "3")]
    assert await caller.ok("TransactGetItems", TransactItems=gets) == {"Responses": [{"Item": {"id": {"S": "1"}}}, {}]}
    assert (await caller.error("TransactWriteItems", TransactItems=[put, put]))[1] == (
        "Transaction request cannot include multiple operations on one item"
    )


def test_request_token_makes_a_transaction_safe_to_repeat() -> None:
    """Within ten minutes the same token is the same transaction; another body is refused; later it is a new one."""

    async def scenario() -> tuple[str, str, str]:
        loop = asyncio.get_running_loop()
        caller = Caller(DynamoService(LoopClock(loop), randomness=Random(1)))
        await make_jobs(caller)

        def add(amount: int) -> dict[str, Any]:
            update = {
                "TableName": "jobs",
                "Key": {"id": {"S": "n"}},
                "UpdateExpression": "ADD hits :n",
                "ExpressionAttributeValues": {":n": {"N": str(amount)}},
            }
            return {"TransactItems": [{"Update": update}], "ClientRequestToken": "token"}

        async def hits() -> str:
            found = await caller.ok("GetItem", TableName="jobs", Key={"id": {"S": "n"}})
            return found["Item"]["hits"]["N"]

        await caller.ok("TransactWriteItems", **add(1))
        await caller.ok("TransactWriteItems", **add(1))
        first = await hits()
        code, _ = await caller.error("TransactWriteItems", **add(2))
        await asyncio.sleep(601)
        await caller.ok("TransactWriteItems", **add(2))
        return first, code, await hits()

    assert run_virtual(scenario) == ("1", "IdempotentParameterMismatchException", "3")


def test_expired_items_go_on_the_clock() -> None:
    """Items whose time has come go at the next sweep; a prolonged, an ancient and a textual one stay."""

    async def scenario() -> tuple[list[str], list[str], list[str]]:
        loop = asyncio.get_running_loop()
        clock = LoopClock(loop)
        service = DynamoService(clock, randomness=Random(1))
        caller = Caller(service)
        await make_jobs(caller)
        causes: list[str] = []

        def hear(change: Change) -> None:
            causes.append(change.cause)

        service.database(REGION).subscribe(hear)
        now = int(clock.time())
        for name, value in (
            ("soon", {"N": str(now + 10)}),
            ("later", {"N": str(now + 1000)}),
            ("ancient", {"N": "1"}),
            ("text", {"S": "1"}),
            ("prolonged", {"N": str(now + 10)}),
        ):
            await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": name}, "ttl_s": value})
        await caller.ok(
            "UpdateTimeToLive",
            TableName="jobs",
            TimeToLiveSpecification={"AttributeName": "ttl_s", "Enabled": True},
        )
        prolonged = {"id": {"S": "prolonged"}, "ttl_s": {"N": str(now + 5000)}}
        await caller.ok("PutItem", TableName="jobs", Item=prolonged)

        async def names() -> list[str]:
            return sorted(item["id"]["S"] for item in (await caller.ok("Scan", TableName="jobs"))["Items"])

        async with asyncio.TaskGroup() as group:
            task = group.create_task(service.run())
            await asyncio.sleep(SWEEP_S + 1)
            first = await names()
            await asyncio.sleep(1000 + SWEEP_S)
            second = await names()
            task.cancel()
        return first, second, causes

    first, second, causes = run_virtual(scenario)
    assert first == ["ancient", "later", "prolonged", "text"]
    assert second == ["ancient", "prolonged", "text"]
    assert causes == ["user"] * 6 + ["ttl"] * 2


async def test_time_to_live_is_shown_and_changed_as_aws_does() -> None:
    """Enabling twice is an error; disabling must name the attribute."""
    caller = Caller()
    await make_jobs(caller)
    wanted = {"TableName": "jobs", "TimeToLiveSpecification": {"AttributeName": "t", "Enabled": True}}
    assert await caller.ok("DescribeTimeToLive", TableName="jobs") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }
    await caller.ok("UpdateTimeToLive", **wanted)
    assert await caller.error("UpdateTimeToLive", **wanted) == ("ValidationException", "TimeToLive is already enabled")
    assert await caller.ok("DescribeTimeToLive", TableName="jobs") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "t"}
    }


async def test_listeners_hear_of_each_write_with_both_images() -> None:
    """The change hook gets the old and the new image, in the order of the writes."""
    caller = Caller()
    await make_jobs(caller)
    heard: list[tuple[bool, bool]] = []

    def hear(change: Change) -> None:
        heard.append((change.old is not None, change.new is not None))

    caller.service.database(REGION).subscribe(hear)
    await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": "1"}})
    await caller.ok("PutItem", TableName="jobs", Item={"id": {"S": "1"}, "a": {"S": "b"}})
    await caller.ok("DeleteItem", TableName="jobs", Key={"id": {"S": "1"}})
    await caller.ok("DeleteItem", TableName="jobs", Key={"id": {"S": "1"}})
    assert heard == [(False, True), (True, True), (True, False)]


async def test_consumed_capacity_counts_as_documented() -> None:
    """1 KB a write unit, 4 KB a read unit, half for eventual reads, double in transactions, indexes apart."""
    caller = Caller()
    await make_events(caller)
    item = {"pk": {"S": "p"}, "sk": {"N": "1"}, "kind": {"S": "k"}, "rank": {"N": "1"}, "more": {"S": "x" * 5000}}
    put = await caller.ok("PutItem", TableName="events", Item=item, ReturnConsumedCapacity="INDEXES")
    assert put["ConsumedCapacity"] == {
        "TableName": "events",
        "CapacityUnits": 7.0,
        "Table": {"CapacityUnits": 5.0},
        "LocalSecondaryIndexes": {"by_rank": {"CapacityUnits": 1.0}},
        "GlobalSecondaryIndexes": {"by_kind": {"CapacityUnits": 1.0}},
    }
    key = {"pk": {"S": "p"}, "sk": {"N": "1"}}
    for consistent, expected in ((False, 1.0), (True, 2.0)):
        got = await caller.ok(
            "GetItem", TableName="events", Key=key, ConsistentRead=consistent, ReturnConsumedCapacity="TOTAL"
        )
        assert got["ConsumedCapacity"] == {"TableName": "events", "CapacityUnits": expected}


async def test_tables_are_listed_described_and_deleted() -> None:
    """A table's life, and the pages of ListTables."""
    caller = Caller()
    await make_jobs(caller)
    await make_events(caller)
    assert await caller.ok("ListTables", Limit=1) == {"TableNames": ["events"], "LastEvaluatedTableName": "events"}
    assert await caller.ok("ListTables", ExclusiveStartTableName="events") == {"TableNames": ["jobs"]}
    await fill_events(caller)
    table = (await caller.ok("DescribeTable", TableName="events"))["Table"]
    assert table["TableArn"] == f"arn:aws:dynamodb:{REGION}:123456789012:table/events"
    assert (table["ItemCount"], table["TableStatus"]) == (10, "ACTIVE")
    assert [index["ItemCount"] for index in table["GlobalSecondaryIndexes"]] == [5]
    by_arn = await caller.ok("DescribeTable", TableName=table["TableArn"])
    assert by_arn["Table"]["TableId"] == table["TableId"]
    assert (await caller.ok("DeleteTable", TableName="events"))["TableDescription"]["TableStatus"] == "DELETING"
    assert await caller.ok("ListTables") == {"TableNames": ["jobs"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"AttributeDefinitions": types(id="S", b="S")}, "Number of attributes in KeySchema does not exactly match"),
        ({"AttributeDefinitions": types(b="S")}, "Some index key attributes are not defined in AttributeDefinitions."),
        ({"KeySchema": schema("id", "b")}, "Invalid KeySchema: Some index key attribute have no definition"),
        ({"BillingMode": "PROVISIONED"}, "must both be specified when BillingMode is PROVISIONED"),
        ({"TableName": "a!"}, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        ({"TableName": "ab"}, "TableName must be at least 3 characters long and at most 255 characters long"),
        ({"StreamSpecification": {"StreamEnabled": True}}, "a stream enabled, UpdateViewType is required"),
        ({"GlobalSecondaryIndexes": []}, "List of GlobalSecondaryIndexes is empty"),
    ],
)
async def test_create_table_is_checked(changes: dict[str, Any], expected: str) -> None:
    """A schema that makes no sense is refused, and so is what is not served."""
    base: dict[str, Any] = {
        "TableName": "jobs",
        "KeySchema": schema("id"),
        "AttributeDefinitions": types(id="S"),
        "BillingMode": "PAY_PER_REQUEST",
    }
    code, message = await Caller().error("CreateTable", **{**base, **changes})
    assert code == "ValidationException"
    assert expected in message


async def test_wire_carries_checksum_and_content_type() -> None:
    """Every answer has the CRC32 of its body, which SDKs verify."""
    answer = await Caller().send("ListTables", b"{}")
    assert isinstance(answer.body, bytes)
    assert answer.headers == {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-crc32": str(zlib.crc32(answer.body)),
    }


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        ("Nonsense", b"{}", "UnknownOperationException"),
        ("ExecuteStatement", b"{}", "UnknownOperationException"),
        ("GetItem", b"{", "SerializationException"),
        ("GetItem", b"[]", "SerializationException"),
        ("GetItem", b"[" * 100_000, "SerializationException"),
        ("GetItem", b'{"TableName": 1}', "SerializationException"),
        ("GetItem", b"{}", "ValidationException"),
    ],
)
async def test_malformed_requests_are_answers(operation: str, body: bytes, code: str) -> None:
    """Nothing that comes over the wire is an exception of ours."""
    answer = await Caller().send(operation, body)
    assert isinstance(answer.body, bytes)
    assert (answer.status, json.loads(answer.body)["__type"].rpartition("#")[2]) == (400, code)


def test_permissions_name_actions_and_arns() -> None:
    """Each operation needs its action on its table, index or every table that it touches."""
    service = DynamoService(SystemClock())
    arn = f"arn:aws:dynamodb:{REGION}:123456789012:table/"

    def needed(operation: str, **request: Any) -> list[tuple[str, str]]:
        found = service.permissions(wire_request(operation, json.dumps(request).encode()))
        return [(permission.action, permission.resource) for permission in found]

    assert needed("PutItem", TableName="a") == [("dynamodb:PutItem", f"{arn}a")]
    assert needed("PutItem", TableName=f"{arn}a") == [("dynamodb:PutItem", f"{arn}a")]
    assert needed("Query", TableName="a", IndexName="i") == [("dynamodb:Query", f"{arn}a/index/i")]
    assert needed("BatchGetItem", RequestItems={"a": {}, "b": {}}) == [
        ("dynamodb:BatchGetItem", f"{arn}a"),
        ("dynamodb:BatchGetItem", f"{arn}b"),
    ]
    items = [{"Put": {"TableName": "a"}}, {"ConditionCheck": {"TableName": "b"}}, {"Put": {"TableName": "a"}}]
    assert needed("TransactWriteItems", TransactItems=items) == [
        ("dynamodb:PutItem", f"{arn}a"),
        ("dynamodb:ConditionCheckItem", f"{arn}b"),
    ]
    assert needed("ListTables") == [("dynamodb:ListTables", "*")]
    assert service.permissions(wire_request("PutItem", b"{")) == ()
    assert service.permissions(wire_request("Nonsense", b"{}")) == ()


def table_resource(**properties: Any) -> Resource:
    context = StackContext("stack", REGION, "123456789012", "aws", Path())
    return Resource("JobsTable", "AWS::DynamoDB::Table", properties, context)


async def test_template_makes_and_unmakes_a_table() -> None:
    """The template's table has a stable name, its time to live and an ARN; the ledger refuses Kinesis."""
    service = DynamoService(SystemClock())
    handler = TableHandler(service.database)
    resource = table_resource(
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=types(job_id="S"),
        KeySchema=schema("job_id"),
        TimeToLiveSpecification={"AttributeName": "expires_s", "Enabled": "true"},
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    physical = await handler.create(resource)
    assert physical.ref.startswith("stack-JobsTable-")
    assert physical.attributes["Arn"] == f"arn:aws:dynamodb:{REGION}:123456789012:table/{physical.ref}"
    caller = Caller(service)
    ttl = await caller.ok("DescribeTimeToLive", TableName=physical.ref)
    assert ttl["TimeToLiveDescription"]["AttributeName"] == "expires_s"
    await handler.delete(resource, physical)
    assert await caller.ok("ListTables") == {"TableNames": []}
    assert handler.properties["KinesisStreamSpecification"].support is Support.REFUSED


async def test_template_error_names_the_resource() -> None:
    """A schema that makes no sense is told with the resource's path."""
    handler = TableHandler(DynamoService(SystemClock()).database)
    resource = table_resource(AttributeDefinitions=types(a="S"), KeySchema=schema("b"), BillingMode="PAY_PER_REQUEST")
    with pytest.raises(TemplateError, match=r"^JobsTable\.Properties: .*not defined in AttributeDefinitions"):
        await handler.create(resource)
