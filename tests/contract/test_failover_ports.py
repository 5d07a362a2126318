"""The ports of a failover: drills and marks over memory, the local cloud's DynamoDB and moto's; probes over sockets."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.wire import SqsService
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.failover import KEPT_S, Asked, DynamoDbDrillStore, DynamoDbMarkStore, HttpProber
from sluiceway.aws.reply import Reply, read_fault
from sluiceway.aws.sqs import SQS, Queue
from sluiceway.errors import Misconfigured, Retryable, ServiceError
from sluiceway.ports.failover import Drill, DrillStore, MarkStore
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables
from tests.contract.idempotency_tables import DEFINITION as RECORDS
from tests.contract.idempotency_tables import TABLE
from tests.contract.test_region_stores import NOW_MS, NOW_S, REGIONS
from tests.fakes_failover import MemoryDrillStore, MemoryMarkStore, Replicas
from tests.unit.test_aws_tls import certificate, serving
from tests.unit.wire_server import Received, always, answer, raw_server
from tests.wire_requests import json_request

EAST, WEST = "us-east-1", "us-west-2"
__all__ = ["certificate"]


class FixedClock:
    """The date of the tables' items."""

    def now_ms(self) -> int:
        return NOW_MS


@dataclass
class World:
    """One implementation. `post` is the way to its tables, None for memory."""

    drills: DrillStore
    marks: MarkStore
    post: Post | None


def worlds(kind: str) -> Iterator[World]:
    if kind == "memory":
        yield World(MemoryDrillStore(), MemoryMarkStore(Replicas(lag_s=0.0), EAST), None)
        return
    with mock_aws() if kind == "moto" else nullcontext():
        tables = [RECORDS, REGIONS]
        post = Post(local_tables(tables) if kind == "local" else moto_tables(make_moto(tables)))
        replicas = dict.fromkeys((EAST, WEST), Table(post, TABLE))  # one table stands for both replicas
        marks = DynamoDbMarkStore(replicas, group="shop", region=EAST, clock=FixedClock())
        yield World(DynamoDbDrillStore(Table(post, "regions"), group="shop", region=EAST), marks, post)


@pytest.fixture(params=["memory", "local", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


@pytest.fixture(params=["local", "moto"])
def tables(request: pytest.FixtureRequest) -> Iterator[World]:
    yield from worlds(request.param)


def post_of(world: World) -> Post:
    assert world.post is not None
    return world.post


# ------------------------------------------------------------ drills


async def test_a_drill_is_read_back_as_it_was_last_put(world: World) -> None:
    """None before the first; a later one takes its place, and one that is over stays readable."""
    assert await world.drills.get() is None
    for drill in (Drill(NOW_MS + 600_000, "Zoë, ticket 7"), Drill(NOW_MS, "over")):
        await world.drills.put(drill)
        assert await world.drills.get() == drill


async def test_a_drill_is_of_one_region_and_one_group(tables: World) -> None:
    """Regions and groups that share a table do not read one another's, nor a doubt's or a term's item."""
    await tables.drills.put(Drill(NOW_MS, "x"))
    for group, region in (("shop", WEST), ("shop2", EAST), ("sho", EAST)):
        assert await DynamoDbDrillStore(Table(post_of(tables), "regions"), group=group, region=region).get() is None


async def test_a_drill_is_read_strongly_consistent_and_expires(tables: World) -> None:
    """Who begins or ends one sees it in the next look; its item goes a week after its end."""
    await tables.drills.put(Drill(NOW_MS, "x"))
    written = post_of(tables).calls[-1][1]["Item"]
    assert written["expiration"] == {"N": str(NOW_S + KEPT_S)}
    await tables.drills.get()
    assert post_of(tables).calls[-1][1]["ConsistentRead"] is True


async def test_a_drill_whose_answer_was_lost_is_there(tables: World) -> None:
    """Put again it is the same one."""
    post_of(tables).lose_after = 1
    with pytest.raises(Retryable):
        await tables.drills.put(Drill(NOW_MS, "x"))
    assert await tables.drills.get() == Drill(NOW_MS, "x")


# ------------------------------------------------------------ marks


async def test_a_mark_is_read_where_it_was_written_and_in_the_other_replica(world: World) -> None:
    """0 before the first; each Region's of a sender is one of its own, and a later one takes its place."""
    for of in (EAST, WEST):
        for at in (EAST, WEST):
            assert await world.marks.read(of=of, at=at) == 0
    await world.marks.write(NOW_MS, at=EAST)
    await world.marks.write(NOW_MS + 1, at=WEST)
    assert [await world.marks.read(of=of, at=at) for of in (EAST, WEST) for at in (EAST, WEST)] == [
        NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS + 1,
    ]  # fmt: skip
    await world.marks.write(NOW_MS + 2, at=EAST)
    assert await world.marks.read(of=EAST, at=WEST) == NOW_MS + 2


async def test_a_mark_is_of_who_sent_it(tables: World) -> None:
    """Two Regions that look at once do not take one another's marks for their own; nor do two groups."""
    await tables.marks.write(NOW_MS, at=EAST)
    replicas = dict.fromkeys((EAST, WEST), Table(post_of(tables), TABLE))
    for group, region in (("shop", WEST), ("shop2", EAST)):
        other = DynamoDbMarkStore(replicas, group=group, region=region, clock=FixedClock())
        assert await other.read(of=EAST, at=WEST) == 0


async def test_a_mark_goes_to_its_replica_and_expires() -> None:
    """Written and read in the Region that is named; no key of anybody's work, and gone after a week."""
    posts = {each: Post(local_tables([RECORDS])) for each in (EAST, WEST)}
    replicas = {each: Table(post, TABLE) for each, post in posts.items()}
    marks = DynamoDbMarkStore(replicas, group="shop", region=EAST, clock=FixedClock())
    await marks.write(NOW_MS, at=WEST)
    assert (posts[EAST].calls, len(posts[WEST].calls)) == ([], 1)
    item = posts[WEST].calls[-1][1]["Item"]
    assert (item["id"], item["expiration"]) == ({"S": f"mark#shop#{EAST}#{WEST}"}, {"N": str(NOW_S + KEPT_S)})
    assert await marks.read(of=WEST, at=EAST) == 0  # these tables are not replicated
    assert (len(posts[EAST].calls), await marks.read(of=WEST, at=WEST)) == (1, NOW_MS)


async def test_what_was_asked_is_the_call_and_its_error() -> None:
    """A dependency that a call stands for: named as it was, asked once for each ask, its errors let through."""
    calls: list[int] = []

    async def call() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("gone")
        return 7

    asked = Asked("jobs", call)
    assert asked.name == "jobs"
    await asked.ask()
    with pytest.raises(OSError, match="gone"):
        await asked.ask()
    assert len(calls) == 2


# ------------------------------------------------------------ the depth of a queue


class Sent:
    """A Caller of an SQS that is asked in place, and of nothing else."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def call(
        self, service: ServiceSpec, operation: str, body: Mapping[str, object] | bytes = b"", **more: Any
    ) -> Reply:
        del more
        request = json_request("sqs", f"{service.target_prefix}.{operation}", body, region=EAST, version="1.0")
        answered = await self._service.handle(request)
        assert isinstance(answered.body, bytes)
        reply = Reply(answered.status, {name.lower(): value for name, value in answered.headers.items()}, answered.body)
        if answered.status >= 400:
            raise read_fault(reply).refusal("sqs", operation)
        return reply


@pytest.mark.parametrize("kind", ["local", "moto"])
async def test_the_depth_of_a_queue_is_what_waits_to_be_received(kind: str) -> None:
    """0 of an empty one, and a queue that is gone is an error: that is what a look at the Region asks."""
    service: Service = SqsService(Queues(clock=SystemClock(), rng=random.Random(1)))
    delegate = Delegate()
    try:
        if kind == "moto":
            service = DelegatedService("sqs", delegate, needs=lambda _: ())
        caller = Sent(service)
        url = (await caller.call(SQS, "CreateQueue", {"QueueName": "jobs"})).json()["QueueUrl"]
        queue = Queue(caller, url)
        assert await queue.depth() == 0
        for number in range(3):
            await queue.send(f"job {number}")
        assert await queue.depth() == 3
        await caller.call(SQS, "DeleteQueue", {"QueueUrl": url})
        with pytest.raises(ServiceError):
            await queue.depth()
    finally:
        delegate.close()


# ------------------------------------------------------------ probes, over real sockets


async def hang(_request: Received, _writer: Any) -> None:
    """Take the request and say nothing."""


async def half(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    await writer.drain()
    writer.close()


async def head_alone(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")


async def nonsense(_request: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.parametrize("status", [200, 204, 301, 404, 500, 503])
async def test_a_status_is_given_as_it_is(status: int) -> None:
    """A redirect is not followed, an error is no exception, and each look has a connection of its own."""
    async with raw_server(always(answer(status, b"", location="http://127.0.0.1:1/"))) as server:
        prober = HttpProber(f"{server.url}/v1/health")
        assert [await prober.status(within_s=5) for _ in range(3)] == [status] * 3
        assert (server.connections, len(server.requests)) == (3, 3)
        request = server.requests[0]
        assert (request.method, request.target) == ("GET", "/v1/health")
        assert request.headers == {
            "host": server.url.removeprefix("http://"),
            "accept": "application/json",
            "user-agent": "sluiceway-probe",
            "connection": "close",
        }


@pytest.mark.parametrize("behave", [hang, half, nonsense])
async def test_what_is_no_answer_is_0(behave: Any) -> None:
    """Silence until the time is up, an answer that breaks off in its head, another protocol."""
    async with raw_server(behave) as server:
        prober = HttpProber(f"{server.url}/health")
        began = asyncio.get_running_loop().time()
        assert await prober.status(within_s=0.2) == 0
        assert asyncio.get_running_loop().time() - began < 2
        server.behave = always(answer(200))
        assert await prober.status(within_s=5) == 200  # the one before left its place


async def test_a_body_is_not_waited_for() -> None:
    """As a health checker without a search string: the status is the answer, and the connection is let go."""
    async with raw_server(head_alone) as server:
        prober = HttpProber(f"{server.url}/health")
        assert [await prober.status(within_s=5) for _ in range(2)] == [200, 200]


async def test_a_port_that_nobody_listens_on_is_0() -> None:
    """Refused at once, and asked again later it may answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/health"
        assert await HttpProber(url).status(within_s=5) == 0


async def test_a_listener_that_never_accepts_is_0_in_time() -> None:
    """A Region that is stopped: the kernel takes the connection, and nobody answers."""
    with socket.socket() as stopped:
        stopped.bind(("127.0.0.1", 0))
        stopped.listen(1)
        prober = HttpProber(f"http://127.0.0.1:{stopped.getsockname()[1]}/health")
        assert [await prober.status(within_s=0.1) for _ in range(3)] == [0, 0, 0]


async def test_a_certificate_that_nobody_vouches_for_is_0(certificate: Path) -> None:
    """Whoever answers there is not the other Region; one that is vouched for is asked over TLS."""
    async with raw_server(always(answer(200)), tls=serving(certificate)) as server:
        assert await HttpProber(f"{server.url}/health").status(within_s=5) == 0
        assert server.requests == []


async def test_tls_with_a_certificate_that_is_vouched_for(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own certificates are what it is verified with, and the name in it counts."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("sluiceway.aws.failover.make_context", lambda: trusting)
    async with raw_server(always(answer(503)), tls=serving(certificate)) as server:
        assert await HttpProber(f"{server.url}/health").status(within_s=5) == 503
        assert await HttpProber(f"{server.url.replace('127.0.0.1', 'localhost')}/health").status(within_s=5) == 0


async def test_plain_http_where_tls_is_spoken_is_0(certificate: Path) -> None:
    """And the other way round."""
    async with raw_server(always(answer(200)), tls=serving(certificate)) as server:
        assert await HttpProber(server.url.replace("https", "http")).status(within_s=1) == 0
    async with raw_server(always(answer(200))) as server:
        assert await HttpProber(server.url.replace("http", "https")).status(within_s=1) == 0


@pytest.mark.parametrize("url", ["", "health", "ftp://x/health", "https://", "https://x:99999/", "https://x/a b"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    """Before the first look."""
    with pytest.raises(Misconfigured) as caught:
        HttpProber(url)
    assert caught.value.what == "the address of a health check"
