"""DynamoDB operations: the bodies botocore would send for the same calls, and how answers are read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.aws.dynamodb import DYNAMODB, Expression, QueryRequest, Table, found_item
from sluiceway.aws.reply import Reply
from sluiceway.errors import ConditionFailed
from tests.fakes import RecordingCaller

MODEL = botocore.session.get_session().get_service_model("dynamodb")
SERIALIZER = create_serializer("json", include_validation=True)

names = st.text(min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
items = st.dictionaries(names, values, max_size=5)
keys = st.fixed_dictionaries({"id": st.text(min_size=1, max_size=20)})


def botocore_body(operation: str, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    sent = SERIALIZER.serialize_to_request(params, MODEL.operation_model(operation))
    return json.loads(sent["body"]), sent["headers"]


def boto_item(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def sent_by(caller: RecordingCaller) -> dict[str, Any]:
    assert len(caller.calls) == 1
    body = caller.calls[0].body
    assert not isinstance(body, bytes)
    return json.loads(json.dumps(body))


def test_dynamodb_is_tried_more_often_and_sooner_than_other_services():
    """Four attempts and 25 ms at first, as the SDKs have it since their revision of 2026."""
    assert (DYNAMODB.max_attempts, DYNAMODB.retry_base_s) == (4, 0.025)


@given(key=keys, item=items, conditional=st.booleans())
@settings(max_examples=60)
async def test_get_put_update_delete_send_what_botocore_sends(*, key: Any, item: Any, conditional: bool) -> None:
    """For any key and item the four item operations send botocore's body, with and without a condition."""
    condition = Expression("#s = :old OR attribute_not_exists(#s)", {"#s": "state"}, {":old": key["id"]})
    told: dict[str, Any] = {}
    if conditional:
        told = {
            "ConditionExpression": condition.text,
            "ExpressionAttributeNames": dict(condition.names),
            "ExpressionAttributeValues": boto_item(dict(condition.values)),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    when = condition if conditional else None
    boto_key = boto_item(key)
    expected = [
        ("GetItem", {"Key": boto_key, "ConsistentRead": True}),
        ("PutItem", {"Item": boto_item(item), **told}),
        ("DeleteItem", {"Key": boto_key, "ReturnValues": "NONE", **told}),
    ]
    caller = RecordingCaller()
    table = Table(caller, "jobs")
    await table.get_item(key)
    await table.put_item(item, condition=when)
    await table.delete_item(key, condition=when)
    for call, (operation, params) in zip(caller.calls, expected, strict=True):
        body, headers = botocore_body(operation, {"TableName": "jobs", **params})
        assert json.loads(json.dumps(call.body)) == body
        assert f"{call.service.target_prefix}.{call.operation}" == headers["X-Amz-Target"]
        assert headers["Content-Type"] == "application/x-amz-json-1.0"
        assert call.service.protocol == "json-1.0"


@given(keys, values)
async def test_update_merges_the_placeholders_of_both_expressions(key: Any, value: Any) -> None:
    """An update with a condition sends the union of their names and values, as botocore would."""
    caller = RecordingCaller()
    update = Expression("SET #a = :new", {"#a": "a", "#s": "state"}, {":new": value})
    condition = Expression("#s = :old", {"#s": "state"}, {":old": "queued"})
    await Table(caller, "jobs").update_item(key, update, condition=condition, returning="ALL_NEW")
    body, _ = botocore_body(
        "UpdateItem",
        {
            "TableName": "jobs",
            "Key": boto_item(key),
            "UpdateExpression": "SET #a = :new",
            "ConditionExpression": "#s = :old",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ReturnValues": "ALL_NEW",
            "ExpressionAttributeNames": {"#a": "a", "#s": "state"},
            "ExpressionAttributeValues": boto_item({":new": value, ":old": "queued"}),
        },
    )
    assert sent_by(caller) == body


@pytest.mark.parametrize("filtered", [False, True])
async def test_query_sends_what_botocore_sends(*, filtered: bool) -> None:
    """Every member of a query arrives under its own name; what is not asked for is not sent."""
    caller = RecordingCaller()
    key = Expression("#k = :k", {"#k": "owner"}, {":k": "ann"})
    what = QueryRequest(key)
    told: dict[str, Any] = {}
    if filtered:
        what = QueryRequest(
            key,
            filter=Expression("#n > :n", {"#n": "attempt"}, {":n": 2}),
            index="by_owner",
            limit=5,
            forward=False,
            consistent=True,
            start={"owner": "ann", "job_id": "j"},
        )
        told = {
            "FilterExpression": "#n > :n",
            "IndexName": "by_owner",
            "Limit": 5,
            "ExclusiveStartKey": boto_item({"owner": "ann", "job_id": "j"}),
        }
    await Table(caller, "jobs").query(what)
    body, _ = botocore_body(
        "Query",
        {
            "TableName": "jobs",
            "KeyConditionExpression": "#k = :k",
            "ScanIndexForward": not filtered,
            "ConsistentRead": filtered,
            "ExpressionAttributeNames": {"#k": "owner", **({"#n": "attempt"} if filtered else {})},
            "ExpressionAttributeValues": boto_item({":k": "ann", **({":n": 2} if filtered else {})}),
            **told,
        },
    )
    assert sent_by(caller) == body


async def test_reads_items_and_pages() -> None:
    """Answers come back as Python values; a page says where the next one starts."""
    item = {"id": {"S": "a"}, "n": {"N": "1.5"}}
    caller = RecordingCaller(
        [
            Reply(200, {}, json.dumps({"Item": item}).encode()),
            Reply(200, {}, b"{}"),
            Reply(200, {}, json.dumps({"Items": [item], "LastEvaluatedKey": {"id": {"S": "a"}}}).encode()),
            Reply(200, {}, json.dumps({"Items": [], "Count": 0}).encode()),
            Reply(200, {}, json.dumps({"Attributes": item}).encode()),
        ]
    )
    table = Table(caller, "t")
    value = {"id": "a", "n": Decimal("1.5")}
    assert await table.get_item({"id": "a"}, deadline=9.0) == value
    assert await table.get_item({"id": "b"}, consistent=False) is None
    query = QueryRequest(Expression("id = :i", values={":i": "a"}))
    page = await table.query(query)
    assert (page.items, page.next_key) == ((value,), {"id": "a"})
    page = await table.query(query)
    assert (page.items, page.next_key) == ((), None)
    assert await table.delete_item({"id": "a"}, returning="ALL_OLD") == value
    assert caller.calls[0].deadline == 9.0


async def test_all_pages_of_a_query_are_read_in_order() -> None:
    """Each from where the one before says, with what the query asks for; the last one names no other."""
    last = {"id": {"S": "a"}}
    pages = [{"Items": [{"n": {"N": "1"}}], "LastEvaluatedKey": last}, {"LastEvaluatedKey": last}, {"Items": [last]}]
    caller = RecordingCaller([Reply(200, {}, json.dumps(page).encode()) for page in pages])
    query = QueryRequest(Expression("id = :i", values={":i": "a"}), index="by_n", consistent=True)
    assert await Table(caller, "t").query_all(query, deadline=9.0) == [{"n": 1}, {"id": "a"}]
    asked = [dict(call.body) for call in caller.calls]
    assert [each.pop("ExclusiveStartKey", None) for each in asked] == [None, last, last]
    assert asked[0] == asked[1] == asked[2]
    assert {call.deadline for call in caller.calls} == {9.0}


def test_a_failed_condition_tells_the_item_it_met() -> None:
    """`found_item` reads the ALL_OLD item of a ConditionFailed, None where there was none."""
    error = ConditionFailed("no", service="dynamodb", operation="PutItem", code="ConditionalCheckFailedException")
    assert found_item(error) is None
    error.item = {"n": {"N": "3"}}
    assert found_item(error) == {"n": 3}


async def test_one_placeholder_with_two_meanings_is_a_fault_of_the_code() -> None:
    """Merging expressions never lets one silently win."""
    update = Expression("SET a = :x", values={":x": 1})
    condition = Expression("a = :x", values={":x": 2})
    with pytest.raises(ValueError, match=":x means two things"):
        await Table(RecordingCaller(), "t").update_item({"id": "a"}, update, condition=condition)
