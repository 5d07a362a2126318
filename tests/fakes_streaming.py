"""In-memory ports of streamed answers: answers, connections, their inboxes and the dispatcher, with troubles on demand.

As those of `tests.fakes`: they keep the contracts to the letter, fail before or after the work where a `Trouble` says
so, and do nothing for an environment that was killed.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sluiceway.aws.answer_items import check_write
from sluiceway.errors import Gone, Rejected
from sluiceway.events.socket import StreamOrder
from sluiceway.ports import (
    MAX_MESSAGE_BYTES,
    MAX_READERS,
    MAX_SUBSCRIPTIONS,
    AnswerRecord,
    Clock,
    Connection,
    Reader,
    Subscription,
)
from sluiceway.rules.topics import part_of
from tests.fakes import LoopClockMs, Trouble

Key = tuple[str, str]


class MemoryAnswerStore:
    """Answers in dicts. `history` has each answer's records as create and replace wrote them, the oldest first."""

    def __init__(self, trouble: Trouble | None = None, *, clock: Clock | None = None) -> None:
        self.records: dict[Key, AnswerRecord] = {}
        self.history: dict[Key, list[AnswerRecord]] = {}
        self.questions: dict[tuple[str, str, str], tuple[str, int]] = {}
        self.trouble = trouble or Trouble()
        self._said: dict[tuple[str, str, int, int], str] = {}  # caller, req, created, attempt: from the attempt's start
        self._clock = clock or LoopClockMs()

    async def get(self, caller: str, req: str) -> AnswerRecord | None:
        await self.trouble.before("get")
        return self._find(caller, req)

    async def create(self, record: AnswerRecord, question: str) -> AnswerRecord | None:
        _check_text(question)
        await self.trouble.before("create")
        found = self._find(record.caller, record.req)
        self.questions[record.caller, record.req, record.request_sha256] = (question, record.expires_s)
        if found is None:
            self._keep(record)
        await self.trouble.after("create")
        return found

    async def read_question(self, record: AnswerRecord) -> str:
        await self.trouble.before("read_question")
        question, expires_s = self.questions.get((record.caller, record.req, record.request_sha256), ("", 0))
        if self._is_gone(expires_s):
            raise Rejected("the question has expired", reason="question-gone")
        return question

    async def read_text(self, record: AnswerRecord) -> str:
        await self.trouble.before("read_text")
        text = ""
        for attempt, start in enumerate(record.starts, 1):
            text = text[:start] + self._said.get((record.caller, record.req, record.created_ms, attempt), "")
        if len(text) < record.off:
            raise Rejected("text is not stored any more", reason="text-gone")
        return text[: record.off]

    async def attach(self, caller: str, req: str, reader: Reader) -> AnswerRecord | None:
        await self.trouble.before("attach")
        record = self._find(caller, req)
        others = (
            [] if record is None else [each for each in record.readers if each.connection_id != reader.connection_id]
        )
        if record is not None and len(others) < MAX_READERS:
            readers = sorted([*others, reader], key=lambda each: each.connection_id)
            record = self.records[caller, req] = replace(record, readers=tuple(readers))
        await self.trouble.after("attach")
        if len(others) >= MAX_READERS:
            raise Rejected("too many readers", reason="too-many-readers")
        return record

    async def detach(self, caller: str, req: str, reader: Reader) -> None:
        await self.trouble.before("detach")
        record = self._find(caller, req)
        if record is not None:
            known = (reader.connection_id, reader.generation)
            left = tuple(each for each in record.readers if (each.connection_id, each.generation) != known)
            self.records[caller, req] = replace(record, readers=left)
        await self.trouble.after("detach")

    async def cancel(self, caller: str, req: str) -> AnswerRecord | None:
        await self.trouble.before("cancel")
        record = self._find(caller, req)
        if record is not None:
            record = self.records[caller, req] = replace(record, cancel=True)
        await self.trouble.after("cancel")
        return record

    async def replace(self, record: AnswerRecord, *, seen: AnswerRecord, text: str = "") -> AnswerRecord | None:
        self._check_write(record, seen, text)
        await self.trouble.before("replace")
        stored = self._find(record.caller, record.req)
        written = None
        if stored is not None:
            written = replace(
                record, request_sha256=stored.request_sha256, readers=stored.readers, cancel=stored.cancel
            )
            if _version(stored) == _version(seen):
                if text:
                    key = (record.caller, record.req, record.created_ms, record.attempt)
                    self._said[key] = self._said.get(key, "") + text
                self._keep(written)
            elif stored != written:
                written = None
        await self.trouble.after("replace")
        return written

    def _check_write(self, record: AnswerRecord, seen: AnswerRecord, text: str) -> None:
        """A write that no worker may ask for is a fault of the flow's."""
        _check_text(text)
        check_write(record, seen=seen, text=text)
        if text:
            said = self._said.get((record.caller, record.req, record.created_ms, record.attempt), "")
            unseen = record.starts[-1] + len(said) - seen.off
            assert unseen <= 0 or said.endswith(text[:unseen]), "text after a cut comes from another attempt"

    def _find(self, caller: str, req: str) -> AnswerRecord | None:
        if not req or "#" in req:
            raise Rejected("no answer can have this req", reason="invalid-req", field="req")
        record = self.records.get((caller, req))
        return None if record is None or self._is_gone(record.expires_s) else record

    def _is_gone(self, expires_s: int) -> bool:
        return expires_s * 1000 <= self._clock.now_ms()

    def _keep(self, record: AnswerRecord) -> None:
        self.records[record.caller, record.req] = record
        self.history.setdefault((record.caller, record.req), []).append(record)


def _version(record: AnswerRecord) -> tuple[int, str, int, str, int]:
    return record.created_ms, record.state, record.attempt, record.lease_owner, record.off


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Rejected("half a character cannot be stored", reason="unserialisable-request") from error


class MemoryConnectionStore:
    """Connections in a dict."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.connections: dict[str, Connection] = {}
        self.trouble = trouble or Trouble()

    async def open(self, connection: Connection) -> None:
        await self.trouble.before("open")
        self.connections.setdefault(connection.connection_id, connection)
        await self.trouble.after("open")

    async def close(self, connection_id: str) -> None:
        await self.trouble.before("close")
        self.connections.pop(connection_id, None)
        await self.trouble.after("close")

    async def get(self, connection_id: str) -> Connection | None:
        await self.trouble.before("get")
        return self.connections.get(connection_id)

    async def count_up(self, connection_id: str) -> int | None:
        await self.trouble.before("count_up")
        found = self.connections.get(connection_id)
        if found is not None:
            found = self.connections[connection_id] = replace(found, generation=found.generation + 1)
        await self.trouble.after("count_up")
        return None if found is None else found.generation


_part_of = lru_cache(maxsize=1 << 16)(part_of)  # of tens of thousands, at every read


class MemorySubscriptionStore:
    """Subscriptions in a dict. `reads` counts how often a topic, or a part of it, was read."""

    def __init__(self, trouble: Trouble | None = None, *, parts: int = 1) -> None:
        self.parts = parts
        self.kept: dict[Key, Subscription] = {}
        self.reads = 0
        self.trouble = trouble or Trouble()

    async def put(self, subscription: Subscription) -> None:
        await self.trouble.before("put")
        key = (subscription.connection_id, subscription.topic)
        if key not in self.kept or self.kept[key].generation <= subscription.generation:
            self.kept[key] = subscription
            if sum(each == subscription.connection_id for each, _ in self.kept) > MAX_SUBSCRIPTIONS:
                del self.kept[key]
                raise Rejected("too many subscriptions", reason="too-many-subscriptions")
        await self.trouble.after("put")

    async def remove(self, connection_id: str, topic: str) -> None:
        await self.trouble.before("remove")
        self.kept.pop((connection_id, topic), None)
        await self.trouble.after("remove")

    async def drop(self, subscription: Subscription) -> None:
        await self.trouble.before("drop")
        key = (subscription.connection_id, subscription.topic)
        if key in self.kept and self.kept[key].generation == subscription.generation:
            del self.kept[key]
        await self.trouble.after("drop")

    async def forget(self, connection_id: str) -> None:
        await self.trouble.before("forget")
        for key in [key for key in self.kept if key[0] == connection_id]:
            del self.kept[key]
        await self.trouble.after("forget")

    async def of_topic(self, topic: str) -> tuple[Subscription, ...]:
        await self.trouble.before("of_topic")
        self.reads += 1
        return tuple(self.kept[key] for key in sorted(self.kept) if key[1] == topic)

    async def of_part(self, topic: str, part: int) -> tuple[Subscription, ...]:
        await self.trouble.before("of_topic")
        self.reads += 1
        mine = sorted(key for key in self.kept if key[1] == topic and _part_of(key[0], self.parts) == part)
        return tuple(self.kept[key] for key in mine)


class MemoryConnections:
    """Clients, each with an inbox. One that never connected, or went, is gone.

    `troubles` has a connection's own Trouble (a full buffer is its `refusal`), `slow_s` how long the gateway takes for
    a message to it; `most_under_way` the most posts to one connection that were under way at once.
    """

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.inboxes: dict[str, list[bytes]] = {}
        self.open: set[str] = set()
        self.disconnected: list[str] = []
        self.slow_s: dict[str, float] = {}
        self.troubles: dict[str, Trouble] = {}
        self.trouble = trouble or Trouble()
        self.most_under_way: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()

    def connect(self, *connection_ids: str) -> None:
        """Clients come."""
        for connection_id in connection_ids:
            self.inboxes.setdefault(connection_id, [])
            self.open.add(connection_id)

    def leave(self, connection_id: str) -> None:
        """The client goes; what it got stays in its inbox."""
        self.open.discard(connection_id)

    def frames(self, connection_id: str, *, after: int = 0) -> list[dict[str, Any]]:
        """What the client got, decoded; without the first `after`, which somebody has read."""
        return [json.loads(data) for data in self.inboxes.get(connection_id, [])[after:]]

    async def post(self, connection_id: str, data: bytes) -> None:
        trouble = self.troubles.get(connection_id, self.trouble)
        self._under_way[connection_id] += 1
        self.most_under_way[connection_id] = max(self.most_under_way[connection_id], self._under_way[connection_id])
        try:
            await trouble.before("post")
            await asyncio.sleep(self.slow_s.get(connection_id, 0.0))
            if len(data) > MAX_MESSAGE_BYTES:
                raise Rejected("a message has 128 KB at most", reason="message-too-large")
            if connection_id not in self.open:
                raise Gone(f"connection {connection_id} is no more")
            self.inboxes[connection_id].append(data)
            await trouble.after("post")
        finally:
            self._under_way[connection_id] -= 1

    async def disconnect(self, connection_id: str) -> None:
        trouble = self.troubles.get(connection_id, self.trouble)
        await trouble.before("disconnect")
        if connection_id in self.open:
            self.open.discard(connection_id)
            self.disconnected.append(connection_id)
        await trouble.after("disconnect")


class MemoryDispatcher:
    """What is to be worked on, in a list. `start` is told of each order, twice for `doubled` of them: at least once."""

    def __init__(
        self,
        trouble: Trouble | None = None,
        *,
        start: Callable[[StreamOrder], None] | None = None,
        doubled: float = 0.0,
    ) -> None:
        self.orders: list[StreamOrder] = []
        self.trouble = trouble or Trouble()
        self.start = start
        self.doubled = doubled

    async def dispatch(self, caller: str, req: str) -> None:
        await self.trouble.before("dispatch")
        for _ in range(2 if self.doubled and self.trouble.rng.random() < self.doubled else 1):
            self.orders.append(StreamOrder(caller, req))
            if self.start is not None:
                self.start(self.orders[-1])
        await self.trouble.after("dispatch")
