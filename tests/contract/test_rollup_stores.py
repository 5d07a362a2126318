"""The contracts of RollupStore and RollupJobStore over memory, the local cloud's DynamoDB and moto's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import reduce
from random import Random
from typing import Any

import pytest
from moto import mock_aws

from sluiceway.aws.dynamodb import Table
from sluiceway.aws.rollups import LEDGER_KEPT_S, DynamoDbRollupJobStore, DynamoDbRollupStore
from sluiceway.errors import Retryable
from sluiceway.ports.rollups import Contribution, Ledger, RollupJobStore, RollupStore, Row, total_place
from sluiceway.rules.rollups.cells import Cell, Measure, Place, merge
from sluiceway.rules.rollups.progress import RollupProgress, RollupStats
from sluiceway.rules.rollups.windows import mark_of
from tests.contract.answer_tables import Post, local_tables, make_moto, moto_tables
from tests.fakes import EPOCH_MS
from tests.fakes_rollups import MemoryRollupJobStore, MemoryRollupStore, define

ROLLUPS = "rollups"
DEFINITION: dict[str, Any] = {
    "TableName": ROLLUPS,
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("rollup", "period")],
    "KeySchema": [{"AttributeName": "rollup", "KeyType": "HASH"}, {"AttributeName": "period", "KeyType": "RANGE"}],
}
T0 = EPOCH_MS
SHARDS = ("shardId-000000000000", "shardId-000000000012", "odd")
SENSORS = define()
HOUR = Place("hour", T0, '["s1"]')


class StandingClock:
    """A date that does not move."""

    def now_ms(self) -> int:
        return T0


@dataclass
class World:
    """One implementation, and the post to its table (None for memory)."""

    store: RollupStore
    jobs: RollupJobStore
    post: Post | None


@pytest.fixture(params=["memory", "local", "local, every call twice", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    kind, _, twice = request.param.partition(", ")
    with mock_aws() if kind == "moto" else nullcontext():
        if kind == "memory":
            yield World(MemoryRollupStore(), MemoryRollupJobStore(), None)
            return
        send = local_tables([DEFINITION]) if kind == "local" else moto_tables(make_moto([DEFINITION]))
        post = Post(send, twice=bool(twice))
        table = Table(post, ROLLUPS)
        yield World(DynamoDbRollupStore(table, SENSORS, StandingClock()), DynamoDbRollupJobStore(table), post)


@pytest.fixture
def store(world: World) -> RollupStore:
    return world.store


def cell(*temperatures: str) -> Cell:
    """A record for each temperature; none has a humidity."""
    each = [Measure(1, value, value, value) for value in map(Decimal, temperatures)]
    return reduce(merge, [Cell(1, (measure, None)) for measure in each])


async def row(store: RollupStore, place: Place = HOUR) -> Row | None:
    return (await store.rows(place.key, place, place)).get(place)


def of(shard: str, number: int) -> Contribution:
    return Contribution(shard, mark_of(str(number)))


async def test_what_is_added_is_read_back_whole(store: RollupStore) -> None:
    """Every member, exactly; a metric that no record has is none; sums of more digits than a number of DynamoDB has."""
    long = Cell(
        3, (Measure(2, Decimal("1e29") + Decimal(1), Decimal(1), Decimal("1e29")), Measure(1, *[Decimal(7)] * 3))
    )
    longer = cell("12345678901234567890123456789.5", "0.0000000001", "-0.0000000003", "24.100000381469727")
    for number, each in enumerate((cell("-0.5"), long, longer)):
        place = HOUR._replace(key=json.dumps([f"s{number}", '"€\\', 5]))
        await store.add(place, each, of(SHARDS[0], 7))
        found = await row(store, place)
        assert found == Row(each, {SHARDS[0]: mark_of("7")}, 1)


async def test_contributions_of_all_shards_merge_and_each_counts_once(world: World) -> None:
    """Again, or an earlier one that comes late, adds nothing; the rest is merged in any order."""
    store = world.store
    assert await store.rows(HOUR.key, HOUR, HOUR) == {}
    twice = world.post is not None and world.post.twice
    assert await store.add(HOUR, cell("1"), of(SHARDS[0], 9)) is not twice
    await store.add(HOUR, cell("1"), of(SHARDS[0], 10))
    await store.add(HOUR, cell("2.5", "-4"), of(SHARDS[1], 3))
    await store.add(HOUR, cell("7"), of(SHARDS[0], 200))
    await store.add(HOUR, cell("9"), of(SHARDS[2], 5))
    for shard, number in ((SHARDS[0], 10), (SHARDS[0], 200), (SHARDS[0], 199), (SHARDS[1], 3), (SHARDS[2], 5)):
        assert await store.add(HOUR, cell("1000"), of(shard, number)) is False
    found = await row(store)
    assert found is not None
    assert found.cell == cell("1", "1", "2.5", "-4", "7", "9")
    assert found.marks == {SHARDS[0]: mark_of("200"), SHARDS[1]: mark_of("3"), SHARDS[2]: mark_of("5")}


async def test_rows_are_read_by_dimensions_interval_and_time(store: RollupStore) -> None:
    """Both bounds are included; other keys, intervals and rollups are not there."""
    minutes = [Place("minute", T0 + number * 60_000, '["s1"]') for number in range(-1, 61)]
    for place in [*minutes, HOUR, minutes[3]._replace(key='["s10"]'), minutes[4]._replace(key='["s"]')]:
        await store.add(place, cell("1"), of(SHARDS[0], 1))
    assert list(await store.rows('["s1"]', minutes[1], minutes[60])) == minutes[1:61]
    assert list(await store.rows('["s1"]', HOUR, HOUR)) == [HOUR]
    assert await store.rows('["s2"]', minutes[0], minutes[-1]) == {}


async def test_totals_are_a_shards_own(store: RollupStore) -> None:
    """Of the period asked for, by shard."""
    for number, shard in enumerate(SHARDS, 1):
        await store.add(total_place("hour", T0, shard), cell(str(number)), of(shard, number))
    await store.add(total_place("hour", T0 + 3_600_000, SHARDS[0]), cell("9"), of(SHARDS[0], 9))
    found = await store.totals(HOUR)
    assert {shard: each.cell for shard, each in found.items()} == {
        shard: cell(str(number)) for number, shard in enumerate(SHARDS, 1)
    }
    assert await store.totals(HOUR._replace(start_ms=T0 - 3_600_000)) == {}


async def test_a_row_is_rewritten_if_it_is_as_it_was_seen(store: RollupStore) -> None:
    """Whoever wrote since wins; a row that is not there is written where none was seen."""
    marks = {SHARDS[0]: mark_of("9")}
    assert await store.rewrite(HOUR, cell("1"), marks, seen=None) is True
    seen = await row(store)
    assert seen is not None
    assert await store.rewrite(HOUR, cell("2"), marks, seen=None) is False
    assert await store.add(HOUR, cell("5"), of(SHARDS[0], 9)) is False
    await store.add(HOUR, cell("5"), of(SHARDS[0], 10))
    assert await store.rewrite(HOUR, cell("2"), marks, seen=seen) is False
    seen = await row(store)
    assert await store.rewrite(HOUR, cell("2"), marks, seen=seen) is True
    assert await row(store) == Row(cell("2"), marks, 3)


async def test_a_ledger_is_written_if_it_is_as_it_was_read(store: RollupStore) -> None:
    """An empty one is there from the beginning; each shard has its own."""
    assert await store.read_ledger(SHARDS[0]) == Ledger()
    begun = Ledger("", (mark_of("5"), mark_of("12")))
    assert await store.write_ledger(SHARDS[0], begun, seen=Ledger()) is True
    assert await store.read_ledger(SHARDS[0]) == replace(begun, version=1)
    done = Ledger(mark_of("5"), (mark_of("12"),))
    assert await store.write_ledger(SHARDS[0], done, seen=Ledger()) is False
    assert await store.write_ledger(SHARDS[0], done, seen=replace(begun, version=1)) is True
    assert await store.write_ledger(SHARDS[0], done, seen=replace(begun, version=1)) is True  # it is there already
    assert await store.read_ledger(SHARDS[0]) == replace(done, version=2)
    assert await store.read_ledger(SHARDS[1]) == Ledger()


async def test_a_jobs_record_is_written_if_it_is_as_it_was_read(world: World) -> None:
    """Every member survives."""
    jobs = world.jobs
    assert await jobs.read("sensors") is None
    progress = RollupProgress(
        "sensors", "retry", 0, T0, T0 + 1, T0 + 2, T0 + 3, "away: €", T0 + 4, RollupStats(*range(1, 10))
    )
    assert await jobs.write(progress, seen=None) is True
    first = replace(progress, version=1)
    assert await jobs.read("sensors") == first
    assert await jobs.write(replace(progress, state="stopped"), seen=None) is False
    assert await jobs.write(replace(first, state="stopped"), seen=first) is True
    assert await jobs.write(replace(first, state="stopped"), seen=first) is True  # it is there already
    assert await jobs.write(replace(first, state="started"), seen=first) is False
    assert await jobs.read("sensors") == replace(first, state="stopped", version=2)
    assert await jobs.read("others") is None


@pytest.mark.parametrize("seed", range(3))
async def test_shards_that_write_one_row_at_once_lose_nothing(world: World, seed: int) -> None:
    """Side by side, with trouble on the way and calls that are made again: the row has each contribution once."""
    if world.post is None:
        pytest.skip("memory has no way that is long")
    rng = Random(seed)
    world.post.waits = None

    async def write(shard: str) -> None:
        for number in range(1, 6):
            while True:
                try:
                    await world.store.add(HOUR, cell(str(number)), of(shard, number))
                    break
                except Retryable:
                    await asyncio.sleep(0)
                finally:
                    if rng.random() < 0.3:
                        setattr(world.post, rng.choice(["break_before", "lose_after"]), rng.randint(1, 4))

    async with asyncio.TaskGroup() as group:
        for shard in SHARDS:
            group.create_task(write(shard))
    world.post.break_before = world.post.lose_after = 0
    found = await row(world.store)
    assert found is not None
    assert found.cell == cell(*map(str, [1, 2, 3, 4, 5] * 3))


async def test_a_row_that_others_write_all_the_time_is_told(world: World) -> None:
    """Tries are bounded."""
    if world.post is None:
        pytest.skip("memory has no others")
    send, number = world.post.send, 100

    async def forestall(operation: str, request: Any) -> Any:
        nonlocal number
        if operation == "PutItem":
            number += 1
            world.post.send = send  # type: ignore[union-attr]
            await world.store.add(HOUR, cell("1"), of(SHARDS[1], number))
            world.post.send = forestall  # type: ignore[union-attr]
        return await send(operation, request)

    world.post.send = forestall
    with pytest.raises(Retryable):
        await world.store.add(HOUR, cell("1"), of(SHARDS[0], 1))


async def test_what_a_row_is_in_the_table(world: World) -> None:
    """Its keys and members, numbers as numbers, a short name for its shard, and when it goes."""
    if world.post is None:
        pytest.skip("memory has no items")
    await world.store.add(Place("minute", T0 + 60_000, '["s1"]'), cell("1.50", "2"), of(SHARDS[1], 42))
    put = next(request for operation, request in world.post.calls if operation == "PutItem")
    assert put["Item"] == {
        "rollup": {"S": 'sensors#["s1"]'},
        "period": {"S": "minute#2027-01-15T08:01Z"},
        "records": {"N": "2"},
        "metrics": {
            "M": {
                "temperature": {
                    "M": {"values": {"N": "2"}, "sum": {"N": "3.5"}, "min": {"N": "1.5"}, "max": {"N": "2"}}
                }
            }
        },
        "marks": {"M": {"12": {"S": "00242"}}},
        "version": {"N": "1"},
        "expires_s": {"N": str((T0 + 120_000) // 1000 + 30 * 86_400)},
    }
    await world.store.write_ledger(SHARDS[1], Ledger("a"), seen=Ledger())
    put = [request for operation, request in world.post.calls if operation == "PutItem"][-1]
    assert (put["Item"]["rollup"], put["Item"]["period"]) == ({"S": "sensors#ledger"}, {"S": SHARDS[1]})
    assert put["Item"]["expires_s"] == {"N": str(T0 // 1000 + LEDGER_KEPT_S)}


async def test_a_new_row_is_one_write_and_one_that_is_there_two(world: World) -> None:
    """No read before: the condition that fails tells what is there."""
    if world.post is None or world.post.twice:
        pytest.skip("counts calls")
    await world.store.add(HOUR, cell("1"), of(SHARDS[0], 1))
    assert [operation for operation, _ in world.post.calls] == ["PutItem"]
    await world.store.add(HOUR, cell("1"), of(SHARDS[0], 2))
    assert [operation for operation, _ in world.post.calls] == ["PutItem"] * 3
