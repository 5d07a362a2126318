"""Topics over real sockets, a real stream and real function processes: docs/subscriptions.md as a client sees it."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.answer_clients import connect
from tests.local.conftest import ROOT, RunningCloud, start_cloud

pytestmark = pytest.mark.local

PATIENCE_S = 60.0  # a busy machine starts a process in seconds; nothing here waits for it
LARGE = {"total": [{"numeric": [">=", 100]}]}


@dataclass
class Subscriber:
    """One WebSocket client: the frames of messages about itself, and those of records, in the order they came."""

    client: Any
    answers: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)

    async def read(self) -> None:
        """Take one message: an answer, or a frame of one record or several."""
        frame = json.loads(await self.client._opened.receive_str(timeout=PATIENCE_S))
        if frame["t"] == "records":
            self.records += [{**frame, **record} for record in frame["d"]]
        else:
            self.answers.append(frame)

    async def until(self, holds: Callable[[], bool], wait_s: float = PATIENCE_S) -> None:
        """Read until that holds. Raises TimeoutError."""
        async with asyncio.timeout(wait_s):
            while not holds():
                await self.read()

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message about a subscription; the frame that answers it."""
        count = len(self.answers)
        await self.client.say({"topic": "records", "req": f"r{uuid.uuid4()}", **message})
        await self.until(lambda: len(self.answers) > count)
        return self.answers[-1]

    def shown(self, run: str) -> list[dict[str, Any]]:
        """What it got of the records of that run, without the run's name."""
        return [
            {name: value for name, value in frame["d"].items() if name != "run"}
            for frame in self.records
            if frame["d"].get("run") == run
        ]


class World:
    """The application's stack."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.outputs: dict[str, str] = cloud.status["outputs"]
        self.token = cloud.token()
        self.kinesis: Any = boto3.client(
            "kinesis",
            endpoint_url=cloud.status["endpoints"]["aws"],
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    @asynccontextmanager
    async def subscriber(self) -> AsyncGenerator[Subscriber]:
        async with connect(self.outputs["SocketUrl"], self.token) as client:
            yield Subscriber(client)

    async def put(self, *orders: dict[str, Any], raw: bytes = b"") -> list[str]:
        """Put records with one key, in one call; their sequence numbers."""
        records = [{"Data": json.dumps(order).encode(), "PartitionKey": "one"} for order in orders]
        records += [{"Data": raw, "PartitionKey": "one"}] if raw else []
        done = await asyncio.to_thread(
            self.kinesis.put_records, StreamName=self.outputs["RecordsStreamName"], Records=records
        )
        assert done["FailedRecordCount"] == 0
        return [each["SequenceNumber"] for each in done["Records"]]

    async def probe(self, *subscribers: Subscriber, holds: Callable[[str], bool]) -> None:
        """Put a record of a run of its own, and again, until the first has it and that holds: a cache is 2 s old."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                run = str(uuid.uuid4())
                await self.put({"run": run, "order": 0, "total": 1000})
                with suppress(TimeoutError):
                    await subscribers[0].until(lambda run=run: bool(subscribers[0].shown(run)), 1.0)
                for each in subscribers[1:]:
                    await each.ask(action="unsubscribe", topic="no-such-topic")  # what came before it has been read
                if subscribers[0].shown(run) and holds(run):
                    return


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cloud = start_cloud(tmp_path_factory.mktemp("subscriptions"))
    yield World(cloud)
    cloud.sluiceway("down")


async def test_two_clients_get_their_records_in_order_until_they_want_no_more(world: World) -> None:
    """Different patterns and columns; exactly their frames, in the order of the stream; then one of them stops."""
    run = str(uuid.uuid4())
    async with world.subscriber() as everything, world.subscriber() as large:
        assert (await everything.ask(action="subscribe"))["t"] == "subscribed"
        said = await large.ask(action="subscribe", pattern=LARGE, columns=["run", "order", "total", "lines.sku"])
        assert (said["t"], said["d"]) == ("subscribed", {"topic": "records"})
        await world.probe(everything, large, holds=lambda run: bool(large.shown(run)))

        orders = [
            {"run": run, "order": number, "total": number % 4 * 50, "lines": [{"sku": "a", "price": 1}], "name": "Ann"}
            for number in range(120)
        ]
        numbers = [*await world.put(*orders[:60], raw=b"no JSON"), *await world.put(*orders[60:])]
        del numbers[60]
        expected = [order for order in orders if order["total"] >= 100]
        await everything.until(lambda: len(everything.shown(run)) >= len(orders))
        await large.until(lambda: len(large.shown(run)) >= len(expected))
        assert everything.shown(run) == [{k: v for k, v in order.items() if k != "run"} for order in orders]
        assert large.shown(run) == [
            {"order": order["order"], "total": order["total"], "lines": [{"sku": "a"}]} for order in expected
        ]
        frames = [frame for frame in everything.records if frame["d"]["run"] == run]
        assert [frame["seq"] for frame in frames] == numbers
        assert {(frame["v"], frame["topic"]) for frame in frames} == {(2, "records")}
        counted = sorted({(frame["epoch"], frame["n"]) for frame in frames})
        assert [n for _, n in counted] == list(range(counted[0][1], counted[0][1] + len(counted)))
        assert len({frame["shard"] for frame in frames}) == 1

        assert (await large.ask(action="unsubscribe"))["t"] == "unsubscribed"
        await world.probe(everything, large, holds=lambda run: not large.shown(run))
        last = str(uuid.uuid4())
        await world.put(*({"run": last, "order": number, "total": 1000} for number in range(10)))
        await everything.until(lambda: len(everything.shown(last)) == 10)
        await large.ask(action="unsubscribe")
        assert large.shown(last) == []


async def test_what_is_wrong_is_told_by_its_path(world: World) -> None:
    """A pattern, a column that is not shown, a topic that is not there; the connection goes on."""
    async with world.subscriber() as client:
        bad = await client.ask(action="subscribe", pattern={"customer": {"total": [{"numeric": ["<>", 5]}]}})
        assert (bad["t"], bad["d"]["type"]) == ("error", "/problems/invalid-pattern")
        assert bad["d"]["field"] == "pattern.customer.total"
        hidden = await client.ask(action="subscribe", pattern={"secret": ["x"]}, columns=["order"])
        assert hidden["d"]["field"] == "pattern.secret"
        unknown = await client.ask(action="subscribe", topic="secrets")
        assert (unknown["d"]["type"], unknown["d"]["field"]) == ("/problems/unknown-topic", "topic")
        assert (await client.ask(action="subscribe", pattern=LARGE))["t"] == "subscribed"


def test_the_example_of_the_docs_prints_what_they_say(world: World, tmp_path: Path) -> None:
    """The program of docs/subscriptions.md, as it stands there, against this stack."""
    text = (ROOT / "docs" / "subscriptions.md").read_text(encoding="utf-8")
    program = tmp_path / "subscribe.py"
    program.write_text(text.partition("```python\n")[2].partition("```")[0])
    environment = {
        "PATH": "",
        "TOKEN": world.token,
        "SOCKET_URL": world.outputs["SocketUrl"],
        "STREAM": world.outputs["RecordsStreamName"],
        "AWS_ENDPOINT_URL": world.kinesis.meta.endpoint_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "root",
        "AWS_SECRET_ACCESS_KEY": "root",
    }
    command = [sys.executable, str(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all(f"`{line}`" in text for line in said), said


async def test_a_client_that_leaves_takes_its_subscriptions_along(world: World) -> None:
    """After $disconnect the table holds nothing of it; another client goes on."""
    async with world.subscriber() as stays:
        await stays.ask(action="subscribe")
        async with world.subscriber() as leaves:
            await leaves.ask(action="subscribe", columns=["run"])
            await world.probe(stays, leaves, holds=lambda run: bool(leaves.shown(run)))
        await world.probe(stays, holds=lambda _run: _count_items(world) == 1)


async def test_a_subscription_ends_with_the_token_that_opened_its_connection(world: World) -> None:
    """The authorizer says when, the gateway hands it on with each message, and the table has it; 30 s are leeway."""
    claims = world.token.split(".")[1]
    expires_s = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
    assert expires_s < time.time() + 7200
    async with world.subscriber() as client:
        await client.ask(action="subscribe")
        kept = [int(item["expires_s"]["N"]) for item in _scan(world)["Items"]]
    assert expires_s + 30 in kept


def _count_items(world: World) -> int:
    return _scan(world)["Count"]


def _scan(world: World) -> Any:
    table: Any = boto3.client(
        "dynamodb",
        endpoint_url=world.kinesis.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    return table.scan(TableName=world.outputs["SubscriptionsTableName"])


async def test_no_call_of_these_functions_was_outside_its_role(world: World) -> None:
    """None was denied; each role was used for what it is there for, the stream and its dead letters aside."""
    async with world.subscriber() as client:
        await client.ask(action="subscribe")
        await world.probe(client, holds=lambda _run: True)
        await client.ask(action="unsubscribe")
    of_roles = [call for call in world.cloud.calls() if call["role_arn"]]
    assert [call for call in of_roles if not call["allowed"]] == []
    made = {(call["function"].removeprefix("sluiceway-"), call["action"]) for call in of_roles}
    writes = {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"}
    posts = "execute-api:ManageConnections"
    assert made >= {("ServeSocket", action) for action in writes | {posts}}
    assert made >= {("BroadcastRecords", action) for action in ("dynamodb:Query", posts)}
