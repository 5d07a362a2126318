"""CloudFormation's global table: a table in the stack's Region and its replicas in others.

Owns the property table for the ledger. A global table that an earlier run kept is taken over if it is still the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from localcloud.services.dynamodb import control
from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.resources import create_table_of, generate_name
from localcloud.services.dynamodb.support import NO_BACKUP, NO_CIPHER, NO_MAXIMUM, NO_WARMTH, ONE_CLASS, SERVED, refused
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_options import refuse_options
from localcloud.services.dynamodb.table_updates import update_table
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["GlobalTableHandler"]

_NOT_QUEUED: Final = Supported(
    Support.PARTIAL,
    "`--persist` keeps every replica's items; what is still under way between Regions when the process is killed, and "
    "the versions by which the last writer wins, are not kept",
)


class GlobalTableHandler:
    """`AWS::DynamoDB::GlobalTable`. Ref is the name; attributes Arn, TableId, and StreamArn where there is a stream.

    `databases` gives the database of a Region; `keeps` says that tables outlive the stack (`--persist`).
    """

    type: str = "AWS::DynamoDB::GlobalTable"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "AttributeDefinitions.AttributeName": SERVED,
        "AttributeDefinitions.AttributeType": SERVED,
        "BillingMode": Supported(
            reason="PROVISIONED needs auto scaling, which is not served here", values=("PAY_PER_REQUEST",)
        ),
        "GlobalSecondaryIndexes.IndexName": SERVED,
        "GlobalSecondaryIndexes.KeySchema": SERVED,
        "GlobalSecondaryIndexes.Projection": SERVED,
        "GlobalSecondaryIndexes.ReadOnDemandThroughputSettings": NO_MAXIMUM,
        "GlobalSecondaryIndexes.ReadProvisionedThroughputSettings": refused("auto scaling is"),
        "GlobalSecondaryIndexes.WarmThroughput": NO_WARMTH,
        "GlobalSecondaryIndexes.WriteOnDemandThroughputSettings": NO_MAXIMUM,
        "GlobalSecondaryIndexes.WriteProvisionedThroughputSettings": refused("auto scaling is"),
        "GlobalTableSourceArn": refused("a replica of another account's table is"),
        "GlobalTableWitnesses.Region": SERVED,
        "KeySchema.AttributeName": SERVED,
        "KeySchema.KeyType": SERVED,
        "LocalSecondaryIndexes.IndexName": SERVED,
        "LocalSecondaryIndexes.KeySchema": SERVED,
        "LocalSecondaryIndexes.Projection": SERVED,
        "MultiRegionConsistency": SERVED,
        "ReadOnDemandThroughputSettings": NO_MAXIMUM,
        "ReadProvisionedThroughputSettings": refused("auto scaling is"),
        "Replicas.ContributorInsightsSpecification": refused("Contributor Insights is"),
        "Replicas.DeletionProtectionEnabled": refused("deletion protection of a replica in a template is"),
        "Replicas.GlobalSecondaryIndexes": refused("a replica's own index settings are"),
        "Replicas.GlobalTableSettingsReplicationMode": refused("a replica in another account is"),
        "Replicas.KinesisStreamSpecification": refused("streaming to Kinesis is"),
        "Replicas.PointInTimeRecoverySpecification": NO_BACKUP,
        "Replicas.ReadOnDemandThroughputSettings": NO_MAXIMUM,
        "Replicas.ReadProvisionedThroughputSettings": refused("auto scaling is"),
        "Replicas.Region": SERVED,
        "Replicas.ReplicaStreamSpecification": refused("a resource policy on a stream is"),
        "Replicas.ResourcePolicy": refused("a resource policy on a table is"),
        "Replicas.SSESpecification": NO_CIPHER,
        "Replicas.TableClass": ONE_CLASS,
        "Replicas.Tags": refused("a replica's own tags are"),
        "SSESpecification": NO_CIPHER,
        "StreamSpecification.StreamViewType": SERVED,
        "TableName": SERVED,
        "TimeToLiveSpecification.AttributeName": SERVED,
        "TimeToLiveSpecification.Enabled": SERVED,
        "WarmThroughput": NO_WARMTH,
        "WriteOnDemandThroughputSettings": NO_MAXIMUM,
        "WriteProvisionedThroughputSettings": refused("auto scaling is"),
    }

    def __init__(self, databases: Callable[[str], Database], *, keeps: bool = False) -> None:
        self._databases = databases
        self._keeps = keeps
        if keeps:
            self.properties = {**self.properties, "Replicas.Region": _NOT_QUEUED}

    async def create(self, resource: Resource) -> Physical:
        """Make the table and its replicas. Raises TemplateError in the API's words."""
        refuse_options(resource)
        read = read_properties(resource)
        if read.text("BillingMode", "PROVISIONED") != "PAY_PER_REQUEST":
            raise read.error("BillingMode", "must be PAY_PER_REQUEST here; without it the table is PROVISIONED")
        name = read.text("TableName", generate_name(resource))
        database = self._databases(resource.context.region)
        regions = [replica.text("Region") for replica in read.each("Replicas")]
        if database.region not in regions:
            raise read.error("Replicas", "The Replicas section must contain an entry for the current region")
        try:
            table = create_table_of(database, read, name)
            _replicate(database, table, read, regions=[region for region in regions if region != database.region])
            for member, replica in control.members_of(database, table):
                view = table.definition.stream_view
                if view is not None and replica.definition.stream_view is None:
                    member.redefine(replica, replace(replica.definition, stream_view=view))
                if replica.ttl_attribute != table.ttl_attribute:
                    member.set_ttl(replica, table.ttl_attribute)
        except DynamoError as error:
            raise read.error("", error.message) from error
        attributes = {"Arn": control.table_arn(database, name), "TableId": table.table_id}
        if table.definition.stream_view is not None:
            attributes["StreamArn"] = database.streams.arn(table)
        return Physical(name, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Drop every replica with its items; where tables are kept between runs, leave them."""
        database = self._databases(resource.context.region)
        if self._keeps or physical.ref not in database.names():
            return
        for member, table in control.members_of(database, database.table(physical.ref)):
            table.definition = replace(table.definition, is_protected=False)
            member.drop(table.definition.name)


def _replicate(database: Database, table: Table, read: Properties, *, regions: list[str]) -> None:
    """Make the replicas and the witness that are not there yet. Raises DynamoError, TemplateError."""
    wanted = read.text("MultiRegionConsistency", "EVENTUAL")
    witnesses = [witness.text("Region") for witness in read.each("GlobalTableWitnesses")]
    held = table.membership
    if held is not None:
        kept = (held.consistency, set(held.others(database.region)), held.witness)
        if kept == (wanted, set(regions), next(iter(witnesses), None)):
            return
        raise read.error("Replicas", f"the kept global table {table.definition.name} is another; remove it first")
    if not regions:
        return
    request: dict[str, Any] = {
        "TableName": table.definition.name,
        "ReplicaUpdates": [{"Create": {"RegionName": region}} for region in regions],
    }
    if "MultiRegionConsistency" in read:
        request["MultiRegionConsistency"] = wanted
    if witnesses:
        request["GlobalTableWitnessUpdates"] = [{"Create": {"RegionName": region}} for region in witnesses]
    update_table(database, Members(request))
