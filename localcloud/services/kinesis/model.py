"""All streams of all Regions: names, ARNs, quotas, resharding, consumers, policies. Knows no protocol.

In-process callers (event source mappings, the console) use a `Stream`; the wire uses `Streams` for the rest.
"""

from __future__ import annotations

import random
import re
from collections import deque
from typing import Final

from localcloud.clock import Clock
from localcloud.services.contract import ACCOUNT_ID
from localcloud.services.kinesis.account import Account
from localcloud.services.kinesis.consumers import Consumer
from localcloud.services.kinesis.errors import (
    exceeds_limit,
    in_use,
    invalid,
    provisioned_only,
    shard_missing,
    stream_missing,
)
from localcloud.services.kinesis.limits import Limits, shard_quota
from localcloud.services.kinesis.metering import Metering, MetricStore
from localcloud.services.kinesis.shard import Shard
from localcloud.services.kinesis.stream import (
    ON_DEMAND,
    ON_DEMAND_SHARDS,
    PROVISIONED,
    Definition,
    Stream,
    Surroundings,
)

__all__ = ["Streams"]

DELAY_S: Final = 0.3  # how long a change of state takes; seconds to minutes on AWS
MAX_CREATING: Final = 5  # CreateStream
MAX_ON_DEMAND: Final = 50  # service-sizes-and-limits: streams in on-demand mode
MAX_SCALED: Final = 10_000  # UpdateShardCount
MAX_SCALINGS: Final = 10  # UpdateShardCount: in 24 hours
MAX_MODE_CHANGES: Final = 2  # UpdateStreamMode: in 24 hours
MAX_CONSUMERS: Final = 20  # RegisterStreamConsumer
MAX_CONSUMERS_ADVANTAGE: Final = 50  # on-demand streams of an account with On-demand Advantage
MAX_CREATING_CONSUMERS: Final = 5  # RegisterStreamConsumer
_DAY_S: Final = 86_400.0
_CONSUMER: Final = re.compile(r"(arn:[^/]+/[a-zA-Z0-9_.-]+)/consumer/([a-zA-Z0-9_.-]+):\d+")


class Streams:
    """The streams of the account. State lives here and nowhere else; one event loop.

    `limits`: which of AWS's limits hold. `delay_s`: how long a stream or consumer stays in a state of change.
    `metrics`: where CloudWatch's are kept, None for nowhere.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        limits: Limits | None = None,
        delay_s: float = DELAY_S,
        metrics: MetricStore | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.account = Account(clock)
        self.secret = rng.randbytes(16)  # marks iterators and tokens as this account's own
        metering = None if metrics is None else Metering(metrics, clock)
        self._around = Surroundings(clock, rng, self.limits, delay_s, metering)
        self._streams: dict[str, Stream] = {}  # by ARN

    def arn_of(self, name: str, region: str) -> str:
        """The ARN that a stream of this name has."""
        return f"arn:aws:kinesis:{region}:{ACCOUNT_ID}:stream/{name}"

    def now(self) -> float:
        """The date, in epoch seconds."""
        return self._around.clock.time()

    def find(self, arn: str) -> Stream | None:
        """The stream of an ARN, None where there is none."""
        return self._streams.get(arn)

    def find_consumer(self, arn: str) -> tuple[Stream, Consumer] | None:
        """The consumer of an ARN with its stream, None where there is none."""
        found = _CONSUMER.fullmatch(arn)
        stream = self._streams.get(found[1]) if found else None
        consumer = stream.consumers.get(found[2]) if found and stream else None
        return (stream, consumer) if stream and consumer and consumer.arn == arn else None

    def get(self, name: str, region: str) -> Stream:
        """The stream of a name. Raises KinesisError: ResourceNotFoundException."""
        stream = self._streams.get(self.arn_of(name, region))
        if stream is None:
            raise stream_missing(name)
        return stream

    def list(self, region: str) -> list[Stream]:
        """The Region's streams, by name."""
        return sorted((each for each in self._streams.values() if each.region == region), key=lambda each: each.name)

    def policy_text(self, arn: str) -> str:
        """The resource policy of a stream or consumer, "" where it has none or is not there."""
        stream, consumer = self._streams.get(arn), self.find_consumer(arn)
        return stream.policy if stream else consumer[1].policy if consumer else ""

    # ------------------------------------------------------------------ streams

    def create(self, name: str, region: str, definition: Definition) -> Stream:
        """Make a stream; it is CREATING. An on-demand one has four shards, whatever the definition says.

        Raises KinesisError: ResourceInUseException, LimitExceededException.
        """
        arn = self.arn_of(name, region)
        if arn in self._streams:
            raise in_use(f"Stream {name} under account {ACCOUNT_ID} already exists.")
        if definition.mode == ON_DEMAND:
            definition.shard_count = ON_DEMAND_SHARDS
        self._check_creation(region, definition)
        stream = self._streams[arn] = Stream(arn, definition, self._around, gone=self._forget)
        return stream

    def delete(self, stream: Stream, *, with_consumers: bool = False) -> None:
        """Delete a stream; it is DELETING until it is gone.

        Raises KinesisError: ResourceInUseException where it is no longer or not yet there, or has consumers.
        """
        if stream.status in ("CREATING", "DELETING"):
            stream.check_active()
        if stream.consumers and not with_consumers:
            raise in_use(
                f"Stream {stream.name} under account {ACCOUNT_ID} has registered consumers. "
                "Deregister them, or delete with EnforceConsumerDeletion."
            )
        stream.delete()

    def open_shards(self, region: str) -> int:
        """How many shards are open in the Region's provisioned streams: what the quota counts."""
        return sum(
            each.open_count for each in self._streams.values() if each.region == region and _is_provisioned(each)
        )

    def on_demand_count(self, region: str) -> int:
        """How many of the Region's streams are in on-demand mode."""
        return sum(not _is_provisioned(each) for each in self.list(region))

    # ------------------------------------------------------------------ shards

    def split(self, stream: Stream, shard_id: str, at: int) -> None:
        """Split a shard: `at` and above go to the second child. The stream is UPDATING until it is done.

        Raises KinesisError: ResourceInUse, ResourceNotFound, InvalidArgument, LimitExceeded, ValidationException.
        """
        (shard,) = self._reshardable(stream, shard_id)
        if not shard.first_hash + 1 < at < shard.last_hash:
            raise invalid(
                f"NewStartingHashKey {at} used in SplitShard() on shard {shard_id} in stream {stream.name} under "
                f"account {ACCOUNT_ID} is not both greater than one plus the shard's StartingHashKey "
                f"{shard.first_hash} and less than the shard's EndingHashKey {shard.last_hash}."
            )
        self._check_shards(stream.region, 1)
        stream.change(lambda: stream.shards.split(shard, at, stream.now()))

    def merge(self, stream: Stream, shard_id: str, adjacent_id: str) -> None:
        """Merge two shards whose hash keys meet. The stream is UPDATING until it is done.

        Raises KinesisError: as `split`.
        """
        shard, adjacent = self._reshardable(stream, shard_id, adjacent_id)
        if shard.last_hash + 1 != adjacent.first_hash and adjacent.last_hash + 1 != shard.first_hash:
            raise invalid(
                f"Shards {shard_id} and {adjacent_id} in stream {stream.name} under account {ACCOUNT_ID} are not an "
                "adjacent pair of shards eligible for merging"
            )
        stream.change(lambda: stream.shards.merge(shard, adjacent, stream.now()))

    def scale(self, stream: Stream, target: int) -> int:
        """Make the stream have `target` equal shards. Gives how many it has now.

        Raises KinesisError: ValidationException, ResourceInUseException, LimitExceededException.
        """
        if not _is_provisioned(stream):
            raise provisioned_only(stream.name)
        stream.check_active()
        current = stream.open_count
        self._check_target(stream, current, target)
        stream.change(lambda: stream.shards.scale(target, stream.now()))
        stream.scalings.append(self.now())
        return current

    def set_mode(self, stream: Stream, mode: str) -> None:
        """Change between provisioned and on-demand; shards stay as they are.

        Raises KinesisError: ResourceInUseException, LimitExceededException after two changes in 24 hours.
        """
        stream.check_active()
        if mode == stream.definition.mode:
            return
        if mode == PROVISIONED and stream.definition.spreads:
            raise invalid("A stream in provisioned mode cannot have the AUTO record distribution strategy.")
        if self.limits.quotas and _recent(stream.mode_changes, self.now()) >= MAX_MODE_CHANGES:
            raise exceeds_limit(f"Stream {stream.name} can switch modes only {MAX_MODE_CHANGES} times in 24 hours.")
        if mode == ON_DEMAND:
            self._check_on_demand(stream.region)
        stream.change(lambda: setattr(stream.definition, "mode", mode))
        stream.mode_changes.append(self.now())

    # ------------------------------------------------------------------ consumers

    def register(self, stream: Stream, name: str) -> Consumer:
        """Register a consumer; it is CREATING.

        Raises KinesisError: ResourceInUseException, LimitExceededException.
        """
        if stream.status not in ("ACTIVE", "UPDATING"):
            stream.check_active()
        if name in stream.consumers:
            raise in_use(f"Consumer {name} under stream {stream.arn} already exists for account {ACCOUNT_ID}.")
        advantage = self.account.has_advantage and not _is_provisioned(stream)
        most = MAX_CONSUMERS_ADVANTAGE if advantage else MAX_CONSUMERS
        if self.limits.quotas and len(stream.consumers) >= most:
            raise exceeds_limit(f"Stream {stream.name} under account {ACCOUNT_ID} already has {most} consumers.")
        creating = sum(each.status == "CREATING" for each in stream.consumers.values())
        if self.limits.quotas and creating >= MAX_CREATING_CONSUMERS:
            raise exceeds_limit(f"Only {MAX_CREATING_CONSUMERS} consumers can be in the CREATING state at a time.")
        return stream.register(name, f"{stream.arn}/consumer/{name}:{int(self.now())}")

    # ------------------------------------------------------------------ inside

    def _forget(self, stream: Stream) -> None:
        if self._streams.get(stream.arn) is stream:
            del self._streams[stream.arn]

    def _reshardable(self, stream: Stream, *shard_ids: str) -> list[Shard]:
        if not _is_provisioned(stream):
            raise provisioned_only(stream.name)
        if stream.status == "CREATING":  # it shows no shards yet
            raise shard_missing(shard_ids[0], stream.name)
        shards = [stream.shard(shard_id) for shard_id in shard_ids]
        stream.check_active()
        for shard in shards:
            if shard.closed_s is not None:
                raise invalid(
                    f"Shard {shard.shard_id} in stream {stream.name} under account {ACCOUNT_ID} has already been "
                    "merged or split, and thus is not eligible for merging or splitting."
                )
        return shards

    def _check_creation(self, region: str, definition: Definition) -> None:
        if not self.limits.quotas:
            return
        if sum(each.status == "CREATING" for each in self.list(region)) >= MAX_CREATING:
            raise exceeds_limit(f"Only {MAX_CREATING} streams can be in the CREATING state at a time.")
        if definition.mode == ON_DEMAND:
            self._check_on_demand(region)
        else:
            self._check_shards(region, definition.shard_count)

    def _check_on_demand(self, region: str) -> None:
        if self.limits.quotas and self.on_demand_count(region) >= MAX_ON_DEMAND:
            raise exceeds_limit(f"Account {ACCOUNT_ID} has {MAX_ON_DEMAND} on-demand streams, the most it may have.")

    def _check_shards(self, region: str, more: int) -> None:
        current, most = self.open_shards(region), shard_quota(region)
        if self.limits.quotas and current + more > most:
            raise exceeds_limit(
                f"This request would exceed the shard limit for the account {ACCOUNT_ID} in {region}. Current shard "
                f"count for the account: {current}. Limit: {most}. Number of additional shards that would have "
                f"resulted from this request: {more}."
            )

    def _check_target(self, stream: Stream, current: int, target: int) -> None:
        counts = f"Current open shard count: {current}, Target shard count: {target}"
        if target > MAX_SCALED:
            raise exceeds_limit(f"Target shard count cannot be greater than {MAX_SCALED}. {counts}")
        if not self.limits.quotas:
            return
        if target > current * 2:
            raise exceeds_limit(f"UpdateShardCount cannot scale up over double your current open shard count. {counts}")
        if target * 2 < current:
            message = "UpdateShardCount cannot scale down below half your current open shard count."
            raise exceeds_limit(f"{message} {counts}")
        if _recent(stream.scalings, self.now()) >= MAX_SCALINGS:
            raise exceeds_limit(f"Stream {stream.name} was scaled {MAX_SCALINGS} times in the last 24 hours.")
        if target > current:
            self._check_shards(stream.region, target - current)


def _is_provisioned(stream: Stream) -> bool:
    return stream.definition.mode == PROVISIONED


def _recent(times: deque[float], now_s: float) -> int:
    while times and times[0] <= now_s - _DAY_S:
        times.popleft()
    return len(times)
