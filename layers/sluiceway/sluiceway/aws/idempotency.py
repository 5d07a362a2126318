"""Idempotency records in a DynamoDB table, in the shape that Powertools for AWS Lambda (Python) 3.37 reads and writes.

Owns the attributes and the conditions. The key is `id`, the TTL attribute `expiration`; `status`,
`in_progress_expiration`, `data` and `validation` are Powertools' as well; `owner`, `data_key`, `region` and `epoch` are
ours. Every write but the first is conditional on `owner`. Requests are made in wire form, since a claim and an end are
the whole cost of a guarded call (bench/idempotency.py). In a strongly consistent global table a write is refused while
another Region writes the same item, which is neither a failed condition nor an outage: it is tried until the deadline.
Must not know what a found record means for the caller. Sources:
https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/ and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/multi-region-strong-consistency-gt.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, cast

from sluiceway.aws.attributes import Value, read_integer, read_text
from sluiceway.aws.dynamodb import DYNAMODB, Table, found_item
from sluiceway.aws.wire import Caller
from sluiceway.errors import ConditionFailed, Rejected, Retryable, ServiceUnavailable, Withheld
from sluiceway.ports import Chance, SystemChance
from sluiceway.rules.idempotency import IdempotencyRecord, Owner

__all__ = ["CONFLICT", "IN_PROGRESS", "DynamoDbIdempotencyStore", "read_record"]

MAX_DATA_BYTES: Final = 350_000  # of an item's 400 KB: keys and the other attributes need 3 KB at most

CONFLICT: Final = "ReplicatedWriteConflictException"
FIRST_PAUSE_S: Final = 0.05  # after the wire client's own attempts; about a way to another Region and back
LONGEST_PAUSE_S: Final = 1.0
INSIST_S: Final = 5.0  # where there is no deadline

IN_PROGRESS: Final = "INPROGRESS"
COMPLETED: Final = "COMPLETED"
SPILLED: Final = "(spilled)"  # no JSON: Powertools fails on it, where an absent value would be replayed as null
NOT_KEPT: Final = "(not kept)"

_FREE: Final = "attribute_not_exists(#id) OR #expiration < :now_s"
_FREE_OR_LAPSED: Final = f"{_FREE} OR (#status = :in_progress AND #lease < :now_ms)"
_OURS: Final = "#owner = :owner AND #status = :in_progress"
_FREE_NAMES: Final = {"#id": "id", "#expiration": "expiration"}
_LAPSED_NAMES: Final = {**_FREE_NAMES, "#status": "status", "#lease": "in_progress_expiration"}
_OURS_NAMES: Final = {"#owner": "owner", "#status": "status"}
_RENEWABLE: Final = f"{_OURS} AND #lease <= :lease"  # a late copy of an earlier renewal shortens nothing
_RENEW: Final = "SET #lease = :lease, #expiration = :expiration"
_RENEW_NAMES: Final = {**_OURS_NAMES, "#lease": "in_progress_expiration", "#expiration": "expiration"}
_COMPLETE: Final = "SET #status = :status, #data = :data, #expiration = :expiration"
_COMPLETE_NAMES: Final = {**_OURS_NAMES, "#data": "data", "#expiration": "expiration"}
_SPILL: Final = f"{_COMPLETE}, #data_key = :data_key"
_SPILL_NAMES: Final = {**_COMPLETE_NAMES, "#data_key": "data_key"}
_IN_PROGRESS: Final = {"S": IN_PROGRESS}

_Wire = dict[str, dict[str, str]]


class DynamoDbIdempotencyStore:
    """Records in one table. Holds no connection: those are the `Caller`'s.

    Raises what `Caller.call` raises, and Withheld where other Regions wrote the same item until the deadline.
    """

    def __init__(self, caller: Caller, table: str, *, chance: Chance | None = None) -> None:
        self._caller = caller
        self._table = table
        self._chance = chance

    async def claim(
        self, record: IdempotencyRecord, *, now_ms: int, rerun: bool, deadline: float | None = None
    ) -> IdempotencyRecord | None:
        """As `IdempotencyStore.claim`. A retry whose first answer was lost finds its own record: that is a claim."""
        values: _Wire = {":now_s": {"N": str(now_ms // 1000)}}
        if rerun:
            values |= {":in_progress": _IN_PROGRESS, ":now_ms": {"N": str(now_ms)}}
        request: dict[str, object] = {
            "Item": _write(record),
            "ConditionExpression": _FREE_OR_LAPSED if rerun else _FREE,
            "ExpressionAttributeNames": _LAPSED_NAMES if rerun else _FREE_NAMES,
            "ExpressionAttributeValues": values,
        }
        try:
            await self._call("PutItem", request, deadline)
        except ConditionFailed as error:
            found = found_item(error)
            if not found:
                raise
            return None if read_text(found, "owner") == record.owner.token else read_record(found)
        return None

    async def get(self, key: str, *, deadline: float | None = None) -> IdempotencyRecord | None:
        """As `IdempotencyStore.get`."""
        item = await Table(self._caller, self._table).get_item({"id": key}, deadline=deadline)
        return None if item is None else read_record(item)

    async def write(self, record: IdempotencyRecord, *, deadline: float | None = None) -> bool:
        """As `IdempotencyStore.write`. A result of more than 350,000 bytes is too large."""
        update, names, values = _complete(record) if record.is_complete else _renew(record)
        values |= {":owner": {"S": record.owner.token}, ":in_progress": _IN_PROGRESS}
        request: dict[str, object] = {
            "Key": {"id": {"S": record.key}},
            "UpdateExpression": update,
            "ConditionExpression": _OURS if record.is_complete else _RENEWABLE,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        try:
            await self._call("UpdateItem", request, deadline)
        except ConditionFailed as error:
            found = found_item(error)
            return bool(found) and _is_stored(read_record(cast("Mapping[str, Value]", found)), record)
        return True

    async def release(self, record: IdempotencyRecord) -> None:
        """As `IdempotencyStore.release`."""
        request: dict[str, object] = {
            "Key": {"id": {"S": record.key}},
            "ConditionExpression": _OURS,
            "ExpressionAttributeNames": _OURS_NAMES,
            "ExpressionAttributeValues": {":owner": {"S": record.owner.token}, ":in_progress": _IN_PROGRESS},
        }
        try:
            await self._call("DeleteItem", request, None)
        except ConditionFailed:
            return

    async def _call(self, operation: str, request: dict[str, object], deadline: float | None) -> None:
        request["TableName"] = self._table
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            await self._caller.call(DYNAMODB, operation, request, deadline=deadline)
        except ServiceUnavailable as error:
            if error.code != CONFLICT:
                raise
            await self._insist(operation, request, deadline)

    async def _insist(self, operation: str, request: dict[str, object], deadline: float | None) -> None:
        """Try until no other Region writes the item, or Withheld: whoever writes it may be at the work already."""
        loop, chance = asyncio.get_running_loop(), self._chance or SystemChance()
        give_up_at = loop.time() + INSIST_S if deadline is None else deadline
        pause_s = FIRST_PAUSE_S
        while True:
            wait_s = pause_s * (0.5 + chance.draw() / 2)
            if loop.time() + wait_s >= give_up_at:
                raise Withheld(f"other Regions write the same record: {operation} was refused until the deadline")
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            try:
                await self._caller.call(DYNAMODB, operation, request, deadline=give_up_at)
            except ServiceUnavailable as error:
                if error.code != CONFLICT:
                    raise Withheld("another Region wrote the same record, and now the store is away") from error
            except Retryable as error:
                raise Withheld("another Region wrote the same record, and no time is left") from error
            else:
                return


def _is_stored(found: IdempotencyRecord, record: IdempotencyRecord) -> bool:
    """Whether the write is stored already, or a renewal came after a later one."""
    if found.owner.token != record.owner.token or found.is_complete != record.is_complete:
        return False
    return not record.is_complete or (found.data, found.data_key) == (record.data, record.data_key)


def _write(record: IdempotencyRecord) -> _Wire:
    """A record in progress, in wire form; what is "" or 0 is left out."""
    owner = record.owner
    item: _Wire = {
        "id": {"S": record.key},
        "status": _IN_PROGRESS,
        "expiration": {"N": str(record.expires_s)},
        "owner": {"S": owner.token},
    }
    if record.lease_until_ms:
        item["in_progress_expiration"] = {"N": str(record.lease_until_ms)}
    if record.payload_hash:
        item["validation"] = {"S": record.payload_hash}
    if owner.region:
        item["region"] = {"S": owner.region}
    if owner.epoch:
        item["epoch"] = {"N": str(owner.epoch)}
    return item


def _renew(record: IdempotencyRecord) -> tuple[str, Mapping[str, str], _Wire]:
    return (
        _RENEW,
        _RENEW_NAMES,
        {":lease": {"N": str(record.lease_until_ms)}, ":expiration": {"N": str(record.expires_s)}},
    )


def _complete(record: IdempotencyRecord) -> tuple[str, Mapping[str, str], _Wire]:
    """Raises Rejected (`result-too-large`)."""
    data = record.data
    if data is None:
        data = SPILLED if record.data_key else NOT_KEPT
    elif len(data) > MAX_DATA_BYTES or (not data.isascii() and len(data.encode()) > MAX_DATA_BYTES):
        raise Rejected(f"a result has {MAX_DATA_BYTES} bytes at most", reason="result-too-large")
    values: _Wire = {
        ":status": {"S": COMPLETED},
        ":data": {"S": data},
        ":expiration": {"N": str(record.expires_s)},
    }
    if not record.data_key:
        return _COMPLETE, _COMPLETE_NAMES, values
    values[":data_key"] = {"S": record.data_key}
    return _SPILL, _SPILL_NAMES, values


def read_record(item: Mapping[str, Value]) -> IdempotencyRecord:
    """A record of ours or of Powertools. A complete one of theirs without `data` gave None."""
    data, is_complete = read_text(item, "data"), read_text(item, "status") == COMPLETED
    kept = is_complete and data not in {SPILLED, NOT_KEPT}
    return IdempotencyRecord(
        key=read_text(item, "id"),
        owner=Owner(read_text(item, "owner"), read_text(item, "region"), read_integer(item, "epoch")),
        expires_s=read_integer(item, "expiration"),
        lease_until_ms=read_integer(item, "in_progress_expiration"),
        is_complete=is_complete,
        data=(data or "null") if kept else None,
        payload_hash=read_text(item, "validation"),
        data_key=read_text(item, "data_key"),
    )
