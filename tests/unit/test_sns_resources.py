"""SNS resources of a template become topics, subscriptions and policies of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.services.sns.resources import (
    SubscriptionHandler,
    TopicHandler,
    TopicInlinePolicyHandler,
    TopicPolicyHandler,
)
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext, Support
from tests.unit.test_sns_model import DEAD_LETTERS, FUNCTION, QUEUE, REGION, World, play

CONTEXT = StackContext("sluiceway", REGION, "123456789012", "aws", Path())
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": "*"}
    ],
}


def resource(handler: Any, **properties: Any) -> Resource:
    return Resource("News", handler.type, properties, CONTEXT)


def test_a_topic_is_made_as_the_template_says() -> None:
    """Its name from stack and logical id, its subscriptions with it; deleted, both are gone."""

    async def test(world: World) -> None:
        handler = TopicHandler(world.topics)
        wanted = resource(
            handler,
            DisplayName="News",
            KmsMasterKeyId="alias/aws/sns",
            SignatureVersion=2,
            TracingConfig="Active",
            Subscription=[{"Protocol": "sqs", "Endpoint": QUEUE}, {"Protocol": "lambda", "Endpoint": FUNCTION}],
            Tags=[{"Key": "k", "Value": "v"}],
        )
        made = await handler.create(wanted)
        arn = f"arn:aws:sns:{REGION}:123456789012:sluiceway-News"
        assert made == Physical(arn, {"TopicArn": arn, "TopicName": "sluiceway-News"})
        topic = world.topics.get(arn, REGION)
        has = topic.describe()
        assert [has[name] for name in ("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig")] == [
            "News",
            "alias/aws/sns",
            "2",
            "Active",
        ]
        assert [each.endpoint for each in topic.subscriptions.values()] == [QUEUE, FUNCTION]
        assert topic.tags == {"k": "v"}
        await handler.delete(wanted, made)
        await handler.delete(wanted, made)
        assert world.topics.find(arn) is None

    play(test)


def test_a_fifo_topic_has_its_suffix() -> None:
    """The name that CloudFormation makes ends with .fifo; flags come in any spelling."""

    async def test(world: World) -> None:
        handler = TopicHandler(world.topics)
        made = await handler.create(
            resource(handler, FifoTopic="true", ContentBasedDeduplication=True, FifoThroughputScope="MessageGroup")
        )
        assert made.attributes["TopicName"] == "sluiceway-News.fifo"
        has = world.topics.get(made.ref, REGION).describe()
        assert (has["FifoTopic"], has["ContentBasedDeduplication"], has["FifoThroughputScope"]) == (
            "true",
            "true",
            "MessageGroup",
        )
        named = await handler.create(resource(handler, TopicName="other", FifoTopic=False))
        assert named.attributes["TopicName"] == "other"

    play(test)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"TopicName": "a b"}, r"News\.Properties: Invalid parameter: Topic Name"),
        ({"DisplayName": "x" * 101}, r"News\.Properties: Invalid parameter: Attributes Reason: DisplayName"),
        ({"FifoTopic": "maybe"}, r"News\.Properties\.FifoTopic: must be true or false"),
        (
            {"Subscription": [{"Protocol": "sqs", "Endpoint": "x"}]},
            r"News\.Properties\.Subscription\[0\]: Invalid parameter: SQS endpoint ARN",
        ),
    ],
)
def test_what_sns_would_refuse_of_a_topic_is_an_error_of_the_template(properties: dict[str, Any], message: str) -> None:
    """The error names the resource and where in it."""

    async def test(world: World) -> None:
        handler = TopicHandler(world.topics)
        with pytest.raises(TemplateError, match=message):
            await handler.create(resource(handler, **properties))

    play(test)


def test_a_subscription_is_made_as_the_template_says() -> None:
    """Policies as maps or as text, flags in any spelling; Ref is its ARN; deleted, it is gone."""

    async def test(world: World) -> None:
        topic = world.topic()
        handler = SubscriptionHandler(world.topics)
        wanted = resource(
            handler,
            TopicArn=topic.arn,
            Protocol="sqs",
            Endpoint=QUEUE,
            FilterPolicy={"total": [{"numeric": [">", 1.5]}]},
            FilterPolicyScope="MessageBody",
            RawMessageDelivery="true",
            RedrivePolicy={"deadLetterTargetArn": DEAD_LETTERS},
        )
        made = await handler.create(wanted)
        subscription = world.topics.subscription(made.ref, REGION)
        has = subscription.describe()
        assert made.attributes == {"Arn": made.ref}
        assert json.loads(has["FilterPolicy"]) == {"total": [{"numeric": [">", 1.5]}]}
        assert (has["FilterPolicyScope"], has["RawMessageDelivery"]) == ("MessageBody", "true")
        assert subscription.dead_letter_arn == DEAD_LETTERS
        await handler.delete(wanted, made)
        assert list(topic.subscriptions) == []
        text = resource(handler, TopicArn=topic.arn, Protocol="lambda", Endpoint=FUNCTION, FilterPolicy='{"a": ["x"]}')
        again = await handler.create(text)
        assert world.topics.subscription(again.ref, REGION).describe()["FilterPolicy"] == '{"a": ["x"]}'

    play(test)


def test_a_subscription_may_lie_in_the_topics_region() -> None:
    """Region says which; without it the stack's is meant, and a topic elsewhere is refused."""

    async def test(world: World) -> None:
        topic = world.topics.create("far", "us-east-1", attributes={}, tags={})
        handler = SubscriptionHandler(world.topics)
        there = {"TopicArn": topic.arn, "Protocol": "sqs", "Endpoint": QUEUE}
        made = await handler.create(resource(handler, Region="us-east-1", **there))
        assert made.ref.startswith(topic.arn)
        with pytest.raises(TemplateError, match=r"News\.Properties: Invalid parameter: TopicArn"):
            await handler.create(resource(handler, **there))

    play(test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"FilterPolicy": {"a": []}}, "FilterPolicy: Empty arrays are not allowed"),
        ({"RedrivePolicy": {"deadLetterTargetArn": "x"}}, "deadLetterTargetArn is an invalid arn"),
        ({"Protocol": None}, r"News\.Properties\.Protocol: is required"),
        ({"Endpoint": FUNCTION}, "SQS endpoint ARN"),
    ],
)
def test_what_sns_would_refuse_of_a_subscription_is_an_error_of_the_template(
    changes: dict[str, Any], message: str
) -> None:
    """The error names the resource."""

    async def test(world: World) -> None:
        handler = SubscriptionHandler(world.topics)
        properties = {"TopicArn": world.topic().arn, "Protocol": "sqs", "Endpoint": QUEUE, **changes}
        with pytest.raises(TemplateError, match=message):
            await handler.create(resource(handler, **properties))

    play(test)


def test_policies_are_their_topics_policies() -> None:
    """Of several topics or of one; the first policy comes back when the resource goes."""

    async def test(world: World) -> None:
        one, two = world.topic("one"), world.topic("two")
        first = one.policy
        handler = TopicPolicyHandler(world.topics)
        wanted = resource(handler, PolicyDocument=POLICY, Topics=[one.arn, two.arn])
        made = await handler.create(wanted)
        assert [json.loads(world.topics.policy_text(topic.arn)) for topic in (one, two)] == [POLICY, POLICY]
        await handler.delete(wanted, made)
        assert one.policy == first
        inline = TopicInlinePolicyHandler(world.topics)
        wanted = resource(inline, PolicyDocument=POLICY, TopicArn=one.arn)
        made = await inline.create(wanted)
        assert (made.ref, json.loads(one.policy)) == (one.arn, POLICY)
        await inline.delete(wanted, made)
        assert one.policy == first
        world.topics.delete(one.arn, REGION)
        await inline.delete(wanted, made)
        one = world.topic("one")
        with pytest.raises(TemplateError, match="Topic does not exist"):
            await handler.create(resource(handler, PolicyDocument=POLICY, Topics=[f"{one.arn}s"]))
        with pytest.raises(TemplateError, match="out of service scope"):
            await inline.create(
                resource(
                    inline,
                    PolicyDocument={"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}},
                    TopicArn=one.arn,
                )
            )

    play(test)


def test_the_ledger_names_every_difference() -> None:
    """Refused and partial ones have a reason; protocols are bounded; active tracing differs, passing on does not."""
    topic, subscription = TopicHandler.properties, SubscriptionHandler.properties
    for table in (topic, subscription):
        assert all(entry.reason for entry in table.values() if entry.support is not Support.SERVED)
    refused = {
        name for table in (topic, subscription) for name, entry in table.items() if entry.support is Support.REFUSED
    }
    assert refused == {
        "ArchivePolicy",
        "DataProtectionPolicy",
        "DeliveryPolicy",
        "DeliveryStatusLogging",
        "ReplayPolicy",
        "SubscriptionRoleArn",
    }
    assert topic["Subscription.Protocol"].values == subscription["Protocol"].values == ("sqs", "lambda")
    differs = topic["TracingConfig"].differs
    assert differs is not None
    assert (differs("PassThrough"), bool(differs("Active"))) == ("", True)
