"""A batch from a standard queue: bounded concurrency, partial failure, one deadline.

Owns what becomes of each message. It is done when its handler returns, or when it was poison (`Rejected`) and the
dead-letter queue took it with its reason. It goes back to the queue when it may succeed later (`Retryable`), when the
deployment is wrong (`Misconfigured`), when nobody knows what is wrong (any other exception) and when the dead-letter
queue did not take it: such a message comes back after a back-off, not after the queue's whole visibility timeout. When
the deadline comes first, what had not started stays untouched and what was running is cancelled; nothing is wrong with
these, so they come back at once. Must not know what a message means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sluiceway import log
from sluiceway.cancellation import is_being_cancelled
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.ports import Chance, DeadLetters, Redelivery
from sluiceway.rules.backoff import FIRST_S, MENDING_FIRST_S, choose_return_s
from sluiceway.steps.metrics import count

__all__ = ["BatchDesk", "process_batch"]

DEFAULT_CONCURRENCY: Final = 10  # the template's BatchSize: every message of a batch starts at once
HAND_BACK_S: Final = 0.5  # kept of the invocation for cancelling and for handing messages back
HAND_BACK_SHARE: Final = 0.1  # never more than this share of a short invocation
HAND_BACK_AT_ONCE: Final = 10  # requests
RETURN_LIMIT_S: Final = 2.0  # a slow queue must not hold up the messages that wait


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """What settling a batch needs. `visibility_s`: after so long the queue shows a message again by itself."""

    dead_letters: DeadLetters
    redelivery: Redelivery
    chance: Chance
    visibility_s: int


@dataclass(frozen=True, slots=True)
class _Fates:
    """Ids of the messages that are done, and of those that went back for a reason of their own."""

    done: set[str] = field(default_factory=set[str])
    back: set[str] = field(default_factory=set[str])


async def process_batch(
    batch: SqsBatch,
    one: Callable[[SqsMessage], Awaitable[None]],
    *,
    desk: BatchDesk,
    deadline: float,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> BatchReport:
    """Hand each message to `one`, at most `concurrency` at a time, and report those that go back.

    `deadline` is on the event loop's clock (`loop.time()`). Up to half a second before it the work stops, so that what
    is unfinished can be handed back by then. Returns at the deadline at the latest, apart from what `one` needs to end
    when it is cancelled; no task outlives the call. Messages start in delivery order and may end in any.
    """
    fates = _Fates()
    waiting = iter(batch.messages)

    async def settle(message: SqsMessage) -> None:
        delay_s = await _settle(message, one, desk)
        if delay_s is None:
            fates.done.add(message.message_id)
        else:
            fates.back.add(message.message_id)
            await _return(message, delay_s, desk)

    try:
        async with asyncio.timeout_at(deadline - _reserve_s(deadline)), asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(batch.messages))):
                workers.create_task(_work(waiting, settle))
    except TimeoutError:
        log.warning("batch.deadline", unfinished=len(batch.messages) - len(fates.done))
    failed = tuple(message for message in batch.messages if message.message_id not in fates.done)
    await _hand_back([message for message in failed if message.message_id not in fates.back], desk, deadline)
    log.info("batch.settled", messages=len(batch.messages), failed=len(failed))
    return BatchReport(failed=tuple(message.message_id for message in failed))


def _reserve_s(deadline: float) -> float:
    remaining_s = max(0.0, deadline - asyncio.get_running_loop().time())
    return min(HAND_BACK_S, remaining_s * HAND_BACK_SHARE)


async def _work(waiting: Iterator[SqsMessage], settle: Callable[[SqsMessage], Awaitable[None]]) -> None:
    """Settle messages until none waits. One worker a slot, not one task a message: memory stays flat."""
    for message in waiting:
        with log.bound(
            message_id=message.message_id,
            receive_count=message.receive_count,
            correlation_id=message.attributes.get("correlation_id"),
        ):
            await settle(message)


async def _settle(message: SqsMessage, one: Callable[[SqsMessage], Awaitable[None]], desk: BatchDesk) -> int | None:
    """None when the queue may forget the message, else how many seconds it waits before it comes back."""
    try:
        await one(message)
    except Rejected as error:
        return None if await _bury(message, error, desk.dead_letters) else _wait_s(message, desk)
    except Misconfigured as error:
        count("Misconfigured")
        log.failure("message.misconfigured", error)  # every message will fail so until somebody mends the deployment
        return _wait_s(message, desk, first_s=MENDING_FIRST_S)
    except Retryable as error:
        delay_s = _wait_s(message, desk, after_s=error.after_s)
        log.warning("message.returned", error_type=type(error).__name__, delay_s=delay_s)
        return delay_s
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        log.failure("message.returned", error)  # somebody's stray cancellation, not ours: one message's trouble
        return _wait_s(message, desk)
    except Exception as error:  # noqa: BLE001 - once a record: an unknown error must not take the batch with it
        log.failure("message.returned", error)
        return _wait_s(message, desk)
    return None


async def _bury(message: SqsMessage, error: Rejected, dead_letters: DeadLetters) -> bool:
    log.failure("message.rejected", error)
    try:
        await dead_letters.send(message.body, reason=error.reason, detail=str(error), attributes=message.attributes)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the message must not be lost: it goes back
        log.failure("message.returned", failure)
        return False
    return True


def _wait_s(message: SqsMessage, desk: BatchDesk, *, after_s: float | None = None, first_s: float = FIRST_S) -> int:
    return choose_return_s(
        receive_count=message.receive_count,
        chance=desk.chance.draw(),
        longest_s=desk.visibility_s,
        after_s=after_s,
        first_s=first_s,
    )


async def _return(message: SqsMessage, delay_s: int, desk: BatchDesk) -> None:
    """Shorten the message's wait. Where that fails it waits for the visibility timeout, and nothing else is lost."""
    try:
        async with asyncio.timeout(RETURN_LIMIT_S):
            await desk.redelivery.return_after(message.receipt_handle, delay_s)
    except Exception as failure:  # noqa: BLE001 - harmless, whatever it is
        log.failure("message.return_slow", failure, message_id=message.message_id)


async def _hand_back(untouched: Sequence[SqsMessage], desk: BatchDesk, deadline: float) -> None:
    """Let messages that nothing is wrong with come back at once; those that the deadline overtakes come back later."""
    waiting = iter(untouched)
    try:
        async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as workers:
            for _ in range(min(HAND_BACK_AT_ONCE, len(untouched))):
                workers.create_task(_hand_back_each(waiting, desk))
    except TimeoutError:
        log.warning("batch.return_slow", messages=len(untouched))


async def _hand_back_each(waiting: Iterator[SqsMessage], desk: BatchDesk) -> None:
    for message in waiting:
        await _return(message, 0, desk)
