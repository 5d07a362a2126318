"""A crowd over real sockets: its parts served by invocations of the same function, and a channel beside them.

Sixty clients, unless CROWD says how many: 5,000 of them take minutes on two cores.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest

from tests.local.conftest import ROOT, RunningCloud, start_cloud

pytestmark = pytest.mark.local

CROWD = int(os.environ.get("CROWD", "60"))
AT_ONCE = 8  # handshakes; each is a function's call or two
PATIENCE_S = 60.0 + CROWD / 10
CHANNELS = """          CHANNELS: !If [HasRecordsChannel,"""
EARLY = """          FAN_OUT_FROM: "20"
"""
OUTPUTS = """
Outputs:
  RecordEventsKey: {Value: !GetAtt RecordEventsKey.ApiKey}
  RecordEventsDomain: {Value: !GetAtt RecordEvents.Dns.Http}
  RecordEventsRealtime: {Value: !Sub "wss://${RecordEvents.Dns.Realtime}/event/realtime"}
"""


def write_template(folder: Path) -> Path:
    """The application's template with workers for twenty clients and more, beside the code."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert (text.count(CHANNELS), text.count("\nOutputs:\n")) == (1, 1)
    text = text.replace(CHANNELS, EARLY + CHANNELS).replace("\nOutputs:\n", OUTPUTS)
    for name in ("functions", "layers"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("crowd")
    running = start_cloud(
        folder / "state", "--template", str(write_template(folder)), "--model", "scripted",
        "--parameter-overrides", "SubscriberParts=4", "RecordsChannel=true",
    )  # fmt: skip
    yield running
    running.sluiceway("down")


class Stream:
    """Puts records into the stack's stream."""

    def __init__(self, cloud: RunningCloud) -> None:
        endpoint = cloud.status["endpoints"]["aws"]
        keys = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "us-east-1"}
        self._client: Any = boto3.client("kinesis", endpoint_url=endpoint, **keys)
        self._name = cloud.status["outputs"]["RecordsStreamName"]

    async def put(self, *records: dict[str, Any]) -> None:
        entries = [{"Data": json.dumps(record).encode(), "PartitionKey": "one"} for record in records]
        done = await asyncio.to_thread(self._client.put_records, StreamName=self._name, Records=entries)
        assert done["FailedRecordCount"] == 0


@asynccontextmanager
async def heard_on_channel(cloud: RunningCloud) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A subscriber of the topic's channel, by AppSync's own protocol."""
    outputs = cloud.status["outputs"]
    shown = {"host": outputs["RecordEventsDomain"], "x-api-key": outputs["RecordEventsKey"]}
    header = base64.urlsafe_b64encode(json.dumps(shown).encode()).rstrip(b"=").decode()
    protocols = ("aws-appsync-event-ws", f"header-{header}")
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(outputs["RecordEventsRealtime"], protocols=protocols) as socket,
    ):
        ask = {"type": "subscribe", "id": "s", "channel": "/records/*", "authorization": shown}
        await socket.send_json(ask)
        assert (await socket.receive_json(timeout=30))["type"] == "subscribe_success"
        yield socket


async def open_crowd(session: aiohttp.ClientSession, url: str, stack: AsyncExitStack) -> list[Any]:
    """Clients that have subscribed."""
    limit = asyncio.Semaphore(AT_ONCE)
    sockets: list[Any] = []

    async def enter() -> None:
        async with limit:
            socket = await stack.enter_async_context(session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(1.0, 1.0)))
            await socket.send_json({"action": "subscribe", "req": "s", "topic": "records"})
            assert (await socket.receive_json(timeout=PATIENCE_S))["t"] == "subscribed"
            sockets.append(socket)

    async with asyncio.TaskGroup() as group:
        for _ in range(CROWD):
            group.create_task(enter())
    return sockets


async def read_run(socket: Any, run: str, count: int) -> tuple[list[int], bool]:
    """The records of that run, in the order they came, and whether the numbers show a gap."""
    orders: list[int] = []
    last: dict[str, int] = {}
    gap = False
    while len(orders) < count:
        frame = json.loads(await socket.receive_str(timeout=PATIENCE_S))
        gap |= frame["n"] != last.get(frame["epoch"], frame["n"] - 1) + 1
        last[frame["epoch"]] = frame["n"]
        orders += [each["d"]["order"] for each in frame["d"] if each["d"]["run"] == run]
    return orders, gap


async def test_a_crowd_has_every_record_once_and_in_order(cloud: RunningCloud) -> None:
    """Batch after batch, by workers whose invocations and posts their role allows; the channel has the same records."""
    stream, run, warm = Stream(cloud), str(uuid.uuid4()), str(uuid.uuid4())
    headers = {"Authorization": f"Bearer {cloud.token()}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        AsyncExitStack() as stack,
        heard_on_channel(cloud) as channel,
    ):
        began = time.monotonic()
        sockets = await open_crowd(session, cloud.status["outputs"]["SocketUrl"], stack)
        opened_s = time.monotonic() - began
        await asyncio.sleep(2.5)  # the subscriptions are believed for two seconds, by whoever has read them
        await stream.put({"run": warm, "order": -1})
        async with asyncio.TaskGroup() as group:
            for socket in sockets:
                group.create_task(read_run(socket, warm, 1))
        began = time.monotonic()
        for batch in range(5):
            await stream.put(*({"run": run, "order": 10 * batch + number} for number in range(10)))
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(read_run(socket, run, 50)) for socket in sockets]
        took_s = time.monotonic() - began
        assert [read.result() for read in reads] == [(list(range(50)), False)] * CROWD
        heard: list[int] = []
        while len(heard) < 50:
            event = await channel.receive_json(timeout=PATIENCE_S)
            frame = json.loads(event["event"]) if event["type"] == "data" else {"d": []}
            heard += [each["d"]["order"] for each in frame["d"] if each["d"]["run"] == run]
        assert heard == list(range(50))
    made = [call for call in cloud.calls() if call["function"] == "sluiceway-BroadcastRecords"]
    assert [call for call in made if not call["allowed"]] == []
    actions = {call["action"] for call in made}
    assert actions >= {"lambda:InvokeFunction", "appsync:EventPublish", "execute-api:ManageConnections"}
    print(f"{CROWD} clients: opened in {opened_s:.1f} s; 50 records to each in {took_s:.2f} s")
