"""Shards: how they split, merge and scale, how they are listed, and that no history loses or repeats a record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.shards import Shards
from tests.unit.kinesis_history import History, merge, scale, shards, split
from tests.unit.kinesis_setup import LAST_HASH, OPEN, Api, datas, shard_id, with_api

HALF = (LAST_HASH + 1) // 2


async def ids(api: Api, kind: str, **more: Any) -> list[int]:
    return [int(shard["ShardId"][-12:]) for shard in await shards(api, ShardFilter={"Type": kind, **more})]


def is_open(shard: dict[str, Any]) -> bool:
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def hashes(shard: dict[str, Any]) -> tuple[int, int]:
    return int(shard["HashKeyRange"]["StartingHashKey"]), int(shard["HashKeyRange"]["EndingHashKey"])


def test_a_split_closes_the_parent_and_opens_two_children() -> None:
    """UPDATING while records go on into the parent; then its hash keys are its children's."""

    async def test(api: Api) -> None:
        await api.make()
        members = {"StreamName": "s", "ShardToSplit": shard_id(0), "NewStartingHashKey": str(HALF)}
        await api.call("SplitShard", **members)
        told = (await api.call("DescribeStreamSummary", StreamName="s"))["StreamDescriptionSummary"]
        assert (told["StreamStatus"], told["OpenShardCount"]) == ("UPDATING", 1)
        assert (await api.put(b"x"))["ShardId"] == shard_id(0)
        assert await api.code("SplitShard", **members) == "ResourceInUseException"
        await api.settle()
        parent, low, high = await shards(api)
        assert [is_open(shard) for shard in (parent, low, high)] == [False, True, True]
        assert (hashes(low), hashes(high)) == ((0, HALF - 1), (HALF, LAST_HASH))
        assert [shard["ParentShardId"] for shard in (low, high)] == [shard_id(0)] * 2
        assert "AdjacentParentShardId" not in low
        assert "ParentShardId" not in parent
        ends = int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
        starts = [int(shard["SequenceNumberRange"]["StartingSequenceNumber"]) for shard in (low, high)]
        assert all(start > ends for start in starts)
        assert "already been merged or split" in (await api.refusal("SplitShard", **members)).message
        places = {(await api.put(b"x", ExplicitHashKey=str(at)))["ShardId"] for at in (0, HALF - 1)}
        assert places == {shard_id(1)}
        assert (await api.put(b"x", ExplicitHashKey=str(HALF)))["ShardId"] == shard_id(2)

    with_api(test)


@pytest.mark.parametrize("at", [0, 1, HALF - 1, HALF, LAST_HASH, 10**38 * 9])
def test_where_a_shard_cannot_be_split(at: int) -> None:
    """At more than one above its first hash key, and below its last."""

    async def test(api: Api) -> None:
        await api.make(shards=2)
        told = await api.refusal("SplitShard", StreamName="s", ShardToSplit=shard_id(0), NewStartingHashKey=str(at))
        assert told.code == "InvalidArgumentException"
        assert "is not both greater than one plus" in told.message
        await split(api, 0, HALF - 2)

    with_api(test)


def test_a_merge_closes_two_parents_and_opens_one_child() -> None:
    """In either order; the child names both parents."""

    async def test(api: Api) -> None:
        await api.make(shards=3)
        await merge(api, 1, 0)
        *_, child = await shards(api)
        assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (shard_id(1), shard_id(0))
        assert hashes(child)[0] == 0
        members = {"StreamName": "s", "ShardToMerge": shard_id(0)}
        assert await api.code("MergeShards", **members, AdjacentShardToMerge=shard_id(2)) == "InvalidArgumentException"
        await merge(api, 3, 2)
        opened = [shard for shard in await shards(api) if is_open(shard)]
        assert [hashes(shard) for shard in opened] == [(0, LAST_HASH)]

    with_api(test)


def test_shards_that_do_not_meet_are_not_merged() -> None:
    """InvalidArgumentException for strangers and for a shard with itself; no such shard is ResourceNotFound."""

    async def test(api: Api) -> None:
        await api.make(shards=3)
        for adjacent in (2, 0):
            told = await api.refusal(
                "MergeShards", StreamName="s", ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(adjacent)
            )
            assert (told.code, "not an adjacent pair" in told.message) == ("InvalidArgumentException", True)
        members = {"StreamName": "s", "ShardToMerge": shard_id(0), "AdjacentShardToMerge": shard_id(9)}
        assert await api.code("MergeShards", **members) == "ResourceNotFoundException"

    with_api(test)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (4, 2), (4, 5), (5, 3), (7, 9), (3, 3)])
def test_scaling_leaves_equal_shards(before: int, after: int) -> None:
    """Whatever the numbers, `after` equal shards are open, each descended from those whose hash keys it takes."""

    async def test(api: Api) -> None:
        arn = await api.make(shards=before)
        told = await scale(api, after)
        assert told == {
            "StreamName": "s",
            "StreamARN": arn,
            "CurrentShardCount": before,
            "TargetShardCount": after,
        }
        found = await shards(api)
        opened = sorted(hashes(shard) for shard in found if is_open(shard))
        size = (LAST_HASH + 1) // after
        ends = [number * size - 1 for number in range(1, after)] + [LAST_HASH]
        assert opened == [(number * size, ends[number]) for number in range(after)]
        by_id = {shard["ShardId"]: shard for shard in found}
        for shard in found:
            parents = [by_id[shard[name]] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard]
            starts = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            assert all(starts > int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) for parent in parents)

    with_api(test)


def test_scaling_has_limits() -> None:
    """At most double, at least half, ten times in 24 hours, 10,000 shards."""

    async def test(api: Api) -> None:
        await api.make(shards=4)
        for target, words in ((9, "over double"), (1, "below half"), (10_001, "greater than 10000")):
            members = {"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"}
            told = await api.refusal("UpdateShardCount", **members)
            assert (told.code, words in told.message) == ("LimitExceededException", True)
        for _ in range(5):
            await scale(api, 8)
            await scale(api, 4)
        members = {"StreamName": "s", "TargetShardCount": 5, "ScalingType": "UNIFORM_SCALING"}
        assert await api.code("UpdateShardCount", **members) == "LimitExceededException"
        await asyncio.sleep(86_400)
        await scale(api, 5)
        assert await api.code("UpdateShardCount", **(members | {"ScalingType": "X"})) == "ValidationException"

    with_api(test, limits=Limits(calls=False))


def test_shard_filters() -> None:
    """What was open at the trim horizon, at a date, now; from a date on; after an id."""

    async def test(api: Api) -> None:
        await api.make()  # shard 0, from 0.0 s on
        await asyncio.sleep(100)
        await split(api, 0, HALF)  # 1 and 2, from about 100.6 s on
        between_s = api.clock.time() + 50
        await asyncio.sleep(100)
        await merge(api, 1, 2)  # 3
        assert await ids(api, "AT_LATEST") == [3]
        assert await ids(api, "AT_TRIM_HORIZON") == [0]
        assert await ids(api, "FROM_TRIM_HORIZON") == [0, 1, 2, 3]
        assert await ids(api, "AT_TIMESTAMP", Timestamp=between_s) == [1, 2]
        assert await ids(api, "FROM_TIMESTAMP", Timestamp=between_s) == [1, 2, 3]
        assert await ids(api, "FROM_TIMESTAMP", Timestamp=5) == [0, 1, 2, 3]
        assert await ids(api, "AT_TIMESTAMP", Timestamp=5) == [0]
        assert await ids(api, "AFTER_SHARD_ID", ShardId=shard_id(1)) == [2, 3]
        assert [shard["ShardId"] for shard in await shards(api, ExclusiveStartShardId=shard_id(2))] == [shard_id(3)]
        await asyncio.sleep(86_400 - 50)
        assert await ids(api, "AT_TRIM_HORIZON") == [1, 2]
        assert await ids(api, "FROM_TRIM_HORIZON") == [1, 2, 3]
        await asyncio.sleep(200)
        assert await ids(api, "FROM_TRIM_HORIZON") == [3]
        assert (await shards(api))[0]["ParentShardId"] == shard_id(1)
        for bad in ({"Type": "AT_TIMESTAMP"}, {"Type": "AT_LATEST", "ShardId": "x"}, {"Type": "AFTER_SHARD_ID"}):
            assert await api.code("ListShards", StreamName="s", ShardFilter=bad) == "InvalidArgumentException"
        assert await api.code("ListShards", StreamName="s", ShardFilter={"Type": "X"}) == "ValidationException"

    with_api(test)


def test_an_expired_shard_is_not_found() -> None:
    """A closed shard can be read until its last record has expired, and is gone then, listed in between or not."""

    async def test(api: Api) -> None:
        await api.make()
        await api.put(b"x")
        await split(api, 0, HALF)
        await asyncio.sleep(86_399)
        assert datas(await api.call("GetRecords", ShardIterator=await api.iterator())) == [b"x"]
        await asyncio.sleep(2)
        members = {"StreamName": "s", "ShardId": shard_id(0), "ShardIteratorType": "TRIM_HORIZON"}
        assert await api.code("GetShardIterator", **members) == "ResourceNotFoundException"

    with_api(test)


def test_shards_are_listed_page_by_page() -> None:
    """A token goes on where the page ended, with its filter, for 300 seconds; it names the stream by itself."""

    async def test(api: Api) -> None:
        arn = await api.make(shards=5)
        told = await api.call("ListShards", StreamName="s", MaxResults=2, ShardFilter={"Type": "AT_LATEST"})
        token = told["NextToken"]
        assert [shard["ShardId"] for shard in told["Shards"]] == [shard_id(0), shard_id(1)]
        told = await api.call("ListShards", NextToken=token, StreamARN=arn)
        assert [shard["ShardId"] for shard in told["Shards"]] == [shard_id(2), shard_id(3), shard_id(4)]
        assert "NextToken" not in told
        invalid = "InvalidArgumentException"
        assert await api.code("ListShards", NextToken=token, StreamName="s") == invalid
        assert await api.code("ListShards", NextToken=token, ShardFilter={"Type": "AT_LATEST"}) == invalid
        assert await api.code("ListShards", NextToken=token[:-4] + "AAAA") == invalid
        assert await api.code("ListShards", NextToken=await api.iterator()) == invalid
        assert await api.code("ListShards") == invalid
        await asyncio.sleep(301)
        assert await api.code("ListShards", NextToken=token) == "ExpiredNextTokenException"
        created_s = 1_800_000_000.0
        assert len(await shards(api, StreamCreationTimestamp=created_s)) == 5
        other = {"StreamName": "s", "StreamCreationTimestamp": created_s - 60}
        assert await api.code("ListShards", **other) == "ResourceNotFoundException"

    with_api(test)


def test_a_page_has_at_most_a_thousand_shards() -> None:
    """Whatever MaxResults asks for."""

    async def test(api: Api) -> None:
        await api.make(shards=1_200)
        told = await api.call("ListShards", StreamName="s", MaxResults=10_000)
        assert (len(told["Shards"]), "NextToken" in told) == (1_000, True)

    with_api(test)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("sm"), st.integers(0, 2**30), st.floats(0, 3)), max_size=25))
def test_open_shards_always_cover_every_hash_key_once(steps: list[tuple[str, int, float]]) -> None:
    """After any splits and merges, the open ranges follow one another from 0 to 2^128 - 1, and routing agrees."""
    made, at_s = Shards(2, 1000.0), 1000.0
    for kind, pick, pause_s in steps:
        at_s += pause_s
        place = pick % len(made.open)
        shard = made.open[place]
        if kind == "s" and shard.last_hash - shard.first_hash > 4:
            made.split(shard, (shard.first_hash + shard.last_hash) // 2, at_s)
        elif kind == "m" and place + 1 < len(made.open):
            made.merge(shard, made.open[place + 1], at_s)
    assert made.open[0].first_hash == 0
    assert made.open[-1].last_hash == LAST_HASH
    for left, right in zip(made.open, made.open[1:], strict=False):
        assert left.last_hash + 1 == right.first_hash
    for shard in made.open:
        assert (made.route(shard.first_hash), made.route(shard.last_hash)) == (shard, shard)


@pytest.mark.parametrize("seed", range(40))
def test_every_record_is_read_once_and_in_order_by_key(seed: int) -> None:
    """Over any splits, merges and scalings, read from parents to children, nothing is lost, repeated or overtaken;

    sequence numbers grow along each key, through every reshard.
    """

    async def test(api: Api) -> None:
        await api.make(shards=1 + seed % 3)
        history = History(api, seed)
        await history.live(25)
        history.check(await history.read())

    with_api(test, limits=OPEN)


@pytest.mark.parametrize("seed", range(20))
def test_every_record_is_pushed_once_and_in_order_by_key(seed: int) -> None:
    """The same for a consumer that follows while the stream lives, and leaves and comes back by checkpoints."""

    async def test(api: Api) -> None:
        consumer = await api.consumer(await api.make(shards=1 + seed % 3))
        history = History(api, seed)
        history.check(await history.live_pushed(25, consumer))
        assert len(history.put) > 25

    with_api(test, limits=OPEN)
