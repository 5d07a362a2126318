"""The batch flow: lanes that keep order, and the report that is right for the source."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from localcloud.clock import run_virtual
from sluiceway import log
from sluiceway.errors import Misconfigured, Rejected, Retryable
from sluiceway.events.dynamodb import DynamoDbBatch, DynamoDbRecord
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.sqs import BatchReport, SqsBatch, SqsMessage
from sluiceway.flows.batch import BatchDesk, process_batch
from tests.fakes import FixedChance, MemoryDeadLetters, MemoryRedelivery

FOREVER = float("inf")
FIFO = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


def fifo(*groups: str) -> SqsBatch:
    """Messages m0, m1, ... of these groups."""
    return SqsBatch(
        tuple(
            SqsMessage(f"m{at}", f"r{at}", f"body {at}", {}, 1, 0, FIFO, group_id=group)
            for at, group in enumerate(groups)
        )
    )


def kinesis(*keys: str, aggregates: tuple[int, ...] = ()) -> KinesisBatch:
    """Records with data 0, 1, ... of these keys; their sequence numbers are 100, 101, ..., or as `aggregates` says."""
    numbers = aggregates or tuple(range(len(keys)))
    return KinesisBatch(
        tuple(
            KinesisRecord(str(100 + number), key, b"%d" % at, 0, "shardId-000000000000", STREAM)
            for at, (key, number) in enumerate(zip(keys, numbers, strict=True))
        )
    )


def dynamodb(*items: str) -> DynamoDbBatch:
    return DynamoDbBatch(
        tuple(
            DynamoDbRecord(str(100 + at), str(at), "MODIFY", {"id": item}, item, "arn:aws:dynamodb:x", {"n": at})
            for at, item in enumerate(items)
        )
    )


def place_of(record: Any) -> int:
    if isinstance(record, SqsMessage):
        return int(record.message_id[1:])
    return int(record.data) if isinstance(record, KinesisRecord) else int(record.event_id)


class Scene:
    """One call with handlers that take a second each, or fail at once, unless `takes_s` says otherwise."""

    def __init__(self, errors: dict[int, BaseException] | None = None, *, takes_s: dict[int, float] | None = None):
        self.errors = errors or {}
        self.takes_s = takes_s or {}
        self.begun: list[tuple[float, int]] = []
        self.ended: list[int] = []
        self.most_tasks = 0
        self.letters = MemoryDeadLetters()
        self.redelivery = MemoryRedelivery()

    async def one(self, record: Any) -> None:
        place = place_of(record)
        self.begun.append((round(asyncio.get_running_loop().time(), 3), place))
        self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))
        if place in self.errors:
            await asyncio.sleep(self.takes_s.get(place, 0.0))
            raise self.errors[place]
        await asyncio.sleep(self.takes_s.get(place, 1.0))
        self.ended.append(place)

    def run(self, batch: Any, *, deadline: float = FOREVER, concurrency: int = 10, beyond: bool = False) -> BatchReport:
        desk = BatchDesk(self.letters, self.redelivery, FixedChance(), 360, beyond_failure=beyond)
        return run_virtual(
            lambda: process_batch(batch, self.one, desk=desk, deadline=deadline, concurrency=concurrency)
        )

    @property
    def places(self) -> list[int]:
        return [place for _, place in self.begun]


@pytest.mark.parametrize("make", [fifo, kinesis, dynamodb])
def test_a_lane_keeps_order_and_lanes_run_at_once(make: Callable[..., Any]) -> None:
    """Five records of two keys: the third of `a` begins after the second has ended; `b` waits for neither."""
    scene = Scene()
    assert scene.run(make("a", "a", "b", "a", "b")) == BatchReport()
    assert scene.begun == [(0.0, 0), (0.0, 2), (1.0, 1), (1.0, 4), (2.0, 3)]


def test_a_message_group_of_a_standard_queue_keeps_no_order() -> None:
    """There it is for fairness among tenants: nothing waits."""
    messages = fifo("a", "a", "a").messages
    standard = SqsBatch(tuple(message._replace(queue_arn=FIFO.removesuffix(".fifo")) for message in messages))
    scene = Scene({0: ValueError()})
    assert scene.run(standard) == BatchReport(("m0",))
    assert [at for at, _ in scene.begun] == [0.0, 0.0, 0.0]


def test_a_fifo_group_stops_at_its_first_failure() -> None:
    """The failed message and all later ones of its group go back, the other group goes on, what came before is done."""
    scene = Scene({2: Retryable("later")})
    assert scene.run(fifo("a", "b", "a", "a", "b", "a")) == BatchReport(("m2", "m3", "m5"))
    assert sorted(scene.ended) == [0, 1, 4]
    assert 3 not in scene.places


def test_a_fifo_group_waits_as_one() -> None:
    """One back-off for the failed message and for those behind it: none of them can come before another."""
    scene = Scene({0: Retryable("later", after_s=41.0)})
    scene.run(fifo("a", "b", "a", "a"))
    assert scene.redelivery.asked == [("r0", 41), ("r2", 41), ("r3", 41)]


def test_a_fifo_group_that_the_deadline_stops_comes_back_at_once() -> None:
    """Nothing is wrong with it: the cancelled one and those behind it, no wait for any."""
    scene = Scene(takes_s={0: 100.0})
    assert scene.run(fifo("a", "b", "a"), deadline=10.0) == BatchReport(("m0", "m2"))
    assert sorted(scene.redelivery.asked) == [("r0", 0), ("r2", 0)]


def test_poison_in_a_fifo_group_does_not_stop_it() -> None:
    """The dead letters have it, so it is done; the next of the group begins."""
    scene = Scene({0: Rejected("bad", reason="bad")})
    assert scene.run(fifo("a", "a")) == BatchReport()
    assert (scene.ended, len(scene.letters.letters)) == ([1], 1)


def test_poison_that_nobody_took_stops_its_lane() -> None:
    """A letter that was not taken is a failure like any other: order before progress."""
    scene = Scene({0: Rejected("bad", reason="bad")})
    scene.letters.trouble.next_before = 1
    assert scene.run(fifo("a", "a", "b")) == BatchReport(("m0", "m1"))


@pytest.mark.parametrize("make", [kinesis, dynamodb])
def test_a_shard_is_read_again_from_the_lowest_failure(make: Callable[..., Any]) -> None:
    """One sequence number is reported, whichever failed first; what succeeded beyond it comes again, as documented."""
    scene = Scene({3: Retryable("later"), 1: ValueError()}, takes_s={2: 5.0})
    assert scene.run(make("a", "b", "c", "d"), beyond=True) == BatchReport(("101",))


@pytest.mark.parametrize("make", [kinesis, dynamodb])
def test_nothing_beyond_a_failure_begins_in_a_shard(make: Callable[..., Any]) -> None:
    """At two at a time the second fails at once: of the other eight none begins, for all would come again.

    What runs already is left to end. What lies before the failure still begins, so that the checkpoint moves.
    """
    scene = Scene({1: Retryable("later")})
    assert scene.run(make(*"abcdefghij"), concurrency=2) == BatchReport(("101",))
    assert (scene.places, scene.ended) == ([0, 1], [0])
    late = Scene({3: Retryable("later")}, takes_s={0: 5.0})
    assert late.run(make(*"aabcde"), concurrency=2) == BatchReport(("103",))
    assert late.places == [0, 2, 3, 1]
    eager = Scene({1: Retryable("later")})
    assert eager.run(make(*"abcdefghij"), concurrency=2, beyond=True) == BatchReport(("101",))
    assert len(eager.places) == 10


def test_a_later_failure_moves_the_limit_no_further() -> None:
    """1 fails, then 3, which ran already: 2, that waits for 0 of its lane, would come again and does not begin."""
    scene = Scene({1: Retryable("later"), 3: Retryable("later")}, takes_s={1: 0.2, 3: 0.5})
    assert scene.run(kinesis("a", "b", "a", "c")) == BatchReport(("101",))
    assert scene.places == [0, 1, 3]


def test_an_aggregate_counts_as_one() -> None:
    """Three records share sequence number 101. The last of them fails: 101 is read again, the first two with it."""
    batch = kinesis("a", "b", "c", "d", "e", aggregates=(0, 1, 1, 1, 2))
    scene = Scene({3: Retryable("later")})
    assert scene.run(batch, concurrency=1) == BatchReport(("101",))
    assert scene.places == [0, 1, 2, 3]
    parallel = Scene({3: Retryable("later")}, takes_s={0: 9.0})
    assert parallel.run(kinesis("a", "a", "b", "c", aggregates=(0, 1, 1, 1))) == BatchReport(("101",))
    assert 1 not in parallel.places  # the same aggregate: it comes again whole


def test_sequence_numbers_are_compared_as_numbers() -> None:
    """9 is below 10, though as text it is not."""
    records = tuple(
        record._replace(sequence_number=number)
        for record, number in zip(kinesis("a", "b").records, ("9", "10"), strict=True)
    )
    assert Scene({0: ValueError(), 1: ValueError()}).run(KinesisBatch(records)) == BatchReport(("9",))


@pytest.mark.parametrize("make", [kinesis, dynamodb])
def test_a_shard_that_the_deadline_stops_loses_nothing(make: Callable[..., Any]) -> None:
    """The lowest of what was cancelled or never begun is reported; nobody is asked to show anything earlier."""
    scene = Scene(takes_s={1: 100.0})
    assert scene.run(make("a", "b", "c"), deadline=10.0) == BatchReport(("101",))
    assert scene.ended == [0, 2]
    assert scene.redelivery.asked == []
    slow = Scene()
    assert slow.run(make("a", "a", "a", "a"), deadline=2.5) == BatchReport(("102",))


@pytest.mark.parametrize(("make", "failed"), [(fifo, ("m0", "m1")), (kinesis, ("100",))])
def test_a_deadline_that_has_passed_begins_nothing(make: Callable[..., Any], failed: tuple[str, ...]) -> None:
    """All of it is reported, untouched."""
    scene = Scene()
    assert scene.run(make("a", "b"), deadline=-1.0) == BatchReport(failed)
    assert scene.begun == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Retryable("later", after_s=7.0), "record.returned"),
        (Misconfigured("no table", what="TABLE"), "record.misconfigured"),
        (ValueError("SECRET"), "record.returned"),
        (Rejected("SECRET", reason="bad"), "record.rejected"),
    ],
)
def test_what_becomes_of_a_shards_record_is_logged(
    error: Exception, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its sequence number and shard, never its data; `after_s` is told only: the wait is the mapping's to say."""
    scene = Scene({0: error})
    scene.run(kinesis("a"))
    printed = capsys.readouterr().out
    assert f'"message":"{word}"' in printed
    assert '"sequence_number":"100"' in printed
    assert '"shard_id":"shardId-000000000000"' in printed
    assert ('"after_s":7.0' in printed) is (isinstance(error, Retryable))
    assert "SECRET" not in printed
    assert scene.redelivery.asked == []


def test_a_handlers_own_lines_tell_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Records at once do not mix: what each logs, before and after it waited, has its own message id."""

    async def one(message: SqsMessage) -> None:
        log.info("seen.before", own=message.message_id)
        await asyncio.sleep(1)
        log.info("seen.after", own=message.message_id)

    async def run() -> None:
        await process_batch(fifo(*"abcab"), one, desk=BatchDesk(MemoryDeadLetters()), deadline=FOREVER)

    run_virtual(run)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 10
    assert [line["message_id"] for line in lines] == [line["own"] for line in lines]
    assert {line["receive_count"] for line in lines} == {1}


def test_a_record_with_a_fault_is_poison_and_never_handed_out() -> None:
    """An aggregate that cannot be opened goes to the dead letters with what is wrong; the shard goes on."""
    first, second = kinesis("a", "a").records
    fault = Rejected("the digest is wrong", reason="aggregate-digest")
    scene = Scene()
    assert scene.run(KinesisBatch((first._replace(fault=fault), second))) == BatchReport()
    assert scene.ended == [1]
    assert [letter.reason for letter in scene.letters.letters] == ["aggregate-digest"]


@pytest.mark.parametrize("make", [fifo, kinesis, dynamodb])
def test_lanes_cost_no_task_each(make: Callable[..., Any]) -> None:
    """A thousand records of a thousand keys, four at a time: four workers and the caller."""
    scene = Scene()
    assert scene.run(make(*map(str, range(1000))), concurrency=4) == BatchReport()
    assert scene.most_tasks == 5
    assert scene.begun[-1][0] == 249.0


@pytest.mark.parametrize("make", [fifo, kinesis])
@pytest.mark.parametrize("lanes", [1, 5000])
def test_memory_is_flat_in_the_batch(make: Callable[..., Any], lanes: int) -> None:
    """Between 500 and 5,000 records, of one key or of a key each, the runner's peak grows by a few bytes a record."""

    async def one(_record: Any) -> None:
        await asyncio.sleep(0)

    def peak(size: int) -> int:
        batch = make(*(str(at % lanes) for at in range(size)))

        async def run() -> int:
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await process_batch(batch, one, desk=BatchDesk(MemoryDeadLetters()), deadline=FOREVER)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most - before

        return run_virtual(run)

    peak(10)
    assert (peak(5000) - peak(500)) / 4500 < 12


def test_one_slow_lane_holds_up_no_other() -> None:
    """Nine hundred records of one key wait; a hundred of other keys behind them are done at once."""
    scene = Scene(takes_s=dict.fromkeys(range(900), 1.0) | dict.fromkeys(range(900, 1000), 0.0))
    scene.run(kinesis(*["hot"] * 900, *map(str, range(100))), concurrency=2)
    assert [at for at, place in scene.begun if place >= 900] == [0.0] * 100
    assert scene.begun[-1] == (899.0, 899)


def test_a_queue_without_redelivery_waits_for_its_visibility_timeout() -> None:
    """The port is optional: the report is the same."""

    async def one(_message: SqsMessage) -> None:
        raise Retryable("later")

    async def run() -> BatchReport:
        return await process_batch(fifo("a", "a"), one, desk=BatchDesk(MemoryDeadLetters()), deadline=FOREVER)

    assert run_virtual(run) == BatchReport(("m0", "m1"))


@pytest.mark.parametrize("concurrency", [0, -1])
async def test_concurrency_is_at_least_one(concurrency: int) -> None:
    """With none, everything would be reported failed for ever."""

    async def one(_message: SqsMessage) -> None: ...

    with pytest.raises(ValueError, match="1 or more"):
        await process_batch(
            fifo("a"), one, desk=BatchDesk(MemoryDeadLetters()), deadline=FOREVER, concurrency=concurrency
        )
