"""A world for the tests of pipes: real queues, streams and tables on a virtual loop, functions that a test writes."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from localcloud.clock import LoopClock, run_virtual
from localcloud.compute.functions import InvokeResult
from localcloud.compute.source_dynamodb import DynamoSource
from localcloud.compute.source_kinesis import KinesisSource
from localcloud.compute.stream_source import StreamSource
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.dynamodb.wire import DynamoService
from localcloud.services.events.envelope import Entry
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.shard import Content
from localcloud.services.kinesis.stream import Definition
from localcloud.services.pipes.model import Pipes
from localcloud.services.pipes.services import PipeServices, ServicePort
from localcloud.services.pipes.sources import Sources
from localcloud.services.pipes.wire import PipesService
from localcloud.services.sqs.message import Content as Text
from localcloud.services.sqs.model import Queues

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pipe"
PIPE = f"arn:aws:pipes:{REGION}:{ACCOUNT}:pipe/p"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
OUT = f"arn:aws:sqs:{REGION}:{ACCOUNT}:out"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ENRICHER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:enrich"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:topic"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"

Handler = Callable[[Any], Any]


@dataclass
class World:
    """The services around pipes, and their API. `functions` by ARN: what they answer to what they are given."""

    queues: Queues
    streams: Streams
    tables: DynamoService
    functions: dict[str, Handler] = field(default_factory=dict[str, Handler])
    calls: list[tuple[str, Any, bool]] = field(default_factory=list)
    published: list[tuple[str, str]] = field(default_factory=list)
    records: list[tuple[str, str, str]] = field(default_factory=list)
    entries: list[tuple[str, Entry]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    denied: set[tuple[str, str]] = field(default_factory=set)
    is_trusted: bool = True
    takes_s: float = 0.0
    pipes: Pipes = field(init=False)
    service: PipesService = field(init=False)

    # ------------------------------------------------------------------ the services, as pipes see them

    async def invoke(self, arn: str, payload: bytes, wait: bool) -> InvokeResult:
        if self.failures:
            raise self.failures.pop(0)
        event = json.loads(payload)
        await asyncio.sleep(self.takes_s)
        self.calls.append((arn, event, wait))
        answer = self.functions.get(arn, lambda _: None)(event)
        if isinstance(answer, InvokeResult):
            return answer
        return InvokeResult(200, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    async def publish(self, arn: str, message: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.published.append((arn, message))

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.records.append((arn, data.decode(), key))

    async def put_event(self, arn: str, entry: Entry) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.entries.append((arn, entry))

    def open_stream(self, arn: str, role_arn: str) -> StreamSource:
        if ":dynamodb:" in arn:
            return DynamoSource(self.tables, arn)
        return KinesisSource(self.streams, arn, role_arn=role_arn)

    def may_do(self, role_arn: str, action: str, arn: str) -> bool:
        return role_arn == ROLE and (action, arn) not in self.denied

    # ------------------------------------------------------------------ what tests do

    async def ask(self, method: str, path: str, body: Any = None, query: str = "") -> tuple[int, Any, str]:
        """Status, body and error code of an answer."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer: WireResponse = await self.service.handle(request(method, path, raw, query))
        assert isinstance(answer.body, bytes)
        return answer.status, json.loads(answer.body), answer.headers.get("x-amzn-errortype", "")

    async def do(self, method: str, path: str, body: Any = None, query: str = "") -> Any:
        """The body of an answer that is no error."""
        status, told, _ = await self.ask(method, path, body, query)
        assert status == 200, told
        return told

    async def refused(self, **members: Any) -> tuple[int, str, str]:
        """Status, code and message of CreatePipe's refusal."""
        status, told, code = await self.ask("POST", "/v1/pipes/p", {**pipe(), **members})
        assert status != 200, told
        return status, code, told["message"]

    async def make(self, **members: Any) -> None:
        """A pipe `p` from the queue `q` to the queue `out`, or as `members` say, that runs."""
        await self.do("POST", "/v1/pipes/p", {**pipe(), **members})
        await asyncio.sleep(0.5)
        described = await self.do("GET", "/v1/pipes/p")
        assert described["CurrentState"] == "RUNNING", described

    async def state(self) -> tuple[str, str]:
        """State and reason of `p`."""
        described = await self.do("GET", "/v1/pipes/p")
        return described["CurrentState"], described.get("StateReason", "")

    async def send(self, *bodies: Any, queue: str = "q", **more: Any) -> None:
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            await self.queues.get(queue, REGION).send(Text(text, {}, **more))

    async def received(self, queue: str = "out") -> list[str]:
        """The bodies in a queue, in the order of their arrival."""
        found: list[str] = []
        while messages := await self.queues.get(queue, REGION).receive(10, wait_s=0):
            found.extend(message.body for message in messages)
        return found

    def left(self, queue: str = "q") -> int:
        """How many messages a queue holds, seen or not."""
        depth = self.queues.get(queue, REGION).depth
        return depth.visible + depth.in_flight

    def put(self, data: bytes, key: str = "k") -> str:
        """A record in the stream `s`; its sequence number."""
        stream = self.streams.find(STREAM)
        assert stream is not None
        content = Content(base64.b64encode(data).decode(), key, len(data) + len(key))
        return str(stream.put(content)[1].sequence)

    async def make_table(self) -> str:
        """A table `things` with a stream; the stream's ARN."""
        made = await self.table(
            "CreateTable",
            TableName="things",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        return made["TableDescription"]["LatestStreamArn"]

    async def table(self, action: str, **members: Any) -> Any:
        target = {"x-amz-target": f"DynamoDB_20120810.{action}"}
        sent = request("POST", "/", json.dumps(members).encode(), service="dynamodb", headers=target)
        answer = await self.tables.handle(sent)
        assert isinstance(answer.body, bytes)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)


def pipe() -> dict[str, Any]:
    """The body of a CreatePipe request."""
    return {"Source": QUEUE, "Target": OUT, "RoleArn": ROLE}


def request(
    method: str,
    path: str,
    body: bytes,
    query: str = "",
    *,
    service: str = "pipes",
    headers: dict[str, str] | None = None,
) -> WireRequest:
    """A request."""
    return WireRequest(
        service=service,
        region=REGION,
        method=method,
        path=path,
        query=query,
        headers=headers or {},
        body=body,
        access_key="AK",
        request_id="r",
    )


def with_pipes(test: Callable[[World], Awaitable[None]]) -> None:
    """Run `test` in a new world on a virtual loop."""

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        queues = Queues(clock=clock, rng=random.Random(1))
        streams = Streams(clock=clock, rng=random.Random(2))
        world = World(queues, streams, DynamoService(clock, randomness=random.Random(3)))
        for name in ("q", "out", "dead"):
            queues.create(name, REGION, attributes={}, tags={})
        streams.create("s", REGION, Definition()).hurry()
        services = PipeServices(
            find_queue=queues.find,
            invoke=world.invoke,
            publish=world.publish,
            put_record=world.put_record,
            put_event=world.put_event,
            run_machine=world.invoke,
            may_do=world.may_do,
        )
        sources = Sources(
            find_queue=queues.find,
            open_stream=world.open_stream,
            may_do=world.may_do,
            may_assume=lambda role, service: world.is_trusted and (role, service) == (ROLE, "pipes.amazonaws.com"),
            port=ServicePort(services),
            clock=clock,
            rng=random.Random(4),
        )
        async with asyncio.TaskGroup() as group:
            world.pipes = Pipes(sources, group=group, clock=clock)
            world.service = PipesService(world.pipes)
            await test(world)
            await world.pipes.close()

    run_virtual(main)
