"""The defects that were found in Powertools' batch processors, each as a test that would find it here.

And what a batch must survive besides: cancellations of every kind, handlers that never wait, the end of the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from localcloud.clock import VirtualLoop, run_virtual
from sluiceway.errors import Rejected, Retryable
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from tests.fakes import FixedChance, MemoryDeadLetters, MemoryRedelivery
from tests.flow.test_batch_order import FIFO, FOREVER, fifo, kinesis, place_of

Handler = Callable[[Any], Awaitable[None]]


def standard(size: int) -> SqsBatch:
    return SqsBatch(
        tuple(SqsMessage(f"m{at}", f"r{at}", "b", {}, 1, 0, FIFO.removesuffix(".fifo")) for at in range(size))
    )


def process(
    batch: Any, one: Handler, *, deadline: float = FOREVER, concurrency: int = 10
) -> Coroutine[Any, Any, BatchReport]:
    desk = BatchDesk(MemoryDeadLetters(), MemoryRedelivery(), FixedChance(), 360)
    return process_batch(batch, one, desk=desk, deadline=deadline, concurrency=concurrency)


def cancel_me() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def test_concurrency_is_bounded() -> None:
    """Defect: `asyncio.gather` over the batch: 10,000 of 10,000 records are in flight at once."""

    async def run() -> tuple[int, int]:
        running = peak = tasks = 0

        async def one(_message: Any) -> None:
            nonlocal running, peak, tasks
            running += 1
            peak, tasks = max(peak, running), max(tasks, len(asyncio.all_tasks()))
            await asyncio.sleep(1)
            running -= 1

        await process(standard(10_000), one, concurrency=20)
        return peak, tasks

    assert run_virtual(run) == (20, 21)


async def test_it_is_awaited_inside_a_running_loop() -> None:
    """Defect: `async_process_partial_response` is no coroutine: it runs a loop of its own, and fails inside one."""

    async def one(_message: Any) -> None:
        await asyncio.sleep(0)

    assert await process(standard(3), one) == BatchReport()


def test_nothing_outlives_a_cancelled_record() -> None:
    """Defect: a CancelledError in one record fails the whole batch, and its siblings finish in the next invocation."""

    async def run() -> tuple[BatchReport, int, list[int]]:
        ended: list[int] = []

        async def one(message: Any) -> None:
            if place_of(message) == 1:
                raise asyncio.CancelledError
            await asyncio.sleep(5)
            ended.append(place_of(message))

        report = await process(standard(4), one)
        tasks = len(asyncio.all_tasks())
        await asyncio.sleep(100)  # the next invocation on the same loop
        return report, tasks, sorted(ended)

    assert run_virtual(run) == (BatchReport(("m1",)), 1, [0, 2, 3])


@pytest.mark.parametrize("make", [fifo, kinesis])
def test_order_is_kept_with_asynchronous_handlers(make: Callable[..., Any]) -> None:
    """Defect: FIFO and Kinesis batches are accepted by the asynchronous processor, and their order is reversed where
    earlier records take longer.
    """

    async def run() -> list[int]:
        ended: list[int] = []

        async def one(record: Any) -> None:
            await asyncio.sleep(10 - place_of(record))
            ended.append(place_of(record))

        await process(make(*["a"] * 6), one)
        return ended

    assert run_virtual(run) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("make", "failed"), [(fifo, ("m1", "m2", "m3", "m4")), (kinesis, ("101",))])
def test_a_lane_stops_at_its_first_failure(make: Callable[..., Any], failed: tuple[str, ...]) -> None:
    """Defect: of five Kinesis records of which the second fails, all five are handled, and three again on the retry."""

    async def run() -> tuple[BatchReport, list[int]]:
        handled: list[int] = []

        async def one(record: Any) -> None:
            handled.append(place_of(record))
            if place_of(record) == 1:
                raise Retryable("later")

        return await process(make(*["a"] * 5), one), handled

    assert run_virtual(run) == (BatchReport(failed), [0, 1])


def test_two_batches_at_once_do_not_mix() -> None:
    """Defect: results live on the processor, so two batches at once on one instance report each other's records."""

    async def run() -> list[BatchReport]:
        desk = BatchDesk(MemoryDeadLetters(), MemoryRedelivery(), FixedChance(), 360)

        async def one(message: Any) -> None:
            await asyncio.sleep(1)
            if place_of(message) % 2:
                raise Retryable("later")

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(process_batch(batch, one, desk=desk, deadline=FOREVER))
                for batch in (standard(4), fifo("a", "b"), standard(2))
            ]
        return [task.result() for task in tasks]

    assert run_virtual(run) == [BatchReport(("m1", "m3")), BatchReport(("m1",)), BatchReport(("m1",))]


def test_all_failing_is_a_report_like_any_other() -> None:
    """Defect: where all fail it raises, and the function's log has a stack trace for a throttled minute."""

    async def one(_message: Any) -> None:
        raise Retryable("later")

    assert run_virtual(lambda: process(standard(3), one)) == BatchReport(("m0", "m1", "m2"))


def test_the_deadline_ends_the_batch_not_the_environment() -> None:
    """Defect: no deadline: a slow record lets Lambda kill the function, and the whole batch fails."""

    async def run() -> tuple[BatchReport, float]:
        async def one(message: Any) -> None:
            await asyncio.sleep(100 if place_of(message) == 1 else 1)

        return await process(standard(3), one, deadline=20.0), asyncio.get_running_loop().time()

    report, ended_s = run_virtual(run)
    assert (report, ended_s) == (BatchReport(("m1",)), pytest.approx(19.5))


# ---------------------------------------------------------------- what else a record may do to its batch


@pytest.mark.parametrize(
    "make", [standard, lambda size: fifo(*"abcdefgh"[:size]), lambda size: kinesis(*"abcdefgh"[:size])]
)
def test_a_record_that_cancels_its_own_task_fails_alone(make: Callable[[int], Any]) -> None:
    """`current_task().cancel()` would end the worker, and the records that it had not begun would never begin."""

    async def run() -> tuple[BatchReport, list[int]]:
        ended: list[int] = []

        async def one(record: Any) -> None:
            if place_of(record) == 2:
                cancel_me()
            await asyncio.sleep(1)
            ended.append(place_of(record))

        return await process(make(4), one, concurrency=1), ended

    report, ended = run_virtual(run)
    assert (report.failed, ended) in [(("m2",), [0, 1, 3]), (("102",), [0, 1])]


def test_a_cancellation_that_a_record_left_behind_does_not_hit_the_next() -> None:
    """A record asks for its own cancellation and returns: it is done, and the one after it is not touched."""

    async def run() -> tuple[BatchReport, list[int]]:
        ended: list[int] = []

        async def one(record: Any) -> None:
            if place_of(record) == 0:
                cancel_me()
                return
            await asyncio.sleep(1)
            ended.append(place_of(record))

        return await process(standard(3), one, concurrency=1), ended

    assert run_virtual(run) == (BatchReport(), [1, 2])


def test_a_record_that_swallows_the_deadline_begins_nothing_more() -> None:
    """The cancellation at the deadline is ignored: that record ends as it likes, the next stays untouched."""

    async def run() -> tuple[BatchReport, list[int]]:
        begun: list[int] = []

        async def one(record: Any) -> None:
            begun.append(place_of(record))
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)

        return await process(standard(3), one, deadline=10.0, concurrency=1), begun

    assert run_virtual(run) == (BatchReport(("m1", "m2")), [0])


def test_a_record_that_swallows_the_end_of_the_invocation_begins_nothing_more() -> None:
    """The invocation is cancelled long before its deadline: the worker ends with the record that ignored it."""

    async def run() -> tuple[list[int], bool, int]:
        begun: list[int] = []

        async def one(record: Any) -> None:
            begun.append(place_of(record))
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(process(standard(3), one, concurrency=1))
            await asyncio.sleep(1)
            task.cancel()
        return begun, task.cancelled(), len(asyncio.all_tasks())

    assert run_virtual(run) == ([0], True, 1)


def test_handlers_that_never_wait_stop_at_the_deadline_too() -> None:
    """No timer runs while they do: the clock is asked before each record."""

    async def run() -> BatchReport:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def one(_record: Any) -> None:
            loop._jumping.jumped_s += 1.0  # a second of work, without a turn of the loop

        return await process(standard(10), one, deadline=4.5, concurrency=3)

    assert run_virtual(run) == BatchReport(("m5", "m6", "m7", "m8", "m9"))


@pytest.mark.parametrize("port", ["dead letters", "redelivery"])
@pytest.mark.parametrize("make", [standard, lambda size: fifo(*"abcdefgh"[:size])])
def test_a_port_that_is_cancelled_costs_no_worker(make: Callable[[int], Any], port: str) -> None:
    """A client that closes cancels what it was doing: that message goes back, and the only worker goes on."""

    class Letters(MemoryDeadLetters):
        async def send(self, body: str, **_options: Any) -> None:
            raise asyncio.CancelledError

    class Returns(MemoryRedelivery):
        async def return_after(self, receipt_handle: str, delay_s: int) -> None:
            raise asyncio.CancelledError

    async def run() -> tuple[BatchReport, list[int]]:
        ended: list[int] = []

        async def one(record: Any) -> None:
            if place_of(record) == 0:
                raise Rejected("bad", reason="bad") if port == "dead letters" else Retryable("later")
            ended.append(place_of(record))

        returns = Returns() if port == "redelivery" else MemoryRedelivery()
        desk = BatchDesk(Letters(), returns, FixedChance(), 360)
        return await process_batch(make(4), one, desk=desk, deadline=FOREVER, concurrency=1), ended

    assert run_virtual(run) == (BatchReport(("m0",)), [1, 2, 3])


def test_a_port_that_fails_as_it_is_cancelled_spoils_no_report() -> None:
    """At the deadline a client makes an error of its cancellation: the report is made all the same, and in time."""

    class Letters(MemoryDeadLetters):
        async def send(self, body: str, **_options: Any) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError as error:
                raise ConnectionError from error

    class Returns(MemoryRedelivery):
        async def return_after(self, receipt_handle: str, delay_s: int) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError as error:
                raise ConnectionError from error

    async def run() -> tuple[BatchReport, float]:
        async def one(record: Any) -> None:
            if place_of(record) == 0:
                raise Rejected("bad", reason="bad")
            if place_of(record) == 1:
                await asyncio.sleep(18.9)
                raise Retryable("later")
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError as error:
                raise ConnectionError from error

        desk = BatchDesk(Letters(), Returns(), FixedChance(), 360)
        report = await process_batch(standard(3), one, desk=desk, deadline=20.0)
        return report, asyncio.get_running_loop().time()

    assert run_virtual(run) == (BatchReport(("m0", "m1", "m2")), pytest.approx(20.0))


def test_a_batch_in_somebodys_tidying_up_is_a_batch_like_any_other() -> None:
    """In a task that was cancelled before, a stray cancellation is one record's trouble all the same."""

    async def run() -> tuple[BatchReport, list[int]]:
        ended: list[int] = []

        async def one(record: Any) -> None:
            if place_of(record) == 0:
                raise asyncio.CancelledError
            ended.append(place_of(record))

        cancel_me()
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return await process(standard(3), one, concurrency=1), ended
        raise AssertionError

    assert run_virtual(run) == (BatchReport(("m0",)), [1, 2])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_the_end_of_the_process_passes_through(error: type[BaseException]) -> None:
    """It is no record's failure: nothing is reported, the others are cancelled, nothing is left."""
    cancelled: list[int] = []
    runner = asyncio.Runner(loop_factory=VirtualLoop)

    async def run() -> BatchReport:
        async def one(record: Any) -> None:
            if place_of(record) == 1:
                raise error
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cancelled.append(place_of(record))
                raise

        return await process(standard(3), one)

    with pytest.raises(error), runner:
        runner.run(run())
    assert cancelled == [0]  # the third had not begun


def test_a_failure_of_the_flow_itself_takes_its_workers_along() -> None:
    """A base error of a library that is no failure of a record ends the batch, and every other worker with it."""

    class Torn(BaseException):
        pass

    async def run() -> int:
        async def one(record: Any) -> None:
            if place_of(record) == 1:
                raise Torn
            await asyncio.sleep(100)

        with pytest.raises(BaseExceptionGroup) as caught:
            await process(standard(3), one)
        assert caught.group_contains(Torn)
        return len(asyncio.all_tasks())

    assert run_virtual(run) == 1


def test_what_a_task_group_wraps_is_what_it_is() -> None:
    """A handler with a task group of its own raises a group: one poison in it is poison, two errors are nobody's."""
    letters = MemoryDeadLetters()

    async def run() -> BatchReport:
        async def poison() -> None:
            raise Rejected("bad", reason="bad")

        async def bug() -> None:
            raise ValueError

        async def one(record: Any) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(poison())
                if place_of(record) == 1:
                    group.create_task(bug())

        desk = BatchDesk(letters, MemoryRedelivery(), FixedChance(), 360)
        return await process_batch(standard(2), one, desk=desk, deadline=FOREVER)

    assert run_virtual(run) == BatchReport(("m1",))
    assert [letter.reason for letter in letters.letters] == ["bad"]
