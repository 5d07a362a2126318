"""Every operation of the API is served or refused by name; tags, policies, limits, metrics and transactional units."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import Permission
from localcloud.services.dynamodb.account import REFUSED
from localcloud.services.dynamodb.store import Store
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import Caller as Principal
from localcloud.services.iam.policy import Document, evaluate
from localcloud.template.errors import TemplateError
from tests.unit.dynamodb_caller import ARN, REGION, Caller, table_request, wire_request

MODEL: Any = botocore.session.get_session().get_service_model("dynamodb")
OPERATIONS: list[str] = list(MODEL.operation_names)
ROLE = "arn:aws:iam::123456789012:role/reader"
POLICY = json.dumps({
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "dynamodb:GetItem", "Resource": ARN},
        {"Effect": "Deny", "Principal": "*", "Action": "dynamodb:Scan", "Resource": f"{ARN}/index/*"},
    ],
})  # fmt: skip
LOCAL = {
    "IndexName": "by_day",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
    "Projection": {"ProjectionType": "ALL"},
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_operation_is_served_or_refused_with_a_reason(operation: str) -> None:
    """What the SDK can send is either known, or refused by its name with what is there instead; never both."""
    status, body = await Caller().call(operation)
    code = body.get("__type", "").rpartition("#")[2]
    assert (code == "UnknownOperationException") == (operation in REFUSED), body
    if operation in REFUSED:
        expected = f"The local cloud does not serve the DynamoDB operation {operation}: {REFUSED[operation]}"
        assert (status, body["message"]) == (400, expected)


@given(operation=st.sampled_from(OPERATIONS), data=st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_that_is_sent_is_an_error_of_the_local_clouds(operation: str, data: st.DataObject) -> None:
    """Members of the right names and of any type are answered or refused; nothing raises and no status is 5xx."""
    shape = MODEL.operation_model(operation).input_shape
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 2**40) | st.sampled_from(["", "things", ARN, "a" * 40]),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["S", "N", "Key", "things"]), inner)
        ),
        max_leaves=5,
    )
    assert shape is not None
    names: list[str] = list(shape.members) or ["None"]
    request = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=4))

    async def run() -> None:
        caller = Caller()
        await caller.ok("CreateTable", **table_request())
        caller.service.permissions(wire_request(operation, request))
        status, _ = await caller.call(operation, **request)
        assert status in {200, 400}

    run_virtual(run)


async def test_limits_and_endpoints_are_told() -> None:
    """The quotas are a new account's; the endpoint is the address that was called, so that nobody is led away."""
    caller = Caller()
    assert await caller.ok("DescribeLimits") == {
        "AccountMaxReadCapacityUnits": 80_000,
        "AccountMaxWriteCapacityUnits": 80_000,
        "TableMaxReadCapacityUnits": 40_000,
        "TableMaxWriteCapacityUnits": 40_000,
    }
    request = wire_request("DescribeEndpoints", {}, host="127.0.0.1:4600")
    answer = await caller.service.handle(request)
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["Endpoints"] == [{"Address": "127.0.0.1:4600", "CachePeriodInMinutes": 1440}]
    assert caller.service.permissions(request) == (Permission("dynamodb:DescribeEndpoints", "*"),)


async def test_tags_come_and_go() -> None:
    """TagResource adds and overwrites, UntagResource takes away, and permissions see what is asked for."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request(Tags=[{"Key": "team", "Value": "a"}]))
    given_tags = [{"Key": "team", "Value": "b"}, {"Key": "cost", "Value": ""}]
    assert await caller.ok("TagResource", ResourceArn=ARN, Tags=given_tags) == {}
    assert (await caller.ok("ListTagsOfResource", ResourceArn=ARN))["Tags"] == given_tags
    await caller.ok("UntagResource", ResourceArn=ARN, TagKeys=["team", "unknown"])
    assert (await caller.ok("ListTagsOfResource", ResourceArn=ARN))["Tags"] == given_tags[1:]
    (tagging,) = caller.service.permissions(wire_request("TagResource", {"ResourceArn": ARN, "Tags": given_tags[:1]}))
    assert (tagging.action, tagging.resource) == ("dynamodb:TagResource", ARN)
    assert ("aws:RequestTag/team", "b") in tagging.context
    assert ("aws:ResourceTag/cost", "") in tagging.context
    (untagging,) = caller.service.permissions(wire_request("UntagResource", {"ResourceArn": ARN, "TagKeys": ["team"]}))
    assert ("aws:TagKeys", "team") in untagging.context


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"Tags": [{"Key": "", "Value": "x"}]}, "ValidationException", "length greater than or equal to 1"),
        ({"Tags": [{"Key": "k" * 129, "Value": "x"}]}, "ValidationException", "length less than or equal to 128"),
        ({"Tags": [{"Key": "k", "Value": "x" * 257}]}, "ValidationException", "length less than or equal to 256"),
        ({"Tags": [{"Key": "aws:k", "Value": "x"}]}, "ValidationException", "has the reserved prefix"),
        ({"Tags": [{"Key": "k", "Value": "x"}] * 2}, "ValidationException", "Duplicate Key"),
        (
            {"Tags": [{"Key": str(n), "Value": "x"} for n in range(51)]},
            "ValidationException",
            "exceeds the limit of 50",
        ),
        ({"ResourceArn": "things", "Tags": []}, "ValidationException", "Invalid TableArn"),
        ({"ResourceArn": f"{ARN}/index/x", "Tags": []}, "ValidationException", "Invalid TableArn"),
        ({"ResourceArn": f"{ARN}/stream/x", "Tags": []}, "ValidationException", "does not serve tags and resource"),
        ({"ResourceArn": ARN.replace("things", "none"), "Tags": []}, "ResourceNotFoundException", "none not found"),
    ],
)
async def test_tags_that_make_no_sense_are_refused(request_: dict[str, Any], code: str, message: str) -> None:
    """Each with its reason, and the tags stay as they were."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request())
    found = await caller.refused("TagResource", **{"ResourceArn": ARN, **request_})
    assert (found[0], message in found[1]) == (code, True), found
    assert (await caller.ok("ListTagsOfResource", ResourceArn=ARN))["Tags"] == []


async def test_a_policy_is_put_read_and_deleted_by_revision() -> None:
    """The revision of what is there must be the expected one; without a policy there is none to read."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request())
    assert (await caller.refused("GetResourcePolicy", ResourceArn=ARN))[0] == "PolicyNotFoundException"
    put = {"ResourceArn": ARN, "Policy": POLICY}
    assert (await caller.refused("PutResourcePolicy", **put, ExpectedRevisionId="7"))[0] == "PolicyNotFoundException"
    first = (await caller.ok("PutResourcePolicy", **put, ExpectedRevisionId="NO_POLICY"))["RevisionId"]
    second = (await caller.ok("PutResourcePolicy", **put, ExpectedRevisionId=first))["RevisionId"]
    assert second != first
    assert await caller.ok("GetResourcePolicy", ResourceArn=ARN) == {"Policy": POLICY, "RevisionId": second}
    stale = await caller.refused("DeleteResourcePolicy", ResourceArn=ARN, ExpectedRevisionId=first)
    assert stale[0] == "PolicyNotFoundException"
    assert await caller.ok("DeleteResourcePolicy", ResourceArn=ARN) == {"RevisionId": second}
    assert await caller.ok("DeleteResourcePolicy", ResourceArn=ARN) == {}
    assert (await caller.refused("PutResourcePolicy", ResourceArn=ARN, Policy="{}"))[1].startswith("Invalid policy")
    too_long = await caller.refused("PutResourcePolicy", ResourceArn=ARN, Policy=POLICY + " " * 20_480)
    assert too_long[0] == "LimitExceededException"


async def test_a_policy_is_evaluated_for_the_table_and_its_indexes() -> None:
    """It allows whom it names, in the same account without a policy of their own, and denies even the root user."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request())
    authorise = Authoriser(Iam(Random(1)), CallRecord(), policy_of=caller.service.policy_of)
    scan = (Permission("dynamodb:Scan", f"{ARN}/index/by_day"),)
    assert authorise("", scan) is None
    await caller.ok("PutResourcePolicy", ResourceArn=ARN, Policy=POLICY)
    denied = authorise("", scan)
    assert denied is not None
    assert denied.reason == "of an explicit deny in the policy of the resource"
    policy = caller.service.policy_of(ARN)
    assert isinstance(policy, Document)
    reader = Principal(arn=ROLE, account="123456789012")
    allowed = [
        evaluate((policy,), f"dynamodb:{name}", ARN, context={}, caller=reader) for name in ("GetItem", "PutItem")
    ]
    assert [decision.allowed for decision in allowed] == [True, False]
    assert caller.service.policy_of(f"{ARN}/stream/2026-01-01T00:00:00.000") is None
    await caller.ok("DeleteResourcePolicy", ResourceArn=ARN)
    assert caller.service.policy_of(ARN) is None


async def test_a_template_brings_a_policy_and_takes_it_away(tmp_path: Any) -> None:
    """`ResourcePolicy.PolicyDocument` is the table's policy, kept between runs; a malformed one fails the stack."""
    caller = Caller()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    document = json.loads(POLICY)
    await caller.make(table_request(ResourcePolicy={"PolicyDocument": document}))
    revision = (await caller.ok("GetResourcePolicy", ResourceArn=ARN))["RevisionId"]
    caller.service.close()
    caller.service = DynamoService(LoopClock(asyncio.get_running_loop()), store=Store(tmp_path))
    await caller.make(table_request(ResourcePolicy={"PolicyDocument": document}))
    kept = await caller.ok("GetResourcePolicy", ResourceArn=ARN)
    assert (json.loads(kept["Policy"]), kept["RevisionId"]) == (document, revision)
    await caller.make(table_request())
    assert (await caller.refused("GetResourcePolicy", ResourceArn=ARN))[0] == "PolicyNotFoundException"
    with pytest.raises(TemplateError, match="Invalid policy document"):
        await caller.make(table_request(ResourcePolicy={"PolicyDocument": {"Statement": [{"Effect": "Maybe"}]}}))
    caller.service.close()


async def test_where_nobody_goes_by_policies_none_is_taken() -> None:
    """Where several Regions share a cloud, PutResourcePolicy is refused by name."""
    caller = Caller()
    caller.service.holds_policies = False
    await caller.ok("CreateTable", **table_request())
    _, message = await caller.refused("PutResourcePolicy", ResourceArn=ARN, Policy=POLICY)
    assert message == "The local cloud does not serve resource policies of tables where several Regions share a cloud"


async def test_item_collections_are_measured_where_there_is_a_local_index() -> None:
    """Each write, batch and transaction tells the collections it changed; without a local index nothing is told."""
    caller = Caller()
    definitions = [*table_request()["AttributeDefinitions"], {"AttributeName": "day", "AttributeType": "S"}]
    await caller.ok("CreateTable", **table_request(AttributeDefinitions=definitions, LocalSecondaryIndexes=[LOCAL]))
    item = {"pk": {"S": "a"}, "sk": {"S": "1"}}
    other = {"pk": {"S": "b"}, "sk": {"S": "1"}}
    size = {"TableName": "things", "ReturnItemCollectionMetrics": "SIZE"}
    metrics = {"ItemCollectionKey": {"pk": {"S": "a"}}, "SizeEstimateRangeGB": [0.0, 1.0]}
    assert (await caller.ok("PutItem", **size, Item=item))["ItemCollectionMetrics"] == metrics
    assert "ItemCollectionMetrics" not in await caller.ok("PutItem", TableName="things", Item=item)
    assert (await caller.ok("UpdateItem", **size, Key=item))["ItemCollectionMetrics"] == metrics
    assert (await caller.ok("DeleteItem", **size, Key=item))["ItemCollectionMetrics"] == metrics
    puts = [{"PutRequest": {"Item": {**item, "sk": {"S": number}}}} for number in "12"]
    batch = {"RequestItems": {"things": puts}, "ReturnItemCollectionMetrics": "SIZE"}
    assert (await caller.ok("BatchWriteItem", **batch))["ItemCollectionMetrics"] == {"things": [metrics]}
    transaction = [
        {"Put": {"TableName": "things", "Item": item}},
        {"ConditionCheck": {"TableName": "things", "Key": other, "ConditionExpression": "attribute_not_exists(pk)"}},
    ]
    answer = await caller.ok("TransactWriteItems", TransactItems=transaction, ReturnItemCollectionMetrics="SIZE")
    assert answer["ItemCollectionMetrics"] == {"things": [metrics]}
    await caller.ok("CreateTable", **{**table_request(), "TableName": "plain"})
    assert "ItemCollectionMetrics" not in await caller.ok("PutItem", **{**size, "TableName": "plain"}, Item=item)


def test_a_large_collection_is_measured_with_its_index() -> None:
    """The estimate counts the items and what the local indexes hold of them, in whole gigabytes."""

    async def run() -> None:
        caller = Caller()
        definitions = [*table_request()["AttributeDefinitions"], {"AttributeName": "day", "AttributeType": "S"}]
        await caller.ok("CreateTable", **table_request(AttributeDefinitions=definitions, LocalSecondaryIndexes=[LOCAL]))
        table = caller.service.database(REGION).table("things")
        await caller.put("a", day="monday")
        ((key, record),) = table.records.items()
        table.records[key] = record._replace(size_bytes=2 * 1024**3)  # nobody waits for a gigabyte
        table.size_bytes = 2 * 1024**3
        update = {"TableName": "things", "Key": {"pk": {"S": "b"}, "sk": {"S": "1"}}}
        small = await caller.ok("UpdateItem", **update, ReturnItemCollectionMetrics="SIZE")
        assert small["ItemCollectionMetrics"]["SizeEstimateRangeGB"] == [0.0, 1.0]
        update["Key"] = {"pk": {"S": "a"}, "sk": {"S": "2"}}
        large = await caller.ok("UpdateItem", **update, ReturnItemCollectionMetrics="SIZE")
        assert large["ItemCollectionMetrics"]["SizeEstimateRangeGB"] == [2.0, 3.0]

    run_virtual(run)


def test_a_transaction_tells_reads_and_writes_apart() -> None:
    """The first time a token pays for writing, then for reading what was written; after ten minutes it is new."""

    async def run() -> None:
        caller = Caller()
        await caller.ok("CreateTable", **table_request())
        item = {"pk": {"S": "a"}, "sk": {"S": "1"}, "text": {"S": "x" * 5000}}
        request = {
            "TransactItems": [{"Put": {"TableName": "things", "Item": item}}],
            "ClientRequestToken": "token",
            "ReturnConsumedCapacity": "TOTAL",
        }

        def units(kind: str, count: float) -> dict[str, Any]:
            return {"ConsumedCapacity": [{"TableName": "things", "CapacityUnits": count, kind: count}]}

        assert await caller.ok("TransactWriteItems", **request) == units("WriteCapacityUnits", 10.0)
        await caller.put("a", text="changed")
        assert await caller.ok("TransactWriteItems", **request) == units("ReadCapacityUnits", 2.0)
        get = {"Get": {"TableName": "things", "Key": {"pk": {"S": "a"}, "sk": {"S": "1"}}}}
        answer = await caller.ok("TransactGetItems", TransactItems=[get], ReturnConsumedCapacity="TOTAL")
        assert answer["Responses"][0]["Item"]["text"] == {"S": "changed"}
        assert {"ConsumedCapacity": answer["ConsumedCapacity"]} == units("ReadCapacityUnits", 2.0)
        other = {**request, "TransactItems": [{"Delete": get["Get"]}]}
        assert (await caller.refused("TransactWriteItems", **other))[0] == "IdempotentParameterMismatchException"
        await asyncio.sleep(600)
        assert await caller.ok("TransactWriteItems", **other) == units("WriteCapacityUnits", 2.0)

    run_virtual(run)


async def test_index_keys_have_the_size_of_keys() -> None:
    """A value that is too long for an index's key is refused, by a put and by an update."""
    caller = Caller()
    definitions = [*table_request()["AttributeDefinitions"], {"AttributeName": "day", "AttributeType": "S"}]
    await caller.ok("CreateTable", **table_request(AttributeDefinitions=definitions, LocalSecondaryIndexes=[LOCAL]))
    message = "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    expected = ("ValidationException", f"One or more parameter values were invalid: {message}")
    item = {"pk": {"S": "a"}, "sk": {"S": "1"}, "day": {"S": "x" * 1025}}
    assert await caller.refused("PutItem", TableName="things", Item=item) == expected
    update = {"UpdateExpression": "SET #d = :d", "ExpressionAttributeNames": {"#d": "day"}}
    values = {"ExpressionAttributeValues": {":d": item.pop("day")}}
    assert await caller.refused("UpdateItem", TableName="things", Key=item, **update, **values) == expected


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("Scan", {"TableName": {"S": "x"}}, "Start of structure or map found where not expected"),
        ("Scan", {"TableName": ["x"]}, "Unrecognized collection type class java.lang.String"),
        ("Scan", {"TableName": 5}, "NUMBER_VALUE cannot be converted to String"),
        (
            "Scan",
            {"TableName": "things", "ConsistentRead": [1]},
            "Unrecognized collection type class java.lang.Boolean",
        ),
        ("Scan", {"TableName": "things", "Limit": {}}, "Start of structure or map found where not expected"),
        (
            "GetItem",
            {"TableName": "things", "Key": {}, "ProjectionExpression": "#n", "ExpressionAttributeNames": {"#n": {}}},
            "Start of structure or map found where not expected",
        ),
    ],
)
async def test_a_member_of_another_kind_is_told_as_awss_reader_does(
    operation: str, request_: dict[str, Any], message: str
) -> None:
    """A SerializationException names what was found, whether a map, a list or a scalar."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request())
    assert await caller.refused(operation, **request_) == ("SerializationException", message)


async def test_sources_of_an_update_are_evaluated_before_its_places_are_looked_at() -> None:
    """Where a source is missing and a place is not there, the source is told, wherever it stands in the expression."""
    caller = Caller()
    await caller.ok("CreateTable", **table_request())
    item = {"pk": {"S": "a"}, "sk": {"S": "1"}}
    update = {"TableName": "things", "Key": item, "ExpressionAttributeValues": {":v": {"N": "1"}}}
    for expression in (
        "SET nowhere.x = :v, b = absentee",
        "SET nowhere.x = absentee",
        "SET b = absentee, nowhere.x = :v",
    ):
        given_values = update if ":v" in expression else {"TableName": "things", "Key": item}
        _, message = await caller.refused("UpdateItem", **given_values, UpdateExpression=expression)
        assert message == "The provided expression refers to an attribute that does not exist in the item"
    _, message = await caller.refused("UpdateItem", **update, UpdateExpression="SET nowhere.x = :v")
    assert message == "The document path provided in the update expression is invalid for update"
