"""The Query protocol of SNS: forms in, XML out, each error with its code and status, and what IAM is asked."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.sns.model import Topics
from localcloud.services.sns.operations import ACTIONS, NOT_SERVED
from localcloud.services.sns.wire import SnsService
from tests.unit.test_sns_model import FUNCTION, QUEUE, REGION, Recorded

XMLNS = "{http://sns.amazonaws.com/doc/2010-03-31/}"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:news"


def flat(parameters: dict[str, Any]) -> dict[str, str]:
    """Parameters as a form has them: lists are `member.N`, maps `entry.N.key` (of MessageAttributes Name and Value)."""
    found: dict[str, str] = {}

    def put(prefix: str, value: Any) -> None:
        name = prefix.rpartition(".")[2]
        if isinstance(value, list):
            for number, each in enumerate(value, start=1):
                put(f"{prefix}.member.{number}", each)
        elif isinstance(value, dict) and name in ("Attributes", "MessageAttributes"):
            key, held = ("Name", "Value") if name == "MessageAttributes" else ("key", "value")
            for number, (one, each) in enumerate(value.items(), start=1):
                found[f"{prefix}.entry.{number}.{key}"] = one
                put(f"{prefix}.entry.{number}.{held}", each)
        elif isinstance(value, dict):
            for one, each in value.items():
                put(f"{prefix}.{one}", each)
        else:
            found[prefix] = str(value)

    for name, value in parameters.items():
        put(name, value)
    return found


def make_request(body: str | bytes, *, region: str = REGION, query: str = "", **headers: str) -> WireRequest:
    return WireRequest(
        service="sns",
        region=region,
        method="POST",
        path="/",
        query=query,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body if isinstance(body, bytes) else body.encode(),
        access_key="AK",
        request_id="r-1",
    )


@dataclass
class Answer:
    """An answer, read. `code` is "" for success; `result` the members of the result."""

    status: int
    code: str
    message: str
    result: ET.Element | None

    def text(self, path: str) -> str:
        """The text at a path of the result, "" where there is none."""
        assert self.result is not None
        return self.result.findtext(f"./{XMLNS}" + path.replace("/", f"/{XMLNS}"), "")

    def texts(self, path: str) -> list[str]:
        """Every text at a path of the result."""
        assert self.result is not None
        return [each.text or "" for each in self.result.findall(f"./{XMLNS}" + path.replace("/", f"/{XMLNS}"))]

    def entries(self) -> dict[str, str]:
        """The map Attributes."""
        return dict(zip(self.texts("Attributes/entry/key"), self.texts("Attributes/entry/value"), strict=True))


def read(action: str, response: WireResponse) -> Answer:
    assert isinstance(response.body, bytes)
    assert response.headers == {"content-type": "text/xml"}
    root = ET.fromstring(response.body)
    assert root.findtext(f".//{XMLNS}RequestId") == "r-1"
    if response.status == 200:
        assert root.tag == f"{XMLNS}{action}Response"
        return Answer(200, "", "", root.find(f"{XMLNS}{action}Result"))
    assert root.tag == f"{XMLNS}ErrorResponse"
    error = root.find(f"{XMLNS}Error")
    assert error is not None
    assert error.findtext(f"{XMLNS}Type") == "Sender"
    return Answer(response.status, error.findtext(f"{XMLNS}Code", ""), error.findtext(f"{XMLNS}Message", ""), None)


@dataclass
class Sns:
    """The service, and a way to ask it."""

    service: SnsService
    topics: Topics
    endpoints: Recorded = field(default_factory=Recorded)

    async def ask(self, action: str, region: str = REGION, **parameters: Any) -> Answer:
        form = urlencode({"Action": action, "Version": "2010-03-31", **flat(parameters)})
        return read(action, await self.service.handle(make_request(form, region=region)))

    async def refusal(self, action: str, **parameters: Any) -> tuple[int, str, str]:
        answer = await self.ask(action, **parameters)
        return answer.status, answer.code, answer.message

    async def settle(self) -> None:
        while self.topics.pending:  # noqa: ASYNC110 - virtual seconds
            await asyncio.sleep(1)


def play(test: Callable[[Sns], Awaitable[None]]) -> None:
    async def main() -> None:
        endpoints = Recorded()
        async with asyncio.TaskGroup() as group:
            clock = LoopClock(asyncio.get_running_loop())
            topics = Topics(clock=clock, rng=random.Random(1), group=group, endpoints=endpoints)
            try:
                await test(Sns(SnsService(topics), topics, endpoints))
            finally:
                topics.close()

    run_virtual(main)


# ---------------------------------------------------------------------- actions


def test_a_topics_life() -> None:
    """Created with attributes and tags, read, changed, listed, deleted; actions without a result have none."""

    async def test(sns: Sns) -> None:
        made = await sns.ask(
            "CreateTopic", Name="news", Attributes={"DisplayName": "N & <é>"}, Tags=[{"Key": "k", "Value": "v"}]
        )
        assert made.text("TopicArn") == TOPIC
        assert (await sns.ask("GetTopicAttributes", TopicArn=TOPIC)).entries()["DisplayName"] == "N & <é>"
        changed = await sns.ask(
            "SetTopicAttributes", TopicArn=TOPIC, AttributeName="DisplayName", AttributeValue="other"
        )
        assert changed.result is None
        assert (await sns.ask("GetTopicAttributes", TopicArn=TOPIC)).entries()["DisplayName"] == "other"
        await sns.ask("SetTopicAttributes", TopicArn=TOPIC, AttributeName="DisplayName")
        assert (await sns.ask("GetTopicAttributes", TopicArn=TOPIC)).entries()["DisplayName"] == ""
        assert (await sns.ask("ListTopics")).texts("Topics/member/TopicArn") == [TOPIC]
        assert (await sns.ask("ListTopics", region="us-east-1")).texts("Topics/member/TopicArn") == []
        await sns.ask("TagResource", ResourceArn=TOPIC, Tags=[{"Key": "k", "Value": "w"}, {"Key": "l", "Value": ""}])
        tags = await sns.ask("ListTagsForResource", ResourceArn=TOPIC)
        assert list(zip(tags.texts("Tags/member/Key"), tags.texts("Tags/member/Value"), strict=True)) == [
            ("k", "w"),
            ("l", ""),
        ]
        assert (await sns.ask("UntagResource", ResourceArn=TOPIC, TagKeys=["k", "none"])).result is not None
        assert (await sns.ask("ListTagsForResource", ResourceArn=TOPIC)).texts("Tags/member/Key") == ["l"]
        await sns.ask("AddPermission", TopicArn=TOPIC, Label="l", AWSAccountId=["111111111111"], ActionName=["Publish"])
        policy = json.loads((await sns.ask("GetTopicAttributes", TopicArn=TOPIC)).entries()["Policy"])
        assert [statement["Sid"] for statement in policy["Statement"]] == ["__default_statement_ID", "l"]
        await sns.ask("RemovePermission", TopicArn=TOPIC, Label="l")
        assert (await sns.ask("DeleteTopic", TopicArn=TOPIC)).result is None
        assert await sns.refusal("GetTopicAttributes", TopicArn=TOPIC) == (404, "NotFound", "Topic does not exist")

    play(test)


def test_a_subscriptions_life() -> None:
    """Subscribed, listed both ways, changed, ended."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        made = await sns.ask(
            "Subscribe",
            TopicArn=TOPIC,
            Protocol="sqs",
            Endpoint=QUEUE,
            Attributes={"RawMessageDelivery": "true", "FilterPolicy": '{"a": ["x"]}'},
            ReturnSubscriptionArn="true",
        )
        arn = made.text("SubscriptionArn")
        assert arn.startswith(f"{TOPIC}:")
        for action, more in (("ListSubscriptions", {}), ("ListSubscriptionsByTopic", {"TopicArn": TOPIC})):
            listed = await sns.ask(action, **more)
            assert [listed.texts(f"Subscriptions/member/{name}") for name in ("Endpoint", "Owner", "Protocol")] == [
                [QUEUE],
                ["123456789012"],
                ["sqs"],
            ]
            assert listed.texts("Subscriptions/member/SubscriptionArn") == [arn]
            assert listed.texts("Subscriptions/member/TopicArn") == [TOPIC]
        await sns.ask("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="")
        has = (await sns.ask("GetSubscriptionAttributes", SubscriptionArn=arn)).entries()
        assert (has["RawMessageDelivery"], has["SubscriptionPrincipal"]) == ("true", "arn:aws:iam::123456789012:root")
        assert "FilterPolicy" not in has
        cooked = {"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery", "AttributeValue": "false"}
        await sns.ask("SetSubscriptionAttributes", **cooked)
        has = (await sns.ask("GetSubscriptionAttributes", SubscriptionArn=arn)).entries()
        assert has["RawMessageDelivery"] == "false"
        assert (await sns.ask("Unsubscribe", SubscriptionArn=arn)).result is None
        gone = (404, "NotFound", "Subscription does not exist")
        assert await sns.refusal("GetSubscriptionAttributes", SubscriptionArn=arn) == gone
        assert await sns.refusal("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName="FilterPolicy") == gone

    play(test)


def test_lists_come_in_pages_of_a_hundred() -> None:
    """The token leads on; together the pages are everything, once; a token that is none is refused."""

    async def test(sns: Sns) -> None:
        for number in range(101):
            topic = sns.topics.create(f"t{number}", REGION, attributes={}, tags={})
            sns.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        for action, path in (
            ("ListTopics", "Topics/member/TopicArn"),
            ("ListSubscriptions", "Subscriptions/member/SubscriptionArn"),
        ):
            first = await sns.ask(action)
            second = await sns.ask(action, NextToken=first.text("NextToken"))
            assert (len(first.texts(path)), len(second.texts(path))) == (100, 1)
            assert len({*first.texts(path), *second.texts(path)}) == 101
            assert second.text("NextToken") == ""
            assert (await sns.refusal(action, NextToken="?"))[2] == "Invalid parameter: NextToken"

    play(test)


def test_publish_takes_every_member() -> None:
    """Attributes of each type, a subject, a structure, a trace; TargetArn names a topic as well."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        await sns.ask("Subscribe", TopicArn=TOPIC, Protocol="sqs", Endpoint=QUEUE)
        form = flat(
            {
                "TargetArn": TOPIC,
                "Message": '{"default": "all", "sqs": "é=&"}',
                "MessageStructure": "json",
                "Subject": "Hi",
                "MessageGroupId": "tenant",
                "MessageAttributes": {
                    "s": {"DataType": "String", "StringValue": "é"},
                    "b": {"DataType": "Binary", "BinaryValue": base64.b64encode(b"\x00\xff").decode()},
                },
            }
        )
        request = make_request(urlencode({"Action": "Publish", **form}), x_amzn_trace_id="Root=1-2-3")
        published = read("Publish", await sns.service.handle(request))
        await sns.settle()
        ((_, message),) = sns.endpoints.sent
        told = json.loads(message.body)
        assert (told["MessageId"], told["Subject"], told["Message"]) == (published.text("MessageId"), "Hi", "é=&")
        assert told["MessageAttributes"] == {
            "s": {"Type": "String", "Value": "é"},
            "b": {"Type": "Binary", "Value": "AP8="},
        }
        assert (message.group_id, message.trace_header) == ("tenant", "Root=1-2-3")

    play(test)


def test_a_batch_tells_of_each_entry() -> None:
    """What is wrong with one entry fails it alone; FIFO topics number the others."""

    async def test(sns: Sns) -> None:
        arn = f"{TOPIC}.fifo"
        attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
        await sns.ask("CreateTopic", Name="news.fifo", Attributes=attributes)
        entries = [
            {"Id": "a", "Message": "one", "MessageGroupId": "g"},
            {"Id": "b", "Message": "two", "MessageGroupId": "g", "Subject": "x" * 101},
            {"Id": "c", "Message": "", "MessageGroupId": "g"},
            {"Id": "d", "Message": "one", "MessageGroupId": "g"},
            {"Id": "e", "Message": "three", "MessageGroupId": "g h"},
        ]
        answer = await sns.ask("PublishBatch", TopicArn=arn, PublishBatchRequestEntries=entries)
        assert answer.texts("Successful/member/Id") == ["a", "d"]
        first, again = answer.texts("Successful/member/SequenceNumber")
        assert first == again
        assert answer.texts("Failed/member/Id") == ["b", "c", "e"]
        assert set(answer.texts("Failed/member/Code")) == {"InvalidParameter"}
        assert answer.texts("Failed/member/Message")[:2] == [
            "Invalid parameter: Subject",
            "Invalid parameter: Empty message",
        ]
        assert answer.texts("Failed/member/SenderFault") == ["true"] * 3

    play(test)


ONE = {"Id": "1", "Message": "m"}


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ([], "EmptyBatchRequest", "The batch request doesn't contain any entries."),
        (
            [{"Id": str(n), "Message": "m"} for n in range(11)],
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        ),
        ([ONE, ONE], "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id."),
        (
            [{"Id": "i" * 81, "Message": "m"}],
            "InvalidBatchEntryId",
            f"The Id of a batch entry in the batch request is too long: {'i' * 81}",
        ),
        (
            [{"Id": "a b", "Message": "m"}],
            "InvalidBatchEntryId",
            "The Id of a batch entry in the batch request contains an impermissible character: a b",
        ),
        (
            [{"Id": str(n), "Message": "m" * 130_000} for n in range(3)],
            "BatchRequestTooLong",
            "The length of all the messages put together is more than the limit.",
        ),
        (
            [ONE, {"Id": "2", "Message": "{}", "MessageStructure": "json"}],
            "InvalidParameter",
            "Invalid parameter: Message Structure - No default entry in JSON message body",
        ),
        (
            [ONE, {"Id": "2", "Message": "m", "MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}}}],
            "ParameterValueInvalid",
            (
                "The message attribute 'a' must contain non-empty message attribute value for message attribute type "
                "'String'."
            ),
        ),
        (
            [{"Id": "1", "Message": "m", "MessageAttributes": {"a": {"StringValue": "x"}}}],
            "ValidationError",
            (
                "1 validation error detected: Value null at 'publishBatchRequestEntries.1.member.messageAttributes.a."
                "member.dataType' failed to satisfy constraint: Member must not be null"
            ),
        ),
        ([{"Message": "m"}], "InvalidParameter", "Invalid parameter: Id Reason: no value for required parameter"),
    ],
)
def test_a_whole_batch_is_refused(entries: list[dict[str, Any]], code: str, message: str) -> None:
    """As AWS refuses it, in its words; nothing of it is published."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        await sns.ask("Subscribe", TopicArn=TOPIC, Protocol="sqs", Endpoint=QUEUE)
        asked = await sns.refusal("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
        assert asked == (400, code, message)
        await sns.settle()
        assert sns.endpoints.sent == []

    play(test)


def test_a_batch_of_exactly_256_kilobytes_is_taken() -> None:
    """All its messages and attributes together."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        attributes = {"name": {"DataType": "String", "StringValue": "value"}}  # 4 + 6 + 5 bytes
        entries = [
            {"Id": "1", "Message": "m" * (128 * 1024)},
            {"Id": "2", "Message": "m" * (128 * 1024 - 15), "MessageAttributes": attributes},
        ]
        answer = await sns.ask("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
        assert answer.texts("Successful/member/Id") == ["1", "2"]
        entries[0]["Message"] += "m"
        asked = await sns.refusal("PublishBatch", TopicArn=TOPIC, PublishBatchRequestEntries=entries)
        assert asked[1] == "BatchRequestTooLong"

    play(test)


def test_a_fifo_batch_without_ids_is_refused_whole() -> None:
    """The group first, then what makes a message one of its kind."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news.fifo", Attributes={"FifoTopic": "true"})
        for entries, message in (
            ([ONE], "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"),
            ([{**ONE, "MessageGroupId": "g"}], "Invalid parameter: The topic should either have ContentBasedDedup"),
        ):
            asked = await sns.refusal("PublishBatch", TopicArn=f"{TOPIC}.fifo", PublishBatchRequestEntries=entries)
            assert asked[:2] == (400, "InvalidParameter")
            assert asked[2].startswith(message)

    play(test)


def attribute(name: str = "a", **members: str) -> dict[str, Any]:
    return {"MessageAttributes": {name: members}}


STRING = {"DataType": "String", "StringValue": "x"}


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"TopicArn": TOPIC}, "InvalidParameter", "Invalid parameter: Empty message"),
        ({"TopicArn": TOPIC, "Message": ""}, "InvalidParameter", "Invalid parameter: Empty message"),
        ({"TopicArn": TOPIC, "Message": "m", "Subject": ""}, "InvalidParameter", "Invalid parameter: Subject"),
        (
            {"TopicArn": TOPIC, "Message": "", "MessageStructure": "json"},
            "InvalidParameter",
            "Invalid parameter: Empty message",
        ),
        (
            {"Message": "m"},
            "InvalidParameter",
            "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter",
        ),
        (
            {"Message": "m", "PhoneNumber": "+15551234567"},
            "InvalidParameter",
            "Invalid parameter: PhoneNumber Reason: text messages are not served by this local cloud",
        ),
        (
            {"Message": "m", "TargetArn": "arn:aws:sns:eu-west-1:123456789012:endpoint/APNS/a/b"},
            "InvalidParameter",
            "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified",
        ),
        (
            {"Message": "m", "TopicArn": ""},
            "InvalidParameter",
            "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC.replace(REGION, "us-east-1")},
            "InvalidParameter",
            "Invalid parameter: TopicArn",
        ),
        ({"Message": "m", "TopicArn": f"{TOPIC}s"}, "NotFound", "Topic does not exist"),
        (
            {"Message": "m", "TopicArn": TOPIC, "MessageStructure": "xml"},
            "InvalidParameter",
            "Invalid parameter: MessageStructure",
        ),
        (
            {"Message": "{", "TopicArn": TOPIC, "MessageStructure": "json"},
            "InvalidParameter",
            "Invalid parameter: Message Structure - JSON message body failed to parse",
        ),
        (
            {"Message": '{"default": "\\ud800"}', "TopicArn": TOPIC, "MessageStructure": "json"},
            "InvalidParameter",
            "Invalid parameter: Message Structure - JSON message body failed to parse",
        ),
        (
            {"Message": '{"default": {"a": 1}}', "TopicArn": TOPIC, "MessageStructure": "json"},
            "InvalidParameter",
            "Invalid parameter: Message Structure - No default entry in JSON message body",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(StringValue="x")},
            "ValidationError",
            (
                "1 validation error detected: Value null at 'messageAttributes.a.member.dataType' failed to satisfy "
                "constraint: Member must not be null"
            ),
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Colour", StringValue="x")},
            "ParameterValueInvalid",
            (
                "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes "
                "is Binary, Number, and String."
            ),
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Binary", BinaryValue="")},
            "ParameterValueInvalid",
            (
                "The message attribute 'a' must contain non-empty message attribute value for message attribute type "
                "'Binary'."
            ),
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Number", BinaryValue="AAE=")},
            "ParameterValueInvalid",
            "The message attribute 'a' with type 'Number' must use field 'String'.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Binary", StringValue="x")},
            "ParameterValueInvalid",
            "The message attribute 'a' with type 'Binary' must use field 'Binary'.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Number", StringValue="many")},
            "ParameterValueInvalid",
            "Could not cast message attribute 'a' value to number.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(DataType="Binary", BinaryValue="?")},
            "ParameterValueInvalid",
            "The binary value of message attribute 'a' is not Base64.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute("a" * 257, **STRING)},
            "ParameterValueInvalid",
            "Length of message attribute name must be less than 256 bytes.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute("a^", **STRING)},
            "ParameterValueInvalid",
            (
                "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. "
                "Can only include alphanumeric characters, hyphens, underscores, or dots."
            ),
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute(".a", **STRING)},
            "ParameterValueInvalid",
            "Invalid message attribute name starting with character '.' was found.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute("a.", **STRING)},
            "ParameterValueInvalid",
            "Invalid message attribute name ending with character '.' was found.",
        ),
        (
            {"Message": "m", "TopicArn": TOPIC, **attribute("a..b", **STRING)},
            "ParameterValueInvalid",
            "Message attribute name can not have successive '.' character.",
        ),
        (
            {"Message": "m" * 262_143, "TopicArn": TOPIC, **attribute("a", **STRING)},
            "InvalidParameter",
            "Invalid parameter: Message too long",
        ),
    ],
)
def test_publish_refuses_in_awss_words(parameters: dict[str, Any], code: str, message: str) -> None:
    """Nothing of it is published."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        status = 404 if code == "NotFound" else 400
        assert await sns.refusal("Publish", **parameters) == (status, code, message)

    play(test)


def test_types_with_a_label_are_taken() -> None:
    """Of each of the three, and arrays of numbers, which SNS's own pages have."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        good = [("String.x", "v"), ("String.Array", "no array"), ("Number.x", "-1.5e3"), ("Number.Array", "[1, 2]")]
        for data_type, text in good:
            members = attribute(DataType=data_type, StringValue=text)
            assert (await sns.ask("Publish", TopicArn=TOPIC, Message="m", **members)).status == 200

    play(test)


def test_no_token_confirms() -> None:
    """Everything is confirmed when it is made; a token that could be one is unknown, anything else is none."""

    async def test(sns: Sns) -> None:
        for token, message in (("x", "Invalid token"), ("2336412f37" * 20, "Invalid parameter: Token")):
            asked = await sns.refusal("ConfirmSubscription", TopicArn=TOPIC, Token=token)
            assert asked == (400, "InvalidParameter", message)
        asked = await sns.refusal("ConfirmSubscription", Token="x")
        assert asked[2] == "Invalid parameter: TopicArn Reason: no value for required parameter"

    play(test)


@pytest.mark.parametrize(
    ("action", "parameters", "code", "message"),
    [
        ("CreateTopic", {}, "InvalidParameter", "Invalid parameter: Name Reason: no value for required parameter"),
        ("CreateTopic", {"Name": "n", "DataProtectionPolicy": "{}"}, "InvalidParameter", "Invalid parameter: DataProt"),
        (
            "CreateTopic",
            {"Name": "n", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "w"}]},
            "InvalidParameter",
            "Invalid parameter: Duplicated keys are not allowed.",
        ),
        ("Subscribe", {"TopicArn": TOPIC}, "InvalidParameter", "Invalid parameter: Protocol Reason: no value"),
        (
            "Subscribe",
            {"TopicArn": TOPIC, "Protocol": "sqs"},
            "InvalidParameter",
            "Invalid parameter: SQS endpoint ARN",
        ),
        ("Unsubscribe", {}, "InvalidParameter", "Invalid parameter: SubscriptionArn Reason: no value"),
        ("TagResource", {"ResourceArn": TOPIC}, "InvalidParameter", "Invalid parameter: Tags Reason"),
        ("UntagResource", {"ResourceArn": TOPIC}, "InvalidParameter", "Invalid parameter: TagKeys Reason"),
        ("ListTagsForResource", {"ResourceArn": f"{TOPIC}s"}, "ResourceNotFound", "Resource does not exist"),
        ("ListTagsForResource", {"ResourceArn": "x"}, "InvalidParameter", "Invalid parameter: TopicArn Reason"),
        ("Publish", {"TopicArn": ["x"], "Message": "m"}, "MalformedInput", "TopicArn is not a string."),
        ("TagResource", {"ResourceArn": TOPIC, "Tags": "x"}, "MalformedInput", "Tags is not a list."),
        (
            "UntagResource",
            {"ResourceArn": TOPIC, "TagKeys": [{"a": "x"}]},
            "MalformedInput",
            "TagKeys is not a list of",
        ),
        ("CreateTopic", {"Name": "n", "Attributes": [{"a": "x"}]}, "MalformedInput", "Attributes is not a structure."),
        ("Explode", {}, "InvalidAction", "The action Explode is not valid for this web service."),
        ("SetSMSAttributes", {}, "UnsupportedOperation", "SetSMSAttributes is not served by this local cloud."),
        ("", {}, "MissingAction", "The request must contain the parameter Action."),
    ],
)
def test_requests_that_are_none(action: str, parameters: dict[str, Any], code: str, message: str) -> None:
    """Each with its own code, never with a failure of ours."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        asked = await sns.refusal(action, **parameters)
        assert asked[:2] == (404 if code == "ResourceNotFound" else 400, code)
        assert asked[2].startswith(message)

    play(test)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"Action=ListTopics&Version=2009-01-01", "NoSuchVersion"),
        (b"Action=\xff", "MalformedQueryString"),
        (b"Action=%ff", "MalformedQueryString"),
        (b"&".join(b"a=%d" % n for n in range(10_001)), "MalformedQueryString"),
        (b"Action=ListTopics&" + b".".join([b"a"] * 9) + b"=1", "MalformedQueryString"),
        (b"Action=ListTopics&a=1&a.b=2", "MalformedInput"),
        (b"Action=ListTopics&a.b=2&a=1", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Attributes.entry.1.value=x", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Attributes.entry=x", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Attributes.entry.1=x", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Tags.member=x", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Tags.member.x.Key=a", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Tags.member.0.Key=a", "MalformedInput"),
        (b"Action=CreateTopic&Name=n&Attributes.entry.100000.key=a", "MalformedInput"),
        (b"Action.x=1", "MissingAction"),
    ],
)
def test_forms_that_are_none(body: bytes, code: str) -> None:
    """Bounded in fields and depth, and strict in UTF-8."""

    async def test(sns: Sns) -> None:
        answer = read("", await sns.service.handle(make_request(body)))
        assert (answer.status, answer.code) == (400, code)

    play(test)


def test_every_action_of_sns_is_served_or_refused_by_name() -> None:
    """As botocore's model of the service lists them."""
    from botocore.session import Session

    operations = Session().get_service_model("sns").operation_names
    assert sorted([*ACTIONS, *NOT_SERVED]) == sorted(operations)


def test_json_where_it_is_asked_for() -> None:
    """As API Gateway's integrations ask: null where a topic has no sequence numbers, errors as JSON too."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news")
        form = urlencode({"Action": "Publish", "TopicArn": TOPIC, "Message": "m"})
        request = make_request(b"", query=form, accept="application/json")
        response = await sns.service.handle(request)
        assert isinstance(response.body, bytes)
        told = json.loads(response.body)["PublishResponse"]
        assert told["ResponseMetadata"] == {"RequestId": "r-1"}
        assert told["PublishResult"].keys() == {"MessageId", "SequenceNumber"}
        assert told["PublishResult"]["SequenceNumber"] is None
        response = await sns.service.handle(make_request("Action=Publish&Message=m", accept="application/json"))
        assert isinstance(response.body, bytes)
        assert (response.status, response.headers) == (400, {"content-type": "application/json"})
        assert json.loads(response.body)["Error"]["Code"] == "InvalidParameter"

    play(test)


def test_text_that_xml_cannot_hold_is_marked() -> None:
    """A subscriber gets the character; an answer that tells it says that something was there."""

    async def test(sns: Sns) -> None:
        await sns.ask("CreateTopic", Name="news", Attributes={"DisplayName": "a\x00\rb"})
        assert (await sns.ask("GetTopicAttributes", TopicArn=TOPIC)).entries()["DisplayName"] == "a\ufffd\rb"

    play(test)


# ---------------------------------------------------------------------- permissions


@pytest.mark.parametrize(
    ("parameters", "needed"),
    [
        ({"Action": "Publish", "TopicArn": TOPIC}, [("sns:Publish", TOPIC)]),
        ({"Action": "Publish", "TargetArn": TOPIC}, [("sns:Publish", TOPIC)]),
        ({"Action": "Publish", "PhoneNumber": "+1"}, [("sns:Publish", "*")]),
        ({"Action": "PublishBatch", "TopicArn": TOPIC}, [("sns:Publish", TOPIC)]),
        ({"Action": "CreateTopic", "Name": "news"}, [("sns:CreateTopic", TOPIC)]),
        (
            {"Action": "CreateTopic", "Name": "news", "Tags.member.1.Key": "k"},
            [("sns:CreateTopic", TOPIC), ("sns:TagResource", TOPIC)],
        ),
        ({"Action": "TagResource", "ResourceArn": TOPIC}, [("sns:TagResource", TOPIC)]),
        ({"Action": "ListTopics"}, [("sns:ListTopics", "*")]),
        ({"Action": "ListSubscriptions"}, [("sns:ListSubscriptions", "*")]),
        ({"Action": "Unsubscribe", "SubscriptionArn": "a"}, [("sns:Unsubscribe", "*")]),
        ({"Action": "SetSubscriptionAttributes", "SubscriptionArn": "a"}, [("sns:SetSubscriptionAttributes", "*")]),
        ({"Action": "ConfirmSubscription", "TopicArn": TOPIC}, [("sns:ConfirmSubscription", TOPIC)]),
        ({"Action": "ListSubscriptionsByTopic", "TopicArn": TOPIC}, [("sns:ListSubscriptionsByTopic", TOPIC)]),
        ({"Action": "Explode"}, []),
        ({"Action": "Publish"}, []),
        ({"Action": "CreateTopic"}, []),
    ],
)
def test_iam_is_asked_for_the_action_on_its_topic(parameters: dict[str, str], needed: list[tuple[str, str]]) -> None:
    """A batch needs what its single action needs; a malformed request needs nothing, for it is refused first."""

    async def test(sns: Sns) -> None:
        asked = sns.service.permissions(make_request(urlencode(parameters)))
        assert [(each.action, each.resource) for each in asked] == needed

    play(test)


def test_subscribe_has_condition_keys_of_its_own() -> None:
    """sns:Protocol and sns:Endpoint, by which policies bound who subscribes what."""

    async def test(sns: Sns) -> None:
        form = f"Action=Subscribe&TopicArn={TOPIC}&Protocol=lambda&Endpoint={quote(FUNCTION)}"
        context = (("sns:Endpoint", FUNCTION), ("sns:Protocol", "lambda"))
        assert sns.service.permissions(make_request(form)) == (Permission("sns:Subscribe", TOPIC, context),)

    play(test)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(ACTIONS)),
    st.dictionaries(
        st.sampled_from(
            [
                *(
                    "TopicArn",
                    "TargetArn",
                    "ResourceArn",
                    "Name",
                    "Message",
                    "Subject",
                    "Protocol",
                    "Endpoint",
                    "Label",
                ),
                *("Tags.member.1.Key", "Tags.member.x", "TagKeys.member.1", "AttributeName", "AttributeValue"),
                *("Attributes.entry.1.key", "Attributes.entry.1.value", "SubscriptionArn", "NextToken", "Token"),
                *("MessageAttributes.entry.1.Name", "MessageAttributes.entry.1.Value.DataType", "MessageStructure"),
                *("PublishBatchRequestEntries.member.1.Id", "PublishBatchRequestEntries.member.1.Message"),
                *("ActionName.member.1", "AWSAccountId.member.1", "MessageGroupId", "MessageDeduplicationId"),
            ]
        ),
        st.one_of(st.sampled_from([TOPIC, f"{TOPIC}.fifo", QUEUE, "sqs", "FilterPolicy", "json", "{}"]), st.text()),
    ),
)
def test_no_form_breaks_the_service(action: str, fields: dict[str, str]) -> None:
    """Whatever is sent, it is answered, or refused with a 4xx."""

    async def test(sns: Sns) -> None:
        sns.topics.create("news", REGION, attributes={}, tags={})
        form = urlencode({"Action": action, **fields}, errors="replace")
        request = make_request(form)
        sns.service.permissions(request)
        assert (await sns.service.handle(request)).status in {200, 400, 403, 404}

    play(test)
