"""Records of a stream to whoever subscribed them, live: matched, projected, posted, and forgotten.

Owns what becomes of each record and each connection. There is no replay: what cannot be posted within a bounded
back-off, or before the deadline, is dropped and counted, and never fails the batch, since every other client would have
the whole batch again. The one thing that does is that nobody knows who has subscribed. A connection's messages go one
after the other, in the shard's order; connections do not wait for each other. The messages of a filter are made once,
however many hold it, and of what its view shows alone. Must not know AWS, nor what a pattern means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sluiceway import log
from sluiceway.codec.frames import encode_record, join_records
from sluiceway.errors import Gone, Misconfigured, Rejected, Retryable
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.events.socket import RecordFrame
from sluiceway.events.sqs import BatchReport
from sluiceway.ports import MAX_MESSAGE_BYTES, Chance, Clock, Connections, Subscription, SubscriptionStore
from sluiceway.rules.access import DENY_ALL, AccessRules, read_viewer
from sluiceway.rules.patterns.decoding import read_event
from sluiceway.rules.subscriptions import Filter, Lens, SubscriptionSet
from sluiceway.steps.metrics import count

__all__ = ["BroadcastDesk", "SubscriptionRoll", "broadcast_records"]

CACHE_MS: Final = 2_000  # that subscriptions are believed: a new one begins, and an ended one ends, this late at most
POSTS_AT_ONCE: Final = 64  # the wire client's connections to one origin
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
JOINED_BYTES: Final = 32_768  # of the frames in one message: a WebSocket frame, and what API Gateway meters as one
TRIES: Final = 3  # of one message
FIRST_PAUSE_S: Final = 0.2
GROWTH: Final = 4
PATIENCE_S: Final = 6.0  # with one message: one that the gateway was silent over for its 5 s is tried once more
RESERVE_S: Final = 0.5  # of the invocation, for its end
RESERVE_SHARE: Final = 0.1  # never more than this share of a short one


class _Known(NamedTuple):
    """What was read at `at_ms`."""

    at_ms: int
    found: tuple[Subscription, ...]
    held: SubscriptionSet[Subscription]


class SubscriptionRoll:
    """Who has subscribed, read again after CACHE_MS; lives as long as the execution environment.

    The index of their filters is made anew only when they have changed.
    """

    def __init__(self, store: SubscriptionStore, clock: Clock, access: AccessRules = DENY_ALL) -> None:
        self._store = store
        self._clock = clock
        self._access = access
        self._known: dict[str, _Known] = {}
        self._struck: set[Subscription] = set()

    async def read(self, topic: str) -> SubscriptionSet[Subscription]:
        """The subscriptions of a topic. Raises what the store raises."""
        now_ms = self._clock.now_ms()
        known = self._known.get(topic)
        if known is not None and 0 <= now_ms - known.at_ms < CACHE_MS:
            return known.held
        stored = await self._store.of_topic(topic)
        found = tuple(each for each in stored if each.expires_s * 1000 > now_ms)
        self._struck -= {each for each in self._struck if each.topic == topic}
        if known is None or found != known.found:
            known = _Known(now_ms, found, _hold(found, self._access))
        self._known[topic] = known._replace(at_ms=now_ms)
        return known.held

    async def strike(self, subscription: Subscription) -> None:
        """Forget one whose connection is over. Where the store does not, a post after the next read finds out again."""
        self._struck.add(subscription)
        try:
            await self._store.drop(subscription)
        except (Retryable, Misconfigured, Rejected) as error:
            log.failure("broadcast.not_dropped", error)

    def is_struck(self, subscription: Subscription) -> bool:
        """Whether it was struck since the roll was read."""
        return subscription in self._struck


def _hold(found: Sequence[Subscription], access: AccessRules) -> SubscriptionSet[Subscription]:
    """The subscriptions of those who may still read the topic, each through what it may see."""
    lenses: dict[str, Lens] = {}
    seeing: list[tuple[Filter, Subscription]] = []
    for each in found:
        try:
            view = access.view(each.topic, read_viewer(each.viewer))
        except Rejected:
            view = None  # nobody knows who looks
        if view is not None:
            lenses[view.name] = view
            seeing.append((Filter(each.pattern, each.columns, view.name), each))
    if len(seeing) < len(found):
        log.warning("broadcast.forbidden", subscriptions=len(found) - len(seeing))
    held = SubscriptionSet(seeing, lenses)
    if held.unusable:
        log.warning("broadcast.unusable_filters", filters=len(held.unusable))
    return held


@dataclass(frozen=True, slots=True)
class BroadcastDesk:
    """What broadcasting needs. `topics`: topics by the name of the stream that carries them."""

    roll: SubscriptionRoll
    connections: Connections
    topics: Mapping[str, str]
    chance: Chance


async def broadcast_records(batch: KinesisBatch, call: Invocation, desk: BroadcastDesk) -> BatchReport:
    """Post each record of the batch to whoever subscribed it; ends half a second before the deadline at the latest.

    Raises what the store raises, and Misconfigured for a stream that carries no topic: the batch comes again.
    """
    if not batch.records:
        return BatchReport()
    topic = _topic_of(batch.records[0], desk.topics)
    held = await desk.roll.read(topic)
    if len(held):
        stop_at = call.deadline - min(RESERVE_S, call.remaining_s() * RESERVE_SHARE)
        tally = _Tally()
        lines = _write_lines(batch.records, topic, held=held, tally=tally)
        await _Broadcast(desk, held, tally).run(lines, stop_at)
        tally.tell(len(batch.records))
    return BatchReport()


def _topic_of(record: KinesisRecord, topics: Mapping[str, str]) -> str:
    stream = record.stream_arn.partition(":stream/")[2].partition("/")[0]
    topic = topics.get(stream)
    if topic is None:
        raise Misconfigured("the stream of this event carries no topic", what="TOPICS")
    return topic


@dataclass(slots=True)
class _Tally:
    """What became of it all. Messages, but for `skipped` and `too_large` (records) and `gone` (connections)."""

    skipped: int = 0
    too_large: int = 0
    due: int = 0
    posted: int = 0
    unwanted: int = 0  # of connections that are gone
    gone: int = 0

    def tell(self, records: int) -> None:
        """Metrics for what went wrong and what was done, and one line."""
        dropped = self.due - self.posted - self.unwanted
        numbers = {
            "MessagesPosted": self.posted,
            "MessagesDropped": dropped,
            "RecordsSkipped": self.skipped,
            "RecordsTooLarge": self.too_large,
            "ConnectionsGone": self.gone,
        }
        for name, number in numbers.items():
            if number:
                count(name, number)
        log.info(
            "broadcast.done",
            records=records,
            posted=self.posted,
            dropped=dropped,
            skipped=self.skipped,
            too_large=self.too_large,
            gone=self.gone,
        )


# ---------------------------------------------------------------- what is posted


def _write_lines(
    records: Sequence[KinesisRecord], topic: str, *, held: SubscriptionSet[Subscription], tally: _Tally
) -> dict[Filter, list[bytes]]:
    """The frames of each filter that matches anything, in the shard's order."""
    lines: dict[Filter, list[bytes]] = {}
    unjudged = held.unjudged
    for record in records:
        members = _read_members(record, tally)
        if members is None:
            continue
        for view in held.match(members):
            line = _write_line(record, topic, shown=view.record, tally=tally)
            for wanted in view.filters if line else ():
                lines.setdefault(wanted, []).append(line)
    if held.unjudged > unjudged:
        log.warning("broadcast.unjudged", records=held.unjudged - unjudged)
    return lines


def _read_members(record: KinesisRecord, tally: _Tally) -> Mapping[str, object] | None:
    """The JSON object that a record is; None, counted and logged, for anything else."""
    try:
        if record.fault is not None:
            raise record.fault
        return read_event(record.data)
    except Rejected as error:
        tally.skipped += 1
        log.warning("broadcast.skipped", reason=error.reason, **record.log_fields)
        return None


def _write_line(record: KinesisRecord, topic: str, *, shown: Mapping[str, object], tally: _Tally) -> bytes:
    """The frame; empty where there can be none: it is larger than a message, or has numbers beyond any double."""
    frame = RecordFrame(topic, record.shard_id, record.sequence_number, record.sub_sequence, shown)
    try:
        line = encode_record(frame)
    except (ValueError, TypeError, RecursionError):
        tally.skipped += 1
        log.warning("broadcast.skipped", reason="unwritable-record", **record.log_fields)
        return b""
    if len(line) > MAX_MESSAGE_BYTES:
        tally.too_large += 1
        log.warning("broadcast.too_large", size_bytes=len(line), **record.log_fields)
        return b""
    return line


# ---------------------------------------------------------------- posting


class _Parcel(NamedTuple):
    """What one connection gets of this batch."""

    subscription: Subscription
    messages: tuple[bytes, ...]


@dataclass(slots=True)
class _Broadcast:
    """One call: a worker for each post that may be under way, all of them taking parcels from one list."""

    desk: BroadcastDesk
    held: SubscriptionSet[Subscription]
    tally: _Tally
    is_refused: bool = False
    parcels: Iterator[_Parcel] = field(default_factory=lambda: iter(()))

    async def run(self, lines: Mapping[Filter, Sequence[bytes]], stop_at: float) -> None:
        """Post everything; returns at `stop_at` at the latest. No task outlives the call."""
        parcels = [*self._pack(lines)]
        self.tally.due = sum(len(parcel.messages) for parcel in parcels)
        self.parcels = iter(parcels)
        try:
            async with asyncio.timeout_at(stop_at), asyncio.TaskGroup() as workers:
                for _ in range(min(POSTS_AT_ONCE, len(parcels))):
                    workers.create_task(self._work())
        except TimeoutError:
            log.warning("broadcast.deadline")

    def _pack(self, lines: Mapping[Filter, Sequence[bytes]]) -> Iterator[_Parcel]:
        for wanted, frames in lines.items():
            messages = tuple(join_records(frames, JOINED_BYTES))
            for subscription in self.held.holders(wanted):
                if not self.desk.roll.is_struck(subscription):
                    yield _Parcel(subscription, messages)

    async def _work(self) -> None:
        for parcel in self.parcels:
            if self.is_refused:
                return
            await self._deliver(parcel)

    async def _deliver(self, parcel: _Parcel) -> None:
        """One connection's messages, in order; after one that is dropped the rest is dropped too."""
        for at, message in enumerate(parcel.messages):
            try:
                if not await self._post(parcel.subscription.connection_id, message):
                    return
            except Gone:
                self.tally.gone += 1
                self.tally.unwanted += len(parcel.messages) - at
                await self.desk.roll.strike(parcel.subscription)
                return
            except Misconfigured as error:  # every other post would be refused as well
                if not self.is_refused:
                    log.failure("broadcast.misconfigured", error)
                    count("Misconfigured")
                self.is_refused = True
                return
            except Rejected as error:
                log.failure("broadcast.refused", error)
                return
            self.tally.posted += 1

    async def _post(self, connection_id: str, message: bytes) -> bool:
        """Whether the gateway took it, after a few tries. Raises as `Connections.post`, but for Retryable."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_S
        bound_s = FIRST_PAUSE_S
        for tries_left in reversed(range(TRIES)):
            try:
                await self.desk.connections.post(connection_id, message)
            except Retryable as error:
                pause_s = max(bound_s * (0.5 + self.desk.chance.draw() / 2), error.after_s or 0.0)
                if not tries_left or loop.time() + pause_s >= give_up_at:
                    log.debug("broadcast.dropped", error_type=type(error).__name__)
                    return False
                await asyncio.sleep(pause_s)
                bound_s *= GROWTH
            else:
                return True
        return False
