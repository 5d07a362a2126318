"""Global tables with strong consistency: two Regions hold a write, conflicts are told, a cut-off Region stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import run_virtual
from localcloud.services.dynamodb.store import Store
from tests.unit.dynamodb_global_setup import HOP_S, LAG_S, A, B, C, Refused, Regions

Story = Callable[[Regions], Awaitable[None]]
CONFLICT = (
    "ReplicatedWriteConflictException",
    "One or more items in this request are being modified by a request in another Region.",
)
CUT_OFF = ("InternalServerError", "Internal server error")
ITEM = {"id": {"S": "k"}, "v": {"S": "x"}}
KEY = {"id": {"S": "k"}}


def tell(story: Story, **settings: Any) -> None:
    """Run `story` in Regions of its own, on virtual time."""

    async def main() -> None:
        await story(Regions(**settings))

    run_virtual(main)


def test_a_write_waits_for_another_region_and_is_there_when_it_is_answered() -> None:
    """A write takes the way to another Region and back; a strong read there then sees it, the third learns it later."""

    async def story(world: Regions) -> None:
        await world.strong()
        began = asyncio.get_running_loop().time()
        await world.put(A, "k", "1")
        assert round(asyncio.get_running_loop().time() - began, 6) == HOP_S * 2
        assert (await world.get(A, "k"), await world.get(B, "k")) == ("1", "1")
        assert await world.get(C, "k", strong=True) == "1"
        await world.links.drained()
        assert await world.get(C, "k") == "1"

    tell(story)


def test_a_strong_read_is_the_latest_and_an_eventual_one_may_be_stale() -> None:
    """A Region that was not told yet answers the old version, unless it is asked for the latest one."""

    async def story(world: Regions) -> None:
        await world.strong()
        world.links.cut(A, C)
        world.links.cut(B, C)
        await world.put(A, "k", "1")
        assert await world.get(C, "k") is None
        with pytest.raises(Refused):
            await world.get(C, "k", strong=True)
        world.links.heal(B, C)
        assert await world.get(C, "k", strong=True) == "1"
        for operation, more in (("Scan", {}), ("Query", query("k"))):
            found = await world.call(C, operation, TableName="things", ConsistentRead=True, **more)
            assert found["Count"] == 1

    tell(story)


def test_the_third_region_hears_of_a_write_from_either_of_the_two() -> None:
    """Without any read it has the write when the replication lag is over, also where the writer cannot reach it."""

    async def story(world: Regions) -> None:
        await world.strong()
        for number, source in enumerate((A, B)):
            world.links.cut(source, C)
            await world.put(A, "k", str(number))
            await asyncio.sleep(LAG_S + 0.01)
            assert await world.get(C, "k") == str(number)
            world.links.heal_all()
            await world.links.drained()

    tell(story)


def query(key: str) -> dict[str, Any]:
    return {"KeyConditionExpression": "id = :k", "ExpressionAttributeValues": {":k": {"S": key}}}


def test_every_strong_read_operation_waits() -> None:
    """GetItem, Query, Scan and BatchGetItem with ConsistentRead take a way and back; without it they do not."""

    async def story(world: Regions) -> None:
        await world.strong()
        for is_strong in (True, False):
            for operation, request in {
                "GetItem": {"TableName": "things", "Key": KEY, "ConsistentRead": is_strong},
                "Query": {"TableName": "things", "ConsistentRead": is_strong, **query("k")},
                "Scan": {"TableName": "things", "ConsistentRead": is_strong},
                "BatchGetItem": {"RequestItems": {"things": {"Keys": [KEY], "ConsistentRead": is_strong}}},
            }.items():
                began = asyncio.get_running_loop().time()
                await world.call(B, operation, **request)
                waited_s = asyncio.get_running_loop().time() - began
                assert (operation, round(waited_s, 6)) == (operation, HOP_S * 2 if is_strong else 0.0)

    tell(story)


def test_a_condition_holds_against_the_latest_version() -> None:
    """One conditional put is a compare-and-set for all Regions: of three Regions one wins, also behind a stale one."""

    async def story(world: Regions) -> None:
        await world.strong()
        world.links.cut(A, C)
        assert await world.claim(A, "k", "A")
        assert not await world.claim(C, "k", "C")
        assert not await world.claim(B, "k", "B")
        old = await world.put(C, "k", "2", ReturnValues="ALL_OLD")
        assert old["Attributes"]["v"] == {"S": "A"}
        world.links.heal_all()
        await world.links.drained()
        assert [await world.get(region, "k") for region in (A, B, C)] == ["2"] * 3

    tell(story)


def test_a_write_is_refused_while_another_region_modifies_the_item() -> None:
    """The second Region gets the conflict, other items and the same Region's writes do not; a retry succeeds."""

    async def story(world: Regions) -> None:
        await world.strong()
        async with asyncio.TaskGroup() as group:
            group.create_task(world.put(A, "k", "1"))
            same = group.create_task(world.put(A, "k", "2"))
            await asyncio.sleep(HOP_S / 2)
            for operation, request in {
                "PutItem": {"Item": ITEM},
                "DeleteItem": {"Key": KEY},
                "UpdateItem": {"Key": KEY, "UpdateExpression": "REMOVE v"},
            }.items():
                group.create_task(refused(world, operation, request))
            group.create_task(world.put(B, "other", "1"))
        assert same.done()
        await world.put(B, "k", "3")
        assert await world.get(A, "k", strong=True) == "3"

    async def refused(world: Regions, operation: str, request: dict[str, Any]) -> None:
        began = asyncio.get_running_loop().time()
        assert await world.refusal(B, operation, TableName="things", **request) == CONFLICT
        assert round(asyncio.get_running_loop().time() - began, 6) == HOP_S * 2

    tell(story)


def test_writes_of_one_region_to_one_item_do_not_wait_for_one_another() -> None:
    """They take the way there and back together, each on top of another; the item is held until the last is done."""

    async def story(world: Regions) -> None:
        await world.strong()
        began = asyncio.get_running_loop().time()
        count = {
            "TableName": "things",
            "Key": KEY,
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "ALL_NEW",
        }
        async with asyncio.TaskGroup() as group:
            first = [group.create_task(world.call(A, "UpdateItem", **count)) for _ in range(5)]
            await asyncio.sleep(HOP_S)
            last = group.create_task(world.call(A, "UpdateItem", **count))
            await asyncio.sleep(HOP_S * 1.5)
            assert all(task.done() for task in first)
            assert await world.refusal(B, "UpdateItem", **count) == CONFLICT
        assert round(asyncio.get_running_loop().time() - began, 6) == HOP_S * 4.5
        seen = sorted(task.result()["Attributes"]["n"]["N"] for task in first)
        assert (seen, last.result()["Attributes"]["n"]["N"]) == (["1", "2", "3", "4", "5"], "6")

    tell(story)


def test_a_batch_leaves_what_is_in_conflict_unprocessed() -> None:
    """BatchWriteItem writes what it can, and a table of one Region goes with it."""

    async def story(world: Regions) -> None:
        await world.strong()
        await world.call(B, "CreateTable", **create("plain"))
        entries = [{"PutRequest": {"Item": {"id": {"S": key}, "v": {"S": "b"}}}} for key in ("k", "free")]
        asked = {"things": entries, "plain": [{"PutRequest": {"Item": {"id": {"S": "p"}}}}]}
        async with asyncio.TaskGroup() as group:
            group.create_task(world.put(A, "k", "1"))
            await asyncio.sleep(0)
            answer = await world.call(B, "BatchWriteItem", RequestItems=asked, ReturnConsumedCapacity="TOTAL")
        assert answer["UnprocessedItems"] == {"things": entries[:1]}
        assert sorted(used["TableName"] for used in answer["ConsumedCapacity"]) == ["plain", "things"]
        await world.links.drained()
        assert await world.items(C) == {"k": "1", "free": "b"}
        assert (await world.call(B, "Scan", TableName="plain"))["Count"] == 1
        again = await world.call(B, "BatchWriteItem", RequestItems=answer["UnprocessedItems"])
        assert again == {"UnprocessedItems": {}}
        bad = {"things": entries, "plain": [{"PutRequest": {"Item": {"wrong": {"S": "p"}}}}]}
        assert (await world.refusal(B, "BatchWriteItem", RequestItems=bad))[0] == "ValidationException"
        twice = await world.refusal(B, "BatchWriteItem", RequestItems={"things": [entries[0], entries[0]]})
        assert twice == ("ValidationException", "Provided list of item keys contains duplicates")
        many = [{"PutRequest": {"Item": {"id": {"S": f"m{n}"}}}} for n in range(26)]
        refusal = await world.refusal(B, "BatchWriteItem", RequestItems={"things": many})
        assert refusal == ("ValidationException", "Too many items requested for the BatchWriteItem call")

    tell(story)


def create(name: str) -> dict[str, Any]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def test_transactions_are_refused_and_other_tables_have_them() -> None:
    """TransactWriteItems and TransactGetItems that touch the table are rejected whole."""

    async def story(world: Regions) -> None:
        await world.strong()
        await world.call(A, "CreateTable", **create("plain"))
        plain = {"Put": {"TableName": "plain", "Item": {"id": {"S": "p"}}}}
        writes = [plain, {"Put": {"TableName": "things", "Item": ITEM}}]
        reads = [{"Get": {"TableName": "things", "Key": KEY}}]
        for operation, entries in (("TransactWriteItems", writes), ("TransactGetItems", reads)):
            code, message = await world.refusal(A, operation, TransactItems=entries)
            assert (code, message) == (
                "ValidationException",
                "Transaction operations are not supported on global tables with multi-Region strong consistency",
            )
        assert (await world.call(A, "Scan", TableName="plain"))["Count"] == 0
        await world.call(A, "TransactWriteItems", TransactItems=[plain])
        assert (await world.call(A, "Scan", TableName="plain"))["Count"] == 1

    tell(story)


def test_streams_are_the_same_in_every_region() -> None:
    """Every replica's stream has every write, in one order, whatever was cut meanwhile."""

    async def story(world: Regions) -> None:
        await world.strong()
        world.links.isolate(C, [A, B])
        for number in range(6):
            await world.put((A, B)[number % 2], f"k{number % 2}", str(number))
        await world.delete(B, "k0")
        world.links.heal_all()
        await world.put(C, "k0", "back")
        await world.links.drained()
        changes = [await world.changes(region) for region in (A, B, C)]
        assert changes[0] == changes[1] == changes[2]
        assert [value for _, key, value in changes[0] if key == "k0"] == ["0", "2", "4", None, "back"]

    tell(story)


def test_a_region_that_reaches_no_other_refuses_writes_and_strong_reads() -> None:
    """Cut off one way or both ways, it serves eventual reads alone; the other two go on."""

    async def story(world: Regions) -> None:
        await world.strong()
        await world.put(A, "k", "1")
        await world.links.drained()
        for directions in (((C, A), (C, B)), ((A, C), (B, C)), ((A, C), (C, B))):
            for direction in directions:
                world.links.cut(*direction)
            assert await world.refusal(C, "PutItem", TableName="things", Item=ITEM) == CUT_OFF
            assert await world.refusal(C, "GetItem", TableName="things", Key=KEY, ConsistentRead=True) == CUT_OFF
            assert await world.get(C, "k") == "1"
            await world.put(A, "more", "1")
            world.links.heal_all()
            await world.links.drained()
        assert await world.items(C) == {"k": "1", "more": "1"}
        world.links.pause("dynamodb/things", C)
        assert await world.refusal(C, "DeleteItem", TableName="things", Key=KEY) == CUT_OFF

    tell(story)


def test_a_link_that_breaks_on_the_way_back_leaves_a_write_that_took_place() -> None:
    """The caller gets the error; whether the write took place is for a strong read to tell."""

    async def story(world: Regions) -> None:
        await world.strong()

        async def put() -> None:
            assert await world.refusal(A, "PutItem", TableName="things", Item=ITEM) == CUT_OFF

        for cut_s, expected in ((HOP_S / 2, None), (HOP_S * 1.5, "x")):
            async with asyncio.TaskGroup() as group:
                group.create_task(put())
                await asyncio.sleep(cut_s)
                world.links.isolate(A, [B, C])
            assert await world.get(C, "k", strong=True) == expected
            world.links.heal_all()
            assert await world.get(A, "k", strong=True) == expected
            await world.put(B, "free", "again")

    tell(story)


def test_two_replicas_and_a_witness() -> None:
    """A witness holds writes and serves nothing: with it, a replica goes on while the other one is gone."""

    async def story(world: Regions) -> None:
        await world.strong(has_witness=True)
        table = (await world.call(A, "DescribeTable", TableName="things"))["Table"]
        assert table["GlobalTableWitnesses"] == [{"RegionName": C, "WitnessStatus": "ACTIVE"}]
        assert table["Replicas"] == [{"RegionName": B, "ReplicaStatus": "ACTIVE"}]
        assert (await world.refusal(C, "PutItem", TableName="things", Item=ITEM))[0] == "ResourceNotFoundException"
        world.links.isolate(A, [B])
        await world.put(A, "k", "1")
        assert await world.get(B, "k", strong=True) == "1"
        world.links.heal_all()
        world.links.isolate(B, [A, C])
        await world.put(A, "k", "2")
        assert await world.refusal(B, "PutItem", TableName="things", Item=ITEM) == CUT_OFF
        world.links.heal_all()
        await world.links.drained()
        assert await world.get(B, "k") == "2"

    tell(story)


def test_a_restart_goes_on_with_the_replica_that_was_told_most(tmp_path: Path) -> None:
    """What one Region had not been told when the process was killed, it has after the restart."""

    async def before() -> None:
        store = Store(tmp_path)
        world = Regions(store=store)
        await world.strong()
        await world.put(A, "gone", "1")
        await world.links.drained()
        world.links.isolate(C, [A, B])
        await world.put(A, "k", "1")
        await world.delete(A, "gone")
        store.close()

    async def after() -> None:
        store = Store(tmp_path)
        world = Regions(store=store)
        assert await world.items(C) == {"gone": "1"}
        assert not await world.claim(C, "k", "2")
        assert await world.items(C) == await world.items(A) == {"k": "1"}
        await world.put(C, "k", "3")
        assert await world.get(B, "k", strong=True) == "3"
        store.close()

    run_virtual(before)
    run_virtual(after)


def test_a_table_made_anew_does_not_get_the_old_ones_writes() -> None:
    """What a cut-off Region had not heard of is not written to the next table of that name."""

    async def story(world: Regions) -> None:
        await world.strong()
        world.links.isolate(C, [A, B])
        await world.put(A, "old", "1")
        both = [{"Delete": {"RegionName": region}} for region in (B, C)]
        await world.call(A, "UpdateTable", TableName="things", ReplicaUpdates=both)
        await world.call(A, "DeleteTable", TableName="things")
        await world.strong()
        world.links.heal_all()
        await world.links.drained()
        await world.put(B, "new", "1")
        assert await world.get(C, "new", strong=True) == "1"
        assert [await world.items(region) for region in (A, B, C)] == [{"new": "1"}] * 3

    tell(story)


def test_unmaking_it_leaves_an_ordinary_table() -> None:
    """Replicas and witness go together only; what remains has every item, and takes transactions."""

    async def story(world: Regions) -> None:
        await world.strong()
        await world.put(B, "k", "1")
        one = [{"Delete": {"RegionName": B}}]
        for operation, request in (("UpdateTable", {"ReplicaUpdates": one}), ("DeleteTable", {})):
            assert (await world.refusal(A, operation, TableName="things", **request))[0] == "ValidationException"
        both = [*one, {"Delete": {"RegionName": C}}]
        await world.call(A, "UpdateTable", TableName="things", ReplicaUpdates=both)
        assert (await world.refusal(B, "DescribeTable", TableName="things"))[0] == "ResourceNotFoundException"
        table = (await world.call(A, "DescribeTable", TableName="things"))["Table"]
        assert "Replicas" not in table
        assert "GlobalTableVersion" not in table
        await world.call(A, "TransactWriteItems", TransactItems=[{"Put": {"TableName": "things", "Item": ITEM}}])
        assert await world.get(A, "k") == "x"

    tell(story)
