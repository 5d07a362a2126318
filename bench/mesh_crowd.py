"""The subscribers of the mesh's load proof: WebSockets, one of all records, the others of one region each.

What each of them must have is known from the records' numbers; what it makes of its frames is in mesh_figures.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from mesh_figures import Spread, Subscriber
from mesh_world import REGIONS

HANDSHAKES = 8  # at once
ANSWER_S = 60.0
COLUMNS = ["number", "sent", "region"]


def write_request(subscriber: Subscriber) -> dict[str, Any]:
    """What it subscribes with."""
    asked: dict[str, Any] = {"action": "subscribe", "req": "s", "topic": "records", "columns": COLUMNS}
    if subscriber.region is not None:
        asked["pattern"] = {"region": [f"r{subscriber.region}"]}
    return asked


class Crowd:
    """All subscribers. `now_ms`: the clock that records are dated by."""

    def __init__(self, size: int, now_ms: Callable[[], float]) -> None:
        self.subscribers = [Subscriber(None), *(Subscriber(at % REGIONS) for at in range(size - 1))]
        self.spread = Spread()
        self._now_ms = now_ms
        self._sockets: list[Any] = []

    @property
    def frames(self) -> int:
        return sum(each.frames for each in self.subscribers)

    @property
    def records(self) -> int:
        return sum(each.records for each in self.subscribers)

    async def enter(self, stack: AsyncExitStack, url: str, token: str) -> None:
        """Connect and subscribe, all of them."""
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {token}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, headers=headers))
        limit = asyncio.Semaphore(HANDSHAKES)

        async def enter_one(subscriber: Subscriber) -> Any:
            async with limit:
                socket = await session.ws_connect(url, max_msg_size=0)
                await socket.send_json(write_request(subscriber))
                told = await socket.receive_json(timeout=ANSWER_S)
                if told["t"] != "subscribed":
                    raise SystemExit(f"a subscription was refused: {told}")
                return socket

        async with asyncio.TaskGroup() as group:
            entering = [group.create_task(enter_one(each)) for each in self.subscribers]
        self._sockets = [each.result() for each in entering]

    def readers(self) -> list[Any]:
        """Coroutines that read every connection, for as long as their tasks live."""
        return [self._read(socket, each) for socket, each in zip(self._sockets, self.subscribers, strict=True)]

    async def _read(self, socket: Any, subscriber: Subscriber) -> None:
        async for message in socket:
            frame = json.loads(message.data)
            if frame["t"] != "records":
                raise SystemExit(f"a subscriber was told: {frame}")
            now_ms = self._now_ms()
            for order in subscriber.take(frame):
                self.spread.add(now_ms - order["sent"])
        raise SystemExit(f"a subscriber's connection has ended: {socket.close_code}")
