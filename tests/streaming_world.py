"""Streamed answers on virtual time: the flows of the functions over ports in memory, workers that can be killed."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any, Literal

from sluiceway.events.invocation import Invocation
from sluiceway.events.socket import SocketEvent, SocketReply, StreamOrder
from sluiceway.flows.stream.answer import AnswerDesk, AnswerRules, run_answer
from sluiceway.flows.stream.asking import make_ask_keys
from sluiceway.flows.stream.generation import Model
from sluiceway.flows.stream.socket import SocketDesk, serve_socket
from sluiceway.genai.provider import StreamingProvider
from sluiceway.genai.scripted import Script, ScriptedProvider
from sluiceway.idempotency.memory import MemoryIdempotencyStore
from sluiceway.ports import AnswerRecord, IdempotencyStore
from sluiceway.rules.access import AccessRules
from tests.answer_reader import AnswerReader
from tests.fakes import KilledError, Life, LoopClockMs, Trouble
from tests.fakes_streaming import (
    MemoryAnswerStore,
    MemoryConnections,
    MemoryConnectionStore,
    MemoryDispatcher,
    MemorySubscriptionStore,
)
from tests.unit.idempotency_setup import TroubledStore

CALLER = "ann"


@dataclass(frozen=True)
class SeededChance:
    """Chance from a seed."""

    rng: random.Random

    def draw(self) -> float:
        return self.rng.random()


@dataclass
class StreamWorld:
    """One stack. `workers_die_after` gives a worker's life in seconds, in the order in which they start."""

    group: asyncio.TaskGroup
    script: Script = field(default_factory=Script)
    seed: int = 0
    grace_s: float = 30.0
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    continues: bool = True
    history: int = 0
    timeout_s: float = 300.0
    workers_die_after: list[float] = field(default_factory=list)
    store_trouble: Trouble = field(default_factory=Trouble)
    line_trouble: Trouble = field(default_factory=Trouble)
    provider: StreamingProvider | None = None
    topics: frozenset[str] = frozenset({"orders", "returns"})
    keys: IdempotencyStore = field(default_factory=lambda: TroubledStore(MemoryIdempotencyStore()))
    access: AccessRules | None = None  # every topic is public

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.scripted = ScriptedProvider(self.script)
        self.answers = MemoryAnswerStore(self.store_trouble)
        self.known = MemoryConnectionStore()
        self.subscriptions = MemorySubscriptionStore()
        self.line = MemoryConnections(self.line_trouble)
        self.dispatcher = MemoryDispatcher(start=self.start_worker)
        self.workers: set[asyncio.Task[None]] = set()
        self.started = 0
        model = Model(
            self.provider or self.scripted, max_output_tokens=10_000, continues=self.continues, history=self.history
        )
        chance = SeededChance(self.rng)
        self.ask_keys = make_ask_keys(self.keys, clock=LoopClockMs(), chance=chance)
        self.desk = AnswerDesk(
            self.answers,
            self.line,
            model,
            LoopClockMs(),
            chance,
            AnswerRules(self.grace_s, self.on_disconnect),
        )
        self.sockets = SocketDesk(
            answers=self.answers,
            known=self.known,
            subscriptions=self.subscriptions,
            connections=self.line,
            dispatcher=self.dispatcher,
            clock=LoopClockMs(),
            models=frozenset({"model-a"}),
            topics=self.topics,
            keys=self.ask_keys,
            access=self.access or AccessRules(dict.fromkeys(self.topics, "public"), "ACCESS"),
        )

    def call(self, timeout_s: float = 28.0) -> Invocation:
        self.started += 1
        deadline = asyncio.get_running_loop().time() + timeout_s
        return Invocation(
            f"request-{self.started}", "f", "arn", deadline, correlation_id=f"c{self.started}", grace_s=0.2
        )

    def start_worker(self, order: StreamOrder) -> None:
        limit_s = self.workers_die_after.pop(0) if self.workers_die_after else 1e9
        task = self.group.create_task(self._work(order, limit_s))
        self.workers.add(task)
        task.add_done_callback(self.workers.discard)

    async def _work(self, order: StreamOrder, limit_s: float) -> None:
        try:
            await Life(limit_s).spend(run_answer(order, self.call(self.timeout_s), self.desk))
        except KilledError:
            return

    async def send(
        self,
        connection_id: str,
        message: dict[str, Any] | str,
        *,
        caller: str = CALLER,
        groups: tuple[str, ...] = (),
        tenant: str = "",
        expires_s: int = 0,
    ) -> SocketReply:
        body = message if isinstance(message, str) else json.dumps(message)
        action = message.get("action", "") if isinstance(message, dict) else ""
        route = action if action in {"ask", "resume", "cancel", "subscribe", "unsubscribe"} else "$default"
        event = SocketEvent("MESSAGE", route, connection_id, caller, body, 0, "r", groups=groups, tenant=tenant)
        event = event._replace(expires_s=expires_s)
        return await serve_socket(event, self.call(), self.sockets)

    async def connect(self, connection_id: str) -> None:
        self.line.connect(connection_id)
        await serve_socket(
            SocketEvent("CONNECT", "$connect", connection_id, CALLER, "", 0, "r"), self.call(), self.sockets
        )

    async def disconnect(self, connection_id: str) -> None:
        self.line.leave(connection_id)
        await serve_socket(
            SocketEvent("DISCONNECT", "$disconnect", connection_id, CALLER, "", 0, "r"), self.call(), self.sockets
        )

    def read(self, connection_id: str, req: str) -> AnswerReader:
        """A client that has taken everything so far that came over this connection."""
        reader = AnswerReader(req)
        for frame in self.line.frames(connection_id):
            reader.take(frame)
        return reader

    def record(self, req: str) -> AnswerRecord:
        return self.answers.records[CALLER, req]

    async def idle(self) -> None:
        """Until no worker works."""
        while self.workers:
            await asyncio.wait(set(self.workers))
