"""The batch flow: what becomes of each message, in which order, until when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Rejected, Retryable
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import process_batch
from tests.fakes import Letter, MemoryDeadLetters

FOREVER = float("inf")


def message(number: int) -> SqsMessage:
    return SqsMessage(f"m{number}", f"r{number}", f"body {number}", {"job_id": f"j{number}"}, 1, 0, "arn:aws:sqs:x")


def batch(size: int) -> SqsBatch:
    return SqsBatch(tuple(message(number) for number in range(size)))


def raising(errors: dict[str, BaseException]) -> Callable[[SqsMessage], Awaitable[None]]:
    async def one(message: SqsMessage) -> None:
        await asyncio.sleep(0)
        if message.message_id in errors:
            raise errors[message.message_id]

    return one


async def test_each_message_meets_its_own_fate() -> None:
    """Done, poison (buried with its reason), later (back) and unknown (back) do not touch one another."""
    letters = MemoryDeadLetters()
    one = raising(
        {
            "m1": Rejected("too long", reason="invalid-body", field="prompt"),
            "m2": Retryable("later"),
            "m3": ValueError("a bug"),
            "m4": asyncio.CancelledError(),
        }
    )
    report = await process_batch(batch(6), one, dead_letters=letters, deadline=FOREVER)
    assert report == BatchReport(failed=("m2", "m3", "m4"))
    assert letters.letters == [Letter("body 1", "invalid-body", "too long", {"job_id": "j1"})]


async def test_poison_that_cannot_be_buried_goes_back() -> None:
    """A message is never forgotten before the dead-letter queue has it."""
    letters = MemoryDeadLetters()
    letters.trouble.next_before = 1
    one = raising({"m0": Rejected("bad", reason="invalid-body")})
    assert await process_batch(batch(1), one, dead_letters=letters, deadline=FOREVER) == BatchReport(failed=("m0",))
    assert letters.letters == []


async def test_an_empty_batch_is_done() -> None:
    """Nothing in, nothing back."""
    report = await process_batch(batch(0), raising({}), dead_letters=MemoryDeadLetters(), deadline=FOREVER)
    assert report == BatchReport()


def test_never_more_than_concurrency_at_a_time_and_in_delivery_order() -> None:
    """40 messages at concurrency 4: four workers, starts in order, ten rounds of one second."""

    async def run() -> tuple[int, list[str], float, int]:
        running, peak, started, tasks = 0, 0, [], 0

        async def one(message: SqsMessage) -> None:
            nonlocal running, peak, tasks
            running += 1
            peak, tasks = max(peak, running), max(tasks, len(asyncio.all_tasks()))
            started.append(message.message_id)
            await asyncio.sleep(1)
            running -= 1

        await process_batch(batch(40), one, dead_letters=MemoryDeadLetters(), deadline=FOREVER, concurrency=4)
        return peak, started, asyncio.get_running_loop().time(), tasks

    peak, started, took_s, tasks = run_virtual(run)
    assert (peak, took_s, tasks) == (4, pytest.approx(10.0), 5)
    assert started == [f"m{number}" for number in range(40)]


def test_the_deadline_returns_what_is_unfinished_and_keeps_what_is_done() -> None:
    """At the deadline the running ones are cancelled, the waiting ones never start, the done ones stay done."""

    async def run() -> tuple[BatchReport, list[str], list[str], float, int]:
        started, cancelled = [], []

        async def one(message: SqsMessage) -> None:
            started.append(message.message_id)
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                cancelled.append(message.message_id)
                raise

        report = await process_batch(batch(6), one, dead_letters=MemoryDeadLetters(), deadline=3.0, concurrency=2)
        return report, started, cancelled, asyncio.get_running_loop().time(), len(asyncio.all_tasks())

    report, started, cancelled, ended_s, tasks = run_virtual(run)
    assert report == BatchReport(failed=("m2", "m3", "m4", "m5"))
    assert started == ["m0", "m1", "m2", "m3"]
    assert cancelled == ["m2", "m3"]
    assert (ended_s, tasks) == (pytest.approx(3.0), 1)


def test_a_cancelled_invocation_leaves_no_task_and_says_so() -> None:
    """Cancelling the flow cancels its workers and is not swallowed."""

    async def run() -> int:
        async def one(_message: SqsMessage) -> None:
            await asyncio.sleep(100)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(process_batch(batch(5), one, dead_letters=MemoryDeadLetters(), deadline=FOREVER))
            await asyncio.sleep(1)
            task.cancel()
        assert task.cancelled()
        return len(asyncio.all_tasks())

    assert run_virtual(run) == 1


async def test_one_stray_cancellation_does_not_stop_the_rest() -> None:
    """A CancelledError from inside a handler is that message's trouble: later messages of the same worker still run."""
    one = raising({"m0": asyncio.CancelledError()})
    report = await process_batch(batch(5), one, dead_letters=MemoryDeadLetters(), deadline=FOREVER, concurrency=1)
    assert report == BatchReport(failed=("m0",))


async def test_logs_never_hold_a_payload(capsys: pytest.CaptureFixture[str]) -> None:
    """Bodies and the words of unknown errors stay out of the log; types and reasons are there."""
    secret = "SECRET-PROMPT"
    one = raising({"m0": ValueError(secret), "m1": Rejected(secret, reason="invalid-body")})
    await process_batch(batch(2), one, dead_letters=MemoryDeadLetters(), deadline=FOREVER)
    printed = capsys.readouterr().out
    assert secret not in printed
    assert "body 0" not in printed
    assert "ValueError" in printed
    assert "invalid-body" in printed
