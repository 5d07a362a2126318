"""The event source mapping from an SQS queue to a function.

The rules, as Lambda has them:
1. Messages are taken only while an invocation may start: five at a time and five more a second while all are busy, up
   to the mapping's maximum; or ten to each poller in provisioned mode (`event_source_sqs_scaling`).
2. A batch goes when it is full, when its window has passed since its first message, or when it would outgrow 6 MB;
   without a window it is what one receive of ten gives (`event_source_sqs_batches`).
3. What succeeded is deleted. What failed stays hidden until the queue's visibility timeout; nothing is made visible
   earlier, and the queue's redrive policy counts.
4. Function errors and throttles lower the concurrency, successes raise it again; a mapping that reports batch item
   failures is not lowered by errors. A throttled batch is tried again until its messages would be visible again.
5. From a FIFO queue as many invocations run as message groups are there. A batch may hold several groups and keeps the
   order of each; the queue gives no more of a group while one of its messages is in flight. A batch too large for one
   event is invoked in parts, one after the other, and a group that failed in one part has no message in the next.
6. A mapping that stops takes no more, and its running invocations end as any others. What it had taken and not yet
   handed to the function is left to the visibility timeout.

One loop takes for all the pollers that Lambda would have: in one process a receive takes no time. It waits on the
queue, never polls it. Knows a queue by the `Queue` protocol and a function by `Invoke`.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html, services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from localcloud.compute.event_source import CALL_FAILED, INTERNAL_ERROR, NOTHING_YET, Criteria
from localcloud.compute.event_source_sqs_batches import RECEIVE_MESSAGES, Batches, Limits, Queue, Taken, split
from localcloud.compute.event_source_sqs_scaling import MAX_CONCURRENCY, ProvisionedScaling, Scaling, StandardScaling
from localcloud.compute.functions import InvokeResult
from localcloud.compute.sqs_event import build_event, read_failures
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.sqs.errors import SqsError
from localcloud.services.sqs.message import Message
from sluiceway.errors import Misconfigured

__all__ = ["MAX_BATCH_FIFO", "Invoke", "Queue", "SqsMapping", "SqsMappingConfig"]

log = logging.getLogger(__name__)

MAX_BATCH_FIFO: Final = 10  # services-sqs-parameters: a receive gives no more, and there is no batching window
ACCOUNT_CONCURRENCY: Final = 1_000  # gettingstarted-limits: what an account has until it asks for more
_DEFAULT_MAX_POLLERS: Final = 200  # API_ProvisionedPollerConfig
_DEFAULT_MIN_POLLERS: Final = 2
_FIRST_BACKOFF_S: Final = 0.5
_MAX_BACKOFF_S: Final = 30.0
_MEND_S: Final = 1.0


class Invoke(Protocol):
    """Invokes the mapping's function synchronously. Raises LambdaError."""

    async def __call__(self, payload: bytes, batch: Sequence[Message]) -> InvokeResult:
        """The function's answer to the event of a batch."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsMappingConfig:
    """`batch_size` 1-10000 (over 10 needs a window), `window_s` 0-300, `max_concurrency` 2-1000 or None.

    Provisioned mode: `minimum_pollers` 2-200, `maximum_pollers` 2-10000; None for both is standard mode, one of them
    alone leaves the other at its default (2 and 200). `account_concurrency`: what the account's functions may have at a
    time, beyond which no mapping in standard mode grows.
    """

    batch_size: int = 10
    window_s: float = 0.0
    max_concurrency: int | None = None
    report_failures: bool = False
    minimum_pollers: int | None = None
    maximum_pollers: int | None = None
    account_concurrency: int = ACCOUNT_CONCURRENCY


class SqsMapping:
    """One mapping; `run()` until stopped or cancelled, or until its queue is gone. May be run again after that."""

    def __init__(
        self,
        queue: Queue,
        invoke: Invoke,
        config: SqsMappingConfig,
        *,
        rng: random.Random,
        criteria: Criteria | None = None,
    ) -> None:
        """Raises Misconfigured for settings that Lambda takes from nobody together."""
        self._queue = queue
        self._invoke = invoke
        self._reports = config.report_failures
        self._rng = rng
        self._is_fifo = queue.arn.endswith(".fifo")
        _check(config, is_fifo=self._is_fifo)
        self._scaling = _scaling(config, is_fifo=self._is_fifo)
        limits = Limits(config.batch_size, config.window_s, self._is_fifo)
        self._batches = Batches(queue, limits, criteria=criteria, scaling=self._scaling)
        self._in_flight = 0
        self._freed = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._last_result = NOTHING_YET

    @property
    def in_flight(self) -> int:
        """How many invocations run now."""
        return self._in_flight

    @property
    def last_result(self) -> str:
        """The API's LastProcessingResult: "No records processed", "OK" or "PROBLEM: ..."."""
        return self._last_result

    async def run(self) -> None:
        """Take, batch and invoke. Cancelling it cancels the invocations too: their messages come again."""
        self._ended.clear()
        self._stopping.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._polling = group.create_task(self._poll(group))
        finally:
            self._polling = None
            self._ended.set()

    async def stop(self) -> None:
        """Take no more, and come back when the running invocations have ended and what succeeded is deleted."""
        self._stopping.set()
        if self._polling is not None:
            self._polling.cancel()
            await self._ended.wait()

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._wait_for_room()
            try:
                batch = await self._batches.gather()
            except Exception as error:
                if isinstance(error, SqsError) and error.code == "QueueDoesNotExist":
                    self._last_result = f"PROBLEM: Queue not found: {self._queue.arn}"
                    log.info("mapping.queue_gone", extra={"queue": self._queue.arn})
                    return
                self._last_result = INTERNAL_ERROR
                log.exception("mapping.receive_failed", extra={"queue": self._queue.arn})
                await asyncio.sleep(_MEND_S)
                continue
            if batch:
                self._in_flight += 1
                group.create_task(self._process(batch))
            await asyncio.sleep(0)

    async def _wait_for_room(self) -> None:
        scaling = self._scaling
        while self._in_flight >= scaling.allowed:
            self._freed.clear()
            try:
                async with asyncio.timeout(scaling.every_s if scaling.can_grow else None):
                    await self._freed.wait()
            except TimeoutError:
                scaling.grow()

    async def _process(self, batch: list[Taken]) -> None:
        try:
            await self._deliver(batch)
        except Exception:
            self._last_result = INTERNAL_ERROR
            log.exception("mapping.batch_failed", extra={"queue": self._queue.arn, "messages": len(batch)})
        finally:
            self._in_flight -= 1
            self._freed.set()

    async def _deliver(self, batch: list[Taken]) -> None:
        """Invoke with the batch, or with its parts in order; a group that has failed is passed over."""
        now = asyncio.get_running_loop().time
        failed = frozenset[str]()
        for number, part in enumerate(split(batch)):
            if number and self._stopping.is_set():
                return
            left = [
                taken for taken in part if taken.group_id not in failed and (not number or taken.expires_at > now())
            ]
            ids = await self._handle(left) if left else frozenset[str]()
            kept = {taken.message.message_id for taken in left} - ids
            failed |= {taken.group_id for taken in part if taken.message.message_id not in kept}

    async def _handle(self, batch: list[Taken]) -> frozenset[str]:
        """Invoke once, and delete what succeeded. The ids of what failed."""
        ids = [taken.message.message_id for taken in batch]
        result = await self._call(batch)
        if result is None:
            self._last_result = CALL_FAILED
            return frozenset(ids)
        failed = self._judge(result, ids)
        for number, taken in enumerate(batch, 1):
            if taken.message.message_id not in failed:
                await self._delete(taken)
            if not number % RECEIVE_MESSAGES:
                await asyncio.sleep(0)
        return failed

    async def _call(self, batch: list[Taken]) -> InvokeResult | None:
        """The function's answer; None where it was throttled until the messages were visible again, or a stop."""
        loop = asyncio.get_running_loop()
        payload = build_event([taken.record for taken in batch])
        messages = [taken.message for taken in batch]
        expires_at = min(taken.expires_at for taken in batch)
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                return await self._invoke(payload, messages)
            except LambdaError as error:
                self._scaling.lower(self._in_flight)
                wait_s = backoff_s * (0.5 + self._rng.random() / 2)
                if error.status != 429 or loop.time() + wait_s >= expires_at or await self._stops_within(wait_s):
                    log.info("mapping.batch_given_back", extra={"queue": self._queue.arn, "code": error.code})
                    return None
                backoff_s = min(backoff_s * 2, _MAX_BACKOFF_S)

    async def _stops_within(self, wait_s: float) -> bool:
        """Wait so long, but not beyond a stop; whether there was one."""
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _judge(self, result: InvokeResult, ids: Sequence[str]) -> frozenset[str]:
        """Which messages failed; the concurrency follows."""
        if result.function_error:
            failed = frozenset(ids)
        else:
            failed = read_failures(result.payload, ids) if self._reports else frozenset[str]()
        if failed and not self._reports:
            self._scaling.lower(self._in_flight)
        elif not failed:
            self._scaling.succeed()
        self._last_result = CALL_FAILED if result.function_error else "OK"
        return failed

    async def _delete(self, taken: Taken) -> None:
        try:
            await self._queue.delete(taken.message.receipt_handle)
        except SqsError as error:  # a FIFO queue refuses a handle that has expired: the message comes again
            log.info("mapping.delete_refused", extra={"queue": self._queue.arn, "code": error.code})


def _check(config: SqsMappingConfig, *, is_fifo: bool) -> None:
    is_provisioned = config.minimum_pollers is not None or config.maximum_pollers is not None
    if is_fifo and config.window_s:
        raise Misconfigured("Batching window is not supported for FIFO queues", what="MaximumBatchingWindowInSeconds")
    if is_fifo and config.batch_size > MAX_BATCH_FIFO:
        raise Misconfigured(f"a FIFO queue's batch has at most {MAX_BATCH_FIFO} messages", what="BatchSize")
    if is_provisioned and config.max_concurrency is not None:
        raise Misconfigured("there is a maximum concurrency already", what="ProvisionedPollerConfig")


def _scaling(config: SqsMappingConfig, *, is_fifo: bool) -> Scaling:
    if config.minimum_pollers is not None or config.maximum_pollers is not None:
        fewest = config.minimum_pollers or min(_DEFAULT_MIN_POLLERS, config.maximum_pollers or _DEFAULT_MIN_POLLERS)
        return ProvisionedScaling(fewest, config.maximum_pollers or max(_DEFAULT_MAX_POLLERS, fewest))
    most = config.max_concurrency or min(MAX_CONCURRENCY, config.account_concurrency)
    return StandardScaling(most, ordered=is_fifo)
