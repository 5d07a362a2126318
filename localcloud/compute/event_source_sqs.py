"""The event source mapping from an SQS queue to a function.

The rules, as Lambda has them:
1. Messages are taken only while an invocation may start: at most `max_concurrency` at a time, starting with five and
   growing by five a second while all are busy.
2. A batch goes when it is full, when its window has passed since its first message, or when it would outgrow 6 MB;
   without a window it is what one receive of ten gives.
3. What succeeded is deleted. What failed stays hidden until the queue's visibility timeout; nothing is made visible
   earlier, and the queue's redrive policy counts.
4. Function errors and throttles lower the concurrency, successes raise it again; a mapping that reports batch item
   failures is not lowered by errors. A throttled batch is tried again until its messages would be visible again.

Waits on the queue, never polls it. Knows a queue by the `Queue` protocol and a function by `Invoke`.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html, services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.compute.functions import InvokeResult
from localcloud.compute.sqs_event import build_event, build_record, read_failures
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Message

__all__ = ["Invoke", "Queue", "SqsMapping", "SqsMappingConfig"]

log = logging.getLogger(__name__)

RECEIVE_MESSAGES: Final = 10  # ReceiveMessage gives at most ten
LONG_POLL_S: Final = 20.0
MAX_EVENT_BYTES: Final = 6 * 1024 * 1024 - 1024  # the 6 MB of a synchronous invocation, less the event's own frame
FIRST_CONCURRENCY: Final = 5  # services-sqs-scaling: five batches at a time to begin with
GROWTH: Final = 5  # services-sqs-scaling: up to 300 more a minute
GROWTH_EVERY_S: Final = 1.0
DEFAULT_MAX_CONCURRENCY: Final = 1000
_FIRST_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0


class Queue(Protocol):
    """What a mapping needs of a queue (`localcloud.services.sqs.queue.Queue` is one)."""

    arn: str

    @property
    def attributes(self) -> Mapping[str, str]:
        """The queue's attributes as text; VisibilityTimeout is read."""
        ...

    async def receive(
        self, max_messages: int = 1, *, wait_s: float | None = None, visibility_s: int | None = None
    ) -> list[Message]:
        """Take visible messages, waiting for the first."""
        ...

    async def delete(self, receipt_handle: str) -> None:
        """Delete a message."""
        ...


class Invoke(Protocol):
    """Invokes the mapping's function synchronously. Raises LambdaError."""

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        """The function's answer to the event of a batch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsMappingConfig:
    """`batch_size` 1-10000 (over 10 needs a window), `window_s` 0-300, `max_concurrency` 2-1000 or None."""

    batch_size: int = 10
    window_s: float = 0.0
    max_concurrency: int | None = None
    report_failures: bool = False


@dataclass(slots=True)
class _Taken:
    """A message in hand, with its record as JSON and when it becomes visible to others."""

    message: Message
    record: str
    expires_at: float


class SqsMapping:
    """One mapping; `run()` until cancelled, or until its queue is gone."""

    def __init__(self, queue: Queue, invoke: Invoke, config: SqsMappingConfig, *, rng: random.Random) -> None:
        self._queue = queue
        self._invoke = invoke
        self._config = config
        self._rng = rng
        self._most = config.max_concurrency or DEFAULT_MAX_CONCURRENCY
        self._allowed = min(FIRST_CONCURRENCY, self._most)
        self._in_flight = 0
        self._freed = asyncio.Event()
        self._rest: list[_Taken] = []

    @property
    def in_flight(self) -> int:
        """How many invocations run now."""
        return self._in_flight

    async def run(self) -> None:
        """Take, batch and invoke, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wait_for_room()
                try:
                    batch = await self._gather()
                except SqsError:
                    log.info("mapping.queue_gone", extra={"queue": self._queue.arn})
                    return
                if batch:
                    self._in_flight += 1
                    group.create_task(self._process(batch))

    # ------------------------------------------------------------------ concurrency

    async def _wait_for_room(self) -> None:
        while self._in_flight >= self._allowed:
            self._freed.clear()
            try:
                async with asyncio.timeout(GROWTH_EVERY_S if self._allowed < self._most else None):
                    await self._freed.wait()
            except TimeoutError:
                self._allowed = min(self._allowed + GROWTH, self._most)

    def _lower(self) -> None:
        self._allowed = max(1, self._allowed // 2)

    def _raise(self) -> None:
        self._allowed = min(max(self._allowed, min(self._allowed + 1, FIRST_CONCURRENCY)), self._most)

    # ------------------------------------------------------------------ batching

    async def _gather(self) -> list[_Taken]:
        """The next batch, [] where none came in a long poll."""
        loop = asyncio.get_running_loop()
        batch, self._rest = self._rest, []
        if not batch:
            batch = await self._receive(self._config.batch_size, LONG_POLL_S)
        closes = loop.time() + self._config.window_s
        while batch and len(batch) < self._config.batch_size and loop.time() < closes:
            if _size(batch) > MAX_EVENT_BYTES:
                break
            batch += await self._receive(self._config.batch_size - len(batch), min(LONG_POLL_S, closes - loop.time()))
        return self._split(batch)

    async def _receive(self, want: int, wait_s: float) -> list[_Taken]:
        messages = await self._queue.receive(min(want, RECEIVE_MESSAGES), wait_s=wait_s)
        visibility_s = float(self._queue.attributes.get("VisibilityTimeout", "30"))
        expires_at = asyncio.get_running_loop().time() + visibility_s
        region = self._queue.arn.split(":")[3]
        return [
            _Taken(
                message,
                json.dumps(build_record(message, queue_arn=self._queue.arn, region=region), separators=(",", ":")),
                expires_at,
            )
            for message in messages
        ]

    def _split(self, batch: list[_Taken]) -> list[_Taken]:
        """What fits one event; the rest begins the next batch."""
        size = 0
        for index, taken in enumerate(batch):
            size += len(taken.record.encode()) + 1
            if size > MAX_EVENT_BYTES and index:
                self._rest = batch[index:]
                return batch[:index]
        return batch

    # ------------------------------------------------------------------ invoking

    async def _process(self, batch: list[_Taken]) -> None:
        try:
            result = await self._call(batch)
            if result is not None:
                await self._settle(batch, result)
        except Exception:
            log.exception("mapping.batch_failed", extra={"queue": self._queue.arn, "messages": len(batch)})
        finally:
            self._in_flight -= 1
            self._freed.set()

    async def _call(self, batch: list[_Taken]) -> InvokeResult | None:
        """The function's answer; None where it was throttled until the messages were visible again."""
        loop = asyncio.get_running_loop()
        payload = build_event([taken.record for taken in batch])
        expires_at = min(taken.expires_at for taken in batch)
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await self._invoke(payload, [taken.message for taken in batch])
            except LambdaError as error:
                self._lower()
                wait_s = backoff_s * (0.5 + self._rng.random() / 2)
                if error.status != 429 or loop.time() + wait_s >= expires_at:
                    log.info("mapping.batch_given_back", extra={"queue": self._queue.arn, "code": error.code})
                    return None
                await asyncio.sleep(wait_s)
                backoff_s = min(backoff_s * 2, _MAX_BACKOFF_S)

    async def _settle(self, batch: list[_Taken], result: InvokeResult) -> None:
        report = self._config.report_failures
        ids = [taken.message.message_id for taken in batch]
        if result.function_error:
            failed = frozenset(ids)
        else:
            failed = read_failures(result.payload, ids) if report else frozenset[str]()
        if failed and not report:
            self._lower()
        elif not failed:
            self._raise()
        for taken in batch:
            if taken.message.message_id not in failed:
                await self._queue.delete(taken.message.receipt_handle)


def _size(batch: list[_Taken]) -> int:
    return sum(len(taken.record) + 1 for taken in batch)
