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
from localcloud.services.dynamodb.resource_policies import set_policy
from localcloud.services.dynamodb.schema import TableDefinition
from localcloud.services.dynamodb.support import (
    NO_BACKUP,
    NO_CIPHER,
    NO_MAXIMUM,
    NO_WARMTH,
    ONE_CLASS,
    SERVED,
    THROTTLE,
    refused,
)
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_options import read_options, set_options
from localcloud.services.dynamodb.table_requests import parse_definition
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import Properties, json_text, read_properties

__all__ = ["TableHandler", "create_table_of", "generate_name"]

MAX_NAME: Final = 255  # Constraints.html, "Table names"
_NOT_KEPT: Final = Supported(
    Support.PARTIAL, "`--persist` keeps the stream's ARN; its records are not kept beyond the process"
)
_NOT_HELD: Final = refused("where several Regions share a cloud, a resource policy on a table is")


class TableHandler:
    """`AWS::DynamoDB::Table`. Ref is the name; attributes Arn, and StreamArn where there is a stream.

    `Metadata.Sluiceway` may ask for throttling and for slow indexes, see `table_options`.

    `databases` gives the database of a Region; `keeps` says that tables outlive the stack (`--persist`).
    `holds_policies`: whether those who ask go by resource policies.
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
        "GlobalSecondaryIndexes.OnDemandThroughput": NO_MAXIMUM,
        "GlobalSecondaryIndexes.Projection": SERVED,
        "GlobalSecondaryIndexes.ProvisionedThroughput": THROTTLE,
        "GlobalSecondaryIndexes.WarmThroughput": NO_WARMTH,
        "ImportSourceSpecification": refused("import from S3 is"),
        "KeySchema.AttributeName": SERVED,
        "KeySchema.KeyType": SERVED,
        "KinesisStreamSpecification": refused("streaming to Kinesis is"),
        "LocalSecondaryIndexes.IndexName": SERVED,
        "LocalSecondaryIndexes.KeySchema": SERVED,
        "LocalSecondaryIndexes.Projection": SERVED,
        "OnDemandThroughput": NO_MAXIMUM,
        "PointInTimeRecoverySpecification": NO_BACKUP,
        "ProvisionedThroughput": THROTTLE,
        "ResourcePolicy.PolicyDocument": SERVED,
        "SSESpecification": NO_CIPHER,
        "StreamSpecification.StreamViewType": SERVED,
        "TableClass": ONE_CLASS,
        "TableName": SERVED,
        "Tags": SERVED,
        "TimeToLiveSpecification.AttributeName": SERVED,
        "TimeToLiveSpecification.Enabled": SERVED,
        "WarmThroughput": NO_WARMTH,
    }

    def __init__(
        self, databases: Callable[[str], Database], *, keeps: bool = False, holds_policies: bool = True
    ) -> None:
        self._databases = databases
        self._keeps = keeps
        if not holds_policies:
            self.properties = {**self.properties, "ResourcePolicy.PolicyDocument": _NOT_HELD}
        if keeps:
            self.properties = {**self.properties, "StreamSpecification.StreamViewType": _NOT_KEPT}

    async def create(self, resource: Resource) -> Physical:
        """Make the table, or take over the kept one. Raises TemplateError in the API's words."""
        read = read_properties(resource)
        name = read.text("TableName", generate_name(resource))
        options = read_options(resource)
        database = self._databases(resource.context.region)
        try:
            table = create_table_of(database, read, name)
            set_options(database, table, options)
            _set_policy(database, table, read)
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
    is_provisioned = request["BillingMode"] == "PROVISIONED"
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if member in read:
            request[member] = [_index(index, is_provisioned=is_provisioned) for index in read.each(member)]
    if is_provisioned and "ProvisionedThroughput" in read:
        request["ProvisionedThroughput"] = _units(read)
    if "StreamSpecification" in read:
        view_type = read.nested("StreamSpecification").text("StreamViewType")
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view_type}
    return request


def _index(read: Properties, *, is_provisioned: bool) -> dict[str, Any]:
    return {
        "IndexName": read.text("IndexName"),
        "KeySchema": read.items("KeySchema"),
        "Projection": read.mapping("Projection"),
        **({"ProvisionedThroughput": _units(read)} if is_provisioned and "ProvisionedThroughput" in read else {}),
    }


def _units(read: Properties) -> dict[str, int]:
    throughput = read.nested("ProvisionedThroughput")
    return {unit: throughput.integer(unit, low=1) for unit in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _take_over(database: Database, definition: TableDefinition, read: Properties) -> Table | None:
    if definition.name not in database.names():
        return None
    table = database.table(definition.name)
    kept = table.definition
    if _fixed(kept) != _fixed(definition):
        raise read.error("KeySchema", f"the kept table {definition.name} has other keys or indexes; remove it first")
    if dict(kept.indexes) == dict(definition.indexes):
        database.redefine(table, definition)
        return table
    if table.membership is not None:
        raise read.error(
            "GlobalSecondaryIndexes", f"the kept global table {definition.name} has others; remove it first"
        )
    database.reindex(table, definition)
    return table


def _fixed(definition: TableDefinition) -> tuple[object, ...]:
    """What stays as it was made: the keys and the local indexes, with their types."""
    local = {name: index for name, index in definition.indexes.items() if not index.is_global}
    names = {*definition.keys.names, *(name for index in local.values() for name in index.keys.names)}
    return definition.keys, local, {name: definition.types[name] for name in names}


def _set_policy(database: Database, table: Table, read: Properties) -> None:
    """The template's resource policy; a kept table's own goes where the template has none. Raises DynamoError."""
    if "ResourcePolicy" in read:
        text = json_text(read.nested("ResourcePolicy").values.get("PolicyDocument"))
        if table.policy is None or table.policy[0] != text:
            set_policy(database, table, text)
    elif table.policy is not None:
        table.policy = None
        database.keep(table)


def _set_ttl(database: Database, table: Table, read: Properties) -> None:
    attribute = read.text("AttributeName", "") if read.flag("Enabled", default=False) else ""
    if read.flag("Enabled", default=False) and not attribute:
        raise read.error("AttributeName", "is required where time to live is enabled")
    if (attribute or None) != table.ttl_attribute:
        database.set_ttl(table, attribute or None)
