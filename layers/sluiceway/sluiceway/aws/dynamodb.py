"""DynamoDB item operations: one table, Python values in and out.

Owns the request shapes of the five item operations. Must not know what the items mean. Source:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, cast

from sluiceway.aws.attributes import Item, Value, decode_item, encode_item
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.wire import Caller
from sluiceway.errors import ConditionFailed

__all__ = ["DYNAMODB", "Expression", "Page", "QueryRequest", "ReturnValues", "Table", "found_item", "set_all"]

DYNAMODB: Final = ServiceSpec(
    endpoint_prefix="dynamodb",
    signing_name="dynamodb",
    protocol="json-1.0",
    env_name="DYNAMODB",
    target_prefix="DynamoDB_20120810",
    max_attempts=4,  # these two: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    retry_base_s=0.025,
)
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
ReturnValues = Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]


class Expression(NamedTuple):
    """An expression with its placeholders: `names` fill `#name`, `values` fill `:value`.

    Expressions of one request share their placeholders; DynamoDB refuses one that no expression uses.
    """

    text: str
    names: Mapping[str, str] = _NONE
    values: Mapping[str, Value] = _NONE


def set_all(attributes: Mapping[str, Value]) -> Expression:
    """The update that sets every one of `attributes` (null is a value as well) and leaves the others alone."""
    return Expression(
        "SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
        names={f"#{name}": name for name in attributes},
        values={f":{name}": value for name, value in attributes.items()},
    )


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What to read: `key` is the key condition; `limit` items evaluated at most (0: one page of 1 MB).

    `start` is the `next_key` of the page before. `index` names a secondary index, "" for the table.
    """

    key: Expression
    filter: Expression | None = None
    index: str = ""
    limit: int = 0
    forward: bool = True
    consistent: bool = False
    start: Item | None = None


class Page(NamedTuple):
    """Items of one query; `next_key` starts the next page, None after the last."""

    items: tuple[dict[str, Value], ...]
    next_key: dict[str, Value] | None


class Table:
    """One table. Holds no connection: those are the `Caller`'s.

    Every method raises what `Caller.call` raises, and `Rejected` (reason `invalid-attribute`) for a value that DynamoDB
    cannot hold. A conditional write that does not hold raises `ConditionFailed`, whose `found_item` is what is stored.
    A retry whose first answer was lost may find its own write: compare `found_item` with what was to be written.
    """

    def __init__(self, caller: Caller, name: str) -> None:
        self._caller = caller
        self.name = name

    async def get_item(
        self, key: Item, *, consistent: bool = True, deadline: float | None = None
    ) -> dict[str, Value] | None:
        """The item under `key`, strongly consistent unless told otherwise; None where there is none."""
        request: dict[str, object] = {"Key": encode_item(key), "ConsistentRead": consistent}
        found = await self._call("GetItem", request, deadline)
        return decode_item(found["Item"]) if "Item" in found else None

    async def put_item(self, item: Item, *, condition: Expression | None = None, deadline: float | None = None) -> None:
        """Write `item` whole, if `condition` holds for what is stored."""
        request: dict[str, object] = {"Item": encode_item(item), **_conditional(condition)}
        await self._call("PutItem", request, deadline)

    async def update_item(
        self,
        key: Item,
        update: Expression,
        *,
        condition: Expression | None = None,
        returning: ReturnValues = "NONE",
        deadline: float | None = None,
    ) -> dict[str, Value]:
        """Change the item under `key`, if `condition` holds; the attributes that `returning` names, {} for NONE."""
        request: dict[str, object] = {
            "Key": encode_item(key),
            "UpdateExpression": update.text,
            "ReturnValues": returning,
            **_conditional(condition, update),
        }
        found = await self._call("UpdateItem", request, deadline)
        return decode_item(found.get("Attributes") or {})

    async def delete_item(
        self,
        key: Item,
        *,
        condition: Expression | None = None,
        returning: Literal["NONE", "ALL_OLD"] = "NONE",
        deadline: float | None = None,
    ) -> dict[str, Value]:
        """Delete the item under `key`, if `condition` holds; what it was when `returning` is ALL_OLD, else {}."""
        request: dict[str, object] = {"Key": encode_item(key), "ReturnValues": returning, **_conditional(condition)}
        found = await self._call("DeleteItem", request, deadline)
        return decode_item(found.get("Attributes") or {})

    async def query(self, what: QueryRequest, *, deadline: float | None = None) -> Page:
        """One page of the items that `what.key` selects, in the order of the sort key."""
        request: dict[str, object] = {
            "KeyConditionExpression": what.key.text,
            "ScanIndexForward": what.forward,
            "ConsistentRead": what.consistent,
            **_placeholders(what.key, what.filter),
        }
        if what.filter is not None:
            request["FilterExpression"] = what.filter.text
        if what.index:
            request["IndexName"] = what.index
        if what.limit:
            request["Limit"] = what.limit
        if what.start is not None:
            request["ExclusiveStartKey"] = encode_item(what.start)
        found = await self._call("Query", request, deadline)
        last = found.get("LastEvaluatedKey")
        return Page(
            tuple(decode_item(item) for item in cast("list[Any]", found.get("Items") or [])),
            decode_item(last) if last else None,
        )

    async def query_all(self, what: QueryRequest, *, deadline: float | None = None) -> list[dict[str, Value]]:
        """The items of every page from `what.start` on, in the order of the sort key."""
        page = await self.query(what, deadline=deadline)
        found = [*page.items]
        while page.next_key is not None:
            page = await self.query(replace(what, start=page.next_key), deadline=deadline)
            found += page.items
        return found

    async def _call(self, operation: str, request: dict[str, object], deadline: float | None) -> dict[str, Any]:
        request["TableName"] = self.name
        reply = await self._caller.call(DYNAMODB, operation, request, deadline=deadline)
        return reply.json()


def found_item(error: ConditionFailed) -> dict[str, Value] | None:
    """The item that a failed condition met, in Python values; None where there is none."""
    return decode_item(error.item) if error.item else None


def _conditional(condition: Expression | None, *others: Expression) -> dict[str, object]:
    if condition is None:
        return _placeholders(*others)
    return {
        "ConditionExpression": condition.text,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **_placeholders(condition, *others),
    }


def _placeholders(*expressions: Expression | None) -> dict[str, object]:
    """The merged names and values; one placeholder with two meanings is a fault of the caller's code."""
    names: dict[str, str] = {}
    values: dict[str, Value] = {}
    for expression in expressions:
        if expression is None:
            continue
        _merge(names, expression.names)
        _merge(values, expression.values)
    request: dict[str, object] = {}
    if names:
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = encode_item(values)
    return request


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for placeholder, meaning in more.items():
        if placeholder in into and into[placeholder] != meaning:
            raise ValueError(f"placeholder {placeholder} means two things in one request")
        into[placeholder] = meaning
