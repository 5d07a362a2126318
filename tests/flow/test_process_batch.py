"""The batch flow: what becomes of each message, in which order, until when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from localcloud.clock import run_virtual
from sluiceway.errors import Misconfigured, Rejected, Retryable, ServiceMisconfigured
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from tests.fakes import FixedChance, Letter, MemoryDeadLetters, MemoryRedelivery

FOREVER = float("inf")


def message(number: int, *, receive: int = 1) -> SqsMessage:
    attributes = {"job_id": f"j{number}"}
    return SqsMessage(f"m{number}", f"r{number}", f"body {number}", attributes, receive, 0, "arn:aws:sqs:x")


def batch(size: int) -> SqsBatch:
    return SqsBatch(tuple(message(number) for number in range(size)))


def desk(
    letters: MemoryDeadLetters | None = None,
    redelivery: MemoryRedelivery | None = None,
    *,
    chance: float = 1.0,
    visibility_s: int = 360,
) -> BatchDesk:
    return BatchDesk(
        letters or MemoryDeadLetters(), redelivery or MemoryRedelivery(), FixedChance(chance), visibility_s
    )


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
    report = await process_batch(batch(6), one, desk=desk(letters), deadline=FOREVER)
    assert report == BatchReport(failed=("m2", "m3", "m4"))
    assert letters.letters == [Letter("body 1", "invalid-body", "too long", {"job_id": "j1"})]


async def test_poison_that_cannot_be_buried_goes_back() -> None:
    """A message is never forgotten before the dead-letter queue has it."""
    letters = MemoryDeadLetters()
    letters.trouble.next_before = 1
    one = raising({"m0": Rejected("bad", reason="invalid-body")})
    assert await process_batch(batch(1), one, desk=desk(letters), deadline=FOREVER) == BatchReport(failed=("m0",))
    assert letters.letters == []


async def test_an_empty_batch_is_done() -> None:
    """Nothing in, nothing back."""
    report = await process_batch(batch(0), raising({}), desk=desk(), deadline=FOREVER)
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

        await process_batch(batch(40), one, desk=desk(), deadline=FOREVER, concurrency=4)
        return peak, started, asyncio.get_running_loop().time(), tasks

    peak, started, took_s, tasks = run_virtual(run)
    assert (peak, took_s, tasks) == (4, pytest.approx(10.0), 5)
    assert started == [f"m{number}" for number in range(40)]


def test_the_deadline_returns_what_is_unfinished_and_keeps_what_is_done() -> None:
    """Just before the deadline the running ones are cancelled, the waiting ones never start, the done ones stay done.

    What is unfinished comes back at once: nothing is wrong with it.
    """
    redelivery = MemoryRedelivery()

    async def run() -> tuple[BatchReport, list[str], list[str], float, int]:
        started, cancelled = [], []

        async def one(message: SqsMessage) -> None:
            started.append(message.message_id)
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                cancelled.append(message.message_id)
                raise

        report = await process_batch(batch(6), one, desk=desk(None, redelivery), deadline=3.0, concurrency=2)
        return report, started, cancelled, asyncio.get_running_loop().time(), len(asyncio.all_tasks())

    report, started, cancelled, ended_s, tasks = run_virtual(run)
    assert report == BatchReport(failed=("m2", "m3", "m4", "m5"))
    assert started == ["m0", "m1", "m2", "m3"]
    assert sorted(cancelled) == ["m2", "m3"]  # a task group cancels in no order
    assert (ended_s, tasks) == (pytest.approx(2.7), 1)
    assert redelivery.asked == [("r2", 0), ("r3", 0), ("r4", 0), ("r5", 0)]


def test_a_cancelled_invocation_leaves_no_task_and_says_so() -> None:
    """Cancelling the flow cancels its workers, is not swallowed, and hands nothing back: nobody waits for it."""
    redelivery = MemoryRedelivery()

    async def run() -> int:
        async def one(_message: SqsMessage) -> None:
            await asyncio.sleep(100)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(process_batch(batch(5), one, desk=desk(None, redelivery), deadline=FOREVER))
            await asyncio.sleep(1)
            task.cancel()
        assert task.cancelled()
        return len(asyncio.all_tasks())

    assert run_virtual(run) == 1
    assert redelivery.asked == []


async def test_one_stray_cancellation_does_not_stop_the_rest() -> None:
    """A CancelledError from inside a handler is that message's trouble: later messages of the same worker still run."""
    one = raising({"m0": asyncio.CancelledError()})
    report = await process_batch(batch(5), one, desk=desk(), deadline=FOREVER, concurrency=1)
    assert report == BatchReport(failed=("m0",))


async def test_logs_never_hold_a_payload(capsys: pytest.CaptureFixture[str]) -> None:
    """Bodies and the words of unknown errors stay out of the log; types and reasons are there."""
    secret = "SECRET-PROMPT"
    one = raising({"m0": ValueError(secret), "m1": Rejected(secret, reason="invalid-body")})
    await process_batch(batch(2), one, desk=desk(), deadline=FOREVER)
    printed = capsys.readouterr().out
    assert secret not in printed
    assert "body 0" not in printed
    assert "ValueError" in printed
    assert "invalid-body" in printed


@pytest.mark.parametrize(
    ("error", "receive", "delay_s"),
    [
        (Retryable("later"), 1, 2),
        (Retryable("later"), 2, 8),
        (Retryable("later"), 3, 32),
        (Retryable("later", after_s=41.2), 2, 42),
        (Retryable("later", after_s=0.01), 2, 8),
        (Retryable("later", after_s=86_400.0), 1, 300),
        (ValueError("a bug"), 2, 8),
        (asyncio.CancelledError(), 1, 2),
        (Misconfigured("JOBS_TABLE is gone", what="JOBS_TABLE"), 1, 60),
        (Misconfigured("JOBS_TABLE is gone", what="JOBS_TABLE"), 2, 240),
    ],
)
async def test_a_message_comes_back_after_its_back_off(error: BaseException, receive: int, delay_s: int) -> None:
    """Seconds first, four times as long each time, at least what the error says; minutes where somebody must mend."""
    redelivery = MemoryRedelivery()
    one = raising({"m7": error})
    messages = SqsBatch((message(7, receive=receive), message(8)))
    report = await process_batch(messages, one, desk=desk(None, redelivery), deadline=FOREVER)
    assert report == BatchReport(failed=("m7",))
    assert redelivery.asked == [("r7", delay_s)]


async def test_no_message_waits_longer_than_the_queue_would_hide_it() -> None:
    """Asking for more than the visibility timeout would make the wait longer than doing nothing."""
    redelivery = MemoryRedelivery()
    one = raising({"m0": Retryable("later", after_s=50.0)})
    await process_batch(batch(1), one, desk=desk(None, redelivery, visibility_s=6), deadline=FOREVER)
    assert redelivery.asked == [("r0", 6)]


async def test_messages_that_fail_together_do_not_come_back_together() -> None:
    """Chance spreads each wait over its upper half."""
    asked: set[tuple[str, int]] = set()
    for chance in (0.0, 0.5, 1.0):
        redelivery = MemoryRedelivery()
        messages = SqsBatch((message(0, receive=3),))
        one = raising({"m0": Retryable("later")})
        await process_batch(messages, one, desk=desk(None, redelivery, chance=chance), deadline=FOREVER)
        asked.update(redelivery.asked)
    assert asked == {("r0", 16), ("r0", 24), ("r0", 32)}


async def test_poison_that_was_not_taken_comes_back_like_the_rest() -> None:
    """The dead-letter queue is away: the message waits its back-off, and poison that was taken is not asked about."""
    letters, redelivery = MemoryDeadLetters(), MemoryRedelivery()
    letters.trouble.next_before = 1
    one = raising({"m0": Rejected("bad", reason="invalid-body"), "m1": Rejected("bad", reason="invalid-body")})
    report = await process_batch(batch(2), one, desk=desk(letters, redelivery), deadline=FOREVER, concurrency=1)
    assert (report, redelivery.asked) == (BatchReport(failed=("m0",)), [("r0", 2)])


async def test_a_wait_that_cannot_be_shortened_is_logged_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """The message goes back as it did, after the visibility timeout, and the others are not touched."""
    redelivery = MemoryRedelivery()
    redelivery.trouble.next_before = 1
    one = raising({"m0": Retryable("later"), "m1": Retryable("later")})
    report = await process_batch(batch(3), one, desk=desk(None, redelivery), deadline=FOREVER, concurrency=1)
    assert (report, redelivery.asked) == (BatchReport(failed=("m0", "m1")), [("r1", 2)])
    assert "message.return_slow" in capsys.readouterr().out


def test_a_queue_that_does_not_answer_holds_nobody_up() -> None:
    """Two seconds for shortening a wait, then the next message; and at the deadline the report is there."""

    class Silent(MemoryRedelivery):
        async def return_after(self, receipt_handle: str, delay_s: int) -> None:
            await asyncio.sleep(1000)

    async def run() -> tuple[BatchReport, float, float]:
        loop = asyncio.get_running_loop()
        one = raising({"m0": Retryable("later"), "m1": Retryable("later")})
        await process_batch(batch(3), one, desk=desk(None, Silent()), deadline=60.0, concurrency=1)
        first_s = loop.time()

        async def endless(_message: SqsMessage) -> None:
            await asyncio.sleep(1000)

        report = await process_batch(batch(40), endless, desk=desk(None, Silent()), deadline=60.0)
        return report, first_s, loop.time()

    report, first_s, ended_s = run_virtual(run)
    assert (len(report.failed), first_s, ended_s) == (40, pytest.approx(4.0), pytest.approx(60.0))


async def test_a_wrong_deployment_is_told_loudly_and_buries_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing permission fails every message: they go back, none to the dead letters, and the log has the code."""
    letters = MemoryDeadLetters()
    denied = ServiceMisconfigured(
        "dynamodb PutItem: AccessDeniedException: not authorized",
        service="dynamodb",
        operation="PutItem",
        code="AccessDeniedException",
    )
    one = raising({f"m{number}": denied for number in range(3)})
    report = await process_batch(batch(3), one, desk=desk(letters), deadline=FOREVER)
    assert (report, letters.letters) == (BatchReport(failed=("m0", "m1", "m2")), [])
    printed = capsys.readouterr().out
    assert printed.count('"message":"message.misconfigured"') == 3
    assert "AccessDeniedException" in printed
    assert "dynamodb:PutItem" in printed
