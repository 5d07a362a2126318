"""A look along a DynamoDB table of idempotency records: what no request for one key finds.

Owns the scans and the conditional deletion. Each page is one Scan, strongly consistent, of 1 MB at most before the
filter: a page may be empty with others behind it. A scan reads, and costs, the whole table. Source:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from sluiceway.aws.attributes import decode_item, read_text
from sluiceway.aws.dynamodb import DYNAMODB, Expression, Table
from sluiceway.aws.idempotency import CONFLICT, IN_PROGRESS, read_record
from sluiceway.aws.wire import Caller
from sluiceway.errors import ConditionFailed, ServiceUnavailable
from sluiceway.ports.regions import RecordPage
from sluiceway.rules.idempotency import IdempotencyRecord

__all__ = ["DynamoDbRecordShelf"]

_UNFINISHED: Final = ("#status = :in_progress", {"#status": "status"}, {":in_progress": {"S": IN_PROGRESS}})
_SEEN: Final = "#expiration = :expiration AND #owner = :owner"
_SEEN_UNOWNED: Final = "#expiration = :expiration AND attribute_not_exists(#owner)"  # of another library's making
_SEEN_NAMES: Final = {"#expiration": "expiration", "#owner": "owner"}


class DynamoDbRecordShelf:
    """The records of one table in the Region of the `Caller`. Raises what `Caller.call` raises."""

    def __init__(self, caller: Caller, table: str) -> None:
        self._caller = caller
        self._table = table

    async def unfinished(self, *, after: str = "") -> RecordPage:
        """As `RecordShelf.unfinished`."""
        return await self._scan(*_UNFINISHED, after=after)

    async def expired(self, now_ms: int, *, after: str = "") -> RecordPage:
        """As `RecordShelf.expired`."""
        now_s = {":now_s": {"N": str(now_ms // 1000)}}
        return await self._scan("#expiration < :now_s", {"#expiration": "expiration"}, now_s, after=after)

    async def discard(self, record: IdempotencyRecord) -> bool:
        """As `RecordShelf.discard`; False as well where another Region is modifying the record."""
        token = record.owner.token
        seen = Expression(
            _SEEN if token else _SEEN_UNOWNED,
            names=_SEEN_NAMES,
            values={":expiration": record.expires_s, **({":owner": token} if token else {})},
        )
        try:
            await Table(self._caller, self._table).delete_item({"id": record.key}, condition=seen)
        except ConditionFailed:
            return False
        except ServiceUnavailable as error:
            if error.code != CONFLICT:
                raise
            return False
        return True

    async def _scan(
        self, condition: str, names: Mapping[str, str], values: Mapping[str, Mapping[str, str]], *, after: str
    ) -> RecordPage:
        request: dict[str, object] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "FilterExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        if after:
            request["ExclusiveStartKey"] = {"id": {"S": after}}
        found = (await self._caller.call(DYNAMODB, "Scan", request)).json()
        items = [decode_item(item) for item in cast("list[Any]", found.get("Items") or [])]
        last = found.get("LastEvaluatedKey")
        return RecordPage(tuple(map(read_record, items)), read_text(decode_item(last), "id") if last else "")
