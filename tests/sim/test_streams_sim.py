"""200 streamed answers at once, on virtual time, in bad weather: every reader ends with exactly the text that was made.

Sockets are cut, readers are slow, workers and the socket's own function are killed, posts are refused (429) or their
answers lost, the table fails, the model is throttled before and in the middle of its text. The flows are the
functions'; the ports are in memory. A seed decides everything.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from localcloud.clock import run_virtual
from sluiceway.events.socket import StreamOrder
from sluiceway.flows.stream.answer import run_answer
from sluiceway.genai.faults import Overloaded, Throttled
from sluiceway.genai.provider import Answer, CallContext, Delta, Message, ModelRequest, StreamEvent, fold_stream
from sluiceway.genai.scripted import Script, ScriptedProvider
from tests.answer_reader import AnswerReader
from tests.fakes import KilledError, Life, Trouble
from tests.streaming_world import CALLER, StreamWorld

STREAMS = 200
LOOK_S = 0.1
SILENCE_S = 30.0  # docs/streaming.md: then a client resumes


@dataclass(frozen=True)
class Weather:
    """How bad it is: shares of workers killed, of socket invocations killed, of calls in trouble, ..."""

    worker_killed: float = 0.3
    socket_killed: float = 0.03
    store_trouble: float = 0.03
    post_trouble: float = 0.05
    model_fails: float = 0.1
    model_breaks: float = 0.15
    cut_a_second: float = 0.05
    slow: float = 0.2
    continues: bool = True


class WeatherProvider:
    """The scripted model, which is now and then throttled, before or in the middle of its text."""

    def __init__(self, script: Script, rng: random.Random, weather: Weather) -> None:
        self.inner = ScriptedProvider(script)
        self._rng = rng
        self._weather = weather
        self.broken = 0

    async def converse(self, request: ModelRequest, context: CallContext) -> Answer:
        async with self.stream(request, context) as events:
            return await fold_stream(events)

    @asynccontextmanager
    async def stream(self, request: ModelRequest, context: CallContext) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        if self._rng.random() < self._weather.model_fails:
            raise Throttled("later") if self._rng.random() < 0.5 else Overloaded("busy")
        limit = self._rng.randrange(1, 200) if self._rng.random() < self._weather.model_breaks else 10**9
        async with self.inner.stream(request, context) as events:
            yield self._break_off(events, limit)

    async def _break_off(self, events: AsyncIterator[StreamEvent], limit: int) -> AsyncGenerator[StreamEvent]:
        said = 0
        async for event in events:
            if isinstance(event, Delta) and said >= limit:
                self.broken += 1
                raise Overloaded("the stream broke off")
            said += 1
            yield event


class StormyWorld(StreamWorld):
    """Workers and socket invocations are killed at random."""

    weather: Weather = Weather()
    kills: int = 0

    def start_worker(self, order: StreamOrder) -> None:
        killed = self.rng.random() < self.weather.worker_killed
        life_s = self.rng.random() * 8.0 if killed else 1e9
        task = self.group.create_task(self._live(order, life_s))
        self.workers.add(task)
        task.add_done_callback(self.workers.discard)

    async def _live(self, order: StreamOrder, life_s: float) -> None:
        """Lambda tries an event that failed again: here after a while, twice."""
        for _ in range(3):
            try:
                await Life(life_s).spend(run_answer(order, self.call(self.timeout_s), self.desk))
            except KilledError:
                self.kills += 1
            except Exception:  # noqa: BLE001 - the store was away: the invocation failed
                pass
            else:
                return
            await asyncio.sleep(60.0)
            life_s = 1e9


@dataclass
class Client:
    """One person with one question, who wants the whole answer."""

    world: StormyWorld
    number: int
    weather: Weather
    cuts: int = 0
    resumes: int = 0

    @property
    def req(self) -> str:
        return f"q{self.number}"

    async def run(self) -> str:
        self._connections = 0
        self._rng = random.Random(f"{self.world.seed}-{self.number}")
        self.reader = AnswerReader(self.req)
        await asyncio.sleep(self._rng.random() * 5.0)
        await self._connect()
        await self._ask()
        while self.reader.ended is None or self.reader.is_resumable or self._is_unknown():
            await self._look()
        assert self.reader.ended["t"] == "final", str(self.reader.ended)
        return self.reader.text

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(LOOK_S)
        fresh = self.world.line.frames(self._connection, after=self._taken)
        for frame in fresh:
            self.reader.take(frame)
            self._heard_at = loop.time()
        self._taken += len(fresh)
        if self._rng.random() < self.weather.cut_a_second * LOOK_S:
            self.cuts += 1
            await self._cut()
        elif self._is_unknown():
            await self._ask()
        elif self.reader.gap or self.reader.is_resumable or loop.time() - self._heard_at > SILENCE_S:
            await asyncio.sleep(self._rng.random())
            await self._resume()

    def _is_unknown(self) -> bool:
        """The question never arrived."""
        ended = self.reader.ended
        return ended is not None and ended["t"] == "error" and ended["d"]["type"] == "/problems/no-such-answer"

    async def _cut(self) -> None:
        await self.world.disconnect(self._connection)
        await asyncio.sleep(self._rng.expovariate(1 / 4.0))
        await self._connect()
        await self._resume()

    async def _connect(self) -> None:
        self._connections += 1
        self._taken = 0
        self._connection = f"{self.req}-{self._connections}"
        if self._rng.random() < self.weather.slow:
            self.world.line.slow_s[self._connection] = 0.2 + self._rng.random()
        await self.world.connect(self._connection)
        self._heard_at = asyncio.get_running_loop().time()

    async def _ask(self) -> None:
        self.reader.ended = None
        await self._send({"action": "ask", "req": self.req, "prompt": f"question {self.number}"})

    async def _resume(self) -> None:
        self.resumes += 1
        await self._send(self.reader.resume())

    async def _send(self, message: dict[str, object]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        life_s = self._rng.random() * 0.2 if self._rng.random() < self.weather.socket_killed else 1e9
        try:
            await Life(life_s).spend(self.world.send(self._connection, message))
        except KilledError:
            return


@pytest.mark.parametrize(
    ("seed", "weather"),
    [
        (1, Weather()),
        (2, Weather(continues=False)),
        (3, Weather(worker_killed=0.8, cut_a_second=0.3)),
        (4, Weather(worker_killed=0.5, store_trouble=0.15, post_trouble=0.3)),
    ],
)
def test_every_reader_ends_with_exactly_the_text(seed: int, weather: Weather) -> None:
    """200 streams; what is read, what is stored and what the model says for each question are one text."""
    script = Script(tokens=120, first_s=0.4, token_s=0.05)

    async def run() -> tuple[StormyWorld, list[Client], list[str]]:
        async with asyncio.TaskGroup() as group:
            rng = random.Random(seed)
            provider = WeatherProvider(script, rng, weather)
            world = StormyWorld(
                group,
                script=script,
                seed=seed,
                grace_s=3.0,
                continues=weather.continues,
                store_trouble=Trouble(rng, rate=weather.store_trouble, latency_s=0.02),
                line_trouble=Trouble(rng, rate=weather.post_trouble, latency_s=0.08),
                provider=provider,
            )
            world.weather = weather
            world.known.trouble = Trouble(rng, rate=0.0, latency_s=0.02)
            clients = [Client(world, number, weather) for number in range(STREAMS)]
            reading = [group.create_task(client.run()) for client in clients]
            await asyncio.wait(reading)
            texts = [task.result() for task in reading]
            await world.idle()
        assert provider.inner.active == 0
        assert provider.broken > 0
        return world, clients, texts

    world, clients, texts = run_virtual(run)
    for client, text in zip(clients, texts, strict=True):
        assert text == _said(script, client.number)
        record = world.answers.records[CALLER, client.req]
        assert (record.state, record.off) == ("finished", len(text))
        assert record.usage["output_tokens"] > 0
    assert world.kills > 20
    assert sum(client.cuts for client in clients) > 50


def _said(script: Script, number: int) -> str:
    """What the model says to a question, in one go."""

    async def ask() -> str:
        request = ModelRequest((Message("user", f"question {number}"),), 10_000)
        provider = ScriptedProvider(Script(seed=script.seed, tokens=script.tokens))
        return (await provider.converse(request, CallContext(deadline=float("inf")))).text

    return run_virtual(ask)
