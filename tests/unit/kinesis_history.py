"""Random lives of a Kinesis stream: puts among splits, merges and scalings, and how they are read from parents on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.unit.kinesis_setup import REGION, Api, b64, datas, shard_id


async def split(api: Api, number: int, at: int) -> None:
    await api.call("SplitShard", StreamName="s", ShardToSplit=shard_id(number), NewStartingHashKey=str(at))
    await api.settle()


async def merge(api: Api, number: int, adjacent: int) -> None:
    members = {"ShardToMerge": shard_id(number), "AdjacentShardToMerge": shard_id(adjacent)}
    await api.call("MergeShards", StreamName="s", **members)
    await api.settle()


async def scale(api: Api, count: int) -> Any:
    told = await api.call("UpdateShardCount", StreamName="s", TargetShardCount=count, ScalingType="UNIFORM_SCALING")
    await api.settle()
    return told


async def shards(api: Api, **members: Any) -> list[dict[str, Any]]:
    return (await api.call("ListShards", StreamName="s", **members))["Shards"]


class History:
    """A random life of a stream, and a reader that goes from parents to children by what GetRecords tells it."""

    def __init__(self, api: Api, seed: int) -> None:
        self.api = api
        self.rng = random.Random(seed)
        self.put: list[tuple[str, bytes]] = []

    async def live(self, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(self.rng.random() * 2)
            await self.rng.choice([self._put, self._put, self._put, self._split, self._merge, self._scale])()
        await self._put()

    async def _put(self) -> None:
        records = []
        for _ in range(self.rng.randint(1, 12)):
            key, data = f"k{self.rng.randrange(9)}", str(len(self.put)).encode()
            self.put.append((key, data))
            records.append({"Data": b64(data), "PartitionKey": key})
        told = await self.api.call("PutRecords", StreamName="s", Records=records)
        assert told["FailedRecordCount"] == 0

    def _open(self) -> list[Any]:
        return self.api.streams.get("s", REGION).shards.open

    async def _split(self) -> None:
        shard = self.rng.choice(self._open())
        if shard.last_hash - shard.first_hash > 8 and len(self._open()) < 12:
            at = self.rng.randrange(shard.first_hash + 2, shard.last_hash)
            await self._reshard(split(self.api, shard.index, at))

    async def _merge(self) -> None:
        opened = self._open()
        if len(opened) > 1:
            place = self.rng.randrange(len(opened) - 1)
            pair = [opened[place].index, opened[place + 1].index]
            self.rng.shuffle(pair)
            await self._reshard(merge(self.api, *pair))

    async def _scale(self) -> None:
        await self._reshard(scale(self.api, self.rng.randint(1, 9)))

    async def _reshard(self, change: Any) -> None:
        async with asyncio.TaskGroup() as group:  # records go in while the stream is updating
            group.create_task(change)
            await asyncio.sleep(0.1)
            await self._put()

    async def read(self) -> list[tuple[str, str, bytes]]:
        """(sequence, key, data) in the order of reading: a shard only when all its parents were read to their end."""
        listed = await shards(self.api)
        waiting = {
            shard["ShardId"]: {shard.get("ParentShardId"), shard.get("AdjacentParentShardId")} for shard in listed
        }
        done: set[str | None] = {None}
        found: list[tuple[str, str, bytes]] = []
        told_children: set[str] = set()
        while waiting:
            ready = sorted(each for each, parents in waiting.items() if parents <= done)
            current = self.rng.choice(ready)
            del waiting[current]
            told_children |= await self._read_shard(current, found)
            done.add(current)
        roots = {shard["ShardId"] for shard in listed if "ParentShardId" not in shard}
        assert told_children | roots == {shard["ShardId"] for shard in listed}
        return found

    async def _read_shard(self, shard: str, found: list[tuple[str, str, bytes]]) -> set[str]:
        told = await self.api.call("GetShardIterator", StreamName="s", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        iterator = told["ShardIterator"]
        while True:
            page = await self.api.call("GetRecords", ShardIterator=iterator, Limit=self.rng.randint(1, 5))
            for record, data in zip(page["Records"], datas(page), strict=True):
                found.append((record["SequenceNumber"], record["PartitionKey"], data))
            if "NextShardIterator" not in page:
                return {child["ShardId"] for child in page["ChildShards"]}
            if not page["Records"]:
                return set()
            iterator = page["NextShardIterator"]

    # ------------------------------------------------------------------ pushed

    async def live_pushed(self, steps: int, consumer: str) -> list[tuple[str, str, bytes]]:
        """Live, while a consumer follows from parents to children; what it was pushed, in its order.

        It leaves its subscriptions now and then, and goes on from the last checkpoint, of records or of none.
        """
        found: list[tuple[str, str, bytes]] = []
        done: set[str] = set()
        begun: set[str] = set()
        followers: list[asyncio.Task[None]] = []

        async def follow(shard: str) -> None:
            children = await self._follow_shard(shard, consumer, found)
            done.add(shard)
            for child in children:
                if set(child["ParentShards"]) <= done and child["ShardId"] not in begun:
                    begin(child["ShardId"])

        def begin(shard: str) -> None:
            begun.add(shard)
            followers.append(group.create_task(follow(shard)))

        async with asyncio.TaskGroup() as group:
            for shard in await shards(self.api):
                begin(shard["ShardId"])
            await self.live(steps)
            await asyncio.sleep(120)
            for follower in followers:
                follower.cancel()
        return found

    async def _follow_shard(
        self, shard: str, consumer: str, found: list[tuple[str, str, bytes]]
    ) -> list[dict[str, Any]]:
        position: dict[str, Any] = {"Type": "TRIM_HORIZON"}
        while True:
            pushed = await self.api.subscribe(consumer, int(shard[-12:]), **position)
            for _ in range(self.rng.randint(1, 4)):
                event = await pushed.event()
                for record, data in zip(event["Records"], datas(event), strict=True):
                    found.append((record["SequenceNumber"], record["PartitionKey"], data))
                if "ChildShards" in event:
                    return event["ChildShards"]
                kind = self.rng.choice(["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
                position = {"Type": kind, "SequenceNumber": event["ContinuationSequenceNumber"]}
            await pushed.close()
            await asyncio.sleep(5)

    def check(self, found: list[tuple[str, str, bytes]]) -> None:
        """Every record once, each key's in the order of its puts, with numbers that grow."""
        assert sorted(data for _, _, data in found) == sorted(data for _, data in self.put)
        for key in {key for key, _ in self.put}:
            mine = [(sequence, data) for sequence, each, data in found if each == key]
            assert [data for _, data in mine] == [data for each, data in self.put if each == key]
            assert [sequence for sequence, _ in mine] == sorted({sequence for sequence, _ in mine})
