"""A table that throttles, and one whose global indexes see writes later: both asked for in the template's metadata."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.dynamodb.throttling import BURST_S, ON_DEMAND_UNITS
from localcloud.template.errors import TemplateError
from tests.unit.dynamodb_caller import ARN, Caller, table_request

THROTTLE = {"Sluiceway": {"Throttle": True}}
EXCEEDED = "ProvisionedThroughputExceededException"
ITEM = {"pk": {"S": "a"}, "sk": {"S": "1"}}
KEY = {"TableName": "things", "Key": ITEM}


def properties(reads: int = 1, writes: int = 1, index_writes: int = 0, **more: Any) -> dict[str, Any]:
    """A provisioned table, with a global index `by_kind` where that has units."""
    found = table_request(
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": reads, "WriteCapacityUnits": writes},
        **more,
    )
    if index_writes:
        found["AttributeDefinitions"] = [
            *found["AttributeDefinitions"],
            {"AttributeName": "kind", "AttributeType": "S"},
        ]
        found["GlobalSecondaryIndexes"] = [
            {
                "IndexName": "by_kind",
                "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": index_writes},
            }
        ]
    return found


async def spend(caller: Caller, operation: str, **request: Any) -> int:
    """Send a request until it is throttled: how many went through."""
    for number in range(1000):
        status, body = await caller.call(operation, **request)
        if status != 200:
            assert body["__type"].endswith(EXCEEDED), body
            return number
    raise AssertionError("nothing was throttled")


def test_nothing_is_throttled_unless_the_template_says_so() -> None:
    """A table of one unit takes a thousand writes at once without the option."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties())
        for _ in range(1000):
            await caller.put("a")

    run_virtual(run)


def test_a_second_gives_its_units_and_five_minutes_are_kept() -> None:
    """Two units a second serve two writes at once; after a long rest 600, and no more; a refusal says of what."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(writes=2), THROTTLE)
        write = {"TableName": "things", "Item": ITEM}
        assert await spend(caller, "PutItem", **write) == 2
        await asyncio.sleep(1.5)
        assert await spend(caller, "PutItem", **write) == 3
        await asyncio.sleep(10 * BURST_S)
        assert await spend(caller, "PutItem", **write) == 2 * BURST_S
        _, body = await caller.call("PutItem", **write)
        assert body["message"] == (
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your "
            "provisioning level with the UpdateTable API."
        )
        assert body["ThrottlingReasons"] == [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": ARN}]

    run_virtual(run)


def test_reads_have_a_bucket_of_their_own_and_pay_by_size() -> None:
    """Half a unit for an eventual read of 4 KB, one for a strong one; a large scan leaves a debt to be waited for."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(reads=5, writes=300), THROTTLE)
        await caller.put("a", text="x" * 200_000)
        assert await spend(caller, "GetItem", **KEY) == 1  # 24.5 units
        for _ in range(40):
            await asyncio.sleep(1)
        await caller.ok("DeleteItem", **KEY)
        await caller.put("a")
        before = await spend(caller, "GetItem", **KEY, ConsistentRead=True)
        await asyncio.sleep(10)
        assert await spend(caller, "GetItem", **KEY, ConsistentRead=True) == 50
        await asyncio.sleep(10)
        assert await spend(caller, "GetItem", **KEY) == 99  # half a unit had been borrowed
        await asyncio.sleep(10)
        assert await spend(caller, "Scan", TableName="things") == 100
        assert before > 100

    run_virtual(run)


def test_a_global_index_that_is_full_refuses_the_write() -> None:
    """The write to the table is refused whole, naming the index; items that are not in the index go on."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(writes=100, index_writes=1), THROTTLE)
        await caller.put("a", kind="k")
        await caller.put("a", kind="k")  # which changes nothing in the index
        _, body = await caller.call("PutItem", TableName="things", Item={**ITEM, "kind": {"S": "other"}})
        assert body["ThrottlingReasons"] == [
            {"reason": "IndexWriteProvisionedThroughputExceeded", "resource": f"{ARN}/index/by_kind"}
        ]
        assert (await caller.ok("GetItem", **KEY))["Item"]["kind"] == {"S": "k"}
        await caller.put("b")
        by_kind = {"IndexName": "by_kind", "TableName": "things"}
        assert await spend(caller, "Scan", **by_kind) == 2
        await caller.ok("Scan", TableName="things")

    run_virtual(run)


def test_a_local_index_is_paid_by_the_table() -> None:
    """A write that changes an entry of a local index takes a unit more out of the table's bucket."""

    async def run() -> None:
        caller = Caller()
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}]
        by_day = {"IndexName": "by_day", "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}
        table = properties(writes=4, LocalSecondaryIndexes=[by_day])
        table["AttributeDefinitions"] = [
            *table["AttributeDefinitions"],
            {"AttributeName": "day", "AttributeType": "S"},
        ]
        await caller.make(table, THROTTLE)
        for number in range(2):
            await caller.put("a", str(number), day="monday")
        assert (await caller.refused("PutItem", TableName="things", Item=ITEM))[0] == EXCEEDED

    run_virtual(run)


def test_a_condition_that_fails_pays_too() -> None:
    """A write whose condition does not hold uses a unit, as on AWS."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(writes=3), THROTTLE)
        never = {"TableName": "things", "Item": ITEM, "ConditionExpression": "attribute_exists(pk)"}
        codes = [(await caller.refused("PutItem", **never))[0] for _ in range(4)]
        assert codes == ["ConditionalCheckFailedException"] * 3 + [EXCEEDED]

    run_virtual(run)


def test_a_batch_leaves_what_is_throttled_unprocessed() -> None:
    """What has no capacity comes back; where nothing had any, the batch is refused."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(reads=2, writes=3), THROTTLE)
        puts = [{"PutRequest": {"Item": {**ITEM, "sk": {"S": str(number)}}}} for number in range(5)]
        batch = {"RequestItems": {"things": puts}}
        answer = await caller.ok("BatchWriteItem", **batch)
        assert answer["UnprocessedItems"] == {"things": puts[3:]}
        assert (await caller.refused("BatchWriteItem", **batch))[0] == EXCEEDED
        keys = [{**ITEM, "sk": {"S": str(number)}} for number in range(5)]
        gets = {"RequestItems": {"things": {"Keys": keys, "ConsistentRead": True}}}
        answer = await caller.ok("BatchGetItem", **gets)
        assert len(answer["Responses"]["things"]) == 2
        assert answer["UnprocessedKeys"] == {"things": {"Keys": keys[2:], "ConsistentRead": True}}
        assert (await caller.refused("BatchGetItem", **gets))[0] == EXCEEDED

    run_virtual(run)


def test_a_transaction_is_cancelled_with_the_reason() -> None:
    """It costs twice as much, and writes nothing where one of its writes is throttled; likewise a reading one."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(reads=1, writes=2), THROTTLE)
        puts = [{"Put": {"TableName": "things", "Item": {**ITEM, "sk": {"S": str(number)}}}} for number in range(2)]
        status, body = await caller.call("TransactWriteItems", TransactItems=puts)
        assert (status, [reason["Code"] for reason in body["CancellationReasons"]]) == (
            400,
            ["None", "ProvisionedThroughputExceeded"],
        )
        assert (await caller.describe())["ItemCount"] == 0
        get = {"Get": KEY}
        other = {"Get": {**KEY, "Key": {**ITEM, "pk": {"S": "b"}}}}
        status, body = await caller.call("TransactGetItems", TransactItems=[get, other])
        assert (status, [reason["Code"] for reason in body["CancellationReasons"]]) == (
            400,
            ["None", "ProvisionedThroughputExceeded"],
        )

    run_virtual(run)


def test_an_on_demand_table_has_what_a_new_one_has() -> None:
    """4,000 writes a second; then a ThrottlingException of the key range."""

    async def run() -> None:
        caller = Caller()
        await caller.make(table_request(), THROTTLE)
        item = {**ITEM, "text": {"S": "x" * 399_000}}
        for _ in range(ON_DEMAND_UNITS[1] // 390 + 1):
            await caller.ok("PutItem", TableName="things", Item=item)
        _, body = await caller.call("PutItem", TableName="things", Item=item)
        assert body["__type"].endswith("#ThrottlingException")
        assert body["throttlingReasons"] == [{"reason": "TableWriteKeyRangeThroughputExceeded", "resource": ARN}]
        await asyncio.sleep(BURST_S)  # of which a second is kept
        for _ in range(ON_DEMAND_UNITS[1] // 390 + 1):
            await caller.ok("PutItem", TableName="things", Item=item)
        assert (await caller.refused("PutItem", TableName="things", Item=item))[0] == "ThrottlingException"

    run_virtual(run)


def test_other_capacity_counts_at_once() -> None:
    """UpdateTable gives more, and takes away what was saved beyond the new burst."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(writes=4), THROTTLE)
        await asyncio.sleep(2 * BURST_S)
        units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
        await caller.ok("UpdateTable", TableName="things", ProvisionedThroughput=units)
        assert await spend(caller, "PutItem", TableName="things", Item=ITEM) == BURST_S
        await caller.ok("UpdateTable", TableName="things", ProvisionedThroughput={**units, "WriteCapacityUnits": 50})
        await asyncio.sleep(1)
        assert await spend(caller, "PutItem", TableName="things", Item=ITEM) == 50

    run_virtual(run)


def test_a_slow_global_index_shows_a_write_later() -> None:
    """The table has it at once; the index has the old item, as it was, until the delay is over, write by write."""

    async def run() -> None:
        caller = Caller()
        await caller.make(properties(index_writes=1), {"Sluiceway": {"IndexDelay": 2.5}})

        async def seen() -> list[tuple[str, str]]:
            answer = await caller.ok("Scan", TableName="things", IndexName="by_kind")
            return sorted((item["pk"]["S"], item["kind"]["S"]) for item in answer["Items"])

        await caller.put("a", kind="x")
        assert await seen() == []
        await asyncio.sleep(1)
        await caller.put("a", kind="y")
        await caller.put("b", kind="x")
        await asyncio.sleep(1.5)
        assert await seen() == [("a", "x")]
        assert (await caller.ok("GetItem", **KEY))["Item"]["kind"] == {"S": "y"}
        await caller.ok("DeleteItem", **KEY)
        await asyncio.sleep(1)
        assert await seen() == [("a", "y"), ("b", "x")]
        (index,) = (await caller.describe())["GlobalSecondaryIndexes"]
        assert index["ItemCount"] == 2
        await asyncio.sleep(1.5)
        assert await seen() == [("b", "x")]

    run_virtual(run)


@pytest.mark.parametrize(
    ("options", "where", "detail"),
    [
        ({"Throtle": True}, "Things.Metadata.Sluiceway.Throtle", "is no option of a table"),
        ({"Throttle": "perhaps"}, "Things.Metadata.Sluiceway.Throttle", "must be true or false"),
        ({"IndexDelay": -1}, "Things.Metadata.Sluiceway.IndexDelay", "0"),
        ({"IndexDelay": 1e9}, "Things.Metadata.Sluiceway.IndexDelay", "300"),
        ({"IndexDelay": "soon"}, "Things.Metadata.Sluiceway.IndexDelay", "must be a number"),
    ],
)
async def test_options_that_make_no_sense_are_refused(options: dict[str, Any], where: str, detail: str) -> None:
    """The error names the place in the template."""
    caller = Caller()
    with pytest.raises(TemplateError) as caught:
        await caller.make(properties(), {"Sluiceway": options})
    assert (caught.value.where, detail in caught.value.detail) == (where, True)
    assert caller.service.database("eu-west-1").names() == []
