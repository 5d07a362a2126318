"""SNS against moto: what boto3 would send to both, thousands of generated requests, the same answers and deliveries.

botocore writes the requests and reads the answers. Each side has its own queues behind its topics, so that what arrives
is compared as well. docs/fidelity/sns.md explains each name of `MOTO`; a difference without one fails.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from botocore import parsers, serialize, session
from moto.sns.models import sns_backends

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService, DelegateFailed
from localcloud.services.contract import ACCOUNT_ID, Service, WireRequest
from localcloud.services.sns.endpoints import LocalEndpoints
from localcloud.services.sns.model import Topics
from localcloud.services.sns.wire import SnsService
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "sns.md"
REGION = "eu-west-1"
OPEN = '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}}'
CRASH = "crash"
SEEDS, COUNT = (1, 2, 3), 400
_PARSERS: Any = parsers  # botocore has no types
_SERIALIZE: Any = serialize
_SESSION: Any = session
_MODEL: Any = _SESSION.get_session().get_service_model("sns")
_SERIALIZER: Any = _SERIALIZE.create_serializer("query", include_validation=False)
_PARSER: Any = _PARSERS.create_parser("query")
_NAMES = itertools.count()
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UNLIKE = (  # ids and dates, and what the page of differences has for every answer
    *("MessageId", "NextToken", "SequenceNumber", "ResponseMetadata", "EffectiveDeliveryPolicy", "Policy"),
    *("Timestamp", "Signature", "SigningCertURL", "UnsubscribeURL", "SignatureVersion"),
    *("ReceiptHandle", "MD5OfBody", "MD5OfMessageAttributes", "SenderId", "SubscriptionPrincipal"),
    *("SubscriptionsConfirmed", "SubscriptionsDeleted", "EffectiveFilterPolicy", "DeliveryPolicy"),
)


@dataclass
class Side:
    """One of the two: its services, the subscriptions that it made, and whether all is delivered."""

    sns: Service
    sqs: Service
    settled: Callable[[], bool] = lambda: True
    subscriptions: list[str] = field(default_factory=list)

    async def ask(self, action: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        """The error code ("" for none) and the answer, as boto3 has it."""
        operation = _MODEL.operation_model(action)
        written = _SERIALIZER.serialize_to_request(parameters, operation)
        body = urlencode(written["body"]).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        try:
            answer = await self.sns.handle(_request("sns", body, headers))
        except DelegateFailed:
            return CRASH, {}
        told = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
        parsed = _PARSER.parse(told, operation.output_shape)
        async with asyncio.timeout(10):  # moto delivers before it answers, so we do here
            while not self.settled():  # noqa: ASYNC110 - the tasks in between are what is waited for
                await asyncio.sleep(0)
        return parsed.get("Error", {}).get("Code", ""), parsed

    async def ask_sqs(self, action: str, parameters: dict[str, Any]) -> Any:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        answer = await self.sqs.handle(_request("sqs", json.dumps(parameters).encode(), headers))
        assert answer.status == 200, answer
        assert isinstance(answer.body, bytes)
        return json.loads(answer.body or b"{}")

    async def drain(self, queue_url: str) -> list[Any]:
        """Every message of a queue, in the order of their texts."""
        found: list[Any] = []
        while True:
            asked = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
            messages = (await self.ask_sqs("ReceiveMessage", asked)).get("Messages", [])
            if not messages:
                return sorted((normal(message) for message in messages_of(found)), key=_in_order)
            found += messages
            for message in messages:
                handle = {"QueueUrl": queue_url, "ReceiptHandle": message["ReceiptHandle"]}
                await self.ask_sqs("DeleteMessage", handle)


def _request(service: str, body: bytes, headers: dict[str, str]) -> WireRequest:
    credential = f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/{service}/aws4_request, Signature=x"
    own = {
        "authorization": credential,
        "content-length": str(len(body)),
        "host": f"{service}.{REGION}.amazonaws.com",
    }
    return WireRequest(service, REGION, "POST", "/", "", own | headers, body, "AK", "r")


def messages_of(messages: list[Any]) -> Iterator[Any]:
    """Messages with their envelopes read."""
    for message in messages:
        try:
            body = json.loads(message["Body"])
        except ValueError:
            body = message["Body"]
        yield message | {"Body": body}


def normal(value: Any) -> Any:
    """Without ids and dates; lists of subscriptions, topics and tags in the order of their texts."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: normal(item) for name, item in members.items() if name not in _UNLIKE}
    if isinstance(value, list):
        return sorted((normal(item) for item in cast("list[Any]", value)), key=_in_order)
    return _ID.sub("id", value) if isinstance(value, str) else value


def _in_order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


Request = tuple[str, dict[str, Any]]
MOTO_TAKES = {  # what is refused here as AWS documents it: such a request goes to our side only; name: (action, words)
    "moto-any-attribute": ("SetTopicAttributes", "AttributeName"),
    "moto-empty-condition": ("", "Empty arrays are not allowed"),
    "moto-raw-perhaps": ("", "RawMessageDelivery: Invalid value"),
    "moto-any-protocol": ("Subscribe", "protocol"),
    "moto-subscribe-again": ("Subscribe", "already exists with different attributes"),
    "moto-batch-without-id": ("PublishBatch", "MessageDeduplicationId provided explicitly"),
    "moto-empty-message": ("Publish", "Empty message"),
    "moto-any-subject": ("Publish", "Invalid parameter: Subject"),
    "moto-any-structure": ("Publish", "Message Structure"),
    "moto-refused-and-made": ("Subscribe", "Invalid parameter: "),
}
MOTO_CODES = {  # refused by both, with another code: name: (action, ours, moto's)
    "moto-missing-group": ("Publish", "InvalidParameter", "MissingParameter"),
    "moto-topic-last": ("Publish", "NotFound", "InvalidParameter"),
    "moto-name-first": ("SetSubscriptionAttributes", "NotFound", "InvalidParameter"),
    "moto-policy-crash": ("SetSubscriptionAttributes", "InvalidParameter", CRASH),
    "moto-bad-number": ("Publish", "ParameterValueInvalid", "InvalidParameter"),
}


class Pair:
    """Both sides, fed the same."""

    def __init__(self, ours: Side, theirs: Side) -> None:
        self.sides = (ours, theirs)
        self.named = Counter[str]()
        self.answered = Counter[tuple[str, str]]()
        self.messages = 0
        number = next(_NAMES)
        self.queues = [f"queue-{number}-{index}" for index in range(3)]

    async def both(self, action: str, parameters: dict[str, Any]) -> None:
        """Ask both, and hold the answers against each other. `$N` is the N-th last subscription that both made."""
        ours = await self.ask(0, action, parameters)
        self.answered[action, ours[0]] += 1
        told = ours[1].get("Error", {}).get("Message", "")
        for name, (of_action, words) in MOTO_TAKES.items():
            if action.startswith(of_action) and words in told:
                self.named[name] += 1
                return
        theirs = await self.ask(1, action, parameters)
        for name, (of_action, *codes) in MOTO_CODES.items():
            if action.startswith(of_action) and [ours[0], theirs[0]] == codes:
                self.named[name] += 1
                return
        assert _normal_answer(ours) == _normal_answer(theirs), (action, parameters)
        if action == "Subscribe" and not ours[0] and ours[1]["SubscriptionArn"] not in self.sides[0].subscriptions:
            self.sides[0].subscriptions.append(ours[1]["SubscriptionArn"])
            self.sides[1].subscriptions.append(theirs[1]["SubscriptionArn"])

    async def ask(self, which: int, action: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        """Ask one side."""
        side = self.sides[which]
        return await side.ask(action, self._fill(side, parameters))

    async def arrived(self) -> None:
        """Hold against each other what waits in the queues."""
        for name in self.queues:
            url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{name}"
            ours, theirs = [await side.drain(url) for side in self.sides]
            assert ours == theirs, name
            self.messages += len(ours)

    def _fill(self, side: Side, parameters: dict[str, Any]) -> dict[str, Any]:
        given = parameters.get("SubscriptionArn", "")
        if not given.startswith("$"):
            return parameters
        index = int(given[1:])
        known = side.subscriptions[-1 - index] if index < len(side.subscriptions) else f"{arn('news')}:{'0' * 8}-no"
        return parameters | {"SubscriptionArn": known}


def _normal_answer(answer: tuple[str, Any]) -> tuple[str, Any]:
    return (answer[0], None) if answer[0] else ("", normal(answer[1]))


def arn(name: str) -> str:
    return f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{name}"


NAMES = ("news", "alarms", "orders.fifo")
FILTERS = (
    '{"a": ["x"]}',
    '{"a": [{"prefix": "x"}], "n": [{"numeric": [">", 1]}]}',
    '{"a": [{"anything-but": ["x"]}]}',
    '{"a": [{"exists": false}], "n": [{"exists": true}]}',
    '{"a": []}',
    '{"a": "x"}',
    "not json",
    "{}",
)


class Generator:
    """Requests over few names, so that they meet; one in six is not a valid one."""

    def __init__(self, seed: int, queues: list[str]) -> None:
        self.chance = random.Random(seed)
        self.queues = [f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}" for name in queues]

    def requests(self, count: int) -> Iterator[Request]:
        for name in NAMES:
            yield "CreateTopic", {"Name": name, "Attributes": {"FifoTopic": "true"} if "fifo" in name else {}}
        makers = (
            *(self.publish, self.publish, self.publish, self.batch, self.subscribe, self.subscribe),
            *(self.create, self.delete, self.attributes, self.lists, self.tags),
            *(self.subscription_attributes, self.subscription_attributes),
        )
        for _ in range(count):
            yield self.chance.choice(makers)()

    def rarely(self, value: Any, otherwise: Any) -> Any:
        return value if self.chance.random() < 0.06 else otherwise

    def topic(self) -> str:
        return self.rarely(arn("nowhere"), arn(self.chance.choice(NAMES)))

    def create(self) -> Request:
        name = self.rarely(self.chance.choice(("a b", "", "x" * 257, "news.fifo")), self.chance.choice(NAMES))
        attributes = {"FifoTopic": "true"} if name.endswith(".fifo") else {}
        return "CreateTopic", {"Name": name, "Attributes": attributes}

    def delete(self) -> Request:
        if self.chance.random() < 0.3:
            return "DeleteTopic", {"TopicArn": self.topic()}
        return "Unsubscribe", {"SubscriptionArn": f"${self.chance.randint(0, 5)}"}

    def attributes(self) -> Request:
        topic = self.topic()
        if self.chance.random() < 0.5:
            return "GetTopicAttributes", {"TopicArn": topic}
        name, value = self.chance.choice((("DisplayName", "News"), ("DisplayName", "N"), ("Colour", "red")))
        return "SetTopicAttributes", {"TopicArn": topic, "AttributeName": name, "AttributeValue": value}

    def subscribe(self) -> Request:
        attributes = self.rarely({"Colour": "red"}, {})
        if self.chance.random() < 0.5:
            attributes["FilterPolicy"] = self.chance.choice(FILTERS)
        if self.chance.random() < 0.4:
            attributes["RawMessageDelivery"] = self.rarely("perhaps", "true")
        asked = {"TopicArn": self.topic(), "Protocol": self.rarely("pigeon", "sqs"), "ReturnSubscriptionArn": True}
        return "Subscribe", asked | {"Endpoint": self.chance.choice(self.queues), "Attributes": attributes}

    def subscription_attributes(self) -> Request:
        which = f"${self.chance.randint(0, 5)}"
        if self.chance.random() < 0.5:
            return "GetSubscriptionAttributes", {"SubscriptionArn": which}
        name, value = self.chance.choice(
            (
                ("RawMessageDelivery", "true"),
                ("RawMessageDelivery", "false"),
                ("RawMessageDelivery", "perhaps"),
                ("Colour", "red"),
                *(("FilterPolicy", policy) for policy in FILTERS),
            )
        )
        asked = {"SubscriptionArn": which, "AttributeName": name, "AttributeValue": value}
        return "SetSubscriptionAttributes", asked

    def lists(self) -> Request:
        name = self.chance.choice(("ListTopics", "ListSubscriptions", "ListSubscriptionsByTopic"))
        return name, {"TopicArn": self.topic()} if name == "ListSubscriptionsByTopic" else {}

    def tags(self) -> Request:
        asked: dict[str, Any] = {"ResourceArn": self.topic()}
        roll = self.chance.random()
        if roll < 0.4:
            return "ListTagsForResource", asked
        if roll < 0.7:
            return "TagResource", asked | {"Tags": [{"Key": self.chance.choice("xyz"), "Value": "1"}]}
        return "UntagResource", asked | {"TagKeys": [self.chance.choice("xyz")]}

    def publish(self) -> Request:
        topic = self.topic()
        return "Publish", {"TopicArn": topic, **self.message(topic)}

    def batch(self) -> Request:
        topic = self.topic()
        entries = [{"Id": str(number), **self.message(topic)} for number in range(self.chance.randint(1, 3))]
        entries = [entry | {"Message": entry["Message"] or "m", "Subject": "About"} for entry in entries]
        many = [{"Id": str(number), "Message": "m"} for number in range(11)]
        return "PublishBatch", {"TopicArn": topic, "PublishBatchRequestEntries": self.rarely(many, entries)}

    def message(self, topic: str) -> dict[str, Any]:
        message: dict[str, Any] = {"Message": self.rarely("", self.chance.choice(("m", "é😀", '{"a": ["x"]}', " ")))}
        if self.chance.random() < 0.3:
            message["Subject"] = self.rarely(self.chance.choice(("x" * 101, "a\nb")), "About")
        if self.chance.random() < 0.1:
            structure = self.chance.choice(('{"default": "d", "sqs": "s"}', '{"sqs": "s"}', "no json"))
            message |= {"MessageStructure": self.rarely("xml", "json"), "Message": structure}
        if self.chance.random() < 0.7:
            message["MessageAttributes"] = self.message_attributes()
        if topic.endswith(".fifo"):
            message |= self.rarely({}, {"MessageGroupId": "g"})
            message |= self.rarely({}, {"MessageDeduplicationId": str(self.chance.randint(0, 10_000))})
        return message

    def message_attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.chance.random() < 0.7:
            found["a"] = {"DataType": "String", "StringValue": self.chance.choice(("x", "xy", "é", "1"))}
        if self.chance.random() < 0.5:
            value = self.rarely("nan?", self.chance.choice(("1", "2.5", "-3")))
            found["n"] = {"DataType": "Number", "StringValue": value}
        return found


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    """moto, as the long tail has it."""
    made = Delegate()
    yield made
    made.close()


@asynccontextmanager
async def both_sides(delegate: Delegate) -> AsyncGenerator[Pair]:
    """Ours and moto's, with the same empty queues."""
    sns_backends[ACCOUNT_ID][REGION].reset()
    queues = Queues(clock=SystemClock(), rng=random.Random(1))
    async with asyncio.TaskGroup() as group:
        endpoints = LocalEndpoints(queues, invoke_event=_refuse_invoke, may_invoke=lambda _, __: False)
        topics = Topics(clock=SystemClock(), rng=random.Random(1), group=group, endpoints=endpoints)
        ours = Side(SnsService(topics), SqsService(queues), settled=lambda: not topics.pending)
        sns, sqs = (DelegatedService(name, delegate, needs=lambda _: ()) for name in ("sns", "sqs"))
        theirs = Side(sns, sqs)
        pair = Pair(ours, theirs)
        for side in pair.sides:
            for name in pair.queues:
                await side.ask_sqs("CreateQueue", {"QueueName": name, "Attributes": {"Policy": OPEN}})
        yield pair
        topics.close()


async def _refuse_invoke(function_arn: str, payload: bytes, trace_header: str) -> None:
    raise AssertionError((function_arn, payload, trace_header))


async def differ(delegate: Delegate, seed: int) -> Pair:
    """Send what the seed generates to both."""
    async with both_sides(delegate) as pair:
        for number, (action, parameters) in enumerate(Generator(seed, pair.queues).requests(COUNT)):
            await pair.both(action, parameters)
            if number % 10 == 0:
                await pair.arrived()
        await pair.arrived()
        return pair


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_difference_of_generated_requests_is_a_named_one(delegate: Delegate, seed: int) -> None:
    """The same answers, the same error codes, the same messages in the same queues, but for fewer than one in six."""
    pair = await differ(delegate, seed)
    assert sum(pair.named.values()) < COUNT // 6, pair.named
    assert pair.messages > COUNT // 8
    assert len(pair.answered) > 30, pair.answered


QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:nowhere"
NEWS, ORDERS = arn("news"), arn("orders.fifo")
TOPIC: Request = ("CreateTopic", {"Name": "news"})
FIFO: Request = ("CreateTopic", {"Name": "orders.fifo", "Attributes": {"FifoTopic": "true"}})


def subscribe(**changes: Any) -> Request:
    return "Subscribe", {
        "TopicArn": NEWS,
        "Protocol": "sqs",
        "Endpoint": QUEUE,
        "ReturnSubscriptionArn": True,
    } | changes


def batch(topic: str = NEWS, **entry: Any) -> Request:
    return "PublishBatch", {"TopicArn": topic, "PublishBatchRequestEntries": [{"Id": "a", "Message": "m"} | entry]}


def number(value: str) -> dict[str, Any]:
    return {"MessageAttributes": {"n": {"DataType": "Number", "StringValue": value}}}


CASES: dict[str, tuple[list[Request], str, str]] = {  # what to send, and how the last of it is answered here, by moto
    "moto-any-attribute": (
        [TOPIC, ("SetTopicAttributes", {"TopicArn": NEWS, "AttributeName": "Colour", "AttributeValue": "red"})],
        "InvalidParameter",
        "",
    ),
    "moto-any-protocol": ([TOPIC, subscribe(Protocol="pigeon")], "InvalidParameter", ""),
    "moto-any-structure": (
        [TOPIC, ("Publish", {"TopicArn": NEWS, "Message": "no json", "MessageStructure": "json"})],
        "InvalidParameter",
        "",
    ),
    "moto-any-subject": (
        [TOPIC, ("Publish", {"TopicArn": NEWS, "Message": "m", "Subject": "a\nb"})],
        "InvalidParameter",
        "",
    ),
    "moto-bad-number": (
        [TOPIC, ("Publish", {"TopicArn": NEWS, "Message": "m"} | number("x"))],
        "ParameterValueInvalid",
        "InvalidParameter",
    ),
    "moto-batch-without-id": ([FIFO, batch(ORDERS, MessageGroupId="g")], "InvalidParameter", ""),
    "moto-empty-condition": (
        [TOPIC, subscribe(Attributes={"FilterPolicy": '{"a": []}'})],
        "InvalidParameter",
        "",
    ),
    "moto-empty-message": ([TOPIC, ("Publish", {"TopicArn": NEWS, "Message": ""})], "InvalidParameter", ""),
    "moto-missing-group": (
        [FIFO, ("Publish", {"TopicArn": ORDERS, "Message": "m", "MessageDeduplicationId": "1"})],
        "InvalidParameter",
        "MissingParameter",
    ),
    "moto-name-first": (
        [
            (
                "SetSubscriptionAttributes",
                {"SubscriptionArn": "$0", "AttributeName": "Colour", "AttributeValue": "red"},
            )
        ],
        "NotFound",
        "InvalidParameter",
    ),
    "moto-policy-crash": (
        [
            TOPIC,
            subscribe(),
            (
                "SetSubscriptionAttributes",
                {"SubscriptionArn": "$0", "AttributeName": "FilterPolicy", "AttributeValue": "x"},
            ),
        ],
        "InvalidParameter",
        CRASH,
    ),
    "moto-raw-perhaps": (
        [TOPIC, subscribe(Attributes={"RawMessageDelivery": "perhaps"})],
        "InvalidParameter",
        "",
    ),
    "moto-subscribe-again": (
        [TOPIC, subscribe(), subscribe(Attributes={"RawMessageDelivery": "true"})],
        "InvalidParameter",
        "",
    ),
    "moto-topic-last": (
        [("Publish", {"TopicArn": NEWS, "Message": "m", "MessageStructure": "xml"})],
        "NotFound",
        "InvalidParameter",
    ),
}


async def run(pair: Pair, requests: list[Request]) -> list[Any]:
    """Send to each side; the last answer of ours and of moto's."""
    last: list[Any] = []
    for which, side in enumerate(pair.sides):
        answer: tuple[str, Any] = ("", {})
        for action, parameters in requests:
            answer = await pair.ask(which, action, parameters)
            if "SubscriptionArn" in answer[1]:
                side.subscriptions.append(answer[1]["SubscriptionArn"])
        last.append(answer)
    return last


@pytest.mark.parametrize("name", CASES)
async def test_each_named_difference_of_refusals_is_one(delegate: Delegate, name: str) -> None:
    """Shown by itself, so that a name that moto has outgrown fails."""
    requests, *codes = CASES[name]
    async with both_sides(delegate) as pair:
        assert codes == [code for code, _ in await run(pair, requests)]


async def test_a_refused_subscription_is_not_made(delegate: Delegate) -> None:
    """`moto-refused-and-made`: there it is in the list."""
    requests = [TOPIC, subscribe(Attributes={"Colour": "red"}), ("ListSubscriptionsByTopic", {"TopicArn": NEWS})]
    async with both_sides(delegate) as pair:
        answers = await run(pair, requests)
        assert [len(answer["Subscriptions"]) for _, answer in answers] == [0, 1]


async def test_confirmed_subscriptions_are_counted(delegate: Delegate) -> None:
    """`moto-confirmed`: there they are none."""
    async with both_sides(delegate) as pair:
        answers = await run(pair, [TOPIC, subscribe(), ("GetTopicAttributes", {"TopicArn": NEWS})])
        assert [answer["Attributes"]["SubscriptionsConfirmed"] for _, answer in answers] == ["1", "0"]


async def test_a_duplicate_is_answered_as_the_first_and_delivered_once(delegate: Delegate) -> None:
    """`moto-duplicates`: there it is another message, and arrives."""
    message = {"TopicArn": ORDERS, "Message": "m", "MessageGroupId": "g", "MessageDeduplicationId": "1"}
    async with both_sides(delegate) as pair:
        endpoint = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{pair.queues[0]}"
        made = await run(pair, [FIFO, subscribe(TopicArn=ORDERS, Endpoint=endpoint)])
        assert [code for code, _ in made] == ["", ""]
        first, again = [await run(pair, [("Publish", message)]) for _ in range(2)]
        ids = [[answer["MessageId"] for _, answer in answers] for answers in (first, again)]
        assert [one == other for one, other in zip(*ids, strict=True)] == [True, False]
        url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{pair.queues[0]}"
        assert [len(await side.drain(url)) for side in pair.sides] == [1, 2]


async def test_a_subject_is_checked_in_a_batch(delegate: Delegate) -> None:
    """`moto-any-subject`: there a batch takes even those that Publish refuses."""
    async with both_sides(delegate) as pair:
        answers = await run(pair, [TOPIC, batch(Subject="x" * 101)])
        assert [len(answer["Failed"]) for _, answer in answers] == [1, 0]


def test_every_named_difference_is_on_the_page_and_shown() -> None:
    """The page of known differences explains each name that these tests accept."""
    page = PAGE.read_text(encoding="utf-8")
    named = {*MOTO_TAKES, *MOTO_CODES}
    assert named == {*CASES, "moto-refused-and-made"}
    assert [name for name in sorted({*named, "moto-confirmed", "moto-duplicates"}) if f"`{name}`" not in page] == []
