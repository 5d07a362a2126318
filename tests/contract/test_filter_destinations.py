"""What AwsDestinations sends arrives: at the local cloud's services and at moto's, as bytes of their own protocols."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import ACCOUNT_ID, Service, WireRequest
from localcloud.services.events.model import Buses
from localcloud.services.events.wire import EventsService
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from localcloud.services.sns.endpoints import LocalEndpoints
from localcloud.services.sns.model import Topics
from localcloud.services.sns.wire import SnsService
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from sluiceway.aws.destinations import AwsDestinations
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.kinesis import KINESIS
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.request import _write_json
from sluiceway.aws.sqs import SQS
from sluiceway.errors import ServiceError
from sluiceway.ports.filtering import Outgoing
from sluiceway.rules.filtering import Destination
from tests.contract.test_sns_differential import OPEN, REGION, _refuse_invoke
from tests.fakes import EPOCH_MS, FixedChance
from tests.unit.events_setup import Port

_CONTENT_TYPES = {"json-1.0": "application/x-amz-json-1.0", "json-1.1": "application/x-amz-json-1.1"}


@dataclass
class Services:
    """A Caller over services in this process, by their endpoint's name."""

    services: Mapping[str, Service]

    async def call(
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        del query, deadline
        content = body if isinstance(body, bytes) else _write_json(body)
        name = service.endpoint_prefix
        told = {
            "authorization": f"AWS4-HMAC-SHA256 Credential=AK/20260101/{REGION}/{name}/aws4_request, Signature=x",
            "content-length": str(len(content)),
            "content-type": _CONTENT_TYPES.get(service.protocol, ""),
            "host": f"{name}.{REGION}.amazonaws.com",
            **({"x-amz-target": f"{service.target_prefix}.{operation}"} if service.target_prefix else {}),
            **(headers or {}),
        }
        request = WireRequest(name, REGION, method, path, "", told, content, "AK", "r")
        answer = await self.services[name].handle(request)
        assert isinstance(answer.body, bytes)
        names = {name.lower(): value for name, value in answer.headers.items()}
        reply = Reply(answer.status, names, answer.body)
        if answer.status >= 300:
            raise read_fault(reply).refusal(name, operation)
        return reply

    async def form(self, action: str, **fields: str) -> str:
        """One call of SNS, which speaks no JSON."""
        body = urlencode({"Action": action, "Version": "2010-03-31", **fields}).encode()
        kind = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        spec = ServiceSpec("sns", "sns", "rest", "SNS")
        return (await self.call(spec, action, body, headers=kind)).body.decode()


@pytest.fixture(scope="module")
def delegate() -> Iterator[Delegate]:
    """moto, for the length of these tests."""
    made = Delegate()
    yield made
    made.close()


@asynccontextmanager
async def ours() -> AsyncGenerator[Services]:
    clock = SystemClock()
    queues = Queues(clock=clock, rng=random.Random(1))
    buses = Buses(clock=clock, rng=random.Random(1), port=Port())
    async with asyncio.TaskGroup() as group:
        endpoints = LocalEndpoints(queues, invoke_event=_refuse_invoke, may_invoke=lambda _, __: False)
        topics = Topics(clock=clock, rng=random.Random(1), group=group, endpoints=endpoints)
        streams = Streams(clock=clock, rng=random.Random(1), delay_s=0.0)
        yield Services(
            {
                "sqs": SqsService(queues),
                "sns": SnsService(topics),
                "events": EventsService(buses),
                "kinesis": KinesisService(streams),
            }
        )
        topics.close()


@asynccontextmanager
async def motos(delegate: Delegate) -> AsyncGenerator[Services]:
    yield Services(
        {name: DelegatedService(name, delegate, needs=lambda _: ()) for name in ("sqs", "sns", "events", "kinesis")}
    )


def opened(kind: str, delegate: Delegate) -> Any:
    return ours() if kind == "local" else motos(delegate)


async def queue(services: Services, name: str, **attributes: str) -> str:
    """A queue's URL."""
    asked = {"QueueName": name, "Attributes": {"Policy": OPEN, **attributes}}
    return (await services.call(SQS, "CreateQueue", asked)).json()["QueueUrl"]


async def drain(services: Services, url: str, count: int) -> list[dict[str, Any]]:
    """`count` messages of a queue."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
            asked["MessageSystemAttributeNames"] = ["All"]
            messages = (await services.call(SQS, "ReceiveMessage", asked)).json().get("Messages", [])
            for message in messages:
                gone = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
                await services.call(SQS, "DeleteMessage", gone)
            found += messages
            await asyncio.sleep(0)
    return found


def messages(count: int) -> list[Outgoing]:
    return [
        Outgoing(
            f"s:{number}::r",
            f"key-{number % 3}",
            json.dumps({"n": number, "text": "é & <b> \u2028 🌊"}, ensure_ascii=False),
            {"message_id": f"s:{number}::r", "rule": "r", "shard": "s", "sequence_number": str(number)},
            EPOCH_MS,
        )
        for number in range(count)
    ]


async def deliver(services: Services, destination: Destination, sent: list[Outgoing]) -> list[Any]:
    deadline = asyncio.get_running_loop().time() + 30
    return list(await AwsDestinations(services, FixedChance()).send(destination, sent, deadline=deadline))


def bodies(found: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in found]


KINDS = pytest.mark.parametrize("kind", ["local", "moto"])


@KINDS
async def test_a_queue_has_what_was_sent(kind: str, delegate: Delegate) -> None:
    """Bodies and attributes to the letter, over more than one request."""
    async with opened(kind, delegate) as services:
        url = await queue(services, f"plain-{kind}")
        sent = messages(12)
        assert await deliver(services, Destination("sqs", url), sent) == [None] * 12
        found = await drain(services, url, 12)
        assert sorted(bodies(found)) == sorted(each.body for each in sent)
        assert {name: value["StringValue"] for name, value in found[0]["MessageAttributes"].items()}.keys() == (
            sent[0].attributes.keys()
        )


@KINDS
async def test_a_fifo_queue_keeps_each_keys_order_and_drops_what_comes_twice(kind: str, delegate: Delegate) -> None:
    """Sent twice, as after a retry: each message once, a group's in their order."""
    async with opened(kind, delegate) as services:
        url = await queue(services, f"ordered-{kind}.fifo", FifoQueue="true")
        for _ in range(2):
            fates = await deliver(services, Destination("sqs", url, ordered=True), messages(9))
            assert fates == [None] * 9
        found = await drain(services, url, 9)
        groups: dict[str, list[int]] = {}
        for message in found:
            groups.setdefault(message["Attributes"]["MessageGroupId"], []).append(json.loads(message["Body"])["n"])
        assert groups == {"key-0": [0, 3, 6], "key-1": [1, 4, 7], "key-2": [2, 5, 8]}


@KINDS
async def test_a_topic_hands_on_what_was_published(kind: str, delegate: Delegate) -> None:
    """To a queue, as a raw message with its attributes; a FIFO topic keeps the order of a key."""
    async with opened(kind, delegate) as services:
        for fifo, count in (("", 12), (".fifo", 9)):
            attributes = {"FifoQueue": "true"} if fifo else {}
            url = await queue(services, f"topic-{kind}{fifo}", **attributes)
            fields = {"Attributes.entry.1.key": "FifoTopic", "Attributes.entry.1.value": "true"} if fifo else {}
            name = f"topic-{kind}{fifo}"
            await services.form("CreateTopic", Name=name, **fields)
            arn = f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{name}"
            raw = {"Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "true"}
            endpoint = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
            await services.form("Subscribe", TopicArn=arn, Protocol="sqs", Endpoint=endpoint, **raw)
            sent = messages(count)
            assert await deliver(services, Destination("sns", arn, ordered=bool(fifo)), sent) == [None] * count
            found = await drain(services, url, count)
            assert sorted(bodies(found)) == sorted(each.body for each in sent)
            assert found[0]["MessageAttributes"]["rule"]["StringValue"] == "r"


@KINDS
async def test_a_stream_has_each_keys_records_in_order(kind: str, delegate: Delegate) -> None:
    """By partition key; data to the byte."""
    async with opened(kind, delegate) as services:
        await services.call(KINESIS, "CreateStream", {"StreamName": "out", "ShardCount": 1})
        async with asyncio.timeout(10):
            while True:
                told = (await services.call(KINESIS, "DescribeStreamSummary", {"StreamName": "out"})).json()
                if told["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                    break
                await asyncio.sleep(0.01)
        sent = messages(9)
        assert await deliver(services, Destination("stream", "out", ordered=True), sent) == [None] * 9
        shard = (await services.call(KINESIS, "ListShards", {"StreamName": "out"})).json()["Shards"][0]["ShardId"]
        asked = {"StreamName": "out", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await services.call(KINESIS, "GetShardIterator", asked)).json()["ShardIterator"]
        records = (await services.call(KINESIS, "GetRecords", {"ShardIterator": iterator})).json()["Records"]
        by_key: dict[str, list[str]] = {}
        for record in records:
            by_key.setdefault(record["PartitionKey"], []).append(base64.b64decode(record["Data"]).decode())
        assert by_key == {f"key-{at}": [each.body for each in sent if each.key == f"key-{at}"] for at in range(3)}


@KINDS
async def test_a_bus_takes_what_is_an_event_and_refuses_what_is_none(kind: str, delegate: Delegate) -> None:
    """Entry by entry: an event whose detail is no JSON is a refusal with the bus's code; the others are taken."""
    async with opened(kind, delegate) as services:
        sent = messages(11)
        sent[4] = sent[4]._replace(body="{")
        destination = Destination("events", "default", source="shop", detail_type="Order")
        fates = await deliver(services, destination, sent)
        assert [fate is None for fate in fates] == [at != 4 for at in range(11)]
        assert fates[4].reason == "events-MalformedDetail"


@KINDS
@pytest.mark.parametrize("target", ["sqs", "sns", "stream"])
async def test_a_destination_that_is_not_there_is_told_of_every_message(
    kind: str, target: Any, delegate: Delegate
) -> None:
    """None is lost unsaid, whatever name the service has for it."""
    addresses = {
        "sqs": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/gone",
        "sns": f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:gone",
        "stream": "gone",
    }
    async with opened(kind, delegate) as services:
        fates = await deliver(services, Destination(target, addresses[target]), messages(3))
        assert all(isinstance(fate, ServiceError) for fate in fates)
        assert len(fates) == 3
