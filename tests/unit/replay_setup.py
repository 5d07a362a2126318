"""Sources and targets in memory, on a virtual clock; a run of them that can be killed and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.replay.engine import Pace, Run
from localcloud.replay.items import Item, Outcome
from localcloud.replay.meter import Meter
from localcloud.replay.ports import Outlook


def make_item(number: int, **members: Any) -> Item:
    """A record of a stream; `number` is its key, its content and its sequence number."""
    found: dict[str, Any] = {
        "kind": "kinesis",
        "key": str(number),
        "content": b'{"n":%d}' % number,
        "mark": str(number),
        "lane": "shard-0",
        "origin": "arn:aws:kinesis:eu-west-1:123456789012:stream/s",
        "partition_key": "k",
        "arrived_ms": 1_800_000_000_000 + number,
    }
    return Item(**(found | members))


class ListSource:
    """Items of a list; its cursor is how many were given out. `delay_s`: virtual seconds to each."""

    outlook = Outlook()

    def __init__(self, items: Sequence[Item], cursor: Mapping[str, Any] | None = None, *, delay_s: float = 0.0) -> None:
        self.items = items
        self.at = (cursor or {}).get("at", 0)
        self.delay_s = delay_s
        self.settled: list[Outcome] = []

    async def next(self) -> Item | None:
        await asyncio.sleep(self.delay_s)
        if self.at == len(self.items):
            return None
        self.at += 1
        return self.items[self.at - 1]

    def cursor(self) -> Mapping[str, Any]:
        return {"at": self.at}

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        self.settled += outcomes


class ListTarget:
    """Keeps what it takes, batch by batch. `refuse`: why an item is not taken, "" where it is."""

    def __init__(self, *, delay_s: float = 0.0, refuse: Callable[[Item], str] = lambda _: "") -> None:
        self.batches: list[list[str]] = []
        self.times: list[float] = []
        self.contents: list[bytes] = []
        self.delay_s = delay_s
        self.refuse = refuse

    @property
    def taken(self) -> list[str]:
        return [key for batch in self.batches for key in batch]

    def mark(self) -> Mapping[str, Any]:
        return {}

    async def send(self, items: Sequence[Item]) -> list[str]:
        self.times.append(asyncio.get_running_loop().time())
        self.batches.append([item.key for item in items if not self.refuse(item)])
        self.contents += [item.content for item in items]
        await asyncio.sleep(self.delay_s)
        return [self.refuse(item) for item in items]


class FixedChance:
    def draw(self) -> float:
        return 0.5


class Notes:
    """What a run wrote down last: the cursor, the mark, and how much was taken."""

    def __init__(self) -> None:
        self.cursor: Mapping[str, Any] = {}
        self.mark: Mapping[str, Any] = {}
        self.counts: list[tuple[int, int]] = []

    def __call__(self, cursor: Mapping[str, Any], mark: Mapping[str, Any], tally: Any) -> None:
        self.cursor, self.mark = cursor, mark
        self.counts.append((tally.taken, tally.refused))


def make_run(
    source: Any, target: Any, *, notes: Notes | None = None, lines: list[str] | None = None, **pace: Any
) -> Run:
    said = [] if lines is None else lines
    meter = Meter(said.append, clock=asyncio.get_running_loop().time, is_terminal=False)
    return Run(source, target, pace=Pace(**pace), meter=meter, note=notes or Notes())
