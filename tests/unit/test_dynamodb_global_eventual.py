"""Global tables with eventual consistency: local first, the last writer wins, and what the links do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from localcloud.clock import run_virtual
from localcloud.regions.links import Lag
from localcloud.services.dynamodb.wire import SWEEP_S
from tests.unit.dynamodb_global_setup import LAG_S, A, B, C, Regions

Story = Callable[[Regions], Awaitable[None]]


def tell(story: Story, **settings: Any) -> None:
    """Run `story` in Regions of its own, on virtual time."""

    async def main() -> None:
        await story(Regions(**settings))

    run_virtual(main)


def replica(world: Regions, region: str) -> Any:
    return world.service.database(region).table("things").replica


def test_a_write_is_local_first_and_elsewhere_after_the_lag() -> None:
    """A write is answered in its Region at once and is in the others when the lag is over, not before."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        began = asyncio.get_running_loop().time()
        await world.put(A, "k", "1")
        assert asyncio.get_running_loop().time() == began
        assert (await world.get(A, "k"), await world.get(B, "k"), await world.get(C, "k")) == ("1", None, None)
        assert (world.links.pending(A, B), world.links.pending(B, A)) == (1, 0)
        await asyncio.sleep(LAG_S - 0.01)
        assert await world.get(B, "k") is None
        assert round(world.links.oldest_lag_s(A, B), 6) == LAG_S - 0.01
        await asyncio.sleep(0.02)
        assert (await world.get(B, "k"), await world.get(C, "k")) == ("1", "1")
        assert (world.links.pending(A, B), world.links.oldest_lag_s(A, B)) == (0, 0.0)

    tell(story)


def test_a_strong_read_is_local() -> None:
    """ConsistentRead is stale where the item was last written elsewhere."""

    async def story(world: Regions) -> None:
        await world.table(B)
        await world.put(A, "k", "old")
        await world.links.drained()
        await world.put(A, "k", "new")
        assert (await world.get(A, "k", strong=True), await world.get(B, "k", strong=True)) == ("new", "old")

    tell(story)


def test_two_regions_both_pass_a_condition_and_the_last_writer_wins() -> None:
    """`attribute_not_exists` holds against this Region's version: both win, and the earlier write vanishes silently."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        assert await world.claim(A, "k", "from A")
        await asyncio.sleep(0.001)
        assert await world.claim(B, "k", "from B")
        await world.links.drained()
        assert [await world.items(region) for region in (A, B, C)] == [{"k": "from B"}] * 3
        assert not await world.claim(A, "k", "again")

    tell(story)


def test_of_equal_dates_the_later_region_of_the_alphabet_wins() -> None:
    """Writes of one instant have equal timestamps; the Region's name decides, the same in every Region."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        await world.put(C, "k", "C")
        await world.put(B, "k", "B")
        await world.put(A, "k", "A")
        await world.links.drained()
        assert [await world.get(region, "k") for region in (A, B, C)] == ["C"] * 3

    tell(story)


def test_a_write_beats_what_its_region_had_seen_in_the_same_instant() -> None:
    """Two writes of one Region and instant keep their order everywhere."""

    async def story(world: Regions) -> None:
        await world.table(B)
        await world.put(B, "k", "1")
        await world.put(B, "k", "2")
        await world.links.drained()
        assert [await world.get(region, "k") for region in (A, B)] == ["2", "2"]

    tell(story)


def test_deletes_replicate_and_nothing_older_comes_back() -> None:
    """A deletion wins over an older put that arrives later, a newer put wins over a deletion that arrives later."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        await world.put(A, "k", "1")
        await world.put(A, "other", "1")
        await world.links.drained()
        world.links.cut(A, C)
        await world.put(A, "k", "2")  # held on its way to C
        await asyncio.sleep(LAG_S * 2)
        await world.delete(B, "k")  # newer, and in C before it
        await asyncio.sleep(LAG_S * 2)
        assert await world.get(C, "k") is None
        assert replica(world, C).tombstones() == 1
        await world.put(A, "k", "3")  # newer than the deletion
        await world.delete(A, "k")
        await asyncio.sleep(0.001)
        await world.put(C, "k", "4")
        world.links.heal(A, C)
        await world.links.drained()
        assert [await world.items(region) for region in (A, B, C)] == [{"k": "4", "other": "1"}] * 3

    tell(story)


def test_tombstones_go_when_nothing_is_under_way() -> None:
    """A deletion is remembered as long as something older may arrive, and no longer; a later write still wins."""

    async def story(world: Regions) -> None:
        await world.table(B)
        for number in range(20):
            await world.put(A, f"k{number}", "1")
        for number in range(20):
            await world.delete(A, f"k{number}")
        assert replica(world, A).tombstones() == 20
        await world.links.drained()
        await world.put(B, "k1", "2")
        await world.links.drained()
        assert (replica(world, A).tombstones(), replica(world, B).tombstones()) == (0, 0)
        assert (await world.items(A), await world.items(B)) == ({"k1": "2"}, {"k1": "2"})

    tell(story)


def test_a_write_after_a_forgotten_deletion_of_the_same_instant_still_wins() -> None:
    """What one replica forgot and another remembers does not part them: timestamps only grow."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        for value in ("1", "2", "3"):
            await world.put(A, "k", value)
        await world.delete(A, "k")
        await world.links.drained()
        await world.put(B, "k", "again")
        await world.links.drained()
        assert [await world.get(region, "k") for region in (A, B, C)] == ["again"] * 3

    tell(story, lag=Lag(0.0))


def test_versions_that_wait_together_are_one_record_of_the_replicas_stream() -> None:
    """The origin's stream has every version, a replica's only what arrived; each item's order is kept."""

    async def story(world: Regions) -> None:
        await world.table(B)
        world.links.cut(A, B)
        for value in ("1", "2", "3"):
            await world.put(A, "k", value)
        await world.put(A, "other", "1")
        await asyncio.sleep(10)
        assert world.links.pending(A, B) == 2
        assert round(world.links.oldest_lag_s(A, B)) == 10
        world.links.heal(A, B)
        await world.links.drained()
        assert [value for _, key, value in await world.changes(A) if key == "k"] == ["1", "2", "3"]
        assert await world.changes(B) == [("INSERT", "k", "3"), ("INSERT", "other", "1")]

    tell(story)


def test_items_may_arrive_in_another_order_than_they_were_written() -> None:
    """Lags are drawn for each version: the order of items differs between streams, the order of one item never."""

    async def story(world: Regions) -> None:
        await world.table(B)
        for number in range(40):
            await world.put(A, f"k{number % 10}", f"{number:02}")
            await asyncio.sleep(0.01)
        await world.links.drained()
        there = await world.changes(B)
        assert [key for _, key, _ in there] != [key for _, key, _ in await world.changes(A)][: len(there)]
        for number in range(10):
            values = [value for _, key, value in there if key == f"k{number}"]
            assert values == sorted(values, key=str)
        assert await world.items(A) == await world.items(B)

    tell(story, lag=Lag(0.3, spread=1.0))


def test_a_transaction_is_atomic_in_its_region_alone() -> None:
    """Its items arrive one by one: another Region sees half of it."""

    async def story(world: Regions) -> None:
        await world.table(B)
        items = [{"Put": {"TableName": "things", "Item": {"id": {"S": f"k{n}"}, "v": {"S": "1"}}}} for n in range(20)]
        await world.call(A, "TransactWriteItems", TransactItems=items)
        assert len(await world.items(A)) == 20
        seen: set[int] = set()
        while world.links.pending(A, B):
            seen.add(len(await world.items(B)))
            await asyncio.sleep(0.01)
        assert seen - {0, 20}
        assert len(await world.items(B)) == 20

    tell(story, lag=Lag(0.3, spread=1.0))


def test_time_to_live_deletes_once_and_the_deletion_replicates() -> None:
    """The writer's Region deletes the item and says so in its stream; in the other it is a deletion like any other."""

    async def story(world: Regions) -> None:
        await world.table(B)
        ttl = {"AttributeName": "at", "Enabled": True}
        await world.call(A, "UpdateTimeToLive", TableName="things", TimeToLiveSpecification=ttl)
        described = await world.call(B, "DescribeTimeToLive", TableName="things")
        assert described["TimeToLiveDescription"]["AttributeName"] == "at"
        item = {"id": {"S": "k"}, "v": {"S": "1"}, "at": {"N": str(int(world.clock.time()) + 5)}}
        await world.call(B, "PutItem", TableName="things", Item=item)
        await asyncio.sleep(10)
        async with asyncio.timeout(SWEEP_S * 2):
            assert [world.service.database(region).sweep() for region in (A, B)] == [0, 1]
            await world.links.drained()
        assert (await world.items(A), await world.items(B)) == ({}, {})
        assert ["userIdentity" in record for record in await world.stream(B)] == [False, True]
        assert ["userIdentity" in record for record in await world.stream(A)] == [False, False]
        assert (await world.changes(A))[-1] == ("REMOVE", "k", None)

    tell(story)


def test_one_way_and_full_partitions_and_pauses() -> None:
    """A cut stops one direction; a pause stops a table's replication from and to a Region; both end with a heal."""

    async def story(world: Regions) -> None:
        await world.table(B, C)
        world.links.cut(A, B)
        await world.put(A, "a", "1")
        await world.put(B, "b", "1")
        await asyncio.sleep(5)
        assert (await world.items(A), await world.items(B)) == ({"a": "1", "b": "1"}, {"b": "1"})
        assert world.links.directions() == [(A, B)]
        world.links.isolate(C, [A, B])
        world.links.heal(A, B)
        await world.put(C, "c", "1")
        await asyncio.sleep(5)
        assert await world.items(B) == {"a": "1", "b": "1"}
        world.links.heal_all()
        await world.links.drained()
        world.links.pause("dynamodb/things", B)
        await world.put(A, "d", "1")
        await asyncio.sleep(5)
        assert ("d" in await world.items(C), "d" in await world.items(B)) == (True, False)
        world.links.resume("dynamodb/things", B)
        await world.links.drained()
        assert await world.items(A) == await world.items(B) == await world.items(C)

    tell(story)


def test_a_new_replica_gets_every_item() -> None:
    """Adding a replica back-fills it, from then on it is as the others; existing versions do not beat later ones."""

    async def story(world: Regions) -> None:
        await world.table()
        for number in range(5):
            await world.put(A, f"k{number}", "1")
        await world.replicate([B])
        assert await world.items(B) == {f"k{number}": "1" for number in range(5)}
        await world.put(B, "k0", "2")
        await world.delete(B, "k1")
        await world.links.drained()
        await world.replicate([C])
        assert await world.items(A) == await world.items(B) == await world.items(C)
        assert (await world.get(C, "k0"), await world.get(C, "k1")) == ("2", None)

    tell(story)


def test_a_new_replica_gets_what_its_source_has_not_heard_of() -> None:
    """Another replica's write and deletion, still on their way to the source, reach the new replica too."""

    async def story(world: Regions) -> None:
        await world.table(B)
        await world.put(A, "gone", "1")
        await world.links.drained()
        world.links.cut(B, A)
        await world.put(B, "k", "1")
        await world.delete(B, "gone")
        await world.replicate([C])
        assert await world.items(C) == {"k": "1"}
        world.links.heal_all()
        await world.links.drained()
        assert [await world.items(region) for region in (A, B, C)] == [{"k": "1"}] * 3

    tell(story)


def test_a_replica_made_anew_does_not_get_the_old_ones_messages() -> None:
    """What was held for a replica that was deleted is never delivered, though its name and Region are there again."""

    async def story(world: Regions) -> None:
        await world.table(B)
        world.links.cut(A, B)
        await world.put(A, "old", "1")
        for region in (B, A):
            gone = [{"Delete": {"RegionName": B}}]
            if region == B:
                await world.call(A, "UpdateTable", TableName="things", ReplicaUpdates=gone)
            else:
                await world.call(A, "DeleteTable", TableName="things")
        await world.table(B)
        world.links.heal_all()
        await world.links.drained()
        assert (await world.items(A), await world.items(B)) == ({}, {})

    tell(story)


def test_no_attributes_of_replication_are_added_to_items() -> None:
    """Version 2019.11.21 keeps its timestamps to itself: no aws:rep: attributes, as in 2017.11.29."""

    async def story(world: Regions) -> None:
        await world.table(B)
        await world.put(A, "k", "1")
        await world.links.drained()
        found = await world.call(B, "GetItem", TableName="things", Key={"id": {"S": "k"}})
        assert found["Item"] == {"id": {"S": "k"}, "v": {"S": "1"}}

    tell(story)
