"""In-memory ports: the second implementation of `sluiceway.ports`, with troubles on demand.

They keep the contracts of the ports to the letter. A `Trouble` makes a call fail before it did its work, or after it
(the answer was lost): what a service does under load or behind a broken connection. `Life` is an environment that can
be killed: from then on nothing it asks for happens.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sluiceway.aws.endpoints import ServiceSpec
from sluiceway.aws.reply import Reply
from sluiceway.errors import ServiceUnavailable
from sluiceway.ports import JobRecord

EPOCH_MS = 1_800_000_000_000
T = TypeVar("T")


class LoopClockMs:
    """A date that follows the event loop's time."""

    def now_ms(self) -> int:
        return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


class KilledError(Exception):
    """The environment was killed: there is nobody left to see this."""


class Life:
    """An execution environment that is killed after `limit_s` seconds: what it was doing stops where it was.

    A coroutine that is cancelled still runs its `finally` and `except` blocks; a killed process does not. So whatever
    the killed one still asks of the fakes ends there and is not done.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.is_over = False

    async def spend(self, work: Coroutine[object, object, T]) -> T:
        """What `work` returns. Raises KilledError where the end came first."""
        token = _life.set(self)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                timer = loop.call_later(self.limit_s, self._end, limit)
                try:
                    return await work
                finally:
                    timer.cancel()
        except TimeoutError as error:
            raise KilledError from error
        finally:
            _life.reset(token)

    def _end(self, limit: asyncio.Timeout) -> None:
        self.is_over = True
        limit.reschedule(asyncio.get_running_loop().time())


_life: ContextVar[Life | None] = ContextVar("life", default=None)


def stop_if_killed() -> None:
    """Nothing that a killed environment asks for is done."""
    life = _life.get()
    if life is not None and life.is_over:
        raise asyncio.CancelledError


class Trouble:
    """Fails `rate` of the calls, half of them after the work was done; each call takes up to `latency_s`.

    `refusal` fails every call until it is None again.
    """

    def __init__(self, rng: random.Random | None = None, *, rate: float = 0.0, latency_s: float = 0.0) -> None:
        self.rng = rng or random.Random(0)
        self.rate = rate
        self.latency_s = latency_s
        self.next_before = 0
        self.next_after = 0
        self.refusal: Exception | None = None

    async def before(self, operation: str) -> None:
        stop_if_killed()
        if self.refusal is not None:
            raise self.refusal
        if self.latency_s:
            await asyncio.sleep(self.rng.random() * self.latency_s)
        if self.next_before:
            self.next_before -= 1
            raise unavailable(operation)
        if self.rng.random() < self.rate / 2:
            raise unavailable(operation)

    async def after(self, operation: str) -> None:
        if self.latency_s:
            await asyncio.sleep(self.rng.random() * self.latency_s)
        if self.next_after:
            self.next_after -= 1
            raise unavailable(operation)
        if self.rng.random() < self.rate / 2:
            raise unavailable(operation)


def unavailable(operation: str) -> ServiceUnavailable:
    return ServiceUnavailable("throttled", service="fake", operation=operation, code="ThrottlingException", status=429)


class MemoryJobStore:
    """Records in a dict; `history` keeps every state a job went through."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.records: dict[str, JobRecord] = {}
        self.history: dict[str, list[str]] = {}
        self.trouble = trouble or Trouble()

    async def get(self, job_id: str) -> JobRecord | None:
        await self.trouble.before("get")
        return self.records.get(job_id)

    async def create(self, record: JobRecord) -> JobRecord | None:
        await self.trouble.before("create")
        found = self.records.get(record.job_id)
        if found is None:
            self._keep(record)
        await self.trouble.after("create")
        return found

    async def replace(self, record: JobRecord, *, seen: JobRecord) -> bool:
        await self.trouble.before("replace")
        stored = self.records.get(record.job_id)
        written = stored is not None and _version(stored) == _version(seen)
        if stored is not None and written:
            conflicts = stored.conflicts if record.created_ms == seen.created_ms else 0
            self._keep(replace(record, conflicts=conflicts))
        await self.trouble.after("replace")
        return written or (stored is not None and _write_of(stored) == _write_of(record))

    async def note_conflict(self, job_id: str) -> None:
        await self.trouble.before("note_conflict")
        record = self.records.get(job_id)
        if record is not None:
            self.records[job_id] = replace(record, conflicts=record.conflicts + 1)
        await self.trouble.after("note_conflict")

    def _keep(self, record: JobRecord) -> None:
        self.records[record.job_id] = record
        self.history.setdefault(record.job_id, []).append(record.state)


def _version(record: JobRecord) -> tuple[str, int, str]:
    return record.state, record.attempt, record.lease_owner


def _write_of(record: JobRecord) -> tuple[str, int, str, int]:
    return *_version(record), record.updated_ms


class MemoryBlobStore:
    """Blobs in a dict."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.trouble = trouble or Trouble()

    async def put(self, key: str, body: bytes, *, content_type: str) -> None:
        del content_type
        await self.trouble.before("put")
        self.blobs[key] = body
        await self.trouble.after("put")

    async def get(self, key: str) -> bytes | None:
        await self.trouble.before("get")
        return self.blobs.get(key)


@dataclass(frozen=True)
class Letter:
    body: str
    reason: str
    detail: str
    attributes: Mapping[str, str]


class MemoryDeadLetters:
    """Dead letters in a list."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.letters: list[Letter] = []
        self.trouble = trouble or Trouble()

    async def send(self, body: str, *, reason: str, detail: str, attributes: Mapping[str, str]) -> None:
        await self.trouble.before("send")
        self.letters.append(Letter(body, reason, detail, dict(attributes)))
        await self.trouble.after("send")


class MemoryRedelivery:
    """What is asked for, in a list: receipt handle, seconds."""

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.trouble = trouble or Trouble()

    async def return_after(self, receipt_handle: str, delay_s: int) -> None:
        await self.trouble.before("return_after")
        self.asked.append((receipt_handle, delay_s))
        await self.trouble.after("return_after")


@dataclass(frozen=True)
class FixedChance:
    """The same draw every time."""

    drawn: float = 1.0

    def draw(self) -> float:
        return self.drawn


@dataclass
class Call:
    """One call as a `RecordingCaller` saw it."""

    service: ServiceSpec
    operation: str
    body: Mapping[str, object] | bytes
    path: str
    method: str
    headers: Mapping[str, str]
    deadline: float | None


@dataclass
class RecordingCaller:
    """A Caller that keeps what it was asked and answers from `answers`, in order: a Reply, or an error to raise."""

    answers: list[Reply | Exception] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

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
        del query
        self.calls.append(Call(service, operation, body, path, method, headers or {}, deadline))
        answer = self.answers.pop(0) if self.answers else Reply(200, {}, b"{}")
        if isinstance(answer, Exception):
            raise answer
        return answer
