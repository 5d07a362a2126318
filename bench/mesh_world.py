"""The world of the mesh's load proof: its records, the rules that select them, and who reads where they go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3
from cloud import Cloud
from mesh_figures import Ledger, Spread

from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.aws.sqs import SQS, Queue
from sluiceway.aws.streams import KinesisReader
from sluiceway.aws.wire import Wire
from sluiceway.errors import Retryable
from sluiceway.ports import SystemClock
from sluiceway.rules.consuming.spans import Position, Span
from sluiceway.rules.filtering import parse_rule

REGIONS = 20
KEYS = 1_000
SECRET = "SECRET"  # in what no destination may show
PAGE = 2_000  # records of one read
READ_S = 0.5  # between two reads of a shard
POLL_S = 2
READERS = 4  # of a queue: a call has ten messages at most
SETTINGS = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root"}


# ---------------------------------------------------------------- records


def total_of(number: int) -> int:
    return number * 37 % 1_000


def region_of(number: int) -> int:
    return number % REGIONS


def key_of(number: int) -> str:
    return f"customer-{number * 7 % KEYS}"


def write_order(number: int, sent_ms: float) -> bytes:
    """About 500 bytes."""
    key = key_of(number)
    order = {
        "number": number,
        "sent": round(sent_ms, 1),
        "region": f"r{region_of(number)}",
        "total": total_of(number),
        "customer": {"id": key, "name": f"{SECRET}-{key}", "email": f"{SECRET}-{key}@example.org"},
        "card": f"{SECRET}-{number}",
        "lines": [{"sku": f"sku-{(number + line) % 97}", "price": line * 3.5, "note": "x" * 40} for line in range(3)],
    }
    return json.dumps(order, separators=(",", ":")).encode()


class Rule(NamedTuple):
    """What goes to one destination, in the words of the rule and as a function of the record's number."""

    name: str
    kind: str
    pattern: dict[str, Any] | None
    wants: Callable[[int], bool]
    columns: list[str] | None = None
    masks: dict[str, str] | None = None


SHOWN = ["number", "sent", "region", "total"]
RULES = (
    Rule("all-of-it", "stream", None, lambda _: True, [*SHOWN, "customer.id"], {"customer.id": "tokenise"}),
    Rule(
        "large",
        "sqs",
        {"total": [{"numeric": [">=", 800]}]},
        lambda number: total_of(number) >= 800,
        [*SHOWN, "customer", "card"],
        {"customer.email": "hash", "customer.name": "drop", "card": "redact"},
    ),
    Rule("two-regions", "sns", {"region": ["r0", "r1"]}, lambda number: region_of(number) < 2, SHOWN),
    Rule("small", "events", {"total": [{"numeric": ["<", 50]}]}, lambda number: total_of(number) < 50, SHOWN),
)


# ---------------------------------------------------------------- where they go


class Place:
    """One destination: what came, how late, and whether anything was shown that is hidden."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.ledger = Ledger()
        self.spread = Spread()
        self.shown = 0

    def note(self, order: dict[str, Any], text: str, now_ms: float) -> None:
        self.ledger.note(order["number"])
        self.spread.add(now_ms - order["sent"])
        self.shown += SECRET in text


class World:
    """The stack of a running cloud with what the rules lead to. `now_ms`: the clock that records are dated by."""

    def __init__(self, cloud: Cloud, now_ms: Callable[[], float]) -> None:
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.endpoint: str = cloud.status["endpoints"]["aws"]
        self.settings = {**SETTINGS, "AWS_ENDPOINT_URL": self.endpoint}
        self.source = self.outputs["RecordsStreamName"]
        self.prefix = f"{self.source.partition('-RecordsStream')[0]}-mesh-load"
        self.places = {rule.name: Place(rule) for rule in RULES}
        self.queues: dict[str, str] = {}
        self.now_ms = now_ms

    def client(self, service: str) -> Any:
        kept = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.endpoint, **kept)  # type: ignore[call-overload]

    def make_destinations(self) -> dict[str, dict[str, object]]:
        """A stream, a queue, an SNS topic and an event bus, the last two with a queue of what they pass on."""
        sqs, kinesis, sns, events = map(self.client, ("sqs", "kinesis", "sns", "events"))
        for name in ("sqs", "sns", "events"):
            self.queues[name] = sqs.create_queue(QueueName=f"{self.prefix}-{name}")["QueueUrl"]
        arns = {name: self._arn_of(sqs, url) for name, url in self.queues.items()}
        for name in ("sns", "events"):
            self._let_in(sqs, self.queues[name], arns[name], name)
        kinesis.create_stream(StreamName=self.prefix, ShardCount=4)
        kinesis.get_waiter("stream_exists").wait(StreamName=self.prefix, WaiterConfig={"Delay": 1})
        topic = sns.create_topic(Name=self.prefix)["TopicArn"]
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["sns"], Attributes=raw)
        events.create_event_bus(Name=self.prefix)
        pattern = json.dumps({"source": [{"prefix": ""}]})
        events.put_rule(Name=self.prefix, EventBusName=self.prefix, EventPattern=pattern)
        events.put_targets(Rule=self.prefix, EventBusName=self.prefix, Targets=[{"Id": "q", "Arn": arns["events"]}])
        return {
            "stream": {"type": "stream", "name": self.prefix},
            "sqs": {"type": "sqs", "url": self.queues["sqs"]},
            "sns": {"type": "sns", "topic_arn": topic},
            "events": {"type": "events", "bus": self.prefix},
        }

    @staticmethod
    def _arn_of(sqs: Any, url: str) -> str:
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(told["Attributes"]["QueueArn"])

    @staticmethod
    def _let_in(sqs: Any, url: str, arn: str, service: str) -> None:
        who = {"Service": f"{service}.amazonaws.com"}
        allowed = {"Effect": "Allow", "Principal": who, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    async def write_rules(self, wire: Wire) -> None:
        destinations = await asyncio.to_thread(self.make_destinations)
        store = DynamoDbFilterRuleStore(wire, self.outputs["RulesTableName"], SystemClock())
        for rule in RULES:
            said = {"pattern": rule.pattern, "columns": rule.columns, "masks": rule.masks}
            kept = {name: value for name, value in said.items() if value}
            destination = destinations[rule.kind]
            await store.put(parse_rule({"topic": "records", "rule_id": rule.name, "destination": destination, **kept}))

    # ------------------------------------------------------------ readers

    def readers(self, wire: Wire) -> list[Any]:
        """Coroutines that read every destination, for as long as their tasks live."""
        places = {place.rule.kind: place for place in self.places.values()}
        queues = [
            self._read_queue(wire, url, places[kind]) for kind, url in self.queues.items() for _ in range(READERS)
        ]
        return [*queues, self._read_stream(wire, places["stream"])]

    async def _read_queue(self, wire: Wire, url: str, place: Place) -> None:
        queue = Queue(wire, url)
        while True:
            messages = await queue.receive(max_messages=10, wait_s=POLL_S)
            now_ms = self.now_ms()
            for message in messages:
                said = json.loads(message.body)
                order = said["detail"]["data"] if place.rule.kind == "events" else said
                place.note(order, message.body, now_ms)
            if messages:
                gone = [{"Id": str(at), "ReceiptHandle": each.receipt_handle} for at, each in enumerate(messages)]
                await wire.call(SQS, "DeleteMessageBatch", {"QueueUrl": url, "Entries": gone})

    async def _read_stream(self, wire: Wire, place: Place) -> None:
        reader = KinesisReader(wire, self.prefix)
        async with asyncio.TaskGroup() as group:
            for shard in await reader.list_shards(Span()):
                group.create_task(self._read_shard(reader, shard.shard_id, place))

    async def _read_shard(self, reader: KinesisReader, shard_id: str, place: Place) -> None:
        iterator = await reader.find_iterator(shard_id, Position("TRIM_HORIZON"))
        while True:
            try:
                page = await reader.get_records(iterator, limit=PAGE)
            except Retryable as error:
                await asyncio.sleep(error.after_s or READ_S)
                continue
            iterator = page.going_on
            now_ms = self.now_ms()
            for record in page.records:
                text = record.data.decode()
                place.note(json.loads(text)["data"], text, now_ms)
            if len(page.records) < PAGE:
                await asyncio.sleep(READ_S)

    def count_letters(self) -> dict[str, int]:
        """Messages in the dead-letter queues of both functions."""
        sqs, wanted = self.client("sqs"), "ApproximateNumberOfMessages"
        found: dict[str, int] = {}
        for name in ("FilterDeadLettersUrl", "BroadcastDeadLettersUrl"):
            told = sqs.get_queue_attributes(QueueUrl=self.outputs[name], AttributeNames=[wanted])
            found[name.removesuffix("Url")] = int(told["Attributes"][wanted])
        return found
