"""Keys that break the schema, operation by operation: where AWS was heard to cancel, and where to refuse at once.

In a transaction a key of another type cancels, with the reason at its place; an empty one refuses the request, and so
does whatever its expressions alone tell. A batch does not say what is wrong with a table's key.
Source: answers that https://github.com/paritysuite/dynamodb-conformance recorded from AWS in four Regions.
"""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.clock import run_virtual
from tests.unit.dynamodb_caller import Caller, table_request

MISMATCH = "The provided key element does not match the schema"
EMPTY = (
    "One or more parameter values are not valid. "
    "The AttributeValue for a key attribute cannot contain an empty string value. Key: pk"
)
INVALID = "One or more parameter values were invalid:"
CANCELLED = "Transaction cancelled, please refer cancellation reasons for specific reasons"
INDEX = {
    "IndexName": "by_text",
    "KeySchema": [{"AttributeName": "text", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
NUMBER, LIST, NOTHING = {"N": "5"}, {"L": [{"S": "x"}]}, {"S": ""}
GOOD = {"Put": {"TableName": "things", "Item": {"pk": {"S": "good"}, "sk": {"S": "s"}}}}


async def opened() -> Caller:
    caller = Caller()
    made = table_request(GlobalSecondaryIndexes=[INDEX])
    made["AttributeDefinitions"].append({"AttributeName": "text", "AttributeType": "S"})
    await caller.ok("CreateTable", **made)
    return caller


def write(kind: str, pk: Any, **more: Any) -> dict[str, Any]:
    """One entry of a transaction on a key."""
    key = {"pk": pk, "sk": {"S": "s"}}
    asked: dict[str, Any] = {"TableName": "things", **({"Item": {**key, **more}} if kind == "Put" else {"Key": key})}
    if kind == "Update":
        asked |= {"UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}
    if kind == "ConditionCheck":
        asked["ConditionExpression"] = "attribute_not_exists(pk)"
    return {kind: asked}


@pytest.mark.parametrize("value", [NUMBER, LIST], ids=["number", "list"])
@pytest.mark.parametrize("kind", ["Put", "Update", "Delete", "ConditionCheck"])
def test_a_key_of_another_type_cancels_a_transaction(kind: str, value: dict[str, Any]) -> None:
    """The reason is ValidationError, with PutItem's words for a Put; nothing of the transaction is done."""
    (actual,) = value
    message = f"{INVALID} Type mismatch for key pk expected: S actual: {actual}" if kind == "Put" else MISMATCH

    async def main() -> None:
        caller = await opened()
        status, body = await caller.call("TransactWriteItems", TransactItems=[GOOD, write(kind, value)])
        assert (status, body["__type"].rpartition("#")[2]) == (400, "TransactionCanceledException")
        assert body["Message"] == f"{CANCELLED} [None, ValidationError]"
        assert body["CancellationReasons"] == [{"Code": "None"}, {"Code": "ValidationError", "Message": message}]
        assert (await caller.ok("Scan", TableName="things"))["Count"] == 0

    run_virtual(main)


@pytest.mark.parametrize("kind", ["Put", "Update", "Delete", "ConditionCheck"])
def test_an_empty_key_refuses_a_transaction(kind: str) -> None:
    """It is no reason of a cancellation."""

    async def main() -> None:
        caller = await opened()
        refused = await caller.refused("TransactWriteItems", TransactItems=[write(kind, NOTHING)])
        assert refused == ("ValidationException", EMPTY)

    run_virtual(main)


def test_an_indexs_key_of_another_type_cancels_too() -> None:
    """A Put of it in the words of PutItem; every fault of a transaction is told."""

    async def main() -> None:
        caller = await opened()
        entries = [write("Put", {"S": "a"}, text=NUMBER), GOOD, write("Delete", NUMBER)]
        _, body = await caller.call("TransactWriteItems", TransactItems=entries)
        words = f"{INVALID} Type mismatch for Index Key text Expected: S Actual: N IndexName: by_text"
        assert body["CancellationReasons"] == [
            {"Code": "ValidationError", "Message": words},
            {"Code": "None"},
            {"Code": "ValidationError", "Message": MISMATCH},
        ]

    run_virtual(main)


@pytest.mark.parametrize("key", [{}, {"pk": NUMBER, "sk": {"S": "s"}}], ids=["none", "number"])
def test_a_read_of_such_a_key_cancels(key: dict[str, Any]) -> None:
    """TransactGetItems, with None for the others."""

    async def main() -> None:
        caller = await opened()
        good = {"Get": {"TableName": "things", "Key": {"pk": {"S": "a"}, "sk": {"S": "s"}}}}
        bad = {"Get": {"TableName": "things", "Key": key}}
        status, body = await caller.call("TransactGetItems", TransactItems=[good, bad, good])
        assert (status, body["Message"]) == (400, f"{CANCELLED} [None, ValidationError, None]")
        assert body["CancellationReasons"][1] == {"Code": "ValidationError", "Message": MISMATCH}
        empty = {"Get": {"TableName": "things", "Key": {"pk": NOTHING, "sk": {"S": "s"}}}}
        assert await caller.refused("TransactGetItems", TransactItems=[empty]) == ("ValidationException", EMPTY)

    run_virtual(main)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"PutRequest": {"Item": {"pk": NUMBER, "sk": {"S": "s"}}}}, MISMATCH),
        ({"PutRequest": {"Item": {"pk": LIST, "sk": {"S": "s"}}}}, MISMATCH),
        ({"PutRequest": {"Item": {"other": {"S": "x"}}}}, MISMATCH),
        ({"DeleteRequest": {"Key": {"other": {"S": "x"}}}}, MISMATCH),
        ({"PutRequest": {"Item": {"pk": NOTHING, "sk": {"S": "s"}}}}, EMPTY),
        (
            {"PutRequest": {"Item": {"pk": {"S": "a"}, "sk": {"S": "s"}, "text": NUMBER}}},
            f"{INVALID} Type mismatch for Index Key text Expected: S Actual: N IndexName: by_text",
        ),
    ],
)
def test_a_batch_does_not_say_what_is_wrong_with_a_tables_key(entry: dict[str, Any], message: str) -> None:
    """Refused whole, at once; an index's key it does name."""

    async def main() -> None:
        caller = await opened()
        refused = await caller.refused("BatchWriteItem", RequestItems={"things": [entry]})
        assert refused == ("ValidationException", message)

    run_virtual(main)


@pytest.mark.parametrize("first", [False, True])
def test_what_expressions_alone_tell_comes_before_any_table(*, first: bool) -> None:
    """A value that no expression uses is told ahead of a table that is not there, wherever either stands."""

    async def main() -> None:
        caller = await opened()
        nowhere = {"Put": {"TableName": "nowhere", "Item": {"pk": {"S": "a"}}}}
        unused = write("ConditionCheck", {"S": "a"})
        unused["ConditionCheck"]["ExpressionAttributeValues"] = {":v": {"S": "x"}}
        entries = [unused, nowhere] if first else [nowhere, unused]
        refused = await caller.refused("TransactWriteItems", TransactItems=entries)
        assert refused == (
            "ValidationException",
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}",
        )

    run_virtual(main)


def test_a_query_has_a_condition_for_each_key_and_no_more() -> None:
    """The third is counted against the schema."""

    async def main() -> None:
        caller = await opened()
        values = {":p": {"S": "q"}, ":a": {"S": "1"}, ":b": {"S": "5"}}
        text = "pk = :p AND sk > :a AND extra = :b"
        refused = await caller.refused(
            "Query", TableName="things", KeyConditionExpression=text, ExpressionAttributeValues=values
        )
        assert refused == (
            "ValidationException",
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        )

    run_virtual(main)
