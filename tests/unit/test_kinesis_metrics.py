"""What CloudWatch is told of a stream: names, units and dimensions of AWS/Kinesis, of operations through the wire."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from localcloud.clock import run_virtual
from localcloud.services.cloudwatch.model import MetricId, Metrics, Stats
from localcloud.services.cloudwatch.model import Reading as Asked
from localcloud.services.kinesis.limits import Limits
from localcloud.services.kinesis.model import Streams
from localcloud.services.kinesis.wire import KinesisService
from tests.unit.kinesis_setup import REGION, Api, b64, shard_id

ALL = ("ALL",)


class Watched(Api):
    """An account whose metrics are kept; reads and writes are metered, calls are not."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = Metrics(self.clock)
        limits = Limits(calls=False)
        self.streams = Streams(clock=self.clock, rng=random.Random(1), limits=limits, metrics=self.metrics)
        self.service = KinesisService(self.streams)

    def told(self, name: str, **more: str) -> tuple[str, Stats] | None:
        """Unit and statistics of a metric of stream `s` in the last hour, with `more` dimensions; None without any."""
        dimensions = tuple(sorted({"StreamName": "s", **more}.items()))
        now = int(self.clock.time())
        reading = Asked(now - 3600, now + 60, 7200)
        points = self.metrics.in_region(REGION).read(MetricId("AWS/Kinesis", name, dimensions), reading)
        assert len(points) <= 1
        return (points[0].unit, replace(points[0].stats, spread=None)) if points else None

    def names(self, **wanted: str) -> list[str]:
        """The metrics that have exactly these dimensions."""
        dimensions = tuple(sorted(wanted.items()))
        return [each.id.name for each in self.metrics.in_region(REGION).all() if each.id.dimensions == dimensions]

    async def put_all(self, *sizes: int) -> None:
        """PutRecords; a key of one byte counts as well."""
        records = [{"Data": b64(b"x" * (size - 1)), "PartitionKey": "k"} for size in sizes]
        await self.call("PutRecords", StreamName="s", Records=records)


def with_metrics(test: Callable[[Watched], Awaitable[None]]) -> None:
    """Run `test` with a fresh account on a virtual loop."""

    async def main() -> None:
        await test(Watched())

    run_virtual(main)


def test_what_comes_in_is_counted_by_put_operation() -> None:
    """Minimum, maximum and average are those of one operation, as AWS says; of PutRecord and PutRecords together."""

    async def test(api: Watched) -> None:
        await api.make()
        await api.put(b"x" * 9)
        await api.put_all(100, 200)
        assert api.told("IncomingBytes") == ("Bytes", Stats(2, 310, 10, 300))
        assert api.told("IncomingRecords") == ("Count", Stats(2, 3, 1, 2))
        assert api.told("PutRecord.Bytes") == ("Bytes", Stats(1, 10, 10, 10))
        assert api.told("PutRecord.Success") == ("Count", Stats(1, 1, 1, 1))
        assert api.told("PutRecord.Latency") == ("Milliseconds", Stats(1, 0, 0, 0))
        assert api.told("PutRecords.Bytes") == ("Bytes", Stats(1, 300, 300, 300))
        assert api.told("PutRecords.TotalRecords") == ("Count", Stats(1, 2, 2, 2))
        assert api.told("PutRecords.SuccessfulRecords") == ("Count", Stats(1, 2, 2, 2))
        assert api.told("PutRecords.FailedRecords") == ("Count", Stats(1, 0, 0, 0))
        assert api.told("PutRecords.Success") == ("Count", Stats(1, 1, 1, 1))
        assert api.told("PutRecords.Latency") == ("Milliseconds", Stats(1, 0, 0, 0))
        assert api.told("WriteProvisionedThroughputExceeded") == ("Count", Stats(2, 0, 0, 0))
        assert api.names(StreamName="s", ShardId=shard_id(0)) == []

    with_metrics(test)


def test_throttled_writes_are_counted_by_record() -> None:
    """A shard takes 1 MiB a second: what did not fit is no success, and is in the sum; what was stored is not."""

    async def test(api: Watched) -> None:
        await api.make()
        await api.put_all(600_000, 600_000, 600_000)
        assert await api.code("PutRecord", StreamName="s", Data=b64(b"x" * 600_000), PartitionKey="k") == (
            "ProvisionedThroughputExceededException"
        )
        assert api.told("WriteProvisionedThroughputExceeded") == ("Count", Stats(2, 3, 1, 2))
        assert api.told("PutRecords.ThrottledRecords") == ("Count", Stats(1, 2, 2, 2))
        assert api.told("PutRecords.Success") == ("Count", Stats(1, 1, 1, 1))
        assert api.told("PutRecord.Success") == ("Count", Stats(1, 0, 0, 0))
        assert api.told("IncomingBytes") == ("Bytes", Stats(1, 600_000, 600_000, 600_000))
        assert api.told("PutRecord.Bytes") is None
        await api.put_all(600_000)
        assert api.told("PutRecords.Success") == ("Count", Stats(2, 1, 0, 1))

    with_metrics(test)


def test_a_reader_tells_how_old_its_last_record_was() -> None:
    """IteratorAgeMilliseconds is the age of the last record of an answer; 0 where nothing is left to read."""

    async def test(api: Watched) -> None:
        await api.make()
        await api.put(b"x" * 9)
        await asyncio.sleep(42)
        iterator = await api.iterator()
        told = await api.call("GetRecords", ShardIterator=iterator)
        assert api.told("GetRecords.IteratorAgeMilliseconds") == ("Milliseconds", Stats(1, 42_000, 42_000, 42_000))
        await api.call("GetRecords", ShardIterator=told["NextShardIterator"])
        assert api.told("GetRecords.IteratorAgeMilliseconds") == ("Milliseconds", Stats(2, 42_000, 0, 42_000))
        assert api.told("GetRecords.Records") == ("Count", Stats(2, 1, 0, 1))
        assert api.told("GetRecords.Bytes") == ("Bytes", Stats(2, 10, 0, 10))
        assert api.told("GetRecords.Success") == ("Count", Stats(2, 2, 1, 1))
        assert api.told("GetRecords.Latency") == ("Milliseconds", Stats(2, 0, 0, 0))

    with_metrics(test)


def test_throttled_reads_are_counted_by_call() -> None:
    """Five GetRecords a second: the sixth has no records and no age, and is one that was throttled."""

    async def test(api: Watched) -> None:
        await api.make()
        iterator = await api.iterator()
        for _ in range(5):
            await api.call("GetRecords", ShardIterator=iterator)
        assert await api.code("GetRecords", ShardIterator=iterator) == "ProvisionedThroughputExceededException"
        assert api.told("ReadProvisionedThroughputExceeded") == ("Count", Stats(6, 1, 0, 1))
        assert api.told("GetRecords.Success") == ("Count", Stats(6, 5, 0, 1))
        assert api.told("GetRecords.Records") == ("Count", Stats(5, 0, 0, 0))
        assert api.told("GetRecords.IteratorAgeMilliseconds") == ("Milliseconds", Stats(5, 0, 0, 0))

    with_metrics(test)


def test_shards_have_the_metrics_that_enhanced_monitoring_names() -> None:
    """From EnableEnhancedMonitoring on until it is disabled, each shard its own, no other metric."""

    async def test(api: Watched) -> None:
        await api.make(shards=2)
        await api.put_all(50)
        await api.call("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["IncomingBytes"])
        (taken,) = {shard.shard_id for shard in api.streams.get("s", REGION).shards if shard.held}
        await api.put_all(100, 200)
        assert api.names(StreamName="s", ShardId=taken) == ["IncomingBytes"]
        assert api.told("IncomingBytes", ShardId=taken) == ("Bytes", Stats(1, 300, 300, 300))
        await api.call("DisableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=["IncomingBytes"])
        await api.put_all(500)
        assert api.told("IncomingBytes", ShardId=taken) == ("Bytes", Stats(1, 300, 300, 300))
        await api.call("EnableEnhancedMonitoring", StreamName="s", ShardLevelMetrics=ALL)
        await api.put(b"x" * 9)
        await api.put_all(700_000, 700_000)
        start = {"ShardId": taken, "ShardIteratorType": "LATEST"}
        iterator = (await api.call("GetShardIterator", StreamName="s", **start))["ShardIterator"]
        await api.call("GetRecords", ShardIterator=iterator)
        assert api.names(StreamName="s", ShardId=taken) == [
            "IncomingBytes",
            "IncomingRecords",
            "IteratorAgeMilliseconds",
            "OutgoingBytes",
            "OutgoingRecords",
            "ReadProvisionedThroughputExceeded",
            "WriteProvisionedThroughputExceeded",
        ]
        assert api.told("WriteProvisionedThroughputExceeded", ShardId=taken) == ("Count", Stats(2, 1, 0, 1))
        assert api.told("IncomingRecords", ShardId=taken) == ("Count", Stats(2, 2, 1, 1))
        assert api.told("OutgoingBytes", ShardId=taken) == ("Bytes", Stats(1, 0, 0, 0))
        assert api.told("IteratorAgeMilliseconds", ShardId=taken) == ("Milliseconds", Stats(1, 0, 0, 0))

    with_metrics(test)


def test_a_consumer_has_metrics_of_its_own() -> None:
    """Each subscription and each event of it, by stream and consumer; a second subscription at once is refused."""

    async def test(api: Watched) -> None:
        arn = await api.consumer(await api.make())
        await api.put(b"x" * 9)
        pushed = await api.subscribe(arn)
        await pushed.event()
        assert (
            await api.code(
                "SubscribeToShard", ConsumerARN=arn, ShardId=shard_id(0), StartingPosition={"Type": "LATEST"}
            )
            == "ResourceInUseException"
        )
        await pushed.event()  # nothing in five seconds
        await pushed.close()
        assert api.told("SubscribeToShard.Success", ConsumerName="c") == ("Count", Stats(2, 1, 0, 1))
        assert api.told("SubscribeToShard.RateExceeded", ConsumerName="c") == ("Count", Stats(1, 1, 1, 1))
        assert api.told("SubscribeToShardEvent.Success", ConsumerName="c") == ("Count", Stats(2, 2, 1, 1))
        assert api.told("SubscribeToShardEvent.Records", ConsumerName="c") == ("Count", Stats(2, 1, 0, 1))
        assert api.told("SubscribeToShardEvent.Bytes", ConsumerName="c") == ("Bytes", Stats(2, 10, 0, 10))
        behind = api.told("SubscribeToShardEvent.MillisBehindLatest", ConsumerName="c")
        assert behind == ("Milliseconds", Stats(2, 0, 0, 0))
        assert "GetRecords.Records" not in api.names(StreamName="s")

    with_metrics(test)


def test_each_minute_has_its_own_values_without_anybody_reading() -> None:
    """What was put an hour ago is dated an hour ago, though it was added up and nobody had asked."""

    async def test(api: Watched) -> None:
        await api.make()
        begun = int(api.clock.time())
        for _ in range(3):
            await api.put(b"x" * 9)
            await asyncio.sleep(60)
        metric = MetricId("AWS/Kinesis", "IncomingRecords", (("StreamName", "s"),))
        points = api.metrics.in_region(REGION).read(metric, Asked(begun - begun % 60, begun + 600, 60))
        assert [(point.start_s - (begun - begun % 60), point.stats.total) for point in points] == [
            (0, 1),
            (60, 1),
            (120, 1),
        ]

    with_metrics(test)


def test_streams_of_one_name_in_two_regions_are_apart() -> None:
    """A metric belongs to the stream's Region, whatever Region the cloud is of."""

    async def test(api: Watched) -> None:
        await api.make()
        await api.put(b"x" * 9)
        assert [each.id for each in api.metrics.in_region("us-east-1").all()] == []
        assert "IncomingRecords" in api.names(StreamName="s")

    with_metrics(test)


def test_a_stream_whose_metrics_nobody_keeps_works_as_well() -> None:
    """Without a store nothing is counted, and everything answers."""

    async def test() -> None:
        api = Api()
        await api.make()
        await api.put(b"x")
        assert await api.read() == [b"x"]

    run_virtual(test)
