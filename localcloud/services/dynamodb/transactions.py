"""TransactWriteItems and TransactGetItems: all or nothing, in one step.

Owns the checks over a whole transaction, its cancellation reasons and the ten minutes of a ClientRequestToken.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from localcloud.services.dynamodb.capacity import (
    Usage,
    capacity_mode,
    describe_usage,
    merge_usage,
    read_units,
    read_usage,
    wants_metrics,
    write_usage,
)
from localcloud.services.dynamodb.errors import DynamoError, member_violation, validation
from localcloud.services.dynamodb.expressions import parse_projection, project_item
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import primary_key
from localcloud.services.dynamodb.table import Change
from localcloud.services.dynamodb.throttling import THROTTLED, charge_read, check_read
from localcloud.services.dynamodb.values import Item, encode_item, item_size
from localcloud.services.dynamodb.writes import Draft, Write, measure_collections, open_bindings, read_draft

__all__ = ["transact_get_items", "transact_write_items"]

MAX_ACTIONS: Final = 100  # transaction-apis.html
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024  # transaction-apis.html
TOKEN_LIFE_S: Final = 600.0  # transaction-apis.html, "Idempotency"
_WRITE_MEMBERS: Final = (
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
)
_KINDS: Final = {
    "Put": (*_WRITE_MEMBERS, "Item"),
    "Update": (*_WRITE_MEMBERS, "Key", "UpdateExpression"),
    "Delete": (*_WRITE_MEMBERS, "Key"),
    "ConditionCheck": (*_WRITE_MEMBERS, "Key"),
}


def transact_write_items(database: Database, request: Members) -> dict[str, Any]:
    """TransactWriteItems: every write, or none and the reasons. Raises DynamoError."""
    request.only("TransactItems", "ClientRequestToken", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics")
    mode = capacity_mode(request)
    is_measured = wants_metrics(request)
    token = _check_token(request)
    entries = _entries(request)
    fingerprint = json.dumps(request.required("TransactItems"), sort_keys=True)
    is_repeat = token is not None and _is_repeat(database, token, fingerprint)
    writes = _resolve(database, [_read_entry(entry) for entry in entries])
    if is_repeat:  # which costs what reading the items costs
        return {} if mode == "NONE" else {"ConsumedCapacity": _describe(map(_reread, writes), mode)}
    places = [(write.table.definition.name, write.key) for write in writes]
    if len(set(places)) != len(places):
        raise validation("Transaction request cannot include multiple operations on one item")
    images = _settle(writes)
    with database.together():
        changes = [
            write.apply(image) for write, image in zip(writes, images, strict=True) if write.kind != "ConditionCheck"
        ]
    if token is not None:
        database.tokens[token] = (database.clock.time() + TOKEN_LIFE_S, fingerprint)
    answer: dict[str, Any] = {}
    if mode != "NONE":
        answer["ConsumedCapacity"] = _describe(_usages(writes, changes), mode)
    metrics = measure_collections(writes) if is_measured else {}
    if metrics:
        answer["ItemCollectionMetrics"] = metrics
    return answer


def transact_get_items(database: Database, request: Members) -> dict[str, Any]:
    """TransactGetItems: items as they stand at one moment. Raises DynamoError."""
    request.only("TransactItems", "ReturnConsumedCapacity")
    mode = capacity_mode(request)
    responses: list[dict[str, Any]] = []
    usages: list[Usage] = []
    entries = _entries(request)
    for entry in entries:
        entry.only("Get").required("Get")
        get = entry.structure("Get") or Members({})
        get.only("TableName", "Key", "ProjectionExpression", "ExpressionAttributeNames")
        name, given = get.table(), get.item("Key")
        bindings = open_bindings(get, ("ProjectionExpression",))
        text = get.text("ProjectionExpression")
        projection = None if text is None else parse_projection(text, bindings)
        bindings.settle()
        table = database.table(name)
        try:
            record = table.records.get(primary_key(table.definition, given, exact=True))
            check_read(table)
        except DynamoError as error:
            if not error.schema and error.code not in THROTTLED:
                raise
            throttled = [{"Code": "None"}] * len(responses)
            raise _cancelled(
                [*throttled, _reason(error), *[{"Code": "None"}] * (len(entries) - len(responses) - 1)]
            ) from error
        if record is None:
            responses.append({})
        else:
            item = record.item if projection is None else project_item(record.item, projection)
            responses.append({"Item": encode_item(item)})
        size = 0 if record is None else record.size_bytes
        units = read_units(size, consistent=True, transactional=True)
        usages.append(read_usage(table, units, transactional=True))
        charge_read(usages[-1])
    answer: dict[str, Any] = {"Responses": responses}
    if mode != "NONE":
        answer["ConsumedCapacity"] = _describe(usages, mode)
    return answer


def _entries(request: Members) -> list[Members]:
    entries = list(request.structures("TransactItems"))
    if not entries:
        raise member_violation("[]", "transactItems", "Member must have length greater than or equal to 1")
    if len(entries) > MAX_ACTIONS:
        shown = f"[{', '.join('...' for _ in range(3))}]"
        raise member_violation(shown, "transactItems", f"Member must have length less than or equal to {MAX_ACTIONS}")
    return entries


def _check_token(request: Members) -> str | None:
    token = request.text("ClientRequestToken")
    if token is None or 1 <= len(token) <= 36:  # API_TransactWriteItems.html, ClientRequestToken
        return token
    bound = "greater than or equal to 1" if not token else "less than or equal to 36"
    raise member_violation(token, "clientRequestToken", f"Member must have length {bound}")


def _is_repeat(database: Database, token: str, fingerprint: str) -> bool:
    now = database.clock.time()
    while database.tokens and next(iter(database.tokens.values()))[0] <= now:  # they stand in the order of their time
        del database.tokens[next(iter(database.tokens))]
    found = database.tokens.get(token)
    if found is not None and found[1] != fingerprint:
        raise DynamoError(
            "IdempotentParameterMismatchException",
            "Idempotency token was used with different request parameters",
        )
    return found is not None


def _resolve(database: Database, drafts: Sequence[Draft]) -> list[Write]:
    """The writes on their tables. Raises DynamoError, whose keys do not match a schema in the reasons.

    Real answers tell the two apart: an empty key is refused at once, one of another type cancels the transaction.
    """
    writes: list[Write] = []
    reasons: list[dict[str, Any]] = []
    for draft in drafts:
        reason: dict[str, Any] = {"Code": "None"}
        try:
            writes.append(draft.resolve(database))
        except DynamoError as error:
            if not error.schema:
                raise
            reason = _reason(error)
        reasons.append(reason)
    if len(writes) < len(drafts):
        raise _cancelled(reasons)
    return writes


def _read_entry(entry: Members) -> Draft:
    kinds = [kind for kind in _KINDS if kind in entry]
    entry.only(*_KINDS)
    if len(kinds) != 1:
        raise validation("TransactItems can only contain one of Check, Put, Update or Delete")
    inner = entry.structure(kinds[0]) or Members({})
    inner.only(*_KINDS[kinds[0]])
    if kinds[0] == "Update":
        inner.required("UpdateExpression")
    return read_draft(kinds[0], inner)


def _settle(writes: Sequence[Write]) -> list[Item | None]:
    """The image after each write. Raises DynamoError (TransactionCanceledException) where any write may not be."""
    images: list[Item | None] = []
    reasons: list[dict[str, Any]] = []
    for write in writes:
        reason: dict[str, Any] = {"Code": "None"}
        try:
            write.check()
            image = write.image()
            write.spend(image, transactional=True)
            images.append(image)
        except DynamoError as error:
            reason = _reason(error)
        reasons.append(reason)
    if any(reason["Code"] != "None" for reason in reasons):
        raise _cancelled(reasons)
    if sum(item_size(image) for image in images if image is not None) > MAX_TRANSACTION_BYTES:
        raise validation("Transaction request size exceeded the maximum allowed size of 4 MB")
    return images


def _reason(error: DynamoError) -> dict[str, Any]:
    throttled = THROTTLED.get(error.code)
    if throttled is not None:
        return {"Code": throttled, "Message": error.message}
    code = "ConditionalCheckFailed" if error.code.startswith("Conditional") else "ValidationError"
    return {"Code": code, "Message": error.message, **error.fields}


def _cancelled(reasons: Sequence[Mapping[str, Any]]) -> DynamoError:
    codes = ", ".join(str(reason["Code"]) for reason in reasons)
    return DynamoError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        fields={"CancellationReasons": list(reasons)},
    )


def _reread(write: Write) -> Usage:
    size = 0 if write.old is None else write.old.size_bytes
    return read_usage(write.table, read_units(size, consistent=True, transactional=True), transactional=True)


def _usages(writes: Sequence[Write], changes: Sequence[Change]) -> list[Usage]:
    checks = [write.usage(None, transactional=True) for write in writes if write.kind == "ConditionCheck"]
    return [*(write_usage(change, transactional=True) for change in changes), *checks]


def _describe(usages: Iterable[Usage], mode: str) -> list[dict[str, Any]]:
    return [describe_usage(usage, mode) for usage in merge_usage(usages)]
