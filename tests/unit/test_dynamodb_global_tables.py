"""How global tables are made and unmade: UpdateTable, the template, permissions, and what a restart keeps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.contract import Permission
from localcloud.services.dynamodb.global_resources import GlobalTableHandler
from localcloud.services.dynamodb.global_tables import SOURCE_PAUSE_S
from localcloud.services.dynamodb.store import Store
from localcloud.template.errors import TemplateError
from localcloud.template.graph import build_graph
from localcloud.template.handler import Resource, StackContext, Support
from localcloud.template.ledger import make_ledger
from localcloud.template.scope import Scope
from localcloud.template.stack import stack_context
from tests.unit.dynamodb_global_setup import STREAM, A, B, C, Regions
from tests.unit.dynamodb_streams_setup import create_request, wire_request

INVALID = "One or more parameter values were invalid: "
LOCAL = "Cannot add, delete, or update the local region through ReplicaUpdates."
MISSING = "Replica specified in the Replica Update or Replica Delete action of the request was not found."
RANGE = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "r", "AttributeType": "S"},
        {"AttributeName": "l", "AttributeType": "S"},
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-l",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


def creates(*regions: str) -> dict[str, Any]:
    return {"ReplicaUpdates": [{"Create": {"RegionName": region}} for region in regions]}


def deletes(*regions: str) -> dict[str, Any]:
    return {"ReplicaUpdates": [{"Delete": {"RegionName": region}} for region in regions]}


def strong(*regions: str, witness: str | None = None) -> dict[str, Any]:
    more = {"GlobalTableWitnessUpdates": [{"Create": {"RegionName": witness}}]} if witness else {}
    return {**creates(*regions), "MultiRegionConsistency": "STRONG", **more}


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, creates(A), LOCAL),
    ({}, deletes(A), LOCAL),
    ({}, creates(B, B), f"{INVALID}a Region is named twice"),
    ({}, creates("nowhere"), "Region nowhere is not supported"),
    ({}, deletes(B), MISSING),
    ({}, {"ReplicaUpdates": []}, "1 validation error detected"),
    ({}, {"ReplicaUpdates": [{}]}, f"{INVALID}each of ReplicaUpdates holds one of"),
    ({}, {"ReplicaUpdates": [{"Create": {}}]}, "1 validation error detected: Value null at"),
    ({}, {"ReplicaUpdates": [{"Create": {"RegionName": B}}, {"Delete": {"RegionName": C}}]}, f"{INVALID}replicas"),
    ({}, {"ReplicaUpdates": [{"Update": {"RegionName": B}}]}, "The local cloud does not serve settings of a"),
    (
        {},
        {"ReplicaUpdates": [{"Create": {"RegionName": B, "KMSMasterKeyId": "k"}}]},
        "The local cloud does not serve the parameter KMSMasterKeyId",
    ),
    ({}, {**creates(B), "BillingMode": "PAY_PER_REQUEST"}, "The local cloud does not serve the parameter Billing"),
    ({}, {"MultiRegionConsistency": "STRONG"}, f"{INVALID}a witness is added or removed together"),
    ({}, {**creates(B), "MultiRegionConsistency": "SOME"}, "1 validation error detected: Value 'SOME'"),
    (
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}},
        creates(B),
        "A replica's stream needs StreamViewType NEW_AND_OLD_IMAGES, but the table has one of NEW_IMAGE",
    ),
    ({}, {**creates(B), "GlobalTableWitnessUpdates": [{"Create": {"RegionName": C}}]}, f"{INVALID}a witness needs"),
    ({}, strong(B), f"{INVALID}a global table with multi-Region strong consistency has exactly three"),
    ({}, strong(B, C, witness="eu-west-1"), f"{INVALID}a global table with multi-Region strong consistency has"),
    ({}, strong(B, witness=B), f"{INVALID}a global table with multi-Region strong consistency has exactly three"),
    ({}, strong(B, "us-west-1"), f"{INVALID}multi-Region strong consistency needs three Regions of one set"),
    ({}, strong("eu-west-1", "eu-west-2"), f"{INVALID}multi-Region strong consistency needs three Regions of one"),
    (RANGE, strong(B, C), f"{INVALID}multi-Region strong consistency needs a table without local secondary"),
]


def test_describe_table_shows_the_other_replicas() -> None:
    """Version, consistency and the other Regions; each replica has its own ARN and stream, and the same keys."""

    async def main() -> None:
        world = Regions()
        await world.table(B, C, Tags=[{"Key": "k", "Value": "v"}])
        for region, others in ((A, [B, C]), (B, [A, C]), (C, [A, B])):
            table = (await world.call(region, "DescribeTable", TableName="things"))["Table"]
            assert table["Replicas"] == [{"RegionName": other, "ReplicaStatus": "ACTIVE"} for other in others]
            assert (table["GlobalTableVersion"], table["MultiRegionConsistency"]) == ("2019.11.21", "EVENTUAL")
            assert table["TableArn"] == f"arn:aws:dynamodb:{region}:123456789012:table/things"
            assert table["LatestStreamArn"].startswith(table["TableArn"])
            assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"

    run_virtual(main)


@pytest.mark.parametrize(
    ("made", "asked", "expected"),
    REFUSALS,
)
def test_what_is_refused_changes_nothing(made: dict[str, Any], asked: dict[str, Any], expected: str) -> None:
    """Every refusal is a ValidationException that says why; the table stays in its Region."""

    async def main() -> None:
        world = Regions()
        given = {**create_request("things"), **STREAM, **made}
        await world.call(A, "CreateTable", **{name: value for name, value in given.items() if value is not None})
        before = await world.call(A, "DescribeTable", TableName="things")
        code, message = await world.refusal(A, "UpdateTable", TableName="things", **asked)
        assert (code, message[: len(expected)]) == ("ValidationException", expected)
        assert await world.call(A, "DescribeTable", TableName="things") == before
        for region in (B, C):
            assert (await world.call(region, "ListTables"))["TableNames"] == []

    run_virtual(main)


def test_a_strong_table_must_be_empty_and_has_no_time_to_live() -> None:
    """Items and time to live are in the way of strong consistency, and time to live stays refused after it."""

    async def main() -> None:
        world = Regions()
        await world.table()
        ttl, no_ttl = (
            {"TableName": "things", "TimeToLiveSpecification": {"AttributeName": "at", "Enabled": is_enabled}}
            for is_enabled in (True, False)
        )
        await world.put(A, "k", "1")
        _, message = await world.refusal(A, "UpdateTable", TableName="things", **strong(B, C))
        assert message == f"{INVALID}multi-Region strong consistency needs an empty table"
        await world.delete(A, "k")
        await world.call(A, "UpdateTimeToLive", **ttl)
        _, message = await world.refusal(A, "UpdateTable", TableName="things", **strong(B, C))
        assert message == f"{INVALID}multi-Region strong consistency needs a table without time to live"
        await world.call(A, "UpdateTimeToLive", **no_ttl)
        await world.call(A, "UpdateTable", TableName="things", **strong(B, C))
        assert (await world.refusal(B, "UpdateTimeToLive", **ttl))[0] == "ValidationException"
        for asked in (creates("us-west-1"), strong(B, C), deletes(B)):
            assert (await world.refusal(A, "UpdateTable", TableName="things", **asked))[0] == "ValidationException"
        table = (await world.call(C, "DescribeTable", TableName="things"))["Table"]
        assert table["MultiRegionConsistency"] == "STRONG"
        assert [replica["RegionName"] for replica in table["Replicas"]] == [A, B]

    run_virtual(main)


def test_a_table_in_the_way_and_a_consistency_that_would_change() -> None:
    """A table of that name in the other Region, and STRONG for an eventual global table, are refused."""

    async def main() -> None:
        world = Regions()
        await world.call(C, "CreateTable", **create_request("things"))
        await world.table(B)
        _, message = await world.refusal(A, "UpdateTable", TableName="things", **creates(C))
        assert message == (
            "Failed to create a the new replica of table with name: 'things' because one or more replicas already "
            "existed as tables."
        )
        _, message = await world.refusal(A, "UpdateTable", TableName="things", **strong(C))
        assert message == f"{INVALID}the consistency of a global table cannot change"
        off = {"StreamSpecification": {"StreamEnabled": False}}
        _, message = await world.refusal(B, "UpdateTable", TableName="things", **off)
        assert message == "The stream of a global table's replica cannot be disabled: TableName: things"

    run_virtual(main)


def test_replication_turns_the_stream_on_where_consistency_is_eventual() -> None:
    """A table without stream gets one when it gets an eventual replica; a strong replica's stream is its own choice."""

    async def main() -> None:
        views: list[list[str | None]] = []
        for asked in (creates(B), strong(B, C)):
            world = Regions()
            given = create_request("things") if asked == creates(B) else {**create_request("things"), **STREAM}
            await world.call(A, "CreateTable", **given)
            await world.call(A, "UpdateTable", TableName="things", **asked)
            tables = [world.service.database(region).table("things") for region in (A, B)]
            views.append([table.definition.stream_view for table in tables])
        assert views == [["NEW_AND_OLD_IMAGES"] * 2, ["NEW_AND_OLD_IMAGES", None]]

    run_virtual(main)


def test_replicas_go_one_by_one_and_a_source_after_a_day() -> None:
    """What is deleted is gone with its items, the others go on; the last one is an ordinary table again."""

    async def main() -> None:
        world = Regions()
        await world.table(B, C)
        await world.put(A, "k", "1")
        await world.call(A, "UpdateTable", TableName="things", **deletes(C))
        assert (await world.call(C, "ListTables"))["TableNames"] == []
        await world.links.drained()
        assert await world.items(B) == {"k": "1"}
        table = (await world.call(B, "DescribeTable", TableName="things"))["Table"]
        assert [replica["RegionName"] for replica in table["Replicas"]] == [A]
        _, message = await world.refusal(A, "DeleteTable", TableName="things")
        assert message.startswith("Replica cannot be deleted because it has acted as a source region")
        await asyncio.sleep(SOURCE_PAUSE_S)
        await world.call(A, "DeleteTable", TableName="things")
        assert "Replicas" not in (await world.call(B, "DescribeTable", TableName="things"))["Table"]
        assert await world.items(B) == {"k": "1"}
        await world.put(B, "k", "2")
        assert world.links.pending(B, A) == 0

    run_virtual(main)


def test_a_protected_replica_stays() -> None:
    """Deletion protection is each replica's own, and ReplicaUpdates respect it."""

    async def main() -> None:
        world = Regions()
        await world.table(B)
        await world.call(B, "UpdateTable", TableName="things", DeletionProtectionEnabled=True)
        described = (await world.call(A, "DescribeTable", TableName="things"))["Table"]
        assert not described["DeletionProtectionEnabled"]
        _, message = await world.refusal(A, "UpdateTable", TableName="things", **deletes(B))
        assert message.startswith("Resource cannot be deleted as it is currently protected")
        assert (await world.call(A, "DescribeTable", TableName="things"))["Table"]["Replicas"]

    run_virtual(main)


def test_capacity_is_shared() -> None:
    """The billing mode and throughput of one replica are those of all."""

    async def main() -> None:
        world = Regions()
        await world.table(B)
        units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
        await world.call(B, "UpdateTable", TableName="things", BillingMode="PROVISIONED", ProvisionedThroughput=units)
        table = (await world.call(A, "DescribeTable", TableName="things"))["Table"]
        assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 4

    run_virtual(main)


def test_replicas_need_permissions_in_their_regions() -> None:
    """UpdateTable in the caller's Region; what makes and unmakes a replica or a witness in theirs."""

    async def main() -> None:
        service = Regions().service
        place = "arn:aws:dynamodb:{}:123456789012:table/things"

        def needed(asked: dict[str, Any]) -> list[Permission]:
            return list(service.permissions(wire_request("UpdateTable", {"TableName": "things", **asked}, A)))

        update = Permission("dynamodb:UpdateTable", place.format(A))
        made = needed(strong(B, witness=C))
        assert made[0] == update
        assert {permission.action for permission in made if permission.resource == place.format(B)} == {
            f"dynamodb:{action}"
            for action in (
                "CreateTable",
                "CreateTableReplica",
                "Query",
                "Scan",
                "UpdateItem",
                "PutItem",
                "GetItem",
                "DeleteItem",
                "BatchWriteItem",
            )
        }
        assert made[-1] == Permission("dynamodb:CreateGlobalTableWitness", place.format(C))
        assert needed(deletes(B)) == [
            update,
            Permission("dynamodb:DeleteTable", place.format(B)),
            Permission("dynamodb:DeleteTableReplica", place.format(B)),
        ]
        assert needed({"ReplicaUpdates": "nonsense"}) == [update]

    run_virtual(main)


def test_a_restart_keeps_replicas_and_their_items(tmp_path: Path) -> None:
    """Replicas are kept as tables are, and replicate on; what the links let through at the end is delivered."""

    async def before() -> None:
        store = Store(tmp_path)
        world = Regions(store=store)
        await world.table(B)
        await world.put(A, "k", "1")
        world.service.close()

    async def after() -> None:
        store = Store(tmp_path)
        world = Regions(store=store)
        assert await world.items(B) == {"k": "1"}
        assert (await world.call(A, "DescribeTable", TableName="things"))["Table"]["Replicas"][0]["RegionName"] == B
        await world.put(B, "k", "2")
        await world.links.drained()
        assert await world.get(A, "k") == "2"
        _, message = await world.refusal(A, "DeleteTable", TableName="things")
        assert message.startswith("Replica cannot be deleted because it has acted as a source region")
        store.close()

    run_virtual(before)
    run_virtual(after)


def resource(**properties: Any) -> Resource:
    context = StackContext("stack", A, "123456789012", "aws", Path())
    given = {key: value for key, value in create_request("things").items() if key != "TableName"}
    return Resource(
        "Things",
        "AWS::DynamoDB::GlobalTable",
        {
            **given,
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
            "Replicas": [{"Region": A}, {"Region": B}],
            **properties,
        },
        context,
    )


# CloudFormation's resource schema of the type, without what is read-only
SCHEMA = {
    "": (
        "AttributeDefinitions BillingMode GlobalSecondaryIndexes GlobalTableSourceArn GlobalTableWitnesses KeySchema "
        "LocalSecondaryIndexes MultiRegionConsistency ReadOnDemandThroughputSettings ReadProvisionedThroughputSettings "
        "Replicas SSESpecification StreamSpecification TableName TimeToLiveSpecification WarmThroughput "
        "WriteOnDemandThroughputSettings WriteProvisionedThroughputSettings"
    ),
    "Replicas": (
        "ContributorInsightsSpecification DeletionProtectionEnabled GlobalSecondaryIndexes "
        "GlobalTableSettingsReplicationMode KinesisStreamSpecification PointInTimeRecoverySpecification "
        "ReadOnDemandThroughputSettings ReadProvisionedThroughputSettings Region ReplicaStreamSpecification "
        "ResourcePolicy SSESpecification TableClass Tags"
    ),
    "GlobalSecondaryIndexes": (
        "IndexName KeySchema Projection ReadOnDemandThroughputSettings ReadProvisionedThroughputSettings "
        "WarmThroughput WriteOnDemandThroughputSettings WriteProvisionedThroughputSettings"
    ),
    "GlobalTableWitnesses": "Region",
}


def test_every_property_of_the_schema_has_its_line() -> None:
    """The handler's table names what CloudFormation knows, and nothing else."""
    names = [name.split(".") for name in GlobalTableHandler.properties]
    assert {name[0] for name in names} == set(SCHEMA[""].split())
    for owner in ("Replicas", "GlobalSecondaryIndexes", "GlobalTableWitnesses"):
        assert {name[1] for name in names if name[0] == owner} == set(SCHEMA[owner].split())


def test_the_ledger_tells_what_is_served() -> None:
    """A strong table with a witness is served whole; PROVISIONED and tags of a replica are refused."""

    def lines(wanted: Resource) -> dict[str, Support]:
        template = {"Resources": {"Things": {"Type": wanted.type, "Properties": wanted.properties}}}
        scope = Scope(context=stack_context(Path()), parameters={}, conditions={})
        handler = GlobalTableHandler(Regions().service.database)
        ledger = make_ledger(build_graph(template, scope), {handler.type: handler})
        return {line.property: line.support for line in ledger.of("Things") if line.property}

    async def main() -> None:
        strong_one = lines(resource(MultiRegionConsistency="STRONG", GlobalTableWitnesses=[{"Region": C}]))
        assert set(strong_one.values()) == {Support.SERVED}
        found = lines(resource(BillingMode="PROVISIONED", Replicas=[{"Region": A, "Tags": []}]))
        refused = {name for name, support in found.items() if support is Support.REFUSED}
        assert refused == {"BillingMode", "Replicas.Tags"}

    run_virtual(main)


def test_the_template_makes_a_global_table() -> None:
    """Ref, ARN, id and stream; the replica is there, and both go with the stack."""

    async def main() -> None:
        world = Regions()
        handler = GlobalTableHandler(world.service.database)
        wanted = resource(TimeToLiveSpecification={"AttributeName": "at", "Enabled": "true"})
        physical = await handler.create(wanted)
        table = (await world.call(A, "DescribeTable", TableName=physical.ref))["Table"]
        assert physical.attributes == {
            "Arn": table["TableArn"],
            "TableId": table["TableId"],
            "StreamArn": table["LatestStreamArn"],
        }
        assert [replica["RegionName"] for replica in table["Replicas"]] == [B]
        described = await world.call(B, "DescribeTimeToLive", TableName=physical.ref)
        assert described["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"
        await handler.delete(wanted, physical)
        assert [(await world.call(region, "ListTables"))["TableNames"] for region in (A, B)] == [[], []]

    run_virtual(main)


def test_a_kept_global_table_takes_the_templates_time_to_live_in_every_region() -> None:
    """What the template says now holds for the replicas of an earlier run too."""

    async def main() -> None:
        world = Regions()
        handler = GlobalTableHandler(world.service.database, keeps=True)
        for attribute, enabled in (("at", "true"), ("at", "false")):
            await handler.create(resource(TimeToLiveSpecification={"AttributeName": attribute, "Enabled": enabled}))
            tables = [world.service.database(region) for region in (A, B)]
            found = [table.ttl_attribute for database in tables for table in map(database.table, database.names())]
            assert found == ["at" if enabled == "true" else None] * 2

    run_virtual(main)


def test_the_template_makes_a_strong_table_with_a_witness() -> None:
    """MultiRegionConsistency and GlobalTableWitnesses are what UpdateTable takes; a kept one is taken over."""

    async def main() -> None:
        world = Regions()
        handler = GlobalTableHandler(world.service.database, keeps=True)
        wanted = resource(MultiRegionConsistency="STRONG", GlobalTableWitnesses=[{"Region": C}])
        physical = await handler.create(wanted)
        table = (await world.call(B, "DescribeTable", TableName=physical.ref))["Table"]
        assert (table["MultiRegionConsistency"], table["GlobalTableWitnesses"][0]["RegionName"]) == ("STRONG", C)
        await handler.delete(wanted, physical)
        assert await handler.create(wanted) == physical
        with pytest.raises(TemplateError, match="is another; remove it first"):
            await handler.create(resource(Replicas=[{"Region": A}, {"Region": B}, {"Region": C}]))
        assert "not kept" in handler.properties["Replicas.Region"].reason
        await GlobalTableHandler(world.service.database).delete(wanted, physical)
        assert [(await world.call(region, "ListTables"))["TableNames"] for region in (A, B)] == [[], []]

    run_virtual(main)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"Replicas": [{"Region": B}]}, "must contain an entry for the current region"),
        ({"BillingMode": "PROVISIONED"}, "must be PAY_PER_REQUEST here"),
        ({"MultiRegionConsistency": "STRONG"}, "exactly three Regions"),
    ],
)
def test_the_template_is_refused_where_it_makes_no_global_table(properties: dict[str, Any], expected: str) -> None:
    """CloudFormation's and the API's words."""

    async def main() -> None:
        world = Regions()
        with pytest.raises(TemplateError, match=expected):
            await GlobalTableHandler(world.service.database).create(resource(**properties))

    run_virtual(main)


def test_items_that_another_region_may_not_read_are_no_secret_of_the_wire() -> None:
    """A strong table's error of a cut-off Region is a 500 with AWS's code, on the wire too."""

    async def main() -> None:
        world = Regions()
        await world.strong()
        world.links.isolate(A, [B, C])
        answer = await world.service.handle(
            wire_request("PutItem", {"TableName": "things", "Item": {"id": {"S": "k"}}}, A)
        )
        assert isinstance(answer.body, bytes)
        assert (answer.status, json.loads(answer.body)["__type"]) == (
            500,
            "com.amazonaws.dynamodb.v20120810#InternalServerError",
        )

    run_virtual(main)
