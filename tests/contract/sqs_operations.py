"""Generated SQS requests for the differential tests: seeded, mostly valid, over few queues so that they meet.

A request names queues, ARNs and receipt handles by placeholders, which each implementation fills with its own. Nothing
waits: what is hidden or delayed stays so for longer than a run takes, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

QUEUES = ("jobs", "dead", "work", "order.fifo", "exact.fifo")
GROUPS = ("a", "b", "c")
MAX_HELD = 10  # a receive asks for all there is: a standard queue promises no order


@dataclass(frozen=True)
class Url:
    """The URL of a queue, by its name."""

    name: str


@dataclass(frozen=True)
class Arn:
    """The ARN of a queue, by its name; `text` stands round it, with %s in its place."""

    name: str
    text: str = "%s"


@dataclass(frozen=True)
class Name:
    """A queue's whole name."""

    name: str


@dataclass(frozen=True)
class Handle:
    """The latest handle of a message of a queue: the `at`-th of those received, in the order of their bodies."""

    name: str
    at: int


Request = tuple[str, dict[str, Any]]
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "DelaySeconds": ("0", "900", "901", "-1", "x"),
    "KmsDataKeyReusePeriodSeconds": ("60", "300", "86401"),
    "MaximumMessageSize": ("1024", "1048576", "1023"),
    "MessageRetentionPeriod": ("60000", "1209600", "59"),
    "ReceiveMessageWaitTimeSeconds": ("0", "21"),
    "VisibilityTimeout": ("600", "43200", "43201", "1.5"),
    "KmsMasterKeyId": ("alias/aws/sqs", ""),
    "SqsManagedSseEnabled": ("true", "false", "maybe"),
    "Policy": ("", "{", '{"Statement": []}'),
    "Colour": ("red",),
    "QueueArn": ("x",),
    "ContentBasedDeduplication": ("true", "no"),
}
POLICY = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}})
TYPES = ("String", "String", "Number", "Binary", "String.custom", "Number.float", "Colour", "")
ACTIONS = (
    "SendMessage",
    "SendMessage",
    "ReceiveMessage",
    "*",
    "PurgeQueue",
    "CreateQueue",
    "SendMessageBatch",
    "Dance",
)
SYSTEM = ("All", "ApproximateReceiveCount", "SenderId", "MessageGroupId", "DeadLetterQueueSourceArn", "Colour")


class Generator:
    """Makes requests; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.sent = 0
        self.held: dict[str, int] = {}

    def start(self) -> list[Request]:
        """The requests that make the queues anew."""
        self.held = dict.fromkeys(QUEUES, 0)
        redrive = Arn("dead", '{"deadLetterTargetArn": "%s", "maxReceiveCount": 2}')
        fifo = {"FifoQueue": "true"}
        return [
            ("CreateQueue", {"QueueName": Name("dead")}),
            ("CreateQueue", {"QueueName": Name("jobs"), "Attributes": {"RedrivePolicy": redrive}}),
            ("CreateQueue", {"QueueName": Name("work"), "Attributes": {"VisibilityTimeout": "600"}}),
            (
                "CreateQueue",
                {"QueueName": Name("order.fifo"), "Attributes": {**fifo, "ContentBasedDeduplication": "true"}},
            ),
            ("CreateQueue", {"QueueName": Name("exact.fifo"), "Attributes": fifo}),
        ]

    def request(self) -> Request:
        """One request."""
        made: tuple[tuple[int, Callable[[], Request]], ...] = (
            (22, self.send),
            (10, self.send_batch),
            (18, self.receive),
            (8, self.delete),
            (4, self.delete_batch),
            (6, self.change),
            (3, self.change_batch),
            (4, self.create),
            (5, self.set_attributes),
            (5, self.get_attributes),
            (4, self.tags),
            (4, self.permissions),
            (4, self.lists),
            (3, self.moves),
            (1, self.purge),
        )
        return self.rng.choices([make for _, make in made], [weight for weight, _ in made])[0]()

    def queue(self) -> str:
        """One of the queues, a missing one at times."""
        return self.rng.choice(QUEUES) if self.rng.random() < 0.97 else "gone"

    def body(self) -> str:
        """A body unlike every other, mostly of allowed characters."""
        self.sent += 1
        text = self.rng.choice(("a", "é", "\U0001f600", " &+%<>\n\"'", "x" * 50, "\t"))
        return f"{text}{self.sent}" if self.rng.random() < 0.95 else self.rng.choice(("", "\u0001", "\ufffe"))

    def attributes(self) -> dict[str, Any]:
        """Message attributes, some of which break a rule."""
        found: dict[str, Any] = {}
        for name in self.rng.sample(("a", "b-c", "d.e", "AWS.x", "f g", ".h", "i..j"), self.rng.choice((0, 0, 1, 2))):
            kind = self.rng.choice(TYPES)
            if kind == "Binary":
                found[name] = {"DataType": kind, "BinaryValue": self.rng.choice(("AAEC", "eA==", ""))}
            else:
                found[name] = {"DataType": kind, "StringValue": self.rng.choice(("1", "-2.5", "1", "x", ""))}
        return found

    def message(self, queue: str) -> dict[str, Any]:
        """What is sent to a queue, without the ids of a FIFO queue at times."""
        made: dict[str, Any] = {"MessageBody": self.body()}
        if self.rng.random() < 0.3:
            made["MessageAttributes"] = self.attributes()
        if self.rng.random() < 0.15:
            made["DelaySeconds"] = self.rng.choice((0, 900, 901, -1))
        if queue.endswith(".fifo") and self.rng.random() < 0.95:
            made["MessageGroupId"] = self.rng.choice(GROUPS)
        if (queue == "exact.fifo") != (self.rng.random() < 0.04):
            made["MessageDeduplicationId"] = f"d{self.sent}"
        return made

    def send(self) -> Request:
        """A message, where there is room for it."""
        queue = self.queue()
        if self.held.get(queue, 0) >= MAX_HELD:
            return self.receive()
        self.held[queue] = self.held.get(queue, 0) + 1
        return "SendMessage", {"QueueUrl": Url(queue), **self.message(queue)}

    def send_batch(self) -> Request:
        """Several, with ids that clash or are none at times."""
        queue = self.queue()
        count = self.rng.choice((0, 1, 2, 3, 3))
        if self.held.get(queue, 0) + count > MAX_HELD:
            return self.receive()
        self.held[queue] = self.held.get(queue, 0) + count
        ids = self.rng.sample("ijklmn", count) if self.rng.random() < 0.9 else ["i", "i", "a b", ""][:count]
        return "SendMessageBatch", {
            "QueueUrl": Url(queue),
            "Entries": [{"Id": each, **self.message(queue)} for each in ids],
        }

    def receive(self) -> Request:
        """Everything that is visible."""
        made: dict[str, Any] = {"QueueUrl": Url(self.queue()), "MaxNumberOfMessages": 10}
        made["VisibilityTimeout"] = self.rng.choice((0, 600, 600, 43_200))
        if self.rng.random() < 0.1:
            made |= self.rng.choice(
                (
                    {"MaxNumberOfMessages": 0},
                    {"MaxNumberOfMessages": 11},
                    {"VisibilityTimeout": 43_201},
                    {"VisibilityTimeout": -1},
                    {"WaitTimeSeconds": 21},
                    {"ReceiveRequestAttemptId": "try"},
                )
            )
        names = self.rng.choice(("AttributeNames", "MessageSystemAttributeNames"))
        made[names] = self.rng.sample(SYSTEM, 2) if self.rng.random() < 0.3 else ["ApproximateReceiveCount"]
        made["MessageAttributeNames"] = self.rng.choice((["All"], ["a", "d.*"], [".*"], []))
        return "ReceiveMessage", made

    def handle(self, queue: str) -> Any:
        """A receipt handle; nonsense at times."""
        return Handle(queue, self.rng.randrange(10)) if self.rng.random() < 0.95 else "nonsense"

    def delete(self) -> Request:
        """A message that was received."""
        queue = self.queue()
        return "DeleteMessage", {"QueueUrl": Url(queue), "ReceiptHandle": self.handle(queue)}

    def delete_batch(self) -> Request:
        """Several."""
        queue = self.queue()
        entries = [{"Id": each, "ReceiptHandle": self.handle(queue)} for each in "xyz"[: self.rng.randrange(4)]]
        return "DeleteMessageBatch", {"QueueUrl": Url(queue), "Entries": entries}

    def change(self) -> Request:
        """A message's visibility."""
        queue = self.queue()
        visibility = self.rng.choice((0, 0, 600, 43_201, -1))
        return "ChangeMessageVisibility", {
            "QueueUrl": Url(queue),
            "ReceiptHandle": self.handle(queue),
            "VisibilityTimeout": visibility,
        }

    def change_batch(self) -> Request:
        """Several."""
        queue = self.queue()
        entries = [
            {"Id": each, "ReceiptHandle": self.handle(queue), "VisibilityTimeout": self.rng.choice((0, 600, 43_201))}
            for each in "xyz"[: self.rng.randrange(4)]
        ]
        return "ChangeMessageVisibilityBatch", {"QueueUrl": Url(queue), "Entries": entries}

    def _settings(self, count: int) -> dict[str, str]:
        names = self.rng.sample(sorted(ATTRIBUTES), count)
        return {name: self.rng.choice(ATTRIBUTES[name]) for name in names}

    def create(self) -> Request:
        """A queue again, or one that cannot be."""
        name: Any = self.rng.choice(
            (Name("jobs"), Name("work"), Name("dead"), Name("a b"), Name("x" * 80), Name("new.fifo"))
        )
        made: dict[str, Any] = {"QueueName": name}
        if self.rng.random() < 0.7:
            made["Attributes"] = self._settings(1)
        if self.rng.random() < 0.2:
            made["tags"] = {"k": "v"}
        return "CreateQueue", made

    def set_attributes(self) -> Request:
        """One or two attributes; of a FIFO queue, its own at times."""
        queue = self.queue()
        wanted = self._settings(self.rng.choice((1, 1, 2)))
        if self.rng.random() < 0.1:
            wanted["Policy"] = POLICY
        if self.rng.random() < 0.1:
            wanted = {}
        return "SetQueueAttributes", {"QueueUrl": Url(queue), "Attributes": wanted}

    def get_attributes(self) -> Request:
        """Counts, or all."""
        counts = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        names = self.rng.choice((counts, counts, ["All"], ["QueueArn", "Policy"], ["Colour"], ["RedrivePolicy"], []))
        return "GetQueueAttributes", {"QueueUrl": Url(self.queue()), "AttributeNames": names}

    def tags(self) -> Request:
        """To tag, to untag, to list."""
        url, roll = Url(self.queue()), self.rng.randrange(5)
        if roll == 0:
            return "UntagQueue", {"QueueUrl": url, "TagKeys": self.rng.choice((["k"], ["k", "l"], []))}
        if roll < 3:
            tags = self.rng.choice(({"k": "v"}, {"l": "", "m": "x"}, {}, {"": "v"}, {"k" * 129: "v"}, {"aws:k": "v"}))
            return "TagQueue", {"QueueUrl": url, "Tags": tags}
        return "ListQueueTags", {"QueueUrl": url}

    def permissions(self) -> Request:
        """To add and to remove."""
        url, label = Url(self.queue()), self.rng.choice(("one", "two", "one", "a b", ""))
        if self.rng.random() < 0.4:
            return "RemovePermission", {"QueueUrl": url, "Label": label}
        accounts = self.rng.choice((["111111111111"], ["111111111111", "222222222222"], [], ["alice"]))
        actions = self.rng.choices(ACTIONS, k=self.rng.choice((0, 1, 1, 2, 8)))
        return "AddPermission", {"QueueUrl": url, "Label": label, "AWSAccountIds": accounts, "Actions": actions}

    def lists(self) -> Request:
        """What there is."""
        roll = self.rng.randrange(4)
        if roll == 0:
            return "GetQueueUrl", {"QueueName": Name(self.queue())}
        if roll == 1:
            return "ListDeadLetterSourceQueues", {"QueueUrl": Url(self.rng.choice(("dead", "jobs", "gone")))}
        made: dict[str, Any] = {"QueueNamePrefix": Name(self.rng.choice(("", "j", "zzz")))}
        if self.rng.random() < 0.5:
            made["MaxResults"] = self.rng.choice((1, 2, 1000, 0, 1001))
        return "ListQueues", made

    def moves(self) -> Request:
        """Move tasks that are refused, and lists of none."""
        roll = self.rng.randrange(4)
        if roll == 0:
            return "CancelMessageMoveTask", {"TaskHandle": self.rng.choice(("nonsense", ""))}
        if roll == 1:
            asked: dict[str, Any] = {"SourceArn": Arn(self.rng.choice(("dead", "gone")))}
            if self.rng.random() < 0.3:
                asked["MaxResults"] = 11
            return "ListMessageMoveTasks", asked
        return "StartMessageMoveTask", {
            "SourceArn": self.rng.choice((Arn("work"), Arn("gone"), "nonsense")),
            **self.rng.choice(({}, {"DestinationArn": Arn("gone")}, {"MaxNumberOfMessagesPerSecond": 501})),
        }

    def purge(self) -> Request:
        """All messages."""
        queue = self.queue()
        self.held[queue] = 0
        return "PurgeQueue", {"QueueUrl": Url(queue)}


def _bad(name: str) -> dict[str, Any]:
    return {"MessageAttributes": {name: {"DataType": "String", "StringValue": "x"}}}


# Short stories of what is rare among the generated ones, each with queues of its own.
PROBES: tuple[tuple[Request, ...], ...] = (
    (
        ("SendMessage", {"QueueUrl": Url("jobs"), "MessageBody": "x", **_bad("f g")}),
        ("ReceiveMessage", {"QueueUrl": Url("jobs"), "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}),
    ),
    (
        ("SendMessage", {"QueueUrl": Url("order.fifo"), "MessageBody": "x", "MessageGroupId": "a"}),
        ("ReceiveMessage", {"QueueUrl": Url("order.fifo"), "MaxNumberOfMessages": 10, "VisibilityTimeout": 0}),
        ("DeleteMessage", {"QueueUrl": Url("order.fifo"), "ReceiptHandle": Handle("order.fifo", 0)}),
    ),
    (
        ("CreateQueue", {"QueueName": Name("dead"), "tags": {"k": "v"}}),
        ("ListQueueTags", {"QueueUrl": Url("dead")}),
    ),
    (
        ("SendMessage", {"QueueUrl": Url("jobs"), "MessageBody": "x"}),
        ("ReceiveMessage", {"QueueUrl": Url("jobs"), "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}),
        (
            "ChangeMessageVisibility",
            {"QueueUrl": Url("jobs"), "ReceiptHandle": Handle("jobs", 0), "VisibilityTimeout": -1},
        ),
    ),
    (
        ("SetQueueAttributes", {"QueueUrl": Url("jobs"), "Attributes": {"KmsDataKeyReusePeriodSeconds": "60"}}),
        ("GetQueueAttributes", {"QueueUrl": Url("jobs"), "AttributeNames": ["All"]}),
    ),
    (("CreateQueue", {"QueueName": Name("dead"), "Attributes": {"KmsMasterKeyId": "k"}}),),
    (("CreateQueue", {"QueueName": Name("dead"), "Attributes": {"KmsDataKeyReusePeriodSeconds": "60"}}),),
    (("ListQueues", {"QueueNamePrefix": Name(""), "MaxResults": 2}),),
    (
        (
            "AddPermission",
            {"QueueUrl": Url("dead"), "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": ["SendMessage"]},
        ),
        ("GetQueueAttributes", {"QueueUrl": Url("dead"), "AttributeNames": ["Policy"]}),
    ),
    (("PurgeQueue", {"QueueUrl": Url("jobs")}), ("PurgeQueue", {"QueueUrl": Url("jobs")})),
    (
        (
            "ChangeMessageVisibility",
            {"QueueUrl": Url("gone"), "ReceiptHandle": "none", "VisibilityTimeout": 43_201},
        ),
    ),
    (
        (
            "AddPermission",
            {"QueueUrl": Url("dead"), "Label": "l", "AWSAccountIds": ["alice"], "Actions": ["SendMessage"]},
        ),
    ),
    (
        (
            "SendMessage",
            {"QueueUrl": Url("exact.fifo"), "MessageBody": "x", "DelaySeconds": 901, "MessageDeduplicationId": "d"},
        ),
    ),
)
