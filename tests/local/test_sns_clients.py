"""SNS over real sockets: boto3 and aioboto3 against the local cloud's AWS port, with its queues behind the topics."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aioboto3
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.services.contract import Denied, Permission
from localcloud.services.sns.endpoints import LocalEndpoints
from localcloud.services.sns.model import Topics
from localcloud.services.sns.wire import SnsService
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

pytestmark = pytest.mark.local
REGION = "eu-west-1"
KEYS = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret", "region_name": REGION}
ONCE = Config(retries={"total_max_attempts": 1})
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:news"


@dataclass
class Cloud:
    """A front with SQS and SNS, a function that keeps its events, and actions that IAM denies."""

    queues: Queues
    topics: Topics | None = None
    events: asyncio.Queue[tuple[str, dict[str, Any], str]] = field(default_factory=asyncio.Queue)
    denied: set[str] = field(default_factory=set)
    asked: list[Permission] = field(default_factory=list)
    url: str = ""

    def authorise(self, _key: str, permissions: tuple[Permission, ...]) -> Denied | None:
        self.asked += permissions
        refused = [permission for permission in permissions if permission.action in self.denied]
        reason = "no identity-based policy allows the action"
        return Denied("arn:aws:iam::123456789012:user/u", refused[0], reason) if refused else None

    async def invoke(self, function_arn: str, payload: bytes, trace_header: str) -> None:
        await self.events.put((function_arn, json.loads(payload), trace_header))

    def client(self, name: str = "sns") -> Any:
        session: Any = boto3
        return session.client(name, endpoint_url=self.url, config=ONCE, **KEYS)

    def queue(self, name: str, **attributes: str) -> tuple[str, str]:
        """The URL and the ARN of a new queue that takes what SNS sends."""
        sqs = self.client("sqs")
        arn = f"arn:aws:sqs:{REGION}:123456789012:{name}"
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy} | attributes)["QueueUrl"]
        return url, arn

    def receive(self, url: str, count: int = 1) -> list[dict[str, Any]]:
        """As many messages as are said to come, in the order of their coming."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            asked = {"QueueUrl": url, "WaitTimeSeconds": 5, "MaxNumberOfMessages": 10}
            answer = self.client("sqs").receive_message(**asked, MessageAttributeNames=["All"], AttributeNames=["All"])
            assert answer.get("Messages"), found
            found += answer["Messages"]
        return found


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """A running front."""
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    made = Cloud(queues)
    endpoints = LocalEndpoints(queues, invoke_event=made.invoke, may_invoke=lambda function, _: function == FUNCTION)
    async with asyncio.TaskGroup() as group:
        made.topics = Topics(clock=SystemClock(), rng=random.Random(1), group=group, endpoints=endpoints)
        front = Front([SqsService(queues), SnsService(made.topics)], authorise=made.authorise, rng=random.Random(1))
        async with front.serve(open_listener()) as made.url:
            queues.endpoint = made.topics.endpoint = made.url
            yield made
        made.topics.close()


def answer_of(error: Any) -> Any:
    """What boto3 read of a refusal."""
    return error.response


async def run(work: Callable[[], None]) -> None:
    """boto3 blocks, so it has a thread."""
    await asyncio.to_thread(work)


async def test_what_boto3_publishes_comes_out_of_the_queues(cloud: Cloud) -> None:
    """In an envelope, raw, filtered, and as the text that structure json has for queues."""

    def work() -> None:
        sns = cloud.client()
        topic = sns.create_topic(Name="news", Attributes={"DisplayName": "News"}, Tags=[{"Key": "k", "Value": "v"}])
        arn = topic["TopicArn"]
        plain, raw, picky = [cloud.queue(name) for name in ("plain", "raw", "picky")]
        subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=plain[1])["SubscriptionArn"]
        assert subscription.startswith(f"{arn}:")
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=raw[1], Attributes={"RawMessageDelivery": "true"})
        filtered = {"FilterPolicy": json.dumps({"kind": [{"prefix": "b"}]}), "RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=picky[1], Attributes=filtered)
        kinds = [{"kind": {"DataType": "String", "StringValue": kind}} for kind in ("apple", "banana")]
        message_id = sns.publish(TopicArn=arn, Message="é😀", Subject="About", MessageAttributes=kinds[0])["MessageId"]
        both = json.dumps({"default": "d", "sqs": "s"})
        sns.publish(TopicArn=arn, Message=both, MessageStructure="json", MessageAttributes=kinds[1])
        envelopes = [json.loads(message["Body"]) for message in cloud.receive(plain[0], 2)]
        envelope = next(each for each in envelopes if each["MessageId"] == message_id)
        assert (envelope["Type"], envelope["TopicArn"], envelope["Subject"]) == ("Notification", arn, "About")
        assert envelope["Message"] == "é😀"
        assert envelope["MessageAttributes"] == {"kind": {"Type": "String", "Value": "apple"}}
        assert envelope["UnsubscribeURL"] == f"{cloud.url}/?Action=Unsubscribe&SubscriptionArn={subscription}"
        received = {message["Body"]: message["MessageAttributes"] for message in cloud.receive(raw[0], 2)}
        assert received == {"é😀": kinds[0], "s": kinds[1]}
        assert [message["Body"] for message in cloud.receive(picky[0])] == ["s"]
        assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
        assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsConfirmed"] == "3"
        sns.unsubscribe(SubscriptionArn=subscription)
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        assert {each["Endpoint"] for page in pages for each in page["Subscriptions"]} == {raw[1], picky[1]}
        sns.delete_topic(TopicArn=arn)
        assert sns.list_topics()["Topics"] == []

    await run(work)


async def test_boto3s_resource_speaks_with_it(cloud: Cloud) -> None:
    """Topics and subscriptions as objects: attributes, policies, lists over more than a page."""

    def work() -> None:
        session: Any = boto3
        sns = session.resource("sns", endpoint_url=cloud.url, config=ONCE, **KEYS)
        topics = [sns.create_topic(Name=f"topic-{number:03}") for number in range(101)]
        assert [topic.arn for topic in sns.topics.all()] == [topic.arn for topic in topics]
        topic = topics[0]
        topic.set_attributes(AttributeName="DisplayName", AttributeValue="Shown")
        topic.add_permission(Label="them", AWSAccountId=["111122223333"], ActionName=["Publish"])
        topic.reload()
        assert topic.attributes["DisplayName"] == "Shown"
        assert "them" in [each["Sid"] for each in json.loads(topic.attributes["Policy"])["Statement"]]
        subscription = topic.subscribe(Protocol="sqs", Endpoint=cloud.queue("jobs")[1], ReturnSubscriptionArn=True)
        subscription.set_attributes(AttributeName="FilterPolicy", AttributeValue='{"a": [1]}')
        assert json.loads(sns.Subscription(subscription.arn).attributes["FilterPolicy"]) == {"a": [1]}

    await run(work)


async def test_a_fifo_topic_keeps_the_order_of_each_group(cloud: Cloud) -> None:
    """Twenty messages in two batches, one of them twice; sequence numbers grow."""

    def work() -> None:
        sns = cloud.client()
        attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
        arn = sns.create_topic(Name="orders.fifo", Attributes=attributes)["TopicArn"]
        url, queue_arn = cloud.queue("orders.fifo", FifoQueue="true")
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
        numbers: list[int] = []
        for batch in range(2):
            entries = [
                {"Id": str(number), "Message": f"{batch}-{number}", "MessageGroupId": f"g{number % 2}"}
                for number in range(10)
            ]
            answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
            assert answer["Failed"] == []
            numbers += [int(each["SequenceNumber"]) for each in answer["Successful"]]
        assert numbers == sorted(set(numbers))
        sns.publish(TopicArn=arn, Message="1-9", MessageGroupId="g1")
        sns.publish(TopicArn=arn, Message="last", MessageGroupId="g1")
        found: dict[str, list[str]] = {"g0": [], "g1": []}
        while sum(map(len, found.values())) < 21:
            for message in cloud.receive(url):
                found[message["Attributes"]["MessageGroupId"]].append(message["Body"])
                cloud.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        sent = [f"{batch}-{number}" for batch in range(2) for number in range(10)]
        assert found == {"g0": sent[0::2], "g1": [*sent[1::2], "last"]}

    await run(work)


async def test_a_function_gets_the_event_and_the_trace(cloud: Cloud) -> None:
    """As aioboto3 publishes it, with its trace."""
    session: Any = aioboto3.Session(**KEYS)
    async with session.client("sns", endpoint_url=cloud.url) as sns:

        def trace(request: Any, **_: Any) -> None:
            request.headers["X-Amzn-Trace-Id"] = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"

        sns.meta.events.register("before-send.sns.Publish", trace)
        arn = (await sns.create_topic(Name="news"))["TopicArn"]
        await sns.subscribe(TopicArn=arn, Protocol="lambda", Endpoint=FUNCTION)
        attributes = {
            "n": {"DataType": "Number", "StringValue": "1.5"},
            "b": {"DataType": "Binary", "BinaryValue": b"x"},
        }
        published = await sns.publish(TopicArn=arn, Message="m", MessageAttributes=attributes)
        async with asyncio.timeout(5):
            function_arn, event, trace_header = await cloud.events.get()
    assert function_arn == FUNCTION
    assert trace_header == "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    (record,) = event["Records"]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert (record["Sns"]["MessageId"], record["Sns"]["Message"]) == (published["MessageId"], "m")
    assert record["Sns"]["TopicArn"] == arn
    assert record["Sns"]["MessageAttributes"] == {
        "n": {"Type": "Number", "Value": "1.5"},
        "b": {"Type": "Binary", "Value": "eA=="},
    }


async def test_what_a_queue_does_not_let_in_is_a_dead_letter(cloud: Cloud) -> None:
    """A queue without a policy, and a subscription that says where such messages go."""

    def work() -> None:
        sns = cloud.client()
        arn = sns.create_topic(Name="news")["TopicArn"]
        cloud.client("sqs").create_queue(QueueName="closed")
        url, dead_arn = cloud.queue("dead")
        redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn})}
        closed = f"arn:aws:sqs:{REGION}:123456789012:closed"
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=closed, Attributes=redrive)
        message_id = sns.publish(TopicArn=arn, Message="m")["MessageId"]
        (message,) = cloud.receive(url)
        assert json.loads(message["Body"])["MessageId"] == message_id

    await run(work)


async def test_boto3_knows_each_error(cloud: Cloud) -> None:
    """By the exception classes of its model, so by the codes on the wire."""

    def work() -> None:
        sns = cloud.client()
        arn = sns.create_topic(Name="news")["TopicArn"]
        gone = f"{arn}-gone"
        many = [{"Id": str(number), "Message": "m"} for number in range(11)]
        large = [{"Id": str(number), "Message": "m" * 200_000} for number in range(2)]
        fifo = {"FifoTopic": "true"}
        calls: list[tuple[str, Callable[[], Any]]] = [
            ("NotFound", lambda: sns.publish(TopicArn=gone, Message="m")),
            ("NotFound", lambda: sns.get_subscription_attributes(SubscriptionArn=f"{arn}:nothing")),
            ("ResourceNotFound", lambda: sns.list_tags_for_resource(ResourceArn=gone)),
            ("InvalidParameter", lambda: sns.create_topic(Name="a b")),
            ("InvalidParameter", lambda: sns.create_topic(Name="news", Attributes=fifo)),
            ("InvalidParameter", lambda: sns.publish(TopicArn=arn, Message="m" * 262_145)),
            ("InvalidParameter", lambda: sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="a@b.example")),
            ("InvalidParameter", lambda: sns.publish(PhoneNumber="+491701234567", Message="m")),
            ("EmptyBatchRequest", lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[])),
            ("TooManyEntriesInBatchRequest", lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=many)),
            ("BatchRequestTooLong", lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=large)),
            (
                "BatchEntryIdsNotDistinct",
                lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[many[0]] * 2),
            ),
            ("UnsupportedOperation", sns.list_platform_applications),
        ]
        found: list[str] = []
        for _, call in calls:
            with pytest.raises(ClientError) as caught:
                call()
            found.append(answer_of(caught.value)["Error"]["Code"])
        assert found == [code for code, _ in calls]
        with pytest.raises(sns.exceptions.NotFoundException):
            sns.publish(TopicArn=gone, Message="m")
        with pytest.raises(sns.exceptions.BatchRequestTooLongException):
            sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=large)

    await run(work)


async def test_iam_is_asked_for_the_topic_and_its_denial_told(cloud: Cloud) -> None:
    """sns:Publish on the topic's ARN, of a batch too."""

    def work() -> None:
        sns = cloud.client()
        arn = sns.create_topic(Name="news")["TopicArn"]
        cloud.denied.add("sns:Publish")
        cloud.asked.clear()
        entries = [{"Id": "a", "Message": "m"}]
        for call in (
            lambda: sns.publish(TopicArn=arn, Message="m"),
            lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries),
        ):
            with pytest.raises(
                ClientError,
                match=rf"\(AuthorizationError\) .* is not authorized to perform: SNS:Publish on resource: {arn}",
            ) as told:
                call()
            assert answer_of(told.value)["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert cloud.asked == [Permission("sns:Publish", arn)] * 2

    await run(work)


async def test_the_unsubscribe_link_takes_signed_requests_only(cloud: Cloud) -> None:
    """Whoever just opens it is refused, for without a signature it names no API; the subscription stays."""

    def work() -> None:
        sns = cloud.client()
        arn = sns.create_topic(Name="news")["TopicArn"]
        url, queue_arn = cloud.queue("jobs")
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
        sns.publish(TopicArn=arn, Message="m")
        (message,) = cloud.receive(url)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(json.loads(message["Body"])["UnsubscribeURL"], timeout=10)
        with caught.value as answer:
            assert answer.code == 501
        assert len(sns.list_subscriptions()["Subscriptions"]) == 1

    await run(work)


HOSTILE = (
    b"",
    b"Action=",
    b"Action=Publish",
    b"Action=Publish&TopicArn=%ff",
    b"Action=Nothing&Version=2010-03-31",
    b"Action=ListTopics&Version=1999-01-01",
    b"Action=ListTopics&NextToken=%00",
    b"Action=CreateTopic&Name=" + b"x" * 100_000,
    b"Action=CreateTopic&Name=a&Attributes.entry.99999999999999999999.key=a",
    b"Action=Subscribe&TopicArn=arn:aws:sns:::::&Protocol=sqs",
    b"Action=TagResource&ResourceArn=x&Tags.member.-1.Key=a",
    b"Action=PublishBatch&TopicArn=arn:aws:sns:eu-west-1:123456789012:news&PublishBatchRequestEntries.member.x=1",
    b"&".join(b"a.member.%d.b.c.d.e=1" % number for number in range(20_000)),
    b"\xff\xfe",
)


async def test_nothing_that_is_sent_is_a_stack_trace(cloud: Cloud) -> None:
    """Malformed forms are refused with a 400 or 404 in XML."""

    def work() -> None:
        cloud.client().create_topic(Name="news")
        for body in HOSTILE:
            credential = "AWS4-HMAC-SHA256 Credential=AK/20261123/eu-west-1/sns/aws4_request, SignedHeaders=host"
            headers = {
                "Authorization": f"{credential}, Signature=0",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            request = urllib.request.Request(cloud.url, data=body, method="POST", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            with caught.value as answer:
                told = answer.read()
                assert answer.code in {400, 404}, (body[:80], told)
                assert b"<Code>" in told

    await run(work)
