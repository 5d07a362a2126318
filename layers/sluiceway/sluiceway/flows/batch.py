"""A batch from a standard queue: bounded concurrency, partial failure, one deadline.

Owns what becomes of each message. It is done when its handler returns, or when it was poison (`Rejected`) and the
dead-letter queue took it with its reason. It goes back to the queue when it may succeed later (`Retryable`), when
nobody knows what is wrong (any other exception), when the dead-letter queue did not take it, and when the deadline came
first: what had not started stays untouched, what was running is cancelled. Must not know what a message means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

from sluiceway import log
from sluiceway.errors import Rejected, Retryable
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.ports import DeadLetters

__all__ = ["process_batch"]

DEFAULT_CONCURRENCY: Final = 10  # the template's BatchSize: every message of a batch starts at once


async def process_batch(
    batch: SqsBatch,
    one: Callable[[SqsMessage], Awaitable[None]],
    *,
    dead_letters: DeadLetters,
    deadline: float,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> BatchReport:
    """Hand each message to `one`, at most `concurrency` at a time, and report those that go back.

    `deadline` is on the event loop's clock (`loop.time()`). Returns at the deadline at the latest, apart from what
    `one` needs to end when it is cancelled; no task outlives the call. Messages start in delivery order and may end in
    any.
    """
    done: set[str] = set()
    waiting = iter(batch.messages)
    settle = partial(_settle, one=one, dead_letters=dead_letters)
    try:
        async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(batch.messages))):
                workers.create_task(_work(waiting, settle, done))
    except TimeoutError:
        log.warning("batch.deadline", unfinished=len(batch.messages) - len(done))
    failed = tuple(message.message_id for message in batch.messages if message.message_id not in done)
    log.info("batch.settled", messages=len(batch.messages), failed=len(failed))
    return BatchReport(failed=failed)


async def _work(waiting: Iterator[SqsMessage], settle: Callable[[SqsMessage], Awaitable[bool]], done: set[str]) -> None:
    """Settle messages until none waits. One worker a slot, not one task a message: memory stays flat."""
    for message in waiting:
        with log.bound(
            message_id=message.message_id,
            receive_count=message.receive_count,
            correlation_id=message.attributes.get("correlation_id"),
        ):
            if await settle(message):
                done.add(message.message_id)


async def _settle(message: SqsMessage, one: Callable[[SqsMessage], Awaitable[None]], dead_letters: DeadLetters) -> bool:
    """True when the queue may forget the message."""
    try:
        await one(message)
    except Rejected as error:
        return await _bury(message, error, dead_letters)
    except Retryable as error:
        log.warning("message.returned", error_type=type(error).__name__)
        return False
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        log.failure("message.returned", error)  # somebody's stray cancellation, not ours: one message's trouble
        return False
    except Exception as error:  # noqa: BLE001 - once a record: an unknown error must not take the batch with it
        log.failure("message.returned", error)
        return False
    return True


async def _bury(message: SqsMessage, error: Rejected, dead_letters: DeadLetters) -> bool:
    log.failure("message.rejected", error)
    try:
        await dead_letters.send(message.body, reason=error.reason, detail=str(error), attributes=message.attributes)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the message must not be lost: it goes back
        log.failure("message.returned", failure)
        return False
    return True


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
