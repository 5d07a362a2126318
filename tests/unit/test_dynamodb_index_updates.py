"""UpdateTable's index updates: a global index is made and deleted on a table in use, with the states of AWS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.dynamodb.index_states import BACKFILL_S, PHASE_S
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from tests.unit.dynamodb_caller import REGION, Caller, table_request

KIND = [{"AttributeName": "kind", "AttributeType": "S"}]
BY_KIND = {
    "IndexName": "by_kind",
    "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}
UNITS = {"ReadCapacityUnits": 2, "WriteCapacityUnits": 3}


def change(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"TableName": "things", "GlobalSecondaryIndexUpdates": list(actions), **more}


async def query(caller: Caller, kind: str = "a") -> list[str]:
    answer = await caller.ok("Query", **query_request(kind))
    return [item["pk"]["S"] for item in answer["Items"]]


def query_request(kind: str = "a") -> dict[str, Any]:
    return {
        "TableName": "things",
        "IndexName": "by_kind",
        "KeyConditionExpression": "kind = :k",
        "ExpressionAttributeValues": {":k": {"S": kind}},
    }


async def make(caller: Caller) -> None:
    await caller.ok("UpdateTable", **change({"Create": BY_KIND}, AttributeDefinitions=KIND))


async def states(caller: Caller) -> tuple[str, Any, Any]:
    table = await caller.describe()
    found: list[dict[str, Any]] = table.get("GlobalSecondaryIndexes") or [{}]
    (index,) = found
    return table["TableStatus"], index.get("IndexStatus"), index.get("Backfilling")


def test_an_index_is_made_on_items_that_are_there() -> None:
    """It is CREATING, Backfilling, then ACTIVE with the old items and those written meanwhile; violations stay out."""

    async def run() -> None:
        caller = Caller()
        await caller.ok("CreateTable", **table_request())
        await caller.put("1", kind="a")
        await caller.put("2", kind={"N": "5"})
        await caller.put("3", kind="")
        await caller.put("4", kind="x" * 2049)
        await make(caller)
        assert await states(caller) == ("UPDATING", "CREATING", False)
        await caller.put("5", kind="a")
        assert await caller.refused("Query", **query_request()) == (
            "ValidationException",
            "Cannot read from backfilling global secondary index: by_kind",
        )
        await asyncio.sleep(PHASE_S)
        assert await states(caller) == ("ACTIVE", "CREATING", True)
        assert (await caller.refused("Query", **query_request()))[0] == "ValidationException"
        await asyncio.sleep(BACKFILL_S)
        assert await states(caller) == ("ACTIVE", "ACTIVE", None)
        assert sorted(await query(caller)) == ["1", "5"]
        (index,) = (await caller.describe())["GlobalSecondaryIndexes"]
        assert index["ItemCount"] == 2
        wrong = {"pk": {"S": "6"}, "sk": {"S": "1"}, "kind": {"N": "1"}}
        assert (await caller.refused("PutItem", TableName="things", Item=wrong))[1].endswith(
            "Type mismatch for Index Key kind Expected: S Actual: N IndexName: by_kind"
        )
        await caller.put("2", kind="a")
        await caller.ok("DeleteItem", TableName="things", Key={"pk": {"S": "3"}, "sk": {"S": "1"}})
        assert sorted(await query(caller)) == ["1", "2", "5"]

    run_virtual(run)


def test_an_index_is_deleted() -> None:
    """It is DELETING for a while and cannot be read at once; its attribute's definition goes with it."""

    async def run() -> None:
        caller = Caller()
        await caller.ok("CreateTable", **table_request())
        await make(caller)
        await asyncio.sleep(PHASE_S + BACKFILL_S)
        answer = await caller.ok("UpdateTable", **change({"Delete": {"IndexName": "by_kind"}}))
        (index,) = answer["TableDescription"]["GlobalSecondaryIndexes"]
        assert (answer["TableDescription"]["TableStatus"], index["IndexStatus"]) == ("UPDATING", "DELETING")
        assert await caller.refused("Query", **query_request()) == (
            "ValidationException",
            "The table does not have the specified index: by_kind",
        )
        await asyncio.sleep(PHASE_S)
        table = await caller.describe()
        assert ("GlobalSecondaryIndexes" in table, table["TableStatus"]) == (False, "ACTIVE")
        assert [each["AttributeName"] for each in table["AttributeDefinitions"]] == ["pk", "sk"]
        await make(caller)

    run_virtual(run)


def test_one_thing_at_a_time() -> None:
    """A table that is UPDATING is in use; while one index is backfilling no other one comes, but it may go itself."""

    async def run() -> None:
        caller = Caller()
        await caller.ok("CreateTable", **table_request())
        other = {**BY_KIND, "IndexName": "by_other"}
        both = change({"Create": BY_KIND}, {"Create": other}, AttributeDefinitions=KIND)
        one_only = (
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
        assert await caller.refused("UpdateTable", **both) == one_only
        await make(caller)
        in_use = (
            "ResourceInUseException",
            "Attempt to change a resource which is still in use: Table is being updated: things",
        )
        assert await caller.refused("UpdateTable", **change({"Create": other})) == in_use
        assert await caller.refused("DeleteTable", TableName="things") == in_use
        await asyncio.sleep(PHASE_S)
        assert await caller.refused("UpdateTable", **change({"Create": other})) == one_only
        await caller.ok("UpdateTable", **change({"Delete": {"IndexName": "by_kind"}}))

    run_virtual(run)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (change(), "ValidationException", "Member must have length greater than or equal to 1"),
        (change({}), "ValidationException", "Only one of CreateAction, UpdateAction or DeleteAction"),
        (change({"Delete": {"IndexName": "none"}}), "ResourceNotFoundException", "Requested resource not found"),
        (change({"Delete": {"IndexName": "by_day"}}), "ResourceNotFoundException", "Requested resource not found"),
        (change({"Create": BY_KIND}), "ValidationException", "Some index key attributes are not defined"),
        (
            change({"Create": {**BY_KIND, "IndexName": "by_sk"}}, AttributeDefinitions=KIND),
            "ValidationException",
            "Attempting to create an index which already exists",
        ),
        (
            change(
                {"Create": BY_KIND},
                AttributeDefinitions=[*KIND, {"AttributeName": "unused", "AttributeType": "S"}],
            ),
            "ValidationException",
            "Some AttributeDefinitions are not used",
        ),
        (
            change({"Create": BY_KIND}, AttributeDefinitions=[*KIND, {"AttributeName": "pk", "AttributeType": "N"}]),
            "ValidationException",
            "Attribute pk is defined as S and cannot be redefined as N",
        ),
        (
            change({"Create": {**BY_KIND, "ProvisionedThroughput": UNITS}}, AttributeDefinitions=KIND),
            "ValidationException",
            "ProvisionedThroughput should not be specified for index: by_kind",
        ),
        (
            change({"Update": {"IndexName": "by_sk", "ProvisionedThroughput": UNITS}}),
            "ValidationException",
            "when BillingMode is PAY_PER_REQUEST",
        ),
        (change({"Create": {**BY_KIND, "IndexName": "x"}}), "ValidationException", "greater than or equal to 3"),
        (change({"Create": {**BY_KIND, "IndexName": "a b c"}}), "ValidationException", "[a-zA-Z0-9_.-]+"),
        (
            change({"Create": {**BY_KIND, "WarmThroughput": {}}}, AttributeDefinitions=KIND),
            "ValidationException",
            "does not serve the parameter WarmThroughput",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    request_: dict[str, Any], code: str, message: str
) -> None:
    """Each in AWS's words, before anything is changed."""
    caller = Caller()
    by_sk = {**BY_KIND, "IndexName": "by_sk", "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}]}
    by_day = {
        **BY_KIND,
        "IndexName": "by_day",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
    }
    definitions = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "day")]
    await caller.ok(
        "CreateTable",
        **table_request(
            AttributeDefinitions=definitions, GlobalSecondaryIndexes=[by_sk], LocalSecondaryIndexes=[by_day]
        ),
    )
    before = await caller.describe()
    found = await caller.refused("UpdateTable", **request_)
    assert (found[0], message in found[1]) == (code, True), found
    assert await caller.describe() == before


async def test_an_index_has_a_capacity_of_its_own() -> None:
    """A provisioned table's index brings its own units, is given others alone, and loses them on demand."""
    caller = Caller()
    provisioned = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {**UNITS, "ReadCapacityUnits": 7}}
    definitions = [*table_request()["AttributeDefinitions"], *KIND]
    request = table_request(**provisioned, AttributeDefinitions=definitions)
    assert await caller.refused("CreateTable", **request, GlobalSecondaryIndexes=[BY_KIND]) == (
        "ValidationException",
        "One or more parameter values were invalid: ProvisionedThroughput must be specified for index: by_kind",
    )
    await caller.ok("CreateTable", **request, GlobalSecondaryIndexes=[{**BY_KIND, "ProvisionedThroughput": UNITS}])

    async def units() -> tuple[int, int]:
        table = await caller.describe()
        owners = (table, table["GlobalSecondaryIndexes"][0])
        reads = [each["ProvisionedThroughput"]["ReadCapacityUnits"] for each in owners]
        return reads[0], reads[1]

    assert await units() == (7, 2)
    update = {"Update": {"IndexName": "by_kind", "ProvisionedThroughput": {**UNITS, "ReadCapacityUnits": 9}}}
    await caller.ok("UpdateTable", **change(update))
    assert await units() == (7, 9)
    assert (await caller.refused("UpdateTable", **change(update)))[1].startswith(
        "The provisioned throughput for the index by_kind will not change."
    )
    await caller.ok("UpdateTable", TableName="things", BillingMode="PAY_PER_REQUEST")
    assert await units() == (0, 0)
    back = {"TableName": "things", **provisioned}
    assert (await caller.refused("UpdateTable", **back))[1].endswith("must be specified for index: by_kind")
    await caller.ok("UpdateTable", **back, GlobalSecondaryIndexUpdates=[update])
    assert await units() == (7, 9)


async def test_an_index_is_kept_with_its_units_and_a_changed_template_changes_it(tmp_path: Any) -> None:
    """After a restart the index answers; a template with another global index fills that one from the kept items."""
    caller = Caller()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    await caller.ok("CreateTable", **table_request())
    await caller.put("1", kind="a")
    await make(caller)
    caller.service.close()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    assert await query(caller) == ["1"]
    properties = {
        **table_request(),
        "AttributeDefinitions": [
            *table_request()["AttributeDefinitions"],
            {"AttributeName": "day", "AttributeType": "S"},
        ],
        "GlobalSecondaryIndexes": [
            {**BY_KIND, "IndexName": "by_day", "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}]}
        ],
    }
    await caller.put("2", day="monday")
    await caller.make(properties)
    (index,) = (await caller.describe())["GlobalSecondaryIndexes"]
    assert (index["IndexName"], index["ItemCount"], index["IndexStatus"]) == ("by_day", 1, "ACTIVE")
    assert caller.service.database(REGION).table("things").records.keys() == {("1", "1"), ("2", "1")}
    caller.service.close()


async def test_the_units_of_an_index_outlive_the_process(tmp_path: Any) -> None:
    """After a restart a provisioned index has its own capacity, not the table's."""
    caller = Caller()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    request = table_request(
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 7, "WriteCapacityUnits": 7},
        AttributeDefinitions=[*table_request()["AttributeDefinitions"], *KIND],
        GlobalSecondaryIndexes=[{**BY_KIND, "ProvisionedThroughput": UNITS}],
    )
    await caller.ok("CreateTable", **request)
    before = await caller.describe()
    caller.service.close()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    assert await caller.describe() == before
    (index,) = before["GlobalSecondaryIndexes"]
    assert index["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **UNITS}
    caller.service.close()
