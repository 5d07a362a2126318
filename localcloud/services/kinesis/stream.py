"""One stream: its state, its settings, what producers and readers do with it. Knows no protocol and no other stream.

Changes take `delay_s` on the event loop, as AWS has states: CREATING, then ACTIVE; UPDATING while shards, mode or
encryption change, during which records go in and out; DELETING, then gone. Retention is kept at every touch.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.errors import KinesisError, Throttled, not_active, shard_missing, stream_missing
from localcloud.services.kinesis.limits import MAX_ANSWER_RECORDS, CallMeter, Limits
from localcloud.services.kinesis.metering import Meter, Metering, Put
from localcloud.services.kinesis.shard import Content, Reading, Record, Shard
from localcloud.services.kinesis.shards import Shards

__all__ = [
    "HOUR_S",
    "MIN_RETENTION_H",
    "ON_DEMAND",
    "ON_DEMAND_SHARDS",
    "PROVISIONED",
    "Definition",
    "Stream",
    "Surroundings",
]

PROVISIONED: Final = "PROVISIONED"
ON_DEMAND: Final = "ON_DEMAND"
ON_DEMAND_SHARDS: Final = 4  # how-do-i-size-a-stream: 4 MB/s of writes to begin with
MIN_RETENTION_H: Final = 24
HOUR_S: Final = 3_600.0
_Stored: TypeAlias = tuple[Shard, Record | Throttled]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every stream shares. `delay_s`: how long a change of state takes, 0 for none; no `metering`: no metrics."""

    clock: Clock
    rng: random.Random
    limits: Limits
    delay_s: float
    metering: Metering | None = None


@dataclass(slots=True, kw_only=True)
class Definition:
    """What a stream is without its shards. `key_id` "" means not encrypted; `spreads`: AUTO record distribution."""

    mode: str = PROVISIONED
    shard_count: int = 1
    max_record_kib: int = 1_024
    retention_h: int = MIN_RETENTION_H
    tags: dict[str, str] = field(default_factory=dict[str, str])
    metrics: frozenset[str] = frozenset()
    key_id: str = ""
    spreads: bool = False


class Stream:
    """A stream, CREATING. `gone` is called when its deletion is complete."""

    def __init__(
        self, arn: str, definition: Definition, around: Surroundings, *, gone: Callable[[Stream], None]
    ) -> None:
        self.arn = arn
        self.region = arn.split(":")[3]
        self.name = arn.partition("/")[2]
        self.definition = definition
        self.created_s = around.clock.time()
        self.status = "CREATING"
        self.policy = ""
        self.consumers: dict[str, Consumer] = {}
        self.scalings: deque[float] = deque()
        self.mode_changes: deque[float] = deque()
        self.shards = Shards(definition.shard_count, self.created_s)
        self._around = around
        self._gone = gone
        self._settled: asyncio.Event = asyncio.Event()
        self._meters: dict[str, CallMeter] = {}
        self._encrypted = bool(definition.key_id)
        self._meter = _open_meter(self, around.metering)
        self._timer: tuple[asyncio.TimerHandle, Callable[[], None]] | None = None
        self._change_later(self._activate)

    # ------------------------------------------------------------------ states

    @property
    def open_count(self) -> int:
        """How many shards are open; they count while the stream is being created as well."""
        return len(self.shards.open)

    def check_active(self) -> None:
        """Raises KinesisError: ResourceInUseException unless ACTIVE."""
        if self.status != "ACTIVE":
            raise not_active(self.name, self.status)

    def check_there(self) -> None:
        """Raises KinesisError: ResourceNotFoundException while the stream is being created."""
        if self.status == "CREATING":
            raise stream_missing(self.name)

    async def settle(self) -> None:
        """Until no change is under way. Comes back at once where none is."""
        while not self._settled.is_set():
            await self._settled.wait()

    def hurry(self) -> None:
        """Complete the change of state that is under way, at once."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer[0].cancel()
            timer[1]()

    def change(self, apply: Callable[[], None]) -> None:
        """Be UPDATING, and ACTIVE again when `apply` is done. Raises what `check_active` raises."""
        self.check_active()
        self.status = "UPDATING"
        self._settled.clear()
        self._change_later(lambda: self._finish(apply))

    def delete(self) -> None:
        """Be DELETING, then gone with everything in it."""
        self.status = "DELETING"
        self._settled.clear()
        self._change_later(self._end)

    def meter(self, operation: str, most: int) -> CallMeter:
        """The stream's own meter of a control operation."""
        return self._meters.setdefault(operation, CallMeter(most))

    def now(self) -> float:
        """The date, in epoch seconds."""
        return self._around.clock.time()

    # ------------------------------------------------------------------ records

    def route(self, key: str | None, hash_key: int | None) -> Shard:
        """The shard that takes a record of this partition key, or of this explicit hash key."""
        if self.definition.spreads:
            return self._around.rng.choice(self.shards.open)
        if hash_key is None:
            digest = hashlib.md5((key or "").encode(), usedforsecurity=False).digest()
            hash_key = int.from_bytes(digest, "big")
        return self.shards.route(hash_key)

    def put(self, content: Content, hash_key: int | None = None) -> tuple[Shard, Record]:
        """Store a record, as PutRecord does. Raises Throttled where its shard takes no more now."""
        began = _loop_s()
        shard, stored = self._store(content, hash_key)
        if self._meter is not None:
            size = None if isinstance(stored, Throttled) else content.size_bytes
            self._meter.put_record(size, _loop_s() - began)
            self._tell_shards([(shard, stored)], [(content, hash_key)])
        if isinstance(stored, Throttled):
            raise stored
        return shard, stored

    def put_all(self, entries: Sequence[tuple[Content, int | None]]) -> list[tuple[Shard, Record] | Throttled]:
        """Store records with their explicit hash keys, as PutRecords does; each for itself, in order."""
        began = _loop_s()
        stored = [self._store(content, hash_key) for content, hash_key in entries]
        if self._meter is not None:
            outcomes = zip(entries, stored, strict=True)
            sizes = [content.size_bytes for (content, _), (_, each) in outcomes if not isinstance(each, Throttled)]
            self._meter.put_records(sizes, len(entries) - len(sizes), _loop_s() - began)
            self._tell_shards(stored, entries)
        return [each if isinstance(each, Throttled) else (shard, each) for shard, each in stored]

    def read(self, shard: Shard, position: int, *, most: int = MAX_ANSWER_RECORDS) -> Reading:
        """Read as GetRecords does, within the shard's read limits. Raises Throttled."""
        began = _loop_s()
        after_s = shard.reads.take(began) if self._around.limits.reads else 0.0
        reading = None
        if not after_s:
            shard.trim(self.horizon_s)
            reading = shard.read(position, self.now(), most=most)
            shard.reads.note(_loop_s(), reading.size_bytes, full=reading.full)
        if self._meter is not None:
            self._meter.get_records(shard.shard_id, reading, _loop_s() - began)
        if reading is None:
            raise Throttled(shard.shard_id, self.name, after_s=after_s)
        return reading

    def find_shard(self, shard_id: str) -> Shard | None:
        """The shard of an id with what has not expired of it, None where there is none or all of it has."""
        found = self.shards.find(shard_id)
        if found is None or (found.closed_s is not None and found.closed_s < self.horizon_s):
            return None
        found.trim(self.horizon_s)
        return found

    def shard(self, shard_id: str) -> Shard:
        """The shard of an id. Raises KinesisError: ResourceNotFoundException."""
        found = self.find_shard(shard_id)
        if found is None:
            raise shard_missing(shard_id, self.name)
        return found

    def trim(self) -> None:
        """Forget what is past the retention period."""
        self.shards.expire(self.horizon_s)

    @property
    def horizon_s(self) -> float:
        """The date before which records have expired: the trim horizon."""
        return self.now() - self.definition.retention_h * HOUR_S

    def set_retention(self, hours: int) -> None:
        """Keep records for `hours` from now on; what has expired by now stays so."""
        self.trim()
        self.definition.retention_h = hours
        self.trim()

    def set_key(self, key_id: str) -> None:
        """Mark records as encrypted by a key from now on; "" for not."""
        self.definition.key_id = key_id
        self._encrypted = bool(key_id)

    # ------------------------------------------------------------------ consumers

    def register(self, name: str, arn: str) -> Consumer:
        """Add a consumer, CREATING and then ACTIVE."""
        consumer = Consumer(name, arn, stream_name=self.name, created_s=self.now(), meter=self._meter)
        self.consumers[name] = consumer
        self._later(consumer.activate)
        return consumer

    def deregister(self, consumer: Consumer) -> None:
        """Take a consumer away: DELETING and then gone, its subscriptions at once."""
        consumer.status = "DELETING"
        message = f"Consumer {consumer.name} of stream {self.name} under account {ACCOUNT_ID} was deregistered."
        consumer.end(KinesisError("ResourceNotFoundException", message))

        def forget() -> None:
            if self.consumers.get(consumer.name) is consumer:
                del self.consumers[consumer.name]

        self._later(forget)

    # ------------------------------------------------------------------ inside

    def _store(self, content: Content, hash_key: int | None) -> _Stored:
        shard = self.route(content.key, hash_key)
        if self._around.limits.writes:
            after_s = shard.writes.take(_loop_s(), content.size_bytes)
            if after_s:
                return shard, Throttled(shard.shard_id, self.name, after_s=after_s)
        now_s = round(self._around.clock.time(), 3)
        shard.trim(now_s - self.definition.retention_h * HOUR_S)
        return shard, shard.put(content, now_s, encrypted=self._encrypted)

    def _tell_shards(self, stored: Sequence[_Stored], entries: Sequence[tuple[Content, int | None]]) -> None:
        if self._meter is not None and self.definition.metrics:
            outcomes = zip(stored, entries, strict=True)
            self._meter.put_into_shards(
                Put(shard.shard_id, None if isinstance(each, Throttled) else content.size_bytes)
                for (shard, each), (content, _) in outcomes
            )

    def _later(self, act: Callable[[], None]) -> asyncio.TimerHandle | None:
        if self._around.delay_s:
            return asyncio.get_running_loop().call_later(self._around.delay_s, act)
        act()
        return None

    def _change_later(self, act: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer[0].cancel()
        timer = self._later(act)
        self._timer = None if timer is None else (timer, act)

    def _activate(self) -> None:
        if self.status == "CREATING":
            self.status = "ACTIVE"
            self._settled.set()

    def _finish(self, apply: Callable[[], None]) -> None:
        if self.status != "UPDATING":
            return
        apply()
        self.status = "ACTIVE"
        self._settled.set()

    def _end(self) -> None:
        for consumer in self.consumers.values():
            consumer.end(stream_missing(self.name))
        self._gone(self)
        self._settled.set()
        self.shards.wake()


def _open_meter(stream: Stream, metering: Metering | None) -> Meter | None:
    if metering is None:
        return None
    return metering.meter(stream.name, stream.region, lambda: stream.definition.metrics)


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
