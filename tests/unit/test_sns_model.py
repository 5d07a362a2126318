"""Topics and subscriptions: what SNS makes, gives again, and refuses; what a FIFO topic accepts once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from localcloud.clock import LoopClock, run_virtual
from localcloud.services.sns import model
from localcloud.services.sns.errors import SnsError, Undeliverable
from localcloud.services.sns.model import Publication, Topic, Topics
from localcloud.services.sns.ports import QueueMessage

REGION = "eu-west-1"
QUEUE = f"arn:aws:sqs:{REGION}:123456789012:jobs"
FIFO_QUEUE = f"{QUEUE}.fifo"
DEAD_LETTERS = f"arn:aws:sqs:{REGION}:123456789012:dead"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:handle"


@dataclass
class Recorded:
    """Endpoints that take everything, but for what `failures` has for them; `tried` has every attempt's time."""

    sent: list[tuple[str, QueueMessage]] = field(default_factory=list)
    invoked: list[tuple[str, bytes, str]] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    tried: list[tuple[float, str]] = field(default_factory=list)
    failures: dict[str, deque[Exception]] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)

    def _try(self, arn: str, topic_arn: str) -> None:
        self.tried.append((asyncio.get_running_loop().time(), arn))
        self.sources.add(topic_arn)
        if arn in self.broken:
            raise self.broken[arn]
        if self.failures.get(arn):
            raise self.failures[arn].popleft()

    async def send_to_queue(self, queue_arn: str, message: QueueMessage, *, topic_arn: str) -> None:
        self._try(queue_arn, topic_arn)
        self.sent.append((queue_arn, message))

    async def invoke_function(self, function_arn: str, event: bytes, *, topic_arn: str, trace_header: str) -> None:
        self._try(function_arn, topic_arn)
        self.invoked.append((function_arn, event, trace_header))


@dataclass
class World:
    """Topics over recorded endpoints, on the virtual clock."""

    topics: Topics
    endpoints: Recorded

    def topic(self, name: str = "news", **attributes: str) -> Topic:
        return self.topics.create(name, REGION, attributes=attributes, tags={})

    def fifo(self, **attributes: str) -> Topic:
        return self.topic("news.fifo", FifoTopic="true", **attributes)

    async def settle(self) -> None:
        """Until nothing is under way any more."""
        while self.topics.pending:  # noqa: ASYNC110 - hours of the virtual clock
            await asyncio.sleep(3600)

    def bodies(self, queue: str = QUEUE) -> list[str]:
        """What a queue got: the text of each message, without its envelope."""
        found = [message.body for arn, message in self.endpoints.sent if arn == queue]
        return [json.loads(body)["Message"] if body.startswith('{\n  "Type"') else body for body in found]


def play(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        endpoints = Recorded()
        async with asyncio.TaskGroup() as group:
            clock = LoopClock(asyncio.get_running_loop())
            topics = Topics(clock=clock, rng=random.Random(1), group=group, endpoints=endpoints)
            try:
                await test(World(topics, endpoints))
            finally:
                topics.close()

    run_virtual(main)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """Code and message of the SnsError that `call` raises."""
    with pytest.raises(SnsError) as error:
        call()
    return error.value.code, error.value.message


def retry(code: str = "ServiceException") -> Undeliverable:
    return Undeliverable(code, "not now", retry=True)


# ---------------------------------------------------------------------- topics


def test_a_topic_is_made_once() -> None:
    """The same name gives the same topic, with fewer attributes and tags too; others are refused."""

    async def test(world: World) -> None:
        made = world.topics.create("news", REGION, attributes={"DisplayName": "N"}, tags={"k": "v"})
        assert made.arn == f"arn:aws:sns:{REGION}:123456789012:news"
        assert world.topics.create("news", REGION, attributes={}, tags={}) is made
        assert world.topics.create("news", REGION, attributes={"DisplayName": "N"}, tags={"k": "v"}) is made
        assert refused(lambda: world.topic(DisplayName="M")) == (
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
        )
        again = {"attributes": {}, "tags": {"k": "w"}}
        assert refused(lambda: world.topics.create("news", REGION, **again)) == (
            "InvalidParameter",
            "Invalid parameter: Tags Reason: Topic already exists with different tags",
        )
        assert world.topics.create("news", "us-east-1", attributes={}, tags={}) is not made
        assert [topic.region for topic in world.topics.list("us-east-1")] == ["us-east-1"]

    play(test)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 257, "news.fifo", "ä"])
def test_names_of_topics_are_held_to_their_rule(name: str) -> None:
    """1 to 256 letters, digits, hyphens and underscores; .fifo is for FIFO topics."""

    async def test(world: World) -> None:
        assert refused(lambda: world.topic(name)) == ("InvalidParameter", "Invalid parameter: Topic Name")
        code, message = refused(lambda: world.topic(name.removesuffix(".fifo"), FifoTopic="true"))
        assert (code, "must end with .fifo" in message) == ("InvalidParameter", True)

    play(test)


def test_a_new_topic_has_awss_attributes() -> None:
    """The owner's policy, the counts, the http policy in force; FifoTopic only where it is one."""

    async def test(world: World) -> None:
        has = world.topic().describe()
        assert sorted(has) == [
            "DisplayName",
            "EffectiveDeliveryPolicy",
            "Owner",
            "Policy",
            "SubscriptionsConfirmed",
            "SubscriptionsDeleted",
            "SubscriptionsPending",
            "TopicArn",
        ]
        policy = json.loads(has["Policy"])
        assert policy["Statement"][0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": "123456789012"}}
        assert json.loads(has["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
        fifo = world.fifo().describe()
        assert (fifo["FifoTopic"], fifo["ContentBasedDeduplication"]) == ("true", "false")
        assert world.topic("plain", FifoTopic="false").describe().keys() == has.keys()

    play(test)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Colour": "red"}, "AttributeName"),
        ({"FifoTopic": "true"}, "AttributeName"),
        ({"ArchivePolicy": "{}"}, "ArchivePolicy: archives are not served by this local cloud"),
        ({"DeliveryPolicy": "{}"}, "DeliveryPolicy: delivery policies"),
        ({"SQSFailureFeedbackRoleArn": "arn"}, "SQSFailureFeedbackRoleArn: delivery status logging is not served"),
        ({"ContentBasedDeduplication": "true"}, "ContentBasedDeduplication: only FIFO topics have it"),
        ({"FifoThroughputScope": "Topic"}, "FifoThroughputScope: only FIFO topics have it"),
        ({"SignatureVersion": "3"}, r"SignatureVersion: Invalid value \[3\]"),
        ({"TracingConfig": "On"}, "TracingConfig: Invalid value"),
        ({"DisplayName": "x" * 101}, "DisplayName"),
        ({"Policy": "{"}, "Policy Error: Policy: is no JSON"),
        ({"Policy": '{"Statement": []}'}, "Policy Error"),
        (
            {"Policy": '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}}'},
            "Policy statement action out of service scope!",
        ),
        ({"Policy": "x" * 30_721}, "Policy Reason: a policy has at most 30720 bytes"),
    ],
)
def test_attributes_of_a_topic_are_held_to_their_rules(attributes: dict[str, str], reason: str) -> None:
    """Each is refused by name, and nothing changes."""

    async def test(world: World) -> None:
        topic = world.topic()
        before = topic.describe()
        with pytest.raises(SnsError, match=f"^Invalid parameter: {reason}"):
            world.topics.configure(topic, {"DisplayName": "changed", **attributes})
        assert topic.describe() == before

    play(test)


def test_a_topics_policy_can_be_set_and_taken_back() -> None:
    """IAM is given what was set; an empty one is the owner's policy again."""

    async def test(world: World) -> None:
        topic = world.topic()
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sns:*"}]}'
        first = topic.policy
        world.topics.configure(topic, {"Policy": policy})
        assert world.topics.policy_text(topic.arn) == policy
        world.topics.configure(topic, {"Policy": ""})
        assert world.topics.policy_text(topic.arn) == first
        assert world.topics.policy_text("arn:none") == ""

    play(test)


def test_permissions_are_statements_of_the_policy() -> None:
    """AddPermission's is as AWS writes it; labels are unique; the last one gone leaves the owner's policy."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.add_permission(topic, "l", accounts=["111111111111"], actions=["Publish"])
        world.topics.add_permission(
            topic, "m", accounts=["111111111111", "222222222222"], actions=["Publish", "Subscribe"]
        )
        added = json.loads(topic.policy)["Statement"][1:]
        assert added[0] == {
            "Sid": "l",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
            "Action": "SNS:Publish",
            "Resource": topic.arn,
        }
        assert (added[1]["Action"], len(added[1]["Principal"]["AWS"])) == (["SNS:Publish", "SNS:Subscribe"], 2)

        def add(label: str, accounts: list[str], actions: list[str]) -> str:
            return refused(lambda: world.topics.add_permission(topic, label, accounts=accounts, actions=actions))[1]

        assert add("l", ["111111111111"], ["Publish"]) == "Invalid parameter: Statement already exists"
        assert add("n", ["111111111111"], ["SendMessage"]).endswith("out of service scope!")
        assert add("n", ["1"], ["Publish"]) == "Invalid parameter: AWSAccountId"
        assert add("a b", ["111111111111"], ["Publish"]) == "Invalid parameter: Label"
        for label in ("l", "m", "__default_statement_ID"):
            world.topics.remove_permission(topic, label)
        assert [each["Sid"] for each in json.loads(topic.policy)["Statement"]] == ["__default_statement_ID"]
        assert refused(lambda: world.topics.remove_permission(topic, "l"))[1].startswith("Invalid parameter: Label")

    play(test)


def test_policies_have_quotas() -> None:
    """30 KB and a hundred statements, however they came to be."""

    async def test(world: World) -> None:
        topic = world.topic()
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic.arn}

        def write(count: int, sid: str = "s") -> str:
            statements = [statement | {"Sid": f"{sid}{number}"} for number in range(count)]
            return json.dumps({"Version": "2012-10-17", "Statement": statements})

        def told(policy: str) -> str:
            return refused(lambda: world.topics.configure(topic, {"Policy": policy}))[1]

        assert told(write(101)) == "Invalid parameter: Policy Reason: a policy has at most 100 statements"
        full = write(1, "s" * (30 * 1024 - len(write(1, ""))))
        assert told(full + " ") == "Invalid parameter: Policy Reason: a policy has at most 30720 bytes"
        for policy in (write(100), full):
            world.topics.configure(topic, {"Policy": policy})
            add = {"accounts": ["111111111111"], "actions": ["Publish"]}
            message = refused(lambda add=add: world.topics.add_permission(topic, "more", **add))[1]
            assert message.startswith("Invalid parameter: Policy Reason: a policy has at most")
            assert topic.policy == policy

    play(test)


def test_tags_are_limited() -> None:
    """Fifty, with keys of 1 to 128 and values of up to 256 characters."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.tag(topic, {str(n): "v" for n in range(50)})
        assert refused(lambda: world.topics.tag(topic, {"one more": "v"}))[0] == "TagLimitExceeded"
        world.topics.tag(topic, {"0": "w"})
        world.topics.tag(world.topic("other"), {"k" * 128: "v" * 256})
        world.topics.untag(topic, [str(n) for n in range(1, 50)])
        assert topic.tags == {"0": "w"}
        for tags in ({"": "v"}, {"k" * 129: "v"}, {"k": "v" * 257}, {"aws:k": "v"}):
            assert refused(lambda tags=tags: world.topics.tag(topic, tags))[0] == "InvalidParameter"

    play(test)


def test_a_topic_that_goes_takes_its_subscriptions_with_it() -> None:
    """To delete it again is no error; its ARN must be one, and of the Region."""

    async def test(world: World) -> None:
        topic = world.topic()
        made = world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        world.topics.delete(topic.arn, REGION)
        world.topics.delete(topic.arn, REGION)
        assert world.topics.subscriptions(REGION) == []
        assert refused(lambda: world.topics.subscription(made.arn, REGION))[0] == "NotFound"
        assert refused(lambda: world.topics.get(topic.arn, REGION)) == ("NotFound", "Topic does not exist")
        assert refused(lambda: world.topics.delete(topic.arn, "us-east-1"))[1] == "Invalid parameter: TopicArn"
        assert refused(lambda: world.topics.delete("news", REGION))[0] == "InvalidParameter"
        assert refused(lambda: world.topics.get("news", REGION))[1] == (
            "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1"
        )

    play(test)


def test_the_account_has_so_many_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """FIFO topics are counted apart."""
    monkeypatch.setattr(model, "MAX_TOPICS", 2)
    monkeypatch.setattr(model, "MAX_FIFO_TOPICS", 1)

    async def test(world: World) -> None:
        world.topic("a")
        world.topic("b")
        assert refused(lambda: world.topic("c"))[0] == "TopicLimitExceeded"
        world.fifo()
        assert refused(lambda: world.topic("c.fifo", FifoTopic="true"))[0] == "TopicLimitExceeded"
        assert world.topic("a").name == "a"

    play(test)


# ---------------------------------------------------------------------- subscriptions


@pytest.mark.parametrize(
    ("protocol", "endpoint", "message"),
    [
        ("smoke", "x", "Amazon SNS does not support this protocol string: smoke"),
        ("http", "http://x", "Protocol Reason: http endpoints are not served by this local cloud; sqs and lambda are"),
        ("email", "a@b.c", "Protocol Reason: email endpoints are not served"),
        ("firehose", "arn", "Protocol Reason: firehose endpoints are not served"),
        ("sqs", "http://127.0.0.1/123456789012/jobs", "SQS endpoint ARN"),
        ("sqs", FUNCTION, "SQS endpoint ARN"),
        ("lambda", QUEUE, "Lambda endpoint ARN"),
        ("sqs", QUEUE.replace("123456789012", "111111111111"), "Endpoint Reason: endpoints of other accounts"),
        (
            "sqs",
            FIFO_QUEUE,
            "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS",
        ),
    ],
)
def test_endpoints_are_held_to_their_protocol(protocol: str, endpoint: str, message: str) -> None:
    """In AWS's words where it refuses, by name where the local cloud does."""

    async def test(world: World) -> None:
        topic = world.topic()
        code, words = refused(lambda: world.topics.subscribe(topic, protocol, endpoint, attributes={}))
        assert code == "InvalidParameter"
        assert words.startswith(f"Invalid parameter: {message}")

    play(test)


def test_fifo_topics_deliver_to_queues_of_both_kinds_and_to_nothing_else() -> None:
    """A function subscribes to the queue."""

    async def test(world: World) -> None:
        topic = world.fifo()
        assert world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        assert world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes={})
        assert "SQS queues only" in refused(lambda: world.topics.subscribe(topic, "lambda", FUNCTION, attributes={}))[1]

    play(test)


def test_an_endpoint_subscribes_once() -> None:
    """Again with the same attributes, or with none, it is the same subscription; with others it is refused."""

    async def test(world: World) -> None:
        topic = world.topic()
        attributes = {"FilterPolicy": '{"a": ["X"]}', "RawMessageDelivery": "True"}
        made = world.topics.subscribe(topic, "sqs", QUEUE, attributes=attributes, principal="arn:aws:iam::1:user/u")
        assert world.topics.subscribe(topic, "sqs", QUEUE, attributes={}) is made
        assert world.topics.subscribe(topic, "sqs", QUEUE, attributes=attributes) is made
        other = {"RawMessageDelivery": "false"}
        assert refused(lambda: world.topics.subscribe(topic, "sqs", QUEUE, attributes=other))[1] == (
            "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
        )
        assert made.describe() == {
            "ConfirmationWasAuthenticated": "true",
            "Endpoint": QUEUE,
            "FilterPolicy": '{"a": ["X"]}',
            "FilterPolicyScope": "MessageAttributes",
            "Owner": "123456789012",
            "PendingConfirmation": "false",
            "Protocol": "sqs",
            "RawMessageDelivery": "true",
            "SubscriptionArn": made.arn,
            "SubscriptionPrincipal": "arn:aws:iam::1:user/u",
            "TopicArn": topic.arn,
        }
        assert topic.describe()["SubscriptionsConfirmed"] == "1"
        world.topics.unsubscribe(made.arn)
        world.topics.unsubscribe(made.arn)
        assert (topic.describe()["SubscriptionsConfirmed"], topic.describe()["SubscriptionsDeleted"]) == ("0", "1")
        assert refused(lambda: world.topics.unsubscribe("x"))[1].endswith("at least 6 elements, not 1")
        assert refused(lambda: world.topics.unsubscribe(topic.arn))[1] == "Invalid parameter: SubscriptionId"
        assert refused(lambda: world.topics.subscription("x", REGION))[1].endswith("at least 6 elements, not 1")

    play(test)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"Colour": "red"}, "AttributeName"),
        ({"DeliveryPolicy": "{}"}, "DeliveryPolicy: only http endpoints have one"),
        ({"ReplayPolicy": "{}"}, "ReplayPolicy: archives are not served by this local cloud"),
        ({"SubscriptionRoleArn": "arn"}, "SubscriptionRoleArn: only Firehose endpoints have one"),
        ({"RawMessageDelivery": ""}, "RawMessageDelivery: Invalid value []. Must be true or false."),
        (
            {"FilterPolicyScope": "Subject"},
            "FilterPolicyScope: Invalid value [Subject]. Please use either MessageBody or MessageAttributes",
        ),
        ({"FilterPolicy": "{invalid"}, "FilterPolicy: failed to parse JSON."),
        ({"FilterPolicy": '{"a": "x"}'}, 'FilterPolicy: "a" must be an object or an array'),
        ({"FilterPolicy": '{"a": []}'}, "FilterPolicy: Empty arrays are not allowed"),
        (
            {"FilterPolicy": '{"a": {"b": ["x"]}}'},
            "Filter policy scope MessageAttributes does not support nested filter policy",
        ),
        (
            {"FilterPolicy": '{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}'},
            "FilterPolicy: Filter policy can not have more than 5 keys",
        ),
        ({"FilterPolicy": json.dumps({"a": list(range(151))})}, "FilterPolicy: Filter policy is too complex"),
        (
            {"FilterPolicy": '{"a": [{"anything-but": {"suffix": "x"}}]}'},
            "FilterPolicy: a: 'anything-but suffix' is not",
        ),
        ({"RedrivePolicy": "{invalid"}, "RedrivePolicy: failed to parse JSON."),
        ({"RedrivePolicy": '{"deadLetterTargetArn": "x"}'}, "RedrivePolicy: deadLetterTargetArn is an invalid arn"),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS, "maxReceiveCount": 3})},
            "RedrivePolicy: deadLetterTargetArn is all that it may have",
        ),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{DEAD_LETTERS}.fifo"})},
            "RedrivePolicy: must use a standard queue",
        ),
        (
            {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS.replace(REGION, "us-east-1")})},
            "RedrivePolicy: the queue must be of the topic's account and Region",
        ),
    ],
)
def test_attributes_of_a_subscription_are_held_to_their_rules(attributes: dict[str, str], message: str) -> None:
    """SetSubscriptionAttributes says what; Subscribe says that it was among its attributes. Nothing changes."""

    async def test(world: World) -> None:
        topic = world.topic()
        made = world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        before = made.describe()
        code, words = refused(
            lambda: world.topics.configure_subscription(made, {"RawMessageDelivery": "true", **attributes})
        )
        assert code == "InvalidParameter"
        assert words.startswith(f"Invalid parameter: {message}")
        assert made.describe() == before
        _, words = refused(lambda: world.topics.subscribe(topic, "sqs", DEAD_LETTERS, attributes=attributes))
        assert words.startswith(f"Invalid parameter: Attributes Reason: {message}")
        assert list(topic.subscriptions) == [made.arn]

    play(test)


def test_raw_delivery_is_for_queues() -> None:
    """A function always gets the event."""

    async def test(world: World) -> None:
        attributes = {"RawMessageDelivery": "true"}
        _, words = refused(lambda: world.topics.subscribe(world.topic(), "lambda", FUNCTION, attributes=attributes))
        assert words.endswith("Delivery protocol [lambda] does not support raw message delivery.")
        assert world.topics.subscribe(world.topic(), "lambda", FUNCTION, attributes={"RawMessageDelivery": "false"})

    play(test)


def test_a_fifo_subscription_has_a_fifo_dead_letter_queue() -> None:
    """A standard queue's, at the same topic, has a standard one."""

    async def test(world: World) -> None:
        topic = world.fifo()
        standard = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD_LETTERS})}
        fifo = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"{DEAD_LETTERS}.fifo"})}
        _, words = refused(lambda: world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes=standard))
        assert words.endswith("must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
        assert world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes=fifo)
        assert world.topics.subscribe(topic, "sqs", QUEUE, attributes=standard)

    play(test)


def test_a_scope_may_come_before_its_policy() -> None:
    """It shows with the policy; a nested policy keeps the scope at the body until it goes."""

    async def test(world: World) -> None:
        made = world.topics.subscribe(world.topic(), "sqs", QUEUE, attributes={})

        def put(name: str, value: str) -> None:
            world.topics.configure_subscription(made, {name: value})

        put("FilterPolicyScope", "MessageBody")
        assert "FilterPolicyScope" not in made.describe()
        put("FilterPolicy", '{"a": {"b": ["x"]}}')
        assert made.describe()["FilterPolicyScope"] == "MessageBody"
        assert "nested" in refused(lambda: put("FilterPolicyScope", "MessageAttributes"))[1]
        put("FilterPolicy", "")
        assert "FilterPolicy" not in made.describe()
        assert made.filter is None
        put("FilterPolicyScope", "MessageAttributes")

    play(test)


def test_a_topic_has_so_many_filter_policies_and_fifo_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions without a filter policy do not count against the first."""
    monkeypatch.setattr(model, "MAX_FILTER_POLICIES", 1)
    monkeypatch.setattr(model, "MAX_FIFO_SUBSCRIPTIONS", 1)

    async def test(world: World) -> None:
        topic, filtered = world.topic(), {"FilterPolicy": '{"a": ["x"]}'}
        plain = world.topics.subscribe(topic, "sqs", DEAD_LETTERS, attributes={})
        held = world.topics.subscribe(topic, "sqs", QUEUE, attributes=filtered)
        world.topics.configure_subscription(held, {"FilterPolicy": '{"a": ["y"]}'})
        world.topics.configure_subscription(plain, {"RawMessageDelivery": "true"})
        code = "FilterPolicyLimitExceeded"
        assert refused(lambda: world.topics.configure_subscription(plain, filtered))[0] == code
        assert refused(lambda: world.topics.subscribe(topic, "lambda", FUNCTION, attributes=filtered))[0] == code
        world.topics.subscribe(world.fifo(), "sqs", QUEUE, attributes={})
        code = "SubscriptionLimitExceeded"
        assert refused(lambda: world.topics.subscribe(world.fifo(), "sqs", FIFO_QUEUE, attributes={}))[0] == code

    play(test)


# ---------------------------------------------------------------------- publishing


@pytest.mark.parametrize(
    "publication",
    [
        Publication("m", subject="x"),
        Publication("m", subject="é" * 100),
        Publication("x" * 262_144),
        Publication("m", group_id="g" * 128),
    ],
)
def test_what_can_just_be_published(publication: Publication) -> None:
    """The limits themselves are inside."""

    async def test(world: World) -> None:
        topic = world.topic()
        world.topics.subscribe(topic, "sqs", QUEUE, attributes={})
        published = world.topics.publish(topic, publication)
        await world.settle()
        assert len(world.endpoints.sent) == 1
        assert published.message_id

    play(test)


@pytest.mark.parametrize(
    ("publication", "message"),
    [
        (Publication(""), "Empty message"),
        (Publication("m", subject=""), "Subject"),
        (Publication("m", subject="x" * 101), "Subject"),
        (Publication("m", subject="two\nlines"), "Subject"),
        (Publication("x" * 262_145), "Message too long"),
        (Publication("m", group_id="a b"), "MessageGroupId Reason:"),
        (Publication("m", group_id="g" * 129), "MessageGroupId Reason:"),
        (
            Publication("m", deduplication_id="d"),
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid",
        ),
    ],
)
def test_what_cannot_be_published(publication: Publication, message: str) -> None:
    """To a standard topic."""

    async def test(world: World) -> None:
        code, words = refused(lambda: world.topics.publish(world.topic(), publication))
        assert code == "InvalidParameter"
        assert words.startswith(f"Invalid parameter: {message}")

    play(test)


def test_a_fifo_topic_wants_its_ids() -> None:
    """A group always, a deduplication id unless the content makes one."""

    async def test(world: World) -> None:
        topic = world.fifo()
        assert refused(lambda: world.topics.publish(topic, Publication("m")))[1] == (
            "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
        )
        assert refused(lambda: world.topics.publish(topic, Publication("m", group_id="g")))[1] == (
            "Invalid parameter: The topic should either have ContentBasedDeduplication enabled "
            "or MessageDeduplicationId provided explicitly"
        )
        bad = Publication("m", group_id="g", deduplication_id="ä")
        assert refused(lambda: world.topics.publish(topic, bad))[1].startswith(
            "Invalid parameter: MessageDeduplication"
        )
        world.topics.configure(topic, {"ContentBasedDeduplication": "true"})
        assert world.topics.publish(topic, Publication("m", group_id="g")).sequence_number

    play(test)


def test_a_fifo_topic_accepts_an_id_once_in_five_minutes() -> None:
    """The second time it answers as the first, and delivers nothing; afterwards the id is new again."""

    sha256_of_test = "532eaabd9574880dbf76b9b8cc00832c20a6ec113d682299550d7a6e0f345e25"

    async def test(world: World) -> None:
        topic = world.fifo(ContentBasedDeduplication="true")
        world.topics.subscribe(topic, "sqs", FIFO_QUEUE, attributes={})

        def publish(text: str, group: str = "g", **more: str) -> model.Published:
            return world.topics.publish(topic, Publication(text, group_id=group, **more))

        first = publish("Test")
        assert publish("Test") == first
        assert publish("Test", "another-group") == first
        assert publish("other text", deduplication_id=sha256_of_test) == first
        second = publish("more")
        assert int(second.sequence_number) > int(first.sequence_number)
        assert len(first.sequence_number) == 20
        await asyncio.sleep(299.9)
        assert publish("Test") == first
        await asyncio.sleep(0.2)
        assert publish("Test").message_id != first.message_id
        await world.settle()
        assert world.bodies(FIFO_QUEUE) == ["Test", "more", "Test"]

    play(test)


def test_deduplication_can_be_of_each_group() -> None:
    """FifoThroughputScope MessageGroup: the same id in another group is another message."""

    async def test(world: World) -> None:
        topic = world.fifo(FifoThroughputScope="MessageGroup")
        ids = [
            world.topics.publish(topic, Publication("m", group_id=group, deduplication_id="d")).message_id
            for group in ("a", "b", "a")
        ]
        assert ids[0] == ids[2] != ids[1]

    play(test)


def test_filter_policies_choose_who_gets_a_message() -> None:
    """Over the attributes, or over the body that the subscriber's protocol would get."""

    async def test(world: World) -> None:
        topic = world.topic()
        body = {"FilterPolicy": '{"kind": ["order"]}', "FilterPolicyScope": "MessageBody"}
        world.topics.subscribe(topic, "sqs", QUEUE, attributes={"FilterPolicy": '{"kind": ["order"]}'})
        world.topics.subscribe(topic, "sqs", DEAD_LETTERS, attributes=body)
        world.topics.subscribe(topic, "lambda", FUNCTION, attributes={})
        order = {"kind": model.Attribute("String", "order")}
        world.topics.publish(topic, Publication("by attribute", attributes=order))
        world.topics.publish(topic, Publication('{"kind": "order"}'))
        texts = {"default": "none", "sqs": '{"kind": "order"}'}
        world.topics.publish(topic, Publication("structured", texts=texts))
        await world.settle()
        assert world.bodies(QUEUE) == ["by attribute"]
        assert world.bodies(DEAD_LETTERS) == ['{"kind": "order"}'] * 2
        told = [json.loads(event)["Records"][0]["Sns"]["Message"] for _, event, _ in world.endpoints.invoked]
        assert told == ["by attribute", '{"kind": "order"}', "none"]

    play(test)
