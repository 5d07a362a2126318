"""UpdateTable: streams, billing mode, throughput, indexes and deletion protection of a table that is there.

Owns which changes go together, in AWS's words; the table is ACTIVE again at once. Replicas are in `replica_updates`,
indexes in `index_updates`; encryption and table class are refused by name.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from localcloud.services.dynamodb.control import describe, members_of
from localcloud.services.dynamodb.errors import DynamoError, invalid_parameter, not_served, validation
from localcloud.services.dynamodb.index_updates import IndexUpdates, apply_index_updates, parse_index_updates
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.replica_updates import REPLICA_MEMBERS, update_replicas
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_requests import BILLING_MODES, parse_stream, parse_units

__all__ = ["update_table"]

PROTECTION_PAUSE_S: Final = 15.0  # AWS's own error names 15000 milliseconds
_SERVED: Final = (
    "BillingMode",
    "ProvisionedThroughput",
    "StreamSpecification",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexUpdates",
)
_NOTHING: Final = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, "
    "SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, "
    "DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required"
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request changes; None is no change. `stream` as `parse_stream` gives it."""

    billing: str | None
    units: tuple[int, int] | None
    stream: tuple[bool, str | None] | None
    is_protected: bool | None
    indexes: IndexUpdates | None


def update_table(database: Database, request: Members) -> dict[str, Any]:
    """UpdateTable. Raises DynamoError before anything is changed."""
    request.only("TableName", "AttributeDefinitions", *_SERVED, *REPLICA_MEMBERS)
    name = request.table()
    if any(member in request for member in REPLICA_MEMBERS):
        update_replicas(database, request)
        return {"TableDescription": {**describe(database, database.table(name)), "TableStatus": "UPDATING"}}
    wanted = _parse(request)
    table = database.table(name, named=True)
    if wanted.indexes is None:
        _check_attributes(table, request)
    if table.states is not None:
        table.states.check_settled(name, database.clock.time())
    if wanted.is_protected is not None:
        _protect(database, table, is_protected=wanted.is_protected)
        return {"TableDescription": describe(database, table)}
    if wanted.billing is not None or wanted.units is not None or wanted.indexes is not None:
        _set_capacity(database, table, wanted)
    if wanted.stream is not None:
        _set_stream(database, table, wanted.stream)
    return {"TableDescription": {**describe(database, table), "TableStatus": "UPDATING"}}


def _parse(request: Members) -> _Wanted:
    found = [member for member in _SERVED if member in request]
    if not found:
        raise validation(_NOTHING)
    throughput = request.structure("ProvisionedThroughput")
    wanted = _Wanted(
        billing=request.choice("BillingMode", BILLING_MODES, "") or None,
        units=None if throughput is None else parse_units(throughput),
        stream=parse_stream(request),
        is_protected=request.flag("DeletionProtectionEnabled") if "DeletionProtectionEnabled" in request else None,
        indexes=parse_index_updates(request),
    )
    if wanted.is_protected is not None and len(found) > 1:
        raise invalid_parameter("DeletionProtection modification must be the only operation in the request")
    if wanted.stream is not None and len(found) > 1:
        raise invalid_parameter("You cannot modify stream status while updating table IOPS")
    if wanted.billing == "PAY_PER_REQUEST" and wanted.units is not None:
        raise invalid_parameter("ProvisionedThroughput cannot be specified when BillingMode is PAY_PER_REQUEST")
    if wanted.billing == "PROVISIONED" and wanted.units is None:
        raise invalid_parameter("ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
    return wanted


def _check_attributes(table: Table, request: Members) -> None:
    if "AttributeDefinitions" not in request:
        return
    types = {
        str(raw.required("AttributeName")): str(raw.required("AttributeType"))
        for raw in request.structures("AttributeDefinitions")
    }
    if types != dict(table.definition.types):
        raise not_served("other AttributeDefinitions in UpdateTable, which only updates of global indexes need")


def _protect(database: Database, table: Table, *, is_protected: bool) -> None:
    now = database.clock.time()
    changed = table.protection_changed_s
    if changed is not None and now < changed + PROTECTION_PAUSE_S:
        again = datetime.fromtimestamp(changed + PROTECTION_PAUSE_S, UTC).isoformat(timespec="milliseconds")
        raise DynamoError(
            "ThrottlingException",
            f"Deletion protection setting for table {table.definition.name} modified within the previous "
            f"{int(PROTECTION_PAUSE_S * 1000)} milliseconds. Please try again after {again.removesuffix('+00:00')}Z.",
        )
    if is_protected != table.definition.is_protected:
        table.protection_changed_s = now
        database.redefine(table, replace(table.definition, is_protected=is_protected))


def _set_capacity(database: Database, table: Table, wanted: _Wanted) -> None:
    definition = table.definition
    mode = wanted.billing or definition.billing_mode
    if mode == "PAY_PER_REQUEST":
        if wanted.units is not None:
            raise invalid_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
    elif definition.billing_mode == mode and wanted.units == definition.throughput:
        raise _unchanged(definition.throughput)
    units = (0, 0) if mode == "PAY_PER_REQUEST" else wanted.units or definition.throughput
    updates = wanted.indexes or IndexUpdates(None, None, {}, {})
    if any(index.is_global for index in definition.indexes.values()) or wanted.indexes is not None:
        apply_index_updates(database, table, updates, billing=mode, units=units)
        return
    for member, replica in members_of(database, table):
        member.redefine(replica, replace(replica.definition, billing_mode=mode, throughput=units))


def _unchanged(units: tuple[int, int]) -> DynamoError:
    reads, writes = units
    return validation(
        "The provisioned throughput for the table will not change. The requested value equals the current value. "
        f"Current ReadCapacityUnits provisioned for the table: {reads}. Requested ReadCapacityUnits: {reads}. "
        f"Current WriteCapacityUnits provisioned for the table: {writes}. Requested WriteCapacityUnits: {writes}. "
        "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    )


def _set_stream(database: Database, table: Table, wanted: tuple[bool, str | None]) -> None:
    is_enabled, view_type = wanted
    name, current = table.definition.name, table.definition.stream_view
    if is_enabled and view_type is None:
        raise invalid_parameter("If stream is being enabled then UpdateViewType is required")
    if not is_enabled and view_type is not None:
        raise invalid_parameter("If stream is being disabled, then UpdateViewType must not be specified")
    if is_enabled and current is not None:
        raise validation(f"Table already has an enabled stream: TableName: {name}")
    if not is_enabled and current is None:
        raise validation(f"Table has no stream to disable: TableName: {name}")
    if not is_enabled and table.membership is not None and not table.membership.is_strong:
        raise validation(f"The stream of a global table's replica cannot be disabled: TableName: {name}")
    database.redefine(table, replace(table.definition, stream_view=view_type))
