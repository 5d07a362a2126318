"""UpdateTable's ReplicaUpdates: replicas and the witness of a global table, version 2019.11.21.

Owns what may be asked in which consistency mode, and the words of what may not; `global_tables` does it.
Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from localcloud.services.dynamodb.errors import invalid_parameter, member_violation, not_served, validation
from localcloud.services.dynamodb.global_tables import GlobalTables
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.table import Table

__all__ = ["REPLICA_MEMBERS", "STRONG_SETS", "require_global_tables", "update_replicas"]

REPLICA_MEMBERS: Final = ("ReplicaUpdates", "MultiRegionConsistency", "GlobalTableWitnessUpdates")
STRONG_REGIONS: Final = 3  # V2globaltables_HowItWorks.html: exactly three Regions
STRONG_SETS: Final = (  # V2globaltables_HowItWorks.html, Region sets, which cannot be mixed
    frozenset({"us-east-1", "us-east-2", "us-west-2"}),
    frozenset({"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"}),
    frozenset({"ap-northeast-1", "ap-northeast-2", "ap-northeast-3"}),
)
_VIEW: Final = "NEW_AND_OLD_IMAGES"
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]\Z")
_MAX_UPDATES: Final = 50  # no Region can be named twice, and AWS has fewer Regions than that
_WHOLE: Final = (
    "replicas cannot be added to or removed from a global table with multi-Region strong consistency one by one; only "
    "all of its other replicas and its witness can be removed together"
)


@dataclass(frozen=True, slots=True)
class _Updates:
    """What a request asks for. `consistency` and the witnesses are None where they are not in it."""

    created: tuple[str, ...]
    deleted: tuple[str, ...]
    consistency: str | None
    new_witness: str | None
    old_witness: str | None


def require_global_tables(database: Database) -> GlobalTables:
    """The global tables that a database takes part in. Raises DynamoError where there are none."""
    if database.global_tables is None:
        raise not_served("global tables in a database that stands alone")
    return database.global_tables


def update_replicas(database: Database, request: Members) -> None:
    """Add or remove replicas. Raises DynamoError before anything is changed."""
    request.only("TableName", *REPLICA_MEMBERS)
    updates = _parse(database, request)
    table = database.table(request.table(), named=True)
    if updates.created:
        _create(database, table, updates)
    elif updates.deleted:
        _delete(database, table, updates)
    else:
        raise invalid_parameter("a witness is added or removed together with replicas, in ReplicaUpdates")


def _parse(database: Database, request: Members) -> _Updates:
    created, deleted = _actions(request, "ReplicaUpdates")
    new_witnesses, old_witnesses = _actions(request, "GlobalTableWitnessUpdates")
    if created and deleted:
        raise invalid_parameter("replicas cannot be created and deleted in one request")
    if len(new_witnesses) + len(old_witnesses) > 1:
        raise invalid_parameter("one witness can be created or deleted in one request")
    if database.region in created + deleted:
        raise validation(
            "Cannot add, delete, or update the local region through ReplicaUpdates. "
            "Use CreateTable, DeleteTable, or UpdateTable as required."
        )
    return _Updates(
        created=created,
        deleted=deleted,
        consistency=request.choice("MultiRegionConsistency", ("EVENTUAL", "STRONG"), "") or None,
        new_witness=next(iter(new_witnesses), None),
        old_witness=next(iter(old_witnesses), None),
    )


def _actions(request: Members, member: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the Regions of Create, those of Delete)."""
    found: dict[str, list[str]] = {"Create": [], "Delete": []}
    entries = list(request.structures(member)) if member in request else []
    if member in request and not 1 <= len(entries) <= _MAX_UPDATES:
        place = member[:1].lower() + member[1:]
        raise member_violation("[...]", place, "Member must have length greater than or equal to 1")
    for entry in entries:
        kinds = [kind for kind in ("Create", "Update", "Delete") if kind in entry]
        entry.only("Create", "Update", "Delete")
        if kinds == ["Update"]:
            raise not_served("settings of a single replica in ReplicaUpdates")
        if len(kinds) != 1:
            raise invalid_parameter(f"each of {member} holds one of Create, Update and Delete")
        action = (entry.structure(kinds[0]) or Members({})).only("RegionName")
        action.required("RegionName")
        found[kinds[0]].append(_region(action.text("RegionName") or ""))
    for regions in found.values():
        if len(set(regions)) != len(regions):
            raise invalid_parameter(f"a Region is named twice in {member}")
    return tuple(found["Create"]), tuple(found["Delete"])


def _region(text: str) -> str:
    if _REGION.match(text) is None:
        raise validation(f"Region {text} is not supported")
    return text


def _create(database: Database, table: Table, updates: _Updates) -> None:
    membership = table.membership
    if updates.old_witness is not None:
        raise invalid_parameter("a witness cannot be deleted while replicas are created")
    if membership is not None and (membership.is_strong or updates.consistency == "STRONG"):
        raise invalid_parameter(_WHOLE if membership.is_strong else "the consistency of a global table cannot change")
    if updates.consistency == "STRONG":
        _check_strong(database, table, updates)
        regions = updates.created
        require_global_tables(database).add(database, table, regions, consistency="STRONG", witness=updates.new_witness)
        return
    if updates.new_witness is not None:
        raise invalid_parameter("a witness needs MultiRegionConsistency STRONG")
    view = table.definition.stream_view
    if view not in {None, _VIEW}:
        raise validation(f"A replica's stream needs StreamViewType {_VIEW}, but the table has one of {view}")
    require_global_tables(database).check_add(table, updates.created)
    if view is None:  # replication turns it on
        database.redefine(table, replace(table.definition, stream_view=_VIEW))
    require_global_tables(database).add(database, table, updates.created)


def _check_strong(database: Database, table: Table, updates: _Updates) -> None:
    witnesses = () if updates.new_witness is None else (updates.new_witness,)
    regions = (database.region, *updates.created, *witnesses)
    if len(regions) != STRONG_REGIONS or len(set(regions)) != STRONG_REGIONS:
        raise invalid_parameter(
            "a global table with multi-Region strong consistency has exactly three Regions: three replicas, or two "
            "replicas and a witness"
        )
    if not any(allowed.issuperset(regions) for allowed in STRONG_SETS):
        sets = "; ".join(", ".join(sorted(allowed)) for allowed in STRONG_SETS)
        raise invalid_parameter(
            f"multi-Region strong consistency needs three Regions of one set ({sets}), not {', '.join(regions)}"
        )
    faults = {
        "an empty table": bool(table.records),
        "a table without local secondary indexes": any(not i.is_global for i in table.definition.indexes.values()),
        "a table without time to live": table.ttl_attribute is not None,
    }
    for needed, is_broken in faults.items():
        if is_broken:
            raise invalid_parameter(f"multi-Region strong consistency needs {needed}")


def _delete(database: Database, table: Table, updates: _Updates) -> None:
    membership = table.membership
    others: Sequence[str] = () if membership is None else membership.others(database.region)
    if membership is None or not set(updates.deleted) <= set(others):
        raise validation(
            "Replica specified in the Replica Update or Replica Delete action of the request was not found."
        )
    if updates.consistency is not None or updates.new_witness is not None:
        raise invalid_parameter("consistency and witness are given where a global table is created")
    is_whole = set(updates.deleted) == set(others) and updates.old_witness == membership.witness
    if membership.is_strong and not is_whole:
        raise invalid_parameter(_WHOLE)
    if not membership.is_strong and updates.old_witness is not None:
        raise invalid_parameter("there is no such witness")
    require_global_tables(database).remove(database, table, updates.deleted)
