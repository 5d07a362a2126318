"""Enhanced fan-out: the consumers registered with a stream, and who of their callers holds which shard.

A subscription reads one shard for one consumer for five minutes. Five seconds after it began another call takes it
over, and the one before ends. It is woken by the record and never polls.
Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.errors import KinesisError, in_use
from localcloud.services.kinesis.limits import MAX_ANSWER_RECORDS, MIB, PUSH_BYTES_S
from localcloud.services.kinesis.metering import Meter
from localcloud.services.kinesis.shard import Reading, Shard

__all__ = ["LIFE_S", "Consumer", "Subscription"]

LIFE_S: Final = 300.0
TAKEOVER_S: Final = 5.0
AHEAD_S: Final = 0.01  # what a subscription may be ahead of its rate, so that small records follow one another at once
EVENT_BYTES: Final = 1 * MIB  # of one event, unless a record is larger; AWS tells no number


class Consumer:
    """A registered consumer. `status`: CREATING, ACTIVE, DELETING. `meter` None: no metrics."""

    def __init__(self, name: str, arn: str, *, stream_name: str, created_s: float, meter: Meter | None = None) -> None:
        self.name = name
        self.arn = arn
        self.stream_name = stream_name
        self.created_s = created_s
        self.status = "CREATING"
        self.tags: dict[str, str] = {}
        self.policy = ""
        self._meter = meter
        self._held: dict[str, Subscription] = {}
        self._began: dict[str, float] = {}

    def activate(self) -> None:
        """Be ACTIVE, unless it is being deregistered by now."""
        if self.status == "CREATING":
            self.status = "ACTIVE"

    def check_free(self, shard_id: str) -> None:
        """Raises KinesisError: ResourceInUseException within five seconds of the last subscription to the shard."""
        began = self._began.get(shard_id)
        if began is not None and _now() < began + TAKEOVER_S:
            raise in_use(f"Another active subscription exists for this consumer: {_place(self, shard_id)}")

    def wait_s(self, shard_id: str) -> float:
        """Seconds until another subscription to the shard may begin."""
        began = self._began.get(shard_id)
        return 0.0 if began is None else max(0.0, began + TAKEOVER_S - _now())

    def subscribe(self, shard: Shard, position: int, clock: Callable[[], float], *, paced: bool) -> Subscription:
        """Hold a shard from `position` on; whoever held it loses it. Raises what `check_free` raises."""
        try:
            self.check_free(shard.shard_id)
        except KinesisError:
            self._count(refused=True)
            raise
        self._count(refused=False)
        before = self._held.get(shard.shard_id)
        if before is not None:
            before.end(in_use(f"The subscription was taken over by another call: {_place(self, shard.shard_id)}"))
        subscription = Subscription(shard, position, clock, paced=paced, pushed=self._push)
        self._held[shard.shard_id] = subscription
        self._began[shard.shard_id] = _now()
        return subscription

    def end(self, error: KinesisError) -> None:
        """The consumer or its stream is gone: every subscription ends with `error`."""
        for subscription in self._held.values():
            subscription.end(error)
        self._held.clear()

    def _count(self, *, refused: bool) -> None:
        if self._meter is not None:
            self._meter.subscribe(self.name, refused=refused)

    def _push(self, reading: Reading) -> None:
        if self._meter is not None:
            self._meter.push(self.name, reading)


class Subscription:
    """One shard, held for one consumer. `position` is where it goes on; `over` says that it holds it no more.

    `pushed` is told of each reading that it gives.
    """

    def __init__(
        self,
        shard: Shard,
        position: int,
        clock: Callable[[], float],
        *,
        paced: bool,
        pushed: Callable[[Reading], None],
    ) -> None:
        self.shard = shard
        self.position = position
        self._clock = clock
        self._paced = paced
        self._pushed = pushed
        self._ends_at = _now() + LIFE_S
        self._error: KinesisError | None = None
        self._resumes_at = 0.0

    @property
    def over(self) -> bool:
        """Whether its time is up or somebody ended it."""
        return self._error is not None or _now() >= self._ends_at

    def end(self, error: KinesisError) -> None:
        """End it for whoever reads: the next or waiting `next` raises `error`."""
        if self._error is None:
            self._error = error
            self.shard.wake()

    async def next(self, wait_s: float, *, most: int = MAX_ANSWER_RECORDS) -> Reading | None:
        """What comes next: up to `most` records, an empty reading after `wait_s` seconds without, None after the end.

        A reading whose `next` is None is the shard's last. At most 2 MiB a second, where limits hold. Safe to cancel.
        Raises KinesisError where the subscription was taken over, or its consumer or stream is gone.
        """
        idle_at = _now() + wait_s
        while True:
            if self._error is not None:
                raise self._error
            now = _now()
            if now >= self._ends_at:
                return None
            if now + AHEAD_S >= self._resumes_at and self.shard.has_news(self.position):
                return self._take(most)
            if now >= idle_at:
                return self._rest()
            await self.shard.wait(min(idle_at, self._ends_at, self._next_look(now)))

    def checkpoint(self) -> int:
        """The number that says how far it came, now."""
        return self.shard.checkpoint(self.position, self._clock())

    def _next_look(self, now: float) -> float:
        resumes_at = self._resumes_at - AHEAD_S
        return resumes_at if resumes_at > now else self._ends_at

    def _rest(self) -> Reading:
        reading = Reading((), self.position, 0, 0, full=False, more=self.shard.has_records(self.position))
        self._pushed(reading)
        return reading

    def _take(self, most: int) -> Reading:
        reading = self.shard.read(self.position, self._clock(), most=most, max_bytes=EVENT_BYTES)
        if reading.next is not None:
            self.position = reading.next
        if self._paced:
            self._resumes_at = max(_now(), self._resumes_at) + reading.size_bytes / PUSH_BYTES_S
        self._pushed(reading)
        return reading


def _now() -> float:
    return asyncio.get_running_loop().time()


def _place(consumer: Consumer, shard_id: str) -> str:
    return f"consumer {consumer.name}, shard {shard_id}, stream {consumer.stream_name}, account {ACCOUNT_ID}."
