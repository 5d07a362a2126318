"""UpdateTable's GlobalSecondaryIndexUpdates: an index is made, deleted, or given other capacity, on a table in use.

Owns which of them go together, in AWS's words; what is shown on the way is in `index_states`.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from localcloud.services.dynamodb.control import members_of
from localcloud.services.dynamodb.errors import (
    DynamoError,
    invalid_parameter,
    member_violation,
    not_served,
    table_missing,
    validation,
)
from localcloud.services.dynamodb.index_states import IndexStates
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import Index, TableDefinition
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.table_requests import (
    MAX_GLOBAL_INDEXES,
    check_included,
    parse_index,
    parse_types,
    parse_units,
)

__all__ = ["IndexUpdates", "apply_index_updates", "parse_index_updates"]

_ACTIONS: Final = ("Create", "Update", "Delete")


@dataclass(frozen=True, slots=True)
class IndexUpdates:
    """What a request asks for. `types`: the AttributeDefinitions it brings; `units`: new capacity by index."""

    created: Members | None
    deleted: str | None
    units: Mapping[str, tuple[int, int]]
    types: Mapping[str, str]


def parse_index_updates(request: Members) -> IndexUpdates | None:
    """The updates, None where there are none. Raises DynamoError in AWS's words."""
    if "GlobalSecondaryIndexUpdates" not in request:
        return None
    created: list[Members] = []
    deleted: list[str] = []
    units: dict[str, tuple[int, int]] = {}
    for entry in request.structures("GlobalSecondaryIndexUpdates"):
        kind, inner = _action(entry)
        name = str(inner.required("IndexName"))
        if kind == "Create":
            created.append(inner)
        elif kind == "Delete":
            inner.only("IndexName")
            deleted.append(name)
        else:
            units[name] = _parse_update(inner)
    if len(created) + len(deleted) > 1:
        raise DynamoError(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
    if not created and not deleted and not units:
        raise member_violation(
            "[]", "globalSecondaryIndexUpdates", "Member must have length greater than or equal to 1"
        )
    types = parse_types(request) if "AttributeDefinitions" in request else {}
    return IndexUpdates(next(iter(created), None), next(iter(deleted), None), units, types)


def apply_index_updates(
    database: Database, table: Table, updates: IndexUpdates, *, billing: str, units: tuple[int, int]
) -> None:
    """Make the updates on a table that has `billing` and `units` from now on. Raises DynamoError before any change."""
    if table.membership is not None and table.membership.is_strong:
        raise not_served("index updates of a global table with multi-Region strong consistency")
    now = database.clock.time()
    changed = replace(table.definition, billing_mode=billing, throughput=units)
    changed = _set_units(changed, updates.units)
    if updates.created is not None or updates.deleted is not None:
        _check_free(table, updates.deleted, now)
    made = None if updates.created is None else _make(changed, updates)
    if made is not None:
        changed = replace(
            changed, indexes={**changed.indexes, made.name: made}, types={**changed.types, **updates.types}
        )
    if updates.deleted is not None:
        changed = _delete(changed, updates.deleted)
    elif made is None:
        _check_types(table.definition, updates.types)
    for member, replica in members_of(database, table):
        _change(member, replica, changed, made=made, deleted=updates.deleted)


def _change(
    database: Database, table: Table, changed: TableDefinition, *, made: Index | None, deleted: str | None
) -> None:
    now, old = database.clock.time(), table.definition
    states = table.states = table.states or IndexStates()
    database.reindex(
        table,
        replace(
            old,
            billing_mode=changed.billing_mode,
            throughput=changed.throughput,
            types=changed.types,
            indexes=changed.indexes,
        ),
    )
    if made is not None:
        states.make(made, now)
    if deleted is not None:
        states.delete(old.indexes[deleted], now)


def _action(entry: Members) -> tuple[str, Members]:
    entry.only(*_ACTIONS)
    kinds = [kind for kind in _ACTIONS if kind in entry]
    if len(kinds) != 1:
        raise invalid_parameter("Only one of CreateAction, UpdateAction or DeleteAction may be specified")
    return kinds[0], entry.structure(kinds[0]) or Members({})


def _parse_update(inner: Members) -> tuple[int, int]:
    inner.only("IndexName", "ProvisionedThroughput")
    throughput = inner.structure("ProvisionedThroughput")
    if throughput is None:
        raise invalid_parameter(
            "ProvisionedThroughput must be specified for index: " + str(inner.required("IndexName"))
        )
    return parse_units(throughput)


def _check_free(table: Table, deleted: str | None, now: float) -> None:
    """An index that is not made yet may be deleted; nothing else goes beside it."""
    states = table.states
    if states is None or not states.is_backfilling(now):
        return
    if deleted is None or states.describe(deleted, now)["IndexStatus"] == "ACTIVE":
        raise DynamoError(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )


def _set_units(definition: TableDefinition, units: Mapping[str, tuple[int, int]]) -> TableDefinition:
    indexes = dict(definition.indexes)
    is_provisioned = definition.billing_mode == "PROVISIONED"
    for name, wanted in units.items():
        index = indexes.get(name)
        if index is None or not index.is_global:
            raise table_missing()
        if not is_provisioned:
            raise invalid_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
        if index.throughput == wanted:
            raise _unchanged(name, wanted)
        indexes[name] = replace(index, throughput=wanted)
    for name, index in indexes.items():
        if index.is_global and not is_provisioned:
            indexes[name] = replace(index, throughput=(0, 0))
        elif index.is_global and index.throughput == (0, 0):
            raise invalid_parameter(f"ProvisionedThroughput must be specified for index: {name}")
    return replace(definition, indexes=indexes)


def _make(definition: TableDefinition, updates: IndexUpdates) -> Index:
    types = {**definition.types, **updates.types}
    index = parse_index(updates.created or Members({}), types, is_global=True, billing=definition.billing_mode)
    if index.name in definition.indexes:
        raise validation("Attempting to create an index which already exists")
    for name, kind in definition.types.items():
        if types[name] != kind:
            raise invalid_parameter(f"Attribute {name} is defined as {kind} and cannot be redefined as {types[name]}")
    indexes = [*definition.indexes.values(), index]
    if sum(each.is_global for each in indexes) > MAX_GLOBAL_INDEXES:
        raise DynamoError(
            "LimitExceededException",
            "Subscriber limit exceeded: The number of global secondary indexes exceeds the limit of "
            f"{MAX_GLOBAL_INDEXES}",
        )
    check_included(indexes)
    unused = set(types) - {name for each in (definition, *indexes) for name in each.keys.names}
    if unused:
        raise invalid_parameter(f"Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(types)}]")
    return index


def _delete(definition: TableDefinition, name: str) -> TableDefinition:
    index = definition.indexes.get(name)
    if index is None or not index.is_global:
        raise table_missing()
    indexes = {key: each for key, each in definition.indexes.items() if key != name}
    used = {attribute for each in (definition, *indexes.values()) for attribute in each.keys.names}
    return replace(
        definition, indexes=indexes, types={key: kind for key, kind in definition.types.items() if key in used}
    )


def _check_types(definition: TableDefinition, types: Mapping[str, str]) -> None:
    for name, kind in types.items():
        if definition.types.get(name) != kind:
            raise invalid_parameter(
                f"Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(types)}]"
            )


def _unchanged(name: str, units: tuple[int, int]) -> DynamoError:
    reads, writes = units
    return validation(
        f"The provisioned throughput for the index {name} will not change. The requested value equals the current "
        f"value. Current ReadCapacityUnits provisioned for the index: {reads}. Requested ReadCapacityUnits: {reads}. "
        f"Current WriteCapacityUnits provisioned for the index: {writes}. Requested WriteCapacityUnits: {writes}. "
        "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    )
