"""What CloudWatch is told of streams: what goes in and out, what was throttled, how far behind readers are.

Owns the names, units and dimensions of the namespace AWS/Kinesis. A stream adds up for itself, by the minute; its sums
go to CloudWatch when the next minute has begun, or when somebody is about to read metrics, so that a put costs some
additions. The metrics of a stream are always kept, those of its shards as enhanced monitoring says.
Source: https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from localcloud.clock import Clock
from localcloud.services.cloudwatch.model import MetricId, Stats
from localcloud.services.kinesis.shard import Reading

__all__ = ["NAMESPACE", "Meter", "Metering", "MetricStore", "Put"]

NAMESPACE: Final = "AWS/Kinesis"
MINUTE_S: Final = 60
_UNITS: Final = {
    "Bytes": "Bytes",
    "IncomingBytes": "Bytes",
    "OutgoingBytes": "Bytes",
    "IteratorAgeMilliseconds": "Milliseconds",
    "Latency": "Milliseconds",
    "MillisBehindLatest": "Milliseconds",
}  # by the last part of a name; all others are counts
_WRITE_THROTTLES: Final = "WriteProvisionedThroughputExceeded"
_READ_THROTTLES: Final = "ReadProvisionedThroughputExceeded"
_Dimensions: TypeAlias = tuple[tuple[str, str], ...]


class MetricStore(Protocol):
    """Keeps CloudWatch metrics."""

    def in_region(self, region: str) -> MetricStore:
        """The same for a Region."""
        ...

    def add(self, metric_id: MetricId, stats: Stats, *, unit: str, at_s: float) -> None:
        """Take in values measured at `at_s`, in epoch seconds."""
        ...

    def before_reading(self, hand_over: Callable[[], None]) -> None:
        """Call `hand_over` each time before anything is read."""
        ...


class Put(NamedTuple):
    """What became of one record: the shard that it was for, and its size, None where it was throttled."""

    shard_id: str
    size_bytes: int | None


class Metering:
    """Makes the meters of all streams. Not for use by several threads."""

    def __init__(self, store: MetricStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[_Sums, None] = {}
        store.before_reading(self._hand_over)

    def meter(self, name: str, region: str, kept: Callable[[], Collection[str]]) -> Meter:
        """The meter of a stream. `kept` tells which metrics its shards have of their own, by the API's names."""
        return Meter(name, _Sums(self._store.in_region(region), self._clock, self._waiting), kept)

    def _hand_over(self) -> None:
        while self._waiting:
            self._waiting.popitem()[0].hand_over()


class Meter:
    """Counts what is done to one stream. What an operation took is in seconds."""

    def __init__(self, name: str, sums: _Sums, kept: Callable[[], Collection[str]]) -> None:
        self._stream = ("StreamName", name)
        self._whole = (self._stream,)
        self._sums = sums
        self._kept = kept

    def put_record(self, size: int | None, took_s: float) -> None:
        """A PutRecord of a record of `size` bytes, None where it was throttled."""
        values = self._sums.of(self._whole)
        if size is not None:
            _note(values, "IncomingBytes", size)
            _note(values, "IncomingRecords", 1)
            _note(values, "PutRecord.Bytes", size)
        _note(values, "PutRecord.Success", size is not None)
        _note(values, "PutRecord.Latency", took_s * 1000)
        _note(values, _WRITE_THROTTLES, size is None)

    def put_records(self, sizes: Sequence[int], throttled: int, took_s: float) -> None:
        """A PutRecords of which records of these `sizes` in bytes were stored."""
        values = self._sums.of(self._whole)
        if sizes:
            size = sum(sizes)
            _note(values, "IncomingBytes", size)
            _note(values, "IncomingRecords", len(sizes))
            _note(values, "PutRecords.Bytes", size)
        _note(values, "PutRecords.Success", bool(sizes))
        _note(values, "PutRecords.Latency", took_s * 1000)
        _note(values, "PutRecords.TotalRecords", len(sizes) + throttled)
        _note(values, "PutRecords.SuccessfulRecords", len(sizes))
        _note(values, "PutRecords.FailedRecords", 0)  # those of internal failures: here there are none
        _note(values, "PutRecords.ThrottledRecords", throttled)
        _note(values, _WRITE_THROTTLES, throttled)

    def put_into_shards(self, puts: Iterable[Put]) -> None:
        """What a PutRecord or PutRecords did to each shard, for the metrics that shards have of their own."""
        sums: dict[str, list[int]] = {}
        for shard_id, size in puts:
            found = sums.setdefault(shard_id, [0, 0, 0])
            if size is None:
                found[2] += 1
            else:
                found[0] += size
                found[1] += 1
        for shard_id, (size, records, throttled) in sums.items():
            stored = {"IncomingBytes": size, "IncomingRecords": records} if records else {}
            self._note_shard(shard_id, stored | {_WRITE_THROTTLES: throttled})

    def get_records(self, shard_id: str, reading: Reading | None, took_s: float) -> None:
        """A GetRecords with its answer, None where it was throttled."""
        values = self._sums.of(self._whole)
        _note(values, "GetRecords.Success", reading is not None)
        _note(values, "GetRecords.Latency", took_s * 1000)
        _note(values, _READ_THROTTLES, reading is None)
        told: dict[str, float] = {_READ_THROTTLES: reading is None}
        if reading is not None:
            age_ms = self._age_ms(reading)
            _note(values, "GetRecords.Records", len(reading.records))
            _note(values, "GetRecords.Bytes", reading.size_bytes)
            _note(values, "GetRecords.IteratorAgeMilliseconds", age_ms)
            told |= {"OutgoingRecords": len(reading.records), "OutgoingBytes": reading.size_bytes}
            told["IteratorAgeMilliseconds"] = age_ms
        self._note_shard(shard_id, told)

    def subscribe(self, consumer: str, *, refused: bool) -> None:
        """A SubscribeToShard; `refused`: the consumer has the shard already."""
        values = self._sums.of((("ConsumerName", consumer), self._stream))
        _note(values, "SubscribeToShard.Success", not refused)
        if refused:
            _note(values, "SubscribeToShard.RateExceeded", 1)

    def push(self, consumer: str, reading: Reading) -> None:
        """An event of a subscription."""
        values = self._sums.of((("ConsumerName", consumer), self._stream))
        _note(values, "SubscribeToShardEvent.Success", 1)
        _note(values, "SubscribeToShardEvent.Records", len(reading.records))
        _note(values, "SubscribeToShardEvent.Bytes", reading.size_bytes)
        _note(values, "SubscribeToShardEvent.MillisBehindLatest", reading.behind_ms)

    def _age_ms(self, reading: Reading) -> float:
        """The age of the last record; 0 without one, for then there is nothing that was not read."""
        return max(0.0, self._sums.now() - reading.records[-1].arrived_s) * 1000 if reading.records else 0.0

    def _note_shard(self, shard_id: str, told: Mapping[str, float]) -> None:
        kept = self._kept()
        for name, value in told.items():
            if name in kept:
                _note(self._sums.of((("ShardId", shard_id), self._stream)), name, value)


class _Sums:
    """The values of a stream in one minute, by dimensions and name."""

    def __init__(self, store: MetricStore, clock: Clock, waiting: dict[_Sums, None]) -> None:
        self._store = store
        self._waiting = waiting  # those that have something to hand over
        self._at_s = 0.0
        self._values: dict[_Dimensions, dict[str, Stats]] = {}
        self.now = clock.time

    def of(self, dimensions: _Dimensions) -> dict[str, Stats]:
        """The values of the minute that it is, to add to; sorted `dimensions`."""
        now_s = self.now()
        if now_s - now_s % MINUTE_S != self._at_s - self._at_s % MINUTE_S:
            self.hand_over()
        self._at_s = now_s
        self._waiting[self] = None
        values = self._values.get(dimensions)
        if values is None:
            values = self._values[dimensions] = {}
        return values

    def hand_over(self) -> None:
        """All of it, to where metrics are kept."""
        values, self._values = self._values, {}
        for dimensions, each in values.items():
            for name, stats in each.items():
                unit = _UNITS.get(name.rpartition(".")[2], "Count")
                self._store.add(MetricId(NAMESPACE, name, dimensions), stats, unit=unit, at_s=self._at_s)


def _note(values: dict[str, Stats], name: str, value: float) -> None:
    value = float(value)  # a truth is told as a number
    found = values.get(name)
    if found is None:
        values[name] = Stats(1.0, value, value, value)
        return
    found.count += 1
    found.total += value
    if value < found.least:
        found.least = value
    elif value > found.most:
        found.most = value
