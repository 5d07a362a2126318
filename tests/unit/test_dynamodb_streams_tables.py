"""Streams as a table's setting: CreateTable, UpdateTable, the template, and what a restart keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.services.dynamodb.resources import TableHandler
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.streams import SHARD_LIFE_S
from localcloud.template.errors import TemplateError
from localcloud.template.graph import build_graph
from localcloud.template.handler import Resource, StackContext, Support
from localcloud.template.ledger import Line, make_ledger
from localcloud.template.scope import Scope
from localcloud.template.stack import stack_context
from tests.unit.dynamodb_streams_setup import REGION, TABLE_ARN, World, create_request

INVALID = "One or more parameter values were invalid: "
KEYS_ONLY = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}


def units(reads: int, writes: int) -> dict[str, int]:
    return {"ReadCapacityUnits": reads, "WriteCapacityUnits": writes}


async def test_a_table_shows_its_stream() -> None:
    """CreateTable and DescribeTable show specification, label and ARN; without a stream there is none of them."""
    world = World()
    made = await world.create("NEW_IMAGE")
    shown = (await world.ok("DescribeTable", TableName="things"))["Table"]
    for table in (made, shown):
        assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        assert table["LatestStreamArn"] == f"{TABLE_ARN}/stream/{table['LatestStreamLabel']}"
    assert shown["LatestStreamLabel"] == "2027-01-15T08:00:00.000"
    other = World()
    plain = await other.create(None)
    assert {"StreamSpecification", "LatestStreamArn", "LatestStreamLabel"} & plain.keys() == set()
    off = create_request("off") | {"StreamSpecification": {"StreamEnabled": False}}
    assert "LatestStreamArn" not in (await other.ok("CreateTable", **off))["TableDescription"]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ({"StreamEnabled": True}, f"{INVALID}Table is being created with a stream enabled, UpdateViewType is required"),
        (
            {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"},
            f"{INVALID}Table is being created with a stream disabled, UpdateViewType should not be specified",
        ),
        ({"StreamViewType": "NEW_IMAGE"}, "Value null at 'streamSpecification.streamEnabled'"),
        ({"StreamEnabled": True, "StreamViewType": "ALL"}, "enum value set: [NEW_IMAGE, OLD_IMAGE, "),
    ],
)
async def test_create_table_checks_the_stream(stream: dict[str, Any], expected: str) -> None:
    """A specification that AWS refuses is refused in its words, and no table is made."""
    world = World()
    code, message = await world.error("CreateTable", **create_request("things"), StreamSpecification=stream)
    assert (code, expected in message) == ("ValidationException", True)
    assert (await world.ok("ListTables"))["TableNames"] == []


@pytest.mark.parametrize(
    ("has_stream", "request_", "expected"),
    [
        (True, {"StreamSpecification": KEYS_ONLY}, "Table already has an enabled stream: TableName: things"),
        (
            True,
            {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}},
            "Table already has an enabled stream: TableName: things",
        ),
        (
            False,
            {"StreamSpecification": {"StreamEnabled": False}},
            "Table has no stream to disable: TableName: things",
        ),
        (
            False,
            {"StreamSpecification": {"StreamEnabled": True}},
            f"{INVALID}If stream is being enabled then UpdateViewType is required",
        ),
        (
            True,
            {"StreamSpecification": {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}},
            f"{INVALID}If stream is being disabled, then UpdateViewType must not be specified",
        ),
        (
            False,
            {
                "StreamSpecification": KEYS_ONLY,
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": units(1, 1),
            },
            f"{INVALID}You cannot modify stream status while updating table IOPS",
        ),
        (
            False,
            {"DeletionProtectionEnabled": True, "BillingMode": "PAY_PER_REQUEST"},
            f"{INVALID}DeletionProtection modification must be the only operation in the request",
        ),
        (
            False,
            {"BillingMode": "PROVISIONED"},
            f"{INVALID}ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        ),
        (
            False,
            {"ProvisionedThroughput": units(1, 1)},
            (
                f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
                "PAY_PER_REQUEST"
            ),
        ),
        (
            False,
            {"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": units(1, 1)},
            f"{INVALID}ProvisionedThroughput cannot be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (False, {"ProvisionedThroughput": {"ReadCapacityUnits": 1}}, "provisionedThroughput.writeCapacityUnits"),
        (False, {}, "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "),
        (
            False,
            {"AttributeDefinitions": create_request("things")["AttributeDefinitions"]},
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, ",
        ),
        (
            False,
            {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "x", "AttributeType": "S"}],
            },
            "The local cloud does not serve other AttributeDefinitions",
        ),
        (
            False,
            {"GlobalSecondaryIndexUpdates": []},
            "1 validation error detected: Value '[]' at 'globalSecondaryIndexUpdates'",
        ),
        (False, {"TableClass": "STANDARD"}, "The local cloud does not serve the parameter TableClass"),
    ],
)
async def test_update_table_refuses_in_awss_words(has_stream: bool, request_: dict[str, Any], expected: str) -> None:
    """What may not be changed, not so or not together, is refused and changes nothing."""
    world = World()
    await world.create("NEW_IMAGE" if has_stream else None)
    before = await world.ok("DescribeTable", TableName="things")
    code, message = await world.error("UpdateTable", TableName="things", **request_)
    assert (code, expected in message) == ("ValidationException", True), message
    assert await world.ok("DescribeTable", TableName="things") == before


async def test_update_table_of_a_table_that_is_not_there() -> None:
    """A missing table is named; the request's shape is checked before that."""
    world = World()
    assert await world.error("UpdateTable", TableName="gone", BillingMode="PAY_PER_REQUEST") == (
        "ResourceNotFoundException",
        "Requested resource not found: Table: gone not found",
    )
    code, _ = await world.error("UpdateTable", TableName="gone")
    assert code == "ValidationException"


async def test_billing_mode_and_throughput_change() -> None:
    """Capacity switches both ways and shows as on AWS; the same throughput again is an error, the same mode is none."""
    world = World()
    await world.create(None)
    world.clock.now += 10
    request = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 3)}
    answer = (await world.ok("UpdateTable", TableName="things", **request))["TableDescription"]
    assert answer["TableStatus"] == "UPDATING"
    shown = (await world.ok("DescribeTable", TableName="things"))["Table"]
    assert shown["TableStatus"] == "ACTIVE"
    assert shown["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(5, 3)}
    assert shown["BillingModeSummary"] == {
        "BillingMode": "PROVISIONED",
        "LastUpdateToPayPerRequestDateTime": shown["CreationDateTime"],
    }
    code, message = await world.error("UpdateTable", TableName="things", **request)
    assert code == "ValidationException"
    assert message == (
        "The provisioned throughput for the table will not change. The requested value equals the current value. "
        "Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. "
        "Current WriteCapacityUnits provisioned for the table: 3. Requested WriteCapacityUnits: 3. "
        "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    )
    await world.ok("UpdateTable", TableName="things", ProvisionedThroughput=units(6, 3))
    for _ in range(2):
        await world.ok("UpdateTable", TableName="things", BillingMode="PAY_PER_REQUEST")
    shown = (await world.ok("DescribeTable", TableName="things"))["Table"]
    assert shown["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(0, 0)}
    assert shown["BillingModeSummary"] == {
        "BillingMode": "PAY_PER_REQUEST",
        "LastUpdateToPayPerRequestDateTime": world.clock.now,
    }


async def test_a_table_with_a_global_index_needs_the_indexs_throughput_too() -> None:
    """Switching to PROVISIONED without the index's units names the index."""
    world = World()
    index = {
        "IndexName": "by_id",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    await world.create(None, GlobalSecondaryIndexes=[index])
    request = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 3)}
    _, message = await world.error("UpdateTable", TableName="things", **request)
    assert message == f"{INVALID}ProvisionedThroughput must be specified for index: by_id"


async def test_deletion_protection_changes_and_rests_fifteen_seconds() -> None:
    """Protection holds DeleteTable back; within 15 seconds of a change another is throttled, with the time to retry."""
    world = World()
    await world.create(None)
    answer = await world.ok("UpdateTable", TableName="things", DeletionProtectionEnabled=True)
    table = answer["TableDescription"]
    assert (table["DeletionProtectionEnabled"], table["TableStatus"]) == (True, "ACTIVE")
    code, _ = await world.error("DeleteTable", TableName="things")
    assert code == "ValidationException"
    world.clock.now += 14
    assert await world.error("UpdateTable", TableName="things", DeletionProtectionEnabled=False) == (
        "ThrottlingException",
        (
            "Deletion protection setting for table things modified within the previous 15000 milliseconds. "
            "Please try again after 2027-01-15T08:00:15.000Z."
        ),
    )
    world.clock.now += 1
    await world.ok("UpdateTable", TableName="things", DeletionProtectionEnabled=False)
    await world.ok("DeleteTable", TableName="things")


def table_resource(**properties: Any) -> Resource:
    context = StackContext("stack", REGION, "123456789012", "aws", Path())
    return Resource("Things", "AWS::DynamoDB::Table", {**create_request("things"), **properties}, context)


async def test_the_templates_stream() -> None:
    """StreamSpecification makes a stream with StreamArn as attribute; without it there is no such attribute."""
    world = World()
    handler = TableHandler(world.service.database)
    physical = await handler.create(table_resource(StreamSpecification={"StreamViewType": "OLD_IMAGE"}))
    assert physical.attributes == {"Arn": TABLE_ARN, "StreamArn": await world.stream_arn()}
    assert (await world.describe())["StreamViewType"] == "OLD_IMAGE"
    await handler.delete(table_resource(), physical)
    assert (await world.describe(StreamArn=physical.attributes["StreamArn"]))["StreamStatus"] == "DISABLED"
    assert (await handler.create(table_resource())).attributes == {"Arn": TABLE_ARN}
    for view_type in ({}, {"StreamViewType": "SOME"}):
        with pytest.raises(TemplateError, match="Things"):
            await TableHandler(World().service.database).create(table_resource(StreamSpecification=view_type))


def ledger_of(handler: TableHandler, **properties: Any) -> dict[str, Line]:
    """What the ledger says of a table's properties."""
    template = {"Resources": {"Things": {"Type": handler.type, "Properties": properties}}}
    scope = Scope(context=stack_context(Path()), parameters={}, conditions={})
    ledger = make_ledger(build_graph(template, scope), {handler.type: handler})
    return {line.property: line for line in ledger.of("Things") if line.property}


def test_the_ledger_says_what_a_kept_streams_records_are() -> None:
    """Served where nothing outlives the process, partial with `--persist`; other settings of a stream are refused."""
    database = World().service.database
    stream = {"StreamViewType": "KEYS_ONLY"}
    name = "StreamSpecification.StreamViewType"
    served = ledger_of(TableHandler(database), StreamSpecification=stream)
    assert {line.property: line.support for line in served.values()} == {name: Support.SERVED}
    kept = ledger_of(TableHandler(database, keeps=True), StreamSpecification=stream)
    assert (set(kept), kept[name].support) == ({name}, Support.PARTIAL)
    assert "records are not kept beyond the process" in kept[name].reason
    more = ledger_of(TableHandler(database), StreamSpecification={**stream, "ResourcePolicy": {"a": 1}})
    assert more["StreamSpecification.ResourcePolicy"].support is Support.REFUSED


def test_the_ledger_serves_indexes_and_refuses_their_other_settings() -> None:
    """A global index with name, keys and projection is served; what is not known of one is refused by name."""
    index = {
        "IndexName": "by_id",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    handler = TableHandler(World().service.database)
    served = ledger_of(handler, GlobalSecondaryIndexes=[index])
    assert {line.support for line in served.values()} == {Support.SERVED}
    more = ledger_of(handler, GlobalSecondaryIndexes=[{**index, "ContributorInsightsSpecification": {"Enabled": True}}])
    assert [line.property for line in more.values() if line.support is Support.REFUSED] == [
        "GlobalSecondaryIndexes.ContributorInsightsSpecification"
    ]


async def test_a_kept_stream_has_its_arn_again_and_no_old_record(tmp_path: Path) -> None:
    """After a restart the ARN is the same, the shard and its numbers are new and higher, and the records are gone."""
    first = World(store=Store(tmp_path))
    await first.create("KEYS_ONLY")
    await first.put("a")
    before = await first.describe()
    first.service.close()
    second = World(store=Store(tmp_path))
    second.clock.now += 5
    await second.put("b")
    after = await second.describe()
    assert (after["StreamArn"], after["StreamViewType"]) == (before["StreamArn"], "KEYS_ONLY")
    assert after["CreationRequestDateTime"] == before["CreationRequestDateTime"]
    assert after["Shards"][0]["ShardId"] > before["Shards"][0]["ShardId"]
    records = await second.records()
    assert [record["dynamodb"]["Keys"]["id"]["S"] for record in records] == ["b"]
    numbers = [stream["Shards"][0]["SequenceNumberRange"]["StartingSequenceNumber"] for stream in (before, after)]
    assert int(numbers[0]) + 1 < int(numbers[1])
    second.service.close()


async def test_updates_and_a_disabled_stream_are_kept(tmp_path: Path) -> None:
    """A disabled stream's label, the billing mode and deletion protection are there after a restart."""
    first = World(store=Store(tmp_path))
    await first.create("KEYS_ONLY")
    await first.ok("UpdateTable", TableName="things", StreamSpecification={"StreamEnabled": False})
    request = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(5, 3)}
    await first.ok("UpdateTable", TableName="things", **request)
    await first.ok("UpdateTable", TableName="things", DeletionProtectionEnabled=True)
    before = await first.ok("DescribeTable", TableName="things")
    first.service.close()
    second = World(store=Store(tmp_path))
    assert await second.ok("DescribeTable", TableName="things") == before
    assert (await second.ok("ListStreams"))["Streams"] == []
    second.service.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [("KEYS_ONLY", "KEYS_ONLY"), ("KEYS_ONLY", "NEW_IMAGE"), (None, "NEW_IMAGE"), ("NEW_IMAGE", None)],
)
async def test_a_kept_table_takes_the_templates_stream(tmp_path: Path, before: str | None, after: str | None) -> None:
    """The same view type keeps the stream; another one, or none any more, ends it and begins what is wanted."""

    def resource(view_type: str | None) -> Resource:
        return table_resource(**({"StreamSpecification": {"StreamViewType": view_type}} if view_type else {}))

    first = World(store=Store(tmp_path))
    old = await TableHandler(first.service.database, keeps=True).create(resource(before))
    first.service.close()
    second = World(store=Store(tmp_path))
    second.clock.now += SHARD_LIFE_S
    new = await TableHandler(second.service.database, keeps=True).create(resource(after))
    table = (await second.ok("DescribeTable", TableName="things"))["Table"]
    view_type = table.get("StreamSpecification", {}).get("StreamViewType")
    assert (view_type, new.attributes.get("StreamArn") is None) == (after, after is None)
    assert (new.attributes.get("StreamArn") == old.attributes.get("StreamArn")) is (before == after)
    second.service.close()
