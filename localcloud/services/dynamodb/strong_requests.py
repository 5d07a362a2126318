"""Requests that touch a strongly consistent global table: what waits for another Region, and what is refused.

Owns which requests those are; what is written is done by the ordinary operations, performed by the table's journal.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from localcloud.services.dynamodb import batches
from localcloud.services.dynamodb.errors import DynamoError, validation
from localcloud.services.dynamodb.global_tables import GlobalTables
from localcloud.services.dynamodb.journal import Journal
from localcloud.services.dynamodb.members import Members, check_table_name
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import PrimaryKey
from localcloud.services.dynamodb.writes import parse_write

__all__ = ["perform_strong"]

_Operation = Callable[[Database, Members], dict[str, Any]]
_KINDS: Final = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}
_READS: Final = frozenset({"GetItem", "Query", "Scan"})
_TRANSACTIONS: Final = frozenset({"TransactGetItems", "TransactWriteItems"})


async def perform_strong(
    database: Database, operation: str, raw: Mapping[str, Any], *, perform: _Operation
) -> dict[str, Any] | None:
    """Do what a strongly consistent table needs for `operation`.

    Returns the answer, or None where the ordinary operation is still to be done here (after a strong read: on a replica
    that is up to date by now). Raises DynamoError.
    """
    tables = database.global_tables
    if tables is None or not tables.has_strong(database.region):
        return None
    if operation in _KINDS:
        journal = _journal(tables, database, raw.get("TableName"))
        if journal is None:
            return None
        write = parse_write(journal.latest, _KINDS[operation], Members(raw))
        return await journal.write(database.region, [write.key], lambda latest: perform(latest, Members(raw)))
    if operation == "BatchWriteItem":
        return await _batch_write(tables, database, raw)
    if operation in _TRANSACTIONS:
        _refuse_transaction(tables, database, raw)
    for name in _strongly_read(operation, raw):
        journal = _journal(tables, database, name)
        if journal is not None:
            await journal.read(database.region)
    return None


def _journal(tables: GlobalTables, database: Database, name: object) -> Journal | None:
    """The journal of the table so named; None also for a name that the operation will refuse."""
    try:
        return tables.journal(database.region, check_table_name(name)) if isinstance(name, str) else None
    except DynamoError:
        return None


def _strongly_read(operation: str, raw: Mapping[str, Any]) -> Iterable[object]:
    if operation in _READS and raw.get("ConsistentRead") is True:
        yield raw.get("TableName")
    if operation == "BatchGetItem":
        for name, options in _mapping(raw.get("RequestItems")).items():
            if _mapping(options).get("ConsistentRead") is True:
                yield name


def _refuse_transaction(tables: GlobalTables, database: Database, raw: Mapping[str, Any]) -> None:
    entries = raw.get("TransactItems")
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
        for inner in _mapping(entry).values():
            if _journal(tables, database, _mapping(inner).get("TableName")) is not None:
                raise validation(
                    "Transaction operations are not supported on global tables with multi-Region strong consistency"
                )


async def _batch_write(tables: GlobalTables, database: Database, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The batch table by table, where one of them is strongly consistent; what is in conflict is left unprocessed."""
    asked = _mapping(raw.get("RequestItems"))
    journals = {name: journal for name in asked if (journal := _journal(tables, database, name)) is not None}
    if not journals:
        return None
    members = Members(asked)
    writes = {
        name: batches.parse_writes(journals[name].latest if name in journals else database, name, members)
        for name in asked
    }
    if sum(map(len, writes.values())) > batches.MAX_WRITES:
        return None  # which the ordinary operation refuses before anything is written
    plain = {name: value for name, value in asked.items() if name not in journals}
    answers = [batches.batch_write_item(database, Members({**raw, "RequestItems": plain}))] if plain else []
    answers += [
        await _write_table(
            journal,
            database.region,
            [write.key for write in writes[name]],
            request={**raw, "RequestItems": {name: asked[name]}},
        )
        for name, journal in journals.items()
    ]
    found: dict[str, Any] = {"UnprocessedItems": {}}
    for answer in answers:
        found["UnprocessedItems"] |= answer["UnprocessedItems"]
        if "ConsumedCapacity" in answer:
            found.setdefault("ConsumedCapacity", []).extend(answer["ConsumedCapacity"])
    return found


async def _write_table(
    journal: Journal, region: str, keys: Sequence[PrimaryKey], *, request: Mapping[str, Any]
) -> dict[str, Any]:
    """The writes of one table, `keys` in their order. Raises DynamoError."""
    ((name, entries),) = request["RequestItems"].items()
    busy = [journal.is_busy_elsewhere(region, key) for key in keys]
    mine = [key for key, is_busy in zip(keys, busy, strict=True) if not is_busy]
    free = [entry for entry, is_busy in zip(entries, busy, strict=True) if not is_busy]
    left = [entry for entry, is_busy in zip(entries, busy, strict=True) if is_busy]
    answer: dict[str, Any] = {"UnprocessedItems": {}}
    if free:
        members = Members({**request, "RequestItems": {name: free}})
        answer = await journal.write(region, mine, lambda latest: batches.batch_write_item(latest, members))
    if left:
        answer["UnprocessedItems"] = {name: left}
    return answer


def _mapping(raw: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
