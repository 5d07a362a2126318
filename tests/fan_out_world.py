"""A stream's fan-out on virtual time: environments of one function, a gateway with a quota, clients that check.

Orders and reports go through their codec. A worker's environment keeps what it knows; which one serves an order is
chance, as at AWS.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sluiceway.codec import fan_out
from sluiceway.errors import Gone, Retryable
from sluiceway.events.fan_out import PartOrder, PartReport
from sluiceway.events.invocation import Invocation
from sluiceway.events.kinesis import KinesisBatch, KinesisRecord
from sluiceway.flows.broadcast import BroadcastDesk, broadcast_records
from sluiceway.flows.channels import ChannelDesk
from sluiceway.flows.parting import Crowds, PartDesk
from sluiceway.flows.posting import PostingDesk
from sluiceway.flows.subscribers import SubscriberCache
from sluiceway.ports import Subscription
from sluiceway.ports.fan_out import NotBegun, PartWorkers
from sluiceway.rules.access import AccessRules
from sluiceway.rules.numbering import Numbering
from tests.fakes import EPOCH_MS, LoopClockMs, unavailable
from tests.fakes_streaming import MemorySubscriptionStore
from tests.streaming_world import SeededChance

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/Orders"
EXPIRES_S = EPOCH_MS // 1000 + 7200


def make_record(number: int, shard: str = "shardId-0", data: bytes | None = None) -> KinesisRecord:
    """A record of a shard, whose sequence number is its own."""
    body = json.dumps({"order": number, "even": number % 2 == 0}).encode() if data is None else data
    return KinesisRecord(str(number), "ann", body, EPOCH_MS, shard, STREAM)


class Gateway:
    """The management API of one account: `rate` posts a second, with as many more at once; a post takes 15 to 40 ms.

    `silent` takes 5 s and fails; what is in `full` answers 429; what is not in `open` is gone.
    """

    def __init__(self, rng: random.Random, *, rate: float = 10_000.0) -> None:
        self.rng = rng
        self.rate = rate
        self.open: set[str] = set()
        self.full: set[str] = set()
        self.silent: set[str] = set()
        self.lost: float = 0.0  # the share of the posts that are taken and not answered
        self.inboxes: dict[str, list[bytes]] = {}
        self.arrived: dict[str, list[float]] = {}  # when each of them came
        self.disconnected: list[str] = []
        self.posts = 0
        self.throttled = 0
        self.under_way: set[str] = set()
        self.overlaps = 0
        self.refusals: Counter[str] = Counter()
        self._tokens = rate
        self._at = 0.0

    async def post(self, connection_id: str, data: bytes) -> None:
        self.posts += 1
        self.overlaps += connection_id in self.under_way
        self.under_way.add(connection_id)
        try:
            await self._serve(connection_id, data)
        finally:
            self.under_way.discard(connection_id)

    async def _serve(self, connection_id: str, data: bytes) -> None:
        await asyncio.sleep(0.015 + 0.025 * self.rng.random())
        if self._is_throttled() or connection_id in self.full:
            self.refusals[connection_id] += 1
            raise unavailable("post")
        if connection_id in self.silent:
            await asyncio.sleep(5.0)
            raise Retryable("silent")
        if connection_id not in self.open:
            raise Gone("gone")
        self.inboxes.setdefault(connection_id, []).append(data)
        self.arrived.setdefault(connection_id, []).append(asyncio.get_running_loop().time())
        if self.lost and self.rng.random() < self.lost:
            raise Retryable("the answer was lost")

    def _is_throttled(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._tokens = min(self.rate, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            self.throttled += 1
            return True
        self._tokens -= 1
        return False

    async def disconnect(self, connection_id: str) -> None:
        self.open.discard(connection_id)
        self.disconnected.append(connection_id)


class Gap(NamedTuple):
    """What a client knows to have missed of a shard: between two sequence numbers; `before` None: up to that moment.

    `at` is the place, among all that came, of the frame by which it knows.
    """

    shard: str
    after: int
    before: int | None
    at: int


class Served(NamedTuple):
    """Records of a shard that an environment has posted to a part, by its order; `by` counts environments."""

    shard: str
    numbers: tuple[int, ...]
    part: int
    by: int


@dataclass
class Client:
    """What a client knows by the rules of docs/subscriptions.md; it subscribed before the first record."""

    seqs: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    last: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    ends: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    gaps: list[Gap] = field(default_factory=list["Gap"])
    frames: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])  # each one's shard, whether a mark
    twice: int = 0
    out_of_order: int = 0

    @property
    def sees_gap(self) -> bool:
        return bool(self.gaps)

    def take(self, message: bytes) -> None:
        frame: dict[str, Any] = json.loads(message)
        shard, key = frame["shard"], (frame["shard"], frame["epoch"])
        self.frames.append((shard, frame["t"] == "mark"))
        if frame["n"] <= self.last.get(key, 0):
            self.twice += frame["t"] == "records"
            return
        before = int(frame["d"][0]["seq"]) if frame["d"] else None
        if frame["n"] != self.last.get(key, 0) + 1 or frame["t"] == "mark":
            self.gaps.append(Gap(shard, self.ends.get(key, -1), before, len(self.frames) - 1))
        self.last[key] = frame["n"]
        had = self.seqs.setdefault(shard, [])
        if frame["d"]:
            self.ends[key] = int(frame["d"][-1]["seq"])
        for record in frame["d"]:
            self.out_of_order += bool(had) and int(record["seq"]) <= had[-1]
            had.append(int(record["seq"]))


@dataclass
class Workers:
    """Invocations of the same function: `PartWorkers` over environments in memory."""

    world: FanOutWorld
    idle: list[BroadcastDesk] = field(default_factory=list[BroadcastDesk])
    made: int = 0
    begun: int = 0
    refused: float = 0.0  # the share of the orders that are throttled
    lost: float = 0.0  # of the answers that are lost
    killed: float = 0.0  # of the environments that are gone when they have answered
    broken: bool = False
    served: list[Served] = field(default_factory=list[Served])
    known: list[BroadcastDesk] = field(default_factory=list[BroadcastDesk])

    async def serve(self, order: PartOrder, *, deadline: float) -> PartReport:
        rng = self.world.rng
        await asyncio.sleep(0.005 + 0.01 * rng.random())
        if self.refused and rng.random() < self.refused:
            raise NotBegun("throttled")
        if self.broken:
            raise Retryable("the worker broke off")
        self.begun += 1
        if self.idle:
            environment = self.idle.pop(rng.randrange(len(self.idle)))
        else:
            self.made += 1
            await asyncio.sleep(0.3)
            environment = self.world.make_desk(None)
            self.known.append(environment)
        received = fan_out.decode(json.loads(json.dumps(fan_out.encode_order(order))))
        numbers = tuple(int(record.sequence_number) for record in order.records)
        reply = await broadcast_records(received, self.world.call(30.0), environment)
        assert isinstance(reply, PartReport)
        if reply.is_begun:
            self.served.append(Served(order.records[0].shard_id, numbers, order.part, self.known.index(environment)))
        if not (self.killed and rng.random() < self.killed):
            self.idle.append(environment)
        if self.lost and rng.random() < self.lost:
            await asyncio.sleep(max(0.0, deadline - asyncio.get_running_loop().time()))
            raise Retryable("the answer was lost")
        return fan_out.decode_report(json.loads(json.dumps(fan_out.encode(reply))))


class FanOutWorld:
    """One stack, with `parts` parts of each topic's subscribers."""

    def __init__(self, seed: int, *, parts: int, most: int, rate: float = 10_000.0) -> None:
        self.rng = random.Random(seed)
        self.parts = parts
        self.most = most
        self.store = MemorySubscriptionStore(parts=parts)
        self.gateway = Gateway(self.rng, rate=rate)
        self.workers = Workers(self)
        self.channels: ChannelDesk | None = None

    def make_desk(self, workers: PartWorkers | None) -> BroadcastDesk:
        """An environment; one that may give orders where there are workers."""
        chance = SeededChance(self.rng)
        subscribers = SubscriberCache(self.store, LoopClockMs(), AccessRules({"orders": "public"}, "ACCESS"))
        parting = None if workers is None else PartDesk(workers, Crowds(self.most), self.parts, LoopClockMs(), chance)
        numbering = Numbering(chance.draw)
        posting = PostingDesk(self.gateway, subscribers, chance)
        return BroadcastDesk(subscribers, posting, {"Orders": "orders"}, numbering, parting, self.channels)

    def call(self, timeout_s: float) -> Invocation:
        return Invocation("r", "f", "arn", asyncio.get_running_loop().time() + timeout_s, grace_s=0.2)

    def subscribe(self, number: int, pattern: str = "") -> str:
        """A client that has subscribed some time ago."""
        connection_id = f"c{number:06}"
        self.gateway.open.add(connection_id)
        subscription = Subscription(connection_id, "orders", 1, pattern, (), EXPIRES_S)
        self.store.kept[connection_id, "orders"] = subscription  # as `put` does, which counts all that there are
        return connection_id

    async def bring(self, desk: BroadcastDesk, *records: KinesisRecord, timeout_s: float = 30.0) -> None:
        await broadcast_records(KinesisBatch(records), self.call(timeout_s), desk)

    def clients(self) -> Mapping[str, Client]:
        """Each client, having read what came."""
        found: dict[str, Client] = {}
        for connection_id, inbox in self.gateway.inboxes.items():
            client = found[connection_id] = Client()
            for message in inbox:
                client.take(message)
        return found
