"""Tags, resource policies, what IAM is asked, and which operations there are."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest

from localcloud.services.contract import Permission
from localcloud.services.kinesis.operations import NOT_SERVED, OPERATIONS, SUBSCRIBE
from localcloud.services.kinesis.tokens import open_token, seal_token
from tests.unit.kinesis_setup import REGION, Api, with_api

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
CONSUMER = f"{STREAM}/consumer/c:1800000000"
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:role/reader"},
                "Action": ["kinesis:GetRecords"],
                "Resource": STREAM,
            }
        ],
    }
)


def test_every_operation_of_the_api_is_served_or_refused_by_name() -> None:
    """botocore's model of the service, name by name."""
    names = set(botocore.session.get_session().get_service_model("kinesis").operation_names)
    assert names - set(OPERATIONS) - {SUBSCRIBE} - set(NOT_SERVED) == set()


@pytest.mark.parametrize("operation", [*NOT_SERVED, "Nonsense", ""])
def test_what_is_not_served_says_so(operation: str) -> None:
    """By name, with a 400, and nothing is asked of IAM."""

    async def test(api: Api) -> None:
        told = await api.refusal(operation)
        code = "InvalidArgumentException" if operation in NOT_SERVED else "UnknownOperationException"
        assert (told.code, told.status, operation in told.message) == (code, 400, True)
        assert api.service.permissions(api.request(operation, b"{}")) == ()

    with_api(test)


def test_parameters_that_are_not_served_are_refused_by_name() -> None:
    """DryRun, StreamId and the like are never ignored; null is as good as absent."""

    async def test(api: Api) -> None:
        await api.make()
        told = await api.refusal("PutRecord", StreamName="s", Data="", PartitionKey="k", DryRun=True)
        assert (told.code, "DryRun" in told.message) == ("InvalidArgumentException", True)
        await api.call("PutRecord", StreamName="s", Data="", PartitionKey="k", StreamId=None)

    with_api(test)


def test_a_token_is_good_for_what_it_was_made_for() -> None:
    """Of one kind, whole, and of one account."""
    token = seal_token(b"secret", "shards", ["a", "é"])
    assert open_token(b"secret", "shards", token) == ["a", "é"]
    wrong = ((b"other", "shards", token), (b"secret", "streams", token), (b"secret", "shards", "A" * 3_000))
    for secret, kind, text in wrong:
        with pytest.raises(ValueError):
            open_token(secret, kind, text)


# ---------------------------------------------------------------------- tags


def test_tags_of_a_stream_by_both_apis() -> None:
    """What one adds, the other lists; removing what is not there is no error."""

    async def test(api: Api) -> None:
        await api.make()
        await api.call("AddTagsToStream", StreamName="s", Tags={"a": "1", "b": "2"})
        await api.call("TagResource", ResourceARN=STREAM, Tags={"b": "3", "c": ""})
        told = await api.call("ListTagsForResource", ResourceARN=STREAM)
        assert told["Tags"] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]
        told = await api.call("ListTagsForStream", StreamName="s", Limit=2)
        assert ([tag["Key"] for tag in told["Tags"]], told["HasMoreTags"]) == (["a", "b"], True)
        told = await api.call("ListTagsForStream", StreamName="s", ExclusiveStartTagKey="b")
        assert ([tag["Key"] for tag in told["Tags"]], told["HasMoreTags"]) == (["c"], False)
        await api.call("RemoveTagsFromStream", StreamName="s", TagKeys=["a", "x"])
        await api.call("UntagResource", ResourceARN=STREAM, TagKeys=["b"])
        assert (await api.call("ListTagsForStream", StreamName="s"))["Tags"] == [{"Key": "c", "Value": ""}]

    with_api(test)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({}, "ValidationException"),
        ({"": "x"}, "ValidationException"),
        ({"k" * 129: "x"}, "ValidationException"),
        ({"k": "v" * 257}, "ValidationException"),
        ({"k": 5}, "SerializationException"),
        ([], "SerializationException"),
        ({"k;": "v"}, "InvalidArgumentException"),
        ({"aws:k": "v"}, "InvalidArgumentException"),
        ({f"k{number}": "v" for number in range(51)}, "InvalidArgumentException"),
        ({f"k{number}": "v" for number in range(201)}, "ValidationException"),
    ],
)
def test_tags_that_are_refused(tags: Any, code: str) -> None:
    """By both operations, and nothing is tagged."""

    async def test(api: Api) -> None:
        await api.make()
        assert await api.code("AddTagsToStream", StreamName="s", Tags=tags) == code
        assert await api.code("TagResource", ResourceARN=STREAM, Tags=tags) == code
        assert (await api.call("ListTagsForStream", StreamName="s"))["Tags"] == []

    with_api(test)


# ---------------------------------------------------------------------- policies


def test_a_policy_is_put_given_and_taken_away() -> None:
    """Of a stream and of a consumer, each its own; the model gives its text to whoever authorises."""

    async def test(api: Api) -> None:
        arn = await api.make()
        consumer = await api.consumer(arn)
        for resource in (arn, consumer):
            assert (api.streams.policy_text(resource), await api.code("GetResourcePolicy", ResourceARN=resource)) == (
                "",
                "ResourceNotFoundException",
            )
            assert await api.code("DeleteResourcePolicy", ResourceARN=resource) == "ResourceNotFoundException"
            await api.call("PutResourcePolicy", ResourceARN=resource, Policy=POLICY)
            assert (await api.call("GetResourcePolicy", ResourceARN=resource))["Policy"] == POLICY
            assert api.streams.policy_text(resource) == POLICY
            await api.call("DeleteResourcePolicy", ResourceARN=resource)
            assert api.streams.policy_text(resource) == ""
        assert api.streams.policy_text(f"{arn}/consumer/x:1") == ""

    with_api(test)


@pytest.mark.parametrize("policy", ["x", "[]", "{}", '{"Statement": []}', POLICY.replace("Principal", "Nobody")])
def test_what_is_no_resource_policy(policy: str) -> None:
    """InvalidArgumentException that names the fault."""

    async def test(api: Api) -> None:
        await api.make()
        assert await api.code("PutResourcePolicy", ResourceARN=STREAM, Policy=policy) == "InvalidArgumentException"

    with_api(test)


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (f"{STREAM}x", "ResourceNotFoundException"),
        (f"{STREAM}/consumer/x:1", "ResourceNotFoundException"),
        ("x", "InvalidArgumentException"),
        ("arn:aws:kinesis:us-east-1:123456789012:stream/s", "InvalidArgumentException"),
    ],
)
def test_resources_that_are_not_there(arn: str, code: str) -> None:
    """For tags and policies alike."""

    async def test(api: Api) -> None:
        await api.make()
        for operation, more in (
            ("ListTagsForResource", {}),
            ("TagResource", {"Tags": {"a": "b"}}),
            ("GetResourcePolicy", {}),
            ("PutResourcePolicy", {"Policy": POLICY}),
        ):
            assert await api.code(operation, ResourceARN=arn, **more) == code

    with_api(test)


# ---------------------------------------------------------------------- IAM

NEEDS: tuple[tuple[str, dict[str, Any], tuple[tuple[str, str], ...]], ...] = (
    ("PutRecord", {"StreamName": "s"}, (("PutRecord", STREAM),)),
    ("PutRecords", {"StreamARN": STREAM}, (("PutRecords", STREAM),)),
    ("GetShardIterator", {"StreamName": "s"}, (("GetShardIterator", STREAM),)),
    ("ListStreams", {}, (("ListStreams", "*"),)),
    ("DescribeLimits", {}, (("DescribeLimits", "*"),)),
    ("UpdateAccountSettings", {}, (("UpdateAccountSettings", "*"),)),
    ("CreateStream", {"StreamName": "s"}, (("CreateStream", STREAM),)),
    (
        "CreateStream",
        {"StreamName": "s", "Tags": {"a": "b"}},
        (("CreateStream", STREAM), ("AddTagsToStream", STREAM)),
    ),
    ("RegisterStreamConsumer", {"StreamARN": STREAM, "ConsumerName": "c"}, (("RegisterStreamConsumer", STREAM),)),
    (
        "RegisterStreamConsumer",
        {"StreamARN": STREAM, "ConsumerName": "c", "Tags": {"a": "b"}},
        (("RegisterStreamConsumer", STREAM), ("TagResource", f"{STREAM}/consumer/c:*")),
    ),
    ("ListStreamConsumers", {"StreamARN": STREAM}, (("ListStreamConsumers", STREAM),)),
    ("SubscribeToShard", {"ConsumerARN": CONSUMER}, (("SubscribeToShard", CONSUMER),)),
    ("DescribeStreamConsumer", {"StreamARN": STREAM, "ConsumerName": "c"}, (("DescribeStreamConsumer", CONSUMER),)),
    ("DeregisterStreamConsumer", {"ConsumerARN": CONSUMER}, (("DeregisterStreamConsumer", CONSUMER),)),
    ("TagResource", {"ResourceARN": CONSUMER}, (("TagResource", CONSUMER),)),
    ("PutResourcePolicy", {"ResourceARN": STREAM}, (("PutResourcePolicy", STREAM),)),
    ("PutRecord", {}, ()),
    ("GetRecords", {"ShardIterator": "x"}, ()),
    ("ListShards", {"NextToken": "x"}, ()),
)


@pytest.mark.parametrize(("operation", "members", "needed"), NEEDS)
def test_what_an_operation_needs(operation: str, members: dict[str, Any], needed: tuple[tuple[str, str], ...]) -> None:
    """The action on the stream, on the consumer, or on everything; nothing where the request names nothing."""

    async def test(api: Api) -> None:
        await api.consumer(await api.make())
        asked = api.service.permissions(api.request(operation, json.dumps(members).encode()))
        assert tuple((f"kinesis:{action}", arn) for action, arn in needed) == tuple(
            (p.action, p.resource) for p in asked
        )

    with_api(test)


def test_iterators_and_tokens_name_their_stream() -> None:
    """GetRecords and a ListShards that goes on need the permission on the stream that they read."""

    async def test(api: Api) -> None:
        await api.make(shards=3)
        body = json.dumps({"ShardIterator": await api.iterator()}).encode()
        asked = api.service.permissions(api.request("GetRecords", body))
        assert asked == (Permission("kinesis:GetRecords", STREAM),)
        token = (await api.call("ListShards", StreamName="s", MaxResults=1))["NextToken"]
        asked = api.service.permissions(api.request("ListShards", json.dumps({"NextToken": token}).encode()))
        assert asked == (Permission("kinesis:ListShards", STREAM),)
        assert api.streams.arn_of("s", REGION) == STREAM

    with_api(test)
