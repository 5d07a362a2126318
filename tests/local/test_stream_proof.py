"""The proof of streamed answers over real processes: many at once, readers that are cut, slow readers, killed workers.

Every client knows the protocol's rules and nothing else, and every client ends with exactly the text that was made.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.answer_clients import SocketClient, connect, get_answer, post_question
from tests.answer_reader import AnswerReader
from tests.local.stream_world import StreamWorld, start_stream_world

pytestmark = pytest.mark.local

SEED = 20261127
SOCKETS, STREAMS, SLOW = 28, 12, 4  # of the sockets so many are slow
KILLS = {"sluiceway-StreamAnswer": 6, "sluiceway-StreamHttp": 2}
ARRIVALS_S = 2.0
GROWN_UP_S = 1.0  # a process younger than that may not have begun to work
PATIENCE_S = 2.5  # before a client resumes; the protocol's 30 s would only make this last
AWAY_S = 1.5
END_S = 120  # on a machine that does much else; half a minute on an idle one
SCRIPT: dict[str, Any] = {"seed": 3, "first_token_s": 0.2, "token_s": 0.02, "tokens": 220}


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamWorld]:
    """A cloud of its own: other tests' workers are not killed."""
    started = start_stream_world(tmp_path_factory.mktemp("proof"), SCRIPT)
    yield started
    started.cloud.sluiceway("down")


@dataclass
class Client:
    """One question, its reader, and this client's luck. `cuts`: how often its connection broke."""

    world: StreamWorld
    number: int
    slow: bool = False
    cuts: int = 0

    def __post_init__(self) -> None:
        self.luck = random.Random(SEED + self.number)
        self.reader = AnswerReader(f"proof-{self.number}")
        self.prompt = f"Question {self.number}: 50 % & more?"
        self.lengths = sorted(self.luck.randint(20, 1_000) for _ in range(self.luck.randint(0, 2)))

    @property
    def is_under_way(self) -> bool:
        return bool(self.reader.text) and not self.reader.ended

    @property
    def is_right(self) -> bool:
        return self.reader.text == self.world.whole(self.prompt)

    async def over_socket(self) -> None:
        """Ask, be cut here and there, resume on another connection, until the end."""
        await asyncio.sleep(self.luck.uniform(0, ARRIVALS_S))
        begun: SocketClient | None = None
        while not self.reader.ended or self.reader.is_resumable:
            with suppress(aiohttp.ClientError, TypeError):  # a connection that ended: come again
                async with connect(self.world.url("Socket"), self.world.token) as client:
                    if begun is None:
                        await client.say({"action": "ask", "req": self.reader.req, "prompt": self.prompt})
                        begun = client
                    else:
                        await client.say(self.reader.resume())
                    await self._read(client)
            await asyncio.sleep(self.luck.uniform(0.05, 0.8))

    async def _read(self, client: SocketClient) -> None:
        if self.slow:
            with suppress(TimeoutError):  # its worker was killed: come again, as the protocol says
                await client.follow(self.reader, until=self._has(40), wait_s=PATIENCE_S)
            if not self._has(40)(self.reader):
                return
            client.look_away()
            await asyncio.sleep(AWAY_S)
            client.look_back()
            self.slow = False
        if self.lengths:
            with suppress(TimeoutError):
                await client.follow(self.reader, until=self._has(self.lengths.pop(0)), wait_s=PATIENCE_S)
            if not self.reader.ended:
                self.cuts += 1
                client.cut()
            return
        await client.see_through(self.reader, patience_s=PATIENCE_S)

    async def over_http(self, way: str) -> None:
        """Ask, go away here and there, come back with Last-Event-ID, until the end."""
        await asyncio.sleep(self.luck.uniform(0, ARRIVALS_S))
        token, last_id, question = self.world.token, "", {"req": self.reader.req, "prompt": self.prompt}
        opening = post_question(self.world.url(way), token, question)
        while not self.reader.ended or self.reader.is_resumable:
            self.reader.resume()
            with suppress(aiohttp.ClientError):
                async with opening as client:
                    assert client.status == 200, await client.body()
                    until = self._has(self.lengths.pop(0)) if self.lengths else self._has(10_000)
                    try:
                        await client.follow(self.reader, until=until)
                    finally:
                        last_id = client.last_id or last_id
                        self.cuts += not self.reader.ended
            await asyncio.sleep(self.luck.uniform(0.05, 0.8))
            opening = get_answer(self.world.url(way), token, self.reader.req, last_id=last_id)

    def _has(self, length: int) -> Any:
        return lambda reader: len(reader.text) >= length or reader.ended or reader.gap


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped, or has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "Z"}
    except (FileNotFoundError, ProcessLookupError):
        return True


async def _kill(clients: list[Client]) -> dict[str, int]:
    """SIGKILL workers that are at work, once half of the answers are in the middle; how many.

    Where the machine is so slow that this never comes, any that have been there for a while.
    """
    cloud, luck = clients[0].world.cloud, random.Random(SEED)
    began = time.monotonic()
    first_seen: dict[int, float] = {}
    killed = dict.fromkeys(KILLS, 0)
    while killed != KILLS:
        await asyncio.sleep(luck.uniform(0.05, 0.2))
        now = time.monotonic()
        for function, wanted in KILLS.items():
            alive = await asyncio.to_thread(cloud.processes, function)
            workers = [pid for pid in alive if now - first_seen.setdefault(pid, now) >= GROWN_UP_S]
            under_way = sum(client.is_under_way for client in clients) >= len(clients) // 2
            if under_way:
                workers = [pid for pid in workers if not is_stopped(pid)]  # between invocations they are frozen
            if workers and killed[function] < wanted and (under_way or now - began > 10 * ARRIVALS_S):
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(luck.choice(workers), signal.SIGKILL)
                    killed[function] += 1
    return killed


async def test_every_client_gets_exactly_what_was_made(world: StreamWorld) -> None:
    """40 streams at once over sockets, Function URL and REST, with seeded cuts, slow readers and SIGKILLed workers."""
    sockets = [Client(world, number, slow=number < SLOW) for number in range(SOCKETS)]
    streams = [Client(world, SOCKETS + number) for number in range(STREAMS)]
    clients = [*sockets, *streams]
    async with asyncio.timeout(END_S), asyncio.TaskGroup() as group:
        killing = group.create_task(_kill(clients))
        for client in sockets:
            group.create_task(client.over_socket())
        for number, client in enumerate(streams):
            group.create_task(client.over_http("Stream" if number % 2 else "Api"))
    assert killing.result() == KILLS
    assert [client.number for client in clients if not client.is_right] == []
    assert {(client.reader.ended or {})["t"] for client in clients} == {"final"}
    assert {(client.reader.ended or {})["off"] - len(client.reader.text) for client in clients} == {0}
    assert sum(client.cuts for client in clients) > len(clients) // 2
    assert any(client.reader.attempt > 1 for client in clients)  # workers died in the middle of their work
    assert [call for call in world.cloud.calls() if not call["allowed"]] == []
