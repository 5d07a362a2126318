"""A client of the public ticker that keeps to docs/subscriptions.md: what it takes for new, and where it sees a gap."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OPEN_END = 1 << 200  # beyond every sequence number


class Gap(NamedTuple):
    """Messages are missing of this shard between these two sequence numbers, which are of one epoch.

    `after` is 0 where nothing of the epoch came before, `before` OPEN_END where a mark told: up to when that came.
    """

    shard: str
    after: int
    before: int


@dataclass
class Ticker:
    """One connection. `kept`: what the protocol calls new, by shard and sequence number, in the order it came.

    `raw`: the places of all that came, whatever the protocol calls it. `texts`: every frame as it came.
    """

    client: Any
    kept: list[tuple[str, int]] = field(default_factory=list)
    shown: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    raw: list[tuple[str, int]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    _answers: list[dict[str, Any]] = field(default_factory=list)
    _last_n: dict[tuple[str, str], int] = field(default_factory=dict)
    _last_seq: dict[str, int] = field(default_factory=dict)
    _last_of_epoch: dict[tuple[str, str], int] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Read frames for as long as the task lives."""
        while True:
            text = await self.client._opened.receive_str()
            self.texts.append(text)
            frame = json.loads(text)
            if frame["t"] in {"records", "mark"}:
                self.take(frame)
            else:
                self._answers.append(frame)
            self._news.set()

    def take(self, frame: dict[str, Any]) -> None:
        """One frame of records, or a mark."""
        shard, series = frame["shard"], (frame["shard"], frame["epoch"])
        places = [(shard, int(record["seq"])) for record in frame["d"]]
        self.raw += places
        last = self._last_n.get(series, 0)
        if frame["n"] <= last:
            return  # a post whose answer was lost is made again
        if frame["t"] == "mark":
            self.gaps.append(Gap(shard, self._last_of_epoch.get(series, 0), OPEN_END))
            self._last_n[series] = frame["n"]
            return
        if frame["n"] > last + 1:
            self.gaps.append(Gap(shard, self._last_of_epoch.get(series, 0), places[0][1]))
        self._last_n[series] = frame["n"]
        self._last_of_epoch[series] = places[-1][1]
        for place, record in zip(places, frame["d"], strict=True):
            if place[1] > self._last_seq.get(shard, 0):
                self._last_seq[shard] = place[1]
                self.kept.append(place)
                self.shown[place] = record["d"]

    async def until(self, holds: Callable[[], bool], wait_s: float) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(wait_s):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def subscribe(self, wait_s: float, **members: Any) -> None:
        await self.client.say({"action": "subscribe", "req": "s1", "topic": "records", **members})
        await self.until(lambda: bool(self._answers), wait_s)
        assert self._answers.pop()["t"] == "subscribed"

    async def cover(self, places: Sequence[tuple[str, int]], wait_s: float) -> None:
        """Wait until it covers all of these."""
        try:
            await self.until(lambda: all(map(self.covers, places)), wait_s)
        except TimeoutError:
            assert [place for place in places if not self.covers(place)] == []

    def covers(self, place: tuple[str, int]) -> bool:
        """Whether it has this record, or knows that it may have missed it."""
        shard, number = place
        return place in self.shown or any(gap.shard == shard and gap.after < number < gap.before for gap in self.gaps)
