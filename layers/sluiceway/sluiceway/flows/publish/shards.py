"""The open shards of a stream as its producers know them: listed once, and again when an answer shows another.

One roll a stream; it outlives producers. While the shards that are listed do not make up the hash space, as in the
middle of a split, or an answer contradicts them, nothing is predicted and records go on their own. Must not know
records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from sluiceway import log
from sluiceway.codec.kpl import HashRange, ShardMap, hash_key
from sluiceway.errors import Retryable
from sluiceway.ports.producing import RecordStream
from sluiceway.rules.producing.hot_keys import HotKeys
from sluiceway.steps.metrics import count

__all__ = ["Outlet", "ShardRoll"]

AGAIN_AFTER_S: Final = 1.0  # between two listings that did not help; ListShards takes 1,000 a second for a stream
HEAT_RECORDS: Final = 10_000
HOT_SHARE: Final = 0.2  # a key with this much of a stream cannot be spread over more than five shards' worth of it
LISTING_S: Final = 5.0  # for one listing: records wait for it


class ShardRoll:
    """`ranges` is empty while nothing can be predicted; `version` grows with every change of it."""

    def __init__(self, stream: RecordStream) -> None:
        self._stream = stream
        self._listing = asyncio.Lock()
        self._again_at = 0.0
        self._listings = 0
        self.ranges: Mapping[str, HashRange] = {}
        self.version = 0

    async def prepare(self, *, deadline: float | None = None) -> None:
        """Lists the shards unless they are known. Raises Misconfigured and Rejected; trouble that passes is logged."""
        if not self.ranges:
            await self._list(deadline)

    async def learn_of(self, shard_id: str, *, deadline: float | None = None) -> HashRange | None:
        """The range of a shard that a record went to; the shards are listed anew where it is not known.

        None where that does not tell: then nothing is predicted until a listing knows more.
        """
        if shard_id not in self.ranges:
            await self._list(deadline)
        found = self.ranges.get(shard_id)
        if found is None and self.ranges:
            self._replace({})
        return found

    async def _list(self, deadline: float | None) -> None:
        """One listing at a time; whoever waited for another's takes that one's."""
        before = self._listings
        async with self._listing:
            now = asyncio.get_running_loop().time()
            if self._listings != before or now < self._again_at:
                return
            limit = now + LISTING_S if deadline is None else min(deadline, now + LISTING_S)
            try:
                shards = await self._stream.open_shards(deadline=limit)
            except Retryable as error:
                log.failure("publish.shards_not_listed", error)
                self._again_at = asyncio.get_running_loop().time() + AGAIN_AFTER_S
                return
            self._listings += 1
            ranges = {shard_id: HashRange(first, last) for shard_id, first, last in shards}
            if ranges == self.ranges:
                self._again_at = asyncio.get_running_loop().time() + AGAIN_AFTER_S
            else:
                self._replace(ranges)

    def _replace(self, ranges: Mapping[str, HashRange]) -> None:
        self.version += 1
        try:
            self.ranges = ShardMap(ranges).ranges if ranges else {}
        except ValueError:
            log.warning("publish.shards_incomplete", shards=len(ranges))
            self.ranges = {}
        if not self.ranges:
            self._again_at = asyncio.get_running_loop().time() + AGAIN_AFTER_S


class Outlet:
    """A stream with what its producers learn about it: lives as long as the process, one event loop's.

    `name` tells it in logs. Every HEAT_RECORDS records the keys that have a fifth of them or more are told.
    """

    __slots__ = ("_name", "hot_keys", "roll", "stream")

    def __init__(self, stream: RecordStream, *, name: str = "") -> None:
        self.stream = stream
        self.roll = ShardRoll(stream)
        self.hot_keys = HotKeys()
        self._name = name

    def tell_heat(self) -> None:
        """A line and a metric where a key is hot, once enough was counted; the count begins anew then.

        A partition key may be somebody's name: the line has its hash, by which Kinesis chooses the shard.
        """
        total = self.hot_keys.total
        if total < HEAT_RECORDS:
            return
        hot = self.hot_keys.hottest(HOT_SHARE)
        self.hot_keys = HotKeys()
        if hot:
            share = hot[0].times / total
            count("HottestKeyShare", 100 * share, unit="Percent")
            hashes = [f"{hash_key(each.key):032x}" for each in hot]
            log.warning("publish.hot_keys", stream=self._name, key_hashes=hashes, share=round(share, 3))
