"""A stream tells everything: whoever replays its records has the table, whatever the writes were."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.dynamodb.streams import StreamLimits
from tests.unit.dynamodb_streams_setup import World

Step = Callable[[World], Coroutine[Any, Any, None]]
keys = st.sampled_from("abcd")
values = st.sampled_from(
    [
        {"N": "1"},
        {"N": "1.0"},
        {"N": "2"},
        {"S": "x"},
        {"B": "eA=="},
        {"SS": ["p", "q"]},
        {"SS": ["q", "p"]},
        {"L": [{"M": {"k": {"BOOL": True}}}]},
        {"NULL": True},
    ]
)
attributes = st.dictionaries(st.sampled_from(["v", "w"]), values, max_size=2)


def put_step(key: str, given_: dict[str, Any]) -> Step:
    async def run(world: World) -> None:
        await world.put(key, **given_)

    return run


def update_step(key: str, value: dict[str, Any]) -> Step:
    async def run(world: World) -> None:
        request = {"UpdateExpression": "SET v = :v REMOVE w", "ExpressionAttributeValues": {":v": value}}
        await world.ok("UpdateItem", TableName="things", Key={"id": {"S": key}}, **request)

    return run


def touch_step(key: str) -> Step:
    async def run(world: World) -> None:
        await world.ok("UpdateItem", TableName="things", Key={"id": {"S": key}})

    return run


def delete_step(key: str) -> Step:
    async def run(world: World) -> None:
        await world.ok("DeleteItem", TableName="things", Key={"id": {"S": key}})

    return run


def batch_step(found: dict[str, dict[str, Any] | None]) -> Step:
    async def run(world: World) -> None:
        requests = [
            {"DeleteRequest": {"Key": {"id": {"S": key}}}}
            if given_ is None
            else {"PutRequest": {"Item": {"id": {"S": key}, **given_}}}
            for key, given_ in found.items()
        ]
        await world.ok("BatchWriteItem", RequestItems={"things": requests})

    return run


def transact_step(found: dict[str, dict[str, Any] | None], *, wants: str) -> Step:
    """`wants` decides a condition on the first item, so that some transactions fail as a whole."""

    async def run(world: World) -> None:
        writes: list[dict[str, Any]] = [
            {"Delete": {"TableName": "things", "Key": {"id": {"S": key}}}}
            if given_ is None
            else {"Put": {"TableName": "things", "Item": {"id": {"S": key}, **given_}}}
            for key, given_ in found.items()
        ]
        next(iter(writes[0].values()))["ConditionExpression"] = wants
        answer = await world.send("TransactWriteItems", {"TransactItems": writes})
        assert answer.status in {200, 400}

    return run


def expire_step(key: str) -> Step:
    async def run(world: World) -> None:
        await world.put(key, until={"N": str(int(world.clock.now))})
        world.clock.now += 2
        world.service.database("eu-west-1").sweep()

    return run


def wait_step(seconds: float) -> Step:
    async def run(world: World) -> None:
        world.clock.now += seconds

    return run


found_items = st.dictionaries(keys, st.none() | attributes, min_size=1, max_size=3)
steps = st.one_of(
    st.builds(put_step, keys, attributes),
    st.builds(update_step, keys, values),
    st.builds(touch_step, keys),
    st.builds(delete_step, keys),
    st.builds(batch_step, found_items),
    st.builds(transact_step, found_items, wants=st.sampled_from(["attribute_exists(id)", "attribute_not_exists(id)"])),
    st.builds(expire_step, keys),
    st.builds(wait_step, st.sampled_from([0.001, 20.0, 100.0])),
)


def replay(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The table that `records` make; every record must fit what the ones before it left."""
    table: dict[str, Any] = {}
    last = 0
    for record in records:
        inner = record["dynamodb"]
        key = inner["Keys"]["id"]["S"]
        old, new = inner.get("OldImage"), inner.get("NewImage")
        assert table.get(key) == old
        assert old != new
        assert record["eventName"] == ("INSERT" if old is None else "REMOVE" if new is None else "MODIFY")
        assert last < int(inner["SequenceNumber"])
        last = int(inner["SequenceNumber"])
        if new is None:
            del table[key]
        else:
            table[key] = new
    return table


@settings(max_examples=150, deadline=None)
@given(found=st.lists(steps, max_size=25), earlier=st.lists(steps, max_size=3))
def test_replaying_a_stream_rebuilds_the_table(found: list[Step], earlier: list[Step]) -> None:
    """Puts, updates, deletes, batches, transactions that hold or fail, expiry, and shards that roll over meanwhile."""

    async def scenario() -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        world = World(limits=StreamLimits(shard_life_s=60))
        await world.create(None)
        for step in earlier:  # a stream begins with what is written after it was enabled
            await step(world)
        await world.ok(
            "BatchWriteItem", RequestItems={"things": [{"DeleteRequest": {"Key": {"id": {"S": k}}}} for k in "abcd"]}
        )
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        await world.ok("UpdateTable", TableName="things", StreamSpecification=stream)
        spec = {"AttributeName": "until", "Enabled": True}
        await world.ok("UpdateTimeToLive", TableName="things", TimeToLiveSpecification=spec)
        for step in found:
            await step(world)
        items = (await world.ok("Scan", TableName="things"))["Items"]
        records = await world.records()
        users = [json.dumps(record.get("userIdentity")) for record in records if record["eventName"] != "REMOVE"]
        return {item["id"]["S"]: item for item in items}, replay(records), users

    with asyncio.Runner() as runner:
        expected, actual, users = runner.run(scenario())
    assert expected == actual
    assert set(users) <= {"null"}
