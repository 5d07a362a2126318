"""Leases and checkpoints in a DynamoDB table: the `LeaseStore` of long-running consumers.

Owns the attributes and the conditions. The table's key is `id`: `<namespace>#<shard id>` is a lease, `<namespace>` is
the namespace's own item, with the span that it reads. Attributes are named as those of the Kinesis Client Library where
they mean the same. `list` scans the table with a filter: give consumers a table of their own. Must not know who may
take a lease. Source: https://docs.aws.amazon.com/streams/latest/dev/kcl-dynamoDB.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from sluiceway.aws.attributes import Value, decode_item, encode_item, read_integer, read_text
from sluiceway.aws.dynamodb import DYNAMODB, Expression, Table, found_item, set_all
from sluiceway.aws.wire import Caller
from sluiceway.errors import ConditionFailed
from sluiceway.rules.consuming.leases import Lease
from sluiceway.rules.consuming.spans import Checkpoint, Kind, Span

__all__ = ["DynamoDbLeaseStore"]

_FREE: Final = Expression("attribute_not_exists(#id)", names={"#id": "id"})


class DynamoDbLeaseStore:
    """The leases of one namespace in one table. Raises what `Table` raises. Holds no connection."""

    def __init__(self, caller: Caller, table: str, *, namespace: str) -> None:
        """Raises ValueError for a namespace that is empty or has a `#`."""
        if not namespace or "#" in namespace:
            raise ValueError("a namespace is not empty and has no #")
        self._caller = caller
        self._table = Table(caller, table)
        self._namespace = namespace

    async def begin(self, span: Span) -> Span:
        """As `LeaseStore.begin`."""
        item: dict[str, Value] = {"id": self._namespace, **_write_span(span)}
        try:
            await self._table.put_item(item, condition=_FREE)
        except ConditionFailed as error:
            found = found_item(error) or await self._table.get_item({"id": self._namespace})
            return _read_span(found) if found else await self.begin(span)
        return span

    async def list(self) -> tuple[Lease, ...]:
        """As `LeaseStore.list`."""
        leases: list[Lease] = []
        request: dict[str, object] = {
            "TableName": self._table.name,
            "ConsistentRead": True,
            "FilterExpression": "begins_with(#id, :prefix)",
            "ExpressionAttributeNames": {"#id": "id"},
            "ExpressionAttributeValues": encode_item({":prefix": f"{self._namespace}#"}),
        }
        while True:
            told = (await self._caller.call(DYNAMODB, "Scan", request)).json()
            leases += [_read(decode_item(item)) for item in cast("list[Any]", told.get("Items") or [])]
            last = told.get("LastEvaluatedKey")
            if not last:
                return tuple(sorted(leases, key=lambda lease: lease.shard_id))
            request["ExclusiveStartKey"] = last

    async def create(self, lease: Lease) -> bool:
        """As `LeaseStore.create`."""
        try:
            await self._table.put_item({**self._key(lease), **_write(lease)}, condition=_FREE)
        except ConditionFailed:
            return False
        return True

    async def write(self, lease: Lease, *, seen: Lease) -> Lease | None:
        """As `LeaseStore.write`."""
        try:
            await self._table.update_item(self._key(lease), set_all(_write(lease)), condition=_unchanged_since(seen))
        except ConditionFailed as error:
            found = found_item(error)
            return _read(found) if found else None
        return lease

    async def delete(self, lease: Lease) -> None:
        """As `LeaseStore.delete`."""
        try:
            await self._table.delete_item(self._key(lease), condition=_unchanged_since(lease))
        except ConditionFailed:
            return

    def _key(self, lease: Lease) -> dict[str, Value]:
        return {"id": f"{self._namespace}#{lease.shard_id}"}


def _unchanged_since(seen: Lease) -> Expression:
    return Expression(
        "#leaseOwner = :seen_owner AND #leaseCounter = :seen_counter",
        names={"#leaseOwner": "leaseOwner", "#leaseCounter": "leaseCounter"},
        values={":seen_owner": seen.owner, ":seen_counter": seen.counter},
    )


def _write(lease: Lease) -> dict[str, Value]:
    return {
        "leaseOwner": lease.owner,
        "leaseCounter": lease.counter,
        "checkpoint": lease.checkpoint.sequence_number,
        "checkpointSubSequenceNumber": lease.checkpoint.sub_sequence,
        "parentShardIds": list(lease.parents),
        "wantedBy": lease.wanted_by,
        "ownerSwitches": lease.switches,
    }


def _read(item: Mapping[str, Value]) -> Lease:
    sub_sequence = item.get("checkpointSubSequenceNumber")
    return Lease(
        read_text(item, "id").rpartition("#")[2],
        tuple(str(parent) for parent in cast("list[str]", item.get("parentShardIds") or [])),
        owner=read_text(item, "leaseOwner"),
        counter=read_integer(item, "leaseCounter"),
        checkpoint=Checkpoint(
            read_text(item, "checkpoint"),
            None if sub_sequence is None else read_integer(item, "checkpointSubSequenceNumber"),
        ),
        wanted_by=read_text(item, "wantedBy"),
        switches=read_integer(item, "ownerSwitches"),
    )


def _write_span(span: Span) -> dict[str, Value]:
    return {
        "start": span.kind,
        "atMs": span.at_ms,
        "after": json.dumps(dict(span.after)),
        "untilMs": span.until_ms,
        "last": json.dumps(dict(span.last)),
    }


def _read_span(item: Mapping[str, Value]) -> Span:
    return Span(
        cast("Kind", read_text(item, "start")),
        at_ms=read_integer(item, "atMs"),
        after=json.loads(read_text(item, "after")),
        until_ms=None if item.get("untilMs") is None else read_integer(item, "untilMs"),
        last=json.loads(read_text(item, "last")),
    )
