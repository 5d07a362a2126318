"""A batch from a queue or a shard: bounded concurrency, order where the source has one, partial failure, one deadline.

Owns what becomes of each record, and in which order. A record is done when its handler returns, or when it was poison
(`Rejected`) and the dead letters took it with its reason. It comes again when it may succeed later (`Retryable`), when
the deployment is wrong (`Misconfigured`), when nobody knows what is wrong (any other exception), when the dead letters
did not take it, and when the deadline came first. The rules, by source (docs/batch.md has them with their reasons):

1. Standard queue: messages do not wait for one another, and each goes back alone, after a back-off; what the deadline
   left untouched goes back at once.
2. FIFO queue: a lane for each message group; at its first failure a lane stops, and the failed message goes back with
   all later ones of its group, after one wait for all. No message of a group is delivered while another is hidden, so
   no wait can break the order.
3. Shard (Kinesis, DynamoDB): a lane for each partition key or item. Lambda reads on from one sequence number, the
   lowest that is unfinished, so what lies beyond a failure comes again whatever becomes of it: it is not begun.

One worker a slot, not one task a record or lane: memory is flat in the batch. No task outlives the call. Must not know
what a record means.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast

from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable, find_cause
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.ports import Chance, DeadLetters, Redelivery, SystemChance
from sluiceway.rules.backoff import FIRST_S, MENDING_FIRST_S, choose_return_s
from sluiceway.steps.metrics import count

if TYPE_CHECKING:
    from sluiceway.events.batch import Batch, Record

__all__ = ["BatchDesk", "process_batch"]

DEFAULT_CONCURRENCY: Final = 10  # the template's BatchSize: every message of a batch starts at once
HAND_BACK_S: Final = 0.5  # kept of the invocation for cancelling and for handing messages back
HAND_BACK_SHARE: Final = 0.1  # never more than this share of a short invocation
HAND_BACK_AT_ONCE: Final = 10  # requests
RETURN_LIMIT_S: Final = 2.0  # a slow queue must not hold up the messages that wait

_Worker = asyncio.Task[Any]

_UNFINISHED, _DONE, _RETURNED = 0, 1, 2  # a byte a record


R = TypeVar("R", bound="Record")


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """What settling a batch needs.

    `redelivery`, `chance` and `visibility_s` are for queues: what hides a message for its back-off (None: it waits for
    the visibility timeout), the spread of the back-offs, and after how many seconds the queue shows a message again by
    itself. `beyond_failure` is for shards: records beyond a failure are begun all the same, though they come again.
    """

    dead_letters: DeadLetters
    redelivery: Redelivery | None = None
    chance: Chance = field(default_factory=SystemChance)
    visibility_s: int = 30  # SQS's default
    beyond_failure: bool = False


async def process_batch(
    batch: Batch[R],
    one: Callable[[R], Awaitable[None]],
    *,
    desk: BatchDesk,
    deadline: float,
    concurrency: int = DEFAULT_CONCURRENCY,
) -> BatchReport:
    """Hand each record to `one`, at most `concurrency` (1 or more) at a time, and report those that come again.

    `deadline` is on the event loop's clock (`loop.time()`). Up to half a second before it the work stops, so that what
    is unfinished can be handed back by then. Returns at the deadline at the latest, apart from what `one` needs to end
    when it is cancelled; no task outlives the call. Records start in delivery order, but for those that wait for an
    earlier one of their lane, and may end in any. A context variable that `one` sets stays set for later records.
    """
    if concurrency < 1:
        raise ValueError("concurrency is 1 or more")
    source: Any = _Queue if isinstance(cast("object", batch), SqsBatch) else _Shard
    run: _Run[R] = source(batch, one, desk)
    run.stop_at = deadline - _reserve_s(deadline)
    work = run.work_each if run.lane_of is None else run.work_lanes
    try:
        async with asyncio.timeout_at(run.stop_at), asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(batch.records))):
                workers.create_task(work())
    except TimeoutError:
        run.is_late = True
    if run.fates.count(_DONE) == len(batch.records):
        log.debug("batch.settled", messages=len(batch.records), failed=0)  # a line costs as much as ten records
        return BatchReport()
    unfinished = [record for record, fate in zip(batch.records, run.fates, strict=True) if fate != _DONE]
    if run.is_late:
        log.warning("batch.deadline", unfinished=len(unfinished))
    await run.hand_back(deadline)
    log.info("batch.settled", messages=len(batch.records), failed=len(unfinished))
    return batch.report(unfinished)


def _reserve_s(deadline: float) -> float:
    remaining_s = max(0.0, deadline - asyncio.get_running_loop().time())
    return min(HAND_BACK_S, remaining_s * HAND_BACK_SHARE)


class _Words(NamedTuple):
    """The names of a source's log events."""

    rejected: str
    misconfigured: str
    returned: str


class _Run(ABC, Generic[R]):
    """One call: which records have begun, how each ended, which lanes are busy. Lives as long as the call."""

    words: _Words

    def __init__(self, batch: Batch[R], one: Callable[[R], Awaitable[None]], desk: BatchDesk) -> None:
        self.records = batch.records
        self.lane_of = batch.lane_of
        self.desk = desk
        self.stop_at = 0.0
        self.is_late = False
        self.limit = len(self.records)  # from here on nothing begins
        self.fates = bytearray(self.limit)
        self._one = one
        self._waiting = iter(range(self.limit))
        self._loop = asyncio.get_running_loop()
        self._caller = cast("_Worker", asyncio.current_task())
        self._earlier = self._caller.cancelling()  # more than 0 where the call is part of somebody's tidying up
        # The lanes: of a busy one the last record that waits, of a record the next in its lane (0: none). A lane that
        # has stopped stays busy. Four bytes a record, and an entry a busy lane: no object a lane that waits.
        self._busy: dict[Hashable, int] = {}
        self._following = memoryview(bytearray(4 * self.limit if self.lane_of else 0)).cast("i")

    # ------------------------------------------------------------ the workers

    async def work_each(self) -> None:
        """Settle records until none waits.

        The clock is asked before each: a handler that never waits lets no timer run.
        """
        worker = cast("_Worker", asyncio.current_task())
        now, stop_at, settle = self._loop.time, self.stop_at, self._settle
        for at in self._waiting:
            if now() >= stop_at:
                self.is_late = True
                return
            await settle(at, worker)

    async def work_lanes(self) -> None:
        """Settle records until none waits; one whose lane is busy is left to the worker that is busy with it."""
        lane_of = cast("Callable[[R], Hashable]", self.lane_of)
        worker = cast("_Worker", asyncio.current_task())
        busy, following = self._busy, self._following
        for at in self._waiting:
            if self._is_over(at):
                return
            lane = lane_of(self.records[at])
            if lane in busy:
                following[busy[lane]] = at
                busy[lane] = at
            else:
                busy[lane] = at
                await self._work_lane(lane, at, worker)

    async def _work_lane(self, lane: Hashable, at: int, worker: _Worker) -> None:
        """Settle a lane's records from `at` until none waits, or one fails."""
        while not self._is_over(at) and await self._settle(at, worker):
            at = self._following[at]
            if not at:
                del self._busy[lane]
                return

    def _is_over(self, at: int) -> bool:
        """Whether nothing begins any more, or not this record."""
        if self._loop.time() >= self.stop_at:
            self.is_late = True
            return True
        return at >= self.limit

    async def _settle(self, at: int, worker: _Worker) -> bool:
        """Whether the record is done."""
        record = self.records[at]
        with log.about(record):
            try:
                await self._one(record)
            except asyncio.CancelledError as error:
                if self.is_cancelled():
                    raise
                self.give_up(at)
                log.failure(self.words.returned, error)  # somebody's stray cancellation: one record's trouble
                await self._shake_off(worker)
                await self.send_back(at, self.choose_wait_s(at))
            except Exception as error:  # noqa: BLE001 - once a record: it must not take the batch with it
                await self._settle_failure(at, find_cause(error))
            else:
                self.fates[at] = _DONE
            if worker.cancelling():
                await self._shake_off(worker)
        return self.fates[at] == _DONE

    def is_cancelled(self) -> bool:
        """Whether a cancellation is the call's own, and goes on; another has strayed in: one record's trouble."""
        return self._caller.cancelling() > self._earlier

    async def _shake_off(self, worker: _Worker) -> None:
        """Let a cancellation of the worker end here, unless it is ours: a handler may ask for one, or swallow one.

        Raises: CancelledError where it is ours.
        """
        if self.is_cancelled():
            raise asyncio.CancelledError
        try:
            while worker.cancelling():
                worker.uncancel()
            await asyncio.sleep(0)  # before Python 3.13 one that was asked for is delivered all the same
        except asyncio.CancelledError:
            if self.is_cancelled():
                raise

    async def _settle_failure(self, at: int, error: Exception) -> None:
        words, after_s, first_s = self.words, None, FIRST_S
        if isinstance(error, Rejected):
            if await self._bury(self.records[at], error):
                self.fates[at] = _DONE
                return
        elif isinstance(error, Misconfigured):
            count("Misconfigured")
            log.failure(words.misconfigured, error)  # every record will fail so until somebody mends the deployment
            first_s = MENDING_FIRST_S
        elif not isinstance(error, Retryable):
            log.failure(words.returned, error)
        else:
            after_s = error.after_s
        if self.is_cancelled():
            return  # what a handler or a port made of the deadline: handed back with the rest, in time
        self.give_up(at)
        wait_s = self.choose_wait_s(at, after_s=after_s, first_s=first_s)
        if isinstance(error, Retryable):
            log.warning(words.returned, error_type=type(error).__name__, delay_s=wait_s, after_s=after_s)
        await self.send_back(at, wait_s)

    async def _bury(self, record: R, error: Rejected) -> bool:
        log.failure(self.words.rejected, error)
        try:
            body, attributes = self.write_letter(record)
            await self.desk.dead_letters.send(body, reason=error.reason, detail=str(error), attributes=attributes)
        except (Exception, asyncio.CancelledError) as failure:  # whatever it is, the record is not lost: it comes again
            if isinstance(failure, asyncio.CancelledError) and self.is_cancelled():
                raise
            log.failure(self.words.returned, failure)
            return False
        return True

    # ------------------------------------------------------------ what differs by source

    @abstractmethod
    def write_letter(self, record: R) -> tuple[str, Mapping[str, str]]:
        """Body and attributes of the dead letter that keeps a record."""

    @abstractmethod
    def choose_wait_s(self, at: int, *, after_s: float | None = None, first_s: float = FIRST_S) -> int | None:
        """How long the record is hidden before it comes again; None where that is not ours to say."""

    @abstractmethod
    def give_up(self, at: int) -> None:
        """See to it that nothing begins that must not before the record has come again."""

    async def send_back(self, at: int, wait_s: int | None) -> None:
        """Let the record come again, with what depends on it, after a wait; a shard does so by its report alone."""

    async def hand_back(self, deadline: float) -> None:
        """Let what was left untouched come again at once, by `deadline`."""


class _Queue(_Run[SqsMessage]):
    words = _Words("message.rejected", "message.misconfigured", "message.returned")

    def write_letter(self, record: SqsMessage) -> tuple[str, Mapping[str, str]]:
        return record.body, record.attributes

    def choose_wait_s(self, at: int, *, after_s: float | None = None, first_s: float = FIRST_S) -> int | None:
        if self.desk.redelivery is None:
            return None
        return choose_return_s(
            receive_count=self.records[at].receive_count,
            chance=self.desk.chance.draw(),
            longest_s=self.desk.visibility_s,
            after_s=after_s,
            first_s=first_s,
        )

    def give_up(self, at: int) -> None:
        for each in self._with_later(at):
            self.fates[each] = _RETURNED

    async def send_back(self, at: int, wait_s: int | None) -> None:
        """One wait for the message and all later ones of its group: while one of them is hidden, all are."""
        if wait_s is not None:
            await self._return([self.records[each] for each in self._with_later(at)], wait_s)

    def _with_later(self, at: int) -> list[int]:
        """The message, and on a FIFO queue all later ones of its group: at most ten, as batches of such queues are."""
        if self.lane_of is None:
            return [at]
        lane = self.lane_of(self.records[at])
        return [each for each in range(at, len(self.records)) if self.lane_of(self.records[each]) == lane]

    async def _return(self, messages: Sequence[SqsMessage], delay_s: int) -> None:
        """Shorten the wait. Where that fails it is the visibility timeout, and nothing else is lost."""
        redelivery = cast("Redelivery", self.desk.redelivery)
        try:
            async with asyncio.timeout(RETURN_LIMIT_S):
                for message in messages:
                    await redelivery.return_after(message.receipt_handle, delay_s)
        except (Exception, asyncio.CancelledError) as failure:  # harmless, whatever it is
            if isinstance(failure, asyncio.CancelledError) and self.is_cancelled():
                raise
            log.failure("message.return_slow", failure, message_id=messages[0].message_id)

    async def hand_back(self, deadline: float) -> None:
        """Nothing is wrong with these: at once. Those that the deadline overtakes come back later."""
        if self.desk.redelivery is None:
            return
        untouched = [record for record, fate in zip(self.records, self.fates, strict=True) if fate == _UNFINISHED]
        waiting = iter(untouched)
        try:
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as workers:
                for _ in range(min(HAND_BACK_AT_ONCE, len(untouched))):
                    workers.create_task(self._hand_back_each(waiting))
        except TimeoutError:
            log.warning("batch.return_slow", messages=len(untouched))

    async def _hand_back_each(self, waiting: Iterator[SqsMessage]) -> None:
        for message in waiting:
            await self._return([message], 0)


class _Shard(_Run[Any]):
    words = _Words("record.rejected", "record.misconfigured", "record.returned")

    def __init__(self, batch: Batch[Any], one: Callable[[Any], Awaitable[None]], desk: BatchDesk) -> None:
        faulty = any(record.fault is not None for record in batch.records)
        super().__init__(batch, _refuse_faulty(one) if faulty else one, desk)

    def write_letter(self, record: Any) -> tuple[str, Mapping[str, str]]:
        from sluiceway.flows.batch_letters import write_letter  # noqa: PLC0415 - poison is rare

        return write_letter(record)

    def choose_wait_s(self, at: int, *, after_s: float | None = None, first_s: float = FIRST_S) -> int | None:
        """None: when a shard is read again is the mapping's back-off to say, for all of it at once."""
        del at, after_s, first_s
        return None

    def give_up(self, at: int) -> None:
        """From the first record that has this sequence number, all comes again."""
        if not self.desk.beyond_failure:
            sequence_number = self.records[at].sequence_number
            while at and self.records[at - 1].sequence_number == sequence_number:
                at -= 1
            self.limit = min(self.limit, at)


def _refuse_faulty(one: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """A record that its codec could not open is poison; `one` never sees it."""

    async def refuse_or_hand_on(record: Any) -> None:
        if record.fault is not None:
            raise record.fault
        await one(record)

    return refuse_or_hand_on
