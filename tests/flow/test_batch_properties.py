"""The batch flow against a simulated Lambda that delivers again what it is told to, until all is done.

Batches, keys, failures, durations, concurrency and deadlines are drawn; time is virtual. The oracle knows nothing of
the runner: it reads what handlers saw, and the rules that Lambda documents for each source.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.clock import run_virtual
from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.dynamodb import DynamoDbBatch, DynamoDbRecord
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from tests.fakes import FixedChance, MemoryDeadLetters, MemoryRedelivery

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
OUTCOMES = ("retry", "bug", "misconfigured", "stray", "cancel-self", "quiet-cancel", "group", "poison")
COMPLETING = ("poison", "quiet-cancel")
MAX_INVOCATIONS = 400


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Hundreds of invocations say nothing."""
    logger, _ = log._logger()
    level = logger.level
    logger.setLevel(60)
    yield
    logger.setLevel(level)


@dataclass(frozen=True)
class Unit:
    """One record: its number in its source, its key, what each attempt comes to (afterwards: done), and how long."""

    number: int
    key: str
    outcomes: tuple[str, ...]
    takes_s: float
    aggregate: int


@dataclass
class Seen:
    """What one invocation did, in order: (virtual second, number, what)."""

    log: list[tuple[float, int, str]] = field(default_factory=list)
    running: int = 0
    peak: int = 0

    def numbers(self, *kinds: str) -> list[int]:
        return [number for _, number, what in self.log if what in kinds]


def raise_outcome(outcome: str) -> None:
    if outcome == "retry":
        raise Retryable("later", after_s=3.0)
    if outcome == "bug":
        raise ValueError("a bug")
    if outcome == "misconfigured":
        raise Misconfigured("no table", what="TABLE")
    if outcome == "stray":
        raise asyncio.CancelledError
    if outcome == "group":
        raise ExceptionGroup("two", [ValueError("a"), ValueError("b")])
    if outcome == "poison":
        raise ExceptionGroup("one", [Rejected("bad", reason="bad")])


class Handler:
    """Does what each unit's script says, and keeps a log of each invocation."""

    def __init__(self) -> None:
        self.attempts: dict[int, int] = defaultdict(int)
        self.seen = Seen()

    async def handle(self, unit: Unit) -> None:
        loop, seen = asyncio.get_running_loop(), self.seen
        attempt = self.attempts[unit.number]
        self.attempts[unit.number] += 1
        outcome = unit.outcomes[attempt] if attempt < len(unit.outcomes) else "done"
        seen.log.append((loop.time(), unit.number, "begin"))
        seen.running += 1
        seen.peak = max(seen.peak, seen.running)
        try:
            if unit.takes_s:
                await asyncio.sleep(unit.takes_s)
            if outcome == "cancel-self":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(1)
            if outcome == "quiet-cancel":  # asked for, and never waited for: it must not hit the next record
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            raise_outcome(outcome)
        except BaseException as error:
            is_poison = outcome == "poison" and isinstance(error, Exception)
            seen.log.append((loop.time(), unit.number, "poison" if is_poison else "failed"))
            raise
        finally:
            seen.running -= 1
        seen.log.append((loop.time(), unit.number, "done"))


UNITS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.lists(st.sampled_from(OUTCOMES), max_size=3).map(tuple),
        st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.8]),
        st.booleans(),
    ),
    min_size=1,
    max_size=24,
)


def number_units(drawn: list[tuple[str, tuple[str, ...], float, bool]]) -> list[Unit]:
    """What completes a record ends its script. A joined one belongs to the aggregate of the one before, up to four."""
    units: list[Unit] = []
    for number, (key, outcomes, takes_s, joined) in enumerate(drawn):
        ends = next((at + 1 for at, outcome in enumerate(outcomes) if outcome in COMPLETING), len(outcomes))
        first = units[-1].aggregate if units else number
        aggregate = first if joined and number - first < 4 else number
        units.append(Unit(number, key, outcomes[:ends], takes_s, aggregate))
    return units


def as_message(unit: Unit, *, fifo: bool) -> SqsMessage:
    name, arn = f"{unit.number}", QUEUE + (".fifo" if fifo else "")
    return SqsMessage(name, name, name, {}, 1, 0, arn, group_id=unit.key)


def as_kinesis(unit: Unit) -> KinesisRecord:
    """Sequence numbers of one, two and three digits: text would order them wrong."""
    sub_sequence = unit.number - unit.aggregate
    return KinesisRecord(
        str(7 + 5 * unit.aggregate), unit.key, b"%d" % unit.number, 0, "shard-0", "arn:k", "", sub_sequence
    )


def as_dynamodb(unit: Unit) -> DynamoDbRecord:
    number = str(unit.number)
    return DynamoDbRecord(
        str(7 + 5 * unit.number), number, "MODIFY", {"id": unit.key}, unit.key, "arn:d", {"n": number}
    )


@dataclass
class Lambda:
    """Invocations of the flow, each checked by itself, and the whole by the caller."""

    handler: Handler
    letters: MemoryDeadLetters
    redelivery: MemoryRedelivery
    concurrency: int
    limit_s: float
    beyond_failure: bool = False
    invocations: list[Seen] = field(default_factory=list)

    async def invoke(self, batch: Any, unit_of: Callable[[Any], Unit]) -> tuple[Seen, tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        self.handler.seen = seen = Seen()
        self.invocations.append(seen)
        assert len(self.invocations) < MAX_INVOCATIONS

        async def one(record: Any) -> None:
            await self.handler.handle(unit_of(record))

        desk = BatchDesk(self.letters, self.redelivery, FixedChance(), 30, beyond_failure=self.beyond_failure)
        deadline = loop.time() + self.limit_s
        report = await process_batch(batch, one, desk=desk, deadline=deadline, concurrency=self.concurrency)
        assert loop.time() <= deadline
        assert len(asyncio.all_tasks()) == 1
        assert seen.peak <= self.concurrency
        assert seen.running == 0
        begun = seen.numbers("begin")
        assert len(begun) == len(set(begun))
        return seen, report.failed


def check_lanes(seen: Seen, units: Sequence[Unit]) -> None:
    """In one invocation a lane's records begin in order, one at a time, and none after a failure."""
    key_of = {unit.number: unit.key for unit in units}
    last: dict[str, tuple[int, str]] = {}
    for _, number, what in seen.log:
        before = last.get(key_of[number])
        if before is not None and what == "begin":
            assert before[1] in {"done", "poison"}
            assert before[0] < number
        last[key_of[number]] = (number, what)


def completions(lambda_: Lambda) -> list[int]:
    return [number for seen in lambda_.invocations for number in seen.numbers("done", "poison")]


def in_first_order(numbers: Sequence[int], units: Sequence[Unit]) -> None:
    """Each key's records are completed for the first time in their order, and each is completed."""
    first = list(dict.fromkeys(numbers))
    assert sorted(first) == [unit.number for unit in units]
    for key in {unit.key for unit in units}:
        of_key = [number for number in first if units[number].key == key]
        assert of_key == sorted(of_key)


WORLD = {
    "drawn": UNITS,
    "concurrency": st.integers(1, 6),
    "batch_size": st.integers(1, 12),
    "limit_s": st.sampled_from([4.0, 9.0, 1000.0]),
}


def make_lambda(concurrency: int, limit_s: float, *, beyond_failure: bool = False) -> Lambda:
    return Lambda(Handler(), MemoryDeadLetters(), MemoryRedelivery(), concurrency, limit_s, beyond_failure)


@pytest.mark.parametrize("fifo", [False, True])
@settings(max_examples=120, deadline=None)
@given(**WORLD)
def test_a_queue_is_worked_off(fifo: bool, drawn: list[Any], concurrency: int, batch_size: int, limit_s: float) -> None:
    """Every message is completed exactly once, is reported until then, and on a FIFO queue in its group's order."""
    units = number_units(drawn)

    async def run() -> Lambda:
        lambda_, waiting = make_lambda(concurrency, limit_s), list(units)
        while waiting:
            taken = waiting[:batch_size]
            messages = SqsBatch(tuple(as_message(unit, fifo=fifo) for unit in taken))
            seen, failed = await lambda_.invoke(messages, lambda message: units[int(message.message_id)])
            finished = set(seen.numbers("done", "poison"))
            assert [int(number) for number in failed] == [unit.number for unit in taken if unit.number not in finished]
            if fifo:
                check_lanes(seen, units)
                stopped = {units[number].key for number in seen.numbers("failed")}
                behind = [unit for unit in taken if unit.key in stopped and unit.number not in finished]
                assert all(str(unit.number) in failed for unit in behind)
            stays = [unit for unit in taken if str(unit.number) in failed]
            # A standard queue gives them again when it likes: here behind the others. FIFO: at their old place.
            waiting = stays + waiting[batch_size:] if fifo else waiting[batch_size:] + stays
        return lambda_

    lambda_ = run_virtual(run)
    done = completions(lambda_)
    assert sorted(done) == [unit.number for unit in units]
    if fifo:
        in_first_order(done, units)
    poison = [unit.number for unit in units if "poison" in unit.outcomes]
    assert sorted(int(letter.body) for letter in lambda_.letters.letters) == poison


@settings(max_examples=120, deadline=None)
@given(**WORLD)
def test_no_wait_breaks_the_order_of_a_group(
    drawn: list[Any], concurrency: int, batch_size: int, limit_s: float
) -> None:
    """Of a FIFO queue's batch all unfinished messages of one group are given the same wait, each once."""
    units = number_units(drawn)

    async def run() -> None:
        lambda_ = make_lambda(concurrency, limit_s)
        taken = units[:batch_size]
        messages = SqsBatch(tuple(as_message(unit, fifo=True) for unit in taken))
        _, failed = await lambda_.invoke(messages, lambda message: units[int(message.message_id)])
        asked = lambda_.redelivery.asked
        assert sorted(handle for handle, _ in asked) == sorted(failed)
        waits: dict[str, set[int]] = defaultdict(set)
        for handle, wait_s in asked:
            waits[units[int(handle)].key].add(wait_s)
        assert all(len(of_group) == 1 for of_group in waits.values())

    run_virtual(run)


@pytest.mark.parametrize("source", ["kinesis", "dynamodb"])
@settings(max_examples=120, deadline=None)
@given(**WORLD, beyond_failure=st.booleans())
def test_a_shard_is_worked_off(
    source: str, drawn: list[Any], concurrency: int, batch_size: int, limit_s: float, beyond_failure: bool
) -> None:
    """Every record is completed, in its key's order; the report is the lowest unfinished sequence number or nothing.

    An aggregate is one record to Lambda: it comes again whole. Nothing that Lambda has passed is handled again.
    """
    units = number_units(drawn)
    if source == "dynamodb":
        units = [Unit(unit.number, unit.key, unit.outcomes, unit.takes_s, unit.number) for unit in units]
    shard: list[list[Unit]] = []  # what Lambda counts as records
    for unit in units:
        if unit.aggregate == unit.number:
            shard.append([])
        shard[-1].append(unit)

    def number_of(record: Any) -> int:
        return int(record.data) if source == "kinesis" else int(record.event_id)

    async def run() -> Lambda:
        lambda_, at = make_lambda(concurrency, limit_s, beyond_failure=beyond_failure), 0
        while at < len(shard):
            taken = [unit for record in shard[at : at + batch_size] for unit in record]
            batch: Any = (
                KinesisBatch(tuple(map(as_kinesis, taken)))
                if source == "kinesis"
                else DynamoDbBatch(tuple(map(as_dynamodb, taken)))
            )
            seen, failed = await lambda_.invoke(batch, lambda record: units[number_of(record)])
            finished = set(seen.numbers("done", "poison"))
            unfinished = [unit for unit in taken if unit.number not in finished]
            expected = (str(7 + 5 * unfinished[0].aggregate),) if unfinished else ()
            assert failed == expected
            check_lanes(seen, units)
            if not beyond_failure:
                check_nothing_in_vain(seen, units)
            if failed:
                at = next(place for place, record in enumerate(shard) if 7 + 5 * record[0].number == int(failed[0]))
            else:
                at += batch_size
        return lambda_

    in_first_order(completions(run_virtual(run)), units)


def check_nothing_in_vain(seen: Seen, units: Sequence[Unit]) -> None:
    """Once a record has failed, nothing begins that would come again with it: its own aggregate, and what is beyond."""
    limit = len(units)
    for _, number, what in seen.log:
        if what == "begin":
            assert units[number].aggregate < limit
        elif what == "failed":
            limit = min(limit, units[number].aggregate)
