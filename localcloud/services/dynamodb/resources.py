"""CloudFormation's DynamoDB table, made in the model through the same requests as over the wire.

Owns the property table for the ledger. A table that was kept by an earlier run is taken over if it is still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from localcloud.services.dynamodb import control
from localcloud.services.dynamodb.errors import DynamoError
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import TableDefinition
from localcloud.services.dynamodb.support import NO_BACKUP, NO_CIPHER, NO_THROTTLE, ONE_CLASS, SERVED, refused
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_requests import parse_definition
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, read_properties

__all__ = ["TableHandler", "create_table_of", "generate_name"]

MAX_NAME: Final = 255  # Constraints.html, "Table names"
_NOT_KEPT: Final = Supported(
    Support.PARTIAL, "`--persist` keeps the stream's ARN; its records are not kept beyond the process"
)


class TableHandler:
    """`AWS::DynamoDB::Table`. Ref is the name; attributes Arn, and StreamArn where there is a stream.

    `databases` gives the database of a Region; `keeps` says that tables outlive the stack (`--persist`).
    """

    type: str = "AWS::DynamoDB::Table"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "AttributeDefinitions.AttributeName": SERVED,
        "AttributeDefinitions.AttributeType": SERVED,
        "BillingMode": SERVED,
        "ContributorInsightsSpecification": refused("Contributor Insights is"),
        "DeletionProtectionEnabled": Supported(
            Support.PARTIAL, "DeleteTable is refused; the end of the local cloud ends the table"
        ),
        "GlobalSecondaryIndexes.IndexName": SERVED,
        "GlobalSecondaryIndexes.KeySchema": SERVED,
        "GlobalSecondaryIndexes.OnDemandThroughput": NO_THROTTLE,
        "GlobalSecondaryIndexes.Projection": SERVED,
        "GlobalSecondaryIndexes.ProvisionedThroughput": NO_THROTTLE,
        "GlobalSecondaryIndexes.WarmThroughput": NO_THROTTLE,
        "ImportSourceSpecification": refused("import from S3 is"),
        "KeySchema.AttributeName": SERVED,
        "KeySchema.KeyType": SERVED,
        "KinesisStreamSpecification": refused("streaming to Kinesis is"),
        "LocalSecondaryIndexes.IndexName": SERVED,
        "LocalSecondaryIndexes.KeySchema": SERVED,
        "LocalSecondaryIndexes.Projection": SERVED,
        "OnDemandThroughput": NO_THROTTLE,
        "PointInTimeRecoverySpecification": NO_BACKUP,
        "ProvisionedThroughput": NO_THROTTLE,
        "ResourcePolicy": refused("a resource policy on a table is"),
        "SSESpecification": NO_CIPHER,
        "StreamSpecification.StreamViewType": SERVED,
        "TableClass": ONE_CLASS,
        "TableName": SERVED,
        "Tags": SERVED,
        "TimeToLiveSpecification.AttributeName": SERVED,
        "TimeToLiveSpecification.Enabled": SERVED,
        "WarmThroughput": NO_THROTTLE,
    }

    def __init__(self, databases: Callable[[str], Database], *, keeps: bool = False) -> None:
        self._databases = databases
        self._keeps = keeps
        if keeps:
            self.properties = {**self.properties, "StreamSpecification.StreamViewType": _NOT_KEPT}

    async def create(self, resource: Resource) -> Physical:
        """Make the table, or take over the kept one. Raises TemplateError in the API's words."""
        read = read_properties(resource)
        name = read.text("TableName", generate_name(resource))
        database = self._databases(resource.context.region)
        try:
            table = create_table_of(database, read, name)
        except DynamoError as error:
            raise read.error("", error.message) from error
        attributes = {"Arn": control.table_arn(database, name)}
        if table.definition.stream_view is not None:
            attributes["StreamArn"] = database.streams.arn(table)
        return Physical(name, attributes)

    async def delete(self, resource: Resource, physical: Physical) -> None:
        """Drop the table with its items, protected or not; where tables are kept between runs, leave it."""
        if self._keeps:
            return
        database = self._databases(resource.context.region)
        if physical.ref in database.names():
            table = database.table(physical.ref)
            table.definition = replace(table.definition, is_protected=False)
            database.drop(physical.ref)


def create_table_of(database: Database, read: Properties, name: str) -> Table:
    """The table of a resource's properties, taken over where it was kept. Raises DynamoError, TemplateError."""
    definition = parse_definition(Members(_request(read, name)))
    table = _take_over(database, definition, read) or database.create(definition)
    _set_ttl(database, table, read.nested("TimeToLiveSpecification"))
    return table


def generate_name(resource: Resource) -> str:
    """A physical name as CloudFormation makes one; always the same for a Region, stack and logical id."""
    context = resource.context
    seed = f"{context.region}/{context.stack_name}/{resource.logical_id}"
    suffix = hashlib.sha256(seed.encode()).hexdigest()[:12].upper()
    return f"{context.stack_name}-{resource.logical_id}"[: MAX_NAME - 13] + f"-{suffix}"


def _request(read: Properties, name: str) -> dict[str, Any]:
    """The CreateTable request of a resource."""
    request: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": read.items("AttributeDefinitions"),
        "KeySchema": read.items("KeySchema"),
        "BillingMode": read.text("BillingMode", "PROVISIONED"),
        "DeletionProtectionEnabled": read.flag("DeletionProtectionEnabled", default=False),
        "Tags": read.items("Tags"),
    }
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if member in read:
            request[member] = [_index(index) for index in read.each(member)]
    if "ProvisionedThroughput" in read and request["BillingMode"] == "PROVISIONED":
        throughput = read.nested("ProvisionedThroughput")
        units = ("ReadCapacityUnits", "WriteCapacityUnits")
        request["ProvisionedThroughput"] = {unit: throughput.integer(unit, low=1) for unit in units}
    if "StreamSpecification" in read:
        view_type = read.nested("StreamSpecification").text("StreamViewType")
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view_type}
    return request


def _index(read: Properties) -> dict[str, Any]:
    return {
        "IndexName": read.text("IndexName"),
        "KeySchema": read.items("KeySchema"),
        "Projection": read.mapping("Projection"),
    }


def _take_over(database: Database, definition: TableDefinition, read: Properties) -> Table | None:
    if definition.name not in database.names():
        return None
    table = database.table(definition.name)
    kept = table.definition
    if (kept.keys, dict(kept.types), dict(kept.indexes)) != (
        definition.keys,
        dict(definition.types),
        dict(definition.indexes),
    ):
        raise read.error("KeySchema", f"the kept table {definition.name} has other keys or indexes; remove it first")
    database.redefine(table, definition)
    return table


def _set_ttl(database: Database, table: Table, read: Properties) -> None:
    attribute = read.text("AttributeName", "") if read.flag("Enabled", default=False) else ""
    if read.flag("Enabled", default=False) and not attribute:
        raise read.error("AttributeName", "is required where time to live is enabled")
    if (attribute or None) != table.ttl_attribute:
        database.set_ttl(table, attribute or None)
